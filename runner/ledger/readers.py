"""Who reads one queue: what each holds, who is served next and with how much, and who has to give back. Pure.

    idle ──► one lease ──► and the next, while plenty waits
               ▲                 │ nothing waits, another has been idle for a moment
               └── what it has not begun, once `Recall` is carried out ◄──┘

Slow items are handed out several at a time too: what a lease costs is then shared, and no reader waits for the next.
That one may hold what another could do is mended when it happens: what a reader has not begun is taken back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import field, replace

from runner.facts import dataclass
from runner.ledger.ranges import ItemRange, Lease, Recall

TARGET = 0.004
"""Seconds of work that a lease should hold at the least."""
PATIENCE = TARGET
"""Seconds of `patience` where there are few readers."""
_FEW = 10
"""So many readers are few."""
_RESERVE = 4
"""One part in so many of what nobody has begun is kept for who comes to hold nothing."""
_ENOUGH = 64
"""Items that share the cost of a lease well enough."""
_LONG = 0.32
"""Seconds of work that a lease holds for that at the most."""
_PER_SECOND = 2500
"""Leases of one queue a second that leave the supervisor time for others."""
_LOOKS = 4
"""Readers that are asked whether they may hold more before an advance gives up; and looks in a time of `patience`."""


def lease_size(seconds: float, readers: int, unbegun: int) -> int:
    """
    Say how many items of `seconds` each a lease should hold, where so many readers share those that nobody has begun.

    A few milliseconds of work; more, as long as that is no long time, for what the lease itself costs; and as many as
    keep the supervisor from being the bottleneck. But nobody gets more than its share of what is not begun.
    """
    wanted = max(TARGET / seconds, min(_ENOUGH, _LONG / seconds), readers / _PER_SECOND / seconds)
    return max(1, min(int(wanted), unbegun // max(1, readers)))


def patience(readers: int) -> float:
    """
    Say for how long one of so many readers must have held several items, with no word of any, before others get some.

    With hundreds it may take a while until all that is put has found its way to them, and to hand out again what is on
    its way already would keep it from coming.
    """
    return PATIENCE * max(1.0, readers / _FEW)


@dataclass(slots=True)
class Reader:
    """One reader, and what is in its hands."""

    name: str
    may_hold: int = 0
    """Items at once."""
    seconds: float = 0.0
    """What an item takes it, where it may hold a lease of `lease_size` and another; 0 where `may_hold` is all."""
    leases: dict[int, Lease] = field(default_factory=dict)
    holds: int = 0
    """Items that it has not brought to an end."""
    handed: int = 0
    """Items that it was ever handed."""
    waits: bool = False
    """It waits for more before it is done with any, however long."""
    more_in_hand: int = 0
    """Items that a reader has taken at once, beyond the first."""
    moved: float = 0.0
    """When it was last heard of, or got something to do."""
    recalled: bool = False
    """It is told to begin nothing more of what it holds."""
    held_back: bool = False
    """Something was taken back from it: it gets nothing before it has come on with what it has begun."""


class Readers:
    """The readers of one queue."""

    def __init__(self, numbers: int, *, fills: bool, recalls: bool) -> None:
        """Leases are numbered from `numbers` on. `fills`: each gets all that it may hold before the next one."""
        self.numbers = numbers
        self.leased = self.busy = self.more_in_hand = 0
        """Items in hands, readers that have some, and items taken beyond the first of each of these."""
        self._fills = fills
        self._recalls = recalls
        self._readers: dict[str, Reader] = {}
        self._idle: dict[str, Reader] = {}
        """Those that may hold some and hold none. Whoever has been served goes behind the others."""
        self._hungry: dict[str, Reader] = {}
        """Those that hold less than they may."""
        self._owners: dict[int, Reader] = {}
        self._look_at = math.inf
        """When somebody may have held several items for long enough, if nothing is heard meanwhile."""

    def __getitem__(self, name: str) -> Reader:
        """The reader of this name, which is known from now on."""
        if name not in self._readers:
            self._readers[name] = Reader(name)
        return self._readers[name]

    def __iter__(self) -> Iterator[Reader]:
        return iter(self._readers.values())

    def leases(self) -> Iterable[Lease]:
        """All that is in hands."""
        return (lease for reader in self for lease in reader.leases.values())

    def lease(self, number: int) -> Lease | None:
        """Return a lease that has not ended."""
        owner = self._owners.get(number)
        return None if owner is None else owner.leases[number]

    def lease_of(self, name: str, number: int) -> Lease | None:
        """Return a lease that has not ended, if it is this reader's."""
        return self._readers[name].leases.get(number) if name in self._readers else None

    def leases_of(self, name: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return list(self._readers[name].leases.values()) if name in self._readers else []

    # Who is served.

    def note_capacity(self, reader: Reader) -> None:
        """Something has changed in what a reader holds, or may."""
        name, may_hold = reader.name, reader.may_hold
        more = reader.holds < may_hold or (may_hold > 0 and reader.seconds > 0)
        more = more and not reader.held_back
        idle = more and not reader.holds and not self._fills
        if not idle:
            self._idle.pop(name, None)
        elif name not in self._idle:
            self._idle[name] = reader
        if idle or not more:
            self._hungry.pop(name, None)
        elif name not in self._hungry:
            self._hungry[name] = reader

    def idle(self) -> Reader | None:
        """Who has waited longest of those that hold nothing."""
        if self._fills:
            first = next(iter(self._hungry.values()), None)
            return None if first is None or first.holds else first
        return next(iter(self._idle.values()), None)

    def next_served(self, waiting: int) -> tuple[Reader, int] | None:
        """Who gets some of the items that wait, and how many; None where nobody does."""
        unbegun = waiting + self.leased - self.busy
        for reader in self._idle.values():
            return reader, self._share(reader, unbegun)
        is_plenty = waiting >= max(len(self._readers), unbegun // _RESERVE)
        for _ in range(min(_LOOKS, len(self._hungry))):
            reader = next(iter(self._hungry.values()))
            if not reader.seconds:
                return reader, reader.may_hold - reader.holds
            # One lease beside what it works on, and not the last ones: these go to whoever comes to need them first.
            if is_plenty and reader.holds <= (share := self._share(reader, waiting)):
                return reader, share
            del self._hungry[reader.name]
            self._hungry[reader.name] = reader
        return None

    def _share(self, reader: Reader, unbegun: int) -> int:
        if not reader.seconds:
            return reader.may_hold - reader.holds
        return lease_size(reader.seconds, len(self._readers), unbegun)

    def hand(self, reader: Reader, item_range: ItemRange, now: float) -> Lease:
        """Lease to a reader; if it may hold more after that, it goes behind the others, or is filled."""
        if not self._fills:
            self._idle.pop(reader.name, None)
            self._hungry.pop(reader.name, None)
        self.numbers += 1
        start = item_range.start
        lease = Lease(self.numbers, reader.name, item_range, start, item_range.partial, reader.handed)
        if not reader.leases:
            self.busy += 1
            reader.moved = now
        reader.leases[lease.number] = lease
        self._owners[lease.number] = reader
        count = len(item_range)
        self.leased += count
        reader.holds += count
        reader.handed += count
        reader.waits = reader.recalled = False
        if reader.holds > 1:
            self._look_at = min(self._look_at, now + patience(len(self._readers)))
        self.note_capacity(reader)
        return lease

    # What becomes of leases.

    def advance(self, lease: Lease, at: int, partial: int, now: float) -> None:
        """Items of a lease before `at` are out of hand; a lease of which nothing is left ends."""
        reader, count = self._owners[lease.number], at - lease.at
        self.leased -= count
        reader.holds -= count
        reader.waits = reader.held_back = False
        reader.moved = now
        if reader.more_in_hand:
            self.note_in_hand(reader, reader.more_in_hand - count)
        if at < lease.item_range.stop:
            reader.leases[lease.number] = replace(lease, at=at, partial=partial)
        else:
            self._forget(reader, lease)
        self.note_capacity(reader)

    def recall(self, name: str, begun: int, handed: int) -> list[ItemRange]:
        """
        Take back what a reader has not begun, and return it, oldest first.

        Of the first `handed` items that it was ever handed it has begun the first `begun`, and begins no more.
        """
        reader = self._readers.get(name)
        if reader is None:
            return []
        cut = [self._cut(reader, lease, begun) for lease in [*reader.leases.values()] if lease.first < handed]
        parts = [part for part in cut if part is not None]
        reader.held_back = bool(reader.leases) and (reader.held_back or bool(parts))
        self.note_capacity(reader)
        return parts

    def _cut(self, reader: Reader, lease: Lease, begun: int) -> ItemRange | None:
        item_range = lease.item_range
        stop = max(lease.at, item_range.start + begun - lease.first)
        if stop >= item_range.stop:
            return None
        rest = item_range.after(stop)
        if stop == lease.at:
            rest = replace(rest, partial=lease.partial)
            self._forget(reader, lease)
        else:
            reader.leases[lease.number] = replace(lease, item_range=item_range.upto(stop))
        self.leased -= len(rest)
        reader.holds -= len(rest)
        return rest

    def _forget(self, reader: Reader, lease: Lease) -> None:
        del reader.leases[lease.number], self._owners[lease.number]
        self.busy -= not reader.leases

    def remove(self, name: str) -> list[Lease]:
        """A reader is gone: return what was in its hands."""
        reader = self._readers.pop(name, None)
        if reader is None:
            return []
        self._idle.pop(name, None)
        self._hungry.pop(name, None)
        self.note_in_hand(reader, 0)
        lost = list(reader.leases.values())
        self.busy -= bool(lost)
        self.leased -= reader.holds
        for lease in lost:
            del self._owners[lease.number]
        return lost

    def note_in_hand(self, reader: Reader, beyond_first: int) -> None:
        """A reader has taken so many items beyond the first."""
        more = max(0, beyond_first)
        self.more_in_hand += more - reader.more_in_hand
        reader.more_in_hand = more

    # Who has to give back.

    @property
    def look_at(self) -> float:
        """When `recalls` may have something to say although nothing has happened, as long as nothing waits."""
        return self._look_at if self._recalls and self._idle and self.leased > self.busy else math.inf

    def recalls(self, now: float) -> list[Recall]:
        """Nothing waits: say who is to give back what it has not begun, so that those who are idle get some of it."""
        if now < self.look_at:
            return []
        wanted, found, self._look_at = len(self._idle), [], math.inf
        moment = patience(len(self._readers))
        several = [reader for reader in self if reader.holds > 1 and not reader.recalled]
        for reader in sorted(several, key=lambda each: each.holds, reverse=True):
            if now < reader.moved + moment or wanted <= 0:
                self._look_at = min(self._look_at, reader.moved + moment)
                continue
            reader.recalled = True
            wanted -= reader.holds - 1
            found.append(Recall(reader.name, reader.handed))
        self._look_at = max(self._look_at, now + moment / _LOOKS)  # a look at all of them is dear
        return found

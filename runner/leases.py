"""The book of a queue whose items the ledger itself hands out. Pure: facts in by method, decisions out by `decide`.

    offer ──► parked ──room──► waiting ──lease──► leased ──► done
                                  ▲                 │ ├────► dropped
                                  └─ died, retry ───┘ └────► dead-lettered

Items travel in frames that nobody opens here: a `Parcel` is a range of one frame, so that the rest of a dead worker's
frame, or one suspect item alone, can be handed out again.

The bound is that of a JoinableQueue: `maxsize` items put and not yet taken. An item in a reader's hand is taken; what
lies behind it in the same lease still counts as waiting, and so does what a writer was granted leave to put.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, replace

from runner.credit import PATIENCE, Credit, Granted
from runner.errors import MprunInternalError
from runner.ledger import Account
from runner.parcels import Accepted, Frame, HandOver, Lease, Parcel


@dataclass(slots=True)
class _Offer:
    writer: str
    parcel: Parcel
    since: float


class LeasedBook:
    """The account of one queue, and who gets what next. First in, first out; what comes back goes to the front."""

    def __init__(self, queue: str, maxsize: int | None, writers: int = 1) -> None:
        """`writers` counts those that there can be at once: they share the room."""
        self.name = queue
        self._maxsize = maxsize
        self._credit = Credit(maxsize, writers)
        self._waiting: deque[Parcel] = deque()
        self._delayed: list[tuple[float, int, Parcel]] = []
        """A heap: when an item that failed may be handed out again. It counts as waiting."""
        self._parked: deque[_Offer] = deque()
        self._appetite: dict[str, int] = {}
        self._hungry: dict[str, None] = {}
        """Readers that hold less than they may; whoever has been served goes behind the others."""
        self._held: dict[str, dict[int, Lease]] = {}
        self._n_held: dict[str, int] = {}
        """Items that each reader holds and has not brought to an end."""
        self._owners: dict[int, str] = {}
        self._numbers = 0
        self._asking: set[str] = set()
        """Readers that wait for more before they are done with any."""
        self._more_in_hand: dict[str, int] = {}
        """Items that a reader which drives its queue has taken, beyond the first."""
        self._put = self._done = self._dropped = self._dead = 0
        self._n_waiting = self._n_leased = self._busy_readers = self._peak = 0
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self._decisions: list[Accepted | Granted | HandOver] = []

    # Facts.

    def offer(self, writer: str, frame: Frame, now: float) -> None:
        """A writer puts a frame. It is `Accepted` when all of it is in, and offers of one writer are so in order."""
        parcel = Parcel(frame, 0, frame.count)
        if not self._passes_straight_on(writer, parcel):
            self._parked.append(_Offer(writer, parcel, now))
            self.move(now)

    def want(self, reader: str, most: int, now: float) -> None:
        """A reader may hold up to `most` items at once from now on; 0 while it shall get none."""
        self._appetite[reader] = most
        self._note_hunger(reader)
        self.move(now)

    def takes_more(self, reader: str, taken: int, now: float) -> None:
        """A reader that drives its queue has taken `taken` items, none done yet, and waits for another."""
        self._asking.add(reader)
        self._more_in_hand[reader] = max(0, min(taken, self._holds(reader)) - 1)
        self.want(reader, max(taken + 1, self._appetite.get(reader, 0)), now)

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done; a lease of which nothing is left ends. Cumulative.

        `partial` outputs of item `upto` are in the next queue already.
        """
        lease = self.lease(number)
        if not lease.at <= upto <= lease.parcel.stop:
            raise MprunInternalError(
                f"lease {number} acknowledged up to {upto}, outside {lease.at}..{lease.parcel.stop}"
            )
        self._done += upto - lease.at
        self._advance(lease, upto, partial)
        self.move(now)

    def failed(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good: it is dropped, and the next is in hand."""
        lease = self.lease(number)
        self._dropped += 1
        self._advance(lease, lease.at + 1)
        self.move(now)

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """The item in hand of a lease has failed: it is handed out again, alone, from `due` on. The next is in hand."""
        lease = self.lease(number)
        self._numbers += 1
        heapq.heappush(self._delayed, (due, self._numbers, lease.item(lease.at).again(past)))
        self._count_waiting(1)
        self._advance(lease, lease.at + 1)
        self.move(now)

    def condemn(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good, and is kept as a dead letter. The next is in hand."""
        lease = self.lease(number)
        self._dead += 1
        self._advance(lease, lease.at + 1)
        self.move(now)

    def died(
        self,
        reader: str,
        suspect: tuple[int, int] | None,
        now: float,
        past: object = None,
        *,
        condemned: bool = False,
    ) -> list[Lease]:
        """A reader is gone: what it held goes back to the front, in order. Returns its leases as they were.

        `suspect` is the lease and the index of the item that it was handling: that one item goes back in a parcel of
        its own, with one more attempt, or where it is `condemned` becomes a dead letter; no other item is charged.
        """
        self._appetite.pop(reader, None)
        self._hungry.pop(reader, None)
        self._n_held.pop(reader, None)
        self._more_in_hand.pop(reader, None)
        self._asking.discard(reader)
        lost = list(self._held.pop(reader, {}).values())
        self._busy_readers -= bool(lost)
        # What it was to be given next, when another died before it, it can't be given any more.
        self._decisions = [
            d for d in self._decisions if not (isinstance(d, HandOver) and d.lease.reader == reader)
        ]
        for lease in reversed(lost):
            if suspect is not None and suspect[0] == lease.number:
                self._take_back_around(lease, suspect[1], past, condemned)
            else:
                self._take_back(lease)
        self.move(now)
        return lost

    def grant(self, writer: str, most: int) -> int:
        """Give a writer leave to put up to `most` items, as far as there is room, and return how many."""
        count = most if self.room is None else max(0, min(most, self.room))
        self._credit.give(writer, count)
        return count

    def writer(self, name: str, now: float) -> None:
        """A writer exists: it gets its share of the room unasked, as `Granted` says, where there is enough to share."""
        self._credit.join(name)
        self.move(now)

    @property
    def shares(self) -> bool:
        """Whether writers are `Granted` leave unasked; else each puts one item and waits until it is `Accepted`."""
        return self._credit.shares

    def writer_gone(self, name: str, now: float) -> None:
        """A writer has ended: what it was granted is free again. What it offered stays."""
        self._credit.leave(name)
        self.move(now)

    def move(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted; called also when `due` has come."""
        while (
            (self._delayed and self._release(now))
            or (self._parked and self._let_in(now))
            or (self._waiting and self._hand_out())
        ):
            pass
        if not self._parked:
            self._decisions += self._credit.top_up(self.room, now)
        self._watch_fullness(now)

    # Decisions.

    def decide(self) -> list[Accepted | Granted | HandOver]:
        """Return what follows from the facts so far; each decision once."""
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def due(self) -> float | None:
        """When `move` must be called although nothing has happened; None if never."""
        dues = [self._credit.due, self._delayed[0][0] if self._delayed else None]
        if self._parked and self._free > 0:
            dues.append(self._parked[0].since + PATIENCE)
        return min((due for due in dues if due is not None), default=None)

    def account(self) -> Account:
        """Take stock."""
        return Account(
            queue=self.name,
            maxsize=self._maxsize,
            put=self._put,
            waiting=self._n_waiting,
            leased=self._n_leased,
            done=self._done,
            dropped=self._dropped,
            dead_lettered=self._dead,
            peak=min(
                self._peak, self._maxsize or self._peak
            ),  # what comes back to a full queue takes no room
            full_seconds=self._full_seconds,
            held_back=self._n_leased > 0
            and not self._n_waiting
            and self._asking.issuperset(reader for reader, held in self._held.items() if held),
        )

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end, and none is parked."""
        return not self._parked and self._put == self._done + self._dropped + self._dead

    @property
    def room(self) -> int | None:
        """Items that may still be put, beyond those that writers were granted; None where there is no bound."""
        return None if self._maxsize is None else self._free

    def room_for(self, writer: str) -> int:
        """Items that a writer may put at this moment, where there is a bound."""
        return self._free + self._credit.held(writer)

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended. Raises `MprunInternalError` if there is none of this number."""
        owner = self._owners.get(number)
        if owner is None:
            raise MprunInternalError(f"queue '{self.name}' has no lease {number}")
        return self._held[owner][number]

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return list(self._held.get(reader, {}).values())

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""
        waiting = sum(map(len, self._waiting)) + len(self._delayed)
        leased = sum(lease.left for held in self._held.values() for lease in held.values())
        if (waiting, leased) != (self._n_waiting, self._n_leased) or not self.account().balanced:
            raise MprunInternalError(f"the ledger of queue '{self.name}' does not add up: {self.account()}")

    # How it moves.

    @property
    def _free(self) -> int:
        assert self._maxsize is not None
        behind = self._n_leased - self._busy_readers - sum(self._more_in_hand.values())
        return self._maxsize - self._n_waiting - behind - self._credit.total

    def _release(self, now: float) -> bool:
        """Put items whose delay is over where the oldest are, in order: they have waited longer than any of those."""
        ripe = []
        while self._delayed and self._delayed[0][0] <= now:
            ripe.append(heapq.heappop(self._delayed)[2])
        self._waiting.extendleft(reversed(ripe))
        return bool(ripe)

    def _let_in(self, now: float) -> bool:
        offer = self._parked[0]
        whole = offer.parcel
        fits = self._fits(offer, now)
        if fits <= 0:
            return False
        self._credit.use(offer.writer, fits)
        self._append(whole.upto(whole.start + fits))
        if fits == len(whole):
            self._parked.popleft()
            self._decisions.append(Accepted(offer.writer))
        else:
            offer.parcel = whole.after(whole.start + fits)
        return True

    def _fits(self, offer: _Offer, now: float) -> int:
        size = len(offer.parcel)
        if self._maxsize is None:
            return size
        granted, free = self._credit.held(offer.writer), self._free
        if size <= granted:
            return size
        # A queue that was full lets in nobody until half of it is free, or a moment has passed: else a quick reader
        # would be fed item by item.
        if free < self._maxsize // 2 and now < offer.since + PATIENCE:
            return 0
        return min(size, granted + max(0, free))

    def _passes_straight_on(self, writer: str, parcel: Parcel) -> bool:
        """Hand a lone item to an idle reader where nothing is in the way: what `move` would do, in a few steps."""
        if self._waiting or self._parked or self._delayed or self._full_since is not None or parcel.stop > 1:
            return False
        reader = next(iter(self._hungry), None)
        if reader is None or self._n_held.get(reader) or not self._credit.use_of_plenty(writer):
            return False
        self._put += 1
        self._peak = self._peak or 1
        self._serve(reader, parcel)
        self._decisions.append(Accepted(writer))
        return True

    def _append(self, parcel: Parcel) -> None:
        self._waiting.append(parcel)
        self._put += len(parcel)
        self._count_waiting(len(parcel))

    def _count_waiting(self, count: int) -> None:
        self._n_waiting += count
        self._peak = max(self._peak, self._n_waiting)

    def _hand_out(self) -> bool:
        if not self._hungry:
            return False
        reader = next(iter(self._hungry))
        self._serve(reader, self._take(self._appetite[reader] - self._holds(reader)))
        return True

    def _serve(self, reader: str, parcel: Parcel) -> None:
        """Lease to a hungry reader; if it is still hungry after that, it goes behind the others."""
        del self._hungry[reader]
        self._lease_out(reader, parcel)
        self._note_hunger(reader)

    def _take(self, most: int) -> Parcel:
        """Take the oldest items that wait, about `most` of them."""
        parcel = self._waiting.popleft()
        # Every split sends the whole frame again, so a little too much goes as it is.
        if len(parcel) > most and (most == 1 or len(parcel) > 2 * most):
            self._waiting.appendleft(parcel.after(parcel.start + most))
            parcel = parcel.upto(parcel.start + most)
        self._n_waiting -= len(parcel)
        return parcel

    def _note_hunger(self, reader: str) -> None:
        if self._holds(reader) >= self._appetite.get(reader, 0):
            self._hungry.pop(reader, None)
        elif reader not in self._hungry:
            self._hungry[reader] = None

    def _lease_out(self, reader: str, parcel: Parcel) -> None:
        self._numbers += 1
        lease = Lease(self._numbers, reader, parcel, parcel.start, parcel.partial)
        held = self._held.setdefault(reader, {})
        self._busy_readers += not held
        held[lease.number] = lease
        self._owners[lease.number] = reader
        self._n_leased += len(parcel)
        self._n_held[reader] = self._n_held.get(reader, 0) + len(parcel)
        self._asking.discard(reader)
        self._decisions.append(HandOver(lease))

    def _holds(self, reader: str) -> int:
        return self._n_held.get(reader, 0)

    def _advance(self, lease: Lease, at: int, partial: int = 0) -> None:
        held = self._held[lease.reader]
        self._n_leased -= at - lease.at
        self._n_held[lease.reader] -= at - lease.at
        self._asking.discard(lease.reader)
        if lease.reader in self._more_in_hand:
            self._more_in_hand[lease.reader] = max(0, self._more_in_hand[lease.reader] - (at - lease.at))
        self._note_hunger(lease.reader)
        if at < lease.parcel.stop:
            held[lease.number] = replace(lease, at=at, partial=partial)
            return
        del held[lease.number], self._owners[lease.number]
        self._busy_readers -= not held

    def _take_back(self, lease: Lease) -> None:
        self._give_back(lease, replace(lease.parcel.after(lease.at), partial=lease.partial))

    def _take_back_around(self, lease: Lease, suspect: int, past: object, condemned: bool) -> None:
        rest = replace(lease.parcel.after(lease.at), partial=lease.partial)
        before, alone, behind = rest.upto(suspect), lease.item(suspect), rest.after(suspect + 1)
        self._dead += condemned
        self._give_back(
            lease, *[part for part in (before, None if condemned else alone.again(past), behind) if part]
        )

    def _give_back(self, lease: Lease, *parts: Parcel) -> None:
        """A lease has ended by its reader's death: these parts of it are the first to be handed out again."""
        del self._owners[lease.number]
        self._n_leased -= lease.left
        self._count_waiting(sum(map(len, parts)))
        self._waiting.extendleft(reversed(parts))

    def _watch_fullness(self, now: float) -> None:
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        taken_up = self._maxsize is not None and self._free + self._credit.total <= 0
        self._full_since = now if self._parked or taken_up else None

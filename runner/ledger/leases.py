"""The ledger of a queue whose items the ledger itself hands out. Pure: facts in by method, decisions out by `decide`.

    offer ──► parked ──room──► waiting ──lease──► leased ──► done
                                  ▲                 │ ├────► dropped
                                  └─ died, retry ───┘ └────► dead-lettered

Items travel in frames that nobody opens here: an `ItemRange` is some of one frame, so that the rest of a dead worker's
frame, or one suspect item alone, can be handed out again.

The bound is that of a JoinableQueue: `maxsize` items put and not yet taken. An item in a reader's hand is taken; what
lies behind it in the same lease still counts as waiting, and so does what a writer was granted leave to put. Where a
queue is bounded by bytes, sharded, in order, or drops items, `PartitionedQueue` (partitioned.py) has these methods too.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from runner.errors import MprunInternalError
from runner.facts import dataclass
from runner.ledger.accounts import Account
from runner.ledger.credit import GRANT_DELAY, Credit, Granted
from runner.ledger.ranges import Accepted, Frame, HandOver, ItemRange, Lease, Recall
from runner.ledger.readers import Readers
from runner.ledger.snapshot import GONE, DelayedItem, ParkedItems, PartitionSnapshot, QueueSnapshot

Decision = Accepted | Granted | HandOver | Recall

_PARTED = 1000
"""Items of a frame that is handed out in many small leases: each reader unpickles all of it, which at this length costs
about as much as the rest of a lease, and takes the place of what else it needs in the processor's caches."""


@dataclass(slots=True)
class _WaitingOffer:
    writer: str
    item_range: ItemRange
    since: float
    owed: bool


class LeaseQueue:
    """The account of one queue, and who gets what next. First in, first out; what comes back goes to the front."""

    def __init__(
        self,
        queue: str,
        maxsize: int | None,
        writers: int = 1,
        *,
        numbers: int = 0,
        in_order: bool = False,
        fills: bool = False,
        recalls: bool = False,
        singly: bool = False,
        may_hand_out: Callable[[ItemRange], bool] | None = None,
        on_end: Callable[[ItemRange], None] | None = None,
    ) -> None:
        """
        `writers` counts those that there can be at once: they share the room. Leases are numbered from `numbers` on.

        `in_order`: what comes back goes before all that was put after it, instead of before all that waits.

        `fills`: a reader gets all that it may hold before the next one gets anything. `recalls`: what a reader has not
        begun is taken back where others have nothing to do. `singly`: a lease is one item.

        `may_hand_out` is asked about the oldest that wait, `on_end` is told of items that have come to an end.
        """
        self.name = queue
        self._maxsize = maxsize
        self._credit = Credit(maxsize, writers)
        self._waiting: deque[ItemRange] = deque()
        self._delayed: list[tuple[float, int, ItemRange]] = []
        """A heap: when an item that failed may be handed out again. It counts as waiting."""
        self._parked: deque[_WaitingOffer] = deque()
        self._readers = Readers(numbers, fills=fills, recalls=recalls)
        self._fatal: list[ItemRange] = []
        """Items that were dropped, and have ended the run."""
        self._delays = 0
        self._in_order = in_order
        self._singly = singly
        self._may_hand_out = may_hand_out
        self._on_end = on_end
        self._offered = 0
        """Items that writers have offered: where the next one stands among them all, however it gets in."""
        self._put = self._done = self._done_before = self._dropped = self._dead = 0
        self._n_waiting = self._peak = 0
        self._are_slow = False
        """Whether items are slow, by what was heard last."""
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self._decisions: list[Decision] = []

    # Facts.

    def offer(self, writer: str, frame: Frame, now: float, partial: int = 0, *, owed: bool = False) -> None:
        """A writer puts a frame. It is `Accepted` when all of it is in, and offers of one writer are so in order.

        `partial` outputs of its first item are in the next queue already. `owed`: what it was made from counts as done.
        """
        frame.first = self._offered
        self._offered += frame.count
        item_range = ItemRange(frame, 0, frame.count, partial=partial)
        if not self._deliver_directly(writer, item_range, now):
            self._parked.append(_WaitingOffer(writer, item_range, now, owed))
            self.advance(now)

    def reject(self, *, dead_letter: bool) -> None:
        """A producer had an item that can't be put: it is put, and dropped or dead-lettered, in one step."""
        self._put += 1
        self._dropped += not dead_letter
        self._dead += dead_letter

    def enter(self, item_range: ItemRange, now: float) -> None:
        """Let items in that somebody else found room for, whatever the bound is here."""
        self._append(item_range)
        self.advance(now)

    def drop_oldest(self, most: int) -> ItemRange | None:
        """Drop the oldest items that nobody holds, `most` of them or fewer; None if there are none."""
        if not self._waiting:
            return None
        item_range = self._waiting.popleft()
        if len(item_range) > most:
            self._waiting.appendleft(item_range.after(item_range.start + most))
            item_range = item_range.upto(item_range.start + most)
        self._n_waiting -= len(item_range)
        self._dropped += len(item_range)
        if self._on_end is not None:
            self._on_end(item_range)
        return item_range

    def set_demand(
        self, reader: str, most: int, now: float, held: int = 0, roomless: int = 0, seconds: float = 0.0
    ) -> None:
        """A reader may hold up to `most` items at once from now on; 0 while it shall get none.

        It holds `held` besides, which it has handled already, and of which so many take no room. Unless `seconds` is 0
        an item takes it so long, and it may hold a lease of as many as suit that (`lease_size`), and another.
        """
        known = self._readers[reader]
        known.may_hold = most + held
        known.seconds = seconds
        self._are_slow = seconds > 0
        if roomless:
            self._readers.note_in_hand(known, min(roomless, known.holds) - 1)
        self._readers.note_capacity(known)
        self.advance(now)

    def request_more(self, reader: str, taken: int, now: float, *, patient: bool = True) -> None:
        """A reader has taken `taken` items, none done yet, and waits for another; `patient`: until one comes."""
        known = self._readers[reader]
        known.waits = patient
        self._readers.note_in_hand(known, min(taken, known.holds) - 1)
        self.set_demand(reader, max(taken + 1, known.may_hold), now)

    def recalled(self, reader: str, begun: int, handed: int, now: float) -> None:
        """A reader has begun the first `begun` items that it was handed, and begins no more of the first `handed`.

        What it has not begun goes back to the front, as if it had not been handed out.
        """
        parts = self._readers.recall(reader, begun, handed)
        if parts:
            self._count_waiting(sum(map(len, parts)))
            self._to_the_front(parts)
            self.advance(now)

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done; a lease of which nothing is left ends. Cumulative.

        `partial` outputs of item `upto` are in the next queue already.
        """
        lease = self.lease(number)
        if not lease.at <= upto <= lease.item_range.stop:
            raise MprunInternalError(
                f"lease {number} acknowledged up to {upto}, outside {lease.at}..{lease.item_range.stop}"
            )
        self._done += upto - lease.at
        self._end(lease, upto, now, partial)
        self.advance(now)

    def failed(self, number: int, now: float, *, ends_run: bool = False) -> None:
        """The item in hand of a lease has failed for good: it is dropped, and the next is in hand.

        `ends_run`: whoever goes on with the run, with the bug mended, gets it once more, as if it had not been tried.
        """
        lease = self.lease(number)
        self._dropped += 1
        if ends_run:
            self._fatal.append(replace(lease.item(lease.at), attempt=1, history=()))
        self._end(lease, lease.at + 1, now)
        self.advance(now)

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """The item in hand of a lease has failed: it is handed out again, alone, from `due` on. The next is in hand."""
        lease = self.lease(number)
        self._delay(due, lease.item(lease.at).again(past))
        self._count_waiting(1)
        self._readers.advance(lease, lease.at + 1, 0, now)
        self.advance(now)

    def dead_letter(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good, and is kept as a dead letter. The next is in hand."""
        lease = self.lease(number)
        self._dead += 1
        self._end(lease, lease.at + 1, now)
        self.advance(now)

    def died(
        self,
        reader: str,
        in_hand: Mapping[int, range],
        now: float,
        pasts: Mapping[int, object] = MappingProxyType({}),
        *,
        condemned: Collection[int] = (),
        kept: bool = True,
    ) -> list[Lease]:
        """A reader is gone: what it held goes back to the front, in order. Returns its leases as they were.

        `in_hand` are the items that it was handling, by lease: each goes back in a range of its own, with one more
        attempt and what `pasts` has of its lease, or where that is `condemned` becomes a dead letter, and is dropped if
        not `kept`; no other is charged.
        """
        lost = self._readers.remove(reader)
        # What it was to be given next, when another died before it, it can't be given any more.
        self._decisions = [each for each in self._decisions if not _is_for(reader, each)]
        for lease in reversed(lost):
            past, is_condemned = pasts.get(lease.number), lease.number in condemned
            self._take_back(lease, in_hand.get(lease.number, range(0)), past, is_condemned)
        count = 0 if kept else sum(len(in_hand[number]) for number in condemned)
        self._dead, self._dropped = self._dead - count, self._dropped + count
        self.advance(now)
        return lost

    def grant(self, writer: str, most: int) -> int:
        """Give a writer leave to put up to `most` items, as far as there is room, and return how many."""
        count = most if self.room is None else max(0, min(most, self.room))
        self._credit.give(writer, count)
        return count

    def writer(self, name: str, now: float) -> None:
        """A writer exists: it gets its share of the room unasked, as `Granted` says, where there is enough to share."""
        self._credit.join(name)
        self.advance(now)

    @property
    def shares(self) -> bool:
        """Whether writers are `Granted` leave unasked; else each puts one item and waits until it is `Accepted`."""
        return self._credit.shares

    @property
    def longest_frame(self) -> int:
        """How many items a writer should send in one frame at the most; 0 where that makes no difference."""
        return _PARTED if self._are_slow else 0

    def writer_gone(self, name: str, now: float) -> None:
        """A writer has ended: what it was granted is free again. What it offered stays."""
        self._credit.remove_writer(name)
        self.advance(now)

    def take_in_owed(self) -> None:
        """No worker is left: let in what was made of items that count as done, whatever the bound."""
        for offer in self._parked:
            if offer.owed:
                self._waiting.append(offer.item_range)
                self._put += len(offer.item_range)
                self._n_waiting += len(offer.item_range)
        self._parked = deque(offer for offer in self._parked if not offer.owed)

    def advance(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted; called also when `due` has come."""
        while (
            (self._delayed and self._release(now))
            or (self._parked and self._let_in(now))
            or (self._waiting and self._hand_out(now))
        ):
            pass
        if not self._waiting and now >= self._readers.look_at:
            self._decisions += self._readers.recalls(now)
        if not self._parked:
            self._decisions += self._credit.top_up(self.room, now)
        self._watch_fullness(now)

    # Decisions.

    def decide(self) -> list[Decision]:
        """Return what follows from the facts so far; each decision once."""
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def due(self) -> float | None:
        """When `advance` must be called although nothing has happened; None if never."""
        look_at = self._readers.look_at
        if not self._delayed and not self._parked and look_at == math.inf:  # as it mostly is
            return self._credit.due
        dues = [self._credit.due, self._delayed[0][0] if self._delayed else None]
        if look_at < math.inf and not self._waiting:
            dues.append(look_at)
        if self._parked and self._free > 0:
            dues.append(self._parked[0].since + GRANT_DELAY)
        return min((due for due in dues if due is not None), default=None)

    def account(self) -> Account:
        """Take stock."""
        return Account(
            queue=self.name,
            maxsize=self._maxsize,
            put=self._put,
            waiting=self._n_waiting,
            leased=self._readers.leased,
            done=self._done,
            done_before=self._done_before,
            dropped=self._dropped,
            dead_lettered=self._dead,
            peak=min(
                self._peak, self._maxsize or self._peak
            ),  # what comes back to a full queue takes no room
            full_seconds=self._full_seconds,
            held_back=self._readers.leased > 0
            and not self._n_waiting
            and all(reader.waits for reader in self._readers if reader.leases),
        )

    @property
    def is_full(self) -> bool:
        """Whether something waits outside, and there is no room for it."""
        return bool(self._parked) and self._free <= 0

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

    @property
    def occupied(self) -> int:
        """Items that take room: all but those that readers have in hand."""
        readers = self._readers
        return self._n_waiting + readers.leased - readers.busy - readers.more_in_hand

    @property
    def waiting(self) -> int:
        """Items that nobody holds."""
        return self._n_waiting

    @property
    def awaits_retry(self) -> bool:
        """Whether an item that failed waits to be tried again."""
        return bool(self._delayed)

    def unfinished(self) -> Iterator[ItemRange]:
        """What has not come to an end."""
        yield from self._waiting
        yield from (item_range for _, _, item_range in self._delayed)
        yield from (lease.item_range.after(lease.at) for lease in self._readers.leases())

    def snapshot(self, now: float) -> QueueSnapshot:
        """Return all that another runner must know to go on. It shares its frames with the ledger."""
        parked = tuple(ParkedItems(offer.writer, offer.item_range, offer.owed) for offer in self._parked)
        return QueueSnapshot(
            self.name, self._offered, (self.partition_snapshot(now),), parked, in_hand=self._readers.leased
        )

    def partition_snapshot(self, now: float) -> PartitionSnapshot:
        """The same without what has found no room: a partition has everything let in by its queue."""
        leases = self._readers.leases()
        held = [replace(lease.item_range.after(lease.at), partial=lease.partial) for lease in leases]
        held += self._fatal
        first = [*held, *self._waiting] if self._in_order else held
        first.sort(key=lambda item_range: item_range.position)
        return PartitionSnapshot(
            waiting=tuple(first) if self._in_order else (*first, *self._waiting),
            delayed=tuple(DelayedItem(max(0.0, due - now), each) for due, _, each in sorted(self._delayed)),
            put=self._put,
            done=self._done,
            dropped=self._dropped - len(self._fatal),
            dead_lettered=self._dead,
        )

    def restore(self, snapshot: QueueSnapshot, now: float) -> None:
        """Begin with what another runner had left; called before anything else. No writer of then is answered."""
        self._offered = snapshot.offered
        self._parked.extend(_WaitingOffer(GONE, each.item_range, now, each.owed) for each in snapshot.parked)
        self.restore_partition(snapshot.partitions[0], now)

    def restore_partition(self, snapshot: PartitionSnapshot, now: float) -> None:
        """The same of a partition."""
        self._put, self._done, self._done_before = snapshot.put, snapshot.done, snapshot.done
        self._dropped, self._dead = snapshot.dropped, snapshot.dead_lettered
        self._waiting.extend(snapshot.waiting)
        for each in snapshot.delayed:
            self._delay(now + each.seconds, each.item_range)
        self._count_waiting(sum(map(len, snapshot.waiting)) + len(snapshot.delayed))
        self.advance(now)

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended. Raises `MprunInternalError` if there is none of this number."""
        lease = self._readers.lease(number)
        if lease is None:
            raise MprunInternalError(f"queue '{self.name}' has no lease {number}")
        return lease

    def lease_of(self, reader: str, number: int) -> Lease | None:
        """Return a lease that has not ended, if it is this reader's."""
        return self._readers.lease_of(reader, number)

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return self._readers.leases_of(reader)

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the ranges disagree."""
        waiting = sum(map(len, self._waiting)) + len(self._delayed)
        leased = sum(lease.left for lease in self._readers.leases())
        if (waiting, leased) != (self._n_waiting, self._readers.leased) or not self.account().balanced:
            raise MprunInternalError(f"the ledger of queue '{self.name}' does not add up: {self.account()}")

    # How it moves.

    @property
    def _free(self) -> int:
        assert self._maxsize is not None
        return self._maxsize - self.occupied - self._credit.total

    def _release(self, now: float) -> bool:
        """Put items whose delay is over where the oldest are, in order: they have waited longer than any of those."""
        ripe = []
        while self._delayed and self._delayed[0][0] <= now:
            ripe.append(heapq.heappop(self._delayed)[2])
        self._to_the_front(ripe)
        return bool(ripe)

    def _let_in(self, now: float) -> bool:
        offer = self._parked[0]
        whole = offer.item_range
        fits = self._fits(offer, now)
        if fits <= 0:
            return False
        self._credit.use(offer.writer, fits)
        self._append(whole.upto(whole.start + fits))
        if fits == len(whole):
            self._parked.popleft()
            self._decisions.append(Accepted(offer.writer))
        else:
            offer.item_range = whole.after(whole.start + fits)
        return True

    def _fits(self, offer: _WaitingOffer, now: float) -> int:
        size = len(offer.item_range)
        if self._maxsize is None:
            return size
        granted, free = self._credit.held(offer.writer), self._free
        if size <= granted:
            return size
        # A queue that was full lets in nobody until half of it is free, or a moment has passed: else a quick reader
        # would be fed item by item.
        if free < self._maxsize // 2 and now < offer.since + GRANT_DELAY:
            return 0
        return min(size, granted + max(0, free))

    def _deliver_directly(self, writer: str, item_range: ItemRange, now: float) -> bool:
        """Hand a lone item to an idle reader where nothing is in the way: what `advance` would do, in a few steps."""
        if (
            self._waiting
            or self._parked
            or self._delayed
            or self._full_since is not None
            or item_range.stop > 1
        ):
            return False
        reader = self._readers.idle()
        if reader is None or not self._credit.consume_if_ample(writer):
            return False
        self._put += 1
        self._peak = self._peak or 1
        self._decisions += HandOver(self._readers.hand(reader, item_range, now)), Accepted(writer)
        return True

    def _append(self, item_range: ItemRange) -> None:
        self._waiting.append(item_range)
        self._put += len(item_range)
        self._count_waiting(len(item_range))

    def _count_waiting(self, count: int) -> None:
        self._n_waiting += count
        self._peak = max(self._peak, self._n_waiting)

    def _hand_out(self, now: float) -> bool:
        served = self._readers.next_served(self._n_waiting)
        if served is None or (self._may_hand_out is not None and not self._may_hand_out(self._waiting[0])):
            return False
        reader, most = served
        item_range = self._take(1 if self._singly else most, exactly=reader.seconds > 0)
        self._decisions.append(HandOver(self._readers.hand(reader, item_range, now)))
        return True

    def _take(self, most: int, *, exactly: bool) -> ItemRange:
        """Take the oldest items that wait, about `most` of them."""
        item_range = self._waiting.popleft()
        # A frame whose parts go to several readers is sent to each, so a little too much goes as it is.
        if len(item_range) > most and (exactly or most == 1 or len(item_range) > 2 * most):
            self._waiting.appendleft(item_range.after(item_range.start + most))
            item_range = item_range.upto(item_range.start + most)
        self._n_waiting -= len(item_range)
        return item_range

    def _delay(self, due: float, item_range: ItemRange) -> None:
        self._delays += 1
        heapq.heappush(self._delayed, (due, self._delays, item_range))

    def _end(self, lease: Lease, upto: int, now: float, partial: int = 0) -> None:
        if self._on_end is not None:
            self._on_end(lease.item_range.after(lease.at).upto(upto))
        self._readers.advance(lease, upto, partial, now)

    def _take_back(self, lease: Lease, in_hand: range, past: object, condemned: bool) -> None:
        rest = replace(lease.item_range.after(lease.at), partial=lease.partial)
        if not in_hand:
            self._give_back(rest)
            return
        before, behind = rest.upto(in_hand.start), rest.after(in_hand.stop)
        alone = [lease.item(index) for index in in_hand]
        if condemned:
            self._dead += len(alone)
            if self._on_end is not None:
                for item_range in alone:
                    self._on_end(item_range)
        again = [] if condemned else [item_range.again(past) for item_range in alone]
        self._give_back(*[part for part in (before, *again, behind) if part])

    def _give_back(self, *parts: ItemRange) -> None:
        """A lease has ended by its reader's death: these parts of it are the first to be handed out again."""
        self._count_waiting(sum(map(len, parts)))
        self._to_the_front(parts)

    def _to_the_front(self, parts: Sequence[ItemRange]) -> None:
        """Put what was handed out before in front of what was not, and where order is kept, among what was."""
        if self._in_order and parts:
            last = max(part.position for part in parts)
            older = []
            while self._waiting and self._waiting[0].position < last:
                older.append(self._waiting.popleft())
            parts = sorted([*older, *parts], key=lambda part: part.position)
        self._waiting.extendleft(reversed(parts))

    def _watch_fullness(self, now: float) -> None:
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        # What is left at times, as a reader takes one after the other, is too little to let a writer on.
        taken_up = self._maxsize is not None and (
            self._credit.leaves_waiting or self.occupied >= self._maxsize
        )
        self._full_since = now if self._parked or taken_up else None


def _is_for(reader: str, decision: Decision) -> bool:
    """Whether a decision can't be carried out where this reader is gone."""
    match decision:
        case HandOver():
            return decision.lease.reader == reader
        case Recall():
            return decision.reader == reader
        case _:
            return False

"""The ledger of a queue that is bounded by bytes, sharded, in order, or drops what finds no room. Pure.

    offer ──► parked ──room──► partition of shard 0 ──► its reader
                 │   └───────► partition of shard 1 ──► its reader      where nothing is sharded, one for all readers
                 └── no room: wait │ drop the newest │ drop the oldest │ fail

    partition:  enter ──► waiting ──lease──► leased ──► done, dropped, dead-lettered
                             │ └─ held up: the item before comes back later, or the window ends here
                             └──► dropped, oldest first

Every writer asks: it sends some items at a time, and waits until these are in, or all but the last of them. So no leave
to put is out, and what counts is what is there. A partition hands out what it was given, as any queue without a bound;
what belongs to the queue as a whole, above all its bounds, is kept in front of them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from itertools import accumulate
from types import MappingProxyType

from runner.errors import MprunInternalError
from runner.facts import dataclass
from runner.ledger.accounts import Account
from runner.ledger.credit import GRANT_DELAY
from runner.ledger.leases import Decision, LeaseQueue
from runner.ledger.ranges import Accepted, Frame, ItemRange, Lease
from runner.ledger.snapshot import GONE, ParkedItems, PartitionSnapshot, QueueSnapshot
from runner.spec.resources import WhenFull

_NUMBERS = 40
"""Bits of a lease's number that count within its partition; those above them are the partition's."""


def partition_of(number: int) -> int:
    """Tell from a lease's number which partition it is of."""
    return number >> _NUMBERS


class Partition:
    """A lease queue without a bound of its own, the size of its items, and when they must be held up."""

    def __init__(
        self,
        queue: str,
        number: int,
        *,
        in_order: bool,
        waits_for_retries: bool,
        fills: bool = False,
        singly: bool = False,
    ) -> None:
        """
        `in_order`: of what waits, the oldest is handed out first, so that `limit` never holds up one behind another.

        `waits_for_retries`: nothing is handed out while an item that failed waits to be tried again.
        """
        self._waits_for_retries = waits_for_retries
        self.queue = LeaseQueue(
            queue,
            None,
            numbers=number << _NUMBERS,
            in_order=in_order,
            fills=fills,
            singly=singly,
            may_hand_out=self._may_hand_out,
            on_end=self._forget_size,
        )
        self.size = 0
        """Bytes of the items that have not come to an end."""
        self.limit: float = math.inf
        """The position from which on items are not handed out yet."""

    def enter(self, item_range: ItemRange, now: float) -> None:
        """Let items in, whatever their number."""
        self.size += item_range.size
        self.queue.enter(item_range, now)

    def restore(self, snapshot: PartitionSnapshot, now: float) -> None:
        """Begin with what another runner had left."""
        self.queue.restore_partition(snapshot, now)
        self.size = sum(item_range.size for item_range in self.queue.unfinished())

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the ranges disagree."""
        self.queue.verify()
        if self.size != sum(item_range.size for item_range in self.queue.unfinished()):
            raise MprunInternalError(f"the bytes of queue '{self.queue.name}' do not add up: {self.size}")

    def _may_hand_out(self, oldest: ItemRange) -> bool:
        held_up = self._waits_for_retries and self.queue.awaits_retry
        return not held_up and oldest.position < self.limit

    def _forget_size(self, ended: ItemRange) -> None:
        self.size -= ended.size


@dataclass(frozen=True, slots=True)
class ShardFrame:
    """Items of one shard that were put together."""

    shard: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What one queue allows."""

    maxsize: int | None = None
    max_bytes: int | None = None
    when_full: WhenFull = WhenFull.BLOCK
    readers: tuple[str, ...] = ()
    """The reader of each shard; none where any reader may take any item."""
    in_order: bool = False
    """Its reader keeps the order of items, and must hear of those that are lost."""
    one_by_one: bool = False
    """A reader has one item at a time, and one that failed holds up those behind it."""
    singly: bool = False
    """A lease is one item."""
    fills: bool = False
    """A reader gets all that it may hold before the next one gets anything."""


@dataclass(slots=True)
class Offer:
    """What a writer has put at once. `answered`: it was told already that it may go on."""

    writer: str
    frames: Sequence[ShardFrame]
    since: float
    answered: bool = False
    owed: bool = False
    """What it was made from counts as done."""
    forced: bool = False
    """It goes round: it is let in however full the queue is, where that lets writers wait."""
    left: deque[tuple[int, ItemRange]] = field(default_factory=deque)
    """By shard, what is not in the queue yet."""
    partial: int = 0
    """Outputs of its only item that are already in the next queue."""

    @property
    def items(self) -> int:
        """How many there are."""
        return sum(each.frame.count for each in self.frames)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(each.frame.size for each in self.frames)


class PartitionedQueue:
    """The account of one queue, and who gets what next. Each shard is first in, first out, also after a death."""

    shares = False
    """Writers are granted no leave: each waits until what it put is `Accepted`."""

    def __init__(self, queue: str, policy: QueuePolicy) -> None:
        self.name = queue
        self._policy = policy
        self._shard_of = {reader: shard for shard, reader in enumerate(policy.readers)}
        self._partitions = [
            Partition(
                queue,
                shard,
                in_order=policy.in_order,
                waits_for_retries=policy.one_by_one,
                fills=policy.fills,
                singly=policy.singly,
            )
            for shard in range(max(1, len(policy.readers)))
        ]
        self._queues = [partition.queue for partition in self._partitions]
        self._parked: deque[Offer] = deque()
        self._decisions: list[Accepted] = []
        self._positions = self._turned_away = self._dead_at_once = self._peak = self._peak_bytes = 0
        self.dropped_for_room = 0
        """Items that found no room, or had to make some."""
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self.lost: list[tuple[int, int]] = []
        """Where order is kept, the positions of these: first, and behind the last. The caller's to empty."""
        self.last_writer = ""
        """Who has offered last."""
        self.overflowed_by: str | None = None
        """The writer whose item found no room where that is a failure."""

    # Facts.

    def offer(self, offer: Offer, now: float) -> None:
        """A writer puts items. It is `Accepted` when none of them waits for room, in the order of all offers."""
        firsts = accumulate((each.frame.count for each in offer.frames), initial=self._positions)
        for first, each in zip(firsts, offer.frames, strict=False):
            frame = Frame(each.frame.payload, each.frame.count, each.frame.size, first)
            offer.left.append((each.shard, ItemRange(frame, 0, frame.count, partial=offer.partial)))
        self._positions += offer.items
        self.last_writer = offer.writer
        if offer.forced:
            self._parked.appendleft(offer)  # whoever waits outside waits for those inside
        else:
            self._parked.append(offer)
        self._admit(now)

    def reject(self, *, dead_letter: bool) -> None:
        """A producer had an item that can't be put: it is put, and dropped or dead-lettered, in one step."""
        self._turned_away += not dead_letter
        self._dead_at_once += dead_letter

    def set_demand(self, reader: str, most: int, now: float, held: int = 0, roomless: int = 0) -> None:
        """A reader may hold up to `most` items at once from now on, beside `held` that it has handled already."""
        bound = min(most, 1) if self._policy.one_by_one else most
        self._queue_for(reader).set_demand(reader, bound, now, held, roomless)
        self._admit(now)

    def request_more(self, reader: str, taken: int, now: float, *, patient: bool = True) -> None:
        """A reader has taken `taken` items, none done yet, and waits for another; `patient`: until one comes."""
        self._queue_for(reader).request_more(reader, taken, now, patient=patient)
        self._admit(now)

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done, and `partial` outputs of item `upto` are taken care of."""
        self._queue_of(number).acked(number, upto, now, partial)
        self._admit(now)

    def failed(self, number: int, now: float, *, ends_run: bool = False) -> None:
        """The item in hand of a lease has failed for good: it is dropped. `ends_run`: in this run."""
        self._queue_of(number).failed(number, now, ends_run=ends_run)
        self._admit(now)

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """The item in hand of a lease has failed: it is handed out again from `due` on."""
        self._queue_of(number).retry(number, now, due, past)
        self._admit(now)

    def dead_letter(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good, and is kept as a dead letter."""
        self._queue_of(number).dead_letter(number, now)
        self._admit(now)

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
        """A reader is gone: what it held goes back to the front of its partition, in order."""
        lost = self._queue_for(reader).died(reader, in_hand, now, pasts, condemned=condemned, kept=kept)
        self._admit(now)
        return lost

    def writer(self, name: str, now: float) -> None:
        """A writer exists. It will ask."""

    def writer_gone(self, name: str, now: float) -> None:  # noqa: ARG002 - every ledger hears when
        """A writer has ended: what it offered stays, and its successor is not told that it is in."""
        for offer in self._parked:
            offer.answered |= offer.writer == name

    def window(self, limit: float, now: float) -> None:
        """Hand out nothing from the position `limit` on."""
        for partition in self._partitions:
            partition.limit = limit
        self.advance(now)

    def take_in_owed(self) -> None:
        """No worker is left: let in what was made of items that count as done, whatever the bounds."""
        for offer in self._parked:
            if offer.owed:
                for shard, item_range in offer.left:
                    self._partitions[shard].enter(item_range, offer.since)
        self._parked = deque(offer for offer in self._parked if not offer.owed)

    def advance(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted; called also when `due` has come."""
        for queue in self._queues:
            queue.advance(now)
        self._admit(now)

    # Decisions.

    def decide(self) -> list[Decision]:
        """Return what follows from the facts so far; each decision once."""
        decisions: list[Decision] = [*self._decisions]
        self._decisions.clear()
        for queue in self._queues:
            decisions += queue.decide()
        return decisions

    @property
    def due(self) -> float | None:
        """When `advance` must be called although nothing has happened; None if never."""
        dues = [queue.due for queue in self._queues]
        if self._parked and self._room_for(self._parked[0].left[0][1]):
            dues.append(self._parked[0].since + GRANT_DELAY)
        return min((due for due in dues if due is not None), default=None)

    def account(self) -> Account:
        """Take stock."""
        accounts = [queue.account() for queue in self._queues]
        return Account(
            queue=self.name,
            maxsize=self._policy.maxsize,
            put=sum(account.put for account in accounts) + self._turned_away + self._dead_at_once,
            waiting=sum(account.waiting for account in accounts),
            leased=sum(account.leased for account in accounts),
            done=sum(account.done for account in accounts),
            done_before=sum(account.done_before for account in accounts),
            dropped=sum(account.dropped for account in accounts) + self._turned_away,
            dead_lettered=sum(account.dead_lettered for account in accounts) + self._dead_at_once,
            peak=self._peak,
            max_bytes=self._policy.max_bytes,
            bytes=sum(partition.size for partition in self._partitions),
            peak_bytes=self._peak_bytes,
            full_seconds=self._full_seconds,
            held_back=not self._parked
            and any(account.held_back for account in accounts)
            and all(account.held_back or account.settled for account in accounts),
        )

    def outside(self, writer: str) -> int:
        """Items that a writer has put and that found no room yet, but for those that are owed: they will be let in."""
        offers = (offer for offer in self._parked if offer.writer == writer and not offer.owed)
        return sum(len(item_range) for offer in offers for _, item_range in offer.left)

    @property
    def is_full(self) -> bool:
        """Whether something waits outside, and there is no room for it."""
        return bool(self._parked) and not self._room_for(self._parked[0].left[0][1])

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end, and none is parked."""
        return not self._parked and all(queue.settled for queue in self._queues)

    @property
    def room(self) -> int | None:
        """Items that may still be put; None where nothing bounds them."""
        free = self._free_items if self._free_bytes > 0 else 0
        return None if free == math.inf else int(free)

    def room_for(self, writer: str) -> int:  # noqa: ARG002 - no writer has room of its own here
        """Items that a writer may put at this moment, where there is a bound."""
        return self.room or 0

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended. Raises `MprunInternalError` if there is none of this number."""
        return self._queue_of(number).lease(number)

    def lease_of(self, reader: str, number: int) -> Lease | None:
        """Return a lease that has not ended, if it is this reader's."""
        return self._queue_for(reader).lease_of(reader, number)

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return self._queue_for(reader).leases_of(reader)

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the ranges disagree."""
        for partition in self._partitions:
            partition.verify()

    def snapshot(self, now: float) -> QueueSnapshot:
        """Return all that another runner must know to go on."""
        parked = (
            ParkedItems(offer.writer, item_range, offer.owed, shard)
            for offer in self._parked
            for shard, item_range in offer.left
        )
        return QueueSnapshot(
            self.name,
            self._positions,
            tuple(queue.partition_snapshot(now) for queue in self._queues),
            tuple(parked),
            self._turned_away,
            self._dead_at_once,
            in_hand=sum(queue.account().leased for queue in self._queues),
        )

    def restore(self, snapshot: QueueSnapshot, now: float) -> None:
        """Begin with what another runner had left; called before anything else. No writer of then is answered."""
        self._positions = snapshot.offered
        self._turned_away, self._dead_at_once = snapshot.turned_away, snapshot.dead_at_once
        for partition, its in zip(self._partitions, snapshot.partitions, strict=True):
            partition.restore(its, now)
        for each in snapshot.parked:
            left = deque([(each.shard, each.item_range)])
            self._parked.append(Offer(GONE, (), now, answered=True, owed=each.owed, left=left))
        self._admit(now)

    # How it moves.

    def _queue_for(self, reader: str) -> LeaseQueue:
        return self._queues[self._shard_of.get(reader, 0)]

    def _queue_of(self, number: int) -> LeaseQueue:
        return self._queues[partition_of(number)]

    @property
    def _free_items(self) -> float:
        maxsize = self._policy.maxsize
        return math.inf if maxsize is None else maxsize - sum(queue.occupied for queue in self._queues)

    @property
    def _free_bytes(self) -> float:
        most = self._policy.max_bytes
        return math.inf if most is None else most - sum(partition.size for partition in self._partitions)

    def _admit(self, now: float) -> None:
        while self._parked and self._let_in(self._parked[0], now):
            pass
        self._note_fullness(now)

    def _let_in(self, offer: Offer, now: float) -> bool:
        """Let in what may go in of the oldest offer's first part; False if some of it stays outside."""
        shard, item_range = offer.left[0]
        fitting = self._room_for(item_range)
        waits = self._policy.when_full is WhenFull.BLOCK
        if fitting < len(item_range) and not (offer.forced and waits):
            match self._policy.when_full:
                case WhenFull.BLOCK | WhenFull.FAIL:
                    self._let_in_some(offer, fitting, now)
                    return False
                case WhenFull.DROP_NEWEST:
                    self._turn_away(item_range.after(item_range.start + fitting))
                    item_range = item_range.upto(item_range.start + fitting)
                case WhenFull.DROP_OLDEST:
                    item_range = self._in_place_of_older(item_range)
        self._enter(shard, item_range, now)
        offer.left.popleft()
        if not offer.left:
            self._parked.popleft()
            self._decisions += [] if offer.answered else [Accepted(offer.writer)]
        return True

    def _let_in_some(self, offer: Offer, fitting: int, now: float) -> None:
        """The rest waits, or that there is one ends the run."""
        if self._policy.when_full is WhenFull.FAIL:
            self.overflowed_by = self.overflowed_by or offer.writer
        elif now < offer.since + GRANT_DELAY:
            return  # a queue that was full would feed a quick reader item by item
        shard, item_range = offer.left[0]
        self._enter(shard, item_range.upto(item_range.start + fitting), now)
        offer.left[0] = (shard, item_range.after(item_range.start + fitting))
        if fitting:
            offer.since = now  # another moment: else the rest would follow item by item

    def _in_place_of_older(self, item_range: ItemRange) -> ItemRange:
        """Drop items until a range fits, its own oldest last of all; return what of it may go in."""
        while self._room_for(item_range) < len(item_range) and self._make_room(item_range):
            pass
        older = item_range.stop - self._room_for(item_range)
        self._turn_away(item_range.upto(older))
        return item_range.after(older)

    def _room_for(self, item_range: ItemRange) -> int:
        """How many items of a range may go in."""
        items, size = self._free_items, self._free_bytes
        if items < 1:
            return 0
        fitting = min(int(min(items, len(item_range))), _no_bigger_than(size, item_range))
        return 1 if fitting == 0 and self._would_wait_for_ever else fitting

    @property
    def _would_wait_for_ever(self) -> bool:
        """Nobody has anything, or whoever has it waits for more: what does not fit now never would."""
        return all(queue.settled or queue.account().held_back for queue in self._queues)

    def _enter(self, shard: int, item_range: ItemRange, now: float) -> None:
        if not item_range:
            return
        self._partitions[shard].enter(item_range, now)
        self._peak = max(self._peak, sum(queue.waiting for queue in self._queues))
        self._peak_bytes = max(self._peak_bytes, sum(partition.size for partition in self._partitions))

    def _make_room(self, item_range: ItemRange) -> bool:
        """Drop the oldest of the partition that most wait in; False if nobody waits in any."""
        longest = max(self._queues, key=lambda queue: queue.waiting)
        lacking = len(item_range) - self._free_items
        dropped = longest.drop_oldest(int(lacking) if lacking > 0 else 1)
        if dropped is not None:
            self._note_lost(dropped)
        return dropped is not None

    def _turn_away(self, item_range: ItemRange) -> None:
        self._turned_away += len(item_range)
        if item_range:
            self._note_lost(item_range)

    def _note_lost(self, item_range: ItemRange) -> None:
        self.dropped_for_room += len(item_range)
        if self._policy.in_order:
            self.lost.append((item_range.position, item_range.position + len(item_range)))

    def _note_fullness(self, now: float) -> None:
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        self._full_since = now if self._parked else None


def _no_bigger_than(size: float, item_range: ItemRange) -> int:
    """How many items in a row of a range surely have no more than `size` bytes together."""
    frame = item_range.frame
    return (
        len(item_range) if item_range.size <= size else max(0, int(size) * frame.count // max(1, frame.size))
    )


QueueLedger = LeaseQueue | PartitionedQueue
"""The account of a queue whose items the ledger hands out, and who gets what next."""

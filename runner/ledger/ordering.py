"""`order: keep` at work: a stage between two queues, whose outputs go on in the order of its inputs. Pure.

    outputs of items whose turn has come ──────────────► offered to the next queue; answered when they are in
    outputs that came early ──► held, and answered at once, as long as not too much is held
                                 └─ too much: its worker waits for its answer … unless all would wait for it

Who waits can't take the item that everybody waits for. So outputs that came early are left unanswered only while that
item is in the hands of somebody who does not wait. Items are numbered in the order in which they were put; what is held
is bounded by what the workers may hold at once. The `Resequencer` alone knows the order:

    worker 2: outputs of items 4 to 6 ──► held until the items before 4 have come to an end ──► next queue
    worker 1: outputs of items 1 to 3 ──► released at once
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from typing import Generic, TypeVar

from runner.errors import MprunInternalError
from runner.facts import dataclass
from runner.ledger.partitioned import Offer, PartitionedQueue, ShardFrame
from runner.ledger.ranges import ItemRange, Lease
from runner.ledger.snapshot import GONE, HeldOutputs, ParkedItems, QueueSnapshot
from runner.spec.model import MOST_HELD_BACK

Output = TypeVar("Output")


@dataclass(slots=True)
class _Stretch(Generic[Output]):
    """Items from `first` to `next` have come to an end; `outputs` are theirs, and from the beginning of item `next`."""

    first: int
    next: int
    outputs: list[Output] = field(default_factory=list)


class Resequencer(Generic[Output]):
    """Puts what workers report about their items back into the order of the items."""

    def __init__(self) -> None:
        self._expected = 0
        self._by_first: dict[int, _Stretch[Output]] = {}
        self._by_next: dict[int, _Stretch[Output]] = {}

    @property
    def expected(self) -> int:
        """The first item that has not come to an end."""
        return self._expected

    def report(self, first: int, upto: int, output: Output | None) -> list[Output]:
        """Items `first` to `upto` have come to an end and made `output`; return what may leave now, in order.

        `upto` may equal `first`: then the output is from the beginning of that item. What one worker reports of
        neighbouring items comes in their order; different workers' reports come in any.
        """
        made = [] if output is None else [output]
        if first < self._expected:
            raise MprunInternalError(f"item {first} came to an end twice")
        if first > self._expected:
            self._hold(first, upto, made)
            return []
        self._expected = upto
        while (stretch := self._by_first.pop(self._expected, None)) is not None:
            self._by_next.pop(stretch.next, None)
            made += stretch.outputs
            self._expected = stretch.next
        return made

    def give_up_waiting(self) -> list[Output]:
        """Return all that is held, in order: of the items in between nothing more is heard."""
        stretches = sorted(self._by_first.values(), key=lambda stretch: stretch.first)
        self._by_first.clear()
        self._by_next.clear()
        return [output for stretch in stretches for output in stretch.outputs]

    def held(self) -> list[tuple[int, int, list[Output]]]:
        """Return what has come early: of which items, from the first to behind the last, and what these made."""
        stretches = sorted(self._by_first.values(), key=lambda stretch: stretch.first)
        return [(stretch.first, stretch.next, stretch.outputs) for stretch in stretches]

    def restore(self, expected: int, held: Iterable[tuple[int, int, list[Output]]]) -> None:
        """Begin with what another had held."""
        self._expected = expected
        for first, upto, outputs in held:
            self._hold(first, upto, outputs)

    def _hold(self, first: int, upto: int, made: list[Output]) -> None:
        stretch = self._before(first)
        if stretch is None:
            stretch = self._by_first[first] = _Stretch(first, upto)
        stretch.next = upto
        stretch.outputs += made
        if upto > stretch.first:
            self._by_next[upto] = stretch

    def _before(self, first: int) -> _Stretch[Output] | None:
        """Take out of `_by_next` the stretch that goes on with item `first`: they leave together."""
        begun = self._by_first.get(first)
        if begun is not None and begun.next > first:
            raise MprunInternalError(f"item {first} was reported twice")
        return begun or self._by_next.pop(first, None)


_BYTES = 64 << 20
_ABREAST = 16
"""Items for each worker that may be handed out ahead of the one whose turn it is, at the least."""


@dataclass(frozen=True, slots=True)
class BufferLimit:
    """What may be held of outputs that came early."""

    items: int = MOST_HELD_BACK
    size: int = _BYTES

    @classmethod
    def of(cls, maxsize: int | None, max_bytes: int | None) -> BufferLimit:
        """As much as the queue has room for that they go to, and not more than is reasonable."""
        items = MOST_HELD_BACK if maxsize is None else min(maxsize, MOST_HELD_BACK)
        return cls(items, _BYTES if max_bytes is None else max_bytes)


class OrderedStage:
    """Stands between a stage and the queue that it writes to. It alone reads its queue."""

    def __init__(
        self,
        inbox: PartitionedQueue,
        outbox: PartitionedQueue,
        workers: Sequence[str],
        limit: BufferLimit,
        *,
        at_once: int = 1,
    ) -> None:
        """`at_once` items are handled together."""
        self.outbox = outbox
        self._inbox = inbox
        self._workers = tuple(workers)
        self._limit = limit
        self._window = max(limit.items, max(_ABREAST, 2 * at_once) * len(self._workers))
        self._resequencer = Resequencer[Offer]()
        self._unanswered: dict[int, Offer] = {}
        """Offers that are held while their writers wait, by identity."""
        self._items = self._size = 0
        """What is held of writers that went on."""
        self._answers: list[str] = []
        inbox.window(self._window, 0.0)

    def put(self, lease: Lease, upto: int, offer: Offer, now: float) -> None:
        """A worker has put outputs: of the items of a lease before `upto`, and maybe some of item `upto`."""
        self._unanswered[id(offer)] = offer
        self._report(lease.item_range.frame.first, lease.at, upto, offer, now)

    def ended(self, lease: Lease, upto: int, now: float) -> None:
        """What was left of a lease before `upto` has come to an end, and will make nothing more."""
        self._report(lease.item_range.frame.first, lease.at, upto, None, now)

    def lost(self, item_range: ItemRange, now: float) -> None:
        """Items have come to an end that nothing was made of."""
        self._report(item_range.frame.first, item_range.start, item_range.stop, None, now)

    def take_answers(self, now: float) -> list[str]:
        """Take in what the queue has lost, and return the writers that may go on although their outputs are held.

        Called when anything has moved.
        """
        lost, self._inbox.lost = self._inbox.lost, []
        for first, upto in lost:
            self._report(0, first, upto, None, now)
        self._answer()
        answers, self._answers = self._answers, []
        return answers

    def joined(self, worker: str) -> None:
        """A worker was added to the stage."""
        if worker not in self._workers:
            self._workers = (*self._workers, worker)

    def reader_exited(self, worker: str) -> None:
        """A worker has died: its successor must not get answers that were meant for it."""
        for offer in [offer for offer in self._unanswered.values() if offer.writer == worker]:
            self._release(offer)

    def release_all(self, now: float) -> None:
        """No worker is left: what is held for its turn goes on as if it had come, since its items count as done."""
        for offer in self._resequencer.give_up_waiting():
            self._unanswered.pop(id(offer), None)
            self.outbox.offer(offer, now)
        self._items = self._size = 0

    def with_held(self, snapshot: QueueSnapshot) -> QueueSnapshot:
        """Add to what its queue is what it holds of it."""
        held = tuple(
            HeldOutputs(first, upto, tuple(each for offer in outputs for each in _parked(offer)))
            for first, upto, outputs in self._resequencer.held()
        )
        return replace(snapshot, expected=self._resequencer.expected, held=held)

    def restore(self, snapshot: QueueSnapshot, now: float) -> None:
        """Begin with what another runner's had held of this queue."""
        held = [(each.first, each.next, [_unparked(o, now) for o in each.outputs]) for each in snapshot.held]
        self._resequencer.restore(snapshot.expected, held)
        offers = [offer for _, _, outputs in held for offer in outputs]
        self._items, self._size = sum(each.items for each in offers), sum(each.size for each in offers)
        self._inbox.window(snapshot.expected + self._window, now)

    def _report(self, base: int, at: int, upto: int, offer: Offer | None, now: float) -> None:
        before = self._resequencer.expected
        for released in self._resequencer.report(base + at, base + upto, offer):
            if self._unanswered.pop(id(released), None) is None:
                self._items -= released.items
                self._size -= released.size
            self.outbox.offer(released, now)
        if self._resequencer.expected != before:
            self._inbox.window(self._resequencer.expected + self._window, now)

    def _answer(self) -> None:
        if not self._unanswered:
            return
        awaited = self._holder_of(self._resequencer.expected)
        for offer in list(self._unanswered.values()):
            if self._is_little(offer) or self._must_go_on(offer.writer, awaited):
                self._release(offer)
                self._answers.append(offer.writer)

    def _is_little(self, offer: Offer) -> bool:
        """Whether it can be held beside what is held already."""
        items, size = self._items + offer.items, self._size + offer.size
        return items <= self._limit.items and size <= self._limit.size

    def _must_go_on(self, writer: str, awaited: str | None) -> bool:
        """Whether all would wait in vain if this one waited: it has the item whose turn it is, or nobody has it yet."""
        return awaited in (None, writer)

    def _release(self, offer: Offer) -> None:
        del self._unanswered[id(offer)]
        offer.answered = True
        self._items += offer.items
        self._size += offer.size

    def _holder_of(self, position: int) -> str | None:
        for worker in self._workers:
            for lease in self._inbox.leases_of(worker):
                first = lease.item_range.frame.first
                if first + lease.at <= position < first + lease.item_range.stop:
                    return worker
        return None


def _parked(offer: Offer) -> Iterator[ParkedItems]:
    for each in offer.frames:
        item_range = ItemRange(each.frame, 0, each.frame.count, partial=offer.partial)
        yield ParkedItems(offer.writer, item_range, offer.owed, each.shard)


def _unparked(each: ParkedItems, now: float) -> Offer:
    frames = (ShardFrame(each.shard, each.item_range.frame),)
    return Offer(GONE, frames, now, answered=True, owed=each.owed, partial=each.item_range.partial)

"""The supervisor's side of queues with rules of their own under `leased`: their books, what comes in, what is dropped.

PUT ──► unbundle ──► Offer ──► OrderKeeper, where the stage keeps order ──► GatedBook
                                                                                └──► facts: dropped, overflowed
"""

from __future__ import annotations

from collections.abc import Callable

from runner.bundles import Part, unbundle
from runner.facts import Fact, ItemCondemned, ItemsDropped, QueueOverflowed
from runner.gated import Cargo, GatedBook, Offer, Rules
from runner.inorder import OrderKeeper, Patience
from runner.parcels import Frame, Lease, Parcel
from runner.plan import Plan, QueuePlan, StagePlan, WorkerPlan
from runner.spec import WhenFull
from runner.transports.leased_docks import Haul
from runner.transports.leased_measured import Measures
from runner.transports.leased_outbox import FRAME_BYTES

_BUNDLES = 2
"""Bundles of each writer that there should be room for, and as many again are left."""
_MOST_ITEMS = 1 << 12
_QUIET = 0.25
"""Seconds between two words about what one queue drops."""


class Gates:
    """Every queue of a run that has rules of its own."""

    def __init__(self, plan: Plan, unsettled: set[str]) -> None:
        """`unsettled` is told of each queue that gets items."""
        self._unsettled = unsettled
        self._plans = {queue.name: queue for queue in plan.queues if queue.gated}
        self.books = {name: GatedBook(name, _rules(queue)) for name, queue in self._plans.items()}
        self._keepers = {
            stage.name: self._keeper(stage) for stage in plan.stages if stage.keeps_order and stage.sends
        }
        self._writers: dict[str, str] = {}
        """Who put last, by queue."""
        self._told: dict[str, tuple[float, int]] = {}
        """When was told last what a queue dropped, and how many."""
        self._overflowed: set[str] = set()

    def keeps_order(self, worker: WorkerPlan) -> bool:
        """Whether what a worker, just born, makes of items goes on in the order of those items."""
        if worker.stage in self._keepers:
            self._keepers[worker.stage].joined(worker.name)
        return worker.stage in self._keepers

    def measures(self, worker: WorkerPlan) -> Measures | None:
        """What a writer to such a queue must know of it; None for one that writes elsewhere."""
        queue = self._plans.get(worker.sends or "")
        if queue is None:
            return None
        shares = _BUNDLES * (len(queue.writers) + 1)
        return Measures(
            shard_by=queue.shard_by,
            shards=max(1, len(_rules(queue).readers)),
            max_bytes=queue.max_bytes,
            bundle_items=_MOST_ITEMS
            if queue.maxsize is None
            else max(1, min(_MOST_ITEMS, queue.maxsize // shares)),
            bundle_bytes=FRAME_BYTES
            if queue.max_bytes is None
            else min(FRAME_BYTES, queue.max_bytes // shares),
            in_order=worker.stage in self._keepers,
        )

    def put(
        self, writer: WorkerPlan, lease: Lease | None, upto: int, body: bytes | memoryview, now: float
    ) -> None:
        """A writer has put a bundle, of items of `lease` before `upto` if there is one."""
        assert writer.sends is not None
        book = self.books[writer.sends]
        self._writers[book.name] = writer.name
        cargo = [_cargo(part, body) for part in unbundle(body)]
        offer = Offer(writer.name, cargo, now)
        keeper = self._keepers.get(writer.stage)
        if keeper is None or lease is None:
            book.offer(offer, now)
        else:
            keeper.put(lease, upto, offer, now)

    def look(self, now: float, answer: Callable[[str], None]) -> None:
        """Let those writers go on whose outputs are held. Called when anything has moved."""
        for keeper in self._keepers.values():
            for writer in keeper.look(now):
                answer(writer)

    def ended(self, worker: WorkerPlan, lease: Lease, upto: int, now: float) -> None:
        """Items of a lease before `upto` have come to an end in a stage that keeps order."""
        self._unsettled.add(self._keepers[worker.stage].outbox.name)
        self._keepers[worker.stage].ended(lease, upto, now)

    def buried(self, worker: WorkerPlan, in_hand: Parcel | None, found: Fact | None, now: float) -> None:
        """A worker of a stage that keeps order has died with an item in hand; `found` says what became of that."""
        keeper = self._keepers[worker.stage]
        keeper.gone(worker.name)
        if in_hand is not None and isinstance(found, ItemCondemned):
            self._unsettled.add(keeper.outbox.name)
            keeper.lost(in_hand, now)

    def overflow_of(self, writer: WorkerPlan) -> int:
        """Items that a writer has put on a full queue where that is a failure: they were never in it."""
        queue = self._plans.get(writer.sends or "")
        if queue is None or queue.when_full is not WhenFull.FAIL:
            return 0
        return self.books[queue.name].outside(writer.name)

    def news(self, now: float, *, all_of_it: bool) -> list[Fact]:
        """Tell what queues have dropped; not too often, unless `all_of_it`: somebody has just died."""
        facts: list[Fact] = []
        for name, book in self.books.items():
            writer = self._writers.get(name)
            if writer is None:
                continue
            if book.overflowed_by is not None and name not in self._overflowed:
                self._overflowed.add(name)
                facts.append(QueueOverflowed(book.overflowed_by, name, self._bounds(name)))
            at, told = self._told.get(name, (0.0, 0))
            if book.dropped_for_room > told and (all_of_it or now >= at + _QUIET):
                self._told[name] = (now, book.dropped_for_room)
                facts.append(ItemsDropped(writer, name, book.dropped_for_room - told, self._why(name)))
        return facts

    def _keeper(self, stage: StagePlan) -> OrderKeeper:
        assert stage.receives is not None and stage.sends is not None
        patience = Patience.of(self._plans[stage.sends].maxsize, self._plans[stage.sends].max_bytes)
        workers = [worker.name for worker in stage.workers]
        return OrderKeeper(self.books[stage.receives], self.books[stage.sends], workers, patience)

    def _why(self, queue: str) -> str:
        return f"the queue was full ({self._bounds(queue)}), and drops the {_VICTIMS[self._plans[queue].when_full]}"

    def _bounds(self, queue: str) -> str:
        plan = self._plans[queue]
        bounds = {"maxsize": plan.maxsize, "max_bytes": plan.max_bytes}
        return ", ".join(f"{key} {bound}" for key, bound in bounds.items() if bound is not None)


_VICTIMS = {WhenFull.DROP_NEWEST: "newest", WhenFull.DROP_OLDEST: "oldest"}


def _rules(queue: QueuePlan) -> Rules:
    return Rules(
        maxsize=queue.maxsize,
        max_bytes=queue.max_bytes,
        when_full=queue.when_full,
        readers=queue.readers if queue.shard_by is not None else (),
        in_order=queue.read_in_order,
        one_by_one=queue.one_by_one,
    )


def _cargo(part: Part, whole: bytes | memoryview) -> Cargo:
    return Cargo(part.shard, Frame(_held_with(whole, part.frame), part.count, part.weight))


def _held_with(whole: bytes | memoryview, frame: bytes) -> bytes:
    """The payload of a part. What lies in shared memory is needed until the last part of its bundle is not."""
    if not isinstance(whole, Haul):
        return frame
    return Haul.of(frame, whole.file, _Holds(whole))


class _Holds:
    """Does nothing but to keep something from being forgotten."""

    def __init__(self, kept: object) -> None:
        self._kept = kept

    def __call__(self) -> None:
        """Nothing is left to be done."""

"""The supervisor's side of partitioned queues under `leased`: their ledgers, what comes in, what is dropped.

PUT ──► unpack_batch ──► Offer ──► OrderedStage, where the stage keeps order ──► PartitionedQueue
                                                                                └──► facts: dropped, overflowed
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.ipc.frames import Part, unpack_batch
from runner.ipc.messages import Fact, ItemsDropped, QueueOverflowed
from runner.ipc.stream import PutMessage
from runner.ledger.ordering import BufferLimit, OrderedStage
from runner.ledger.partitioned import Offer, PartitionedQueue, QueueLedger, QueuePolicy, ShardFrame
from runner.ledger.ranges import Frame, ItemRange, Lease
from runner.ledger.snapshot import QueueSnapshot
from runner.spec.plan import Plan, QueuePlan, StagePlan, WorkerPlan
from runner.spec.resources import WhenFull
from runner.transports.leased.batch_packer import FRAME_BYTES, BatchPolicy
from runner.transports.leased.big_items import SharedFrame
from runner.transports.leased.connection import Output, plain_output

_BATCHES = 2
"""Batches of each writer that there should be room for, and as many again are left. One where a batch is shared out."""
_MOST_ITEMS = 1 << 12
_QUIET = 0.25
"""Seconds between two words about what one queue drops."""


class PartitionedQueues:
    """Every partitioned queue of a run."""

    def __init__(self, plan: Plan, unsettled: set[str]) -> None:
        """`unsettled` is told of each queue that gets items."""
        self._unsettled = unsettled
        self._plans = {queue.name: queue for queue in plan.queues if queue.partitioned}
        self.ledgers = {name: PartitionedQueue(name, _policy(queue)) for name, queue in self._plans.items()}
        self._ordered = {
            stage.name: self._ordered_stage(stage)
            for stage in plan.stages
            if stage.spec.keeps_order and stage.spec.sends
        }
        self._ordered_inboxes = {
            stage.receives: self._ordered[stage.name] for stage in plan.stages if stage.name in self._ordered
        }
        self._loops = plan.loops
        self._told: dict[str, tuple[float, int]] = {}
        """When was told last what a queue dropped, and how many."""
        self._overflowed: set[str] = set()

    def batch_policy(self, worker: WorkerPlan, name: str) -> BatchPolicy | None:
        """What a writer to such a queue must know of it; None of another queue."""
        queue = self._plans.get(name)
        if queue is None:
            return None
        shares = _BATCHES * (len(queue.writers) + 1)
        shards = max(1, len(_policy(queue).readers))
        # Each shard gets a frame of its own, and a short frame costs what a long one does.
        parts = shares if shards == 1 else shares // _BATCHES
        items = _MOST_ITEMS if queue.spec.maxsize is None else min(_MOST_ITEMS, queue.spec.maxsize // parts)
        share = FRAME_BYTES if queue.spec.max_bytes is None else queue.spec.max_bytes // shares
        return BatchPolicy(
            shard_by=queue.shard_by,
            shards=shards,
            max_bytes=queue.spec.max_bytes,
            batch_items=max(1, items),
            batch_bytes=min(FRAME_BYTES, share),
            in_order=worker.stage in self._ordered,
            share_bytes=share,
        )

    def output(self, worker: WorkerPlan, queue: QueueLedger) -> Output:
        """Where goes what a worker that was just started puts on a queue."""
        if not isinstance(queue, PartitionedQueue):
            return plain_output(worker.name, queue)
        ordered = self._ordered.get(worker.stage)
        if ordered is not None:
            ordered.joined(worker.name)
        fails = self._plans[queue.name].spec.when_full is WhenFull.FAIL
        back = (worker.stage, queue.name) in self._loops.back
        return PartitionedOutput(worker.name, queue, ordered, self._unsettled, fails=fails, forced=back)

    def answers(self, now: float) -> list[str]:
        """The writers that may go on although their outputs are held. Called when anything has moved."""
        return [writer for ordered in self._ordered.values() for writer in ordered.take_answers(now)]

    def release_held(self, now: float) -> None:
        """No worker is left: nothing is held for its turn any more."""
        for ordered in self._ordered.values():
            ordered.release_all(now)

    def snapshot(self, ledger: QueueLedger, now: float) -> QueueSnapshot:
        """Return what a queue is at this moment, with what its stage holds where that keeps order."""
        ordered = self._ordered_inboxes.get(ledger.name)
        return ledger.snapshot(now) if ordered is None else ordered.with_held(ledger.snapshot(now))

    def restore(self, ledger: QueueLedger, snapshot: QueueSnapshot, now: float) -> None:
        """Have a queue begin with what another runner had left."""
        ledger.restore(snapshot, now)
        if (ordered := self._ordered_inboxes.get(ledger.name)) is not None:
            ordered.restore(snapshot, now)

    def news(self, now: float, *, all_of_it: bool) -> list[Fact]:
        """Tell what queues have dropped; not too often, unless `all_of_it`: somebody has just died."""
        facts: list[Fact] = []
        for name, ledger in self.ledgers.items():
            if ledger.overflowed_by is not None and name not in self._overflowed:
                self._overflowed.add(name)
                facts.append(QueueOverflowed(_worker(ledger.overflowed_by), name, self._bounds(name)))
            at, reported = self._told.get(name, (0.0, 0))
            if ledger.dropped_for_room > reported and (all_of_it or now >= at + _QUIET):
                self._told[name] = (now, ledger.dropped_for_room)
                count = ledger.dropped_for_room - reported
                facts.append(ItemsDropped(_worker(ledger.last_writer), name, count, self._why(name)))
        return facts

    def _ordered_stage(self, stage: StagePlan) -> OrderedStage:
        sends = stage.spec.sends
        assert stage.receives is not None and sends is not None
        queue = self._plans[sends].spec
        limit = BufferLimit.of(queue.maxsize, queue.max_bytes)
        workers = [worker.name for worker in stage.workers]
        at_once = 1 if stage.spec.batch is None else stage.spec.batch.size
        return OrderedStage(
            self.ledgers[stage.receives], self.ledgers[sends], workers, limit, at_once=at_once
        )

    def _why(self, queue: str) -> str:
        victim = _VICTIMS[self._plans[queue].spec.when_full]
        return f"the queue was full ({self._bounds(queue)}), and drops the {victim}"

    def _bounds(self, queue: str) -> str:
        plan = self._plans[queue]
        bounds = {"maxsize": plan.spec.maxsize, "max_bytes": plan.spec.max_bytes}
        return ", ".join(f"{key} {bound}" for key, bound in bounds.items() if bound is not None)


class PartitionedOutput(Output):
    """Where what one worker makes goes: to a partitioned queue, by way of its stage's order if that is kept."""

    def __init__(
        self,
        writer: str,
        queue: PartitionedQueue,
        ordered: OrderedStage | None,
        unsettled: set[str],
        *,
        fails: bool,
        forced: bool = False,
    ) -> None:
        """`fails`: an item that finds no room is a failure. `forced`: it writes back, and never waits for room."""
        self._writer = writer
        self._queue = queue
        self._ordered = ordered
        self._unsettled = unsettled
        self._fails = fails
        self._forced = forced

    @property
    def overflow(self) -> int:
        """Items that a producer has put on a full queue where that is a failure: they were never in it."""
        return self._queue.outside(self._writer) if self._fails else 0

    def put(self, message: PutMessage, lease: Lease | None, payload: bytes | memoryview, now: float) -> None:
        """Offer the batch, or have its outputs wait until it is their turn."""
        frames = [_shard_frame(part, payload) for part in unpack_batch(payload)]
        partial = 0 if message.lease else message.partial
        offer = Offer(
            self._writer, frames, now, owed=bool(message.lease), forced=self._forced, partial=partial
        )
        if self._ordered is None or lease is None:
            self._queue.offer(offer, now)
        else:
            self._ordered.put(lease, message.upto, offer, now)

    def ended(self, lease: Lease, upto: int, now: float) -> None:
        """Outputs of what comes behind these items need not wait for them any more."""
        if self._ordered is not None:
            self._unsettled.add(self._queue.name)
            self._ordered.ended(lease, upto, now)

    def worker_died(self, condemned: Sequence[ItemRange], now: float) -> None:
        """Nothing waits for the worker any more, nor for items that became dead letters."""
        if self._ordered is not None:
            self._ordered.reader_exited(self._writer)
            for item_range in condemned:
                self._unsettled.add(self._queue.name)
                self._ordered.lost(item_range, now)


def _worker(writer: str) -> str:
    """Name the worker; where it is a failure of its items that was put, that is marked."""
    return writer.removeprefix("\0")


_VICTIMS = {WhenFull.DROP_NEWEST: "newest", WhenFull.DROP_OLDEST: "oldest"}


def _policy(queue: QueuePlan) -> QueuePolicy:
    return QueuePolicy(
        maxsize=queue.spec.maxsize,
        max_bytes=queue.spec.max_bytes,
        when_full=queue.spec.when_full,
        readers=queue.readers if queue.shard_by is not None else (),
        in_order=queue.read_in_order,
        one_by_one=queue.one_by_one,
        fills=queue.read_in_batches,
        singly=queue.read_singly,
    )


def _shard_frame(part: Part, whole: bytes | memoryview) -> ShardFrame:
    return ShardFrame(part.shard, Frame(_held_with(whole, part.frame), part.count, part.size))


def _held_with(whole: bytes | memoryview, frame: bytes) -> bytes:
    """The payload of a part. What lies in shared memory is needed until the last part of its batch is not."""
    if not isinstance(whole, SharedFrame):
        return frame
    return SharedFrame.of(frame, whole.file, _Holds(whole))


class _Holds:
    """Does nothing but to keep something from being forgotten."""

    def __init__(self, kept: object) -> None:
        self._kept = kept

    def __call__(self) -> None:
        """Nothing is left to be done."""

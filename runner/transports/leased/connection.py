"""What the supervisor knows of one worker that is alive under `leased`: its stream, its queues, what it has done.

What a reader has done is known by the ledger: its own counters lag behind a kill, or run ahead of it.

    page, as the worker left it     took 64 · done 40     what lay unread in its lease counts as taken
    page, reconciled at its death   took 43 · done 42     what was done and not counted yet counts as done
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.facts import dataclass
from runner.ipc.frames import RoutedFrame, keep_some, unpack_routed
from runner.ipc.messages import Fact, ItemCleared, KeysExhausted
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import PutMessage, SupervisorStream
from runner.ledger.leases import LeaseQueue
from runner.ledger.prefetch import Prefetch
from runner.ledger.ranges import Frame, ItemRange, Lease
from runner.ledger.snapshot import QueueSnapshot
from runner.spec.plan import WorkerPlan

if TYPE_CHECKING:
    from runner.ledger.partitioned import PartitionedQueue, QueueLedger
    from runner.ledger.uniqueness import SeenKeys
    from runner.transports.leased.batch_packer import BatchPolicy
    from runner.transports.leased.big_items import ArenaRegistry


_PREFETCH = 2
"""Leases a quick reader may hold, in multiples of its prefetch: while it works on one the next is on its way."""


@dataclass(slots=True)
class WorkerConnection:
    """A worker that is alive, its stream and its queues."""

    plan: WorkerPlan
    stream: SupervisorStream
    inbox: QueueLedger | None
    outboxes: tuple[QueueLedger, ...]
    """The queues that it writes to; mostly one, or none."""
    output: Output
    prefetch: Prefetch
    pid: int
    page: StatusPage
    wants_join: bool = False
    wanted: tuple[int, int, float] = (1, 0, 0.0)
    """Items that it may hold at once, those that it holds besides, and what one takes, as the ledger was told last."""
    held: int = 0
    """Items that it has handled, and that are not safe yet."""
    handed: int = 0
    """Items that it was handed, in this life."""
    put: int = 0
    done: int = 0
    """Items that it has acknowledged, in this life."""
    untimed: int = 0
    """Items of which it has not said what they took."""
    failed: int = 0
    """Items that its handler raised on, for the last time."""
    retried: int = 0
    """How often its handler raised on an item that is tried again."""
    retired: bool = False
    """It finishes what it holds, and gets nothing more."""
    killed_because: str = ""
    """Why it had to be killed, if so."""
    is_gathering: bool = False
    """It waits for more before it goes on, and would go on without."""
    dismissed: bool = False
    """It was asked to end: what it has in hand then is not to blame for its death."""
    has_finished: bool = False
    """It has said that it has done all its work."""
    errors_outside: int = 0
    """Failures of its items that found no room yet in the queue that they go to: meanwhile it gets no other items."""

    def __post_init__(self) -> None:
        self.wanted = self.at_once, 0, 0.0

    @property
    def at_once(self) -> int:
        """Items that its handler gets at once."""
        return self.plan.at_once if self.plan.batch is None else self.plan.batch.size

    @property
    def is_at_work(self) -> bool:
        """Whether it has an item of which something may be made, and does not wait for others to go with it."""
        return bool(self.leases) and not self.is_gathering

    @property
    def ended(self) -> int:
        """How many of the items that it took have left its hands, in whichever way."""
        return self.done + self.failed + self.retried

    def update_wanted(self, now: float, roomless: int = 0) -> None:
        """Tell the ledger how many items the reader may hold from now on."""
        assert self.inbox is not None
        quick = self.prefetch.most > 1
        most = self.prefetch.most * (_PREFETCH if quick else 1)
        most = 0 if self.retired or self.errors_outside else max(most, self.at_once)
        # Slow items are handed out several at a time to whoever lets them be taken back.
        seconds = self.prefetch.slow if self.page.words[Word.HEEDS] else 0.0
        most = min(most, 1) if seconds else most
        if (most, self.held, seconds) != self.wanted:
            self.wanted = most, self.held, seconds
            if isinstance(self.inbox, LeaseQueue):
                self.inbox.set_demand(self.plan.name, most, now, self.held, roomless, seconds)
            else:
                self.inbox.set_demand(self.plan.name, most, now, self.held, roomless)

    @property
    def leases(self) -> list[Lease]:
        """What it holds, oldest first."""
        return [] if self.inbox is None else self.inbox.leases_of(self.plan.name)


class Output:
    """Where what a worker makes goes. This one is of a worker that sends nothing."""

    @property
    def overflow(self) -> int:
        """Items put that were never in the queue."""
        return 0

    def put(self, message: PutMessage, lease: Lease | None, payload: bytes | memoryview, now: float) -> None:
        """The worker has put a frame; with a lease, it was made of items before `message.upto` of that."""

    def accepted(self, queue: str) -> int:
        """What was offered to a queue is in: how many messages of the worker are wholly so by that."""
        return 1

    def complete(self) -> int:
        """How many messages are wholly in without anybody having said so."""
        return 0

    def ended(self, lease: Lease, upto: int, now: float) -> None:
        """Items of a lease before `upto` have come to an end, and nothing more will be made of them."""

    def worker_died(self, condemned: Sequence[ItemRange], now: float) -> None:
        """The worker is dead; `condemned` are items that became dead letters by this."""


class QueueOutput(Output):
    """A queue that is not partitioned takes what comes as it comes."""

    def __init__(self, writer: str, queue: LeaseQueue) -> None:
        self._writer = writer
        self._queue = queue

    def put(self, message: PutMessage, lease: Lease | None, payload: bytes | memoryview, now: float) -> None:
        """Offer the frame."""
        partial = 0 if message.lease else message.partial
        frame = Frame(payload, message.count)
        self._queue.offer(self._writer, frame, now, partial, owed=bool(message.lease))


def plain_output(writer: str, queue: QueueLedger) -> Output:
    """Return where goes what a worker puts on a queue that is not partitioned."""
    return QueueOutput(writer, queue) if isinstance(queue, LeaseQueue) else Output()


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the queues that a worker writes to."""

    queue: QueueLedger
    output: Output
    in_batches: bool
    """Whether what it gets says more of its items than their number."""
    seen: SeenKeys | None = None
    """The keys that were put there, where each is taken once."""


class RoutedOutput(Output):
    """Several queues: each gets its frames, and the worker is answered once all of a message is in.

    PUT, COMMIT ──► unpack_routed ──► Output of each queue ──► its ledger ──Accepted──► all in: one answer
    """

    def __init__(
        self,
        writer: str,
        branches: Sequence[Branch],
        arenas: ArenaRegistry,
        exhausted: Callable[[KeysExhausted], object],
    ) -> None:
        """`branches` are in the order of the stage's routes; `exhausted` is told where there are too many keys."""
        self._writer = writer
        self._branches = tuple(branches)
        self._arenas = arenas
        self._exhausted = exhausted
        self._awaited: deque[Counter[str]] = deque()
        """For each message that is not answered yet, how many of its frames are not in, by queue."""

    @property
    def overflow(self) -> int:
        """Items put that were never in a queue: each is missing in one at least."""
        return max(branch.output.overflow for branch in self._branches)

    def put(self, message: PutMessage, lease: Lease | None, payload: bytes | memoryview, now: float) -> None:
        """Give each queue its frames. All that was made counts as put before any of it is answered."""
        frames = []
        for each in unpack_routed(payload):
            for at in each.branches:
                branch, fresh = self._branches[at], self._fresh(self._branches[at], each)
                if fresh.count:
                    frames.append((branch, fresh))
                elif lease is not None:
                    branch.output.ended(lease, message.upto, now)  # where order is kept, others wait for that
        self._awaited.append(Counter(branch.queue.name for branch, _ in frames))
        for branch, each in frames:
            queue, body = branch.queue.name, each.frame
            body = self._arenas.receive_frame(self._writer, body, queue) if each.is_big else body
            put = PutMessage(each.count, message.upto, message.partial, message.lease)
            branch.output.put(put, lease, body, now)

    def _fresh(self, branch: Branch, frame: RoutedFrame) -> RoutedFrame:
        """Leave out what has a key that was put before; it counts as such at once."""
        seen = branch.seen
        if seen is None or not frame.keys:
            return frame
        kept = [seen.add(key) for (key,) in struct.iter_unpack("<Q", frame.keys)]
        if seen.is_full:
            self._exhausted(KeysExhausted(self._writer, branch.queue.name, len(seen)))
        if all(kept):
            return frame
        for _ in range(len(kept) - sum(kept)):
            branch.queue.reject(dead_letter=False)
        body = keep_some(frame.frame, kept, in_batch=branch.in_batches)
        if not any(kept) and frame.is_big:  # its place in the arena is free again
            self._arenas.receive_frame(self._writer, body, branch.queue.name)
        return replace(frame, count=sum(kept), frame=body)

    def accepted(self, queue: str) -> int:
        """What was offered to a queue is in: return how many messages are wholly so by that."""
        for awaited in self._awaited:
            if awaited[queue]:
                awaited[queue] -= 1
                break
        return self.complete()

    def complete(self) -> int:
        """Return how many messages are wholly in, each once, in their order."""
        answers = 0
        while self._awaited and not self._awaited[0].total():
            self._awaited.popleft()
            answers += 1
        return answers

    def ended(self, lease: Lease, upto: int, now: float) -> None:
        """Nothing more will be made of these items."""
        for branch in self._branches:
            branch.output.ended(lease, upto, now)

    def worker_died(self, condemned: Sequence[ItemRange], now: float) -> None:
        """Nobody waits for an answer any more."""
        self._awaited.clear()
        for branch in self._branches:
            branch.output.worker_died(condemned, now)


class NoPartitionedQueues:
    """Stands for the partitioned queues (partitions.py) of a run that has none, and does not import what these need."""

    def __init__(self) -> None:
        self.ledgers: dict[str, PartitionedQueue] = {}

    def batch_policy(self, worker: WorkerPlan, queue: str) -> BatchPolicy | None:
        """What a writer to such a queue must know of it."""
        return None

    def output(self, worker: WorkerPlan, queue: QueueLedger) -> Output:
        """Where what a worker puts on a queue goes."""
        return plain_output(worker.name, queue)

    def answers(self, now: float) -> list[str]:
        """The writers that may go on although their outputs are held."""
        return []

    def release_held(self, now: float) -> None:
        """Nothing is held for its turn."""

    def snapshot(self, ledger: QueueLedger, now: float) -> QueueSnapshot:
        """Return what a queue is at this moment."""
        return ledger.snapshot(now)

    def restore(self, ledger: QueueLedger, snapshot: QueueSnapshot, now: float) -> None:
        """Have a queue begin with what another runner had left."""
        ledger.restore(snapshot, now)

    def news(self, now: float, *, all_of_it: bool) -> list[Fact]:
        """What queues have dropped."""
        return []


def untold(connection: WorkerConnection, ended: int) -> list[tuple[Lease, int]]:
    """
    Name the leases of which a consumer has done more than it has said, and up to where, if it says in its page that of
    all that it was handed the first `ended` items have come to an end. Which of these have failed must be known.
    """
    if connection.outboxes or not isinstance(connection.inbox, LeaseQueue):
        return []  # what was made of them is not in
    found = []
    for lease in connection.leases:
        upto = min(lease.item_range.stop, lease.item_range.start + ended - lease.first)
        if upto > lease.at:
            found.append((lease, upto))
    return found


def take_in_page(connection: WorkerConnection, page: StatusPage, now: float) -> dict[int, range]:
    """Read from a dead reader's page which items it was handling, as `in_hand` does. What it is sure to have done is
    done."""
    assert connection.inbox is not None
    number, index = page.words[Word.LEASE], page.words[Word.MARK]
    if connection.plan.commits or page.words[Word.HOLDS]:
        # What comes before the mark need not be safe: as much as the worker itself has counted is.
        _acknowledge_oldest(connection, page.words[Word.DONE] - connection.done, now)
        return in_hand(connection.leases, number, index, max(1, page.words[Word.IN_HAND]))
    if (
        connection.plan.at_once > 1
    ):  # each has a lease of its own, and those before the newest have been begun too
        return in_hand(connection.leases, number, index, connection.plan.at_once)
    found = in_hand(connection.leases, number, index, 1)
    if found and not connection.outboxes:
        (lease,) = (held for held in connection.leases if held.number == number)
        connection.done += index - lease.at
        connection.inbox.acked(number, index, now)
    return found


def _acknowledge_oldest(connection: WorkerConnection, count: int, now: float) -> None:
    """A reader is dead that had done so many of the oldest items that it held, and not said so yet."""
    for lease in connection.leases:
        done = min(max(0, count), lease.left)
        if done and connection.inbox is not None:
            connection.inbox.acked(lease.number, lease.at + done, now)
            connection.done += done
            count -= done


def in_hand(leases: Sequence[Lease], number: int, index: int, count: int) -> dict[int, range]:
    """
    Name the items that a reader had in hand, as indexes by lease: `count` of them, the last at `index` of a lease.

    `leases` are what it holds, oldest first: what it takes together lies side by side in them. Empty where that item
    has come to an end.
    """
    numbers = [lease.number for lease in leases]
    if number not in numbers:
        return {}
    behind = numbers.index(number)
    last = leases[behind]
    if not last.at <= index < last.item_range.stop:
        return {}
    found: dict[int, range] = {}
    stop = index + 1
    for lease in reversed(leases[: behind + 1]):
        stop = stop if lease is last else lease.item_range.stop
        start = max(lease.at, stop - count)
        found[lease.number] = range(start, stop)
        count -= stop - start
        if not count:
            break
    return dict(reversed(found.items()))


def never_acknowledged(page: StatusPage, connection: WorkerConnection, code: int) -> int:
    """How many items a reader that ended by itself had taken with its own hand, and never said to be done."""
    plan = connection.plan
    by_hand = plan.at_once == 1 and plan.batch is None and not plan.commits and not page.words[Word.HOLDS]
    if code != 0 or connection.dismissed or not by_hand:
        return 0
    return int(min(page.words[Word.IN_HAND], sum(lease.left for lease in connection.leases)))


class KeptItems:
    """Items that readers which ended by themselves took and kept, until somebody takes them again."""

    def __init__(self) -> None:
        self._kept: Counter[str] = Counter()

    def of(self, queue: str) -> int:
        """How many of a queue there are."""
        return self._kept[queue]

    def ended(self, queue: str, count: int) -> None:
        """A reader has ended, and kept so many."""
        self._kept[queue] += count

    def handed_over(self, queue: str | None, count: int) -> None:
        """So many items went to a reader: those that were given back go first."""
        if queue is not None and self._kept[queue]:
            self._kept[queue] = max(0, self._kept[queue] - count)


def reconcile_counters(
    page: StatusPage, connection: WorkerConnection, *, in_hand: int, condemned: int
) -> None:
    """Correct a dead reader's page. Items that it had `in_hand` were taken; so many of them are `condemned`: failed."""
    page.words[Word.DONE] = connection.done
    page.words[Word.FAILED] = failed = connection.failed + condemned
    page.words[Word.RETRIED] = connection.retried
    page.words[Word.RECEIVED] = connection.done + failed + connection.retried + in_hand - condemned


class Suspicion:
    """Deaths at which items were in hand, until these items prove not to be to blame."""

    def __init__(self) -> None:
        self._innocent: Counter[int] = Counter()
        """How many of the items that were in hand at a death have gone through, by the process that died."""

    def done(self, lease: Lease, upto: int) -> ItemCleared | None:
        """Items of a lease before `upto` are done: say which deaths none of those in hand there is to blame for."""
        deaths = [past for past in lease.item_range.history if past.died]
        if upto < lease.item_range.stop or not deaths:
            return None
        self._innocent.update(death.pid for death in deaths)
        unexplained = tuple(death for death in deaths if self._innocent[death.pid] == death.company)
        return ItemCleared(lease.reader, unexplained) if unexplained else None

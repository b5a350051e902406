"""What goes out to workers under `leased`: leases, leave to put, answers; whatever the ledgers have decided.

ledger ── HandOver, Granted, Accepted ──► Dispatch ── LEASE, CREDIT, FREED, ENOUGH, the answer to a join ──► worker
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from runner.ipc.barrier import barrier
from runner.ipc.frames import pack_series
from runner.ipc.messages import FailedItem
from runner.ipc.status_page import Word
from runner.ipc.stream import (
    CreditMessage,
    EnoughMessage,
    FreedMessage,
    JoinAnswer,
    LeaseMessage,
    Message,
    SuspectLease,
)
from runner.ledger.credit import Granted
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Accepted, Frame, HandOver, Lease, Recall
from runner.spec.plan import Plan, WorkerPlan
from runner.transports.leased.big_items import ArenaRegistry
from runner.transports.leased.connection import KeptItems, NoPartitionedQueues, WorkerConnection

if TYPE_CHECKING:
    from runner.ledger.partitioned import QueueLedger
    from runner.transports.leased.partitions import PartitionedQueues


_FAILURES_OF = "\0"
"""Goes before the name of a worker, where what is put is not its own: no name begins so."""


class Dispatch:
    """Carries out what the ledgers decide, and tells workers what they wait to be told."""

    def __init__(
        self,
        plan: Plan,
        ledgers: Mapping[str, QueueLedger],
        partitioned: PartitionedQueues | NoPartitionedQueues,
        arenas: ArenaRegistry,
        unsettled: set[str],
        watch: Callable[[WorkerConnection], None],
    ) -> None:
        """`unsettled` names the queues that have had items since they were settled; `watch` is called for a worker
        whose stream has come to be backlogged, or is so no more."""
        self.ledgers = ledgers
        self.connections: dict[str, WorkerConnection] = {}
        """The workers that are alive, by name."""
        self.routed = {worker.name for worker in plan.workers if worker.routes}
        """The workers whose items have several ways: each is answered when all that it put at once is in. And whoever
        puts failures."""
        self.kept = KeptItems()
        self.woken = False
        """Whether something has happened that whoever waits must be told of."""
        self._partitioned = partitioned
        self._arenas = arenas
        self._unsettled = unsettled
        self._watch = watch
        self._fed = frozenset(queue.name for queue in plan.queues if queue.fed)
        self._loops = plan.loops
        self._in_batches = any(queue.read_in_batches for queue in plan.queues)

    def send(self, connection: WorkerConnection, message: Message) -> None:
        """Send what fits now, and see to it that the rest follows."""
        before = connection.stream.backlogged
        connection.stream.send_nowait(message)
        if connection.stream.backlogged != before:
            self._watch(connection)

    def carry_out(self, ledger: QueueLedger) -> None:
        """Tell the workers what a ledger has decided."""
        while decisions := ledger.decide():
            for decision in decisions:
                match decision:
                    case HandOver():
                        self._hand_over(decision.lease)
                    case Granted():
                        longest = ledger.longest_frame if isinstance(ledger, LeaseQueue) else 0
                        self._credit(decision.writer, decision.count, longest)
                    case Accepted() if not ledger.shares or decision.writer in self.routed:
                        self._accepted(decision.writer, ledger)
                    case Recall() if isinstance(ledger, LeaseQueue):
                        self._recall(ledger, decision)

    def _hand_over(self, lease: Lease) -> None:
        if lease.reader not in self.connections:
            return  # it died after this was decided: the ledger has taken the lease back
        item_range = lease.item_range
        connection = self.connections[lease.reader]
        connection.is_gathering = False
        connection.handed += len(item_range)
        self.kept.handed_over(connection.plan.receives, len(item_range))
        alone = connection.plan.at_once > 1 and any(past.died for past in item_range.history)
        message = (SuspectLease if alone else LeaseMessage)(
            item_range.start,
            item_range.stop,
            lease.partial,
            lease.number,
            item_range.attempt,
            item_range.frame.first,
            body=item_range.frame.payload,
        )
        self.send(connection, message)

    def _recall(self, ledger: LeaseQueue, recall: Recall) -> None:
        """Tell a reader, if it heeds that, to begin no more of what it holds, and see what it has begun; in this order.

        It may have said that it begins one more, and look only then at what it was told: then it says that it has left
        that one, too.
        """
        if (connection := self.connections.get(recall.reader)) is None:
            return
        words = connection.page.words
        if words[Word.HEEDS]:
            words[Word.RECALLED] = recall.handed
            if barrier():
                ledger.recalled(recall.reader, words[Word.BEGUN], recall.handed, time.monotonic())

    def _credit(self, writer: str, count: int, longest: int = 0) -> None:
        if writer in self.connections:  # else it died meanwhile: what it has offered stays
            self.send(self.connections[writer], CreditMessage(count, longest))

    def _accepted(self, writer: str, ledger: QueueLedger) -> None:
        """Answer a writer that has asked, once all that it put at once is in."""
        if writer.startswith(_FAILURES_OF):
            if (connection := self.connections.get(writer.removeprefix(_FAILURES_OF))) is not None:
                self._failure_is_in(connection)
        elif (connection := self.connections.get(writer)) is not None:
            self.answer(connection, connection.output.accepted(ledger.name))

    def answer(self, connection: WorkerConnection, messages: int) -> None:
        """Tell a writer that so many of its messages are in."""
        for _ in range(messages):
            self.send(connection, CreditMessage(0))

    def put_failure(self, worker: WorkerPlan, failed: FailedItem, error: str, shown: str, now: float) -> None:
        """Put a failure on the queue that its stage names. Until it is in, its worker gets no other items."""
        assert worker.errors_to is not None
        from runner.transports.error_items import pickle_failure  # few stages have such a queue

        writer, ledger = _FAILURES_OF + worker.name, self.ledgers[worker.errors_to]
        pickled = pickle_failure(failed, error, worker.stage, shown)
        self.routed.add(writer)
        self._unsettled.add(ledger.name)
        if (connection := self.connections.get(worker.name)) is not None:
            connection.errors_outside += 1
        if isinstance(ledger, LeaseQueue):
            ledger.offer(writer, Frame(pack_series([pickled]), 1), now, owed=True)
        else:
            from runner.ledger.partitioned import Offer, ShardFrame

            frame = Frame(pack_series([pickled]), 1, len(pickled))
            back = (worker.stage, ledger.name) in self._loops.back
            ledger.offer(Offer(writer, [ShardFrame(0, frame)], now, owed=True, forced=back), now)
        self.carry_out(ledger)

    def _failure_is_in(self, connection: WorkerConnection) -> None:
        connection.errors_outside = max(0, connection.errors_outside - 1)
        if not connection.errors_outside and connection.inbox is not None:
            connection.update_wanted(time.monotonic())

    def _settled(self, ledger: QueueLedger) -> None:
        # While somebody may still put, that a queue is empty for a moment means nothing to the supervisor.
        around = self._loops.around(ledger.name)
        if not any(
            ledger in connection.outboxes and connection.plan.receives not in around
            for connection in self.connections.values()
        ):
            self.woken = True
        for connection in self.connections.values():
            joins = connection.wants_join and ledger in connection.outboxes
            if joins and all(outbox.settled for outbox in connection.outboxes):
                connection.wants_join = False
                self.send(connection, JoinAnswer())

    def advance(self) -> None:
        """Carry out what the ledgers have decided, and notice queues that have become settled."""
        now = time.monotonic()
        for writer in self._partitioned.answers(now):
            if writer in self.routed and writer in self.connections:  # who keeps order has one queue
                self._accepted(writer, self.connections[writer].outboxes[0])
            else:
                self._credit(writer, 0)
        for ledger in self.ledgers.values():
            if ledger.due is not None and now >= ledger.due:
                ledger.advance(now)
            self.carry_out(ledger)
            if ledger.name in self._unsettled and ledger.settled:
                self._unsettled.discard(ledger.name)
                self._settled(ledger)
        if self._arenas.freed:
            self._send_freed()
        for connection in self.connections.values() if self._in_batches else ():
            if connection.is_gathering and not self._can_be_added_to(connection):
                connection.is_gathering = False
                self.send(connection, EnoughMessage())

    def _send_freed(self) -> None:
        for writer, queue, numbers in self._arenas.pop_freed():
            connection = self.connections[writer]
            self.send(connection, FreedMessage(connection.plan.targets.index(queue), body=numbers))

    def _can_be_added_to(self, connection: WorkerConnection) -> bool:
        """Whether anybody can give a reader more items to go with those that it has taken."""
        ledger = connection.inbox
        assert ledger is not None
        around = self._loops.around(ledger.name)
        writers = (each for each in self.connections.values() if ledger in each.outboxes)
        return not ledger.is_full and any(
            not writer.wants_join and (writer.plan.receives not in around or writer.is_at_work)
            for writer in writers
        )

    def has_readers(self, ledger: QueueLedger) -> bool:
        """Whether anybody who is alive reads a queue."""
        return any(connection.inbox is ledger for connection in self.connections.values())

    def has_writers(self, ledger: QueueLedger) -> bool:
        """Whether a queue may get more items."""
        return ledger.name in self._fed or any(ledger in each.outboxes for each in self.connections.values())

    def hurry_readers(self, ledger: QueueLedger) -> None:
        """Nobody waits for anything else any more than that what was handled is safe."""
        if not self.has_writers(ledger):
            for connection in self.connections.values():
                if connection.inbox is ledger and connection.held:
                    self.send(connection, EnoughMessage())

    def time_left(self, deadline: float) -> float:
        """Seconds until `deadline`, or until a ledger has something to do by the clock, whichever comes first."""
        dues = [due for ledger in self.ledgers.values() if (due := ledger.due) is not None]
        return max(0.0, min([deadline, *dues]) - time.monotonic())

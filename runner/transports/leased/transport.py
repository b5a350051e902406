"""The `leased` transport: one private stream per worker, frames passed on unopened; the ledger hands out every item.

    chef ══PUT══► supervisor: LeaseQueue ══LEASE══► eater        nothing is shared between workers: no lock, no pipe
         ◄═CREDIT═                       ◄══ACK════              a death harms nobody else and loses nothing

What the streams bring goes straight into the ledgers, and what these decide straight to the streams; the supervisor is
only called when something happens to a worker, or a queue becomes settled.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.exit_status import describe_alone
from runner.ipc.frames import pack_series, pickle_alone
from runner.ipc.messages import Exited, Fact, Finished, HandlerFailed, ItemCondemned, ItemFailure
from runner.ipc.status_page import Word
from runner.ipc.stream import (
    AckMessage,
    CommitMessage,
    CreditMessage,
    Ended,
    EndMessage,
    EnoughMessage,
    FailedMessage,
    FreedMessage,
    HeldMessage,
    JoinAnswer,
    JoinRequest,
    LeaseMessage,
    Message,
    MoreRequest,
    PlaceMessage,
    PutBigMessage,
    PutMessage,
    SampleMessage,
    StockAnswer,
    StockRequest,
    SupervisorStream,
    open_stream,
)
from runner.ledger.accounts import Account
from runner.ledger.credit import UNBOUNDED_SHARE, Granted
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Accepted, Frame, HandOver, Lease
from runner.process.resources.base import NO_PROVIDERS, ResourceProviders
from runner.spec.model import OnError
from runner.spec.plan import Plan, WorkerPlan
from runner.transports.base import Spawned, WorkerMain
from runner.transports.cut import Cut
from runner.transports.leased.big_items import ArenaRegistry
from runner.transports.leased.connection import (
    KeptItems,
    NoPartitionedQueues,
    Suspicion,
    WorkerConnection,
    never_acknowledged,
    reconcile_counters,
    take_in_page,
)
from runner.transports.leased.endpoint import EndpointFactory
from runner.transports.leased.failures import settle_failure, take_back
from runner.transports.leased.kept_states import KeptStates, SourcePlaces
from runner.transports.leased.prefetch import OneByOne, Prefetch
from runner.transports.pool import PooledTransport, ProcessPool

if TYPE_CHECKING:
    from runner.ledger.partitioned import QueueLedger
    from runner.transports.leased.partitions import PartitionedQueues


_BROKEN_STREAM = (
    "the handler wrote to a descriptor that it does not own: the worker's private stream to the supervisor"
)
_INSIDE = "the supervisor"
_PREFETCH = 2
"""Leases a quick reader may hold, in multiples of its prefetch: while it works on one the next is on its way."""


class LeasedTransport(PooledTransport):
    """Ledgers in the supervisor, workers at private streams."""

    ends_when_settled = True
    tells_when_settled = True
    outlives_workers = True

    def __init__(
        self,
        plan: Plan,
        main: WorkerMain,
        wake: int,
        providers: ResourceProviders = NO_PROVIDERS,
        cut: Cut | None = None,
    ) -> None:
        """Make the ledgers; start nothing. They begin with what is in `cut`, where another runner had worked on it."""
        self.pool = ProcessPool(main, wake, providers)
        self._origin = plan.origin
        self._unsettled: set[str] = set()
        self._partitioned = _partitioned_queues(plan, self._unsettled)
        self._ledgers: dict[str, QueueLedger] = {
            q.name: self._partitioned.ledgers.get(q.name)
            or LeaseQueue(q.name, q.spec.maxsize, len(q.writers), fills=q.read_in_batches)
            for q in plan.queues
        }
        self._connections: dict[str, WorkerConnection] = {}
        self._fed = frozenset(queue.name for queue in plan.queues if queue.fed)
        self._prefetches = {
            s.name: OneByOne() if s.receives in self._fed else Prefetch() for s in plan.stages
        }
        self._arenas = ArenaRegistry(plan)
        self._in_batches = any(queue.read_in_batches for queue in plan.queues)
        self._woken = False
        self._item_facts: list[Fact] = []
        self._suspicion = Suspicion()
        self._kept = KeptItems()
        self._states = KeptStates()
        self._places = SourcePlaces()
        if cut is not None:
            self._restore(cut)

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Give birth to a worker. Raises `StartFailed`."""
        ours, theirs = open_stream()
        try:
            asks = worker.sends is not None and not self._ledgers[worker.sends].shares
            region = self._arenas.allocate_region(worker) if worker.sends else None
            factory = EndpointFactory(
                theirs,
                self._places.begin(worker.name),
                asks,
                region,
                self._arenas.arena(worker.receives) if worker.receives else None,
                self._partitioned.batch_policy(worker),
                self._origin,
                self._states.of(worker.name),
                self._places.resumed,
            )
            spawned = self.pool.start(worker, factory, factory.descriptors)
        except BaseException:
            ours.close()
            self._arenas.writer_gone(worker.name)
            raise
        finally:
            theirs.close()
        self._connect(worker, ours, spawned.pid)
        return spawned

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Move items until a worker speaks or dies, a signal arrives, a queue is settled or `timeout` has passed."""
        deadline = time.monotonic() + timeout
        self._woken = False
        while True:
            facts = self._with_items(self.pool.wait(self._time_left(deadline)))
            self._advance()
            if facts or self._woken or self.pool.woken or time.monotonic() >= deadline:
                return facts

    def account(self, queue: str) -> Account:
        """Take stock of a queue. What a reader took, and nobody is left to take again, counts as begun."""
        ledger = self._ledgers[queue]
        return ledger.account().with_kept(0 if self._has_readers(ledger) else self._kept.of(queue))

    def cut(self, now: float) -> Cut | None:
        """Return what the run is at this moment; None while something is to be told that has happened."""
        if self._item_facts:
            return None
        queues = tuple(self._partitioned.snapshot(ledger, now) for ledger in self._ledgers.values())
        return Cut(queues, self._places.snapshot(), self._states.snapshot())

    def kept_state(self, worker: str) -> bytes:
        """Return what a worker has kept with its last acknowledgement."""
        return self._states.of(worker)

    def close_accounts(self) -> None:
        """Take in what was held for its turn or for room, and check every ledger."""
        self._partitioned.release_held(time.monotonic())
        for ledger in self._ledgers.values():
            ledger.take_in_owed()
            ledger.verify()

    def feed(self, queue: str, item: object) -> None:
        """Put an item from inside the supervisor. Never waits: whoever feeds a queue counts what it gives out."""
        ledger = self._ledgers[queue]
        assert isinstance(ledger, LeaseQueue)
        self._unsettled.add(queue)
        ledger.offer(_INSIDE, Frame(pack_series([pickle_alone(item)]), 1), time.monotonic())
        self._carry_out(ledger)

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""
        if worker in self._connections:
            self._send(self._connections[worker], EndMessage())

    def retire(self, worker: str) -> None:
        """Let a reader finish what it holds and end."""
        if (connection := self._connections.get(worker)) is not None:
            connection.retired = True
            if connection.inbox is not None:
                self._update_wanted(connection, time.monotonic())
            self._send(connection, EndMessage())

    def dismiss(self, worker: str) -> None:
        """Say so in the worker's page, and wake it; what it leaves unworked comes back when it has ended."""
        if (connection := self._connections.get(worker)) is not None:
            connection.dismissed = True
            super().dismiss(worker)
            self.retire(worker)

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Signal a worker and its group."""
        connection = self._connections.get(worker)
        if connection is not None:
            connection.dismissed |= number is signal.SIGTERM
            connection.killed_because = because or connection.killed_because
        super().signal(worker, number)

    def close(self) -> None:
        """Give back every descriptor."""
        for connection in self._connections.values():
            self.pool.unwatch(connection.stream)
            connection.stream.close()
        self._connections.clear()
        self._arenas.close()
        self.pool.close()

    # Starts and deaths.

    def _restore(self, cut: Cut) -> None:
        now = time.monotonic()
        for snapshot in cut.queues:
            self._arenas.restore(snapshot)
            self._partitioned.restore(self._ledgers[snapshot.queue], snapshot, now)
            self._unsettled.add(snapshot.queue)
        self._places.restore(cut.writers)
        self._states.restore(cut.states)

    def _reject(self, failure: ItemFailure) -> None:
        """A producer had an item that it could not put. Those of readers are told of by their streams."""
        if (connection := self._connections.get(failure.worker)) is not None:
            self._receive(connection)  # what it has sent before is in before it: places are counted
        self._places.put(failure.worker, 1)
        if connection is not None and connection.inbox is None and connection.outbox is not None:
            connection.outbox.reject(dead_letter=failure.action is OnError.DEAD_LETTER)

    def _with_items(self, facts: Sequence[Fact]) -> list[Fact]:
        """Bury the dead, and tell what became of items before the deaths, which may be their doing."""
        if not facts and not self._item_facts:  # as it mostly is
            return self._partitioned.news(time.monotonic(), all_of_it=False)
        for fact in facts:
            if isinstance(fact, Exited):
                self._reap(fact)
            elif isinstance(fact, Finished):
                self._states.finished(fact.worker)
            elif isinstance(fact, ItemFailure):
                self._reject(fact)
        words = [fact for fact in facts if not isinstance(fact, Exited)]
        about_items, self._item_facts = self._item_facts, []
        about_items += self._partitioned.news(time.monotonic(), all_of_it=len(words) < len(facts))
        return [*words, *about_items, *(fact for fact in facts if isinstance(fact, Exited))]

    def _connect(self, worker: WorkerPlan, stream: SupervisorStream, pid: int) -> None:
        inbox = self._ledgers[worker.receives] if worker.receives else None
        outbox = self._ledgers[worker.sends] if worker.sends else None
        output = self._partitioned.output(worker, outbox)
        prefetch = self._prefetches[worker.stage]
        connection = WorkerConnection(worker, stream, inbox, outbox, output, prefetch, pid)
        self._connections[worker.name] = connection
        self._watch(connection)
        now = time.monotonic()
        if outbox is not None:
            outbox.writer(worker.name, now)
        if inbox is not None:
            inbox.set_demand(worker.name, connection.at_once, now)
        self._advance()

    def _reap(self, exited: Exited) -> None:
        """A worker is dead: hear its last words, count what it had finished, take back what it held."""
        worker = exited.worker
        connection = self._connections.pop(worker, None)
        if connection is None:
            return
        self._receive(connection)
        self.pool.unwatch(connection.stream)
        connection.stream.close()
        now, page = time.monotonic(), self.pool.status(worker)
        if connection.inbox is not None:
            suspects = take_in_page(connection, page, now)
            kept = never_acknowledged(page, connection, exited.code)
            items = [
                connection.inbox.lease(number).item(at) for number, those in suspects.items() for at in those
            ]
            innocent = connection.dismissed or (kept and not self._has_readers(connection.inbox))
            blamed = {} if innocent else suspects
            ended = connection.killed_because or describe_alone(exited.code)
            found = take_back(
                connection.inbox, connection.plan, connection.pid, blamed, page.item, ended, now
            )
            self._item_facts += found
            condemned = any(isinstance(fact, ItemCondemned) for fact in found)
            reconcile_counters(page, connection, in_hand=max(len(items), kept), condemned=condemned)
            self._kept.ended(connection.inbox.name, kept)
            connection.output.worker_died(items if condemned else (), now)
        if connection.outbox is not None:
            page.words[Word.SENT] = connection.put - connection.output.overflow
            connection.outbox.writer_gone(worker, now)
            self._arenas.writer_gone(worker)
            self._hurry_readers(connection.outbox)
        lasts = connection.plan.state_lasts
        self._states.exited(worker, exited.code, self._item_facts, lasts=lasts)

    def _has_readers(self, ledger: QueueLedger) -> bool:
        return any(connection.inbox is ledger for connection in self._connections.values())

    def _has_writers(self, ledger: QueueLedger) -> bool:
        """Whether a queue may get more items."""
        return ledger.name in self._fed or any(each.outbox is ledger for each in self._connections.values())

    def _hurry_readers(self, ledger: QueueLedger) -> None:
        """Nobody waits for anything else any more than that what was handled is safe."""
        if not self._has_writers(ledger):
            for connection in self._connections.values():
                if connection.inbox is ledger and connection.held:
                    self._send(connection, EnoughMessage())

    # Streams.

    def _watch(self, connection: WorkerConnection) -> None:
        self.pool.watch(
            connection.stream, lambda: self._serve(connection), writing=connection.stream.backlogged
        )

    def _serve(self, connection: WorkerConnection) -> None:
        if connection.stream.backlogged:
            connection.stream.flush_nowait()
            if not connection.stream.backlogged:
                self._watch(connection)
        self._receive(connection)
        if connection.stream.ended:
            self.pool.unwatch(connection.stream)
            if connection.stream.nonsense:
                self._kill_broken(connection)

    def _kill_broken(self, connection: WorkerConnection) -> None:
        """A worker that nobody can understand any more would be waited for in vain."""
        self._item_facts.append(HandlerFailed(connection.plan.name, _BROKEN_STREAM))
        self.pool.signal(connection.plan.name, signal.SIGKILL)

    def _receive(self, connection: WorkerConnection) -> None:
        now = time.monotonic()
        for message in connection.stream.receive_nowait():
            match message:
                case PutBigMessage() if connection.outbox is not None:
                    frame = self._arenas.receive_frame(connection.plan.name, bytes(message.body))
                    self._put(connection, message, frame, now)
                case PutMessage():
                    self._put(connection, message, message.body, now)
                case AckMessage():
                    self._ended(connection, message, now)
                case FailedMessage():
                    self._failed(connection, message, now)
                case CommitMessage() if connection.inbox is not None:
                    self._commit(connection, message, now)
                case HeldMessage() if connection.inbox is not None:
                    self._held(connection, message, connection.inbox, now)
                case PlaceMessage() | SampleMessage():
                    self._places.take(connection.plan.name, message)
                case JoinRequest() if connection.outbox is not None:
                    connection.wants_join = True
                    # Looked at again: it may have been settled for a while.
                    self._unsettled.add(connection.outbox.name)
                case MoreRequest() if connection.inbox is not None:
                    self._wants_more(connection, connection.inbox, message, now)
                case StockRequest():
                    self._answer_stock(connection, message)

    def _send(self, connection: WorkerConnection, message: Message) -> None:
        before = connection.stream.backlogged
        connection.stream.send_nowait(message)
        if connection.stream.backlogged != before:
            self._watch(connection)

    def _put(
        self, connection: WorkerConnection, message: PutMessage, payload: bytes | memoryview, now: float
    ) -> None:
        if connection.outbox is None:
            return
        lease = self._acked(connection, message, now, message.partial) if message.lease else None
        if connection.inbox is None:
            self._places.put(connection.plan.name, message.count)
        self._offer(connection, message, lease, payload, now)

    def _offer(
        self,
        connection: WorkerConnection,
        message: PutMessage,
        lease: Lease | None,
        payload: bytes | memoryview,
        now: float,
    ) -> None:
        assert connection.outbox is not None
        connection.put += message.count
        self._unsettled.add(connection.outbox.name)
        connection.output.put(message, lease, payload, now)
        self._carry_out(connection.outbox)  # at once: whoever waits for an item waits no longer than it must

    def _commit(self, connection: WorkerConnection, message: CommitMessage, now: float) -> None:
        """Take in all that a worker says at once."""
        ends, state = message.unpack()
        before, connection.held = connection.ended, 0
        for each in ends:
            self._commit_one(connection, each, now)
        if message.nanos:
            connection.prefetch.observe(connection.ended - before, message.nanos / 1e9)
        self._update_wanted(connection, now)
        if state:
            self._states.keep(connection.plan.name, state, now, self._item_facts)

    def _held(
        self, connection: WorkerConnection, message: HeldMessage, inbox: QueueLedger, now: float
    ) -> None:
        """A reader goes on to other items, though those that it has handled are not done."""
        # Counted, not added up: who holds thousands of small leases says so at each.
        connection.held = min(message.held, connection.handed - connection.done - connection.failed)
        connection.prefetch.observe(message.items, message.nanos / 1e9)
        self._update_wanted(connection, now, message.roomless)
        self._carry_out(inbox)  # before it is told that nothing waits

    def _commit_one(self, connection: WorkerConnection, ended: Ended, now: float) -> None:
        if ended.failure:
            self._failed(connection, FailedMessage(ended.lease, ended.upto, body=ended.failure), now)
            return
        lease = self._acked(connection, AckMessage(ended.lease, ended.upto), now)
        if ended.count and connection.outbox is not None:
            name, frame = connection.plan.name, ended.frame
            payload = self._arenas.receive_frame(name, frame) if ended.big else frame
            put = PutMessage(ended.count, ended.upto, lease=ended.lease)
            self._offer(connection, put, lease, payload, now)
        elif lease is not None:
            connection.output.ended(lease, ended.upto, now)

    def _ended(self, connection: WorkerConnection, message: AckMessage, now: float) -> None:
        connection.held = 0
        lease = self._acked(connection, message, now)
        if lease is not None:
            connection.output.ended(lease, message.upto, now)

    def _acked(
        self, connection: WorkerConnection, message: AckMessage | PutMessage, now: float, partial: int = 0
    ) -> Lease | None:
        """Take in how far a lease has come, and return it as it was."""
        lease = self._own_lease(connection, message)
        if lease is None or connection.inbox is None:
            return None
        if message.nanos:
            connection.prefetch.observe(message.upto - lease.item_range.start, message.nanos / 1e9)
        connection.inbox.acked(message.lease, message.upto, now, partial)
        connection.done += message.upto - lease.at
        if lease.item_range.history and (cleared := self._suspicion.done(lease, message.upto)) is not None:
            self._item_facts.append(cleared)
        self._update_wanted(connection, now)
        return lease

    def _failed(self, connection: WorkerConnection, message: FailedMessage, now: float) -> None:
        lease = self._own_lease(connection, message)
        if lease is None or connection.inbox is None or message.upto == lease.item_range.stop:
            return
        connection.done += message.upto - lease.at
        judged = settle_failure(connection.inbox, lease, connection.plan, connection.pid, message, now)
        if judged.delay is None:
            connection.failed += 1
        else:
            connection.retried += 1
        self._item_facts.append(judged)
        comes_again = judged.delay is not None or connection.plan.on_error is OnError.FAIL
        connection.output.ended(lease, message.upto + (not comes_again), now)
        self._update_wanted(connection, now)

    def _own_lease(
        self, connection: WorkerConnection, message: AckMessage | PutMessage | FailedMessage
    ) -> Lease | None:
        """The lease that a worker speaks of, if it holds it and what it says of it can be true: its word is gossip."""
        inbox, reader = connection.inbox, connection.plan.name
        lease = None if inbox is None else inbox.lease_of(reader, message.lease)
        return lease if lease is not None and lease.at <= message.upto <= lease.item_range.stop else None

    def _update_wanted(self, connection: WorkerConnection, now: float, roomless: int = 0) -> None:
        assert connection.inbox is not None
        quick = connection.prefetch.most > 1
        most = connection.prefetch.most * (_PREFETCH if quick else 1)
        most = 0 if connection.retired else max(most, connection.at_once)
        if (most, connection.held) != connection.wanted:
            connection.wanted = most, connection.held
            connection.inbox.set_demand(connection.plan.name, most, now, connection.held, roomless)

    def _answer_stock(self, connection: WorkerConnection, message: StockRequest) -> None:
        ledger = connection.outbox if message.of_outbox else connection.inbox
        if ledger is not None:
            room = UNBOUNDED_SHARE if ledger.room is None else max(0, ledger.room_for(connection.plan.name))
            room = 0 if connection.held and not self._has_writers(ledger) else room
            self._send(connection, StockAnswer(ledger.account().waiting, room))

    # Ledgers.

    def _advance(self) -> None:
        """Carry out what the ledgers have decided, and notice queues that have become settled."""
        now = time.monotonic()
        for writer in self._partitioned.answers(now):
            self._credit(writer, 0)
        for ledger in self._ledgers.values():
            if ledger.due is not None and now >= ledger.due:
                ledger.advance(now)
            self._carry_out(ledger)
            if ledger.name in self._unsettled and ledger.settled:
                self._unsettled.discard(ledger.name)
                self._settled(ledger)
        if self._arenas.freed:
            self._send_freed()
        for connection in self._connections.values() if self._in_batches else ():
            if connection.is_gathering and not self._can_be_added_to(connection):
                connection.is_gathering = False
                self._send(connection, EnoughMessage())

    def _carry_out(self, ledger: QueueLedger) -> None:
        for decision in ledger.decide():
            match decision:
                case HandOver():
                    self._hand_over(decision.lease)
                case Granted():
                    self._credit(decision.writer, decision.count)
                case Accepted() if not ledger.shares:
                    self._credit(decision.writer, 0)

    def _wants_more(
        self, connection: WorkerConnection, ledger: QueueLedger, message: MoreRequest, now: float
    ) -> None:
        patient = bool(message.patient)
        # Where it holds more than it had seen then, that is still on its way, and it will ask again.
        has_seen_all = sum(lease.left for lease in connection.leases) <= message.taken
        connection.is_gathering = has_seen_all and not patient
        ledger.request_more(connection.plan.name, message.taken, now, patient=patient)
        self._woken |= patient  # it may hold the last of its stream

    def _can_be_added_to(self, connection: WorkerConnection) -> bool:
        """Whether anybody can give a reader more items to go with those that it has taken."""
        ledger = connection.inbox
        assert ledger is not None
        writers = (each for each in self._connections.values() if each.outbox is ledger)
        return not ledger.is_full and any(not writer.wants_join for writer in writers)

    def _send_freed(self) -> None:
        for writer, numbers in self._arenas.pop_freed():
            self._send(self._connections[writer], FreedMessage(body=numbers))

    def _hand_over(self, lease: Lease) -> None:
        if lease.reader not in self._connections:
            return  # it died after this was decided: the ledger has taken the lease back
        item_range = lease.item_range
        connection = self._connections[lease.reader]
        connection.is_gathering = False
        connection.handed += len(item_range)
        self._kept.handed_over(connection.plan.receives, len(item_range))
        message = LeaseMessage(
            item_range.start,
            item_range.stop,
            lease.partial,
            lease.number,
            item_range.attempt,
            item_range.frame.first,
            body=item_range.frame.payload,
        )
        self._send(connection, message)

    def _credit(self, writer: str, count: int) -> None:
        if writer in self._connections:  # else it died meanwhile: what it has offered stays
            self._send(self._connections[writer], CreditMessage(count))

    def _settled(self, ledger: QueueLedger) -> None:
        # While somebody may still put, that a queue is empty for a moment means nothing to the supervisor.
        if not any(connection.outbox is ledger for connection in self._connections.values()):
            self._woken = True
        for connection in self._connections.values():
            if connection.wants_join and connection.outbox is ledger:
                connection.wants_join = False
                self._send(connection, JoinAnswer())

    def _time_left(self, deadline: float) -> float:
        dues = [due for ledger in self._ledgers.values() if (due := ledger.due) is not None]
        return max(0.0, min([deadline, *dues]) - time.monotonic())


def _partitioned_queues(plan: Plan, unsettled: set[str]) -> PartitionedQueues | NoPartitionedQueues:
    """Make what partitioned queues need. Imported only for a run that has some: a short run is mostly imports."""
    if not any(queue.partitioned for queue in plan.queues):
        return NoPartitionedQueues()
    from runner.transports.leased.partitions import PartitionedQueues

    return PartitionedQueues(plan, unsettled)

"""The `leased` transport: one private stream per worker, frames passed on unopened; the ledger hands out every item.

    chef ══PUT══► supervisor: LeaseQueue ══LEASE══► eater        nothing is shared between workers: no lock, no pipe
         ◄═CREDIT═                       ◄══ACK════              a death harms nobody else and loses nothing

What the streams bring goes straight into the ledgers (intake.py), and what these decide straight to the streams
(dispatch.py); the supervisor is only called when something happens to a worker, or a queue becomes settled.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from runner.exit_status import describe_alone
from runner.ipc.frames import pack_series, pickle_alone
from runner.ipc.messages import (
    Exited,
    Fact,
    Finished,
    HandlerFailed,
    ItemCondemned,
    ItemFailure,
    KeysExhausted,
)
from runner.ipc.status_page import Word
from runner.ipc.stream import EndMessage, SupervisorStream, WorkerStream
from runner.ledger.accounts import Account
from runner.ledger.leases import LeaseQueue
from runner.ledger.prefetch import OneByOne, Prefetch
from runner.ledger.ranges import Frame
from runner.ledger.uniqueness import SeenKeys
from runner.process.resources.base import NO_PROVIDERS, ResourceProviders
from runner.spec.failures import OnError
from runner.spec.plan import Plan, QueuePlan, StagePlan, WorkerPlan
from runner.transports.base import Spawned, WorkerMain
from runner.transports.cut import Cut
from runner.transports.error_items import failed_in_making
from runner.transports.kept_states import (
    SEEN,
    KeptStates,
    SourcePlaces,
    keys_as_states,
    restore_keys,
)
from runner.transports.leased.big_items import ArenaRegistry
from runner.transports.leased.connection import (
    Branch,
    NoPartitionedQueues,
    Output,
    RoutedOutput,
    WorkerConnection,
    never_acknowledged,
    reconcile_counters,
    take_in_page,
)
from runner.transports.leased.dispatch import Dispatch
from runner.transports.leased.endpoint import EndpointFactory, open_for_all, settle
from runner.transports.leased.failures import take_back
from runner.transports.leased.intake import Intake
from runner.transports.lending import lend_place
from runner.transports.pool import PooledTransport, ProcessPool

if TYPE_CHECKING:
    from runner.ledger.partitioned import QueueLedger
    from runner.transports.leased.partitions import PartitionedQueues
    from runner.transports.leased.routing import BranchEnd
    from runner.transports.rates import StageRates


_BROKEN_STREAM = (
    "the handler wrote to a descriptor that it does not own: the worker's private stream to the supervisor"
)
_CUT_OFF = "the worker said that it had finished, and its last message to the supervisor is cut off: items may be lost"
_INSIDE = "the supervisor"
_QUICK = 2000.0
"""Items a second that a stage may begin for its readers to get several at once."""
NOTHING_LENT: Mapping[str, socket.socket] = MappingProxyType({})
_SOON = 0.1
"""Seconds after something has moved within which a long wait ends."""


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
        lent: Mapping[str, socket.socket] = NOTHING_LENT,
    ) -> None:
        """
        Make the ledgers; start nothing. They begin with what is in `cut`, where another runner had worked on it.

        The one worker of each stage in `lent` is the program at the other end of its socket (lending.py).
        """
        self._lent = lent
        self.pool = ProcessPool(main, wake, providers)
        self._origin = plan.origin
        self._unsettled: set[str] = set()
        self._partitioned = _partitioned_queues(plan, self._unsettled)
        self._ledgers: dict[str, QueueLedger] = {
            q.name: self._partitioned.ledgers.get(q.name) or _lease_queue(q) for q in plan.queues
        }
        fed = {queue.name for queue in plan.queues if queue.fed}
        self._prefetches = {s.name: _prefetch(s, fed) for s in plan.stages}
        self._bounds = {queue.name: queue.spec.maxsize for queue in plan.queues}
        self._arenas = ArenaRegistry(plan)
        self._states = KeptStates()
        self._seen = {
            queue.name: SeenKeys(queue.spec.unique.most)
            for queue in plan.queues
            if queue.spec.unique is not None
        }
        self._places = SourcePlaces()
        self._dispatch = Dispatch(
            plan, self._ledgers, self._partitioned, self._arenas, self._unsettled, self._watch
        )
        self._connections = self._dispatch.connections
        self._kept = self._dispatch.kept
        self._is_due = False
        """Whether whoever waits next must be told of something that has happened before."""
        self._intake = Intake(
            self._dispatch, self._arenas, self._states, self._places, self._unsettled, _stage_rates(plan)
        )
        if cut is not None:
            self._restore(cut)

    def start(self, workers: Sequence[WorkerPlan]) -> Iterator[Spawned]:
        """Give birth to workers, all of one stage. Raises `StartFailed` after those that were born."""
        if workers and workers[0].stage in self._lent:
            yield from map(self._lend, workers)
            return
        unborn, why_not = open_for_all(workers, self._arenas, self._factory)
        spawned = self.pool.start([each.birth for each in unborn])
        settle(unborn, spawned, self._arenas)
        for each, born in zip(unborn, spawned, strict=False):
            self._connect(each.plan, each.stream, born.pid)
        self._dispatch.advance()
        yield from spawned
        if (failed := self.pool.why_not or why_not) is not None:
            raise failed

    def _factory(self, worker: WorkerPlan, stream: WorkerStream) -> EndpointFactory:
        sends, routes = worker.sends, worker.routes
        return EndpointFactory(
            stream,
            self._places.begin(worker.name),
            bool(routes) or (sends is not None and not self._ledgers[sends].shares),
            self._arenas.allocate_region(worker, sends) if sends else None,
            self._arenas.arena(worker.receives) if worker.receives else None,
            self._partitioned.batch_policy(worker, sends) if sends else None,
            self._origin,
            self._states.of(worker.name),
            self._places.resumed,
            tuple(self._branch_end(worker, route.queue) for route in routes),
        )

    def _lend(self, worker: WorkerPlan) -> Spawned:
        unborn, why_not = open_for_all([worker], self._arenas, self._factory)
        if why_not is not None:
            raise why_not
        ((_, ours, factory),) = unborn
        place = partial(lend_place, self._lent[worker.stage], factory.stream, factory.region, factory.arena)
        lent: list[Spawned] = []
        try:
            lent.append(self.pool.lend(worker, place))
        finally:
            settle(unborn, lent, self._arenas)
        self._connect(worker, ours, lent[0].pid)
        self._dispatch.advance()
        return lent[0]

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Move items until a worker speaks or dies, a signal arrives, a queue is settled or `timeout` has passed."""
        deadline = time.monotonic() + (0.0 if self._is_due else timeout)
        self._is_due = False
        self._dispatch.woken = False
        quiet = self.pool.moves if timeout > _SOON else None
        while True:
            facts = self._with_items(self.pool.wait(self._dispatch.time_left(deadline)))
            self._dispatch.advance()
            if quiet is not None and quiet != self.pool.moves:  # who was left in peace wants to know
                quiet, deadline = None, min(deadline, time.monotonic() + _SOON)
            if facts or self._dispatch.woken or self.pool.woken or time.monotonic() >= deadline:
                return facts

    def account(self, queue: str) -> Account:
        """Take stock of a queue. What a reader took, and nobody is left to take again, counts as begun."""
        ledger = self._ledgers[queue]
        account = ledger.account().with_kept(
            0 if self._dispatch.has_readers(ledger) else self._kept.of(queue)
        )
        return account.with_duplicates(self._seen[queue].duplicates) if queue in self._seen else account

    def cut(self, now: float) -> Cut | None:
        """Return what the run is at this moment; None while something is to be told that has happened."""
        if self._take_in_untold():
            self._dispatch.advance()
            self._is_due |= self._dispatch.woken
        if self._intake.facts:
            return None
        queues = tuple(self._partitioned.snapshot(ledger, now) for ledger in self._ledgers.values())
        states = self._states.snapshot()
        for name, seen in self._seen.items():
            states |= keys_as_states(name, seen)
        return Cut(queues, self._places.snapshot(), states)

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
        self._dispatch.carry_out(ledger)

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""
        if worker in self._connections:
            self._dispatch.send(self._connections[worker], EndMessage())

    def retire(self, worker: str) -> None:
        """Let a reader finish what it holds and end."""
        if (connection := self._connections.get(worker)) is not None:
            connection.retired = True
            if connection.inbox is not None:
                connection.update_wanted(time.monotonic())
            self._dispatch.send(connection, EndMessage())

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

    def _take_in_untold(self) -> bool:
        found = False
        for connection in self._connections.values():
            found |= self._intake.take_in_untold(connection)
        return found

    # Starts and deaths.

    def _restore(self, cut: Cut) -> None:
        now = time.monotonic()
        for snapshot in cut.queues:
            self._arenas.restore(snapshot)
            self._partitioned.restore(self._ledgers[snapshot.queue], snapshot, now)
            self._unsettled.add(snapshot.queue)
        self._places.restore(cut.writers)
        self._states.restore({k: state for k, state in cut.states.items() if not k.startswith(SEEN)})
        for name, seen in self._seen.items():
            restore_keys(name, seen, cut.states)

    def _reject(self, failure: ItemFailure) -> None:
        """A producer had an item that it could not put. Those of readers are told of by their streams."""
        if (connection := self._connections.get(failure.worker)) is not None:
            self._intake.receive(connection)  # what it has sent before is in before it: places are counted
        self._places.put(failure.worker, 1)
        if connection is not None and connection.inbox is None and connection.outboxes:
            connection.outboxes[0].reject(dead_letter=failure.action is OnError.DEAD_LETTER)
            if connection.plan.errors_to is not None:
                failed, now = failed_in_making(failure), time.monotonic()
                self._dispatch.put_failure(connection.plan, failed, failure.error, failure.item, now)

    def _with_items(self, facts: Sequence[Fact]) -> list[Fact]:
        """Bury the dead, and tell what became of items before the deaths, which may be their doing."""
        if not facts and not self._intake.facts:  # as it mostly is
            return self._partitioned.news(time.monotonic(), all_of_it=False)
        for fact in facts:
            if isinstance(fact, Exited):
                self._reap(fact)
            elif isinstance(fact, Finished):
                self._finished(fact.worker)
            elif isinstance(fact, ItemFailure):
                self._reject(fact)
        words = [fact for fact in facts if not isinstance(fact, Exited)]
        about_items, self._intake.facts = self._intake.facts, []
        about_items += self._partitioned.news(time.monotonic(), all_of_it=len(words) < len(facts))
        return [*words, *about_items, *(fact for fact in facts if isinstance(fact, Exited))]

    def _finished(self, worker: str) -> None:
        self._states.finished(worker)
        if (connection := self._connections.get(worker)) is not None:
            connection.has_finished = True

    def _connect(self, worker: WorkerPlan, stream: SupervisorStream, pid: int) -> None:
        inbox = self._ledgers[worker.receives] if worker.receives else None
        outboxes = tuple(self._ledgers[queue] for queue in worker.targets)
        prefetch = self._prefetches[worker.stage]
        connection = WorkerConnection(
            worker,
            stream,
            inbox,
            outboxes,
            self._output(worker),
            prefetch,
            pid,
            self.pool.status(worker.name),
        )
        self._connections[worker.name] = connection
        self._watch(connection)
        now = time.monotonic()
        if worker.sends is not None:
            outboxes[0].writer(worker.name, now)
        if inbox is not None:
            inbox.set_demand(worker.name, connection.at_once, now)

    def _output(self, worker: WorkerPlan) -> Output:
        """Where goes what a worker makes that was just started."""
        if not worker.routes:
            return self._partitioned.output(worker, self._ledgers[worker.sends]) if worker.sends else Output()
        branches = [self._branch(worker, self._ledgers[queue]) for queue in worker.targets]
        return RoutedOutput(worker.name, branches, self._arenas, self._exhausted)

    def _exhausted(self, fact: KeysExhausted) -> None:
        self._intake.facts.append(fact)

    def _branch(self, worker: WorkerPlan, ledger: QueueLedger) -> Branch:
        output, in_batches = (
            self._partitioned.output(worker, ledger),
            ledger.name in self._partitioned.ledgers,
        )
        return Branch(ledger, output, in_batches, self._seen.get(ledger.name))

    def _branch_end(self, worker: WorkerPlan, queue: str) -> BranchEnd:
        from runner.transports.leased.routing import BranchEnd

        region = self._arenas.allocate_region(worker, queue)
        return BranchEnd(region, self._partitioned.batch_policy(worker, queue), self._bounds[queue])

    def _reap(self, exited: Exited) -> None:
        """A worker is dead: hear its last words, count what it had finished, take back what it held."""
        worker = exited.worker
        connection = self._connections.pop(worker, None)
        if connection is None:
            return
        self._intake.receive(connection)
        if exited.code == 0 and connection.has_finished and connection.stream.is_cut_off:
            self._intake.facts.append(HandlerFailed(worker, _CUT_OFF))
        self.pool.unwatch(connection.stream)
        connection.stream.close()
        now, page = time.monotonic(), self.pool.status(worker)
        if connection.inbox is not None:
            suspects = take_in_page(connection, page, now)
            kept = never_acknowledged(page, connection, exited.code)
            innocent = connection.dismissed or (kept and not self._dispatch.has_readers(connection.inbox))
            blamed = {} if innocent else suspects
            ended = connection.killed_because or describe_alone(exited.code)
            found, condemned = take_back(
                connection.inbox, connection.plan, connection.pid, blamed, page.item, ended, now
            )
            self._intake.facts += found
            for fact in found if connection.plan.errors_to is not None else ():
                if isinstance(fact, ItemCondemned):
                    error = f"worker '{worker}' {fact.failed_item.attempts[-1].ended}"
                    self._dispatch.put_failure(connection.plan, fact.failed_item, error, fact.item, now)
            in_hand = max(sum(map(len, suspects.values())), kept)
            reconcile_counters(page, connection, in_hand=in_hand, condemned=len(condemned))
            self._kept.ended(connection.inbox.name, kept)
            connection.output.worker_died(condemned, now)
        if connection.outboxes:
            page.words[Word.SENT] = connection.put - connection.output.overflow
            for outbox in connection.outboxes:
                outbox.writer_gone(worker, now)
            self._arenas.writer_gone(worker)
            for outbox in connection.outboxes:
                self._dispatch.hurry_readers(outbox)
        lasts = connection.plan.state_lasts
        self._states.exited(worker, exited.code, self._intake.facts, lasts=lasts)

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
        self._intake.receive(connection)
        if connection.stream.ended:
            self.pool.unwatch(connection.stream)
            if connection.stream.nonsense:
                self._kill_broken(connection)

    def _kill_broken(self, connection: WorkerConnection) -> None:
        """A worker that nobody can understand any more would be waited for in vain."""
        self._intake.facts.append(HandlerFailed(connection.plan.name, _BROKEN_STREAM))
        self.pool.signal(connection.plan.name, signal.SIGKILL)


def _prefetch(stage: StagePlan, fed: Collection[str]) -> Prefetch:
    """How many items travel to a reader of a stage at once. Of what has to wait for its turn there it gets no more than
    one: its time says nothing of how long the others would lie there."""
    rate = stage.spec.rate
    return OneByOne() if stage.receives in fed or (rate and rate.limit < _QUICK) else Prefetch()


def _stage_rates(plan: Plan) -> StageRates | None:
    if all(stage.spec.rate is None for stage in plan.stages):
        return None
    from runner.transports.rates import StageRates

    return StageRates(plan)


def _lease_queue(queue: QueuePlan) -> LeaseQueue:
    batches, singly = queue.read_in_batches, queue.read_singly
    recalls = not batches and not singly
    maxsize, writers = queue.spec.maxsize, len(queue.writers)
    return LeaseQueue(queue.name, maxsize, writers, fills=batches, recalls=recalls, singly=singly)


def _partitioned_queues(plan: Plan, unsettled: set[str]) -> PartitionedQueues | NoPartitionedQueues:
    """Make what partitioned queues need. Imported only for a run that has some: a short run is mostly imports."""
    if not any(queue.partitioned for queue in plan.queues):
        return NoPartitionedQueues()
    from runner.transports.leased.partitions import PartitionedQueues

    return PartitionedQueues(plan, unsettled)

"""Who may start, who has reached the end of its stream, who may be stopped: pure, from the plan and what has ended.

a stage starts         when the stages that it `needs` have ended; a serial one with its first worker, and then whenever
                       a worker of it has ended with the next
a queue is closed      when every worker that writes to it has ended, and what is fed from inside has come to its end;
                       all queues of a loop when nobody writes to one from outside, all are empty, and nobody holds an
                       item of any: then nobody can put another
a reader gets the end  when its queue is closed and nothing can come to it any more; a daemonic consumer never does,
                       unless it works in batches
a daemon stage stops   when what it reads is joined and every other stage that does not depend on it has ended; one with
                       `until` as soon as that stage has
a queue is abandoned   when every reader has ended and items are left in it; where it is sharded, when one has
the run is over        when every worker has ended

A daemonic pipe stage gets the end too: stopped by a signal, it would take with it what it was about to send on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from runner.facts import dataclass
from runner.ledger.accounts import Account
from runner.spec.graph import reachable
from runner.spec.model import Role
from runner.spec.plan import Plan, QueuePlan, StagePlan


@dataclass(frozen=True, slots=True)
class StartStage:
    """Spawn the stage's workers."""

    stage: str


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Spawn the next worker of a serial stage."""

    worker: str


@dataclass(frozen=True, slots=True)
class EndStream:
    """Tell a reader that nothing more will come."""

    queue: str
    worker: str


@dataclass(frozen=True, slots=True)
class MarkJoined:
    """Announce that a queue is joined."""

    queue: str


@dataclass(frozen=True, slots=True)
class MarkFinished:
    """Announce that the last worker of a stage has ended."""

    stage: str


@dataclass(frozen=True, slots=True)
class StopDaemons:
    """Terminate what is left of a daemonic stage: nothing needs it any more."""

    stage: str


@dataclass(frozen=True, slots=True)
class QueueAbandoned:
    """Fail the run: every reader of a queue has ended, and items are left in it."""

    queue: str


Decision = StartStage | StartWorker | EndStream | MarkJoined | MarkFinished | StopDaemons | QueueAbandoned


class Lifecycle:
    """The state of all stages. `started` and `ended` change it; `decide` says what follows, each thing once."""

    def __init__(self, plan: Plan, *, ends_when_settled: bool) -> None:
        """`ends_when_settled`: a reader's end waits for what other readers hold, as it may come back to the queue."""
        self._plan = plan
        self._ends_when_settled = ends_when_settled
        self._stages = {stage.name: stage for stage in plan.stages}
        self._alive: dict[str, set[str]] = {stage.name: set() for stage in plan.stages}
        self._unstarted = dict(self._stages)
        """Stages of which a worker is still to start for the first time."""
        self._turns = {stage.name: [w.name for w in stage.workers] for stage in plan.stages if stage.serial}
        self._begun: set[str] = set()
        self._stage_of = {worker.name: worker.stage for worker in plan.workers}
        self._writers = {q.name: [s.name for s in plan.stages if q.name in s.writes] for q in plan.queues}
        self._readers = {q.name: [s.name for s in plan.stages if s.receives == q.name] for q in plan.queues}
        followers = _followers(plan)
        self._downstream = {
            stage.name: reachable([stage.name], followers.__getitem__)
            for stage in plan.stages
            if stage.spec.daemon  # nobody asks for the others'
        }
        self._loops = plan.loops
        self._ended_loops: set[frozenset[str]] = set()
        self._fed = {queue.name for queue in plan.queues if queue.fed}
        self._decided: set[Decision] = set()

    def resume(self, ended: Collection[str]) -> None:
        """Before anything is decided: these workers had come to their own end under an earlier runner."""
        for stage in self._plan.stages:
            left = [worker.name for worker in stage.workers if worker.name not in ended]
            if stage.receives is not None:
                gone = (worker.name for worker in stage.workers if worker.name in ended)
                self._decided.update(EndStream(stage.receives, worker) for worker in gone)
            if stage.serial:
                self._turns[stage.name] = left
            if not left:
                del self._unstarted[stage.name]
                self._decided.add(MarkFinished(stage.name))
                self._begun.add(stage.name)

    def started(self, worker: str, stage: str | None = None) -> None:
        """Note that a worker exists; one that is not in the plan comes with its stage."""
        stage = self._stage_of.setdefault(worker, stage) if stage is not None else self._stage_of[worker]
        self._alive[stage].add(worker)
        self._begun.add(stage)
        if (receives := self._stages[stage].receives) is not None:
            # It was told to an earlier generation, and this one must hear it too.
            self._decided.discard(EndStream(receives, worker))

    def ended(self, worker: str) -> None:
        """Note that a worker is gone for good."""
        self._alive[self._stage_of[worker]].discard(worker)

    def expects_more(self, worker: str) -> bool:
        """Whether a reader has not been told that its stream is at its end."""
        receives = self._stages[self._stage_of[worker]].receives
        return receives is not None and EndStream(receives, worker) not in self._decided

    def feeding_ended(self) -> None:
        """Nothing more comes from inside the supervisor."""
        self._fed.clear()

    def cancel_unstarted(self) -> None:
        """The run is being stopped: what has not started never will."""
        self._unstarted.clear()

    @property
    def alive(self) -> tuple[str, ...]:
        """The workers that exist, stage by stage in start order."""
        return tuple(worker for stage in self._plan.stages for worker in sorted(self._alive[stage.name]))

    @property
    def over(self) -> bool:
        """Every worker has ended and none is still to come."""
        return not self._unstarted and not any(self._alive.values())

    @property
    def only_joins_are_left(self) -> bool:
        """Some queue is closed while its readers live: what is left is that they empty it."""
        return any(
            self._is_closed(queue) and any(self._alive[stage] for stage in self._readers[queue.name])
            for queue in self._plan.queues
        )

    def decide(self, account: Callable[[str], Account]) -> list[Decision]:
        """Say what is due now. `account` reads the account of a queue."""
        self._end_loops(account)
        due: list[Decision] = [
            *self._starts(),
            *self._ends_of_streams(account),
            *self._joined(account),
            *self._finished(),
            *self._stops(account),
            *self._abandoned(account),
        ]
        fresh = [decision for decision in due if decision not in self._decided]
        self._decided.update(fresh)
        for decision in fresh:
            self._note_start(decision)
        return fresh

    def _note_start(self, decision: Decision) -> None:
        match decision:
            case StartStage(stage) | StopDaemons(stage):
                self._unstarted.pop(stage, None)
            case StartWorker(worker):
                stage = self._stage_of[worker]
                self._turns[stage].remove(worker)
                if not self._turns[stage]:
                    del self._unstarted[stage]

    def _has_ended(self, stage: str) -> bool:
        return stage not in self._unstarted and not self._alive[stage]

    def _end_loops(self, account: Callable[[str], Account]) -> None:
        """Note the loops in which nothing is left. The accounts are of one moment, in which nobody can put an item who
        holds none."""
        for group in self._loops.groups:
            if group not in self._ended_loops and all(map(self._has_ended, self._outside(group))):
                accounts = [account(queue) for queue in group]
                if all(each.settled or each.held_back for each in accounts):
                    self._ended_loops.add(group)

    def _outside(self, group: frozenset[str]) -> Iterator[str]:
        """Name the stages that write to a queue of a loop, and read none of it."""
        writers = {writer for queue in group for writer in self._writers[queue]}
        return (writer for writer in writers if self._stages[writer].receives not in group)

    def _is_closed(self, queue: QueuePlan) -> bool:
        if group := self._loops.around(queue.name):
            return group in self._ended_loops
        return queue.name not in self._fed and all(map(self._has_ended, self._writers[queue.name]))

    def _is_joined(self, queue: QueuePlan, account: Callable[[str], Account]) -> bool:
        return self._is_closed(queue) and account(queue.name).settled

    def _starts(self) -> list[StartStage | StartWorker]:
        return [
            StartWorker(self._turns[stage.name][0]) if stage.serial else StartStage(stage.name)
            for stage in self._plan.stages
            if stage.name in self._unstarted
            and not (stage.serial and self._alive[stage.name])
            and all(self._has_ended(need) for need in stage.spec.needs)
        ]

    def _ends_of_streams(self, account: Callable[[str], Account]) -> list[EndStream]:
        ends = []
        for queue in self._plan.queues:
            if not self._is_closed(queue):
                continue
            counts = account(queue.name)
            if counts.settled or counts.held_back if self._ends_when_settled else counts.waiting == 0:
                stages = [stage for stage in self._readers[queue.name] if self._gets_the_end(stage)]
                ends += [EndStream(queue.name, r) for stage in stages for r in sorted(self._alive[stage])]
        return ends

    def _gets_the_end(self, stage: str) -> bool:
        # A daemonic consumer waits on, as it would in multiprocessing, and is stopped with its stage. One that gathers
        # items for a batch must hear that there are no more.
        spec = self._stages[stage].spec
        return not (spec.daemon and spec.role is Role.CONSUMER) or spec.batch is not None

    def _joined(self, account: Callable[[str], Account]) -> list[MarkJoined]:
        return [MarkJoined(q.name) for q in self._plan.queues if self._is_joined(q, account)]

    def _finished(self) -> list[MarkFinished]:
        begun = [stage.name for stage in self._plan.stages if stage.name in self._begun]
        return [MarkFinished(stage) for stage in begun if self._has_ended(stage)]

    def _stops(self, account: Callable[[str], Account]) -> list[StopDaemons]:
        return [
            StopDaemons(stage.name)
            for stage in self._plan.stages
            if stage.spec.daemon and self._alive[stage.name] and self._is_unneeded(stage, account)
        ]

    def _abandoned(self, account: Callable[[str], Account]) -> list[QueueAbandoned]:
        return [
            QueueAbandoned(queue.name)
            for queue in self._plan.queues
            if self._readers[queue.name]
            and (all(map(self._has_ended, self._readers[queue.name])) or self._lacks_a_reader(queue))
            and not account(queue.name).settled  # what is still to come will show when it comes
        ]

    def _lacks_a_reader(self, queue: QueuePlan) -> bool:
        """Whether a shard has nobody any more: no other reader may take what is put into it."""
        if queue.shard_by is None or not all(stage in self._begun for stage in self._readers[queue.name]):
            return False
        missing = (reader for reader in queue.readers if reader not in self._alive[self._stage_of[reader]])
        return any(map(self.expects_more, missing))

    def _is_unneeded(self, stage: StagePlan, account: Callable[[str], Account]) -> bool:
        inbox = next((queue for queue in self._plan.queues if queue.name == stage.receives), None)
        if inbox is not None and not self._is_joined(inbox, account):
            return False
        if stage.spec.until is not None:
            return self._has_ended(stage.spec.until)
        lasting = {other.name for other in self._plan.stages if not other.spec.daemon}
        if stage.role is Role.PIPE:
            # It has got its end, and may have a last word for those that read what it sends.
            settled = all(account(queue).settled for queue in stage.writes)
            return settled and all(map(self._has_ended, lasting))
        return all(map(self._has_ended, lasting - self._downstream[stage.name]))


def _followers(plan: Plan) -> dict[str, list[str]]:
    """Name for each stage those that read what it puts, and those that wait for it to end."""
    readers: dict[str, list[str]] = {queue.name: [] for queue in plan.queues}
    for stage in plan.stages:
        if stage.receives is not None:
            readers[stage.receives].append(stage.name)
    followers = {stage.name: [r for queue in stage.writes for r in readers[queue]] for stage in plan.stages}
    for stage in plan.stages:
        for need in stage.spec.needs:
            followers[need].append(stage.name)
    return followers

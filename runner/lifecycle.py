"""Who may start, who has reached the end of its stream, who may be stopped: pure, from the plan and what has ended.

a stage starts        when the stages that it `needs` have ended
a queue is closed     when every worker that writes to it has ended
a reader gets the end when its queue is closed and nothing can come to it any more
a daemon stage stops  when what it reads is joined and every other stage that does not depend on it has ended
the run is over       when every worker has ended
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.ledger import Account
from runner.plan import Plan, QueuePlan, StagePlan


@dataclass(frozen=True, slots=True)
class StartStage:
    """Give birth to the stage's workers."""

    stage: str


@dataclass(frozen=True, slots=True)
class EndStream:
    """Tell a reader that nothing more will come."""

    queue: str
    worker: str


@dataclass(frozen=True, slots=True)
class QueueJoined:
    """Announce that a queue is joined."""

    queue: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """Announce that the last worker of a stage has ended."""

    stage: str


@dataclass(frozen=True, slots=True)
class StopDaemons:
    """Terminate what is left of a daemonic stage: nothing needs it any more."""

    stage: str


@dataclass(frozen=True, slots=True)
class QueueAbandoned:
    """Fail the run: every reader of a queue has ended, and items are left in it or still to come."""

    queue: str


Decision = StartStage | EndStream | QueueJoined | StageFinished | StopDaemons | QueueAbandoned


class Lifecycle:
    """The state of all stages. Facts go in by `started` and `ended`; `decide` says what follows, each thing once."""

    def __init__(self, plan: Plan, *, ends_when_settled: bool) -> None:
        """`ends_when_settled`: a reader's end waits for what other readers hold, as it may come back to the queue."""
        self._plan = plan
        self._ends_when_settled = ends_when_settled
        self._stages = {stage.name: stage for stage in plan.stages}
        self._alive: dict[str, set[str]] = {stage.name: set() for stage in plan.stages}
        self._unstarted = dict(self._stages)
        self._stage_of = {worker.name: worker.stage for worker in plan.workers}
        self._downstream = {stage.name: _downstream(stage, plan) for stage in plan.stages}
        self._said: set[Decision] = set()

    def started(self, worker: str) -> None:
        """Note that a worker exists."""
        self._alive[self._stage_of[worker]].add(worker)

    def ended(self, worker: str) -> None:
        """Note that a worker is gone for good."""
        self._alive[self._stage_of[worker]].discard(worker)

    def cancel_unstarted(self) -> None:
        """The run is being stopped: what has not started never will."""
        self._unstarted.clear()

    @property
    def alive(self) -> tuple[str, ...]:
        """The workers that exist, in start order."""
        return tuple(w.name for w in self._plan.workers if w.name in self._alive[w.stage])

    @property
    def over(self) -> bool:
        """Every worker has ended and none is still to come."""
        return not self._unstarted and not any(self._alive.values())

    @property
    def only_joins_are_left(self) -> bool:
        """Some queue is closed while its readers live: they send no word when they have emptied it, so one must look."""
        return any(
            self._closed(queue) and any(r in self._alive[self._stage_of[r]] for r in queue.readers)
            for queue in self._plan.queues
        )

    def decide(self, account: Callable[[str], Account]) -> list[Decision]:
        """Say what is due now. `account` takes stock of a queue."""
        starts = self._starts()
        due: list[Decision] = [
            *starts,
            *self._ends_of_streams(account),
            *self._joined(account),
            *self._finished(),
            *self._stops(account),
            *self._abandoned(account),
        ]
        fresh = [decision for decision in due if decision not in self._said]
        self._said.update(fresh)
        for start in starts:
            del self._unstarted[start.stage]
        return fresh

    def _has_ended(self, stage: str) -> bool:
        return stage not in self._unstarted and not self._alive[stage]

    def _closed(self, queue: QueuePlan) -> bool:
        return all(self._has_ended(self._stage_of[writer]) for writer in queue.writers)

    def _is_joined(self, queue: QueuePlan, account: Callable[[str], Account]) -> bool:
        return self._closed(queue) and account(queue.name).settled

    def _starts(self) -> list[StartStage]:
        return [
            StartStage(stage.name)
            for stage in self._plan.stages
            if stage.name in self._unstarted and all(self._has_ended(need) for need in stage.needs)
        ]

    def _ends_of_streams(self, account: Callable[[str], Account]) -> list[EndStream]:
        ends = []
        for queue in self._plan.queues:
            if not self._closed(queue):
                continue
            stock = account(queue.name)
            if stock.settled if self._ends_when_settled else stock.waiting == 0:
                ends += [EndStream(queue.name, r) for r in queue.readers if self._takes_the_end(r)]
        return ends

    def _takes_the_end(self, reader: str) -> bool:
        # A daemonic reader waits on, as it would in multiprocessing, and is stopped with its stage.
        stage = self._stages[self._stage_of[reader]]
        return not stage.daemon and reader in self._alive[stage.name]

    def _joined(self, account: Callable[[str], Account]) -> list[QueueJoined]:
        return [QueueJoined(q.name) for q in self._plan.queues if self._is_joined(q, account)]

    def _finished(self) -> list[StageFinished]:
        return [StageFinished(stage.name) for stage in self._plan.stages if self._has_ended(stage.name)]

    def _stops(self, account: Callable[[str], Account]) -> list[StopDaemons]:
        return [
            StopDaemons(stage.name)
            for stage in self._plan.stages
            if stage.daemon and self._alive[stage.name] and self._is_dispensable(stage, account)
        ]

    def _abandoned(self, account: Callable[[str], Account]) -> list[QueueAbandoned]:
        return [
            QueueAbandoned(queue.name)
            for queue in self._plan.queues
            if queue.readers
            and all(self._has_ended(self._stage_of[reader]) for reader in queue.readers)
            and not self._is_joined(queue, account)
        ]

    def _is_dispensable(self, stage: StagePlan, account: Callable[[str], Account]) -> bool:
        inbox = next((queue for queue in self._plan.queues if queue.name == stage.receives), None)
        if inbox is not None and not self._is_joined(inbox, account):
            return False
        return all(
            self._has_ended(other.name)
            for other in self._plan.stages
            if not other.daemon and other.name not in self._downstream[stage.name]
        )


def _downstream(stage: StagePlan, plan: Plan) -> frozenset[str]:
    """Name the stages that items of `stage` can reach, and those that wait for any of these to end."""
    reached: set[str] = set()
    frontier = [stage]
    while frontier:
        current = frontier.pop()
        follows = [
            other
            for other in plan.stages
            if other.name not in reached
            and (
                (current.sends is not None and other.receives == current.sends) or current.name in other.needs
            )
        ]
        reached.update(other.name for other in follows)
        frontier += follows
    return frozenset(reached)

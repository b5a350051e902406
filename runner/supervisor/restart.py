"""Starting workers: those that a stage begins with, and those that take a dead one's place, within a budget.

    StartStage ──► spawn ──► transport, pid registry, lifecycle, event
    an exit ──► RestartBudget ──► Restart(delay) ──► respawn_due, when it is due ──► the next generation, same name
                       │               └──► cancelled, where the run no longer needs it
                       └──► GiveUp(why)      the stage's budget is gone, or the handler itself is at fault

Three things are told apart. A worker that dies now and then is made good at once, within the budget. One that dies with
an item in hand is made good as well, and the item answers for it: the stage is only charged once the item has gone
through elsewhere. One that dies before its first item points at the handler. What it connects to may not be there yet,
so it is tried again, later and later; without a `restart` of the user's own it is given up the second time in a row.

The decision is pure: a history in, a decision out; the clock is handed in. Until a successor exists the dead worker has
not ended, for all that the lifecycle can tell: its queues stay open and its stage lives.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from runner.errors import HandlerError, StartFailed
from runner.events.bus import Publish
from runner.events.run import WorkerOutcome, WorkerRestarted, WorkerSpawned
from runner.facts import dataclass
from runner.process.watchdog import PidRegistry
from runner.spec.failures import FIRST_DELAY, LONGEST_DELAY, RestartOn, RestartPolicy
from runner.spec.model import Role
from runner.spec.plan import InputFile, WorkerPlan
from runner.supervisor.lifecycle import Lifecycle
from runner.supervisor.shutdown import Phase
from runner.supervisor.workers import (
    RunMetrics,
    WorkerExit,
    WorkerState,
    WorkerTable,
    lost_close,
    lost_state,
    lost_with_reader,
)
from runner.transports.base import Transport
from runner.units import backoff, format_duration

_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"})
_AT_ONCE = 64
"""Workers that are born together. Of a thousand the first get to work while the last are not there yet."""
_KEPT = 8
"""Lives of each worker that are remembered however long ago they ended: enough to see how many came to nothing. Those
in a row that ended before their first item are all remembered, since they are counted."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Spawn the next generation after `delay` seconds."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No successor. `why` is for the user; it is empty where none was ever meant to come."""

    why: str = ""


def decide(
    policy: RestartPolicy, history: Sequence[WorkerExit], *, forgiven: bool = False
) -> Restart | GiveUp:
    """
    Decide on the last of `history`, the exits in one stage, oldest first; `forgiven`: nothing is held against it.

    Where a worker ended by itself, before the end of its stream, only `always` makes that good too.
    """
    last = history[-1]
    if policy.on is RestartOn.NEVER or (not _crashed(last) and policy.on is not RestartOn.ALWAYS):
        return GiveUp()
    if forgiven:
        return Restart()
    own = [each for each in history if each.worker == last.worker]
    failed_starts = _in_a_row(own, _failed_to_start)
    if policy.max and failed_starts > (policy.max if policy.failed_starts is None else policy.failed_starts):
        return GiveUp(_never_up(policy, failed_starts))
    over = exceeded(policy, history, last.at)
    return over or Restart(_delay(_in_a_row(own, _is_idle), failed_starts))


def exceeded(policy: RestartPolicy, history: Sequence[WorkerExit], now: float) -> GiveUp | None:
    """Say whether the exits in one stage that are its own are more than it may have."""
    if len(history) <= policy.max:  # who allows thousands need not have them counted at each
        return None
    recent = sum(_counts(policy, each) for each in history if each.at > now - policy.within)
    return GiveUp(_over_budget(policy, recent)) if recent > policy.max else None


def _counts(policy: RestartPolicy, exited: WorkerExit) -> bool:
    """Ending by itself after some work is what `always` is for; only doing so idly would go on for ever.

    Who allows no restart at all gets none, whoever is to blame.
    """
    if exited.on_item and policy.max:
        return False
    return _crashed(exited) or exited.done == 0


def _crashed(exited: WorkerExit) -> bool:
    return exited.outcome is WorkerOutcome.DIED


def _failed_to_start(exited: WorkerExit) -> bool:
    """It ended before its first item, and nobody from outside ended it."""
    return exited.received == 0 and exited.signal_name not in _FROM_OUTSIDE


def _is_idle(exited: WorkerExit) -> bool:
    """It got nothing done. Who is killed from outside before its first item had no chance to."""
    return exited.done == 0 and (exited.received > 0 or exited.signal_name not in _FROM_OUTSIDE)


def _in_a_row(own: Sequence[WorkerExit], is_such: Callable[[WorkerExit], bool]) -> int:
    """Count the latest lives in a row that were such."""
    return next((n for n, each in enumerate(reversed(own)) if not is_such(each)), len(own))


def _delay(idle_lives: int, failed_starts: int) -> float:
    """The first successor comes at once, but not where its predecessor could not even begin: what that lacked needs a
    moment to come. One that follows another that did nothing comes later and later."""
    steps = max(idle_lives - 1, failed_starts)
    return backoff(FIRST_DELAY, steps, LONGEST_DELAY) if steps > 0 else 0.0


def _never_up(policy: RestartPolicy, lives: int) -> str:
    why = (
        "so the handler itself seems to be at fault"
        if policy.failed_starts is not None
        else f"and restart.max allows {policy.max}"
    )
    return f"it ended {lives} times in a row before its first item, {why}"


def _over_budget(policy: RestartPolicy, recent: int) -> str:
    times = "once" if recent == 1 else f"{recent} times"
    span = format_duration(policy.within)
    return f"the stage's workers ended {times} within {span}, and restart.max allows {policy.max}"


class RestartBudget:
    """The exits in each stage, what is held against whom, and the restarts that are to come of them."""

    def __init__(self) -> None:
        self._history: defaultdict[str, list[WorkerExit]] = defaultdict(list)
        self._due: dict[str, tuple[float, str]] = {}
        self._policies: dict[str, RestartPolicy] = {}
        self._forgiven: set[int] = set()
        self._suspected: set[int] = set()
        """Processes that had an item in hand, and whose end is not known here yet."""

    def exited(self, stage: str, policy: RestartPolicy, exited: WorkerExit) -> Restart | GiveUp:
        """Decide on the end of a worker. Its successor, if there is to be one, is `due` in time."""
        on_item = exited.pid in self._suspected and _crashed(exited)
        exited = replace(exited, on_item=on_item, held=())  # what it held may be much, and is of no use here
        self._suspected.discard(exited.pid)
        if exited.pid in self._forgiven and _crashed(exited):
            self._forgiven.discard(exited.pid)
            decision = decide(policy, [exited], forgiven=True)
        else:
            known = _recent([*self._history[stage], exited], exited.at - policy.within)
            self._history[stage], self._policies[stage] = known, policy
            decision = decide(policy, known)
        if isinstance(decision, Restart):
            self._due[exited.worker] = (exited.at + decision.delay, stage)
        return decision

    def mark_item_in_hand(self, pid: int) -> None:
        """An item was in hand at a death that is about to be `exited`: the item answers for it."""
        self._suspected.add(pid)

    def exempt(self, pids: Iterable[int]) -> None:
        """Deaths that one item is to blame for don't count; the last of them may not be known yet."""
        forgiven = set(pids)
        known = {each.pid for history in self._history.values() for each in history}
        for stage, history in self._history.items():
            self._history[stage] = [each for each in history if each.pid not in forgiven]
        self._forgiven |= forgiven - known

    def count_deaths(self, pids: Iterable[int], now: float) -> str | None:
        """The item that was in hand at these deaths is innocent: they count. Say why, if a budget is gone by that."""
        charged = set(pids)
        for stage, history in self._history.items():
            if _take_over(history, charged):
                over = exceeded(self._policies[stage], history, now)
                if over is not None:
                    return over.why
        return None

    def due(self, now: float) -> list[str]:
        """Take out the workers whose next generation is due."""
        due = [worker for worker, (at, _) in self._due.items() if at <= now]
        for worker in due:
            del self._due[worker]
        return due

    @property
    def soonest(self) -> float:
        """When the next restart is due; infinity if none is."""
        return min((at for at, _ in self._due.values()), default=math.inf)

    def cancel(self, stages: Iterable[str]) -> list[str]:
        """Let no successor come in these stages; return those that would have."""
        unwanted = set(stages)
        cancelled = [worker for worker, (_, stage) in self._due.items() if stage in unwanted]
        for worker in cancelled:
            del self._due[worker]
        return cancelled


def _take_over(history: list[WorkerExit], pids: set[int]) -> bool:
    """Make those of `pids` their stage's own, latest first, and take them out of `pids`; say whether there were any."""
    sought = len(pids)
    for index in reversed(range(len(history))):
        if not pids:
            break
        if history[index].pid in pids:
            pids.discard(history[index].pid)
            history[index] = replace(history[index], on_item=False)
    return len(pids) < sought


def _recent(history: list[WorkerExit], since: float) -> list[WorkerExit]:
    """Forget what can't matter any more."""
    lives: Counter[str] = Counter()
    has_begun: set[str] = set()
    kept = []
    for each in reversed(history):
        lives[each.worker] += 1
        has_begun |= set() if _failed_to_start(each) else {each.worker}
        if each.at > since or lives[each.worker] <= _KEPT or each.worker not in has_begun:
            kept.append(each)
    return kept[::-1]


class WorkerSpawner:
    """Spawns workers, and their successors when these are due."""

    def __init__(
        self,
        transport: Transport,
        lifecycle: Lifecycle,
        workers: WorkerTable,
        metrics: RunMetrics,
        publish: Publish,
        registry: PidRegistry,
        budget: RestartBudget,
        committed_of: Callable[[str], int | None] = lambda _worker: None,
    ) -> None:
        """`committed_of` says how many items of a producer are in a kept cut; None where there are to be none."""
        self._committed_of = committed_of
        self._transport = transport
        self._lifecycle = lifecycle
        self._workers = workers
        self._metrics = metrics
        self._publish = publish
        self._registry = registry
        self._budget = budget
        self._unneeded: set[str] = set()
        self._inputs: dict[str, tuple[InputFile, ...] | None] = {}
        """What there was to read for each stage when its first worker was started."""

    @property
    def next_due(self) -> float:
        """When the next successor is to be spawned; infinity if none is."""
        return self._budget.soonest

    @property
    def inputs(self) -> Mapping[str, tuple[InputFile, ...] | None]:
        """What there was to read for each stage that has begun."""
        return self._inputs

    def resume(self, inputs: Mapping[str, tuple[InputFile, ...] | None]) -> None:
        """Before anything is spawned: what there was to read when an earlier runner began."""
        self._inputs.update(inputs)

    def spawn(self, workers: Sequence[WorkerState]) -> None:
        """Start the first or next generation of each. Raises `StartFailed`."""
        for begin in range(0, len(workers), _AT_ONCE):
            self._spawn_at_once(workers[begin : begin + _AT_ONCE])

    def _spawn_at_once(self, workers: Sequence[WorkerState]) -> None:
        for worker in workers:
            if worker.generation:
                worker.earlier = self._metrics.counters(worker)
        plans = [self._with_what_it_knows(worker) for worker in workers]
        for worker, spawned in zip(workers, self._transport.start(plans), strict=True):
            worker.started(spawned.pid)
            self._lifecycle.started(worker.plan.name, worker.plan.stage)
            self._registry.register(spawned.pid)
            self._publish(
                WorkerSpawned(
                    **worker.process_labels(),
                    ppid=spawned.ppid,
                    generation=worker.generation,
                    daemon=worker.plan.daemon,
                )
            )

    def _with_what_it_knows(self, worker: WorkerState) -> WorkerPlan:
        """Return a worker's plan with what was not known before: of a producer how much is kept of what it has put, and
        the files that its stage reads, the same for all of its workers, at any time."""
        if worker.plan.role is not Role.PRODUCER:
            return worker.plan
        plan = replace(worker.plan, committed=self._committed_of(worker.plan.name))
        if plan.handler.kind == "python":
            return plan
        if plan.stage not in self._inputs:
            self._inputs[plan.stage] = _list_inputs(plan)
        inputs = self._inputs[plan.stage]
        if worker.generation and any(each.size is None for each in inputs or ()):
            raise StartFailed(
                f"worker '{plan.name}' can't be replaced: what it had read of a pipe or a terminal is gone with it"
            )
        return replace(plan, inputs=inputs)

    def respawn_due(self, now: float) -> None:
        """Spawn the successors that are due. Raises `StartFailed`."""
        for name in self._budget.due(now):
            worker = self._workers[name]
            reason = worker.last_exit.reason if worker.last_exit is not None else ""
            self._publish(WorkerRestarted(**worker.labels(), generation=worker.generation + 1, reason=reason))
            try:
                self.spawn([worker])
            except StartFailed:
                self._lifecycle.ended(name)
                raise

    def exited(self, worker: WorkerState, exited: WorkerExit, phase: Phase) -> Restart | GiveUp | None:
        """Decide whether another takes a worker's place; None where that is no question, or would be of no use."""
        self._registry.unregister(exited.pid)
        if left := lost_with_reader(worker, exited):
            return GiveUp(left)
        if not self._is_replaceable(worker, phase):
            return None
        early = exited.outcome is WorkerOutcome.FINISHED and self._lifecycle.expects_more(worker.plan.name)
        if not early and exited.outcome is not WorkerOutcome.DIED:
            return None
        if not early and (lost := lost_state(worker, exited) or lost_close(worker, exited)):
            return GiveUp(lost)
        return self._budget.exited(worker.plan.stage, worker.plan.restart, exited)

    def _is_replaceable(self, worker: WorkerState, phase: Phase) -> bool:
        """While the run drains, only those are replaced who empty the queues."""
        plan = worker.plan
        # Who is at no queue takes no lock of one along.
        if not self._transport.outlives_workers and plan.role is not Role.PLAIN:
            return False
        if worker.failure is not None and not plan.restart.after_exceptions:
            return False
        wanted = phase is Phase.RUNNING or (phase is Phase.DRAINING and plan.receives is not None)
        return wanted and not worker.retired and plan.stage not in self._unneeded

    def cancel_restarts(self, stages: Iterable[str]) -> None:
        """Respawn nobody any more who died in these stages: they have ended."""
        for name in self._budget.cancel(stages):
            self._lifecycle.ended(name)

    def mark_unneeded(self, stage: str) -> None:
        """Nothing needs this stage any more: whoever dies in it has no successor."""
        self._unneeded.add(stage)
        self.cancel_restarts([stage])


def _list_inputs(plan: WorkerPlan) -> tuple[InputFile, ...] | None:
    """List what there is to read for a producer. Raises `StartFailed`."""
    from runner.handlers.registry import input_files  # only those who have a kind of source wait for it

    try:
        return input_files(plan)
    except HandlerError as error:
        raise StartFailed(f"stage '{plan.stage}' can't begin: {error}") from error

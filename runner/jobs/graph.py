"""Which job runs when, and why: a pure state machine. Facts in by method, decisions out by `decide`.

    waiting ──needs are over──► ready ──slot──► running ──► over: passed, failed, …     those behind it are asked next
       │                          ▲                │
       └─ its `if` is false       └──── backoff ◄──┘ failed, and an attempt is left
          ─► over: skipped
    in the background: running ──ready──► those behind it are asked ──who holds it is over──► released ──► over: passed
Time is handed in. There is a slot when `max-parallel`, the concurrency group and `--jobs` leave one: see slots.py. A
leg that is cancelled while it runs is over when its worker says so; one that waits is over at once.
What the graph decides is to start a leg, to try it again, to cancel it, and what became of it; each with a reason.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import Enum
from functools import lru_cache
from typing import Any

from runner.facts import dataclass
from runner.jobs.background import BackgroundUse
from runner.jobs.contexts.of_leg import contexts_of_leg
from runner.jobs.outcomes import JobOutcome, LegOutcomes, describe_result, need_context, root_of, status_of
from runner.jobs.slots import ConcurrencySlots
from runner.jobs.templates import TemplateFiller
from runner.spec.expressions import evaluate as conditions
from runner.spec.jobs.model import GroupScope, JobSpec, LegSpec
from runner.spec.model import JobResult
from runner.units import backoff, counted, format_duration


@dataclass(frozen=True, slots=True)
class StartLeg:
    """Run an attempt of a leg."""

    leg: LegSpec
    attempt: int
    reason: str
    deadline: float = math.inf
    """When the job has to be over, on the clock that is handed in; not known before it has begun."""
    broken: str = ""
    """Why it can't but fail: its `if` has no value."""


@dataclass(frozen=True, slots=True)
class RetryLeg:
    """A leg will be tried again; a `StartLeg` follows when it is time."""

    leg: LegSpec
    attempt: int
    """The number of the attempt to come."""
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class CancelLeg:
    """A leg is not wanted any more. One that runs is to be stopped: it is over when `attempt_ended` says so."""

    leg: LegSpec
    reason: str
    running: bool
    is_replaced: bool = False
    """Whether another of its concurrency group takes its place: nothing has failed, and it has not run all the same."""


@dataclass(frozen=True, slots=True)
class ReleaseLeg:
    """A leg in the background is needed no longer, and is to be ended; `attempt_ended` says when it is over."""

    leg: LegSpec


@dataclass(frozen=True, slots=True)
class FinishLeg:
    """What became of a leg. Nothing of it will happen any more."""

    leg: LegSpec
    outcome: JobOutcome
    attempt: int
    """The number of its last attempt; 0 if it never ran."""


@dataclass(frozen=True, slots=True)
class LegStatus:
    """How far a leg is, for whoever asks while the run goes on."""

    job: str
    state: str
    """`waiting` for what it needs, `ready` for when there is room, `running`, `backoff` before its next attempt; or
    what became of it."""
    attempt: int
    """The last that has begun; 0 for none."""
    waits_for: tuple[str, ...]
    """Jobs that it needs and that are not over, or not ready."""
    background: bool = False
    """It goes on while others use it."""
    is_ready: bool = False
    """Those that need it need not wait for it."""


@dataclass(frozen=True, slots=True)
class KeepLeg:
    """A leg was over before the run began, and has its outcome from then."""

    leg: LegSpec
    outcome: JobOutcome
    attempt: int


@dataclass(frozen=True, slots=True)
class EnterGroup:
    """A leg asks for its concurrency group of the machine: it starts after `let_in`."""

    leg: LegSpec


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """A leg is through with its concurrency group of the machine, or does not ask for it any more."""

    leg: LegSpec


Decision = StartLeg | RetryLeg | CancelLeg | ReleaseLeg | FinishLeg | KeepLeg | EnterGroup | LeaveGroup


class _LegPhase(Enum):
    WAITING = 0
    READY = 1
    RUNNING = 2
    BACKOFF = 3
    OVER = 4


@dataclass(slots=True)
class _LegState:
    spec: LegSpec
    phase: _LegPhase = _LegPhase.WAITING
    attempt: int = 0
    had: int = 0
    """Attempts that it had before the run began."""
    lost: int = 0
    """Of these, the ones that don't count."""
    reason: str = ""
    """Why it runs."""
    broken: str = ""
    """Why it fails as soon as it runs."""
    before: str = ""
    """What became of it before the run began, where that is to be told."""
    deadline: float = math.inf
    cancelled: str | None = None
    """Why it was cancelled."""
    is_ready: bool = False
    """It runs in the background, and those that need it may start."""
    is_released: bool = False
    """It was to be ended, as nobody needs it any more."""
    outcome: JobOutcome | None = None
    """Of its last attempt, once that has ended."""


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    legs: list[_LegState]
    unmet: int
    """Needs that are not settled."""
    open: int
    """Legs that are not over."""
    unsettled: int
    """Legs that those who need them wait for: neither over nor, in the background, ready."""
    dependents: list[_Job] = field(default_factory=list)
    outcomes: dict[str, JobOutcome] = field(default_factory=dict)


class JobGraph:
    """The state of all jobs of one run. `decide` says what follows from the facts so far, each thing once."""

    def __init__(
        self,
        jobs: Sequence[JobSpec],
        capacity: int,
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        contexts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """`capacity` legs run at once; conditions may ask for `params`, `env`, the `secrets` of a job, `contexts`."""
        self._jobs = {
            j.name: _Job(j, [_LegState(g) for g in j.legs], len(j.needs), len(j.legs), len(j.legs))
            for j in jobs
        }
        self._legs = {leg.spec.id: leg for job in self._jobs.values() for leg in job.legs}
        for job in self._jobs.values():
            for need in job.spec.needs:
                self._jobs[need.job].dependents.append(job)
        self._use = BackgroundUse(jobs)
        self._slots = ConcurrencySlots(jobs, capacity)
        self._params, self._secrets, self._contexts = params or {}, secrets or {}, contexts or {}
        self._env = {name: value for name, value in (env or {}).items() if name not in self._secrets}
        self._backoffs: list[tuple[float, int, _LegState]] = []
        self._backoff_count = 0
        self._settled: deque[_Job] = deque()
        """Jobs that nobody need wait for, whose dependents have not been asked."""
        self._unheld: deque[_Job] = deque()
        """Jobs in the background that nobody needs any longer, and that have not been ended."""
        self._begun = False
        self._open = len(self._jobs)
        self._stopping: str | None = None
        self._decisions: list[Decision] = []

    # Facts.

    def keep(self, leg: str, outcome: JobOutcome, attempt: int) -> None:
        """A leg is over already, by another run or before this one was interrupted. To be said before `begin`."""
        state = self._legs[leg]
        state.attempt = attempt
        self._decisions.append(KeepLeg(state.spec, outcome, attempt))
        self._close(self._jobs[state.spec.job], state, outcome)

    def go_on(self, leg: str, attempt: int, lost: int, before: str) -> None:
        """A leg has had so many attempts already, of which `lost` don't count. To be said before `begin`."""
        state = self._legs[leg]
        state.attempt = state.had = attempt
        state.lost, state.before = lost, before

    def begin(self) -> None:
        """The run begins: what needs nothing is asked first."""
        self._begun = True
        for job in self._jobs.values():
            if job.unmet == 0:
                self._evaluate(job)
        self._move_on()

    def attempt_begun(self, leg: str, now: float) -> None:
        """A worker has begun an attempt: from the first on the time of the job runs, and not while workers start."""
        state = self._legs[leg]
        if state.spec.timeout is not None and state.deadline == math.inf:
            state.deadline = now + state.spec.timeout

    def leg_ready(self, leg: str, attempt: int, outputs: Mapping[str, str]) -> bool:
        """A leg in the background is ready, and hands this on. False if that is stale, or it is to end anyway."""
        state = self._legs[leg]
        is_under_way = state.phase is _LegPhase.RUNNING and state.attempt == attempt
        if not (is_under_way and state.spec.background) or state.is_ready or state.cancelled is not None:
            return False
        job = self._jobs[state.spec.job]
        state.is_ready = True
        job.outcomes[leg] = JobOutcome(JobResult.PASSED, "it is ready", outputs=outputs, goes_on=True)
        self._settle(job)
        if self._use.is_over_for(state.spec.job):
            self._release(state)
        self._move_on()
        return True

    def attempt_ended(self, leg: str, attempt: int, outcome: JobOutcome, now: float) -> None:
        """An attempt is over. What is reported of one that is not under way is stale, and ignored."""
        state = self._legs[leg]
        if state.phase is not _LegPhase.RUNNING or state.attempt != attempt:
            return
        self._slots.release(state.spec)
        state.outcome = outcome
        retry = self._retry(state, outcome, now)
        if retry is not None:
            self._back_off(state, retry, now)
        else:
            self._conclude(state, outcome)
        self._move_on()

    def stop(self, reason: str) -> None:
        """The run has to end: what runs is cancelled, and what waits runs only if its `if` asks for just that."""
        if self._stopping is not None:
            return
        self._stopping = reason
        for job in self._jobs.values():
            for state in job.legs:
                if state.phase in (_LegPhase.WAITING, _LegPhase.OVER) or self._is_in_use(job, state):
                    continue
                if not self._judge(job, state).runs:
                    self._cancel(job, state, reason)
        self._move_on()

    def cancel(self, name: str, reason: str) -> list[str]:
        """Cancel a leg, or every leg of a job, that is not over; return their ids, none if there is none."""
        job = self._jobs.get(name) or self._jobs[self._legs[name].spec.job]
        found = [
            state
            for state in job.legs
            if name in (job.spec.name, state.spec.id)
            and state.phase is not _LegPhase.OVER
            and state.cancelled is None
        ]
        for state in found:
            self._cancel(job, state, reason)
        self._move_on()
        return [state.spec.id for state in found]

    def abort(self, reason: str) -> None:
        """Nothing runs any more, and nothing can be run: whatever is not over is cancelled, clean-up too."""
        for job in self._jobs.values():
            for state in job.legs:
                if state.phase is _LegPhase.OVER:
                    continue
                if state.cancelled is None:
                    state.cancelled = reason
                    self._decisions.append(CancelLeg(state.spec, reason, running=False))
                self._finish(job, state, _cancelled(state, state.cancelled))
        self._settled.clear()
        self._open = 0

    def let_in(self, leg: str) -> None:
        """A leg that asked for its concurrency group of the machine has a place in it."""
        self._slots.let_in(self._legs[leg].spec)
        self._move_on()

    def tick(self, now: float) -> None:
        """Time has passed."""
        while self._backoffs and self._backoffs[0][0] <= now:
            _, _, state = heapq.heappop(self._backoffs)
            if state.phase is _LegPhase.BACKOFF:
                self._make_ready(state)
        self._move_on()

    # Decisions, and what else can be asked.

    def decide(self) -> list[Decision]:
        """Return what follows from the facts so far; each decision once, in order."""
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def due(self) -> float:
        """When `tick` must be called although nothing has happened; infinity if never."""
        return self._backoffs[0][0] if self._backoffs else math.inf

    @property
    def over(self) -> bool:
        """Every job is over."""
        return self._open == 0

    def status(self) -> list[LegStatus]:
        """Return how far each leg is, in the order of the file."""
        return [self._status_of(job, state) for job in self._jobs.values() for state in job.legs]

    def _status_of(self, job: _Job, state: _LegState) -> LegStatus:
        outcome = job.outcomes.get(state.spec.id) if state.phase is _LegPhase.OVER else None
        word = state.phase.name.lower() if outcome is None else str(outcome.result)
        needs = [need.job for need in job.spec.needs] if state.phase is _LegPhase.WAITING else []
        return LegStatus(
            state.spec.id,
            word,
            state.attempt,
            tuple(name for name in needs if self._jobs[name].unsettled),
            state.spec.background,
            state.is_ready,
        )

    def needs_of(self, leg: LegSpec) -> list[str]:
        """Return the full ids of the legs that a leg had to wait for."""
        return [waited for need in self._jobs[leg.job].spec.needs for waited in self._jobs[need.job].outcomes]

    def outputs_for(self, leg: LegSpec) -> dict[str, conditions.NeedContext]:
        """Return what `needs` is in the texts of a leg: by job, for those it needs."""
        jobs = (self._jobs[need.job] for need in self._jobs[leg.job].spec.needs)
        return {job.spec.name: need_context(job.spec, job.outcomes) for job in jobs}

    # How it moves.

    def _move_on(self) -> None:
        """Ask the dependents of what is settled, which may be over at once themselves; then fill the free slots."""
        while self._settled or self._unheld:
            if not self._settled:
                self._free(self._unheld.popleft())
                continue
            for dependent in self._settled.popleft().dependents:
                dependent.unmet -= 1
                if dependent.unmet == 0:
                    self._evaluate(dependent)
        while (leg := self._slots.next()) is not None:
            self._start(self._legs[leg.id])
        self._decisions += map(LeaveGroup, self._slots.leaving())
        self._decisions += map(EnterGroup, self._slots.asking())

    def _evaluate(self, job: _Job) -> None:
        """All needs of a job are over: ask of each leg whether it runs."""
        if not job.legs:
            self._settled.append(job)
            self._end_job(job)
        for state in job.legs:
            if state.phase is _LegPhase.OVER:  # it was cancelled while it waited
                continue
            verdict = self._judge(job, state)
            if verdict.runs or verdict.is_broken:
                state.broken = verdict.reason if verdict.is_broken else ""
                state.reason = "; ".join(filter(None, (verdict.reason, state.before)))
                self._make_ready(state)
            elif self._stopping is not None:
                self._cancel(job, state, self._stopping)
            else:
                self._skip(job, state, verdict.reason)

    def _judge(self, job: _Job, state: _LegState) -> conditions.ConditionResult:
        if self._stopping is not None and state.spec.background and not job.dependents:
            return conditions.ConditionResult(False, self._stopping)  # nothing but the stop ends it
        status = status_of(job.spec.needs, self._outcomes_of_needs(job), self._stopping)
        if not state.spec.condition:
            return conditions.evaluate(None, conditions.Context(status))
        needs = self.outputs_for(state.spec)
        context = conditions.Context(
            status=status,
            needs=needs,
            matrix=state.spec.matrix,
            params=self._params,
            env={**self._env, **TemplateFiller(needs, self._secrets).of_leg(state.spec)[1]},
            more=contexts_of_leg(self._contexts, state.spec.job, state.spec.strategy),
        )
        return conditions.evaluate(parsed(state.spec.condition), context)

    def _skip(self, job: _Job, state: _LegState, reason: str) -> None:
        condition = parsed(state.spec.condition)
        asked = condition is not None and condition.asks_status  # then it is what its author wanted
        root = None if asked else root_of(job.spec.needs, self._outcomes_of_needs(job))
        self._finish(job, state, JobOutcome(JobResult.SKIPPED, reason, blocked_by=root))

    def _outcomes_of_needs(self, job: _Job) -> dict[str, LegOutcomes]:
        return {need.job: self._jobs[need.job].outcomes for need in job.spec.needs}

    def _make_ready(self, state: _LegState) -> None:
        state.phase = _LegPhase.READY
        self._call_off_others(state)
        self._slots.enter(state.spec)

    def _call_off_others(self, newer: _LegState) -> None:
        """A leg whose group says `cancel-in-progress` takes the place of those of it that are ready or run."""
        group = newer.spec.concurrency
        if (
            group is None
            or not group.cancels
            or group.scope is not GroupScope.RUN
            or newer.attempt > newer.had
        ):
            return
        for job in self._jobs.values():
            for state in job.legs:
                own = state.spec.concurrency
                is_before = state.phase in (_LegPhase.READY, _LegPhase.RUNNING, _LegPhase.BACKOFF)
                if own is not None and own.group == group.group and is_before and state is not newer:
                    reason = f"'{newer.spec.id}' takes its place in group '{group.group}'"
                    self._cancel(job, state, reason, is_replaced=True)

    def _start(self, state: _LegState) -> None:
        state.phase = _LegPhase.RUNNING
        state.attempt += 1
        state.outcome = None
        state.is_ready = False
        self._decisions.append(
            StartLeg(state.spec, state.attempt, state.reason, state.deadline, state.broken)
        )

    def _retry(self, state: _LegState, outcome: JobOutcome, now: float) -> RetryLeg | None:
        if state.cancelled is not None or self._stopping is not None or state.is_ready:
            return None  # what has used one that was ready would find another
        counting = state.attempt - state.lost
        retry = retry_after(state.spec, counting, outcome, now=now, deadline=state.deadline)
        return retry and replace(retry, attempt=state.attempt + 1)

    def _back_off(self, state: _LegState, retry: RetryLeg, now: float) -> None:
        state.phase = _LegPhase.BACKOFF
        state.reason = f"attempt {state.attempt}: {state.outcome.reason}" if state.outcome else state.reason
        self._decisions.append(retry)
        self._backoff_count += 1
        heapq.heappush(self._backoffs, (now + retry.delay, self._backoff_count, state))

    def _conclude(self, state: _LegState, outcome: JobOutcome) -> None:
        """The last attempt of a leg has ended."""
        job = self._jobs[state.spec.job]
        if state.cancelled is not None and outcome.result is not JobResult.PASSED:
            outcome = replace(outcome, result=JobResult.CANCELLED, reason=state.cancelled)
        elif outcome.result.is_failure and state.spec.may_fail:
            reason = f"{outcome.reason}, which `continue-on-error` allows"
            outcome = replace(outcome, result=JobResult.ALLOWED, reason=reason)
        self._finish(job, state, outcome)
        if outcome.result.is_failure and job.spec.fail_fast and job.spec.has_matrix:
            for other in job.legs:
                if other.phase is not _LegPhase.OVER:
                    self._cancel(
                        job, other, f"fail-fast: '{state.spec.id}' {describe_result(outcome.result)}"
                    )

    def _cancel(self, job: _Job, state: _LegState, reason: str, *, is_replaced: bool = False) -> None:
        if state.cancelled is not None:
            return
        state.cancelled = reason
        running = state.phase is _LegPhase.RUNNING
        self._decisions.append(CancelLeg(state.spec, reason, running, is_replaced))
        if running:
            return
        if state.phase is _LegPhase.READY:
            self._slots.withdraw(state.spec)
        self._finish(job, state, _cancelled(state, reason))

    def _finish(self, job: _Job, state: _LegState, outcome: JobOutcome) -> None:
        self._decisions.append(
            FinishLeg(state.spec, outcome, state.attempt if state.attempt > state.had else 0)
        )
        self._close(job, state, outcome)

    def _close(self, job: _Job, state: _LegState, outcome: JobOutcome) -> None:
        state.phase = _LegPhase.OVER
        job.outcomes[state.spec.id] = outcome
        job.open -= 1
        if not state.is_ready:
            self._settle(job)
        elif not job.unsettled and (outcome.result.is_failure or outcome.result is JobResult.CANCELLED):
            self._lose(job, state, outcome)
        if job.open == 0:
            self._end_job(job)

    def _settle(self, job: _Job) -> None:
        """Nobody need wait for one more leg of a job."""
        job.unsettled -= 1
        if job.unsettled == 0:
            self._settled.append(job)

    def _end_job(self, job: _Job) -> None:
        """A job is over, and holds no other any longer."""
        self._open -= 1
        freed = self._use.job_over(job.spec.name)
        if self._begun:
            self._unheld += (self._jobs[name] for name in freed)

    # In the background.

    def _is_in_use(self, job: _Job, state: _LegState) -> bool:
        """Whether a leg is ended in time by itself: those that need it are over first."""
        return state.is_released or (
            state.is_ready and bool(job.dependents) and not self._use.is_over_for(job.spec.name)
        )

    def _free(self, job: _Job) -> None:
        """Nobody holds a job any longer. A leg that is not ready, and that nobody needed, gets so first."""
        for state in job.legs:
            if not state.spec.background or state.phase is _LegPhase.OVER or state.cancelled is not None:
                continue
            if state.is_ready:
                self._release(state)
            elif job.dependents:
                self._cancel(job, state, "all jobs that need it are over")

    def _release(self, state: _LegState) -> None:
        state.is_released = True
        self._decisions.append(ReleaseLeg(state.spec))

    def _lose(self, job: _Job, lost: _LegState, outcome: JobOutcome) -> None:
        """A leg has ended badly after it was ready: who needs it and is not over is asked again whether it runs."""
        became = "was cancelled" if outcome.result is JobResult.CANCELLED else describe_result(outcome.result)
        why = f"'{lost.spec.id}', which it needs, {became}: {outcome.reason}"
        for dependent in job.dependents:
            for state in dependent.legs:
                if state.phase in (_LegPhase.WAITING, _LegPhase.OVER) or state.is_released:
                    continue
                verdict = self._judge(dependent, state)
                if not verdict.runs and state.phase is _LegPhase.READY and state.attempt == state.had:
                    self._slots.withdraw(state.spec)
                    self._skip(dependent, state, verdict.reason)
                elif not verdict.runs:
                    self._cancel(dependent, state, why)


def retry_after(
    leg: LegSpec, attempt: int, outcome: JobOutcome, *, now: float, deadline: float = math.inf
) -> RetryLeg | None:
    """Decide after attempt number `attempt` whether there is another, and when; None where it was the last."""
    policy = leg.attempts
    if not outcome.result.is_failure or outcome.for_good or attempt >= policy.max:
        return None
    if policy.on and (code := outcome.shell_code) is not None and code not in policy.on:
        return None
    delay = backoff(policy.backoff, attempt, policy.max_backoff)
    if now + delay >= deadline:
        return None
    left = counted(policy.max - attempt, "attempt")
    when = f"in {format_duration(delay)}" if delay else "at once"
    return RetryLeg(leg, attempt + 1, delay, f"{outcome.reason}; it is tried again {when}, {left} left")


@lru_cache(maxsize=4096)
def parsed(text: str) -> conditions.Condition | None:
    """Return an `if` that was checked when the file was read; empty is none."""
    return conditions.parse_condition(text, ())[0] if text else None


def _cancelled(state: _LegState, reason: str) -> JobOutcome:
    """What is known of its last attempt stays known; one that is cut off has no end that anybody saw."""
    last = state.outcome or JobOutcome(JobResult.CANCELLED)
    return replace(last, result=JobResult.CANCELLED, reason=reason, outputs={})

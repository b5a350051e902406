"""Which job runs when, and why: a pure state machine. Facts in by method, decisions out by `decide`.

    waiting ──needs are over──► ready ──room──► running ──► over: passed, failed, …     those behind it are asked next
       │                          ▲                │
       └─ its `if` is false       └──── resting ◄──┘ failed, and an attempt is left
          ─► over: skipped

Time is handed in. There is room when `max-parallel`, the concurrency group and `--jobs` have some: see lanes.py. A leg
that is called off while it runs is over when it says so; one that waits is over at once.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from runner.jobs import conditions
from runner.jobs.decisions import CallOff, Decision, Over, Retry, Start
from runner.jobs.lanes import Lanes
from runner.jobs.standing import Past, as_need, root_of, standing_of
from runner.jobs.trying import Again, Ended, after_attempt
from runner.spec_jobs import JobSpec, LegSpec, Result


class _Phase(Enum):
    WAITING = 0
    READY = 1
    RUNNING = 2
    RESTING = 3
    OVER = 4


@dataclass(slots=True)
class _Leg:
    spec: LegSpec
    phase: _Phase = _Phase.WAITING
    attempt: int = 0
    reason: str = ""
    """Why it runs."""
    deadline: float = math.inf
    called_off: str | None = None
    """Why it was called off while it ran."""
    ended: Ended | None = None


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    legs: list[_Leg]
    unmet: int
    """Needs that are not over."""
    open: int
    """Legs that are not over."""
    followers: list[_Job] = field(default_factory=list)
    pasts: dict[str, Past] = field(default_factory=dict)


class Dag:
    """The state of all jobs of one run. `decide` says what follows from the facts so far, each thing once."""

    def __init__(
        self,
        jobs: Sequence[JobSpec],
        capacity: int,
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`capacity` legs run at once; `params` and `env` are what conditions may ask for."""
        self._jobs = {j.name: _Job(j, [_Leg(g) for g in j.legs], len(j.needs), len(j.legs)) for j in jobs}
        self._legs = {leg.spec.id: leg for job in self._jobs.values() for leg in job.legs}
        for job in self._jobs.values():
            for need in job.spec.needs:
                self._jobs[need.job].followers.append(job)
        self._lanes = Lanes(jobs, capacity)
        self._params, self._env = params or {}, env or {}
        self._resting: list[tuple[float, int, _Leg]] = []
        self._rests = 0
        self._closed: deque[_Job] = deque()
        """Jobs that are over, whose followers have not been told."""
        self._open = len(self._jobs)
        self._stopping: str | None = None
        self._decisions: list[Decision] = []

    # Facts.

    def begin(self, now: float) -> None:
        """The run begins: what needs nothing is asked first."""
        for job in self._jobs.values():
            if job.unmet == 0:
                self._admit(job)
        self._move_on(now)

    def ended(self, leg: str, attempt: int, ended: Ended, now: float) -> None:
        """An attempt is over. Said of an attempt that is not under way, it is stale, and ignored."""
        state = self._legs[leg]
        if state.phase is not _Phase.RUNNING or state.attempt != attempt:
            return
        self._lanes.leave(state.spec)
        state.ended = ended
        again = self._again(state, ended, now)
        if again is not None:
            self._rest(state, again, now)
        else:
            self._conclude(state, ended)
        self._move_on(now)

    def stop(self, reason: str, now: float) -> None:
        """The run has to end: what runs is called off, and what waits runs only if its `if` asks for just that."""
        if self._stopping is not None:
            return
        self._stopping = reason
        for job in self._jobs.values():
            for state in job.legs:
                if state.phase not in (_Phase.WAITING, _Phase.OVER) and not self._judge(job, state).runs:
                    self._call_off(job, state, reason)
        self._move_on(now)

    def break_off(self, reason: str) -> None:
        """Nothing runs any more, and nothing can be run: whatever is not over is cancelled, clean-up too."""
        for job in self._jobs.values():
            for state in job.legs:
                if state.phase is _Phase.OVER:
                    continue
                if state.called_off is None:
                    state.called_off = reason
                    self._decisions.append(CallOff(state.spec, reason, running=False))
                self._finish(job, state, Past(Result.CANCELLED), state.called_off)
        self._closed.clear()
        self._open = 0

    def tick(self, now: float) -> None:
        """Time has passed."""
        while self._resting and self._resting[0][0] <= now:
            _, _, state = heapq.heappop(self._resting)
            if state.phase is _Phase.RESTING:
                self._enter(state)
        self._move_on(now)

    # Decisions, and what else can be asked.

    def decide(self) -> list[Decision]:
        """Return what follows from the facts so far; each decision once, in order."""
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def due(self) -> float:
        """When `tick` must be called although nothing has happened; infinity if never."""
        return self._resting[0][0] if self._resting else math.inf

    @property
    def over(self) -> bool:
        """Every job is over."""
        return self._open == 0

    def needs_of(self, leg: LegSpec) -> list[str]:
        """Return the full ids of the legs that a leg had to wait for."""
        return [waited for need in self._jobs[leg.job].spec.needs for waited in self._jobs[need.job].pasts]

    def outputs_for(self, leg: LegSpec) -> dict[str, conditions.Need]:
        """Return what `needs` is in the texts of a leg: by job, for those it needs."""
        jobs = (self._jobs[need.job] for need in self._jobs[leg.job].spec.needs)
        return {job.spec.name: as_need(job.spec, job.pasts) for job in jobs}

    # How it moves.

    def _move_on(self, now: float) -> None:
        """Tell followers of what is over, which may be over at once themselves; then start what there is room for."""
        while self._closed:
            job = self._closed.popleft()
            self._open -= 1
            for follower in job.followers:
                follower.unmet -= 1
                if follower.unmet == 0:
                    self._admit(follower)
        while (leg := self._lanes.next()) is not None:
            self._start(self._legs[leg.id], now)

    def _admit(self, job: _Job) -> None:
        """All needs of a job are over: ask of each leg whether it runs."""
        if not job.legs:
            self._closed.append(job)
        for state in job.legs:
            verdict = self._judge(job, state)
            if verdict.runs:
                state.reason = verdict.reason
                self._enter(state)
            elif self._stopping is not None:
                self._call_off(job, state, self._stopping)
            else:
                self._skip(job, state, verdict.reason)

    def _judge(self, job: _Job, state: _Leg) -> conditions.Verdict:
        pasts = {need.job: self._jobs[need.job].pasts for need in job.spec.needs}
        context = conditions.Context(
            standing=standing_of(job.spec.needs, pasts, self._stopping),
            needs=self.outputs_for(state.spec),
            matrix=state.spec.matrix,
            params=self._params,
            env={**self._env, **state.spec.env},
        )
        return conditions.decide(parsed(state.spec.condition), context)

    def _skip(self, job: _Job, state: _Leg, reason: str) -> None:
        pasts = {need.job: self._jobs[need.job].pasts for need in job.spec.needs}
        condition = parsed(state.spec.condition)
        asked = condition is not None and condition.asks_status  # then it is what its author wanted
        root = None if asked else root_of(job.spec.needs, pasts)
        self._finish(job, state, Past(Result.SKIPPED, blocked_by=root), reason)

    def _enter(self, state: _Leg) -> None:
        state.phase = _Phase.READY
        self._lanes.enter(state.spec)

    def _start(self, state: _Leg, now: float) -> None:
        state.phase = _Phase.RUNNING
        state.attempt += 1
        if state.attempt == 1 and state.spec.timeout is not None:
            state.deadline = now + state.spec.timeout
        self._decisions.append(Start(state.spec, state.attempt, state.reason, state.deadline))

    def _again(self, state: _Leg, ended: Ended, now: float) -> Again | None:
        if state.called_off is not None or self._stopping is not None:
            return None
        return after_attempt(state.spec.attempts, state.attempt, ended, now=now, deadline=state.deadline)

    def _rest(self, state: _Leg, again: Again, now: float) -> None:
        state.phase = _Phase.RESTING
        state.reason = f"attempt {state.attempt}: {state.ended.reason}" if state.ended else state.reason
        self._decisions.append(Retry(state.spec, state.attempt + 1, again.delay, again.reason))
        self._rests += 1
        heapq.heappush(self._resting, (now + again.delay, self._rests, state))

    def _conclude(self, state: _Leg, ended: Ended) -> None:
        """The last attempt of a leg has ended."""
        job = self._jobs[state.spec.job]
        result, reason = ended.result, ended.reason
        if state.called_off is not None and result is not Result.PASSED:
            result, reason = Result.CANCELLED, state.called_off
        elif result.is_failure and state.spec.may_fail:
            result, reason = Result.ALLOWED, f"{reason}, which `continue-on-error` allows"
        self._finish(job, state, Past(result, ended.outputs), reason)
        if result.is_failure and job.spec.fail_fast and job.spec.has_matrix:
            for other in job.legs:
                if other.phase is not _Phase.OVER:
                    self._call_off(job, other, f"fail-fast: '{state.spec.id}' {_did(result)}")

    def _call_off(self, job: _Job, state: _Leg, reason: str) -> None:
        if state.called_off is not None:
            return
        state.called_off = reason
        running = state.phase is _Phase.RUNNING
        self._decisions.append(CallOff(state.spec, reason, running))
        if running:
            return
        if state.phase is _Phase.READY:
            self._lanes.withdraw(state.spec)
        self._finish(job, state, Past(Result.CANCELLED), reason)

    def _finish(self, job: _Job, state: _Leg, past: Past, reason: str) -> None:
        state.phase = _Phase.OVER
        job.pasts[state.spec.id] = past
        self._decisions.append(Over(state.spec, past.result, reason, state.attempt, state.ended))
        job.open -= 1
        if job.open == 0:
            self._closed.append(job)


@lru_cache(maxsize=4096)
def parsed(text: str) -> conditions.Condition | None:
    """Return an `if` that was checked when the file was read; empty is none."""
    return conditions.parse_condition(text, ())[0] if text else None


def _did(result: Result) -> str:
    return "timed out" if result is Result.TIMED_OUT else str(result)

"""The report on a run's jobs, folded from their events, with the critical path and root causes derived from it.

    job.started · step.finished · job.retried · job.finished · job.skipped · job.kept ──► JobReportBuilder ──► JobReport

The last screen of a run, `--report FILE`, JUnit and GitHub show these facts. They declare their own meaning, and
`job_report_schema` is made from that. What is derived from them:

    build 3s ─► test 9s ─► publish 1s       the critical path, 13 s: no number of workers ends the run sooner
          └───► lint 2s ──────┘

    build failed ──► report (always(), needs build) failed too: the root cause is build, whatever the order in time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.events.base import Event
from runner.events.jobs import (
    JobCancelled,
    JobEvent,
    JobFinished,
    JobKept,
    JobReady,
    JobRetried,
    JobSilent,
    JobSkipped,
    JobStarted,
    ServiceExited,
    ServiceReady,
    StepFinished,
    StepStarted,
)
from runner.events.report_fields import closed_schema, means
from runner.events.run import RunFinished, RunStarted
from runner.facts import dataclass

MOST_LOST_ATTEMPTS = 10
"""Reasons kept of the attempts that a job lost; the rest are counted by `attempts`."""


class JobState(StrEnum):
    """What is, or became, of a job."""

    RUNNING = "running"
    RETRYING = "retrying"
    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


_STEP_RESULTS = (
    JobState.PASSED,
    JobState.FAILED,
    JobState.ALLOWED,
    JobState.SKIPPED,
    JobState.CANCELLED,
    JobState.TIMED_OUT,
)
FAILURES = frozenset({JobState.FAILED, JobState.TIMED_OUT})
"""The states that fail a run by themselves."""
UNFINISHED = frozenset({JobState.RUNNING, JobState.RETRYING})


class RunResult(StrEnum):
    """The three colours of a run: green, yellow, red."""

    PASSED = "passed"
    ALLOWED = "allowed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepLine:
    """What one step of a job's last attempt did."""

    step: int = means("Its number, 1 first.")
    name: str = means("Its name, or the first line of what it runs.")
    result: str = means("What became of it; running if it never ended.")
    exitcode: int | None = means("Its exit code; null if a signal ended it, or it never ran.", None)
    signal: str | None = means("The signal that ended it, such as SIGKILL.", None)
    seconds: float = means("How long it took.", 0.0)


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """What became of a service of a job's last attempt."""

    service: str = means("Its name.")
    was_ready: bool = means("Whether it was ever ready.")
    early: bool = means("Whether it ended before the job did.", False)
    exitcode: int | None = means("Its exit code; null if a signal ended it.", None)
    signal: str | None = means("The signal that ended it, such as SIGTERM.", None)
    log: str | None = means("The file that has what it printed.", None)


@dataclass(frozen=True, slots=True)
class JobLine:
    """What one job came to; each leg of a matrix is one."""

    job: str = means("Its full id.")
    state: JobState = means("What became of it; running or retrying if it never ended.")
    reason: str = means("Why, as a sentence.")
    attempts: int = means("How often it was begun.", 0)
    seconds: float = means("From the start of its first attempt to its end.", 0.0)
    started_after: float | None = means(
        "Seconds from the start of the run to its own; null if it never did.", None
    )
    ended_after: float | None = means(
        "Seconds from the start of the run to its end; null if there was none.", None
    )
    background: bool = means("Whether it went on while those that need it ran.", False)
    ready_after: float | None = means(
        "Seconds from the start of the run until those that need it could start; null if it is no job in the "
        "background, or never was ready.",
        None,
    )
    exitcode: int | None = means("The exit code of the last attempt; null if a signal ended it.", None)
    signal: str | None = means("The signal that ended the last attempt.", None)
    failed_step: str | None = means("The step that failed it.", None)
    silent: float | None = means("Seconds for which it had printed nothing when that was too long.", None)
    log: str | None = means("The file that has what it printed.", None)
    command: tuple[str, ...] = means("The command line that runs just this job again.", ())
    needs: tuple[str, ...] = means("The jobs that it waited for.", ())
    lost: tuple[str, ...] = means("Why attempts before the last were lost.", ())
    kept_from: str | None = means(
        "The run in which it came to that, where it was kept instead of run: times are those of then, and all that is "
        "after the start of the run is null.",
        None,
    )
    steps: tuple[StepLine, ...] = means("The steps of its last attempt.", ())
    services: tuple[ServiceLine, ...] = means("The services of its last attempt.", ())

    @property
    def took_now(self) -> float:
        """Seconds that it took of the run."""
        return self.seconds if self.kept_from is None else 0.0

    @property
    def ready_in(self) -> float | None:
        """Seconds that it took to be ready, where it was, with attempts before that."""
        if self.ready_after is None or self.started_after is None:
            return None
        return round(self.ready_after - self.started_after, 6)

    @property
    def held_up(self) -> float:
        """Seconds of the run for which it kept those waiting that need it."""
        return self.took_now if self.ready_in is None else self.ready_in

    @property
    def failed_service(self) -> ServiceLine | None:
        """The service that may be to blame: one that never was ready, or ended before the job did."""
        return next((each for each in self.services if each.early or not each.was_ready), None)


@dataclass(frozen=True, slots=True)
class JobReport:
    """What became of the jobs of a run, in the order in which that was first known."""

    result: RunResult = means("Green, yellow (all that failed was allowed to) or red.")
    jobs: tuple[JobLine, ...] = means("One line a job that was run or decided on.")
    unreached: int = means("Jobs that nothing was decided about when the run ended.")
    critical_path: tuple[str, ...] = means("The chain of needs that takes longest, first to last.")
    critical_seconds: float = means("How long that chain takes: no number of workers ends the run sooner.")

    def of(self, *states: JobState) -> tuple[JobLine, ...]:
        """Return the jobs that are in one of these states, in order."""
        return tuple(line for line in self.jobs if line.state in states)


@dataclass(slots=True)
class _Job:
    """What is known of a job so far. One record a job: `facts` are the fields of its line."""

    began: float | None = None
    facts: dict[str, Any] = field(default_factory=lambda: {"state": JobState.SKIPPED, "reason": ""})
    steps: dict[int, StepLine] = field(default_factory=dict)
    services: dict[str, ServiceLine] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def observe(self, event: JobEvent, after: float) -> None:
        """Take note of an event that came `after` so many seconds of the run."""
        match event:
            case JobStarted():
                self._started(event, after)
            case JobRetried(reason=reason):
                self.facts.update(state=JobState.RETRYING, reason=reason)
                if len(self.lost) < MOST_LOST_ATTEMPTS:
                    self.lost.append(reason)
            case JobSkipped(reason=reason, needs=needs):
                self.facts.update(
                    state=JobState.SKIPPED, reason=reason, needs=tuple(needs), ended_after=after
                )
            case JobCancelled(reason=reason):
                # One that runs is only being stopped: `job.finished` says what came of that.
                state = JobState.RUNNING if self.facts["state"] is JobState.RUNNING else JobState.CANCELLED
                self.facts.update(state=state, reason=reason)
            case JobReady():
                self.facts["ready_after"] = after
            case JobSilent(seconds=seconds):
                self.facts["silent"] = seconds
            case JobFinished():
                self._finished(event, after)
            case JobKept():
                self._kept(event)
            case StepStarted(step=step, name=name):
                self.steps[step] = StepLine(step, name, "running")
            case StepFinished(step=step, name=name):
                self.steps[step] = StepLine(
                    step, name, event.result, event.exitcode, event.signal, event.duration
                )
            case ServiceReady(service=service):
                self.services[service] = ServiceLine(service, was_ready=True)
            case ServiceExited():
                self._service_exited(event)

    def _started(self, event: JobStarted, after: float) -> None:
        self.steps.clear()
        self.services.clear()
        if self.began is None:
            self.began = event.at
            self.facts["started_after"] = after
        self.facts.update(
            state=JobState.RUNNING,
            reason=event.reason,
            attempts=event.attempt,
            log=event.log,
            needs=tuple(event.needs),
            background=event.background,
        )

    def _finished(self, event: JobFinished, after: float) -> None:
        self.facts.update(
            state=JobState(event.result),
            reason=event.reason,
            attempts=event.attempt,
            exitcode=event.exitcode,
            signal=event.signal,
            log=event.log,
            command=tuple(event.command),
            seconds=round(event.at - self.began, 6) if self.began is not None else event.duration,
            ended_after=after,
            failed_step=_failed_step(self.steps.values()),
        )

    def _kept(self, event: JobKept) -> None:
        self.facts.update(
            state=JobState(event.result),
            reason=event.reason,
            attempts=event.attempt,
            seconds=event.duration,
            exitcode=event.exitcode,
            log=event.log or None,
            needs=tuple(event.needs),
            kept_from=event.from_run,
        )

    def _service_exited(self, event: ServiceExited) -> None:
        self.services[event.service] = ServiceLine(
            event.service,
            was_ready=event.service in self.services,
            early=event.early,
            exitcode=event.exitcode,
            signal=event.signal,
            log=event.log,
        )


class JobReportBuilder:
    """An observer that keeps what the jobs came to. `report()` may be asked for at any time."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._expected: int | None = None
        self._run_began = 0.0
        self._run_failed = False

    def observe(self, event: Event) -> None:
        """Take note of one event. Costs a microsecond; keeps a line for each job and for each step."""
        match event:
            case RunStarted():
                self._run_began, self._expected = event.at, event.jobs
            case RunFinished():
                self._run_failed = event.exitcode != 0
            case JobEvent():
                job = self._jobs.setdefault(event.job, _Job())
                job.observe(event, round(event.at - self._run_began, 6))

    def close(self) -> None:
        """Nothing to flush."""

    def report(self) -> JobReport | None:
        """Fold what was seen so far; None where the run has no jobs at all."""
        if self._expected is None and not self._jobs:
            return None
        lines = tuple(_line(name, job) for name, job in self._jobs.items())
        longest = critical_path([TimedJob(line.job, line.held_up, line.needs) for line in lines])
        begun = {line.job for line in lines if line.attempts and line.kept_from is None}
        path = tuple(name for name in longest if name in begun)  # what was skipped or kept took no time
        times = {line.job: line.held_up for line in lines}
        unreached = max((self._expected or 0) - len(lines), 0)
        return JobReport(
            result=RunResult.FAILED if unreached or self._run_failed else overall_result(lines),
            jobs=lines,
            unreached=unreached,
            critical_path=path,
            critical_seconds=round(sum(times[name] for name in path), 6),
        )


def overall_result(lines: Iterable[JobLine]) -> RunResult:
    """Say which of the three colours these jobs have together. Whatever did not come to its end is not green."""
    states = {line.state for line in lines}
    if states & (FAILURES | UNFINISHED | {JobState.CANCELLED}):
        return RunResult.FAILED
    return RunResult.ALLOWED if JobState.ALLOWED in states else RunResult.PASSED


def job_report_schema() -> dict[str, Any]:
    """Return the JSON Schema of `jobs` in a report."""
    line = closed_schema(JobLine)
    texts = {"type": "array", "items": {"type": "string"}}
    for name in ("command", "needs", "lost"):
        line["properties"][name] |= texts
    line["properties"]["state"] |= {"enum": list(JobState)}
    step = closed_schema(StepLine)
    step["properties"]["result"] |= {"enum": ["running", *_STEP_RESULTS]}
    line["properties"]["steps"] |= {"type": "array", "items": step}
    line["properties"]["services"] |= {"type": "array", "items": closed_schema(ServiceLine)}
    for name in ("started_after", "ended_after", "ready_after", "silent"):
        line["properties"][name] |= {"type": ["number", "null"]}
    schema = closed_schema(JobReport)
    schema["properties"]["result"] |= {"enum": list(RunResult)}
    schema["properties"]["jobs"] |= {"type": "array", "items": line}
    schema["properties"]["critical_path"] |= texts
    return schema


def _line(name: str, job: _Job) -> JobLine:
    return JobLine(
        job=name,
        **job.facts,
        lost=tuple(job.lost),
        steps=tuple(job.steps[number] for number in sorted(job.steps)),
        services=tuple(job.services.values()),
    )


def _failed_step(steps: Iterable[StepLine]) -> str | None:
    culprits = [step.name for step in steps if step.result in FAILURES]
    return culprits[0] if culprits else None


def by_cause(job_report: JobReport) -> tuple[JobLine, ...]:
    """Return the jobs that failed: those that nothing failed before first, then the others, each in order of time."""
    follows: dict[str, bool] = {}  # whether anything failed among what a job needs, near or far
    bad: set[str] = set()
    for line in job_report.jobs:  # what a job needs stands before it
        follows[line.job] = any(need in bad or follows.get(need, False) for need in line.needs)
        if line.state in FAILURES:
            bad.add(line.job)
    failed = [line for line in job_report.jobs if line.state in FAILURES]
    return tuple(sorted(failed, key=lambda line: (follows[line.job], line.ended_after or 0.0)))


@dataclass(frozen=True, slots=True)
class TimedJob:
    """One job: how long it took, in seconds, and the ids of the jobs that it waited for."""

    job: str
    seconds: float
    needs: Sequence[str] = ()


def critical_path(jobs: Sequence[TimedJob]) -> tuple[str, ...]:
    """
    Return the ids along the longest chain, first to last; empty if nothing took any time.

    A job stands after all that it needs. Needs that are not among the jobs, or stand later, count for nothing.
    """
    reached: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for each in jobs:
        known = [need for need in each.needs if need in reached]
        latest = max(known, key=reached.__getitem__, default=None)
        before[each.job] = latest
        reached[each.job] = each.seconds + (reached[latest] if latest is not None else 0.0)
    last = max(reached, key=reached.__getitem__, default=None)
    if last is None or reached[last] <= 0:
        return ()
    return _back_from(last, before)


def _back_from(last: str, before: Mapping[str, str | None]) -> tuple[str, ...]:
    chain = [last]
    while (need := before[chain[-1]]) is not None:
        chain.append(need)
    return tuple(reversed(chain))

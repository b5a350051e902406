"""The story of a run's jobs, folded from their events: what the end of a run, the report, JUnit and GitHub tell.

    job.started · step.finished · job.retried · job.finished · job.skipped ──► StoryBuilder ──► Story

The facts declare their own meaning, and `story_schema` is made from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runner.events import Event
from runner.jobs.critical_path import Timed, critical_path
from runner.report_lines import closed_schema, means

MOST_LOST_ATTEMPTS = 10
"""Reasons kept of the attempts that a job lost; the rest are counted by `attempts`."""


class State(StrEnum):
    """What is, or became, of a job."""

    RUNNING = "running"
    RETRYING = "retrying"
    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


_STEP_RESULTS = (State.PASSED, State.FAILED, State.ALLOWED, State.SKIPPED, State.CANCELLED, State.TIMED_OUT)
FAILURES = frozenset({State.FAILED, State.TIMED_OUT})
"""The states that fail a run by themselves."""
UNFINISHED = frozenset({State.RUNNING, State.RETRYING})


class Result(StrEnum):
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
    state: State = means("What became of it; running or retrying if it never ended.")
    reason: str = means("Why, as a sentence.")
    attempts: int = means("How often it was begun.", 0)
    seconds: float = means("From the start of its first attempt to its end.", 0.0)
    started_after: float | None = means(
        "Seconds from the start of the run to its own; null if it never did.", None
    )
    ended_after: float | None = means(
        "Seconds from the start of the run to its end; null if there was none.", None
    )
    exitcode: int | None = means("The exit code of the last attempt; null if a signal ended it.", None)
    signal: str | None = means("The signal that ended the last attempt.", None)
    failed_step: str | None = means("The step that failed it.", None)
    silent: float | None = means("Seconds for which it had printed nothing when that was too long.", None)
    log: str | None = means("The file that has what it printed.", None)
    command: tuple[str, ...] = means("The command line that runs just this job again.", ())
    needs: tuple[str, ...] = means("The jobs that it waited for.", ())
    lost: tuple[str, ...] = means("Why attempts before the last were lost.", ())
    steps: tuple[StepLine, ...] = means("The steps of its last attempt.", ())
    services: tuple[ServiceLine, ...] = means("The services of its last attempt.", ())

    @property
    def fallen(self) -> ServiceLine | None:
        """The service that may be to blame: one that never was ready, or ended before the job did."""
        return next((each for each in self.services if each.early or not each.was_ready), None)


@dataclass(frozen=True, slots=True)
class Story:
    """What became of the jobs of a run, in the order in which that was first known."""

    result: Result = means("Green, yellow (all that failed was allowed to) or red.")
    jobs: tuple[JobLine, ...] = means("One line a job that was run or decided on.")
    unreached: int = means("Jobs that nothing was decided about when the run ended.")
    critical_path: tuple[str, ...] = means("The chain of needs that takes longest, first to last.")
    critical_seconds: float = means("How long that chain takes: no number of workers ends the run sooner.")

    def of(self, *states: State) -> tuple[JobLine, ...]:
        """Return the jobs that are in one of these states, in order."""
        return tuple(line for line in self.jobs if line.state in states)


@dataclass(slots=True)
class _Job:
    """What is known of a job so far. One record a job: `facts` are the fields of its line."""

    began: float | None = None
    facts: dict[str, Any] = field(default_factory=lambda: {"state": State.SKIPPED, "reason": ""})
    steps: dict[int, StepLine] = field(default_factory=dict)
    services: dict[str, ServiceLine] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


class StoryBuilder:
    """An observer that keeps what the jobs came to. `story()` may be asked for at any time."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._expected: int | None = None
        self._run_began = 0.0
        self._run_failed = False

    def observe(self, event: Event) -> None:
        """Take note of one event. Costs a microsecond; keeps a line for each job and for each step."""
        note = _NOTES.get(event.name)
        if note is not None:
            note(self, event)

    def close(self) -> None:
        """Nothing to flush."""

    def story(self) -> Story | None:
        """Fold what was seen so far; None where the run has no jobs at all."""
        if self._expected is None and not self._jobs:
            return None
        lines = tuple(_line(name, job) for name, job in self._jobs.items())
        longest = critical_path([Timed(line.job, line.seconds, line.needs) for line in lines])
        begun = {line.job for line in lines if line.attempts}
        path = tuple(name for name in longest if name in begun)  # what was skipped took no time
        times = {line.job: line.seconds for line in lines}
        unreached = max((self._expected or 0) - len(lines), 0)
        return Story(
            result=Result.FAILED if unreached or self._run_failed else result_of(lines),
            jobs=lines,
            unreached=unreached,
            critical_path=path,
            critical_seconds=round(sum(times[name] for name in path), 6),
        )

    def _note_run_started(self, event: Event) -> None:
        self._run_began = event.at
        self._expected = event.fields.get("jobs")

    def _note_run_finished(self, event: Event) -> None:
        self._run_failed = event.fields["exitcode"] != 0

    def _note_started(self, event: Event) -> None:
        job, said = self._job(event), event.fields
        job.steps.clear()
        job.services.clear()
        if job.began is None:
            job.began = event.at
            job.facts["started_after"] = self._since_start(event)
        job.facts.update(
            state=State.RUNNING,
            reason=said["reason"],
            attempts=said["attempt"],
            log=said["log"],
            needs=tuple(said.get("needs", ())),
        )

    def _note_retried(self, event: Event) -> None:
        job = self._job(event)
        job.facts.update(state=State.RETRYING, reason=event.fields["reason"])
        if len(job.lost) < MOST_LOST_ATTEMPTS:
            job.lost.append(event.fields["reason"])

    def _note_skipped(self, event: Event) -> None:
        self._job(event).facts.update(
            state=State.SKIPPED,
            reason=event.fields["reason"],
            needs=tuple(event.fields.get("needs", ())),
            ended_after=self._since_start(event),
        )

    def _note_cancelled(self, event: Event) -> None:
        job = self._job(event)
        # One that runs is only being stopped: `job.finished` says what came of that.
        state = State.RUNNING if job.facts["state"] is State.RUNNING else State.CANCELLED
        job.facts.update(state=state, reason=event.fields["reason"])

    def _note_silent(self, event: Event) -> None:
        self._job(event).facts["silent"] = event.fields["seconds"]

    def _note_finished(self, event: Event) -> None:
        job, said = self._job(event), event.fields
        job.facts.update(
            state=State(said["result"]),
            reason=said["reason"],
            attempts=said["attempt"],
            exitcode=said["exitcode"],
            signal=said["signal"],
            log=said["log"],
            command=tuple(said["command"]),
            seconds=round(event.at - job.began, 6) if job.began is not None else said["duration"],
            ended_after=self._since_start(event),
            failed_step=_failed_step(job.steps.values()),
        )

    def _note_step_started(self, event: Event) -> None:
        said = event.fields
        self._job(event).steps[said["step"]] = StepLine(said["step"], said["name"], "running")

    def _note_step_finished(self, event: Event) -> None:
        said = event.fields
        self._job(event).steps[said["step"]] = StepLine(
            said["step"], said["name"], said["result"], said["exitcode"], said["signal"], said["duration"]
        )

    def _note_service_ready(self, event: Event) -> None:
        name = event.fields["service"]
        self._job(event).services[name] = ServiceLine(name, was_ready=True)

    def _note_service_exited(self, event: Event) -> None:
        job, said = self._job(event), event.fields
        job.services[said["service"]] = ServiceLine(
            said["service"],
            was_ready=said["service"] in job.services,
            early=said["early"],
            exitcode=said["exitcode"],
            signal=said["signal"],
            log=said["log"],
        )

    def _job(self, event: Event) -> _Job:
        return self._jobs.setdefault(event.fields["job"], _Job())

    def _since_start(self, event: Event) -> float:
        return round(event.at - self._run_began, 6)


_NOTES: Mapping[str, Callable[[StoryBuilder, Event], None]] = {
    "run.started": StoryBuilder._note_run_started,
    "job.started": StoryBuilder._note_started,
    "job.retried": StoryBuilder._note_retried,
    "job.skipped": StoryBuilder._note_skipped,
    "job.cancelled": StoryBuilder._note_cancelled,
    "job.silent": StoryBuilder._note_silent,
    "job.finished": StoryBuilder._note_finished,
    "step.started": StoryBuilder._note_step_started,
    "step.finished": StoryBuilder._note_step_finished,
    "service.ready": StoryBuilder._note_service_ready,
    "service.exited": StoryBuilder._note_service_exited,
    "run.finished": StoryBuilder._note_run_finished,
}


def tell(events: Iterable[Event]) -> Story | None:
    """Return the story of a history of events."""
    builder = StoryBuilder()
    for event in events:
        builder.observe(event)
    return builder.story()


def result_of(lines: Iterable[JobLine]) -> Result:
    """Say which of the three colours these jobs have together. Whatever did not come to its end is not green."""
    states = {line.state for line in lines}
    if states & (FAILURES | UNFINISHED | {State.CANCELLED}):
        return Result.FAILED
    return Result.ALLOWED if State.ALLOWED in states else Result.PASSED


def story_schema() -> dict[str, Any]:
    """Return the JSON Schema of `jobs` in a report."""
    line = closed_schema(JobLine)
    texts = {"type": "array", "items": {"type": "string"}}
    for name in ("command", "needs", "lost"):
        line["properties"][name] |= texts
    line["properties"]["state"] |= {"enum": list(State)}
    step = closed_schema(StepLine)
    step["properties"]["result"] |= {"enum": ["running", *_STEP_RESULTS]}
    line["properties"]["steps"] |= {"type": "array", "items": step}
    line["properties"]["services"] |= {"type": "array", "items": closed_schema(ServiceLine)}
    for name in ("started_after", "ended_after", "silent"):
        line["properties"][name] |= {"type": ["number", "null"]}
    schema = closed_schema(Story)
    schema["properties"]["result"] |= {"enum": list(Result)}
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
    culprits = [step.name for step in steps if step.result in ("failed", "timed_out")]
    return culprits[0] if culprits else None

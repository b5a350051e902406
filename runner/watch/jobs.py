"""The jobs of a watched run: what is, or became, of each, and at which step it is. Pure.

job.started · step.started · job.finished … ──► JobRows ──► WatchedJob
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from runner.events.base import Event
from runner.events.job_report import JobLine, JobReport, JobState, StepLine
from runner.events.jobs import (
    JobEvent,
    JobFinished,
    JobKept,
    JobReady,
    JobRetried,
    JobSkipped,
    JobStarted,
    StepStarted,
)
from runner.facts import dataclass


@dataclass(frozen=True, slots=True)
class WatchedJob:
    """One job that was begun or decided on. Moments in seconds since the epoch."""

    name: str
    """Its full id; a leg of a matrix has its values."""
    state: JobState
    since: float
    """Since when it is in that state."""
    began: float | None
    """When its first attempt began, of this run."""
    ended: float | None
    step: str | None
    """The step it is at, where it runs."""
    step_since: float | None
    attempts: int
    reason: str
    needs: tuple[str, ...]
    log: str | None
    ready_since: float | None
    """Since when those that need it may run, where it runs in the background."""
    line: JobLine
    """All else that a report says of it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to come."""
        return self.state not in (JobState.RUNNING, JobState.RETRYING)

    @property
    def steps(self) -> tuple[StepLine, ...]:
        """The steps of its last attempt that have begun."""
        return self.line.steps


@dataclass(slots=True)
class _Row:
    since: float
    began: float | None = None
    ended: float | None = None
    step: str | None = None
    step_since: float | None = None
    ready_since: float | None = None


@dataclass(slots=True)
class JobRows:
    """The moments that a report does not have."""

    rows: dict[str, _Row] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        if not isinstance(event, JobEvent):
            return
        row = self.rows.setdefault(event.job, _Row(event.at))
        match event:
            case JobReady():
                row.ready_since = event.at
            case JobStarted():
                row.ready_since = None
                row.since, row.ended, row.step, row.step_since = event.at, None, None, None
                row.began = row.began or event.at
            case JobRetried():
                row.since, row.step, row.step_since = event.at, None, None
            case JobFinished() | JobSkipped():
                row.since = row.ended = event.at
                row.step = row.step_since = None
            case JobKept():
                row.since = row.ended = event.ended
            case StepStarted():
                row.step, row.step_since = event.name, event.at

    def now(self, report: JobReport | None) -> Sequence[WatchedJob]:
        """Return a row for each job, in the order in which something became known of it."""
        lines = () if report is None else report.jobs
        return tuple(_job_now(line, self.rows[line.job]) for line in lines if line.job in self.rows)


def _job_now(line: JobLine, row: _Row) -> WatchedJob:
    return WatchedJob(
        name=line.job,
        state=line.state,
        since=row.since,
        began=row.began,
        ended=row.ended,
        step=row.step,
        step_since=row.step_since,
        attempts=line.attempts,
        reason=line.reason,
        needs=line.needs,
        log=line.log,
        ready_since=row.ready_since,
        line=line,
    )

"""Events as a run would publish them, and what they fold to, for tests that need histories and no processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runner.events.base import Event
from runner.events.catalogue import KINDS
from runner.events.job_report import JobReport, JobReportBuilder
from runner.events.report import Report, ReportBuilder


def fold(events: Iterable[Event], *, cores: int = 1) -> Report:
    builder = ReportBuilder(cores)
    for each in events:
        builder.observe(each)
    return builder.report()


def fold_jobs(events: Iterable[Event]) -> JobReport | None:
    builder = JobReportBuilder()
    for each in events:
        builder.observe(each)
    return builder.report()


def event(name: str, at: float = 0.0, /, **fields: Any) -> Event:
    return KINDS[name](**fields).stamped(at, "r1")


def run_started(jobs: int | None = None, at: float = 0.0) -> Event:
    declared = {"jobs": jobs} if jobs is not None else {}
    return event(
        "run.started",
        at,
        workflow="ci",
        file="ci.yaml",
        transport="leased",
        pid=1,
        stages=[],
        queues=[],
        **declared,
    )


def run_finished(exitcode: int = 0, at: float = 10.0, reason: str | None = None) -> Event:
    outcome = {0: "done", 1: "failed"}.get(exitcode, "interrupted")
    return event("run.finished", at, outcome=outcome, exitcode=exitcode, reason=reason, seconds=at, queues=[])


def started(
    job: str,
    at: float = 0.0,
    *,
    attempt: int = 1,
    needs: Sequence[str] = (),
    log: str = "",
    background: bool = False,
) -> Event:
    reason = f"needs are done: {', '.join(needs)} passed" if needs else "it needs nothing"
    return event(
        "job.started",
        at,
        job=job,
        attempt=attempt,
        reason=reason,
        log=log or f"logs/{job}.log",
        worker="runner-1",
        needs=list(needs),
        background=background,
    )


def finished(
    job: str,
    at: float = 1.0,
    result: str = "passed",
    *,
    exitcode: int | None = None,
    signal: str | None = None,
    attempt: int = 1,
    reason: str = "",
    log: str = "",
) -> Event:
    code = (0 if result == "passed" else 1) if exitcode is None and signal is None else exitcode
    return event(
        "job.finished",
        at,
        job=job,
        result=result,
        exitcode=code,
        signal=signal,
        duration=1.0,
        attempt=attempt,
        reason=reason or f"its steps are {result}",
        log=log or f"logs/{job}.log",
        command=["mprun", "run", "ci.yaml", "--job", job],
    )


def skipped(
    job: str, at: float = 1.0, reason: str = "need 'lint' failed", needs: Sequence[str] = ()
) -> Event:
    return event("job.skipped", at, job=job, reason=reason, needs=list(needs))


def kept(job: str, result: str = "passed", *, from_run: str = "r1", **more: Any) -> Event:
    told = {"reason": f"its steps are {result}", "attempt": 1, "duration": 5.0, "ended": 3.0, "exitcode": 0}
    fields = {**told, "log": f"logs/{job}.log", **more}
    return event("job.kept", 0.0, job=job, result=result, from_run=from_run, **fields)


def cancelled(job: str, at: float = 1.0, reason: str = "test (3.11) failed, and fail-fast is on") -> Event:
    return event("job.cancelled", at, job=job, reason=reason)


def retried(job: str, at: float = 1.0, attempt: int = 2, reason: str = "attempt 1 exited with 75") -> Event:
    return event("job.retried", at, job=job, attempt=attempt, reason=reason, delay=0.5)


def step_finished(job: str, step: int, name: str, at: float = 1.0, result: str = "passed") -> Event:
    return event(
        "step.finished",
        at,
        job=job,
        step=step,
        name=name,
        exitcode=0 if result == "passed" else 2,
        signal=None,
        duration=0.5,
        result=result,
    )


def service_exited(
    job: str, service: str = "db", at: float = 1.0, *, early: bool = True, log: str = ""
) -> Event:
    return event(
        "service.exited",
        at,
        job=job,
        service=service,
        exitcode=4,
        signal=None,
        reason="it ended before the job did" if early else "the job is over",
        early=early,
        log=log or f"logs/{job}.{service}.log",
    )


def one_job(job: str, began: float, ended: float, result: str = "passed", **more: Any) -> list[Event]:
    needs = more.pop("needs", ())
    return [started(job, began, needs=needs), finished(job, ended, result, **more)]

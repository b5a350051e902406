"""A report, made again from its JSON: of a run of today, or of one that an older or newer mprun has written.

{"outcome": "done", "stages": [{…}], …} ──► read_report ──► Report          what is not known here is left out
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, TypeVar

from runner.events.job_report import JobLine, JobReport, JobState, RunResult, ServiceLine, StepLine
from runner.events.report import Report
from runner.events.report_fields import Failure, QueueLine, StageLine

_Fact = TypeVar("_Fact", Report, StageLine, QueueLine, Failure, JobReport, JobLine, StepLine, ServiceLine)


def read_report(data: Mapping[str, Any]) -> Report:
    """
    Make a report again from what `Report.as_dict` gave.

    Raises:
        ValueError: it is no report at all.
    """
    try:
        jobs = data.get("jobs")
        return _made(
            Report,
            data,
            started_at=datetime.fromisoformat(data["started_at"]).timestamp(),
            stages=_lines(StageLine, data, "stages"),
            queues=_lines(QueueLine, data, "queues"),
            failures=_lines(Failure, data, "failures"),
            jobs=None if jobs is None else _job_report(jobs),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no report: {error!r}") from error


def _job_report(data: Mapping[str, Any]) -> JobReport:
    lines = tuple(
        _made(
            JobLine,
            each,
            state=JobState(each["state"]),
            steps=_lines(StepLine, each, "steps"),
            services=_lines(ServiceLine, each, "services"),
        )
        for each in data["jobs"]
    )
    return _made(JobReport, data, result=RunResult(data["result"]), jobs=lines)


def _lines(fact: type[_Fact], data: Mapping[str, Any], key: str) -> tuple[_Fact, ...]:
    return tuple(_made(fact, each) for each in data.get(key, ()))


def _made(fact: type[_Fact], data: Mapping[str, Any], **made: Any) -> _Fact:
    """Make one fact; what it has not been given and has no default is None."""
    values: dict[str, Any] = {}
    for field in fields(fact):
        if field.name in made:
            values[field.name] = made[field.name]
        elif field.name in data:
            value = data[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.default is MISSING:
            values[field.name] = None
    return fact(**values)

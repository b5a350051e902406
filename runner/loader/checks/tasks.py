"""What runs without being named: `default` and `manual`, checked before anything starts. Pure.

    default: [lint, "tets*"]    job test: {needs: build}    job build: {manual: true}

unknown-job           an entry of `default` that means no job
manual-all-the-same   a warning of a job that is `manual`, and that a run without names has all the same
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.errors import UsageError
from runner.jobs.selection import legs_meant, plain_run
from runner.spec.diagnostics import DataPath, Diagnostic, Severity
from runner.spec.jobs.model import JobSpec


def check_tasks(data: Mapping[str, Any], jobs: Sequence[JobSpec], default: Sequence[str]) -> list[Diagnostic]:
    """Return what is wrong with what a run without names would have."""
    found = list(_unknown(data.get("default"), jobs))
    unsure = found or (data.get("default") and not default)  # it is wrong, which has been told
    return found if unsure else list(_manual_all_the_same(jobs, default))


def _unknown(default: Any, jobs: Sequence[JobSpec]) -> Iterator[Diagnostic]:
    for path, name in _with_paths(default):
        try:
            legs_meant(jobs, [name])
        except UsageError as error:
            message, _, help_ = str(error).partition("; ")
            yield Diagnostic(path, "unknown-job", message, help=help_)


def _with_paths(default: Any) -> Iterator[tuple[DataPath, str]]:
    if isinstance(default, str):
        yield ("default",), default
    for number, name in enumerate(default if isinstance(default, list) else ()):
        if isinstance(name, str):
            yield ("default", number), name


def _manual_all_the_same(jobs: Sequence[JobSpec], default: Sequence[str]) -> Iterator[Diagnostic]:
    plain = plain_run(jobs, default)
    for job in jobs:
        if job.manual and job.name in plain:
            by = next(
                (j.name for j in jobs if j.name in plain and job.name in {n.job for n in j.needs}), None
            )
            why = "`default` names it" if by is None else f"job '{by}' needs it"
            message = f"job '{job.name}' is manual, and runs without being named all the same, since {why}"
            help_ = "take 'manual' out, or make what needs it manual too"
            yield Diagnostic(
                ("jobs", job.name, "manual"),
                "manual-all-the-same",
                message,
                help=help_,
                severity=Severity.WARNING,
            )

"""`mprun plan` of a workflow with jobs: every leg in the order in which it may run, with what decides that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.cells import columns, visible
from runner.jobs.picture import needs_words, waves
from runner.jobs.scripts import read_as
from runner.plan import Plan
from runner.plan_labels import count
from runner.spec_jobs import JobSpec, LegSpec, StepSpec

_MOST_SHOWN = 60


def as_text(plan: Plan) -> str:
    """Show the legs as an aligned table without colour."""
    legs = sum(len(job.legs) for job in plan.jobs)
    parts = (count(len(plan.jobs), "job"), f"{count(legs, 'leg')}, {len(plan.workers)} at once")
    heading = [f"{visible(plan.name)}: {', '.join(parts)}"]
    heading += [visible(line) for line in plan.description.splitlines()]
    rows = [["WAVE", "JOB", "NEEDS", "IF", "RUNS"]]
    for number, wave in enumerate(waves(plan.jobs), start=1):
        rows += [_row(number, job, leg) for job in wave for leg in job.legs]
    return "\n".join([*heading, "", *columns(rows)]) + "\n"


def as_dict(plan: Plan) -> dict[str, Any]:
    """Show the jobs as plain data, in waves."""
    return {
        "name": plan.name,
        "file": str(plan.path),
        "description": plan.description,
        "at_once": len(plan.workers),
        "limits": {"timeout": plan.limits.timeout, "stop_timeout": plan.limits.stop_timeout},
        "jobs": [
            _job_dict(job, number) for number, wave in enumerate(waves(plan.jobs), start=1) for job in wave
        ],
    }


def _row(wave: int, job: JobSpec, leg: LegSpec) -> list[str]:
    runs = leg.steps[0].name if len(leg.steps) == 1 else count(len(leg.steps), "step")
    return [str(wave), leg.id, needs_words(job.needs) or "-", _cut(leg.condition) or "-", _cut(runs)]


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"


def _job_dict(job: JobSpec, wave: int) -> dict[str, Any]:
    return {
        "name": job.name,
        "description": job.description,
        "wave": wave,
        "needs": [{"job": need.job, "optional": need.optional} for need in job.needs],
        "outputs": list(job.values),
        "fail_fast": job.fail_fast,
        "max_parallel": job.max_parallel,
        "legs": [_leg_dict(leg) for leg in job.legs],
    }


def _leg_dict(leg: LegSpec) -> dict[str, Any]:
    """Of the environment, names only: values may be secret."""
    return {
        "id": leg.id,
        "matrix": dict(leg.matrix),
        "if": leg.condition or "success()",
        "steps": _steps(leg.steps),
        "ensure": _steps(leg.ensure),
        "services": [service.name for service in leg.services],
        "env": sorted(leg.env),
        "secrets": list(leg.secrets),
        "timeout": leg.timeout,
        "idle_timeout": leg.idle_timeout,
        "attempts": leg.attempts.max,
        "may_fail": leg.may_fail,
        "concurrency": None if leg.concurrency is None else leg.concurrency.group,
    }


def _steps(steps: Sequence[StepSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": step.name,
            "run": read_as(step.command),
            "if": step.condition or "success()",
            "timeout": step.timeout,
        }
        for step in steps
    ]

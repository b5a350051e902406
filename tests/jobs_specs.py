"""Jobs for tests, written short: `job("test", needs="build", legs=2)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.spec.jobs.commands import CommandSpec, StepSpec
from runner.spec.jobs.model import JobSpec, LegSpec, NeedSpec

STEP = StepSpec("true", CommandSpec(("true",)))


def leg(job: str, label: str = "", **facts: Any) -> LegSpec:
    """A leg of one step."""
    return LegSpec(id=f"{job} ({label})" if label else job, job=job, label=label, steps=(STEP,), **facts)


def job(
    name: str,
    *,
    needs: str | Iterable[NeedSpec] = (),
    legs: int = 0,
    condition: str = "",
    fail_fast: bool = True,
    max_parallel: int | None = None,
    values: tuple[str, ...] = (),
    manual: bool = False,
    **facts: Any,
) -> JobSpec:
    """A job. `needs` are names with spaces between; with `legs` it has a matrix, and legs `a (1)`, `a (2)` …"""
    wanted = tuple(map(NeedSpec, needs.split())) if isinstance(needs, str) else tuple(needs)
    labels = [str(number) for number in range(1, legs + 1)] if legs else [""]
    return JobSpec(
        name=name,
        legs=tuple(leg(name, label, condition=condition, **facts) for label in labels),
        needs=wanted,
        values=values,
        has_matrix=bool(legs),
        fail_fast=fail_fast,
        max_parallel=max_parallel,
        manual=manual,
    )

"""`--job NAME`: just that, with what it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from runner.errors import UsageError
from runner.problems import did_you_mean
from runner.spec_jobs import JobSpec


def choose(jobs: Sequence[JobSpec], names: Iterable[str]) -> tuple[JobSpec, ...]:
    """
    Return the jobs that are named, with all that they need, in the order of the file.

    A name is that of a job, or the full id of one leg, such as `test (3.11, slow)`: then no other leg of it runs.

    Raises:
        UsageError: there is no such job or leg.
    """
    wanted = list(names)
    legs = {leg.id: job for job in jobs for leg in job.legs}
    chosen: dict[str, set[str]] = {}
    for name in wanted:
        job = next((job for job in jobs if job.name == name), legs.get(name))
        if job is None:
            # A job without a matrix is its own leg.
            known = dict.fromkeys([*(each.name for each in jobs), *legs])
            raise UsageError(f"there is no job '{name}'; {did_you_mean(name, known)}")
        whole = job.name == name
        chosen.setdefault(job.name, set()).update(leg.id for leg in job.legs if whole or leg.id == name)
    needed = _needed(jobs, chosen)
    return tuple(
        replace(
            job, legs=tuple(leg for leg in job.legs if job.name not in chosen or leg.id in chosen[job.name])
        )
        for job in jobs
        if job.name in needed
    )


def _needed(jobs: Sequence[JobSpec], names: Iterable[str]) -> set[str]:
    by_name = {job.name: job for job in jobs}
    found: set[str] = set()
    frontier = list(names)
    while frontier:
        name = frontier.pop()
        if name not in found:
            found.add(name)
            frontier += [need.job for need in by_name[name].needs]
    return found

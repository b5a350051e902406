"""How long a job in the background goes on: which jobs have to be over before it is ended. Pure.

    db ◄── needs ── api ◄── needs ── test        test is over ──► api (in the background too) is ended ──► db is

One that somebody needs is held by those who do. One that nobody needs is held by all other jobs that come to an end by
themselves, but for those that it waits for itself; where there is none, it goes on until the run is stopped.

Nobody waits for the end of such a job, and it takes no slot: that is why it can't make a run hang.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.spec.graph import reachable
from runner.spec.jobs.model import JobSpec


class BackgroundUse:
    """Who still uses the jobs in the background of one run."""

    def __init__(self, jobs: Sequence[JobSpec]) -> None:
        self._open: dict[str, set[str]] = {}
        self._holds: dict[str, list[str]] = {}
        for name, holders in holders_of(jobs).items():
            self._open[name] = set(holders)
            for holder in holders:
                self._holds.setdefault(holder, []).append(name)
        self._endless = {name for name, holders in self._open.items() if not holders}

    def is_over_for(self, job: str) -> bool:
        """Whether all that held it are over; never of one that nothing but a stop ends."""
        return not self._open[job] and job not in self._endless

    def job_over(self, job: str) -> list[str]:
        """A job is over: return those in the background that nobody holds any longer."""
        freed = []
        for held in self._holds.get(job, ()):
            self._open[held].discard(job)
            if not self._open[held]:
                freed.append(held)
        return freed


def holders_of(jobs: Sequence[JobSpec]) -> dict[str, list[str]]:
    """Return by the name of each job with a leg in the background the jobs that must be over before that is ended."""
    background = [job.name for job in jobs if is_background(job)]
    if not background:
        return {}
    needs = {job.name: [need.job for need in job.needs] for job in jobs}
    needed_by: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for need in needed:
            needed_by.setdefault(need, []).append(name)
    return {name: needed_by.get(name) or _others(name, jobs, needs) for name in background}


def is_background(job: JobSpec) -> bool:
    """Whether a leg of a job goes on while others use it."""
    return any(leg.background for leg in job.legs)


def _others(name: str, jobs: Sequence[JobSpec], needs: Mapping[str, Sequence[str]]) -> list[str]:
    before = reachable([name], lambda each: needs.get(each, ()))
    return [job.name for job in jobs if job.name not in before and not is_background(job)]

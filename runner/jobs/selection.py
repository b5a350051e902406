"""Which jobs of a file a run has: those named, those that run without names, less what is skipped. Pure.

    JobSpecs ── names, globs ──► these, and what they need ──┐
             ── none ──────────► `default`, or all but `manual` ├── less `skip` ──► JobSpecs, in the order of the file
             ── `only` ────────► just these ─────────────────┘

A name is that of a job or the full id of one leg, such as `test (3.11, slow)`; what is neither may be a glob over both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from runner.errors import UsageError
from runner.facts import dataclass
from runner.jobs.templates import names_of_leg
from runner.spec.graph import reachable
from runner.spec.jobs.model import JobSpec
from runner.spec.suggestions import did_you_mean

_SIGNS = "*?[]"
"""What tells a glob from a name that is misspelt."""
_Legs = Mapping[str, set[str]]
"""By job, the ids of the legs that are meant."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line says of which jobs are to run."""

    names: Sequence[str] = ()
    """These, and what they need."""
    only: Sequence[str] = ()
    """Just these."""
    skip: Sequence[str] = ()
    """Not these; what needs them runs as if they had passed."""


_PLAIN = Selection()


def select_jobs(
    jobs: Sequence[JobSpec], selection: Selection = _PLAIN, default: Sequence[str] = ()
) -> tuple[JobSpec, ...]:
    """
    Return the jobs that a run has, in the order of the file; `default` are the names of those without any named.

    Raises:
        UsageError: a name or glob means none of them, none is left, or what is left uses one left out.
    """
    left_out = legs_meant(jobs, selection.skip)
    names = selection.only or selection.names or _plain(jobs, default)
    chosen = _without(legs_meant(jobs, names), left_out)
    by_name = {job.name: job for job in jobs}
    skipped = {name for name, legs in left_out.items() if legs == {leg.id for leg in by_name[name].legs}}

    def needed(name: str) -> list[str]:
        return [need.job for need in by_name[name].needs if need.job not in skipped]

    running = set(chosen) if selection.only else reachable(chosen, needed)
    found = tuple(
        _part(job, chosen.get(job.name), left_out.get(job.name, set()), running)
        for job in jobs
        if job.name in running
    )
    _check(found, by_name, selection)
    return found


def plain_run(jobs: Sequence[JobSpec], default: Sequence[str] = ()) -> set[str]:
    """Return the names of the jobs that a run without any named has, as far as `default` names some."""
    chosen = [job.name for name in default for job in jobs if _means(name, job, jobs)] or [
        job.name for job in jobs if not job.manual and not default
    ]
    by_name = {job.name: job for job in jobs}
    return reachable(chosen, lambda name: [n.job for n in by_name[name].needs if n.job in by_name])


def legs_meant(jobs: Sequence[JobSpec], names: Iterable[str]) -> dict[str, set[str]]:
    """Return by job the legs that names and globs mean. Raises UsageError for one that means none."""
    chosen: dict[str, set[str]] = {}
    for name in names:
        found = [(job, legs) for job in jobs if (legs := _means(name, job, jobs))]
        if not found:
            raise UsageError(no_such_job(name, jobs))
        for job, legs in found:
            chosen.setdefault(job.name, set()).update(legs)
    return chosen


def no_such_job(name: str, jobs: Sequence[JobSpec]) -> str:
    """Say that a name or glob means no job, with the nearest that there is."""
    # A job without a matrix is its own leg.
    known = dict.fromkeys([*(job.name for job in jobs), *(leg.id for job in jobs for leg in job.legs)])
    if any(sign in name for sign in _SIGNS):
        plain = "".join(letter for letter in name if letter not in _SIGNS).strip(" (")
        return f"no job is like '{name}'; {did_you_mean(plain, known)}"
    return f"there is no job '{name}'; {did_you_mean(name, known)}"


def _means(name: str, job: JobSpec, jobs: Sequence[JobSpec]) -> set[str]:
    """Return the legs of a job that a name or glob means: an exact name goes before what it is like as a glob."""
    legs = {leg.id for leg in job.legs}
    if name == job.name:
        return legs
    if name in legs:
        return {name}
    if any(name == other.name or any(name == leg.id for leg in other.legs) for other in jobs):
        return set()
    return legs if fnmatchcase(job.name, name) else {leg for leg in legs if fnmatchcase(leg, name)}


def _plain(jobs: Sequence[JobSpec], default: Sequence[str]) -> Sequence[str]:
    if default:
        return default
    names = [job.name for job in jobs if not job.manual]
    if not names and jobs:
        known = ", ".join(job.name for job in jobs)
        raise UsageError(f"every job of the file is `manual`: name what is to run; known here: {known}")
    return names


def _without(chosen: _Legs, left_out: _Legs) -> dict[str, set[str]]:
    return {name: rest for name, legs in chosen.items() if (rest := legs - left_out.get(name, set()))}


def _part(job: JobSpec, legs: set[str] | None, left_out: set[str], running: set[str]) -> JobSpec:
    """Return a job with the legs that run, and the needs that do."""
    kept = tuple(leg for leg in job.legs if (legs is None or leg.id in legs) and leg.id not in left_out)
    needs = tuple(need for need in job.needs if need.job in running)
    return job if (kept, needs) == (job.legs, job.needs) else replace(job, legs=kept, needs=needs)


def _check(found: Sequence[JobSpec], by_name: Mapping[str, JobSpec], selection: Selection) -> None:
    if by_name and not found:
        raise UsageError("nothing is left to run: --skip leaves out all of it")
    for job in found:
        needs = {need.job for need in job.needs}
        lost = [need.job for need in by_name[job.name].needs if need.job not in needs]
        if lost and (used := next((name for name in _uses(job) if name in lost), None)):
            way = (
                f"leave out `--skip {used}`"
                if selection.skip and not selection.only
                else f"name '{used}' too"
            )
            raise UsageError(f"job '{job.name}' asks for `needs.{used}`, which does not run: {way}")


def _uses(job: JobSpec) -> Iterator[str]:
    """Yield the jobs whose results or outputs a job's texts and conditions ask for."""
    found = (names for leg in job.legs for names in names_of_leg(leg))
    return (names[1] for names in found if names[0] == "needs" and len(names) > 1)

"""What has become of the legs of a job, and what that means for those who need it. Pure.

    Past of each leg ──► result_of, as_need ──► needs.x.result, needs.x.outputs
                    └──► standing_of ──────────► success(), failure(), cancelled()

Only what a job needs itself decides, and the decision travels: a job that was skipped because a need had failed counts
as a failure for those behind it, one that was skipped by its own `if`, or as it was up to date, does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.jobs.conditions import Need as Known
from runner.jobs.conditions import Standing
from runner.jobs.outputs import gather
from runner.spec_jobs import JobSpec, Need, Result

Pasts = Mapping[str, "Past"]
"""What became of each leg of a job, by its id."""

_WORST_FIRST = (
    Result.FAILED,
    Result.TIMED_OUT,
    Result.CANCELLED,
    Result.ALLOWED,
    Result.PASSED,
    Result.SKIPPED,
)
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Past:
    """What became of one leg."""

    result: Result
    outputs: Mapping[str, str] = field(default_factory=dict)
    blocked_by: str | None = None
    """For one that was skipped because of a failure before it: what failed first, such as `'build' failed`."""


def result_of(pasts: Pasts) -> Result:
    """Return what became of a job: the worst of its legs, where being skipped counts least. No leg is skipped too."""
    results = {past.result for past in pasts.values()}
    return next((result for result in _WORST_FIRST if result in results), Result.SKIPPED)


def as_need(job: JobSpec, pasts: Pasts) -> Known:
    """Return what conditions and references get to see of a job."""
    if job.has_matrix:
        legs = {leg.label: pasts[leg.id].outputs for leg in job.legs if leg.id in pasts}
        return Known(str(result_of(pasts)), gather(legs))
    return Known(str(result_of(pasts)), next((past.outputs for past in pasts.values()), {}))


def standing_of(needs: Iterable[Need], pasts: Mapping[str, Pasts], stopping: str | None) -> Standing:
    """Say how things stand for a job with these needs, all of which are over. Optional ones don't count."""
    counted = [need.job for need in needs if not need.optional]
    results = {name: result_of(pasts[name]) for name in pasts}
    failed = [f"need '{name}' {_how(results[name])}" for name in counted if results[name].is_failure]
    failed += [f"need '{name}' did not run, as {why}" for name in counted if (why := blocked_by(pasts[name]))]
    cancelled = [f"need '{name}' was cancelled" for name in counted if results[name] is Result.CANCELLED]
    return Standing(_fine(results), tuple(failed), tuple(cancelled), stopping)


def blocked_by(pasts: Pasts) -> str | None:
    """Return what failed before a job and kept a leg of it from running, or None."""
    return next((past.blocked_by for past in pasts.values() if past.blocked_by is not None), None)


def root_of(needs: Iterable[Need], pasts: Mapping[str, Pasts]) -> str | None:
    """Return what failed first among what a job needs, such as `'build' failed`; None if nothing did."""
    for need in needs:
        result = result_of(pasts[need.job])
        if not need.optional and result.is_failure:
            return f"'{need.job}' {_how(result)}"
        if not need.optional and (why := blocked_by(pasts[need.job])):
            return why
    return None


def _how(result: Result) -> str:
    return {Result.TIMED_OUT: "timed out", Result.ALLOWED: "failed, which it may"}.get(result, str(result))


def _fine(results: Mapping[str, Result]) -> str:
    if not results:
        return "it needs nothing"
    one = "need is" if len(results) == 1 else "needs are"
    return f"{one} done: {_listed([f'{name} {_how(result)}' for name, result in results.items()])}"


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - _MOST_NAMED
    shown = ", ".join(parts[:_MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown

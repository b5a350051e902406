"""What becomes of the legs of a job, and what that means for those who need it. Pure.

    worker ── JobOutcome of an attempt ──► JobGraph, which says what that comes to ──► JobOutcome of the leg

    JobOutcome of each leg ──► result_of, need_context ──► needs.x.result, needs.x.outputs
                          └──► status_of ──────────► success(), failure(), cancelled()

Only what a job needs itself decides, and the decision travels: a job that was skipped because a need had failed counts
as a failure for those behind it, one that was skipped by its own `if`, or as it was up to date, does not.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.jobs.files import outputs_by_leg
from runner.spec.expressions.evaluate import NeedContext, StatusContext
from runner.spec.jobs.model import JobSpec, NeedSpec
from runner.spec.model import JobResult
from runner.text import summarize

LegOutcomes = Mapping[str, "JobOutcome"]
"""What became of each leg of a job, by its id."""

_WORST_FIRST = (
    JobResult.FAILED,
    JobResult.TIMED_OUT,
    JobResult.CANCELLED,
    JobResult.ALLOWED,
    JobResult.PASSED,
    JobResult.SKIPPED,
)
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How an attempt of a leg ended, and at last the leg: one record, made in the worker and enriched by the graph.

    What only the last attempt knows, such as its exit code, stays known when the graph finds another result or reason.
    """

    result: JobResult
    reason: str = ""
    """A sentence, such as `step 2 (pytest) exited with code 1`."""
    exitcode: int | None = None
    signal: str | None = None
    duration: float = 0.0
    """Seconds that the attempt took."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    for_good: bool = False
    """No further attempt would help: the job as a whole is out of time."""
    goes_on: bool = False
    """It runs in the background, and is ready."""
    blocked_by: str | None = None
    """For one that was skipped because of a failure before it: what failed first, such as `'build' failed`."""

    @property
    def shell_code(self) -> int | None:
        """The exit code as a shell gives it; None if no command's own end decided: a timeout, a worker's death."""
        if self.result is JobResult.FAILED and self.signal is not None:
            return 128 + _number_of(self.signal)
        return self.exitcode

    def as_message(self) -> dict[str, Any]:
        """Return it as the fields of a message, plain enough for JSON."""
        return {
            "result": str(self.result),
            "reason": self.reason,
            "exitcode": self.exitcode,
            "signal": self.signal,
            "duration": self.duration,
            "outputs": dict(self.outputs),
            "for_good": self.for_good,
        }

    @classmethod
    def from_message(cls, fields: Mapping[str, Any]) -> JobOutcome:
        """Read what a worker reports. It is gossip: what makes no sense in it must not break the loop of the run."""
        result, outputs = fields.get("result"), fields.get("outputs")
        return cls(
            result=JobResult(result) if result in tuple(JobResult) else JobResult.FAILED,
            reason=str(fields.get("reason", "")),
            exitcode=fields.get("exitcode"),
            signal=fields.get("signal"),
            duration=float(fields.get("duration") or 0.0),
            outputs=outputs if isinstance(outputs, dict) else {},
            for_good=bool(fields.get("for_good")),
        )


def result_of(outcomes: LegOutcomes) -> JobResult:
    """Return what became of a job: the worst of its legs, where being skipped counts least. No leg is skipped too."""
    results = {leg.result for leg in outcomes.values()}
    return next((result for result in _WORST_FIRST if result in results), JobResult.SKIPPED)


def need_context(job: JobSpec, outcomes: LegOutcomes) -> NeedContext:
    """Return what conditions and references get to see of a job."""
    if job.has_matrix:
        legs = {leg.label: outcomes[leg.id].outputs for leg in job.legs if leg.id in outcomes}
        return NeedContext(result=str(result_of(outcomes)), outputs=outputs_by_leg(legs))
    return NeedContext(
        result=str(result_of(outcomes)), outputs=next((leg.outputs for leg in outcomes.values()), {})
    )


def status_of(
    needs: Iterable[NeedSpec], outcomes: Mapping[str, LegOutcomes], stopping: str | None
) -> StatusContext:
    """Say how things stand for a job with these needs, all of which are over. Optional ones don't count."""
    counted = [need.job for need in needs if not need.optional]
    results = {name: result_of(outcomes[name]) for name in outcomes}
    failed = [
        f"need '{name}' {describe_result(results[name])}" for name in counted if results[name].is_failure
    ]
    failed += [
        f"need '{name}' did not run, as {why}" for name in counted if (why := blocked_by(outcomes[name]))
    ]
    cancelled = [f"need '{name}' was cancelled" for name in counted if results[name] is JobResult.CANCELLED]
    going_on = {name for name in outcomes if any(leg.goes_on for leg in outcomes[name].values())}
    return StatusContext(_needs_are_done(results, going_on), tuple(failed), tuple(cancelled), stopping)


def blocked_by(outcomes: LegOutcomes) -> str | None:
    """Return what failed before a job and kept a leg of it from running, or None."""
    return next((leg.blocked_by for leg in outcomes.values() if leg.blocked_by is not None), None)


def root_of(needs: Iterable[NeedSpec], outcomes: Mapping[str, LegOutcomes]) -> str | None:
    """Return what failed first among what a job needs, such as `'build' failed`; None if nothing did."""
    for need in needs:
        result = result_of(outcomes[need.job])
        if not need.optional and result.is_failure:
            return f"'{need.job}' {describe_result(result)}"
        if not need.optional and (why := blocked_by(outcomes[need.job])):
            return why
    return None


def describe_result(result: JobResult) -> str:
    """Return what became of a job as the end of a sentence: `'build' timed out`."""
    return {JobResult.TIMED_OUT: "timed out", JobResult.ALLOWED: "failed, which it may"}.get(
        result, str(result)
    )


def _needs_are_done(results: Mapping[str, JobResult], going_on: Collection[str]) -> str:
    if not results:
        return "it needs nothing"
    one = "need is" if len(results) == 1 else "needs are"
    ended = [
        f"{name} {'is ready' if name in going_on else describe_result(result)}"
        for name, result in results.items()
    ]
    return f"{one} done: {summarize(ended, _MOST_NAMED)}"


def _number_of(name: str) -> int:
    """Return the number of a signal; a real-time one has no name, and is called `signal 40`."""
    known = signal.Signals.__members__.get(name)
    return int(name.rpartition(" ")[2]) if known is None else known

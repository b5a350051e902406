"""What of a past run's jobs can be kept: the record, the file as it is, and what lies in the folders, put together.

record ──► past_legs ──┐
plan, fresh files ─────┴──► judge_jobs ──► decisions ──► JobsPast ──► run        decision_lines ──► who looks on
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runner.jobs.requests import RequestBuilder, Secrets
from runner.jobs.resumption import (
    KeptLeg,
    LegDecision,
    PastLeg,
    RunLeg,
    Stale,
    decide_legs,
    digests_of,
)
from runner.jobs.up_to_date import UP_TO_DATE, find_files
from runner.record.reader import RunView
from runner.spec.expressions.evaluate import NeedContext
from runner.spec.jobs.model import LegSpec
from runner.spec.model import JobResult
from runner.spec.plan import Plan
from runner.text import visible
from runner.units import rough_duration


def past_legs(view: RunView) -> dict[str, PastLeg]:
    """Return what the record of a run tells of its jobs, by their ids."""
    return {
        row["id"]: PastLeg(
            state=row["state"],
            attempts=row["attempts"] or 0,
            lost=row.get("lost") or 0,
            outputs=row["outputs"],
            digests=row["key"],
            reason=row["reason"] or "",
            exitcode=row["code"],
            signal=row["signal"],
            seconds=round(max((row["ended"] or 0.0) - (row["began"] or row["ended"] or 0.0), 0.0), 6),
            ended=row["ended"] or 0.0,
            log=row["log"] or "",
        )
        for row in view.jobs()
    }


def judge_jobs(
    plan: Plan, past: Mapping[str, PastLeg], home: Path, run: str, again: Mapping[str, str] | None = None
) -> list[LegDecision]:
    """Decide which jobs of a plan are kept of a past run. `again` are ids of those that run in any case, with why."""
    digests = {
        leg.id: digests_of(job, leg, plan.params, plan.contexts) for job in plan.jobs for leg in job.legs
    }
    return decide_legs(plan.jobs, past, digests, again=again, stale=_look_at_files(plan, past, home, run))


def _look_at_files(plan: Plan, past: Mapping[str, PastLeg], home: Path, run: str) -> Stale:
    """Return what says whether the files are still what they were when a job ended."""
    builder = RequestBuilder(plan, Secrets.gathered(plan.jobs, os.environ), home, home)

    def stale(leg: LegSpec, needs: Mapping[str, NeedContext]) -> str | None:
        was = past[leg.id]
        if was.state == JobResult.SKIPPED and was.reason != UP_TO_DATE:
            return None  # its `if` said so, whatever its files are
        check = builder.up_to_date_check(leg, needs)
        if builder.hands_on(leg) and not Path(builder.handover_of(leg, run)).is_dir():
            passed = was.state in (JobResult.PASSED, JobResult.SKIPPED)
            return "the files that it made are not kept any more" if passed else None
        if leg.workspace.is_own:
            return None  # its tree is gone; what it made is there
        try:
            if not leg.inputs:
                _, unmatched = find_files(Path(check.root), check.outputs)
                return f"output {unmatched[0]} matches nothing" if unmatched else None
            decision, _ = check.decide()
        except OSError as error:
            return f"'{error.filename}' can't be read: {error.strerror}"
        if not decision.holds:
            return decision.reason
        return None if decision.values == was.outputs else "it has passed since, and hands on something else"

    return stale


def decision_lines(decisions: Sequence[LegDecision]) -> Iterator[str]:
    """Say of each job whether it is kept, and of each that runs why."""
    for each in decisions:
        name = visible(each.leg.id)
        if isinstance(each, RunLeg):
            yield f"runs  {name}: {visible(each.reason)}"
        else:
            yield f"kept  {name}: {_how_it_ended(each)}"


def _how_it_ended(kept: KeptLeg) -> str:
    past = kept.past
    if past.state == JobResult.SKIPPED:
        return f"it was skipped: {visible(past.reason)}"
    allowed = f", and failed, which it may: {visible(past.reason)}" if past.state == JobResult.ALLOWED else ""
    return f"it took {rough_duration(past.seconds)}{allowed}"

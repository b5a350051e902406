"""Two runs side by side: what they were given, how quick each stage was, what failed in one and not in the other. Pure.

before, after ──► compare ──► Comparison ──► lines for people · JSON · worsened(limit): a gate for CI
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from runner.events.item_times import WIDEST
from runner.events.report import Report
from runner.events.report_fields import StageLine
from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.units import short_time

Line = TypeVar("Line")

LEAST_ITEM_SECONDS = 0.001
"""Items that take less are measured together, and how quickly they pass says more of them."""
LEAST_ITEMS = 20
"""Of fewer the 95th percentile is the slowest of all, which chance makes."""
LEAST_SECONDS = 0.1
"""A job that took less in both runs is not said to have become slower: starting it weighs more than its work."""
LEAST_STAGE_SECONDS = 0.5
"""The rate of a stage that lived for less, in either run, says when its processes were scheduled, not how quick it is.
What it costs is in the time of the run, and its handler's share in the 95th percentile."""
LEAST_RUN_SECONDS = 0.5
"""A run that takes less than that longer is not said to have become slower: so much does it take to start one or end it
on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class NumberChange:
    """One number in both runs; None where a run has none."""

    before: float | None
    after: float | None

    @property
    def ratio(self) -> float | None:
        """How many times as much it is; None where that says nothing."""
        if self.before is None or self.after is None or self.before <= 0:
            return None
        return self.after / self.before


@dataclass(frozen=True, slots=True)
class StageChange:
    """A stage in both runs, or in one of them."""

    name: str
    items_per_second: NumberChange
    busy: NumberChange
    """Share of the run that a worker was busy."""
    seconds_per_item: NumberChange
    """Seconds that its handler took for an item."""
    p50_seconds: NumberChange
    """Seconds within which it was done with half of them."""
    p95_seconds: NumberChange
    failed: NumberChange
    passed: NumberChange
    """Items that it has done, or put where it has none to do."""


@dataclass(frozen=True, slots=True)
class JobChange:
    """A job in both runs, or in one of them."""

    name: str
    state: tuple[str | None, str | None]
    seconds: NumberChange


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """What is compared of a run."""

    id: str
    file: str
    text: str
    given: tuple[str, ...]
    """Its `--param` and `--set`, a line each."""
    report: Report
    kinds: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls, run: str, facts: Mapping[str, Any], report: Report, kinds: Iterable[Mapping[str, Any]]
    ) -> ComparedRun:
        """Take what is compared from the facts of a run, its report, and the kinds of its failures."""
        given = [*(f"--param {each}" for each in facts.get("params") or ())]
        given += [f"--set {each}" for each in facts.get("overrides") or ()]
        given += [f"-- {each}" for each in facts.get("args") or ()]
        return cls(
            id=run,
            file=str(facts.get("file", "")).rpartition("/")[2],
            text="".join((facts.get("text") or "", *(facts.get("included") or {}).values())),
            given=tuple(sorted(given)),
            report=report,
            kinds=tuple(kinds),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs."""

    given: tuple[str, ...]
    """The lines of a unified diff; none where they are alike."""
    text: tuple[str, ...]
    seconds: NumberChange
    like_work: bool
    """Whether both came to their end by themselves, with the same stages, of which none did more in the second."""
    stages: tuple[StageChange, ...]
    jobs: tuple[JobChange, ...]
    new_kinds: tuple[Mapping[str, Any], ...]
    gone_kinds: tuple[Mapping[str, Any], ...]

    def worsened(self, limit: float) -> list[str]:
        """Say what has become worse by more than `limit`, a share such as 0.2."""
        return [
            *(_worse_run(self.seconds, limit) if self.like_work else ()),
            *(line for stage in self.stages for line in _worse_stage(stage, limit)),
            *(line for job in self.jobs for line in _worse_job(job, limit)),
        ]


def compare_runs(before: ComparedRun, after: ComparedRun) -> Comparison:
    """Lay two runs side by side; a stage, job or kind of failures stands beside the one of its name."""
    old, new = ({kind["print"]: kind for kind in run.kinds} for run in (before, after))
    stages = tuple(_stages(before.report, after.report))
    return Comparison(
        given=unified(before.given, after.given, f"{before.id}/params", f"{after.id}/params"),
        text=unified(
            before.text.splitlines(),
            after.text.splitlines(),
            f"{before.id}/{before.file}",
            f"{after.id}/{after.file}",
        ),
        seconds=NumberChange(before.report.seconds, after.report.seconds),
        like_work=all(run.report.outcome == RunOutcome.DONE for run in (before, after))
        and bool(stages)
        and all(_did_no_more(stage.passed) for stage in stages),
        stages=stages,
        jobs=tuple(_jobs(before.report, after.report)),
        new_kinds=tuple(kind for print_, kind in new.items() if print_ not in old),
        gone_kinds=tuple(kind for print_, kind in old.items() if print_ not in new),
    )


def unified(before: Sequence[str], after: Sequence[str], name: str, other: str) -> tuple[str, ...]:
    """Return the lines of a unified diff."""
    return tuple(difflib.unified_diff(before, after, name, other, lineterm=""))


def _stages(before: Report, after: Report) -> Iterable[StageChange]:
    if before.jobs is not None or after.jobs is not None:
        return  # the workers of jobs are a stage, and say nothing
    for name, one, other in _paired({s.name: s for s in before.stages}, {s.name: s for s in after.stages}):
        yield StageChange(
            name=name,
            items_per_second=_change(one, other, lambda stage: stage.items_per_second),
            busy=_change(one, other, lambda stage: stage.busy),
            seconds_per_item=_change(one, other, _per_item),
            p50_seconds=_change(one, other, lambda stage: stage.p50_seconds),
            p95_seconds=_change(one, other, lambda stage: stage.p95_seconds),
            failed=_change(one, other, lambda stage: stage.failed),
            passed=_change(one, other, _passed),
        )


def _jobs(before: Report, after: Report) -> Iterable[JobChange]:
    lines = [{} if r.jobs is None else {job.job: job for job in r.jobs.jobs} for r in (before, after)]
    for name, one, other in _paired(*lines):
        before_, after_ = (None if job is None else str(job.state) for job in (one, other))
        yield JobChange(name, (before_, after_), _change(one, other, lambda job: job.seconds))


def _paired(
    before: Mapping[str, Line], after: Mapping[str, Line]
) -> Iterable[tuple[str, Line | None, Line | None]]:
    for name in dict.fromkeys((*before, *after)):
        yield name, before.get(name), after.get(name)


def _change(before: Line | None, after: Line | None, number: Callable[[Line], float | None]) -> NumberChange:
    return NumberChange(*(None if line is None else number(line) for line in (before, after)))


def _per_item(stage: StageLine) -> float | None:
    passed = _passed(stage)
    return stage.busy_seconds / passed if passed else None


def _passed(stage: StageLine) -> int:
    return stage.sent if stage.role == "producer" else stage.done


def _did_no_more(passed: NumberChange) -> bool:
    return passed.before is not None and passed.after is not None and passed.after <= passed.before


def _worse_run(took: NumberChange, limit: float) -> Iterable[str]:
    before, after = took.before or 0.0, took.after or 0.0
    if took.ratio is not None and took.ratio > 1 + limit and after - before >= LEAST_RUN_SECONDS:
        yield f"the run took {after:.1f}s, {took.ratio - 1:.0%} more than {before:.1f}s, and did no more"


def _worse_stage(stage: StageChange, limit: float) -> Iterable[str]:
    speed, failed = stage.items_per_second, stage.failed
    if speed.ratio is not None and speed.ratio < 1 - limit and _lived_long_enough(stage):
        less = f"{1 - speed.ratio:.0%} less than {speed.before:,.1f}"
        yield f"stage '{stage.name}' passes {speed.after:,.1f} items/s, {less}"
    yield from _slower_items(stage, limit)
    if failed.before is not None and failed.after is not None and failed.after > failed.before * (1 + limit):
        yield f"in stage '{stage.name}' {failed.after:,.0f} items failed, and {failed.before:,.0f} before"


def _lived_long_enough(stage: StageChange) -> bool:
    speed, passed = stage.items_per_second, stage.passed
    both = (speed.before, passed.before), (speed.after, passed.after)
    # One that has passed nothing has no rate to tell its life by: that it came to nothing is worth saying.
    return all(not count or (rate and count / rate >= LEAST_STAGE_SECONDS) for rate, count in both)


def _slower_items(stage: StageChange, limit: float) -> Iterable[str]:
    took, passed = stage.p95_seconds, stage.passed
    slow = took.after is not None and took.after >= LEAST_ITEM_SECONDS
    enough = min(passed.before or 0, passed.after or 0) >= LEAST_ITEMS
    if slow and enough and took.ratio is not None and took.ratio > 1 + max(limit, WIDEST):
        now, before = short_time(took.after), short_time(took.before)
        yield f"in stage '{stage.name}' 95% of the items take up to {now}, {took.ratio - 1:.0%} more than {before}"


def _worse_job(job: JobChange, limit: float) -> Iterable[str]:
    took = job.seconds
    slow = took.after is not None and took.after >= LEAST_SECONDS
    if slow and took.ratio is not None and took.ratio > 1 + limit:
        yield f"job '{job.name}' took {took.after:.1f}s, {took.ratio - 1:.0%} more than {took.before:.1f}s"
    if job.state[0] == "passed" and job.state[1] in ("failed", "timed_out"):
        yield f"job '{job.name}' has {'failed' if job.state[1] == 'failed' else 'timed out'}, and had passed"

"""Two runs side by side, and what has become worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.events.job_report import JobLine, JobReport, JobState, RunResult
from runner.events.report import Report
from runner.events.report_fields import StageLine
from runner.record.comparison import ComparedRun, Comparison, compare_runs

PRODUCER = StageLine(
    "lister", "producer", 1, None, "q", sent=100, items_per_second=50.0, busy=0.1, busy_seconds=1.0
)
CONSUMER = StageLine(
    *("eater", "consumer", 2, "q", None),
    done=90,
    failed=10,
    items_per_second=45.0,
    busy_seconds=9.0,
    p50_seconds=0.01,
    p95_seconds=0.02,
)


def ran(*stages: StageLine, seconds: float = 2.0, jobs: tuple[JobLine, ...] = (), **more: Any) -> ComparedRun:
    job_report = JobReport(RunResult.PASSED, jobs, 0, (), 0.0) if jobs else None
    report = Report(
        *("r", "w", "w.yaml", "leased", "done", 0, None, 0.0), seconds, stages, (), (), 0, None, job_report
    )
    return ComparedRun(
        **{"id": "a", "file": "w.yaml", "text": "name: w\n", "given": (), "report": report, **more}
    )


def job(name: str, seconds: float, state: JobState = JobState.PASSED) -> JobLine:
    return JobLine(name, state, "", seconds=seconds)


def test_runs_that_are_alike_differ_in_nothing() -> None:
    run = ran(PRODUCER, CONSUMER, kinds=({"print": "p", "n": 1},))

    found = compare_runs(run, run)

    assert ((), (), (), ()) == (found.given, found.text, found.new_kinds, found.gone_kinds)
    assert [1.0, 1.0] == [stage.items_per_second.ratio for stage in found.stages]
    assert [] == found.worsened(0.0)


def test_what_was_given_and_the_file_are_told_as_a_diff() -> None:
    found = compare_runs(
        ran(given=("--param a=1",)), ran(id="b", given=("--param a=2",), text="name: w\nlimits: {}\n")
    )

    assert ("--- a/params", "+++ b/params", "@@ -1 +1 @@", "-" + "--param a=1", "+--param a=2") == found.given
    assert "+limits: {}" in found.text


def test_stages_are_paired_by_name_and_one_that_is_gone_has_no_ratio() -> None:
    slower = replace(CONSUMER, items_per_second=30.0, busy_seconds=18.0)

    found = compare_runs(ran(PRODUCER, CONSUMER), ran(slower, replace(PRODUCER, name="other")))

    by_name = {stage.name: stage for stage in found.stages}
    assert ["lister", "eater", "other"] == list(by_name)
    assert (2 / 3, 2.0) == (by_name["eater"].items_per_second.ratio, by_name["eater"].seconds_per_item.ratio)
    assert (50.0, None) == (
        by_name["lister"].items_per_second.before,
        by_name["lister"].items_per_second.ratio,
    )


def test_kinds_of_failures_are_new_or_gone() -> None:
    old, both, new = ({"print": name, "n": 1} for name in ("old", "both", "new"))

    found = compare_runs(ran(kinds=(old, both)), ran(kinds=(both, new)))

    assert (((new,)), (old,)) == (found.new_kinds, found.gone_kinds)


@pytest.mark.parametrize(
    ("changes", "limit", "expected"),
    [
        ({"items_per_second": 37.0}, 0.2, []),
        ({"items_per_second": 35.0}, 0.2, ["stage 'eater' passes 35.0 items/s, 22% less than 45.0"]),
        ({"items_per_second": 99.0}, 0.0, []),
        ({"failed": 12}, 0.2, []),
        ({"failed": 13}, 0.2, ["in stage 'eater' 13 items failed, and 10 before"]),
        ({"failed": 0}, 0.0, []),
        ({"p95_seconds": 0.023}, 0.2, []),
        ({"p95_seconds": 0.022}, 0.0, []),
        (
            {"p95_seconds": 0.05},
            0.2,
            ["in stage 'eater' 95% of the items take up to 50.0ms, 150% more than 20.0ms"],
        ),
        ({"p95_seconds": None}, 0.0, []),
    ],
)
def test_a_stage_has_worsened_beyond_the_limit(
    changes: dict[str, Any], limit: float, expected: list[str]
) -> None:
    found = compare_runs(ran(CONSUMER), ran(replace(CONSUMER, **changes)))

    assert expected == found.worsened(limit)


def test_where_none_failed_before_any_failure_is_worse() -> None:
    well = replace(CONSUMER, failed=0)

    assert ["in stage 'eater' 1 items failed, and 0 before"] == compare_runs(
        ran(well), ran(replace(well, failed=1))
    ).worsened(5.0)


def test_a_percentile_of_few_items_is_chance() -> None:
    few = replace(CONSUMER, done=19)

    assert [] == compare_runs(ran(CONSUMER), ran(replace(few, p95_seconds=9.0))).worsened(0.0)


def test_items_that_are_quick_are_judged_by_how_many_pass() -> None:
    quick = replace(CONSUMER, p95_seconds=0.0001)

    assert [] == compare_runs(ran(quick), ran(replace(quick, p95_seconds=0.0009))).worsened(0.0)


def short(seconds: float, *, items: int = 40, cooks_for: float = 0.01) -> ComparedRun:
    """A run of a second or so, whose producer was done at once and then waited for nothing."""
    cook = replace(PRODUCER, name="cook", sent=items, items_per_second=items / cooks_for)
    eater = replace(CONSUMER, done=items, failed=0, items_per_second=items / seconds, p95_seconds=None)
    return ran(cook, eater, seconds=seconds + 0.1)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (short(0.8), short(0.8), []),
        (short(0.8, cooks_for=0.01), short(0.8, cooks_for=0.02), []),
        (short(0.8, cooks_for=0.4), short(0.8, cooks_for=0.8), []),
        (short(0.2), short(0.45), []),
        (short(0.4), short(0.8), []),
        (
            short(0.4),
            short(1.4),
            ["the run took 1.5s, 200% more than 0.5s, and did no more"],
        ),
        (
            short(0.9),
            short(1.9),
            [
                "the run took 2.0s, 100% more than 1.0s, and did no more",
                "stage 'eater' passes 21.1 items/s, 53% less than 44.4",
            ],
        ),
        (short(0.9), short(1.8, items=80), []),
        (short(0.9), short(1.9, items=41), ["stage 'eater' passes 21.6 items/s, 51% less than 44.4"]),
        (short(4.9), short(5.4), []),
    ],
)
def test_a_gate_stays_open_to_what_chance_makes_of_short_runs_and_shuts_on_a_second_more(
    before: ComparedRun, after: ComparedRun, expected: list[str]
) -> None:
    found = compare_runs(before, after)

    assert expected == found.worsened(0.2)


def test_how_long_a_run_took_is_judged_where_both_came_to_their_end() -> None:
    before, after = short(1.0), short(2.0)

    stopped = replace(after, report=replace(after.report, outcome="interrupted"))
    other = replace(after, report=replace(after.report, stages=after.report.stages[1:]))

    assert [True, False, False] == [
        any("the run took" in line for line in compare_runs(before, each).worsened(0.2))
        for each in (after, stopped, other)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (job("test", 1.0), job("test", 1.1), []),
        (job("test", 1.0), job("test", 1.5), ["job 'test' took 1.5s, 50% more than 1.0s"]),
        (job("test", 0.01), job("test", 0.09), []),
        (job("test", 1.0), job("test", 1.0, JobState.FAILED), ["job 'test' has failed, and had passed"]),
        (job("test", 1.0, JobState.FAILED), job("test", 1.0, JobState.FAILED), []),
    ],
)
def test_a_job_has_worsened_by_its_time_or_its_end(
    before: JobLine, after: JobLine, expected: list[str]
) -> None:
    found: Comparison = compare_runs(ran(jobs=(before,)), ran(jobs=(after,)))

    assert expected == found.worsened(0.2)

"""What GitHub Actions is told, and what it must not take for a command or for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from job_histories import fold_jobs, kept, one_job, run_finished, run_started, skipped

from runner.events.base import Event
from runner.events.job_report import JobLine, JobReport
from runner.render.github import (
    MOST_ROWS,
    MOST_SUMMARY_BYTES,
    Place,
    annotation,
    find_place,
    step_summary,
)


def told(history: Sequence[Event]) -> JobReport:
    job_report = fold_jobs(history)
    assert job_report is not None
    return job_report


def line_of(*history: Event) -> JobLine:
    return told(history).jobs[0]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["nothing here"], None),
        (["runner/run.py:12:3: E501 Line too long"], Place("runner/run.py", 12, 3)),
        (["runner/run.py:12: error: Missing return"], Place("runner/run.py", 12)),
        (['  File "runner/run.py", line 7, in run'], Place("runner/run.py", 7)),
        (["elsewhere.py:1:1: x", "runner/run.py:2: y"], Place("runner/run.py", 2)),
        (["  --> runner/run.py:3:8"], Place("runner/run.py", 3, 8)),
        (["runner/run.py(3,5): error TS1: x"], Place("runner/run.py", 3, 5)),
        (
            [
                '  File "runner/run.py", line 7, in run',
                '  File "run.py", line 9, in go',
                '  File "x.py", line 1',
            ],
            Place("runner/run.py", 9),
        ),
        (['  File "run.py", line 9, in go', "run.py:2:1: E501"], Place("runner/run.py", 2, 1)),
        (["runner/run.py:12abc"], None),
        (["run.py:4: x"], Place("runner/run.py", 4)),
        (["10:42:17 starting", "http://host:80/x"], None),
    ],
)
def test_the_place_that_is_blamed_is_found(lines: list[str], expected: Place | None) -> None:
    assert expected == find_place(lines, {"runner/run.py": "runner/run.py", "run.py": "runner/run.py"}.get)


def test_a_failure_is_an_error_at_the_place_that_it_names() -> None:
    line = line_of(*one_job("test (3.11, slow)", 0, 1, "failed", reason="step 1 exited with code 2"))

    assert (
        "::error title=test (3.11%2C slow),file=a.py,line=3,col=4::step 1 exited with code 2%0Aa.py:3:4: boom"
        == annotation(line, ["a.py:3:4: boom"], Place("a.py", 3, 4), "ci.yaml")
    )


def test_what_may_fail_is_a_warning_and_without_a_place_it_is_at_the_workflow() -> None:
    line = line_of(*one_job("docs", 0, 1, "allowed", reason="step 1 failed"))

    assert "::warning title=docs,file=ci.yaml,line=1::step 1 failed" == annotation(line, [], None, "ci.yaml")


def test_the_summary_has_the_result_a_table_and_the_last_lines_of_what_failed() -> None:
    job_report = told(
        [
            run_started(3),
            *one_job("build", 0, 2),
            *one_job("test", 2, 5, "failed", needs=["build"], reason="step 1 failed"),
            skipped("deploy", needs=["test"]),
            run_finished(1),
        ]
    )

    assert step_summary(job_report, {"test": ["assert <b>1</b> == 2"]}, "ci").splitlines() == [
        "### ci: ❌ failed",
        "",
        "| job | result | took | reason |",
        "|---|---|--:|---|",
        "| test | ❌ failed | 3.0s | step 1 failed |",
        "| build | ✅ passed | 2.0s |  |",
        "| deploy | ⏭️ skipped |  | need 'lint' failed |",
        "",
        "Critical path, 5.0s: build → test",
        "",
        "<details><summary>test: the last lines</summary>",
        "",
        "<pre>",
        "assert &lt;b&gt;1&lt;/b&gt; == 2",
        "</pre>",
        "",
        "</details>",
    ]


def test_no_name_or_reason_leaves_its_cell_or_is_taken_for_markup() -> None:
    job_report = told(one_job("a|b <img> `c` *d*", 0, 1, "failed", reason="two\nlines | [x](http://y)"))

    row = step_summary(job_report, {}, "ci").splitlines()[4]

    assert r"| a\|b &lt;img&gt; \`c\` \*d\* | ❌ failed | 1.0s | two lines \| \[x\]\(http://y\) |" == row


def test_the_summary_of_a_thousand_failures_is_not_too_long_for_github() -> None:
    job_report = told([each for n in range(1000) for each in one_job(f"job {n}", 0, 1, "failed")])
    tails = {line.job: ["x" * 500] * 20 for line in job_report.jobs}

    text = step_summary(job_report, tails, "ci")

    assert len(text.encode()) <= MOST_SUMMARY_BYTES
    assert f"| … and {1000 - MOST_ROWS} more | | | |" in text


def test_the_summary_says_what_was_kept() -> None:
    text = step_summary(told([run_started(1), kept("build"), run_finished()]), {}, "ci")

    assert "| build | ✅ passed, kept | 5.0s |  |" in text

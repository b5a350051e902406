"""The last screen of a run of jobs: what it says first, what it leaves out, and that it fits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import (
    cancelled,
    event,
    finished,
    fold,
    kept,
    one_job,
    retried,
    run_finished,
    run_started,
    service_exited,
    skipped,
    started,
    step_finished,
)

from runner.events.base import Event
from runner.events.job_report import JobLine
from runner.render.job_summary import FEWEST_ROWS, MOST_ROWS, Grid, Part, final_summary
from runner.render.lines import Emphasis, OutputLine
from runner.text import cells

LOG = [f"line {n}" for n in range(1, 101)]


def tail_of(_line: JobLine, most: int) -> Sequence[str]:
    return LOG[-most:]


def screen(history: Sequence[Event], *, columns: int = 100, rows: int = MOST_ROWS) -> list[Part]:
    report = fold(history)
    assert report.jobs is not None
    return final_summary(report, report.jobs, tail_of, columns=columns, rows=rows)


def text_of(parts: Sequence[Part]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        lines += (
            [part.text] if isinstance(part, OutputLine) else ["  ".join(row.values()) for row in part.rows]
        )
    return lines


def height(parts: Sequence[Part], columns: int = 100) -> int:
    said = [-(-max(len(part.text), 1) // columns) for part in parts if isinstance(part, OutputLine)]
    return sum(said) + sum(len(part.rows) + 2 for part in parts if isinstance(part, Grid))


ONE_OF_TWENTY = [
    run_started(20),
    *one_job("build", 0.0, 3.0),
    *(each for n in range(14) for each in one_job(f"unit ({n})", 0.0, 1.0 + n / 10, needs=["build"])),
    started("test", 3.0, needs=["build"]),
    step_finished("test", 1, "prepare"),
    step_finished("test", 2, "pytest", result="failed"),
    finished("test", 9.0, "failed", exitcode=1, reason="step 2 (pytest) exited with code 1"),
    cancelled("e2e (1)", reason="test failed"),
    cancelled("e2e (2)", reason="test failed"),
    skipped("deploy", reason="need 'test' failed"),
    skipped("announce", reason="need 'deploy' was skipped"),
    run_finished(1, at=9.5),
]


def test_one_failure_of_twenty_jobs_fits_a_screen_and_comes_first() -> None:
    lines = text_of(screen(ONE_OF_TWENTY))

    assert lines == [
        "✗ test failed after 6.0s: step 2 (pytest) exited with code 1",
        *(f"  │ line {n}" for n in range(81, 101)),
        "  ended:  step 'pytest' exited with 1",
        "  log:    logs/test.log",
        "  again:  mprun run ci.yaml --job test",
        "cancelled: e2e (1), e2e (2): test failed",
        "skipped: deploy: need 'test' failed",
        "skipped: announce: need 'deploy' was skipped",
        "build  passed  3.0s",
        "unit (8)  passed  1.8s",
        "unit (9)  passed  1.9s",
        "unit (10)  passed  2.0s",
        "unit (11)  passed  2.1s",
        "unit (12)  passed  2.2s",
        "unit (13)  passed  2.3s",
        "test  failed  6.0s",
        "and 8 more, none slower",
        "critical path 9.0s: build 3.0s → test 6.0s",
        "failed after 9.5s: 1 failed, 2 cancelled, 2 skipped, 15 passed; exit 1",
    ]
    assert MOST_ROWS == height(screen(ONE_OF_TWENTY))


@pytest.mark.parametrize("rows", [10, 24, 30, 40, 100])
def test_it_fits_the_screen_that_there_is_if_that_is_a_usual_one(rows: int) -> None:
    assert height(screen(ONE_OF_TWENTY, rows=rows)) <= min(max(rows, FEWEST_ROWS), MOST_ROWS)


def test_a_run_that_passed_is_a_table_the_critical_path_and_one_line() -> None:
    history = [
        run_started(2),
        *one_job("build", 0, 3),
        *one_job("test", 3, 5, needs=["build"]),
        run_finished(at=5),
    ]

    assert text_of(screen(history)) == [
        "build  passed  3.0s",
        "test  passed  2.0s",
        "critical path 5.0s: build 3.0s → test 2.0s",
        "passed in 5.0s: 2 passed",
    ]


def test_the_table_has_what_took_longest_and_counts_the_rest() -> None:
    jobs = [event for n in range(100) for event in one_job(f"{n}", 0, n)]
    lines = text_of(screen([run_started(100), *jobs, run_finished(at=99)]))

    assert "81  passed  1m21s" == lines[0]
    assert ["and 81 more, none slower", "passed in 1m39s: 100 passed"] == lines[-2:]


def test_a_run_with_allowed_failures_is_yellow_and_says_which() -> None:
    history = [run_started(1), *one_job("docs", 0, 1, "allowed", reason="step 1 failed"), run_finished(at=2)]
    parts = screen(history)

    assert OutputLine("! docs failed (allowed) after 1.0s: step 1 failed", Emphasis.WARNING) == parts[0]
    assert (
        OutputLine("passed with allowed failures in 2.0s: 1 failed (allowed)", Emphasis.WARNING) == parts[-1]
    )


def test_a_later_attempt_is_counted_where_one_was_lost() -> None:
    history = [
        run_started(1),
        started("flaky"),
        retried("flaky"),
        started("flaky", attempt=2),
        finished("flaky", 4.0, "failed", attempt=2, signal="SIGSEGV"),
        run_finished(1),
    ]
    lines = text_of(screen(history))

    assert "  ended:  attempt 2: ended by SIGSEGV, a crash" in lines
    assert "flaky  failed  4.0s  2" in lines


def test_of_several_failures_the_first_cause_has_the_most_room_and_the_last_are_brief() -> None:
    history = [
        run_started(6),
        *(e for n in range(6) for e in one_job(f"job {n}", 0, 9 - n, "failed")),
        run_finished(1),
    ]
    lines = text_of(screen(history))
    heads = [line for line in lines if line.startswith("✗")]

    assert [f"✗ job {n} failed" for n in (5, 4, 3, 2, 1, 0)] == [
        head.partition(" after")[0] for head in heads
    ]
    assert 3 == sum(line.startswith("  log:") for line in lines)


def test_a_hundred_failures_are_counted_not_listed() -> None:
    history = [
        run_started(100),
        *(e for n in range(100) for e in one_job(f"{n}", 0, 1, "failed")),
        run_finished(1),
    ]
    parts = screen(history)

    assert "  and 93 more failed" in text_of(parts)
    assert height(parts) <= MOST_ROWS


def test_an_interrupted_run_says_what_was_not_done() -> None:
    history = [
        run_started(5),
        *one_job("build", 0, 1),
        started("test", 1),
        finished("test", 2, "cancelled", signal="SIGTERM", reason="the run is stopping: SIGINT"),
        cancelled("deploy", reason="the run is stopping: SIGINT"),
        started("stuck"),
        run_finished(130, at=2.5, reason="interrupted by SIGINT"),
    ]

    assert text_of(screen(history)) == [
        "interrupted by SIGINT",
        "cancelled: test, deploy: the run is stopping: SIGINT",
        "not finished: stuck",
        "not begun: 1 more",
        "build  passed  1.0s",
        "stuck  running  0.0s",
        "interrupted after 2.5s: 1 running, 2 cancelled, 1 passed; exit 130",
    ]


def test_a_run_without_jobs_says_so() -> None:
    assert ["passed in 1.0s: no job ran"] == text_of(screen([run_started(0), run_finished(at=1)]))


def test_a_line_of_wide_characters_is_cut_by_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LOG", ["包" * 10_000])
    line = text_of(screen([run_started(1), *one_job("lint", 0, 1, "failed"), run_finished(1)]))[1]

    assert 290 < cells(line) <= 300
    assert line.endswith("包…")


def test_a_service_that_may_be_to_blame_is_named_with_its_log() -> None:
    history = [
        run_started(1),
        started("a"),
        service_exited("a"),
        finished("a", 1.0, "failed", signal="SIGTERM", reason="service 'db' ended before the job did"),
        run_finished(1),
    ]

    assert text_of(screen(history))[-6:-2] == [
        "  ended:   ended by SIGTERM",
        "  service: 'db' exited with 4; logs/a.db.log",
        "  log:     logs/a.log",
        "  again:   mprun run ci.yaml --job a",
    ]


def test_a_job_whose_worker_died_has_no_exit_code_to_tell() -> None:
    ended = vars(finished("a", 1.0, "failed", reason="its worker was killed by SIGKILL"))
    lost = started("a"), event("job.finished", 1.0, **{**ended, "exitcode": None})
    lines = text_of(screen([run_started(1), *lost, run_finished(1)]))

    assert "✗ a failed after 1.0s: its worker was killed by SIGKILL" == lines[0]
    assert not any("ended:" in line for line in lines)


def test_a_line_of_output_that_never_ends_takes_three_rows_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LOG", ["x" * 10_000, "last"])
    lines = text_of(screen([run_started(1), *one_job("lint", 0, 1, "failed"), run_finished(1)]))

    assert [300, len("  │ last")] == [len(line) for line in lines[1:3]]
    assert lines[1].endswith("…")


def test_nothing_that_a_job_or_the_file_says_can_move_the_cursor() -> None:
    history = [run_started(1), *one_job("a\x1b[2J", 0, 1, "failed", reason="two\nlines"), run_finished(1)]

    assert all(line.isprintable() for line in text_of(screen(history)))


def test_the_command_that_runs_it_again_can_be_pasted() -> None:
    history = [run_started(1), *one_job("test (3.11)", 0, 1, "failed"), run_finished(1)]

    assert "  again:  mprun run ci.yaml --job 'test (3.11)'" in text_of(screen(history))


PIECES = [
    *(one_job(f"p{n}", 0, n) for n in range(1, 9)),
    *(one_job(f"f{n}", 0, n, "failed", reason="why " * 40) for n in range(1, 9)),
    *(one_job(f"a{n}", 0, n, "allowed") for n in range(1, 9)),
    *([skipped(f"s{n}", reason=f"reason {n}")] for n in range(8)),
    *([cancelled(f"c{n}", reason=f"reason {n}")] for n in range(8)),
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=40, unique_by=id), st.integers(40, 200), st.integers(1, 100)
)
def test_any_run_has_a_screen_that_ends_with_its_result(
    pieces: list[list[Event]], columns: int, rows: int
) -> None:
    history = [run_started(len(pieces)), *(event for piece in pieces for event in piece), run_finished(1)]
    if not pieces:
        return

    parts = screen(history, columns=columns, rows=rows)

    assert isinstance(parts[-1], OutputLine)
    assert parts[-1].text.startswith("failed after")
    assert (
        height(parts, columns) <= 3 * MOST_ROWS
    )  # a bound, however narrow it is, and however many jobs there were


@pytest.mark.parametrize(("near", "shown"), [("/home/me", "logs/a.log"), ("/home/m", "/home/me/logs/a.log")])
def test_a_log_near_by_is_told_from_here(near: str, shown: str) -> None:
    report = fold([run_started(1), *one_job("a", 0, 1, "failed", log="/home/me/logs/a.log"), run_finished(1)])
    assert report.jobs is not None

    lines = text_of(final_summary(report, report.jobs, tail_of, columns=100, rows=40, near=near))

    assert f"  log:    {shown}" in lines


def test_what_was_kept_is_called_so_and_took_no_time_of_this_run() -> None:
    history = [
        run_started(4),
        kept("build"),
        kept("docs", "skipped", attempt=0, reason="up to date"),
        *one_job("test", 1.0, 2.0, needs=["build"]),
        *one_job("ship", 2.0, 3.0, needs=["test"]),
        run_finished(),
    ]

    text = text_of(screen(history))

    assert "build  passed, kept  5.0s" in text
    assert "critical path 2.0s: test 1.0s → ship 1.0s" in text
    assert text[-1].endswith("1 skipped, 3 passed; 2 kept")

"""One line for each thing that happens to a job, and ends of commands in words."""

from __future__ import annotations

import pytest
from job_histories import (
    cancelled,
    event,
    finished,
    kept,
    retried,
    run_finished,
    run_started,
    skipped,
    started,
)

from runner.events.base import Event
from runner.render.lines import (
    Emphasis,
    OutputLine,
    describe_exit,
    format_event,
    format_heading,
    format_omitted,
)


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (finished("lint"), OutputLine("✓ lint passed in 1.0s", Emphasis.GOOD)),
        (
            finished("lint", result="failed", reason="step 1 exited with code 2"),
            OutputLine("✗ lint failed after 1.0s: step 1 exited with code 2", Emphasis.BAD),
        ),
        (
            finished("lint", result="timed_out", reason="it took more than 1s"),
            OutputLine("✗ lint timed out after 1.0s: it took more than 1s", Emphasis.BAD),
        ),
        (
            finished("lint", result="allowed", reason="step 1 failed"),
            OutputLine("! lint failed (allowed) after 1.0s: step 1 failed", Emphasis.WARNING),
        ),
        (
            finished("lint", result="cancelled", reason="the run is stopping"),
            OutputLine("- lint was cancelled after 1.0s: the run is stopping", Emphasis.ASIDE),
        ),
        (skipped("lint", reason="up to date"), OutputLine("- lint was skipped: up to date", Emphasis.ASIDE)),
        (kept("lint"), OutputLine("- lint is kept: it passed in 5.0s before", Emphasis.ASIDE)),
        (
            kept("lint", from_run="3f2a"),
            OutputLine("- lint is kept: it passed in 5.0s in run 3f2a", Emphasis.ASIDE),
        ),
        (
            kept("lint", "skipped", attempt=0, reason="up to date"),
            OutputLine("- lint is kept: it was skipped before: up to date", Emphasis.ASIDE),
        ),
        (
            kept("lint", "allowed", reason="it may"),
            OutputLine("- lint is kept: it failed (allowed) after 5.0s before: it may", Emphasis.ASIDE),
        ),
        (
            cancelled("lint", reason="fail-fast"),
            OutputLine("- lint was cancelled: fail-fast", Emphasis.ASIDE),
        ),
        (
            retried("lint", reason="attempt 1 exited with 75"),
            OutputLine("! lint: attempt 1 exited with 75", Emphasis.WARNING),
        ),
        (
            event("job.silent", job="lint", seconds=90.0),
            OutputLine("! lint has printed nothing for 1m30s", Emphasis.WARNING),
        ),
        (
            event("run.stopping", reason="SIGINT", signal=None, alive=[]),
            OutputLine("! stopping: SIGINT", Emphasis.WARNING),
        ),
        (
            event("events.dropped", count=7),
            OutputLine("! 7 events are not shown: this output is read too slowly", Emphasis.WARNING),
        ),
        (started("lint"), None),
        (run_started(), None),
        (run_finished(), None),
    ],
)
def test_what_happens_is_told_in_a_line_or_not_at_all(happened: Event, expected: OutputLine | None) -> None:
    assert expected == format_event(happened)


@pytest.mark.parametrize(
    ("exitcode", "signal", "expected"),
    [
        (2, None, "exited with 2"),
        (126, None, "exited with 126: a command was found and could not be run"),
        (127, None, "exited with 127: a command was not found"),
        (
            137,
            None,
            "exited with 137: a command in it was ended by SIGKILL,"
            " which is also what the system does when memory runs out",
        ),
        (143, None, "exited with 143: a command in it was ended by SIGTERM"),
        (170, None, "exited with 170"),
        (255, None, "exited with 255"),
        (None, "SIGSEGV", "ended by SIGSEGV, a crash"),
        (None, None, "never ran"),
    ],
)
def test_an_exit_code_is_told_with_what_it_means(
    exitcode: int | None, signal: str | None, expected: str
) -> None:
    assert expected == describe_exit(exitcode, signal)


def test_a_name_can_neither_end_its_line_nor_speak_to_the_terminal() -> None:
    said = format_event(skipped("a\nb\x1b[31m 包", reason="two\nlines"))

    assert said is not None
    assert said.text.isprintable()


def test_the_heading_of_a_later_attempt_says_which_it_is() -> None:
    assert ["lint", "lint, attempt 2"] == [
        format_heading(started("lint")),
        format_heading(started("lint", attempt=2)),
    ]


def test_what_is_left_out_is_owned_up_to() -> None:
    assert format_omitted("lint", 3 * 2**20, "lint.log") == OutputLine(
        "! lint: 3MiB more are not shown, and are in lint.log", Emphasis.WARNING
    )
    assert format_omitted("lint", 0, "lint.log") is None

"""`--output stream`: the lines of all jobs as they come."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_histories import cancelled, event, finished, run_finished, run_started, skipped, started
from job_shows import Stage

from runner.render.job_output.base import POLL
from runner.render.job_output.streamed import StreamView
from runner.render.style import GitHubStyle, OutputStyle


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.show = StreamView(stage.written.append, OutputStyle())
    return stage


def test_lines_are_mixed_and_each_says_whose_it_is(stage: Stage) -> None:
    stage.starts("a")
    stage.starts("bb")
    stage.prints("a", "one\n")
    stage.prints("bb", "two\nthree\n")
    stage.steps()
    stage.prints("a", "four\n")
    stage.steps()

    assert ["a | one", "bb | two", "bb | three", "a  | four"] == stage.shown


def test_a_line_is_never_torn_between_two_jobs(stage: Stage) -> None:
    stage.starts("a")
    stage.starts("b")
    stage.prints("a", "half a ")
    stage.prints("b", "whole\n")
    stage.steps()
    stage.prints("a", "line\n")
    stage.steps()

    assert ["b | whole", "a | half a line"] == stage.shown


def test_the_end_of_a_job_is_told_after_all_that_it_printed(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "x\n" * 100_000 + "no newline")
    stage.ends("a", "failed")
    stage.steps()

    assert 100_002 == len(stage.shown)
    assert ["a | no newline", "✗ a failed after 1.0s: its steps are failed"] == stage.shown[-2:]
    assert stage.show.step() is None


def test_jobs_with_much_to_show_take_turns(stage: Stage) -> None:
    for job in ("a", "b"):
        stage.starts(job)
        stage.prints(job, f"{job}\n" * 100_000)
    stage.show.step()

    assert {"a | a", "b | b"} == set(stage.shown)
    assert 0 == stage.show.step()


def test_it_asks_to_be_called_again_as_long_as_a_job_lives(stage: Stage) -> None:
    before = stage.show.step()
    stage.starts("a")
    stage.steps()

    assert (None, POLL) == (before, stage.show.step())


def test_what_happens_without_output_has_a_line_of_its_own(stage: Stage) -> None:
    stage.happens(skipped("deploy", reason="if: it is not main"))
    stage.happens(cancelled("e2e", reason="test failed"))

    assert ["- deploy was skipped: if: it is not main", "- e2e was cancelled: test failed"] == stage.shown


def test_a_running_job_that_is_cancelled_is_told_once_at_its_end(stage: Stage) -> None:
    stage.starts("a")
    stage.happens(cancelled("a", reason="test failed"))
    stage.ends("a", "cancelled")
    stage.steps()

    assert ["- a was cancelled after 1.0s: its steps are cancelled"] == stage.shown


def test_attempts_are_told_in_their_order_though_they_share_a_log(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "first\n")
    stage.is_retried("a")
    stage.starts("a", attempt=2)
    stage.prints("a", "second\n")
    stage.ends("a", attempt=2)
    stage.steps()

    assert [
        "a | first",
        "! a: attempt 1 exited with 75",
        "a | second",
        "✓ a passed in 1.0s in attempt 2",
    ] == stage.shown


def test_a_silent_job_shows_what_it_may_be_waiting_for(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "Continue? [y/N] ")
    stage.steps()
    stage.happens(event("job.silent", job="a", seconds=30.0))

    assert ["a | Continue? [y/N] ", "! a has printed nothing for 30s"] == stage.shown


def test_colours_of_a_job_end_with_its_line(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.show = StreamView(stage.written.append, OutputStyle(colors=True))
    stage.starts("a")
    stage.prints("a", b"\x1b[31mred\nplain\n")
    stage.steps()

    assert ["\x1b[36ma |\x1b[0m \x1b[31mred\x1b[0m", "\x1b[36ma |\x1b[0m plain"] == stage.shown


def test_on_github_no_line_can_command_the_runner(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.show = StreamView(stage.written.append, GitHubStyle(token="t0"))
    stage.happens(run_started(1))
    stage.starts("a")
    stage.prints("a", "##[error]boom\n")
    stage.ends("a")
    stage.happens(run_finished())
    stage.steps()
    stage.show.finish()

    assert ["::stop-commands::t0", "a | ##[error]boom", "✓ a passed in 1.0s", "::t0::"] == stage.shown


def test_when_time_is_up_it_says_how_much_of_which_job_is_missing(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "x\n" * 2**20)
    stage.happens(run_finished(1))
    stage.show.step()
    stage.show.finish()

    assert stage.shown[-1] == f"! a: 1.9MiB more are not shown, and are in {stage.log('a')}"
    assert stage.show.step() is None


def test_a_job_whose_end_was_never_told_ends_with_the_run(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "unfinished")
    stage.happens(run_finished(1))
    stage.steps()

    assert ["a | unfinished"] == stage.shown
    assert stage.show.step() is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "print", "half", "end", "step"]), st.integers(0, 3)), max_size=40
    )
)
def test_whatever_happens_each_job_is_shown_whole_and_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    stage = Stage(tmp_path_factory.mktemp("logs"))
    stage.show = StreamView(stage.written.append, OutputStyle())
    printed: dict[str, str] = {}
    ended: set[str] = set()
    for number, (act, which) in enumerate(acts):
        job = f"job {which}"
        live = job in printed and job not in ended
        if act == "start" and job not in printed:
            printed[job] = ""
            stage.starts(job)
        elif act in ("print", "half") and live:
            text = f"<{number}>" + ("\n" if act == "print" else "")
            printed[job] += text
            stage.prints(job, text)
        elif act == "end" and live:
            ended.add(job)
            stage.ends(job)
        elif act == "step":
            stage.show.step()
    stage.happens(run_finished())
    stage.steps()

    for job, text in printed.items():
        shown = [line.partition(" | ")[2] for line in stage.shown if line.startswith(f"{job} | ")]
        assert text.removesuffix("\n").split("\n") == (shown or [""])


def test_an_attempt_whose_end_is_among_the_missing_events_ends_with_the_next(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "first\n")
    stage.steps()
    stage.happens(started("a", attempt=2, log=str(stage.log("a 2"))))
    stage.prints("a 2", "second\n")
    stage.happens(finished("a", attempt=2))
    stage.happens(run_finished())
    stage.steps()

    assert ["a | first", "a | second", "✓ a passed in 1.0s in attempt 2"] == stage.shown
    assert stage.show.step() is None

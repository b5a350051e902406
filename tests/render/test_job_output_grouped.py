"""`--output group`: one job after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdings import open_descriptors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_histories import cancelled, event, finished, run_finished, skipped, started
from job_shows import Stage

from runner.render.job_output.base import POLL
from runner.render.job_output.grouped import GroupView
from runner.render.style import GitHubStyle, OutputStyle


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.show = GroupView(stage.written.append, OutputStyle())
    return stage


def test_the_oldest_is_shown_live_and_the_others_whole_and_later(stage: Stage) -> None:
    for job in ("old", "young"):
        stage.starts(job)
    stage.prints("old", "1\n")
    stage.prints("young", "a\n")
    stage.steps()
    live = stage.shown
    stage.prints("young", "b\n")
    stage.ends("young")
    stage.prints("old", "2\n")
    stage.steps()
    stage.ends("old")
    stage.steps()

    assert ["▸ old", "1"] == live
    assert stage.shown == [
        "▸ old",
        "1",
        "2",
        "✓ old passed in 1.0s",
        "▸ young",
        "a",
        "b",
        "✓ young passed in 1.0s",
    ]


def test_the_next_oldest_is_shown_live_from_its_beginning(stage: Stage) -> None:
    for job in ("a", "b"):
        stage.starts(job)
        stage.prints(job, f"{job} begins\n")
    stage.steps()
    stage.ends("a")
    stage.steps()
    stage.prints("b", "b goes on\n")
    stage.steps()

    assert ["▸ b", "b begins", "b goes on"] == stage.shown[-3:]
    assert POLL == stage.show.step()


def test_a_job_that_prints_nothing_has_one_line(stage: Stage) -> None:
    stage.starts("a")
    stage.ends("a")
    stage.steps()

    assert ["✓ a passed in 1.0s"] == stage.shown


def test_lines_of_our_own_stand_between_the_groups(stage: Stage) -> None:
    stage.starts("a")
    stage.steps()
    stage.happens(skipped("deploy", reason="if: it is not main"))
    stage.happens(cancelled("e2e", reason="test failed"))
    stage.prints("a", "text\n")
    stage.ends("a")
    stage.steps()

    assert stage.shown == [
        "▸ a",
        "text",
        "✓ a passed in 1.0s",
        "- deploy was skipped: if: it is not main",
        "- e2e was cancelled: test failed",
    ]


def test_each_attempt_is_a_group(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "first\n")
    stage.is_retried("a")
    stage.starts("a", attempt=2)
    stage.prints("a", "second\n")
    stage.ends("a", attempt=2)
    stage.steps()

    assert stage.shown == [
        "▸ a",
        "first",
        "! a: attempt 1 exited with 75",
        "▸ a, attempt 2",
        "second",
        "✓ a passed in 1.0s in attempt 2",
    ]


def test_silence_is_told_in_the_group_it_is_about_and_not_in_another(stage: Stage) -> None:
    for job in ("a", "b"):
        stage.starts(job)
    stage.prints("a", "Continue? ")
    stage.steps()
    for job in ("b", "a"):
        stage.happens(event("job.silent", job=job, seconds=30.0))
    stage.ends("a")
    stage.steps()

    assert stage.shown == [
        "▸ a",
        "Continue? ",
        "! a has printed nothing for 30s",
        "✓ a passed in 1.0s",
        "! b has printed nothing for 30s",
        "▸ b",
    ]


def test_on_github_a_group_folds_and_nothing_in_it_is_a_command(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.show = GroupView(stage.written.append, GitHubStyle(token="t0"))
    stage.starts("a")
    stage.prints("a", "::error::injected\n::t1::\n")
    stage.ends("a")
    stage.steps()

    assert stage.shown == [
        "::group::a",
        "::stop-commands::t0",
        "::error::injected",
        "::t1::",
        "::t0::",
        "::endgroup::",
        "✓ a passed in 1.0s",
    ]


def test_when_time_is_up_it_says_what_is_missing_of_each(stage: Stage) -> None:
    for job in ("a", "b"):
        stage.starts(job)
        stage.prints(job, "x\n" * 2**20)
        stage.ends(job)
    stage.happens(skipped("c"))
    stage.happens(run_finished(1))
    stage.show.step()
    stage.show.finish()

    assert stage.shown[-5:] == [
        f"! a: 1.9MiB more are not shown, and are in {stage.log('a')}",
        "✓ a passed in 1.0s",
        f"! b: 2MiB more are not shown, and are in {stage.log('b')}",
        "✓ b passed in 1.0s",
        "- c was skipped: need 'lint' failed",
    ]
    assert stage.show.step() is None


def test_a_thousand_that_wait_hold_no_descriptor(stage: Stage) -> None:
    before = open_descriptors()
    for number in range(1000):
        stage.starts(f"{number}")
        stage.prints(f"{number}", "text\n")
        stage.ends(f"{number}")
    stage.show.step()
    held = len(open_descriptors() - before)
    stage.steps(10_000)

    assert held <= 1
    assert 3000 == len(stage.shown)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["start", "print", "end", "step"]), st.integers(0, 3)), max_size=30)
)
def test_whatever_happens_each_job_is_shown_whole_and_in_one_piece(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    stage = Stage(tmp_path_factory.mktemp("logs"))
    stage.show = GroupView(stage.written.append, OutputStyle())
    live: dict[str, int] = {}
    expected: dict[str, list[str]] = {}
    for act, number in acts:
        job = f"job {number}"
        if act == "start" and job not in expected:
            live[job], expected[job] = 0, []
            stage.starts(job)
        elif act == "print" and job in live:
            live[job] += 1
            expected[job].append(f"{job} says {live[job]}")
            stage.prints(job, f"{job} says {live[job]}\n")
        elif act == "end" and job in live:
            del live[job]
            stage.ends(job)
        elif act == "step":
            stage.show.step()
    stage.happens(run_finished())
    stage.steps()

    shown = [line for line in stage.shown if " says " in line]
    in_order = sorted(shown, key=lambda line: [each.partition(" says")[0] for each in shown].index(line[:5]))
    assert shown == in_order
    assert sorted(line for lines in expected.values() for line in lines) == sorted(shown)


def test_an_attempt_whose_end_is_among_the_missing_events_ends_with_the_next(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "first\n")
    stage.steps()
    stage.happens(started("a", attempt=2, log=str(stage.log("a 2"))))
    stage.prints("a 2", "second\n")
    stage.happens(finished("a", attempt=2))
    stage.happens(run_finished())
    stage.steps()

    assert ["▸ a", "first", "▸ a, attempt 2", "second", "✓ a passed in 1.0s in attempt 2"] == stage.shown
    assert stage.show.step() is None


def test_what_is_in_the_background_holds_up_no_other_and_goes_on_where_nothing_else_is_shown(
    stage: Stage,
) -> None:
    for server in ("db", "web"):
        stage.starts(server, background=True)
        stage.prints(server, "up\n")
    for _ in range(3):
        stage.steps()
    stage.starts("test")
    stage.prints("db", "asked\n")
    stage.prints("test", "fine\n")
    stage.steps()
    stage.ends("test")
    for _ in range(3):
        stage.steps()
    stage.ends("db")
    stage.steps()

    assert stage.shown == [
        "▸ db",
        "up",
        "▸ web",
        "up",
        "▸ test",
        "fine",
        "✓ test passed in 1.0s",
        "▸ db",
        "asked",
        "✓ db passed in 1.0s",
    ]

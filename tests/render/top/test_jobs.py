"""The jobs of a run: on the screen of `mprun top`, and in the few lines of the live view."""

from __future__ import annotations

import pytest
from job_histories import cancelled, event, finished, kept, one_job, retried, run_started, skipped, started

from runner.events.base import Event
from runner.render.top.drawing import drawn
from runner.render.top.jobs_screen import how_far, jobs_screen
from runner.render.top.small import live_lines
from runner.render.top.view import Beside, Screen, Surface, View
from runner.watch.state import RunState


def state_of(*history: Event) -> RunState:
    state = RunState()
    for each in (run_started(8, at=100.0), *history):
        state.observe(each)
    return state


HISTORY = (
    *one_job("build", 100, 103),
    *one_job("lint", 100, 104, "failed"),
    skipped("deploy", 104),
    started("test (3.11)", 103.8),
    event("step.started", 104.0, job="test (3.11)", step=2, name="pytest"),
    started("docs", 111.0),
)


def small(state: RunState, most: int = 10) -> list[str]:
    lines = live_lines(state, Surface(100, most, 112.0, has_keys=False), most)
    return [line.rstrip() for line in drawn(lines, 100, colors=False)]


def test_the_live_view_says_how_far_it_is_and_what_runs_since_when_and_at_which_step() -> None:
    assert small(state_of(*HISTORY)) == [
        "ci  running 00:00:12  3 of 8 done, 1 failed, 1 skipped",
        "  test (3.11)  running  8.2s  pytest",
        "  docs         running  1.0s",
    ]


def test_what_does_not_fit_is_counted() -> None:
    state = state_of(*(started(f"job {n}", 100.0 + n) for n in range(9)))

    assert small(state, 4)[1:] == ["  job 0  running  12.0s", "  job 1  running  11.0s", "  and 7 more"]


def test_the_screen_has_what_runs_then_what_waits_for_what_then_what_is_over() -> None:
    waiting = {"publish": ["docs", "test (3.11)"], "docs": [], "clean": []}
    lines = jobs_screen(
        state_of(*HISTORY), View(), Surface(80, 24, 112.0), Beside(waiting=waiting, keys=[("s", "stop")])
    )
    shown = [line.rstrip() for line in drawn(lines, 80, colors=False)]

    assert shown[0].split("  ")[0] == "ci"
    assert shown[0].endswith("3 of 8 done, 1 failed, 1 skipped")
    assert [line.split("  ")[0].removeprefix("▸ ") or line.split("  ")[1] for line in shown[3:10]] == [
        "test (3.11)",
        "docs",
        "publish",
        "clean",
        "lint",
        "deploy",
        "build",
    ]
    assert "needs docs, test (3.11)" in shown[5]
    assert shown[-1] == "s stop  ? q"


def test_a_job_is_found_by_a_part_of_its_name() -> None:
    lines = jobs_screen(state_of(*HISTORY), View(wanted="DOC"), Surface(80, 24, 112.0))

    assert ["▸ docs"] == [line.plain[:6] for line in lines if line.plain.startswith(("▸", "  d", "  t"))]


def test_two_hundred_jobs_scroll() -> None:
    state = state_of(*(started(f"job {n:03}", 100.0 + n / 10) for n in range(200)))
    lines = jobs_screen(state, View(chosen={Screen.RUN: "job 150"}), Surface(80, 24, 132.0))

    assert len(lines) == 24
    assert any(line.plain.startswith("▸ job 150") for line in lines)
    assert any("more above   ↓" in line.plain for line in lines)


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([], "0 of 8 done"),
        ([started("a"), retried("a")], "0 of 8 done"),
        ([kept("a"), kept("b", "skipped", attempt=0)], "2 of 8 done, 1 skipped"),
        ([cancelled("a")], "1 of 8 done, 1 cancelled"),
        ([started("a"), cancelled("a"), finished("a", result="cancelled")], "1 of 8 done, 1 cancelled"),
        ([*one_job("a", 0, 1, "timed_out")], "1 of 8 done, 1 failed"),
        ([*one_job("a", 0, 1, "allowed")], "1 of 8 done"),
    ],
)
def test_a_job_is_done_when_nothing_of_it_is_to_come(history: list[Event], told: str) -> None:
    assert told == how_far(state_of(*history))


def test_why_it_stops_is_told() -> None:
    state = state_of(event("run.stopping", 112.0, reason="SIGINT", signal=None, alive=[]))

    assert ["ci  stopping 00:00:12  0 of 8 done", "it stops: SIGINT"] == small(state)


def test_what_ran_when_the_runner_was_killed_is_gone() -> None:
    state = state_of(*HISTORY)
    state.was_killed()
    lines = [line.plain for line in jobs_screen(state, View(), Surface(80, None, 999.0, has_keys=False))]

    gone = [line.split() for line in lines if "docs" in line]
    assert [["docs", "gone", "0.0s"]] == gone

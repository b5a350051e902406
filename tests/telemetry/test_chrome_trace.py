"""A run as trace events: what goes on where, in the format that viewers read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_format import TraceEvent, require_valid, shown_on

from runner.record.reader import StoredEvent
from runner.record.series import Series
from runner.telemetry.chrome_trace import TracedRun, trace_text

BEGAN = 1000.0
STARTED = (0.0, "run.started", {"pid": 7, "stages": [{"name": "lister"}, {"name": "chef"}]})
NEO = {"worker": "neo", "stage": "chef", "pid": 8, "generation": 1}
EXITED = {**NEO, "outcome": "finished", "reason": "nothing left to do", "signal": None, "exitcode": 0}
DIED = {**NEO, "outcome": "died", "reason": "it was killed", "signal": "SIGKILL", "exitcode": None}


def traced(
    *events: tuple[float, str, dict[str, Any]], ended: float = 9.0, **series: list[float]
) -> list[TraceEvent]:
    """The trace of a run to which this happened, so many seconds after it began; `_` in a series' name is a slash."""
    stored = [
        StoredEvent(n, BEGAN + at, name, 20, fields.get("stage"), fields.get("worker"), fields)
        for n, (at, name, fields) in enumerate(events)
    ]
    numbers = {name.replace("_", "/"): made(values) for name, values in series.items()}
    text = "".join(trace_text(TracedRun("3f2a77aa", "shop", BEGAN, BEGAN + ended, stored, numbers)))
    return require_valid(json.loads(text))


def made(values: list[float]) -> Series:
    series = Series(BEGAN, 1.0)
    for place, value in enumerate(values):
        series.add(BEGAN + place, value)
    return series


def of(events: list[TraceEvent], phase: str) -> list[TraceEvent]:
    return [each for each in events if each["ph"] == phase]


def test_a_life_is_a_slice_and_its_birth_one_within_it() -> None:
    events = traced(
        STARTED, (1.0, "worker.spawned", NEO), (1.5, "worker.ready", NEO), (4.0, "worker.exited", EXITED)
    )

    lives = [(each["name"], each["ts"], each["dur"]) for each in of(events, "X") if each["cat"] == "worker"]
    assert [("neo", 1e6, 3e6), ("starting", 1e6, 0.5e6)] == lives


def test_stages_stand_in_the_order_in_which_data_flows_whoever_comes_first() -> None:
    events = traced(STARTED, (1.0, "worker.spawned", NEO))

    names = [each["args"]["name"] for each in events if each["name"] == "process_name"]
    assert ["run shop (3f2a77aa)", "stage lister", "stage chef"] == names


def test_a_death_and_a_restart_are_marked_and_the_successor_is_a_slice_of_its_own() -> None:
    again = {**NEO, "pid": 9, "generation": 2}
    events = traced(
        STARTED,
        (1.0, "worker.spawned", NEO),
        (2.0, "worker.exited", DIED),
        (2.1, "worker.restarted", again),
        (2.2, "worker.spawned", again),
        (2.3, "worker.ready", again),
        (3.0, "worker.exited", {**EXITED, "generation": 2}),
    )

    assert ["neo", "starting", "died: SIGKILL", "restarted", "neo (2)", "starting"] == shown_on(events, "neo")


def test_what_still_goes_on_in_a_run_that_was_killed_ends_when_that_was_last_heard_of() -> None:
    events = traced(STARTED, (1.0, "worker.spawned", NEO), (1.1, "worker.ready", NEO), ended=5.0)

    (life,) = [each for each in of(events, "X") if each["name"] == "neo"]
    assert (5e6, True) == (life["ts"] + life["dur"], life["args"]["cut short"])


def test_a_runner_that_goes_on_begins_after_what_the_one_before_had_begun() -> None:
    again = (6.0, "run.started", STARTED[2])
    events = traced(STARTED, (1.0, "worker.spawned", NEO), again, (6.5, "worker.spawned", NEO))

    lives = [(each["ts"], each["dur"]) for each in of(events, "X") if each["name"] == "neo"]
    assert [(1e6, 0.0), (6.5e6, 2.5e6)] == lives


@pytest.mark.parametrize("name", ["item.failed", "item.retried", "item.dead_lettered", "item.redelivered"])
def test_a_failure_is_an_instant_on_the_line_of_its_worker(name: str) -> None:
    failed = {**NEO, "item": "41", "error": "ValueError: no", "queue": "urls"}

    events = traced(STARTED, (1.0, "worker.spawned", NEO), (2.0, name, failed))

    (instant,) = [each for each in of(events, "i") if each["cat"] == "failure"]
    assert (2e6, "41") == (instant["ts"], instant["args"]["item"])
    assert name in shown_on(events, "neo")


def test_the_life_of_a_worker_whose_birth_is_not_kept_any_more_begins_with_the_run() -> None:
    events = traced(STARTED, (4.0, "worker.exited", EXITED))

    (life,) = [each for each in of(events, "X") if each["name"] == "neo"]
    assert (0.0, 4e6) == (life["ts"], life["dur"])


def test_jobs_have_their_steps_within_their_attempts_and_arrows_from_what_they_waited_for() -> None:
    step = {"job": "build", "step": 1, "name": "make"}
    events = traced(
        (0.0, "run.started", {"stages": []}),
        (0.1, "job.started", {"job": "build", "attempt": 1, "needs": []}),
        (0.2, "step.started", step),
        (0.9, "job.retried", {"job": "build", "attempt": 2, "reason": "it failed"}),
        (1.0, "job.started", {"job": "build", "attempt": 2, "needs": []}),
        (1.1, "step.started", step),
        (1.9, "step.finished", {**step, "result": "passed"}),
        (2.0, "job.finished", {"job": "build", "result": "passed"}),
        (2.1, "job.started", {"job": "test", "attempt": 1, "needs": ["build"]}),
        (3.0, "job.finished", {"job": "test", "result": "failed"}),
        (3.1, "job.skipped", {"job": "publish", "reason": "test failed"}),
    )

    assert ["build", "make", "build (2)", "make"] == shown_on(events, "build")
    assert ["test", "failed"] == shown_on(events, "test")
    assert ["skipped"] == shown_on(events, "publish")
    assert [("s", 2e6 - 1), ("f", 2.1e6)] == [
        (each["ph"], each["ts"]) for each in events if each["ph"] in "sf"
    ]


def test_counters_show_what_waits_what_is_passed_on_and_who_is_busy() -> None:
    events = traced(
        STARTED,
        queue_urls_size=[0, 5, 5, 5, 2],
        stage_chef_done=[0, 10, 30, 30, 30],
        stage_chef_sent=[0, 10, 30, 30, 30],
        stage_chef_busy=[0, 1, 3, 3, 3],
        stage_lister_done=[0, 0, 0, 0, 0],
        stage_lister_sent=[10, 20, 30, 30, 30],
    )

    drawn: dict[str, list[float]] = {}
    for each in of(events, "C"):
        drawn.setdefault(each["name"], []).extend(each["args"].values())
    assert {
        "queue urls": [0, 5, 2],
        "chef: items/s": [0, 10, 20, 0],
        "chef: busy workers": [0, 1, 2, 0],
        "lister: items/s": [10, 0],
    } == drawn


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 8),
        st.sampled_from(
            [
                *("run.started", "worker.spawned", "worker.ready", "worker.exited", "worker.logged"),
                *("worker.restarted", "worker.terminating", "item.failed", "job.started", "job.retried"),
                *("job.finished", "job.skipped", "step.started", "step.finished", "service.ready", "odd.one"),
            ]
        ),
        st.fixed_dictionaries(
            {
                "worker": st.sampled_from(["neo", "包子"]),
                "stage": st.just("chef"),
                "job": st.sampled_from(["build", "test"]),
                "step": st.integers(1, 2),
            },
            optional={
                "needs": st.just(["build"]),
                "message": st.just("hot"),
                "generation": st.integers(1, 3),
            },
        ),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_is_kept_of_a_run_a_viewer_can_read_it(
    events: list[tuple[float, str, dict[str, Any]]],
) -> None:
    traced(*sorted(events, key=lambda each: each[0]))

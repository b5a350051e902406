"""What runs now, in a few lines."""

from __future__ import annotations

import pytest
from job_histories import cancelled, event, finished, kept, one_job, retried, run_started, skipped, started

from runner.events.base import Event
from runner.render.progress import JobProgressModel


def model_of(*history: Event) -> JobProgressModel:
    model = JobProgressModel()
    for each in (run_started(8, at=100.0), *history):
        model.observe(each)
    return model


def shown(model: JobProgressModel, now: float = 112.0, most: int = 10) -> list[str]:
    return [line.text for line in model.lines(now, most)]


def test_it_says_how_far_it_is_and_what_runs_since_when_and_at_which_step() -> None:
    model = model_of(
        *one_job("build", 100, 103),
        *one_job("lint", 100, 104, "failed"),
        skipped("deploy", 104),
        started("test (3.11)", 103.8),
        event("step.started", 104.0, job="test (3.11)", step=2, name="pytest"),
        started("docs", 111.0),
    )

    assert [
        "ci  00:12  3 of 8 done, 1 failed, 1 skipped",
        "  test (3.11)  8.2s  pytest",
        "  docs  1.0s",
    ] == shown(model)


@pytest.mark.parametrize(
    ("history", "heading"),
    [
        ([], "ci  00:12  0 of 8 done"),
        ([started("a"), retried("a")], "ci  00:12  0 of 8 done"),
        ([kept("a"), kept("b", "skipped", attempt=0)], "ci  00:12  2 of 8 done, 1 skipped"),
        ([cancelled("a")], "ci  00:12  1 of 8 done, 1 cancelled"),
        (
            [started("a"), cancelled("a"), finished("a", result="cancelled")],
            "ci  00:12  1 of 8 done, 1 cancelled",
        ),
        ([*one_job("a", 0, 1, "timed_out")], "ci  00:12  1 of 8 done, 1 failed"),
        ([*one_job("a", 0, 1, "allowed")], "ci  00:12  1 of 8 done"),
        (
            [event("run.stopping", reason="SIGINT", signal=None, alive=[])],
            "ci  00:12  0 of 8 done  stopping: SIGINT",
        ),
    ],
)
def test_a_job_is_done_when_nothing_of_it_is_to_come(history: list[Event], heading: str) -> None:
    assert [heading] == shown(model_of(*history))


def test_what_does_not_fit_is_counted() -> None:
    model = model_of(*(started(f"job {n}", 100.0 + n) for n in range(9)))

    assert ["  job 0  12.0s", "  job 1  11.0s", "  and 7 more"] == shown(model, most=4)[1:]


def test_a_step_of_a_job_that_nobody_heard_of_is_none_of_ours() -> None:
    assert ["ci  00:12  0 of 8 done"] == shown(model_of(event("step.started", job="a", step=1, name="x")))

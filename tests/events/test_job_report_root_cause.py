"""Which of several failures is told first."""

from __future__ import annotations

import pytest
from job_histories import fold_jobs, one_job, skipped

from runner.events.base import Event
from runner.events.job_report import by_cause

HISTORIES: dict[str, tuple[list[Event], list[str]]] = {
    "nothing failed": (one_job("a", 0, 1), []),
    "in order of time": (
        [*one_job("late", 0, 5, "failed"), *one_job("early", 1, 2, "timed_out")],
        ["early", "late"],
    ),
    "what is allowed is no failure": (one_job("a", 0, 1, "allowed"), []),
    "the cause before what follows from it": (
        [
            *one_job("other", 0, 9, "failed"),
            *one_job("a", 0, 1, "failed"),
            *one_job("b", 1, 2, "failed", needs=["a"]),
        ],
        ["a", "other", "b"],
    ),
    "also through one that was skipped": (
        [
            *one_job("a", 0, 1, "failed"),
            skipped("b", 1, needs=["a"]),
            *one_job("c", 1, 2, "failed", needs=["b"]),
            *one_job("d", 3, 4, "failed"),
        ],
        ["a", "d", "c"],
    ),
    "a need that passed is no cause": (
        [*one_job("a", 0, 1), *one_job("b", 1, 2, "failed", needs=["a", "never heard of"])],
        ["b"],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_root_causes_come_first_each_in_order_of_time(name: str) -> None:
    history, expected = HISTORIES[name]
    job_report = fold_jobs(history)

    assert job_report is not None
    assert expected == [line.job for line in by_cause(job_report)]

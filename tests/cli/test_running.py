"""`mprun ps`: what it shows of a run, and of workers that have ended. That it reaches one is tested with `stop`."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cli.running import run_as_text


def worker(**facts: Any) -> dict[str, Any]:
    """A worker's line, as a run tells it."""
    line = {"worker": "neo", "stage": "chef", "pid": 7, "generation": 1, "state": "alive"}
    counts = {"received": 0, "sent": 3, "failed": 0, "retried": 2}
    end = {"ending": "", "exitcode": None, "signal": None, "asked_at": None, "ended_at": None}
    return {**line, **counts, **end, **facts}


def snapshot(*workers: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """A run's answer."""
    run = {"run": "3f2a", "workflow": "baozi", "phase": "running", "elapsed": 1.25, "pid": 1}
    return {**run, "workers": list(workers), "queues": [], **facts}


def test_workers_and_queues_stand_in_tables() -> None:
    queue = {"name": "steamer", "waiting": 2, "maxsize": None, "put": 5, "done": 3}

    shown = run_as_text(snapshot(worker(), queues=[queue]))

    assert (
        "3f2a  baozi  running  1.2s  pid 1\n"
        "\n"
        "WORKER  STAGE  PID  STATE  IN  OUT  FAILED  RETRIED  HOW IT ENDED\n"
        "neo     chef   7    alive  0   3    0       2\n"
        "\n"
        "QUEUE    WAITING  BOUND  PUT  DONE\n"
        "steamer  2        none   5    3"
    ) == shown


def test_a_source_that_knows_its_end_is_told_of() -> None:
    stage = {"name": "reader", "read": 1, "to_read": 4}

    shown = run_as_text({**snapshot(worker()), "elapsed": 30.0, "stages": [stage]})

    assert "reader has read 25%, 1m30s left" == shown.splitlines()[1]


def test_a_run_without_queues_has_no_table_of_them() -> None:
    assert "QUEUE" not in run_as_text(snapshot(worker()))


def test_a_run_with_jobs_shows_these_and_not_who_works_on_them() -> None:
    facts = {"attempt": 1, "waits_for": [], "step": "", "elapsed": None}
    jobs = [
        {**facts, "job": "test (3.11)", "state": "running", "elapsed": 61.04, "step": "2: pytest"},
        {**facts, "job": "lint", "state": "passed"},
        {**facts, "job": "publish", "state": "waiting", "attempt": 0, "waits_for": ["test", "docs"]},
    ]

    _, _, *lines = run_as_text(snapshot(worker(), jobs=jobs)).splitlines()

    assert [
        "JOB          STATE    FOR   ATTEMPT  STEP OR WHAT IT WAITS FOR",
        "test (3.11)  running  1m1s  1        2: pytest",
        "lint         passed   -     1",
        "publish      waiting  -     -        test, docs",
    ] == lines


ENDED = {"state": "ended", "ended_at": 20.0}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({**ENDED, "exitcode": 0, "ending": "nothing left to do"}, "nothing left to do"),
        ({**ENDED, "exitcode": 3, "ending": "OSError: no water"}, "OSError: no water"),
        ({**ENDED, "signal": "SIGKILL", "ending": "killed by SIGKILL"}, "killed by SIGKILL"),
        (
            {**ENDED, "signal": "SIGTERM", "asked_at": 19.5, "ending": "it was told to"},
            "SIGTERM, 500ms after it was asked to end: it was told to",
        ),
        (
            {**ENDED, "exitcode": 0, "asked_at": 19.999, "ending": "it was told to"},
            "exit code 0, 1ms after it was asked to end: it was told to",
        ),
        ({"state": "terminating", "asked_at": 19.5}, ""),
    ],
    ids=["in order", "it failed", "unasked", "asked by a signal", "asked, in order", "asked, not gone"],
)
def test_how_a_worker_ended_is_told_with_its_signal_and_how_long_it_took(
    facts: dict[str, Any], expected: str
) -> None:
    heading, line = run_as_text(snapshot(worker(**facts))).splitlines()[2:]

    assert expected == line[heading.index("HOW IT ENDED") :].rstrip()

"""What is kept of a run's events: to a bound, with failures by their kind."""

from __future__ import annotations

from typing import Any

import pytest

from runner.events.run import ItemDeadLettered, ItemFailed, QueueJoined
from runner.record.failures import MOST_KINDS, OTHERS, fingerprint
from runner.record.fold import MOST_WORKER_SERIES, FailureObserver, JobRow, RunFold

TRACE = 'Traceback:\n  File "/home/me/shop.py", line {}, in price\n    raise ValueError\n'


def failed(item: str, error: str = "ValueError: no 1", **more: Any) -> dict[str, Any]:
    return {"worker": "w", "stage": "shop", "queue": "q", "item": item, "error": error, **more}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("ValueError: no 17", "ValueError: no 3", True),
        ("KeyError: 'a'", 'KeyError: "b c"', True),
        ("OSError: at 0x7fa1", "OSError: at 0x11", True),
        ("ValueError: first\nand more", "ValueError: first\nother", True),
        ("ValueError: no price", "ValueError: no name", False),
        ("ValueError: no 1", "TypeError: no 1", False),
    ],
)
def test_failures_are_one_kind_where_they_differ_in_what_differs_from_item_to_item(
    one: str, other: str, alike: bool
) -> None:
    assert alike == (fingerprint("s", one) == fingerprint("s", other))


def test_the_place_tells_kinds_apart_but_not_a_line_of_it() -> None:
    at = [fingerprint("s", "ValueError", TRACE.format(line)) for line in (3, 4)]

    assert at[0] == at[1]
    assert at[0] != fingerprint("s", "ValueError", TRACE.format(3).replace("price", "name"))
    assert at[0] != fingerprint("t", "ValueError", TRACE.format(3))


def test_of_a_kind_a_hundred_are_kept_and_all_are_counted() -> None:
    fold = RunFold()
    for n in range(1000):
        fold.take("item.failed", float(n), "error", failed(str(n), f"ValueError: no {n}"))
        fold.take("item.failed", float(n), "error", failed(str(n), f"TypeError: no {n}"))

    kinds = list(fold.failures.kinds.values())
    assert [1000, 1000] == [kind.n for kind in kinds]
    assert [100, 100] == [sum(s.kind == kind.id for s in fold.failures.samples) for kind in kinds]
    assert (200, 1800) == (len(fold.rows), fold.left_out)


def test_an_items_letter_is_no_second_failure() -> None:
    fold = RunFold()
    fold.take("item.failed", 1.0, "warning", failed("a", traceback=TRACE.format(1)))
    fold.take("item.dead_lettered", 1.0, "warning", failed("a", attempts=1))
    fold.take("item.dead_lettered", 1.0, "warning", failed("b", "killed its workers", attempts=2))

    assert [1, 1] == [kind.n for kind in fold.failures.kinds.values()]
    assert [False, True] == [sample.letter for sample in fold.failures.samples]


@pytest.mark.parametrize("held", [["a"], []], ids=["it held it", "it was dropped before"])
def test_the_end_of_a_worker_with_its_item_is_no_second_failure_but_any_other_death_is(
    held: list[str],
) -> None:
    fold = RunFold()
    exited = {"worker": "w", "stage": "shop", "outcome": "died", "items": held}
    fold.take("item.failed", 1.0, "error", failed("a", traceback=TRACE.format(1)))
    fold.take("item.failed", 1.0, "error", failed("z", worker="v"))
    fold.take("worker.exited", 1.0, "error", {**exited, "reason": "ValueError: no 1"})
    assert [1, 1] == [kind.n for kind in fold.failures.kinds.values()]

    fold.take("worker.exited", 2.0, "error", {**exited, "reason": "ValueError: no 1"})
    fold.take("worker.exited", 3.0, "error", {**exited, "reason": "killed by SIGKILL"})
    assert [1, 2, 1] == [kind.n for kind in fold.failures.kinds.values()]


def test_kinds_are_bounded_and_the_others_counted_together() -> None:
    fold = RunFold()
    for n in range(MOST_KINDS + 50):
        fold.take("item.failed", 1.0, "error", failed("x", f"Error: {'x' * (n % 16)}{'y' * (n // 16)}"))

    assert MOST_KINDS + 1 == len(fold.failures.kinds)
    assert 50 == fold.failures.kinds[OTHERS].n


def test_snapshots_become_series_and_no_events() -> None:
    fold = RunFold()
    for n in range(3):
        stage = {"name": "eater", "received": n, "sent": 0, "done": n, "failed": 0, "busy": 0.1, "alive": 2}
        queue = {"name": "steamer", "size": 9 - n, "put": 9, "done": n}
        fold.take("run.progress", n * 0.25, "debug", {"elapsed": n, "stages": [stage], "queues": [queue]})

    assert [] == fold.rows
    assert (0, 1, 2) == fold.series["stage/eater/done"].values
    assert (9, 8, 7) == fold.series["queue/steamer/size"].values


def test_a_job_is_followed_to_its_end() -> None:
    fold = RunFold()
    started = {"job": "test", "attempt": 1, "reason": "its needs have passed", "log": "/x/0001-test.log"}
    step = {"job": "test", "step": 1, "name": "pytest", "exitcode": 2, "duration": 1.5, "result": "failed"}
    ended = {
        "job": "test",
        "attempt": 1,
        "result": "failed",
        "exitcode": 2,
        "signal": None,
        "reason": "exit 2",
    }
    fold.take("job.started", 1.0, "info", started)
    fold.take("step.finished", 2.0, "debug", step)
    fold.take("job.finished", 3.0, "error", ended)

    job = fold.jobs["test"]
    assert ("failed", 1.0, 3.0, 2, "exit 2") == (job.state, job.began, job.ended, job.code, job.reason)
    assert [("test", 1, 1, "failed")] == [(s.job, s.attempt, s.n, s.result) for s in fold.steps]


def test_a_field_of_any_length_is_cut() -> None:
    fold = RunFold()
    fold.take("worker.stacks", 1.0, "warning", {"worker": "w", "stage": "s", "stacks": "x" * 1_000_000})

    assert len(fold.rows[0].fields) < 10_000


def test_of_a_job_that_is_kept_what_it_was_then_is_known() -> None:
    fold = RunFold()
    fold.take_note({"id": "build", "key": {"steps": "1"}, "outputs": {"v": "2"}})

    kept = {"result": "passed", "from_run": "r0", "reason": "it did", "attempt": 2, "duration": 3.0}
    fold.take(
        "job.kept", 90.0, "info", {"job": "build", **kept, "ended": 50.0, "exitcode": 0, "log": "b.log"}
    )

    build = fold.jobs["build"]
    assert ("passed", 2, 47.0, 50.0, 0, "b.log") == (
        *(build.state, build.attempts, build.began, build.ended, build.code, build.log),
    )
    assert ({"steps": "1"}, {"v": "2"}) == (build.key, build.outputs)


def test_a_job_that_begins_again_behind_a_dead_runner_begins_anew() -> None:
    fold = RunFold(jobs={"a": JobRow("a", "running", 1, 5.0), "b": JobRow("b", "failed", 1, 5.0, 6.0, 3)})
    begun = {"attempt": 2, "reason": "", "log": "x"}
    fold.take_note({"id": "a", "key": {}, "lost": 1})

    for job in "ab":
        fold.take("job.started", 90.0, "info", {"job": job, **begun})
    fold.take("job.retried", 91.0, "info", {"job": "a", "attempt": 3, "reason": "", "delay": 1.0})
    fold.take("job.started", 92.0, "info", {"job": "a", **begun})

    assert [("running", 90.0, None, None, 1), ("running", 90.0, None, None, 0)] == [
        (job.state, job.began, job.ended, job.code, job.lost) for job in fold.jobs.values()
    ]


def counted(worker: str, busy: float, state: str = "busy") -> dict[str, Any]:
    return {"worker": worker, "stage": "shop", "busy": busy, "state": state}


def test_how_busy_a_worker_was_is_kept_over_time_also_while_it_is_at_one_item() -> None:
    fold = RunFold()
    nothing: dict[str, Any] = {"elapsed": 0.0, "stages": [], "queues": []}
    fold.take("run.workers", 0.0, "debug", {"workers": [counted("a", 0.0), counted("b", 1.0, "starved")]})
    for at in (0.0, 2.0, 4.0):
        fold.take("run.progress", at, "debug", nothing)
    fold.take("worker.exited", 5.0, "info", {"worker": "a", "stage": "shop", "outcome": "stopped"})
    fold.take("run.progress", 9.0, "debug", nothing)

    assert [2.0, 4.0, 5.0] == [fold.series["worker/a/busy"].values[place] for place in (8, 16, 36)]
    assert {1.0} == set(fold.series["worker/b/busy"].values)
    assert not fold.rows[:-1]  # neither is kept as an event


def test_of_many_workers_the_first_are_kept_over_time() -> None:
    fold = RunFold()
    workers = [counted(f"w{n}", 0.0) for n in range(2 * MOST_WORKER_SERIES)]
    fold.take("run.workers", 0.0, "debug", {"workers": workers})
    fold.take("run.progress", 1.0, "debug", {"elapsed": 1.0, "stages": [], "queues": []})

    assert [f"worker/w{n}/busy" for n in range(MOST_WORKER_SERIES)] == list(fold.series)


def test_whoever_keeps_the_kinds_beside_a_run_tells_them_as_its_record_does() -> None:
    observer = FailureObserver()
    for n in range(3):
        fields = {
            "worker": "w",
            "stage": "shop",
            "queue": "q",
            "item": str(n),
            "error": f"ValueError: no {n}",
        }
        for event in (
            ItemFailed(**fields, action="dead_letter", traceback=TRACE.format(1)),
            ItemDeadLettered(**fields, attempts=1, letter="l"),
            QueueJoined(queue="q", put=1, done=1),
        ):
            observer.observe(event.stamped(float(n), "r"))
    observer.observe(ItemFailed(**fields | {"error": "KeyError"}, action="skip").stamped(9.0, "r"))

    rows = observer.rows()

    assert [(3, "ValueError: no 0", 0.0, 2.0), (1, "KeyError", 9.0, 9.0)] == [
        (row["n"], row["error"], row["first"], row["last"]) for row in rows
    ]
    assert ["0", "1", "2"] == [each["item"] for each in rows[0]["samples"]]

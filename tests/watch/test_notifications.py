"""Who is told what of a run, decided from its events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import finished as finished_job

from runner.events.base import Event
from runner.events.jobs import JobSilent
from runner.events.run import ItemFailed, RunFinished, RunProgress, RunRefused, RunStarted, WorkerExited
from runner.spec.notify import NotifyOn, NotifySpec
from runner.watch.notifications import VARIABLES, NotificationRules, StallDetector, environment

AT = 1_764_600_000.0
STAGE = {"name": "eater", "role": "consumer", "workers": 1, "daemon": False, "from": "q", "to": None}
STARTED = RunStarted(
    workflow="shop",
    file="/w/shop.yaml",
    transport="leased",
    pid=1,
    stages=[{**STAGE, "targets": [], "total": None}],
    queues=[],
).stamped(AT, "r1")
COUNTS = {"received": 0, "sent": 0, "done": 0, "failed": 0, "retried": 0}


def entry(*on: str, **more: Any) -> NotifySpec:
    return NotifySpec(on=tuple(NotifyOn(word) for word in on), run=("tell",), **more)


def queue(put: int, done: int, leased: int = 0, **more: int) -> Any:
    known = {"dropped": 0, "duplicates": 0, "dead_lettered": 0, "lost": 0, **more}
    return {"name": "q", "put": put, "waiting": put - done - leased, "leased": leased, "done": done, **known}


def snapshot(elapsed: float, put: int = 0, done: int = 0, alive: int = 1) -> RunProgress:
    stage: Any = {"name": "eater", "alive": alive, **COUNTS}
    return RunProgress(elapsed=elapsed, stages=[stage], queues=[queue(put, done)]).stamped(AT + elapsed, "r1")


def finished(exitcode: int = 0, outcome: str = "done", reason: str | None = None) -> RunFinished:
    queues = [queue(9, 6, dropped=1, dead_lettered=2)]
    ended = RunFinished(outcome=outcome, exitcode=exitcode, reason=reason, seconds=61.0, queues=queues)
    return ended.stamped(AT + 61, "r1")


def failed(item: str) -> ItemFailed:
    fields = {"worker": "eater-1", "stage": "eater", "queue": "q", "item": item}
    return ItemFailed(**fields, error="ValueError: no", action="dead_letter").stamped(AT + 1, "r1")


def told(entries: list[NotifySpec], *events: Event, ends: bool = True) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.facts["event"], each.entries) for each in all_told(entries, *events, ends=ends)]


def all_told(entries: list[NotifySpec], *events: Event, ends: bool = True) -> list[Any]:
    rules = NotificationRules(entries)
    found = [each for event in events for each in rules.observe(event)]
    return [*found, *(rules.ended(AT + 99) if ends else ())]


def test_the_end_is_told_to_each_once_and_as_failed_to_those_who_want_that() -> None:
    entries = [entry("finished"), entry("failed"), entry("failed", "finished"), entry("stalled")]

    assert [("finished", (0, 2))] == told(entries, STARTED, finished())
    assert [("failed", (1, 2)), ("finished", (0,))] == told(entries, STARTED, finished(1, "failed"))
    assert [("failed", (1, 2)), ("finished", (0,))] == told(entries, STARTED, finished(130, "interrupted"))


def test_a_run_that_says_no_end_was_killed_and_one_that_never_was_is_refused() -> None:
    killed = all_told([entry("failed")], STARTED, snapshot(5, 9, 3))[0].facts
    refused = RunRefused(error="2 errors in shop.yaml", exitcode=3, problems=[]).stamped(AT, "")
    never = all_told([entry("failed")], refused)[0].facts

    assert ("killed", None, "its runner was killed", 3) == tuple(
        killed[name] for name in ("outcome", "exit_code", "reason", "done")
    )
    assert "shop was killed after 1m39s: its runner was killed" == killed["text"]
    assert ("refused", 3, None) == tuple(never[name] for name in ("outcome", "exit_code", "run"))
    assert "mprun could not be run: 2 errors in shop.yaml" == never["text"]


def test_the_first_failure_is_told_once_whatever_fails() -> None:
    died = WorkerExited(
        worker="eater-1",
        stage="eater",
        pid=7,
        generation=1,
        exitcode=None,
        signal="SIGKILL",
        outcome="died",
        reason="killed by SIGKILL",
        items=["'x'"],
        **dict.fromkeys(("received", "sent", "done", "failed", "retried", "busy", "starved", "blocked"), 0),
    ).stamped(AT, "r1")
    entries = [entry("first_failure"), entry("failed")]

    (first,) = all_told(entries, STARTED, failed("1"), failed("2"), died, ends=False)
    (other,) = all_told(entries, STARTED, died, failed("1"), ends=False)

    assert (("1", "ValueError: no"), (0,)) == ((first.facts["item"], first.facts["error"]), first.entries)
    assert ("'x'", "eater", "killed by SIGKILL") == tuple(other.facts[n] for n in ("item", "stage", "error"))


def test_a_run_of_jobs_counts_those_and_one_that_is_silent_has_stalled() -> None:
    started = RunStarted(
        workflow="ci", file="/w/ci.yaml", transport="leased", pid=1, stages=[], queues=[], jobs=3
    ).stamped(AT, "r1")
    ends = [finished_job("a"), finished_job("b", result="failed")]
    silent = JobSilent(job="c", seconds=90.0).stamped(AT, "r1")

    stalled, first, end = all_told(
        [entry("stalled", "first_failure", "finished")], started, silent, *ends, finished(1, "failed")
    )

    assert "job 'c' has printed nothing for 1m30s" == stalled.facts["reason"]
    assert "b" == first.facts["stage"]
    assert (1, 1) == (end.facts["done"], end.facts["failed"])


def test_each_who_is_told_of_a_stall_has_a_time_of_its_own() -> None:
    entries = [entry("stalled", stalled_after=10.0), entry("stalled", stalled_after=30.0)]
    still = [snapshot(float(second), 5, 3) for second in range(0, 60, 5)]

    assert [("stalled", (0,)), ("stalled", (1,))] == told(entries, STARTED, *still, ends=False)


@pytest.mark.parametrize(
    ("snapshots", "expected"),
    [
        ([snapshot(0, 5, 5), snapshot(99, 5, 5)], False),
        ([snapshot(0, 5, 3), snapshot(9.9, 5, 3)], False),
        ([snapshot(0, 5, 3), snapshot(10, 5, 3)], True),
        ([snapshot(0, 5, 3), snapshot(9, 6, 3), snapshot(18, 6, 3)], False),
        ([snapshot(0, 5, 3), snapshot(9, 5, 3, alive=2), snapshot(18, 5, 3, alive=2)], False),
    ],
)
def test_a_run_has_stalled_where_nothing_moves_while_there_is_work(
    snapshots: list[RunProgress], expected: bool
) -> None:
    detector = StallDetector(10.0)

    found = [detector.observe(each) for each in snapshots]
    assert expected == (True in found)


@given(st.lists(st.tuples(st.floats(0.1, 8), st.integers(0, 1)), max_size=60))
def test_a_stall_is_told_once_for_each_time_that_nothing_moves_long_enough(steps: list[Any]) -> None:
    detector, elapsed, done, moved, expected, found, is_told = StallDetector(10.0), 0.0, 0, 0.0, 0, 0, False
    detector.observe(snapshot(0.0, 1000, 0))
    for seconds, new in steps:
        elapsed, done = elapsed + seconds, done + new
        if new:
            moved, is_told = elapsed, False
        elif elapsed - moved >= 10.0 and not is_told:
            expected, is_told = expected + 1, True
        found += detector.observe(snapshot(elapsed, 1000, done))

    assert expected == found


def test_facts_are_variables_too_with_nothing_that_a_process_cannot_have() -> None:
    facts = all_told([entry("failed")], STARTED, finished(1, "failed", "a\0b" + "x" * 9999))[0].facts

    variables = environment(facts)

    assert set(VARIABLES.values()) == variables.keys()
    assert ("failed", "r1", "1", "6", "3", "2", "") == tuple(
        variables[f"MPRUN_{name}"]
        for name in ("EVENT", "RUN_ID", "EXIT_CODE", "DONE", "FAILED", "DEAD_LETTERS", "ITEM")
    )
    assert variables["MPRUN_REASON"].startswith("abxxx")
    assert 5000 > len(variables["MPRUN_REASON"])
    assert "MPRUN_RUN" not in variables

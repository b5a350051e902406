"""Histories of events, and the report that each folds to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import fold

from runner.events.base import Event
from runner.events.report import MOST_FAILURES, Report, report_schema
from runner.events.run import ItemFailed, RunFinished, RunStarted, WorkerExited, WorkerSpawned

STAGES = [
    {"name": "chef", "role": "producer", "workers": 1, "daemon": False, "from": None, "to": "steamer"},
    {"name": "eater", "role": "consumer", "workers": 2, "daemon": True, "from": "steamer", "to": None},
]
IDLE = {
    "received": 0,
    "sent": 0,
    "done": 0,
    "retried": 0,
    "failed": 0,
    "busy": 0.0,
    "starved": 0.0,
    "blocked": 0.0,
}
TRACEBACK = 'Traceback (most recent call last):\n  File "baozi.py", line 3, in eat\nValueError: cold'


def started(at: float = 0.0, transport: str = "joinable") -> Event:
    fields = {"workflow": "baozi", "file": "baozi.yaml", "transport": transport, "pid": 1, "stages": STAGES}
    return RunStarted(**fields, queues=[{"name": "steamer", "maxsize": 10}]).stamped(at, "r1")


def spawned(worker: str, stage: str, at: float = 0.0) -> Event:
    fields = {"worker": worker, "stage": stage, "pid": 2, "ppid": 1, "generation": 1, "daemon": False}
    return WorkerSpawned(**fields).stamped(at, "r1")


def exited(worker: str, stage: str, at: float = 4.0, **changes: Any) -> Event:
    fields = {"worker": worker, "stage": stage, "pid": 2, "generation": 1, "exitcode": 0, "signal": None}
    fields |= {"outcome": "finished", "reason": "it did all its work"} | IDLE | changes
    return WorkerExited(**fields).stamped(at, "r1")


def failed(action: str = "fail", item: str = "'bun 0'") -> Event:
    fields = {"worker": "eater-1", "stage": "eater", "queue": "steamer", "item": item}
    more = {"error": "ValueError: cold", "traceback": TRACEBACK, "action": action}
    return ItemFailed(**fields, **more).stamped(2.0, "r1")


def finished(outcome: str = "done", exitcode: int = 0, reason: str | None = None, **account: Any) -> Event:
    queue = {"name": "steamer", "maxsize": 10, "put": 9, "done": 9, "dropped": 0, "dead_lettered": 0}
    queue |= {"waiting": 0, "leased": 0, "peak": 4, "peak_bytes": 0, "full_seconds": 0.0, "joined": True}
    fields = {"outcome": outcome, "exitcode": exitcode, "reason": reason, "seconds": 4.0}
    return RunFinished(**fields, queues=[queue | account]).stamped(4.0, "r1")


DONE = [
    started(),
    spawned("neo", "chef"),
    spawned("eater-1", "eater"),
    spawned("eater-2", "eater"),
    exited("neo", "chef", at=2.0, sent=9, busy=1.0, blocked=0.5),
    exited("eater-1", "eater", received=5, done=5, busy=3.8, starved=0.2),
    exited("eater-2", "eater", received=4, done=4, busy=3.0, starved=1.0),
    finished(),
]
SKIPPED = [started(), failed("skip"), exited("eater-1", "eater", failed=1), finished(done=8, dropped=1)]
FAILED = [
    started(),
    failed("skip", "'bun 1'"),
    failed("fail", "'bun 2'"),
    finished("failed", 1, "cold", done=7, waiting=2),
]
KILLED = [
    started(),
    exited(
        "eater-1", "eater", outcome="died", signal="SIGKILL", reason="ended by SIGKILL", items=["'a'", "'b'"]
    ),
    finished("failed", 1, "eater-1 was ended by SIGKILL", done=7, leased=2, joined=False),
]
INTERRUPTED = [started(), finished("interrupted", 130, "SIGINT", done=3, waiting=6, joined=False)]
TIMED_OUT = [started(), finished("timeout", 5, "limits.timeout", done=3, waiting=6, joined=False)]
CUT_SHORT = DONE[:5]
BEGUN_LATE = DONE[4:]
HISTORIES = {
    "done": DONE,
    "skipped": SKIPPED,
    "failed": FAILED,
    "killed": KILLED,
    "interrupted": INTERRUPTED,
    "timed out": TIMED_OUT,
    "cut short": CUT_SHORT,
    "begun late": BEGUN_LATE,
    "empty": [],
}


def check(report: Report) -> None:
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(json.dumps(report.as_dict())))


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_whatever_happened_the_report_meets_its_schema(history: list[Event]) -> None:
    check(fold(history))


def test_of_a_stage_whose_declaration_was_missed_no_workers_are_made_up() -> None:
    assert [0] == [
        stage["workers"]
        for stage in fold([DONE[0], exited("eater-9", "late")]).as_dict()["stages"]
        if stage["name"] == "late"
    ]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (DONE, ("done", 0, None)),
        (SKIPPED, ("done", 0, None)),
        (FAILED, ("failed", 1, "cold")),
        (KILLED, ("failed", 1, "eater-1 was ended by SIGKILL")),
        (INTERRUPTED, ("interrupted", 130, "SIGINT")),
        (TIMED_OUT, ("timeout", 5, "limits.timeout")),
        (CUT_SHORT, ("internal", 70, "the record of the run breaks off before its end")),
    ],
)
def test_the_end_of_the_run_is_taken_over_and_a_missing_end_is_never_called_done(
    history: list[Event], expected: tuple[str, int, str | None]
) -> None:
    report = fold(history)

    assert expected == (report.outcome, report.exit_code, report.reason)


def test_counters_of_workers_add_up_to_their_stage() -> None:
    eater = fold(DONE).stage("eater")

    assert (eater.workers, eater.received, eater.done, eater.sent) == (2, 9, 9, 0)
    assert (eater.busy_seconds, eater.starved_seconds, eater.blocked_seconds) == (6.8, 1.2, 0.0)


def test_busy_is_the_share_of_the_whole_run_so_that_stages_compare() -> None:
    """A producer that worked all of its short life held nobody up for the rest of the run."""
    report = fold(DONE)

    assert {stage.name: stage.busy for stage in report.stages} == {"chef": 0.25, "eater": 0.85}


def test_the_rate_is_over_the_life_of_the_stage() -> None:
    report = fold(DONE)

    assert {stage.name: stage.items_per_second for stage in report.stages} == {"chef": 4.5, "eater": 2.25}


def test_a_queue_is_found_by_name_and_a_misspelt_one_gets_the_right_name() -> None:
    report = fold(DONE)

    assert report.queue("steamer").done == 9
    with pytest.raises(KeyError, match=r"the run has no queue 'steamr'; did you mean 'steamer'\?"):
        report.queue("steamr")
    with pytest.raises(KeyError, match=r"the run has no stage 'cheff'; did you mean 'chef'\?"):
        report.stage("cheff")


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({}, True),
        ({"done": 5, "dropped": 1, "dead_lettered": 1, "waiting": 1, "leased": 1}, True),
        ({"done": 8}, False),
        ({"leased": 1}, False),
    ],
)
def test_the_ledger_balances_when_every_item_put_is_somewhere(
    account: dict[str, int], expected: bool
) -> None:
    assert expected is fold([started(), finished(**account)]).balanced


def test_the_root_cause_is_what_ended_the_run_not_what_was_skipped_before() -> None:
    cause = fold(FAILED).root_cause

    assert cause is not None
    assert (cause.item, cause.error, cause.traceback) == ("'bun 2'", "ValueError: cold", TRACEBACK)


def test_a_dead_worker_is_a_failure_with_the_items_at_stake() -> None:
    cause = fold(KILLED).root_cause

    assert cause is not None
    assert (
        cause.kind,
        cause.worker,
        cause.item,
        cause.error,
    ) == ("worker", "eater-1", "'a', 'b'", "ended by SIGKILL")


def test_an_item_and_the_worker_that_ended_for_it_are_one_failure() -> None:
    died = exited("eater-1", "eater", outcome="died", exitcode=1, reason="its handler raised")

    report = fold([started(), failed("fail"), died, finished("failed", 1, "cold")])

    assert [failure.kind for failure in report.failures] == ["item"]


def test_failures_are_bounded_and_the_fatal_one_is_kept() -> None:
    skips = [failed("skip", f"'{i}'") for i in range(MOST_FAILURES + 50)]

    report = fold([started(), *skips, failed("fail", "'last straw'"), finished("failed", 1, "cold")])

    assert (len(report.failures), report.more_failures) == (MOST_FAILURES, 51)
    assert report.root_cause is not None
    assert report.root_cause.item == "'last straw'"
    check(report)


def test_a_run_in_one_process_has_no_bottleneck() -> None:
    inline = [started(transport="inline"), *DONE[1:]]

    assert fold(DONE, cores=16).bottleneck is not None
    assert fold(inline, cores=16).bottleneck is None


@given(st.lists(st.sampled_from([event for history in HISTORIES.values() for event in history])))
def test_any_order_of_events_folds_to_a_valid_report(history: list[Event]) -> None:
    check(fold(history))


def test_the_schema_is_closed_and_means_something_everywhere() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    parts = [schema, *(schema["properties"][name]["items"] for name in ("stages", "queues", "failures"))]

    assert [part["additionalProperties"] for part in parts] == [False] * 4
    assert all(field["description"] for part in parts for field in part["properties"].values())
    assert all("type" in field or "enum" in field for part in parts for field in part["properties"].values())


def test_the_schema_that_ships_is_the_one_in_the_code() -> None:
    shipped = Path(__file__).parent.parent.parent / "schemas" / "report.schema.json"

    assert report_schema() == json.loads(shipped.read_text(encoding="utf-8"))


def test_a_stage_that_was_scaled_had_as_many_workers_as_there_were_at_a_time() -> None:
    """Who comes in the place of another is none more."""
    grown = [spawned(f"eater-{number}", "eater") for number in range(1, 5)]
    again = [exited("eater-4", "eater", outcome="died"), spawned("eater-4", "eater")]

    report = fold([started(), *grown, *again])

    assert 4 == report.stage("eater").workers

"""What follows from a worker that is gone for good depends on what is lost with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.events.run import WorkerOutcome
from runner.ipc.status_page import Counters
from runner.ledger.accounts import Account
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.workers import (
    FROM_OUTSIDE,
    Drain,
    Fail,
    WorkerExit,
    WorkerState,
    abandoned,
    consequence,
)

HANDLER = HandlerRef("python", "m:f")
DIED = WorkerExit("w", 12, -9, WorkerOutcome.DIED, "killed by SIGKILL")
STOPPED = WorkerExit("w", 12, -15, WorkerOutcome.STOPPED, FROM_OUTSIDE)
DISMISSED = WorkerExit("w", 12, -15, WorkerOutcome.STOPPED, "the run has to end")
DONE = WorkerExit("w", 12, 0, WorkerOutcome.FINISHED, "nothing left to do")


def plan_of(*, daemon: bool = False, shard_by: str | None = None) -> Plan:
    stages = (
        StageSpec("chef", HANDLER, {}, ("neo",), sends="q", daemon=daemon),
        StageSpec("eater", HANDLER, {}, ("eater-1", "eater-2"), receives="q", shard_by=shard_by),
        StageSpec("clock", HANDLER, {}, ("clock-1",), daemon=daemon),
    )
    return make_plan(WorkflowSpec("t", Path("t.yaml"), stages, (QueueSpec("q"),)))


def follows(
    name: str, exited: WorkerExit, *, daemon: bool = False, given_up: str = "", outlives: bool = True
) -> Drain | Fail | None:
    plan = next(worker for worker in plan_of(daemon=daemon).workers if worker.name == name)
    exited = replace(exited, given_up=given_up, held=("'b'",) if plan.receives else ())
    return consequence(plan, exited, put=25, outlives_workers=outlives)


def test_a_producer_that_dies_leaves_work_to_be_worked_off() -> None:
    expected = Drain(
        "stage 'chef': worker 'neo' (pid 12) killed by SIGKILL; what it had put, 25 items, is worked off"
    )

    assert expected == follows("neo", DIED)


def test_a_producer_that_is_stopped_was_cut_short() -> None:
    expected = Drain(
        "stage 'chef': worker 'neo' (pid 12) was stopped by `mprun stop --worker`; "
        "what it had put, 25 items, is worked off"
    )

    assert expected == follows("neo", STOPPED)


@pytest.mark.parametrize(
    ("name", "exited", "daemon"),
    [
        ("neo", DONE, False),
        ("neo", DISMISSED, False),
        ("neo", STOPPED, True),
        ("clock-1", STOPPED, True),
        ("clock-1", STOPPED, False),
        ("eater-1", STOPPED, False),
        ("eater-1", DONE, False),
    ],
)
def test_what_ends_in_order_is_no_loss(name: str, exited: WorkerExit, daemon: bool) -> None:
    assert follows(name, exited, daemon=daemon) is None


def test_a_reader_that_dies_and_is_not_replaced_ends_the_run() -> None:
    expected = Fail("stage 'eater': worker 'eater-1' (pid 12) killed by SIGKILL; it held 'b'; no more")

    assert expected == follows("eater-1", DIED, given_up="no more")


def test_where_a_death_harms_others_that_of_a_producer_ends_the_run_at_once() -> None:
    expected = Fail("stage 'chef': worker 'neo' (pid 12) killed by SIGKILL")

    assert expected == follows("neo", DIED, outlives=False)


def reader(plan: Plan, name: str, *, closing: str = "", took: int = 0, done: int = 0) -> WorkerState:
    """A reader that has ended by itself."""
    state = WorkerState(next(each for each in plan.workers if each.name == name), closing=closing)
    counters = Counters(received=took, done=done)
    state.ended(replace(DONE, worker=name, counters=counters), 1.0)
    return state


@pytest.mark.parametrize(
    ("shard_by", "closing", "expected"),
    [
        (None, "", "queue 'q': every reader has ended, and 5 items are left: not taken, or given back"),
        (
            None,
            FROM_OUTSIDE,
            f"queue 'q': every reader has ended ('eater-1', 'eater-2' {FROM_OUTSIDE}), and 5",
        ),
        ("id", "", "queue 'q': a reader has ended, and no other may take its shard, and 5 items are left"),
    ],
)
def test_a_queue_that_is_abandoned_says_who_has_left_it(
    shard_by: str | None, closing: str, expected: str
) -> None:
    plan = plan_of(shard_by=shard_by)
    readers = [reader(plan, name, closing=closing) for name in ("eater-1", "eater-2")]

    assert expected in abandoned(plan, Account("q", 10, put=9, done=4, waiting=5), readers)


def test_a_queue_that_is_abandoned_says_which_stage_took_items_and_kept_them() -> None:
    plan = plan_of()
    readers = [reader(plan, "eater-1", took=3, done=1), reader(plan, "eater-2", took=1)]

    told = abandoned(plan, Account("q", 10, put=9, done=1, waiting=5, leased=3), readers)

    assert "8 items are left: stage 'eater' took 3 and never called `task_done()` for them" in told

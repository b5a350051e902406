"""What follows from a worker that is gone for good depends on what is lost with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.events.run import WorkerOutcome
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.workers import FROM_OUTSIDE, Drain, Fail, WorkerExit, abandoned, consequence

HANDLER = HandlerRef("python", "m:f")
DIED = WorkerExit("w", 12, -9, WorkerOutcome.DIED, "killed by SIGKILL")
STOPPED = WorkerExit("w", 12, -15, WorkerOutcome.STOPPED, FROM_OUTSIDE)
DISMISSED = WorkerExit("w", 12, -15, WorkerOutcome.STOPPED, "the run has to end")
DONE = WorkerExit("w", 12, 0, WorkerOutcome.FINISHED, "nothing left to do")


def plan_of(*, daemon: bool = False, shard_by: str | None = None) -> Plan:
    stages = (
        StageSpec("chef", HANDLER, {}, ("neo",), sends="q", daemon=daemon),
        StageSpec("eater", HANDLER, {}, ("eater-1",), receives="q", shard_by=shard_by),
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


@pytest.mark.parametrize(
    ("shard_by", "stopped", "expected"),
    [
        (None, [], "queue 'q': every reader has ended, and items are left"),
        (None, ["c1", "c2"], f"queue 'q': every reader has ended ('c1', 'c2' {FROM_OUTSIDE}), and items"),
        ("id", [], "queue 'q': a reader has ended, and no other may take its shard, and items"),
    ],
)
def test_a_queue_that_is_abandoned_says_who_has_left_it(
    shard_by: str | None, stopped: list[str], expected: str
) -> None:
    assert expected in abandoned(plan_of(shard_by=shard_by), "q", stopped)

"""What follows from a worker that is gone for good depends on what is lost with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.losses import FROM_OUTSIDE, Drain, Fail, Loss, abandoned, weigh
from runner.plan import Plan, make_plan
from runner.roster import Ending
from runner.spec import HandlerRef, QueueSpec, StageSpec, WorkflowSpec

HANDLER = HandlerRef("python", "m:f")
DIED = Ending("died", "killed by SIGKILL")
STOPPED = Ending("stopped", FROM_OUTSIDE)
DISMISSED = Ending("stopped", "the run has to end")
DONE = Ending("finished", "nothing left to do")


def plan_of(*, daemon: bool = False, shard_by: str | None = None) -> Plan:
    stages = (
        StageSpec("chef", HANDLER, {}, ("neo",), sends="q", daemon=daemon),
        StageSpec("eater", HANDLER, {}, ("eater-1",), receives="q", shard_by=shard_by),
        StageSpec("clock", HANDLER, {}, ("clock-1",), daemon=daemon),
    )
    return make_plan(WorkflowSpec("t", Path("t.yaml"), stages, (QueueSpec("q"),)))


def loss(name: str, ending: Ending, *, daemon: bool = False, given_up: str = "") -> Loss:
    worker = next(worker for worker in plan_of(daemon=daemon).workers if worker.name == name)
    return Loss(worker, 12, ending, given_up, ["'b'"] if worker.receives else [], 25)


def test_a_producer_that_dies_leaves_work_to_be_worked_off() -> None:
    expected = Drain(
        "stage 'chef': worker 'neo' (pid 12) killed by SIGKILL; what it had put, 25 items, is worked off"
    )

    assert expected == weigh(loss("neo", DIED), outlives_workers=True)


def test_a_producer_that_is_stopped_was_cut_short() -> None:
    expected = Drain(
        "stage 'chef': worker 'neo' (pid 12) was stopped by `mprun stop --worker`; "
        "what it had put, 25 items, is worked off"
    )

    assert expected == weigh(loss("neo", STOPPED), outlives_workers=True)


@pytest.mark.parametrize(
    ("name", "ending", "daemon"),
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
def test_what_ends_in_order_is_no_loss(name: str, ending: Ending, daemon: bool) -> None:
    assert weigh(loss(name, ending, daemon=daemon), outlives_workers=True) is None


def test_a_reader_that_dies_and_is_not_replaced_ends_the_run() -> None:
    expected = Fail("stage 'eater': worker 'eater-1' (pid 12) killed by SIGKILL; it held 'b'; no more")

    assert expected == weigh(loss("eater-1", DIED, given_up="no more"), outlives_workers=True)


def test_where_a_death_harms_others_that_of_a_producer_ends_the_run_at_once() -> None:
    expected = Fail("stage 'chef': worker 'neo' (pid 12) killed by SIGKILL")

    assert expected == weigh(loss("neo", DIED), outlives_workers=False)


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

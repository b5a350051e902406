"""When a handler kills its workers, and not the items: rows of condemned items, with no process."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.ledger.accounts import Account
from runner.spec.failures import RestartPolicy
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.supervisor.item_failures import CrashLoopDetector


def plan(workers: int, most: int) -> Plan:
    """One stage that reads `q`."""
    names = tuple(f"eater-{number}" for number in range(workers))
    restart = RestartPolicy(max=most)
    stage = StageSpec("eater", HandlerRef("python", "m:f"), {}, names, receives="q", restart=restart)
    return make_plan(WorkflowSpec("t", Path("t.yaml"), (stage,)))


@pytest.mark.parametrize(
    ("workers", "most", "done", "is_lost", "expected"),
    [
        (1, 2, [0, 0, 0], True, [False, False, True]),
        (1, 2, [5, 5, 5, 5], True, [False, False, True, True]),
        (1, 2, [0, 0, 1, 1, 1], True, [False, False, False, False, True]),
        (1, 2, [0, 0, 0, 0], False, [False, False, False, False]),
        (4, 2, [0, 0, 0, 0, 0], True, [False, False, False, False, True]),
    ],
    ids=["in-a-row", "after-some-work", "one-went-through", "within-max-errors", "one-for-each-worker"],
)
def test_a_stage_is_at_fault_once_too_many_of_its_items_in_a_row_killed_their_workers(
    workers: int, most: int, done: list[int], is_lost: bool, expected: list[bool]
) -> None:
    counts = iter(done)
    detector = CrashLoopDetector(
        plan(workers, most), lambda queue: Account(queue, None, done=next(counts)), lambda: is_lost
    )

    found = [detector.condemned("eater") is not None for _ in done]

    assert expected == found

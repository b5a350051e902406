"""Labels of stages and queues, the same wherever they are shown."""

from __future__ import annotations

import pytest

from runner.plan import QueuePlan, StagePlan
from runner.plan_labels import count, queue_label, stage_label
from runner.spec import Role


@pytest.mark.parametrize(("daemon", "expected"), [(False, "eater ×0"), (True, "eater ×0 (daemon)")])
def test_a_stage_shows_its_count_and_whether_it_is_daemonic(daemon: bool, expected: str) -> None:
    stage = StagePlan("eater", Role.CONSUMER, daemon, "steamer", None, (), ())

    assert stage_label(stage) == expected


@pytest.mark.parametrize(("size", "expected"), [(10, "steamer ≤10"), (None, "steamer unbounded")])
def test_a_queue_shows_its_size(size: int | None, expected: str) -> None:
    assert queue_label(QueuePlan("steamer", size, (), ())) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, "0 queues"), (1, "1 queue"), (2, "2 queues")])
def test_one_is_singular(number: int, expected: str) -> None:
    assert count(number, "queue") == expected

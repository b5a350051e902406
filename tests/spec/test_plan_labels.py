"""Labels of stages and queues, the same wherever they are shown."""

from __future__ import annotations

import pytest

from runner.spec.model import HandlerRef, StageSpec
from runner.spec.plan import QueuePlan, StagePlan, queue_label, stage_label
from runner.spec.resources import QueueSpec


@pytest.mark.parametrize(("daemon", "expected"), [(False, "eater ×0"), (True, "eater ×0 (daemon)")])
def test_a_stage_shows_its_count_and_whether_it_is_daemonic(daemon: bool, expected: str) -> None:
    stage = StagePlan(StageSpec("eater", HandlerRef("python", "m:f"), daemon=daemon), ())

    assert stage_label(stage) == expected


@pytest.mark.parametrize(("size", "expected"), [(10, "steamer ≤10"), (None, "steamer unbounded")])
def test_a_queue_shows_its_size(size: int | None, expected: str) -> None:
    assert queue_label(QueuePlan(QueueSpec("steamer", size), (), ())) == expected

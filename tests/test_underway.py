"""What can't be changed in a run that is under way, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.plan import make_plan
from runner.roster import Roster
from runner.spec import HandlerRef, PipeSpec, QueueSpec, StageSpec, Start, WorkflowSpec
from runner.stopping import Phase
from runner.underway import Levers, RunUnderway


class Transport:
    """As far as it is asked."""

    def __init__(self, *, outlives_workers: bool = True) -> None:
        self.outlives_workers = outlives_workers


def nothing(*_: object) -> None:
    """Levers that move nothing."""


def underway(
    *stages: StageSpec,
    outlives: bool = True,
    phase: Phase = Phase.RUNNING,
    pipes: tuple[PipeSpec, ...] = (),
) -> RunUnderway:
    plan = make_plan(WorkflowSpec("kitchen", Path("kitchen.yaml"), stages, (QueueSpec("q"),), pipes=pipes))
    levers = Levers(lambda: phase, lambda: 0.0, nothing, nothing)
    unused: Any = None
    transport: Any = Transport(outlives_workers=outlives)
    return RunUnderway("r", plan, transport, Roster(plan), unused, unused, levers)


def stage(**more: Any) -> StageSpec:
    return StageSpec("cook", HandlerRef("python", "kitchen:cook"), workers=("cook-1",), **more)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (underway(stage(start=Start.SERIAL)), "the workers of stage 'cook' run one after the other"),
        (underway(stage(receives="q", shard_by="id")), "stage 'cook' is sharded"),
        (underway(stage(sends="q")), "stage 'cook' makes items"),
        (
            underway(stage(), pipes=(PipeSpec("wire", ("cook", "eater")),)),
            "stage 'cook' is one end of the pipe 'wire', which is one worker's",
        ),
        (underway(stage(), outlives=False), "only a run under `transport: leased` can be scaled"),
        (underway(stage(), phase=Phase.DRAINING), "the run is being stopped"),
        (underway(stage()), "stage 'cook' has no worker: it has not begun, or has ended"),
    ],
    ids=["serial", "sharded", "a producer", "a pipe's end", "joinable", "being stopped", "ended"],
)
def test_a_stage_that_can_not_be_scaled_is_left_as_it_is_with_the_reason(run: RunUnderway, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        run.resize("cook", 3)

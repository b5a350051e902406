"""What `mprun resume --check` tells of a run of stages: how far it is, and how each part of it would go on.

plan, the last cut ──► StagesCheck ──► lines for people · JSON
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from runner.errors import ResumeRefused
from runner.facts import dataclass
from runner.handlers.outputs import OutputRefused
from runner.record.resumption import TakenRun
from runner.spec.plan import Plan, StagePlan
from runner.spec.resume import OverDeath
from runner.supervisor.outputs import surplus
from runner.transports.cut import Cut
from runner.units import counted


class ProducerWay(StrEnum):
    """How a producer's worker goes on."""

    ENDED = "ended"
    """It has come to its end, and is not started."""
    BEHIND = "behind"
    """Behind what it had put."""
    AGAIN = "again"
    """It makes all once more, and what it had put is left out."""
    ANEW = "anew"
    """It had put nothing."""


@dataclass(frozen=True, slots=True)
class ProducerCheck:
    """One worker of a producer."""

    worker: str
    stage: str
    way: ProducerWay
    put: int
    """Items that it had put."""

    def __str__(self) -> str:
        first = f"its first {counted(self.put, 'item')}"
        ways = {
            ProducerWay.ENDED: "has come to its end, and is not started",
            ProducerWay.BEHIND: f"goes on behind {first}",
            ProducerWay.AGAIN: f"makes again, and leaves out, {first}",
            ProducerWay.ANEW: "begins anew: it had put nothing",
        }
        return f"{self.worker} {ways[self.way]}"


@dataclass(frozen=True, slots=True)
class CutBack:
    """A file of a sink of which something is made again."""

    path: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.path} is cut back by {counted(self.bytes, 'byte')}"


@dataclass(frozen=True, slots=True)
class StagesCheck:
    """How a run of stages would go on."""

    run: str
    done: int
    waiting: int
    in_hand: int
    producers: Sequence[ProducerCheck]
    cut_back: Sequence[CutBack]
    notes: Sequence[str]
    """What is otherwise than when the run began."""

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        held = f", {self.in_hand:,} of them in workers' hands" if self.in_hand else ""
        are, waits = ("is" if self.done == 1 else "are"), ("waits" if self.waiting == 1 else "wait")
        yield f"{counted(self.done, 'item')} {are} done, {self.waiting:,} {waits}{held}"
        yield from map(str, self.producers)
        yield from map(str, self.cut_back)
        yield from self.notes

    def as_dict(self) -> dict[str, Any]:
        """Say it to programs."""
        return {"goes_on": True, **asdict(self)}


def check_stages(plan: Plan, taken: TakenRun, notes: Sequence[str]) -> StagesCheck:
    """Look at what there is to go on from. Raises `ResumeRefused` where what sinks had written is not there."""
    cut = taken.cut
    assert cut is not None
    return StagesCheck(
        run=taken.run,
        done=cut.done(plan.last_queues),
        waiting=cut.unfinished,
        in_hand=cut.in_hand,
        producers=[
            each for stage in plan.stages if stage.receives is None for each in _producers(stage, cut)
        ],
        cut_back=list(_cut_back(plan, taken.run, cut)),
        notes=notes,
    )


def _cut_back(plan: Plan, run: str, cut: Cut) -> Iterator[CutBack]:
    try:
        for path, count in surplus(plan, run, cut):
            if count:
                yield CutBack(path, count)
    except (OutputRefused, OSError) as error:
        raise ResumeRefused(f"run '{run}' can't be gone on with: {error}") from error


def _producers(stage: StagePlan, cut: Cut) -> Iterator[ProducerCheck]:
    put = {writer.worker: writer.put for writer in cut.writers}
    for worker in stage.workers:
        count = put.get(worker.name, 0)
        if worker.name in cut.ended:
            way = ProducerWay.ENDED
        elif not count:
            way = ProducerWay.ANEW
        else:
            seeks = stage.spec.over_death is not OverDeath.RUN_AGAIN
            way = ProducerWay.BEHIND if seeks else ProducerWay.AGAIN
        yield ProducerCheck(worker.name, stage.name, way, count)

"""Runs of jobs without processes, for tests of the graph: `play(job("a"), job("b", needs="a"), a=[FAILED]).results`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.jobs.graph import CancelLeg, Decision, FinishLeg, JobGraph, ReleaseLeg, StartLeg
from runner.jobs.outcomes import JobOutcome
from runner.spec.jobs.model import JobSpec
from runner.spec.model import JobResult

PASSED = JobOutcome(JobResult.PASSED, "it exited with code 0", 0)
FAILED = JobOutcome(JobResult.FAILED, "it exited with code 1", 1)
TIMED_OUT = JobOutcome(JobResult.TIMED_OUT, "it took too long")
CANCELLED = JobOutcome(JobResult.CANCELLED, "it was called off")
UP_TO_DATE = JobOutcome(JobResult.SKIPPED, "up to date")


@dataclass
class Play:
    """A run without processes: every attempt ends as it is told, in the order in which it began."""

    jobs: tuple[JobSpec, ...]
    capacity: int = 100
    endings: Mapping[str, list[JobOutcome]] = field(default_factory=dict)
    now: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    most: int = 0

    def __post_init__(self) -> None:
        self.graph = JobGraph(self.jobs, self.capacity)
        self.graph.begin()
        self.take()

    def end(self, leg: str, ended: JobOutcome = PASSED) -> None:
        self.graph.attempt_ended(leg, self.running.pop(leg), ended, self.now)
        self.take()

    def get_ready(self, leg: str, **outputs: str) -> None:
        self.graph.leg_ready(leg, self.running[leg], outputs)
        self.take()

    def cancel(self, name: str, reason: str = "stopped by `mprun stop`") -> None:
        self.graph.cancel(name, reason)
        self.take()

    def stop(self, reason: str = "stopped by SIGINT") -> None:
        self.graph.stop(reason)
        self.take()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.graph.tick(self.now)
        self.take()

    def play(self) -> Play:
        """Go on to the end; a leg that nothing is told of passes."""
        tally: dict[str, int] = {}
        while not self.graph.over:
            if self.running:
                leg = next(iter(self.running))
                told = self.endings.get(leg, [PASSED])
                tally[leg] = tally.get(leg, 0) + 1
                self.end(leg, told[min(tally[leg], len(told)) - 1])
            else:
                assert self.graph.due < math.inf, "nothing runs, and nothing is due"
                self.wait(self.graph.due - self.now)
        return self

    def take(self) -> None:
        for decision in self.graph.decide():
            self.decisions.append(decision)
            if isinstance(decision, StartLeg):
                self.running[decision.leg.id] = decision.attempt
        in_background = {leg.id for each in self.jobs for leg in each.legs if leg.background}
        self.most = max(self.most, len(self.running.keys() - in_background))

    @property
    def results(self) -> dict[str, str]:
        return {d.leg.id: str(d.outcome.result) for d in self.decisions if isinstance(d, FinishLeg)}

    @property
    def reasons(self) -> dict[str, str]:
        return {d.leg.id: d.outcome.reason for d in self.decisions if isinstance(d, FinishLeg)}

    @property
    def released(self) -> list[str]:
        return [decision.leg.id for decision in self.decisions if isinstance(decision, ReleaseLeg)]

    @property
    def cancelled(self) -> dict[str, str]:
        return {d.leg.id: d.reason for d in self.decisions if isinstance(d, CancelLeg)}

    @property
    def started(self) -> list[str]:
        return [decision.leg.id for decision in self.decisions if isinstance(decision, StartLeg)]


def play(*jobs: JobSpec, capacity: int = 100, **endings: list[JobOutcome]) -> Play:
    return Play(jobs, capacity, endings).play()

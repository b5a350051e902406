"""The roster: one record per worker of the run, from its birth to its death."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.facts import Exited
from runner.plan import Plan, WorkerPlan
from runner.status import Counters

SCALED_DOWN = "its stage was scaled down"


@dataclass(frozen=True, slots=True)
class Departure:
    """How a worker's process ended. Times in seconds since the epoch."""

    reason: str
    exited: Exited
    asked_at: float | None
    """When it was asked to end; None if it ended unasked."""
    at: float


@dataclass(slots=True)
class Record:
    """What the supervisor knows of one worker."""

    plan: WorkerPlan
    generation: int = 0
    pid: int = 0
    alive: bool = False
    finished: bool = False
    """It said that it had done all that it had to."""
    failure: str | None = None
    """What its handler raised, as it said itself."""
    traceback: str = ""
    asked_to_end: str | None = None
    """The reason with which the supervisor signalled it, or None."""
    asked_at: float | None = None
    """When it did so first: to ask a process to end and to see it gone are two moments."""
    earlier: Counters = field(default_factory=Counters)
    """What its earlier generations did."""
    departure: Departure | None = None
    """How its last process ended, if one has."""
    retired: bool = False
    """Its stage was scaled down: it finishes what it holds and ends, and nobody takes its place."""
    condemned: str | None = None
    """Why the supervisor killed it as one that could not go on, which counts as its death; or None."""

    def be_born(self, pid: int) -> None:
        """Start a new generation."""
        self.generation += 1
        self.pid, self.alive = pid, True
        self.finished, self.failure, self.traceback, self.asked_to_end = False, None, "", None
        self.condemned = self.asked_at = None

    def ask_to_end(self, reason: str, at: float) -> None:
        """Note that it is being signalled."""
        self.asked_to_end = reason
        self.asked_at = self.asked_at or at

    def depart(self, reason: str, exited: Exited, at: float) -> None:
        """Note that its process is gone, and why."""
        self.departure = Departure(reason, exited, self.asked_at, at)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker's life is judged."""

    outcome: str
    """finished, stopped or died."""
    reason: str


def judge(record: Record, exited: Exited) -> Ending:
    """Say whether a worker did its work, was stopped by us, or died; and why. Pure."""
    if record.failure is not None:
        return Ending("died", record.failure)
    if record.condemned is not None and exited.code != 0:
        return Ending("died", record.condemned)
    if record.asked_to_end is not None and not (record.finished and exited.code == 0):
        # Also one that had said its last word, when our signal met it at the door.
        return Ending("stopped", record.asked_to_end)
    if exited.signal_name is not None:
        return Ending("died", f"killed by {exited.signal_name}")
    if not record.finished:
        return Ending("died", f"exited with code {exited.code} in the middle of its work")
    if exited.code != 0:
        return Ending("died", f"exited with code {exited.code}")
    return Ending("finished", SCALED_DOWN if record.retired else "nothing left to do")


class Roster:
    """All records, by name, in start order."""

    def __init__(self, plan: Plan) -> None:
        self._records = {worker.name: Record(worker) for worker in plan.workers}

    def __getitem__(self, worker: str) -> Record:
        return self._records[worker]

    def admit(self, worker: WorkerPlan) -> Record:
        """Open the record of a worker that is not in the plan."""
        self._records[worker.name] = Record(worker)
        return self._records[worker.name]

    def all(self) -> list[Record]:
        """Every worker, also those not started."""
        return list(self._records.values())

    def started(self) -> list[Record]:
        """Every worker that has existed."""
        return [record for record in self._records.values() if record.generation]

    def alive(self, stage: str | None = None) -> list[Record]:
        """The workers that exist, of one stage or of all."""
        return [r for r in self._records.values() if r.alive and stage in (None, r.plan.stage)]

"""What the DAG decides: to start a leg, to try it again, to call it off, and what became of it; each with a reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.jobs.trying import Ended
from runner.spec_jobs import LegSpec, Result


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt of a leg."""

    leg: LegSpec
    attempt: int
    reason: str
    deadline: float = math.inf
    """When the job has to be over, on the clock that is handed in."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Tell that a leg will be tried again; a `Start` follows when it is time."""

    leg: LegSpec
    attempt: int
    """The number of the attempt to come."""
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class CallOff:
    """A leg is not wanted any more. One that runs is to be stopped: it is over when `ended` says so."""

    leg: LegSpec
    reason: str
    running: bool


@dataclass(frozen=True, slots=True)
class Over:
    """Tell what became of a leg. Nothing of it will happen any more."""

    leg: LegSpec
    result: Result
    reason: str
    attempt: int
    """The number of its last attempt; 0 if it never ran."""
    ended: Ended | None = None
    """How its last attempt ended."""


Decision = Start | Retry | CallOff | Over

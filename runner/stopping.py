"""How a run is brought to an end: pure. Each step has a bound, and the next step is harsher.

RUNNING ──signal──► DRAINING ──stop_timeout──► TERMINATING ──grace──► KILLING
   │                    └────────second signal─────────────────────────►▲
   └──failure, timeout────────────────────────► TERMINATING
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

FAILURE_GRACE = 0.3
"""Seconds between TERM and KILL after a failure: a run whose worker died under `joinable` ends within a second."""
TERM_GRACE = 2.0
"""Seconds between TERM and KILL where the user asked the run to stop."""


class Phase(IntEnum):
    """How far the end has come; it only grows."""

    RUNNING = 0
    DRAINING = 1
    TERMINATING = 2
    KILLING = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """The phase, and when the next begins by itself."""

    phase: Phase = Phase.RUNNING
    until: float = math.inf


def drain(stop: Stop, now: float, stop_timeout: float) -> Stop:
    """Somebody asks the run to stop: producers first, the rest empties its queues. Asked again: kill."""
    if stop.phase is Phase.RUNNING:
        return Stop(Phase.DRAINING, now + stop_timeout)
    return Stop(Phase.KILLING)


def fail(stop: Stop, now: float) -> Stop:
    """The run can't go on: terminate what is left, without draining."""
    if stop.phase >= Phase.TERMINATING:
        return stop
    return Stop(Phase.TERMINATING, now + FAILURE_GRACE)


def escalate(stop: Stop, now: float) -> Stop:
    """Return the phase that is due at `now`: the same one until its time has passed."""
    if now < stop.until:
        return stop
    if stop.phase is Phase.DRAINING:
        return Stop(Phase.TERMINATING, now + TERM_GRACE)
    return Stop(Phase.KILLING)

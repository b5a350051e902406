"""Whether a job is tried again after an attempt that did not pass, and when. Pure.

AttemptsSpec, the attempt that ended ──► after_attempt ──► Again(delay, reason) | None
"""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.spec_jobs import AttemptsSpec, Result
from runner.units import format_duration


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt of a leg ended."""

    result: Result
    reason: str
    """A sentence, such as `step 2 (pytest) exited with code 1`."""
    exitcode: int | None = None
    signal: str | None = None
    duration: float = 0.0
    """Seconds."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    for_good: bool = False
    """No further attempt would help: the job as a whole is out of time."""


@dataclass(frozen=True, slots=True)
class Again:
    """It is tried again."""

    delay: float
    reason: str


def after_attempt(
    policy: AttemptsSpec, attempt: int, ended: Ended, *, now: float, deadline: float = math.inf
) -> Again | None:
    """Decide after attempt number `attempt`; None where the attempt was the last."""
    if not ended.result.is_failure or ended.for_good or attempt >= policy.max:
        return None
    if policy.on and (code := _code(ended)) is not None and code not in policy.on:
        return None
    delay = min(policy.backoff * 2 ** min(attempt - 1, 60), policy.max_backoff)
    if now + delay >= deadline:
        return None
    left = policy.max - attempt
    when = f"in {format_duration(delay)}" if delay else "at once"
    return Again(delay, f"{ended.reason}; it is tried again {when}, {left} attempt{'s' * (left != 1)} left")


def _code(ended: Ended) -> int | None:
    """Return the exit code as a shell tells it; None if no command's own end decided: a timeout, a worker's death."""
    if ended.result is Result.FAILED and ended.signal is not None:
        return 128 + signal.Signals[ended.signal]
    return ended.exitcode

"""How daemonic workers are let go that nothing needs any more: pure. Each step has its time, and the next is harsher.

    producer ──► its next put ends it ──a moment, and nothing of its on the way──► SIGTERM ──stop_timeout──► SIGKILL
    others ──────────────────────────────────────────────────────────────────────► SIGTERM ──stop_timeout──► SIGKILL

A signal to a producer in the middle of a put would lose an item; and one that ignores SIGTERM would keep the run alive.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable

MOMENT = 0.2
"""Seconds that a producer has to come to its next put."""


class Dismissals:
    """Who is being let go, and what is due to whom next."""

    def __init__(self, stop_timeout: float) -> None:
        self._stop_timeout = stop_timeout
        self._due: dict[str, tuple[float, signal.Signals]] = {}

    def begin(self, worker: str, now: float, *, has_a_moment: bool) -> None:
        """Let a worker go; one that `has_a_moment` may end by itself."""
        self._due[worker] = (now + MOMENT if has_a_moment else now, signal.SIGTERM)

    def due(self, now: float, may_wait: Callable[[str], bool]) -> list[tuple[str, signal.Signals]]:
        """Return who is to be sent which signal now. `may_wait`: what a worker has put is still on its way."""
        ripe = [(name, number) for name, (at, number) in self._due.items() if at <= now]
        signals = []
        for name, number in ripe:
            if number is signal.SIGTERM and may_wait(name):
                self._due[name] = (now + MOMENT, number)
                continue
            signals.append((name, number))
            self._due[name] = (
                now + self._stop_timeout if number is signal.SIGTERM else math.inf,
                signal.SIGKILL,
            )
        return signals

    def gone(self, worker: str) -> None:
        """It has ended."""
        self._due.pop(worker, None)

    @property
    def soonest(self) -> float:
        """When something is due next; infinity if nothing is."""
        return min((at for at, _ in self._due.values()), default=math.inf)

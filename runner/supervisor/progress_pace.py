"""When `run.progress` is due: four times a second, and ever more seldom while nothing happens. Pure.

    something moved ──► 0.25 s ── nothing ──► 0.5 s ── nothing ──► 1 s ── … ──► 5 s        a live view: always 0.25 s
           ▲──────────────────────── something moved ────────────────────────────┘

What a run tells four times a second, its file, its record and its log take in as often. A run whose workers wait for
items that do not come would spend a hundredth of a processor to say that nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class ProgressPace:
    """Remembers when it was told last, and what had moved by then."""

    SHORTEST: Final = 0.25
    LONGEST: Final = 5.0
    """Seconds. What was known of a run that is killed is no older."""

    def __init__(self, now: float, is_watched: Callable[[], bool]) -> None:
        """`is_watched`: somebody looks on, and wants to see the time go by."""
        self._is_watched = is_watched
        self._told = now
        self._pause = self.SHORTEST
        self._moves = 0

    @property
    def due(self) -> float:
        """When it is due next, if nothing happens."""
        return self._told + self._pause

    def is_due(self, now: float, moves: int) -> bool:
        """Say whether it is due, and count on its being told then. `moves` is another number once something moved."""
        is_news = moves != self._moves or self._is_watched()
        if is_news:
            self._pause = self.SHORTEST
        if now < self.due:
            return False
        self._told, self._moves = now, moves
        self._pause = self.SHORTEST if is_news else min(2 * self._pause, self.LONGEST)
        return True

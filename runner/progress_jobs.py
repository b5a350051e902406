"""The live view of jobs: which run now, since when and at which step, in the last rows of the terminal.

job.started · step.started · job.finished ──► JobBoard ── a few times a second ──► Footer ──► the last rows
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.events import Event
from runner.jobs.board import JobBoard
from runner.jobs.telling import Said
from runner.progress import Footer, draw_said

NO_FLICKER = 0.5
"""Seconds that a run must have lasted to be worth a view."""
REDRAW = 0.25
MOST_ROWS = 8


class JobProgressObserver:
    """Draws the view on a terminal's descriptor. Writing may block: not for the supervisor's own process."""

    def __init__(self, fd: int, *, colors: bool = True, clock: Callable[[], float] = time.time) -> None:
        self._board = JobBoard()
        self._footer = Footer(fd)
        self._colors = colors
        self._clock = clock
        self._height = 0
        self._next = 0.0
        self._trouble: OSError | None = None

    def observe(self, event: Event) -> None:
        """Take note; what is seen changes at the next tick."""
        if self._trouble is not None:
            raise self._trouble
        self._board.observe(event)

    def tick(self) -> float:
        """Draw if it is time; return the seconds until it is. The first is late, so that a short run never flickers."""
        now = self._clock()
        wait = max(self._next, self._board.began + NO_FLICKER) - now
        if wait > 0:
            return wait
        self._next = now + REDRAW
        self._draw(now)
        return REDRAW

    def close(self) -> None:
        """Give the rows back."""
        self._footer.close()

    def _draw(self, now: float) -> None:
        if self._trouble is None:
            try:
                self._footer.draw(lambda columns, most: self._lines(now, columns, most))
            except OSError as error:
                self._trouble = error

    def _lines(self, now: float, columns: int, most: int) -> list[str]:
        said = self._board.lines(now, min(most, MOST_ROWS))
        self._height = max(self._height, len(said))  # it only grows: text above that jumps can't be read
        blank = [Said("")] * (self._height - len(said))
        return draw_said([*said, *blank], columns, colors=self._colors)

"""The live view: some rows at the bottom of the terminal, while handlers and jobs print above them.

    events ──► RunState ──► live_lines (render/top/small.py) ──► Footer ──► the last rows

What is drawn is `mprun top` in its small size. For stages, at each `run.progress` and each second; for jobs, a few
times a second.

    ci  running 00:00:12  5 of 8 done, 1 failed
      test (3.11)  running  8.2s  pytest
      docs         running  1.0s  build the pages

Handlers write to the same terminal from processes of their own, so the cursor must be theirs between writes.
The last rows are taken out of the scroll region, as package managers do, and each drawing is one write that
saves the cursor and puts it back. rich renders the lines; its own Live would fight for the cursor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from rich.text import Text

from runner.events.base import Event
from runner.events.run import RunProgress
from runner.render.top.drawing import drawn, knows_utf8
from runner.render.top.small import live_lines
from runner.render.top.view import Surface
from runner.watch.eta import EtaModel, FindPrevious
from runner.watch.state import RunState

LEAST_ROWS = 12
"""A terminal with fewer has no room for a view beside what the handlers print."""
NO_FLICKER = 0.5
"""Seconds that a run of jobs must have lasted to be worth a view."""
REDRAW = 0.25
"""Seconds between two drawings of jobs."""
REDRAW_STAGES = 1.0
"""The same of stages, where no event comes that is a reason for one."""
MOST_ROWS_OF_JOBS = 8


class ProgressObserver:
    """Draws the view on a terminal's descriptor. Writing may block: not for the supervisor's own process."""

    def __init__(
        self,
        fd: int,
        *,
        colors: bool = True,
        clock: Callable[[], float] = time.time,
        previous: FindPrevious | None = None,
    ) -> None:
        """`previous` says of a run that has begun how long the last one like it took, and when that was."""
        self._state = RunState()
        self._eta = EtaModel(previous)
        self._footer = Footer(fd)
        self._colors = colors
        self._utf8 = knows_utf8()
        self._clock = clock
        self._height = 0
        self._next = 0.0
        self._has_snapshot = False
        self._trouble: OSError | None = None

    def observe(self, event: Event) -> None:
        """Take note, and draw a snapshot of stages: the first one reserves the rows, so a short run never flickers."""
        if self._trouble is not None:
            raise self._trouble
        self._state.observe(event)
        self._eta.observe(event)
        if isinstance(event, RunProgress) and not self._state.has_jobs:
            self._has_snapshot = True
            self._next = 0.0
            self.tick()

    def tick(self) -> float | None:
        """Draw if it is time; return the seconds until it is, None where only an event can tell."""
        has_jobs = self._state.has_jobs
        if not has_jobs and not self._has_snapshot:
            return None
        now, every = self._clock(), REDRAW if has_jobs else REDRAW_STAGES
        wait = max(self._next, self._state.began + NO_FLICKER if has_jobs else 0.0) - now
        if wait > 0:
            return wait
        self._next = now + every
        self._draw(now)
        return every

    def close(self) -> None:
        """Give the rows back and leave the cursor at the start of a line. May be called twice."""
        self._footer.close()

    def _draw(self, now: float) -> None:
        if self._trouble is None:
            try:
                self._footer.draw(lambda columns, most: self._lines(now, columns, most))
            except OSError as error:
                self._trouble = error

    def _lines(self, now: float, columns: int, most: int) -> list[str]:
        most = min(most, MOST_ROWS_OF_JOBS) if self._state.has_jobs else most
        surface = Surface(columns, most, now, has_keys=False)
        lines = live_lines(self._state, surface, most, "" if self._state.phase.is_over else self._eta.line())
        self._height = min(
            max(self._height, len(lines)), most
        )  # it only grows: text above that jumps can't be read
        blank = [Text("")] * (self._height - len(lines))
        return drawn([*lines, *blank], columns, colors=self._colors, utf8=self._utf8)


# The terminal. What follows knows nothing of runs.


class Footer:
    """The last rows of a terminal, kept out of its scroll region while in use."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held: tuple[int, int, int] | None = None  # columns, rows, and how many of the rows are ours

    def draw(self, lines_for: Callable[[int, int], list[str]]) -> None:
        """Draw what `lines_for(columns, most_rows)` returns, in one write. Looks at the size each time."""
        columns, rows = os.get_terminal_size(self._fd)
        if rows < LEAST_ROWS:
            self.close()
            return
        lines = lines_for(columns - 1, rows // 2)
        wanted = (columns, rows, len(lines))
        text = paint(lines, rows) if wanted == self._held else reserve(len(lines), rows) + paint(lines, rows)
        self._held = wanted
        self._write(text)

    def close(self) -> None:
        """Give the rows back, if any are held."""
        if self._held is not None:
            columns, self._held = self._held[0], None
            self._write(release(columns))

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(self._fd, rest) :]


SAVE, RESTORE = "\x1b7", "\x1b8"
_WHOLE_SCREEN = f"{SAVE}\x1b[r{RESTORE}"  # setting the region moves the cursor home
_CLEAR_BELOW = "\x1b[J"


def reserve(height: int, rows: int) -> str:
    """Return what takes the last `height` of `rows` rows out of the scroll region.

    Below the cursor there is only what we drew ourselves, wherever a resize has left it, so it is wiped.
    The text above is pushed up by moving down: index, unlike newline, keeps the column of an unfinished line.
    """
    push = "\x1bD" * height + f"\x1b[{height}A"
    return f"{_WHOLE_SCREEN}{_CLEAR_BELOW}{push}{SAVE}\x1b[1;{rows - height}r{RESTORE}"


def paint(lines: Sequence[str], rows: int) -> str:
    """Return what draws `lines` in the last of `rows` rows and puts the cursor back."""
    first = rows - len(lines) + 1
    drawn = "".join(f"\x1b[{first + i};1H\x1b[0m\x1b[2K{line}" for i, line in enumerate(lines))
    return f"{SAVE}{drawn}{RESTORE}"


def release(columns: int) -> str:
    """Return what gives all rows back, wipes ours and leaves the cursor at the start of a line.

    A line of blanks, as zsh's prompt does: it wraps if the cursor was inside a line, else it stays.
    """
    return f"{_WHOLE_SCREEN}{_CLEAR_BELOW}{' ' * columns}\r\x1b[J"

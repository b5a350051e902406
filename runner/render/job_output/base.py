"""What jobs print, shown while they run: one observer for each way of showing it, in the process that keeps the log.

    job.started {log} ─► FollowedLog ─► stream: each line with its job's name     json:  lines as events
                                     group:  one job after the other           quiet: nothing but who failed

The process that runs the jobs has no part in this: it names the log files, which are read here as they grow. What is
shown goes to stdout, headings and all; a reader that is slow, stopped or gone holds up no job.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from runner.events.base import Event
from runner.events.jobs import JobFinished
from runner.events.run import RunFinished
from runner.render.lines import format_event
from runner.render.style import OutputStyle

POLL = 0.05
"""Seconds between two looks at logs that may grow: short enough to seem at once, long enough to cost nothing."""

Write = Callable[[bytes], None]


class Mode(StrEnum):
    """How the output of jobs is shown."""

    STREAM = "stream"
    GROUP = "group"
    QUIET = "quiet"
    JSON = "json"


class OutputView(Protocol):
    """One way of showing jobs. Whatever it does may write, and so block."""

    def observe(self, event: Event) -> None:
        """Take note of an event, and show what follows from it at once."""

    def step(self) -> float | None:
        """Show a little more. Return the seconds until there may be more to show; None where nothing is awaited."""

    def finish(self) -> None:
        """Time is up: say what is left out, and end what is still open."""


class JobOutput:
    """The observer: drives a way of showing, and survives a reader that went away."""

    def __init__(self, show: OutputView) -> None:
        self._show = show
        self._trouble: OSError | None = None
        self._is_over = False

    def observe(self, event: Event) -> None:
        """Show what follows. Raises what made writing impossible, once, also if that was in `tick`."""
        if self._trouble is not None:
            raise self._trouble
        self._show.observe(event)
        self._is_over |= isinstance(event, RunFinished)

    def tick(self) -> float | None:
        """Show a little more; return the seconds until the next call makes sense, None if none does. Never raises."""
        if self._trouble is not None:
            return None
        try:
            return self._show.step()
        except OSError as error:
            self._trouble = error
            return None

    def close(self) -> None:
        """Say what was not shown in time, and end what is open; nothing where the run broke off, or nobody reads."""
        if self._is_over and self._trouble is None:
            self._show.finish()


class QuietView:
    """Nothing but a line for each job that failed, at once."""

    def __init__(self, write: Write, style: OutputStyle) -> None:
        self._write = write
        self._style = style

    def observe(self, event: Event) -> None:
        """Tell of failures alone."""
        line = format_event(event) if isinstance(event, JobFinished) and event.failed else None
        if line is not None:
            self._write(self._style.line(line))

    def step(self) -> None:
        """Nothing is awaited."""

    def finish(self) -> None:
        """Nothing was left out that is shown in this way."""


def writer(fd: int) -> Write:
    """Return what writes all it is given to a descriptor, and waits where that has no room."""

    def write(text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(fd, rest) :]

    return write

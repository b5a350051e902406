"""What jobs print, shown while they run: one observer for each way of showing it, in the process that keeps the log.

    job.started {log} ─► Followed ─► stream: each line with its job's name     json:  lines as events
                                     group:  one job after the other           quiet: nothing but who failed

The process that runs the jobs has no part in this: it names the log files, which are read here as they grow. What is
shown goes to stdout, headings and all; a reader that is slow, stopped or gone holds up no job.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from runner.events import Event
from runner.jobs.dress import Dress
from runner.jobs.telling import say

POLL = 0.05
"""Seconds between two looks at logs that may grow: short enough to seem at once, long enough to cost nothing."""

Write = Callable[[bytes], None]


class Mode(StrEnum):
    """How the output of jobs is shown."""

    STREAM = "stream"
    GROUP = "group"
    QUIET = "quiet"
    JSON = "json"


class Show(Protocol):
    """One way of showing jobs. Whatever it does may write, and so block."""

    def observe(self, event: Event) -> None:
        """Take note of an event, and show what follows from it at once."""

    def step(self) -> float | None:
        """Show a little more. Return the seconds until there may be more to show; None where nothing is awaited."""

    def give_up(self) -> None:
        """Time is up: say what is left out."""

    def finish(self) -> None:
        """Nothing will be shown any more: end what is still open."""


class JobOutput:
    """The observer: drives a way of showing, and survives a reader that went away."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._trouble: OSError | None = None
        self._is_over = False

    def observe(self, event: Event) -> None:
        """Show what follows. Raises what made writing impossible, once, also if that was in `tick`."""
        if self._trouble is not None:
            raise self._trouble
        self._show.observe(event)
        self._is_over |= event.name == "run.finished"

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
            self._show.give_up()
            self._show.finish()


class QuietShow:
    """Nothing but a line for each job that failed, at once."""

    def __init__(self, write: Write, dress: Dress) -> None:
        self._write = write
        self._dress = dress

    def observe(self, event: Event) -> None:
        """Tell of failures alone."""
        failed = event.name == "job.finished" and event.fields["result"] in ("failed", "timed_out")
        said = say(event) if failed else None
        if said is not None:
            self._write(self._dress.line(said))

    def step(self) -> None:
        """Nothing is awaited."""

    def give_up(self) -> None:
        """Nothing was left out that is shown in this way."""

    def finish(self) -> None:
        """Nothing is open."""


def writer(fd: int) -> Write:
    """Return what writes all it is given to a descriptor, and waits where that has no room."""

    def write(text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(fd, rest) :]

    return write

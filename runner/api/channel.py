"""What a run says to the program that it is done for, while it goes on and at its end.

    host: ChannelObserver ── event lines ──►┐
          send_outcome ──── the report ────►┴─► Words in the program: events to its observers, then the outcome

A line of an event is as other processes get it; the outcome is pickled, and written as text to be a line too.
"""

from __future__ import annotations

import pickle
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import field

from runner.errors import MprunInternalError, RunFailed
from runner.events.base import Event
from runner.events.report import Report
from runner.events.run import RunProgress
from runner.facts import dataclass
from runner.ipc.line_sender import LineSender

MOST_BYTES = 16 * 1024 * 1024
_CHUNK = 1 << 16
_PATIENCE = 1e6
"""Seconds that a program may take to read the outcome: as long as it likes."""

Outcome = Report | BaseException


class ChannelObserver:
    """Sends those events that are wanted. Where the program does not listen, progress is left out first."""

    def __init__(self, lines: LineSender, wants: Callable[[Event], bool]) -> None:
        self._lines = lines
        self._wants = wants

    def observe(self, event: Event) -> None:
        """Send one event, or keep it until the program reads."""
        wanted = self._wants(event) and self._lines.waiting_bytes < MOST_BYTES
        if wanted and not (isinstance(event, RunProgress) and self._lines.waiting_bytes):
            self._lines.enqueue(event.line())
        self._lines.flush_nowait()

    def close(self) -> None:
        """What waits is sent with the outcome."""


def send_outcome(lines: LineSender, outcome: Outcome) -> None:
    """Say what the run came to, as its last word. Waits until the program has read it, or is gone."""
    try:
        packed = pickle.dumps(outcome)
    except Exception:  # an exception of somebody's own
        packed = pickle.dumps(RunFailed(f"{type(outcome).__name__}: {outcome}"))
    lines.enqueue(b"!" + b64encode(packed) + b"\n")
    lines.flush(time.monotonic() + _PATIENCE)


@dataclass(slots=True)
class Words:
    """The program's end: what has come is handed on, and the outcome kept."""

    channel: socket.socket
    observe: Callable[[Event], None]
    outcome: Outcome | None = None
    ended: bool = False
    """Whether nothing more will come."""
    _rest: bytes = field(default=b"", repr=False)

    def take_in(self) -> None:
        """Take in what is there, without waiting."""
        while not self.ended:
            try:
                chunk = self.channel.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # reset: it died with something unread
                chunk = b""
            if not chunk:
                self.ended = True
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        if line.startswith(b"!"):
            self.outcome = pickle.loads(b64decode(line[1:]))
        else:
            self.observe(_event_of(line))


def _event_of(line: bytes) -> Event:
    from runner.events.catalogue import event_of  # which a program that wants no events does without

    return event_of(line)


def died(code: int | None) -> MprunInternalError | RunFailed:
    """Return the error for a host that ended without a word: it was killed, most likely."""
    if code is not None and code < 0:
        return RunFailed(f"the process that supervised the run was killed by signal {-code}")
    return MprunInternalError("the process that supervised the run ended without a word")

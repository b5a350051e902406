"""The observer process, from the supervisor's side: logs, events and the live view must not hold up the work.

    supervisor                                child, forked before any worker
    ObserverProcess ── lines, no waiting ──► LogObserver · FileObserver · ProgressObserver ──► stderr, FILE
       │ backlog, bounded                       │
       └─◄──────── what went wrong, once ───────┘

The child is in `process_main.py`. A terminal that is stopped holds it up; the backlog then fills, and what does
not fit is counted and left out.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from runner.events.base import Event
from runner.events.run import EventsDropped, RunFinished, RunProgress
from runner.exit_status import describe_status
from runner.ipc.line_sender import Admission, LineSender, is_ready
from runner.process.signals import SignalInbox
from runner.render.process_main import ALIVE, JobOutputOptions, RenderOptions, serve
from runner.telemetry.destination import MetricsTargets
from runner.text import colour_allowed

if TYPE_CHECKING:
    from runner.events.trace_context import TraceContext

CLOSE_TIMEOUT = 5.0
"""Seconds that the end of a run waits for the last lines to be written."""

LogOption = Literal["auto", "text", "json"]
_CHUNK = 64 * 1024
_RELEASE_TERMINAL = b"\x1b7\x1b[r\x1b8\x1b[J"


def open_observers(
    *,
    stream: TextIO,
    log: LogOption = "auto",
    level: str = "info",
    progress: bool | None = None,
    jobs: JobOutputOptions | None = None,
    metrics: MetricsTargets | None = None,
    trace: TraceContext | None = None,
) -> list[ObserverProcess]:
    """Start what shows a run on `stream`, which must have a descriptor. Call it before any worker starts.

    It prepares beside whatever the caller does next, and shows nothing before the first event. `progress` is the
    live view: None is where it fits; it needs a terminal in any case. `jobs` says how to show what jobs print, should
    the workflow have any. `metrics` says where to tell these; the caller closes his copies of what listens. `trace`
    is where the run stands in one that is sent.

    Raises:
        OSError: there can be no further process.
    """
    term_can_move = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    text = log != "json"
    options = RenderOptions(
        stream_fd=stream.fileno(),
        style="text" if text else "json",
        level=level,
        colors=term_can_move and text and colour_allowed(stream),
        live=term_can_move and (text if progress is None else progress),
        jobs=jobs,
        metrics=metrics,
        trace=trace,
    )
    return [ObserverProcess(options)]


def open_hub() -> ObserverProcess:
    """Start what shows nothing, and tells those who watch. Call it before any worker starts. Raises OSError."""
    return ObserverProcess(RenderOptions())


class ObserverProcess:
    """The supervisor's end: an observer whose `observe` never blocks. The fork is part of making it."""

    def __init__(self, options: RenderOptions) -> None:
        self.is_live = options.live
        """Whether it draws what goes on, for somebody who looks on."""
        stream = options.stream_fd
        self._terminal_fd = os.dup(stream) if options.live and stream is not None else None
        self._socket, theirs = socket.socketpair()
        self._admission = Admission()
        self._latest: Event | None = None
        self.was_interrupted = False
        self.trouble: str | None = None
        """After `close`: what was not written and why; None if all was."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            serve(theirs, options, parent)
        theirs.close()
        self._lines = LineSender(self._socket)

    @property
    def backlogged(self) -> bool:
        """Whether lines wait for the child to read; `flush_nowait` sends them once `fileno()` is writable."""
        return len(self._lines) > 0

    def fileno(self) -> int:
        """The descriptor to poll for room. A worker must close its copy; -1 once `close` was called."""
        return self._socket.fileno()

    def write_events_to(self, path: Path) -> None:
        """Keep every event in a file as well, which is made anew. To be called before the first event.

        Raises:
            OSError: it cannot be opened.
        """
        events_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            self._hand_over(events_fd)
        finally:
            os.close(events_fd)

    def serve_watchers(self, listener: socket.socket) -> None:
        """Tell whoever calls there of the run. To be called before the first event; `listener` stays the caller's."""
        self._hand_over(listener.fileno())

    def _hand_over(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):  # `close` tells of its death
            socket.send_fds(self._socket, [b"\n"], [descriptor])

    def observe(self, event: Event) -> None:
        """Send one event, or keep it, or count it as missing. After the child's death this does nothing."""
        if self._lines.lost:
            return
        self.flush_nowait()
        if self.backlogged and isinstance(event, RunProgress):
            return  # the next snapshot says it better
        self._latest = event
        if not isinstance(event, RunFinished) and not self._admits():
            return
        self._report_missing()
        self._enqueue(event)
        self.flush_nowait()

    def flush_nowait(self) -> None:
        """Send what the child has room for."""
        self._lines.flush_nowait()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Wait until the child has written all; kill it after `timeout` seconds in which nobody read what it writes.

        It bounds its own time. A signal that asks to end, Ctrl-C among them, ends the wait, and nothing else. Sets
        `trouble`.
        """
        deadline = time.monotonic() + timeout
        self._report_missing()
        with SignalInbox() as signals:
            self._lines.flush(deadline, signals.wake)
            status, farewell = self._finish(deadline, timeout, signals.wake)
            self.was_interrupted = bool(signals.take())
        self.trouble = farewell or self._describe(status)
        if self._terminal_fd is not None:
            if status != 0 and is_ready(self._terminal_fd, select.POLLOUT, 0):
                os.write(self._terminal_fd, _RELEASE_TERMINAL)
            os.close(self._terminal_fd)

    def abandon(self) -> None:
        """End it at once, with nothing shown: instead of `close`, where there is no run after all."""
        self._socket.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        if self._terminal_fd is not None:
            os.close(self._terminal_fd)

    def _admits(self) -> bool:
        return self._admission.admits(self._lines.waiting_bytes, len(self._lines))

    def _report_missing(self) -> None:
        if self._latest is not None and (missing := self._admission.take_missing()):
            self._enqueue(EventsDropped(count=missing).stamped(self._latest.at, self._latest.run))

    def _enqueue(self, event: Event) -> None:
        self._lines.enqueue(event.line())

    def _finish(self, deadline: float, timeout: float, interrupt: int) -> tuple[int, str]:
        self._lines.end()
        self._socket.setblocking(True)
        farewell, over = self._read_farewell(deadline, timeout, interrupt)
        self._socket.close()
        if not over:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return status, farewell.decode("utf-8", "replace")

    def _read_farewell(self, deadline: float, timeout: float, interrupt: int) -> tuple[bytes, bool]:
        farewell = b""
        while is_ready(self._socket, select.POLLIN, deadline, interrupt):
            more = self._receive()
            farewell += more.replace(ALIVE, b"")
            if not more:
                return farewell, True
            deadline = max(deadline, time.monotonic() + timeout)
        return farewell, False

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_CHUNK)
        except OSError:  # reset: it died with lines unread
            return b""

    def _describe(self, status: int) -> str | None:
        if status == 0:
            return None
        end = describe_status(os.waitstatus_to_exitcode(status))
        return f"the log is incomplete: the process that writes it {end}"

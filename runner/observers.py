"""The observer process: logs, the file of events and the live view, where they cannot hold up the work.

    supervisor                                child, forked before any worker
    ObserverProcess ── lines, no waiting ──► LogObserver · FileObserver · ProgressObserver ──► stderr, FILE
       │ backlog, bounded                       │
       └─◄──────── what went wrong, once ───────┘

structlog and rich are imported in the child alone, while the work already runs. A terminal that is stopped
holds up the child; the backlog then fills, and what does not fit is counted and left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TextIO

from runner.errors import ExitCode
from runner.events import Bus, Event, Observer

MOST_BYTES = 4 * 1024 * 1024
MOST_LINES = 10_000
PATIENCE = 5.0
"""Seconds that the end of a run waits for the last lines to be written."""

LogOption = Literal["auto", "text", "json"]
_CHUNK = 64 * 1024
_RELEASE_TERMINAL = b"\x1b7\x1b[r\x1b8\x1b[J"


@dataclass(frozen=True, slots=True)
class Outlets:
    """What the child writes and where, decided before the fork."""

    stream_fd: int
    style: Literal["text", "json"] = "json"
    level: str = "info"
    colors: bool = False
    live: bool = False
    events_fd: int | None = None


def wants_text(stream: TextIO, log: LogOption = "auto") -> bool:
    """Say whether people read `stream`: they get text, and tables at the end; else it is JSON lines alone."""
    return log == "text" or (log == "auto" and stream.isatty())


def open_observers(
    *,
    stream: TextIO,
    log: LogOption = "auto",
    level: str = "info",
    events_file: Path | None = None,
    progress: bool | None = None,
) -> list[ObserverProcess]:
    """Start what shows a run on `stream`, which must have a descriptor. Call it before any worker starts.

    `progress` is the live view: None is where it fits; it needs a terminal in any case.

    Raises:
        OSError: `events_file` cannot be opened, or there can be no further process.
    """
    term_can_move = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    text = wants_text(stream, log)
    with contextlib.ExitStack() as stack:
        events_fd = None
        if events_file is not None:
            events_fd = os.open(events_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            stack.callback(os.close, events_fd)
        outlets = Outlets(
            stream_fd=stream.fileno(),
            style="text" if text else "json",
            level=level,
            colors=term_can_move and text and not os.environ.get("NO_COLOR"),
            live=term_can_move and (text if progress is None else progress),
            events_fd=events_fd,
        )
        return [ObserverProcess(outlets)]


class ObserverProcess:
    """The supervisor's end: an observer whose `observe` never blocks. The fork is part of making it."""

    def __init__(self, outlets: Outlets) -> None:
        self._outlets = outlets
        self._terminal_fd = os.dup(outlets.stream_fd) if outlets.live else None
        self._socket, theirs = socket.socketpair()
        self._backlog: deque[bytes] = deque()
        self._waiting = 0
        self._missing = 0
        self._lost = False
        self._latest = Event("run.started", 0.0, "", {})
        self.trouble: str | None = None
        """After `close`: what was not written and why; None if all was."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(theirs, outlets, parent)
        theirs.close()
        self._socket.setblocking(False)

    @property
    def backlogged(self) -> bool:
        """Whether lines wait for the child to read; `flush_nowait` sends them once `fileno()` is writable."""
        return bool(self._backlog) and not self._lost

    def fileno(self) -> int:
        """The descriptor to poll for room. A worker must close its copy; -1 once `close` was called."""
        return self._socket.fileno()

    def observe(self, event: Event) -> None:
        """Send one event, or keep it, or count it as missing. After the child's death this does nothing."""
        if self._lost:
            return
        self.flush_nowait()
        if self._backlog and event.name == "run.progress":
            return  # the next snapshot says it better
        self._latest = event
        if event.name != "run.finished" and not self._has_room():
            self._missing += 1
            return
        self._own_up()
        self._keep(event)
        self.flush_nowait()

    def flush_nowait(self) -> None:
        """Send what the child has room for."""
        while self._backlog and not self._lost:
            chunk = self._next_chunk()
            try:
                sent = self._socket.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._give_up()
                return
            self._waiting -= sent
            if sent < len(chunk):
                self._backlog.appendleft(chunk[sent:])
                return

    def close(self, timeout: float = PATIENCE) -> None:
        """Wait until the child has written all, at most `timeout` seconds; then kill it. Sets `trouble`."""
        deadline = time.monotonic() + timeout
        self._own_up()
        while self.backlogged and _ready(self._socket, select.POLLOUT, deadline):
            self.flush_nowait()
        status, farewell = self._part(deadline)
        self.trouble = farewell or self._describe(status)
        if self._terminal_fd is not None:
            if status != 0 and _ready(self._terminal_fd, select.POLLOUT, 0):
                os.write(self._terminal_fd, _RELEASE_TERMINAL)
            os.close(self._terminal_fd)

    def _has_room(self) -> bool:
        # Once events are missing half must be free first, or every other line would tell of a missing one.
        share = 2 if self._missing else 1
        return self._waiting < MOST_BYTES // share and len(self._backlog) < MOST_LINES // share

    def _own_up(self) -> None:
        if self._missing:
            missing, self._missing = self._missing, 0
            self._keep(Event("events.dropped", self._latest.at, self._latest.run, {"count": missing}))

    def _keep(self, event: Event) -> None:
        line = _encode(event)
        self._backlog.append(line)
        self._waiting += len(line)

    def _next_chunk(self) -> bytes:
        lines = [self._backlog.popleft()]
        size = len(lines[0])
        while self._backlog and size < _CHUNK:
            lines.append(self._backlog.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def _give_up(self) -> None:
        self._lost = True
        self._backlog.clear()

    def _part(self, deadline: float) -> tuple[int, str]:
        with contextlib.suppress(OSError):
            # Not only closed: a worker that was forked meanwhile may hold a copy, and the end would not come.
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.setblocking(True)
        said = b""
        over = False
        while not over and _ready(self._socket, select.POLLIN, deadline):
            more = self._hear()
            said += more
            over = not more
        self._socket.close()
        if not over:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return status, said.decode("utf-8", "replace")

    def _hear(self) -> bytes:
        try:
            return self._socket.recv(_CHUNK)
        except OSError:  # reset: it died with lines unread
            return b""

    def _describe(self, status: int) -> str | None:
        if status == 0:
            return None
        how = os.waitstatus_to_exitcode(status)
        end = f"was ended by {signal.Signals(-how).name}" if how < 0 else f"ended with exit code {how}"
        return f"the log is incomplete: the process that writes it {end}"


def _encode(event: Event) -> bytes:
    try:
        text = _WIRE.encode([event.name, event.at, event.run, event.fields])
    except (TypeError, ValueError):
        told = {key: repr(value) for key, value in event.fields.items()}
        text = _WIRE.encode([event.name, event.at, event.run, told])
    return text.encode() + b"\n"


_WIRE = json.JSONEncoder(default=repr, separators=(",", ":"))


def _ready(channel: socket.socket | int, for_what: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(channel, for_what)
    return bool(poll.poll(max(deadline - time.monotonic(), 0) * 1000))


# From here on: the child.


def _serve(connection: socket.socket, outlets: Outlets, parent: int) -> NoReturn:
    """Show events until the supervisor closes or is gone, say what went wrong, and end the process."""
    code = int(ExitCode.INTERNAL)
    try:
        _detach(connection, outlets)
        bus = Bus(run="", observers=_observers(outlets))
        for event in _events(connection, parent):
            bus.forward(event)
        bus.close()
        connection.sendall(_troubles(bus).encode())
        code = 0
    except BaseException as error:
        # Whatever it is, it must not climb into the supervisor's code that the fork copied.
        with contextlib.suppress(OSError):
            connection.sendall(f"the log stopped: {type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _detach(connection: socket.socket, outlets: Outlets) -> None:
    """Stand apart: Ctrl-C is not for this process, and nothing that others wait for stays open here."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(outlets.stream_fd, 2)
    os.set_blocking(2, True)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    events = set() if outlets.events_fd is None else {outlets.events_fd}
    keep = sorted({0, 1, 2, connection.fileno()} | events)
    for low, high in zip(keep, [*keep[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)


def _observers(outlets: Outlets) -> list[Observer]:
    if not outlets.live:
        # structlog looks for rich to colour tracebacks, which we never ask of it: a third of its import.
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from runner.logs import HEARTBEAT, FileObserver, LogObserver

    heartbeat = None if outlets.live else HEARTBEAT
    stream = os.fdopen(2, "wb", closefd=False)
    log = LogObserver(stream, outlets.style, outlets.level, colors=outlets.colors, heartbeat=heartbeat)
    observers: list[Observer] = [log]
    if outlets.events_fd is not None:
        observers.append(FileObserver(os.fdopen(outlets.events_fd, "wb")))
    if outlets.live:
        from runner.progress import ProgressObserver

        observers.append(ProgressObserver(2, colors=outlets.colors))
    return observers


def _events(connection: socket.socket, parent: int) -> Iterator[Event]:
    # A worker may hold a copy of the supervisor's end, so that its death alone is not the end of the stream.
    connection.settimeout(1.0)
    rest = b""
    while True:
        try:
            chunk = connection.recv(_CHUNK)
        except TimeoutError:
            if os.getppid() == parent:
                continue
            chunk = b""
        except OSError:
            chunk = b""
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, at, run, fields = json.loads(line)
            yield Event(name, at, run, fields)


def _troubles(bus: Bus) -> str:
    """Say what could not be written. A reader of the log that went away did not want the rest: no trouble."""
    told = []
    for observer, error in bus.dropped:
        what = {"FileObserver": "the file of events", "LogObserver": "the log"}.get(type(observer).__name__)
        if what is None or not isinstance(error, OSError):
            told.append(f"{type(observer).__name__} stopped: {type(error).__name__}: {error}")
        elif not isinstance(error, BrokenPipeError):
            told.append(f"{what} is incomplete: {error.strerror}")
    return "; ".join(told)

"""The observer process, from its own side: the child that writes the log and the file of events, and draws.

    supervisor ── lines, and once a file ──► serve ──► LogObserver · FileObserver · ProgressObserver
                                               └──► what went wrong, once, at the end

structlog and rich are imported here alone, at once: while the supervisor still reads and checks the workflow.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, NoReturn, Protocol, runtime_checkable

from runner.errors import ExitCode
from runner.events import Bus, Event, Observer

_CHUNK = 64 * 1024
_LONGEST_WAIT = 1.0
"""Seconds until the next look whether the supervisor still lives."""
_GRACE = 2.0
"""Seconds, and at most twice as many, for the last lines of a supervisor that was killed."""
ALIVE = b"\0"
"""Said while there is still something to show after the end, and somebody reads it."""
PATIENCE_OF_PEOPLE = 4.0
"""Seconds after the end in which a terminal is shown what is left: nobody reads a gigabyte that scrolls by."""
MOST_PATIENCE = 60.0
"""Seconds for what is not a terminal, and keeps it all."""


@runtime_checkable
class Ticking(Protocol):
    """An observer that has something to do between events as well."""

    def tick(self) -> float | None:
        """Do it; return the seconds until the next time, None if that may be after the next event. Never raises."""


@dataclass(frozen=True, slots=True)
class JobOutlet:
    """How the output of jobs is shown, and where, if the workflow turns out to have jobs."""

    fd: int
    mode: str = "group"
    colors: bool = False
    for_github: bool = False
    with_log: bool = False
    """Whether events are logged all the same: the output tells of them already."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """What the child writes and where, decided before the fork."""

    stream_fd: int
    style: Literal["text", "json"] = "json"
    level: str = "info"
    colors: bool = False
    live: bool = False
    jobs: JobOutlet | None = None


def serve(connection: socket.socket, outlets: Outlets, parent: int) -> NoReturn:
    """Show events until the supervisor closes or is gone, say what went wrong, and end the process."""
    code = int(ExitCode.INTERNAL)
    try:
        _detach(connection, outlets)
        _end_with(parent)
        _import_ahead(outlets)
        connection.sendall(_show(connection, outlets, parent).encode())
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
    null = os.open(os.devnull, os.O_RDWR)
    output = os.dup(null if outlets.jobs is None else outlets.jobs.fd)
    for fd, source in ((2, outlets.stream_fd), (0, null), (1, output)):
        os.dup2(source, fd)
    for fd in (1, 2):
        os.set_blocking(fd, True)
    keep = sorted({0, 1, 2, connection.fileno()})
    for low, high in zip(keep, [*keep[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)


def _end_with(parent: int) -> None:
    """Have this process end soon after the supervisor, also where a terminal that is stopped holds up a write."""

    def look(_number: int, _frame: object) -> None:
        if os.getppid() != parent:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the next one ends this process

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _GRACE, _GRACE)


def _import_ahead(outlets: Outlets) -> None:
    """Import what takes long, less what is never used of it, while the supervisor still reads the workflow."""
    if not outlets.live:
        # structlog looks for rich to colour tracebacks, which we never ask of it: a third of its import.
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    if "asyncio" not in sys.modules:
        _import_when_used("asyncio")  # for structlog's asynchronous loggers: half of the rest
        # Python 3.12 and newer would ask it for a task at once.
        vars(import_module("logging"))["logAsyncioTasks"] = False
    import_module("runner.logs")


def _import_when_used(name: str) -> None:
    """Let `import name` cost nothing until something of the module is asked for."""
    # Not `importlib.util.LazyLoader`: the import statement itself asks a module for its spec, which makes it load.
    stand_in = ModuleType(name)

    def ask(attribute: str) -> Any:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    stand_in.__dict__["__getattr__"] = ask
    sys.modules[name] = stand_in


def _show(connection: socket.socket, outlets: Outlets, parent: int) -> str:
    """Show every event, and return what could not be written. Nothing is touched before the first word."""
    bus = Bus(run="")
    first, files = _hear(connection, parent, bus)
    for event in _events(connection, parent, bus, first):
        if not bus.run:
            bus.run = event.run
            bus.observers = _observers(outlets, files, has_jobs="jobs" in event.fields)
        bus.forward(event)
    _show_the_rest(bus, connection, parent)
    bus.close()
    return _troubles(bus)


def _show_the_rest(bus: Bus, connection: socket.socket, parent: int) -> None:
    """Let what is still being shown come to its end, as long as somebody reads it and the supervisor waits."""
    until = time.monotonic() + (MOST_PATIENCE if not os.isatty(1) else PATIENCE_OF_PEOPLE)
    while _tick(bus) == 0 and time.monotonic() < until and os.getppid() == parent:
        with contextlib.suppress(OSError):
            connection.send(ALIVE, socket.MSG_DONTWAIT)


def _observers(outlets: Outlets, files: Iterable[int], *, has_jobs: bool) -> list[Observer]:
    from runner.logs import FileObserver

    to_files = [FileObserver(os.fdopen(file, "wb")) for file in files]
    if has_jobs and outlets.jobs is not None:
        return [*to_files, *_job_observers(outlets, outlets.jobs)]
    os.dup2(0, 1)  # stdout is the handlers' own
    observers: list[Observer] = [_log(outlets), *to_files]
    if outlets.live:
        from runner.progress import ProgressObserver

        observers.append(ProgressObserver(2, colors=outlets.colors))
    return observers


def _job_observers(outlets: Outlets, jobs: JobOutlet) -> list[Observer]:
    from runner.jobs.output_modes import open_output

    observers: list[Observer] = [_log(outlets)] if jobs.with_log else []
    observers.append(open_output(1, jobs.mode, colors=jobs.colors, for_github=jobs.for_github))
    if outlets.live:
        from runner.progress_jobs import JobProgressObserver

        observers.append(JobProgressObserver(2, colors=outlets.colors))
    return observers


def _log(outlets: Outlets) -> Observer:
    from runner.logs import HEARTBEAT, LogObserver

    heartbeat = None if outlets.live else HEARTBEAT
    stream = os.fdopen(2, "wb", closefd=False)
    return LogObserver(stream, outlets.style, outlets.level, colors=outlets.colors, heartbeat=heartbeat)


def _events(connection: socket.socket, parent: int, bus: Bus, chunk: bytes) -> Iterator[Event]:
    rest = b""
    while chunk:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):  # an empty line is what a file came with
            name, at, run, fields = json.loads(line)
            yield Event(name, at, run, fields)
        chunk, _ = _hear(connection, parent, bus)


def _hear(connection: socket.socket, parent: int, bus: Bus) -> tuple[bytes, list[int]]:
    """Wait for bytes, and a file that may come with them; let observers tick meanwhile. Nothing is the end."""
    while True:
        # A worker may hold a copy of the supervisor's end, so that its death alone is not the end of the stream.
        connection.settimeout(min(_tick(bus), _LONGEST_WAIT))
        try:
            chunk, files, _, _ = socket.recv_fds(connection, _CHUNK, 1)
        except (TimeoutError, BlockingIOError):
            if os.getppid() == parent:
                continue
            return b"", []
        except OSError:
            return b"", []
        return chunk, files


def _tick(bus: Bus) -> float:
    """Let those who show what grows show it. Return the seconds until they want to again."""
    waits = [observer.tick() for observer in bus.observers if isinstance(observer, Ticking)]
    return min((wait for wait in waits if wait is not None), default=_LONGEST_WAIT)


_WRITTEN = {"FileObserver": "the file of events", "LogObserver": "the log", "JobOutput": "what jobs print"}


def _troubles(bus: Bus) -> str:
    """Say what could not be written. A reader of the log that went away did not want the rest: no trouble."""
    told = []
    for observer, error in bus.dropped:
        what = _WRITTEN.get(type(observer).__name__)
        if what is None or not isinstance(error, OSError):
            told.append(f"{type(observer).__name__} stopped: {type(error).__name__}: {error}")
        elif not isinstance(error, BrokenPipeError):
            told.append(f"{what} is incomplete: {error.strerror}")
    return "; ".join(told)

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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, NoReturn

from runner.errors import ExitCode
from runner.events import Bus, Event, Observer

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outlets:
    """What the child writes and where, decided before the fork."""

    stream_fd: int
    style: Literal["text", "json"] = "json"
    level: str = "info"
    colors: bool = False
    live: bool = False


def serve(connection: socket.socket, outlets: Outlets, parent: int) -> NoReturn:
    """Show events until the supervisor closes or is gone, say what went wrong, and end the process."""
    code = int(ExitCode.INTERNAL)
    try:
        _detach(connection, outlets)
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
    os.dup2(outlets.stream_fd, 2)
    os.set_blocking(2, True)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    keep = sorted({0, 1, 2, connection.fileno()})
    for low, high in zip(keep, [*keep[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)


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
    first, files = _hear(connection, parent)
    if not first:
        return ""
    bus = Bus(run="", observers=_observers(outlets, files))
    for event in _events(connection, parent, first):
        bus.forward(event)
    bus.close()
    return _troubles(bus)


def _observers(outlets: Outlets, files: Iterable[int]) -> list[Observer]:
    from runner.logs import HEARTBEAT, FileObserver, LogObserver

    heartbeat = None if outlets.live else HEARTBEAT
    stream = os.fdopen(2, "wb", closefd=False)
    log = LogObserver(stream, outlets.style, outlets.level, colors=outlets.colors, heartbeat=heartbeat)
    observers: list[Observer] = [log, *(FileObserver(os.fdopen(file, "wb")) for file in files)]
    if outlets.live:
        from runner.progress import ProgressObserver

        observers.append(ProgressObserver(2, colors=outlets.colors))
    return observers


def _events(connection: socket.socket, parent: int, chunk: bytes) -> Iterator[Event]:
    rest = b""
    while chunk:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):  # an empty line is what a file came with
            name, at, run, fields = json.loads(line)
            yield Event(name, at, run, fields)
        chunk, _ = _hear(connection, parent)


def _hear(connection: socket.socket, parent: int) -> tuple[bytes, list[int]]:
    """Wait for bytes, and a file that may come with them. Nothing is the end of the stream."""
    # A worker may hold a copy of the supervisor's end, so that its death alone is not the end of the stream.
    connection.settimeout(1.0)
    while True:
        try:
            chunk, files, _, _ = socket.recv_fds(connection, _CHUNK, 1)
        except TimeoutError:
            if os.getppid() == parent:
                continue
            return b"", []
        except OSError:
            return b"", []
        return chunk, files


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

"""The observer process, from its own side: the child that writes the log and the file of events, and draws.

    supervisor ── lines, and once a file ──► serve ──► LogObserver · FileObserver · ProgressObserver
                                               └──► what went wrong, once, at the end

structlog and rich are imported here alone, at once: while the supervisor still reads and checks the workflow.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, runtime_checkable

from runner.errors import ExitCode
from runner.events.bus import Bus, Observer
from runner.events.run import RunStarted
from runner.facts import dataclass
from runner.ipc.descriptors import stand_apart
from runner.render.intake import EventIntake
from runner.render.terminal_hold import TerminalHold
from runner.telemetry.destination import MetricsTargets, TelemetryLost

if TYPE_CHECKING:
    from runner.events.trace_context import TraceContext

_LAST_WATCHERS = 1.0
"""Seconds, and no more, for who watches to hear the last word: it takes a fifth of one where somebody does not read."""
_GRACE = 2.0
"""Seconds, and at most twice as many, for the last lines of a supervisor that was killed."""
ALIVE = b"\0"
"""Sent while there is still something to show after the end, and somebody reads it."""
_ALIVE_EVERY = 0.5
TERMINAL_DRAIN_TIMEOUT = 4.0
"""Seconds after the end in which a terminal is shown what is left: nobody reads a gigabyte that scrolls by."""
DRAIN_TIMEOUT = 60.0
"""Seconds for what is not a terminal, and keeps it all."""


@runtime_checkable
class Ticking(Protocol):
    """An observer that has something to do between events as well."""

    def tick(self) -> float | None:
        """Do it; return the seconds until the next time, None if that may be after the next event. Never raises."""


@dataclass(frozen=True, slots=True)
class JobOutputOptions:
    """How the output of jobs is shown, and where, if the workflow turns out to have jobs."""

    fd: int
    mode: str = "group"
    colors: bool = False
    for_github: bool = False
    with_log: bool = False
    """Whether events are logged all the same: the output tells of them already."""


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What the child writes and where, decided before the fork."""

    stream_fd: int | None = None
    """Where the log goes; None for nowhere: only who watches sees the run."""
    style: Literal["text", "json"] = "json"
    level: str = "info"
    colors: bool = False
    live: bool = False
    jobs: JobOutputOptions | None = None
    metrics: MetricsTargets | None = None
    """Where metrics are told, besides."""
    trace: TraceContext | None = None
    """Where the run stands in a trace that is sent; None where nothing is."""


def serve(connection: socket.socket, options: RenderOptions, parent: int) -> NoReturn:
    """Show events until the supervisor closes or is gone, say what went wrong, and end the process."""
    code = int(ExitCode.INTERNAL)
    try:
        stdout = None if options.jobs is None else options.jobs.fd
        kept = () if options.metrics is None else options.metrics.listeners
        channel = stand_apart(connection.detach(), stdout=stdout, stderr=options.stream_fd, kept=kept)
        connection = socket.socket(fileno=channel)
        for descriptor in (1, 2):
            os.set_blocking(descriptor, True)
        _exit_with(parent)
        if options.stream_fd is not None:
            _import_ahead(options)
        if options.metrics is not None or options.trace is not None:
            _stay_alive(connection, lambda: _import_telemetry(options))
        failures = _show(connection, options, parent).encode()
        connection.setblocking(True)
        connection.sendall(failures)
        code = 0
    except BaseException as error:
        # Whatever it is, it must not climb into the supervisor's code that the fork copied.
        with contextlib.suppress(OSError):
            connection.sendall(f"the log stopped: {type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _exit_with(parent: int) -> None:
    """Have this process end soon after the supervisor, also where a terminal that is stopped holds up a write."""

    def look(_number: int, _frame: object) -> None:
        if os.getppid() != parent:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the next one ends this process

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _GRACE, _GRACE)


def _import_ahead(options: RenderOptions) -> None:
    """Import what takes long, less what is never used of it, while the supervisor still reads the workflow.

    Without rich and asyncio that takes a quarter of the time: 26 ms of a processor instead of 106.
    """
    if not options.live:
        # structlog looks for rich to colour tracebacks, which we never ask of it. It takes None for "not installed".
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    if "asyncio" not in sys.modules:
        _import_when_used("asyncio")  # for structlog's asynchronous loggers, which we never make
        # Python 3.12 and newer would ask it for a task at once.
        vars(import_module("logging"))["logAsyncioTasks"] = False
    import_module("runner.render.log")
    if "rich" in sys.modules and not sys.modules["rich"]:
        del sys.modules["rich"]  # who draws wide characters asks it how wide


def _import_telemetry(options: RenderOptions) -> None:
    if options.metrics is not None:
        import_module("runner.telemetry.observer")
    if options.trace is not None:
        import_module("runner.telemetry.opentelemetry.observer")


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


def _show(connection: socket.socket, options: RenderOptions, parent: int) -> str:
    """Show every event, and return what could not be written. Nothing is touched before the first word."""
    bus, followers = Bus(run=""), Bus(run="", observers=_telemetry(options))
    intake = EventIntake(connection, parent, followers.forward)
    intake.start()
    screen = TerminalHold(bus)
    while (events := intake.take(_tick(*([] if screen.is_held else [bus]), followers))) is not None:
        for event in events:
            if not bus.run:
                bus.run = event.run
                has_jobs = isinstance(event, RunStarted) and event.jobs is not None
                bus.observers = _observers(options, intake.files, has_jobs=has_jobs)
            screen.forward(event)
    screen.release()
    _drain(bus, connection, parent)
    bus.close()
    _stay_alive(connection, followers.close)
    intake.join(_LAST_WATCHERS)
    return _describe_failures([*bus.dropped, *followers.dropped], intake.trouble)


def _stay_alive(connection: socket.socket, work: Callable[[], None]) -> None:
    """Do what may take a while, within a time of its own: a supervisor that has come to its end waits meanwhile.

    What others have written may have to be compiled first, which takes seconds where the machine is busy.
    """
    working = threading.Thread(target=work, daemon=True)
    working.start()
    while working.is_alive():
        working.join(_ALIVE_EVERY)
        with contextlib.suppress(OSError):
            connection.send(ALIVE, socket.MSG_DONTWAIT)


def _drain(bus: Bus, connection: socket.socket, parent: int) -> None:
    """Let what is still being shown come to its end, as long as somebody reads it and the supervisor waits."""
    until = time.monotonic() + (DRAIN_TIMEOUT if not os.isatty(1) else TERMINAL_DRAIN_TIMEOUT)
    while _tick(bus) == 0 and time.monotonic() < until and os.getppid() == parent:
        with contextlib.suppress(OSError):
            connection.send(ALIVE, socket.MSG_DONTWAIT)


def _observers(options: RenderOptions, files: Iterable[int], *, has_jobs: bool) -> list[Observer]:
    from runner.render.log import FileObserver

    others: list[Observer] = [FileObserver(os.fdopen(file, "wb")) for file in files]
    if has_jobs and options.jobs is not None:
        return [*others, *_job_observers(options, options.jobs)]
    os.dup2(0, 1)  # stdout is the handlers' own
    observers: list[Observer] = [*([] if options.stream_fd is None else [_log(options)]), *others]
    if options.live:
        from runner.render.progress import ProgressObserver

        observers.append(ProgressObserver(2, colors=options.colors, previous=_previous_run))
    return observers


def _job_observers(options: RenderOptions, jobs: JobOutputOptions) -> list[Observer]:
    from runner.render.job_output.modes import open_output

    observers: list[Observer] = [_log(options)] if jobs.with_log else []
    observers.append(open_output(1, jobs.mode, colors=jobs.colors, for_github=jobs.for_github))
    if options.live:
        from runner.render.progress import ProgressObserver

        observers.append(ProgressObserver(2, colors=options.colors, previous=_previous_run))
    return observers


def _telemetry(options: RenderOptions) -> list[Observer]:
    """Open what tells other systems: it is told of events by the intake itself, since a screen must not hold it up."""
    found: list[Observer] = []
    if options.metrics is not None:
        from runner.telemetry.observer import MetricsObserver

        found.append(MetricsObserver(options.metrics))
    if options.trace is not None:
        from runner.telemetry.opentelemetry.observer import OpenTelemetryObserver

        found.append(OpenTelemetryObserver(options.trace))
    return found


def _log(options: RenderOptions) -> Observer:
    from runner.render.log import HEARTBEAT, LogObserver

    heartbeat = None if options.live else HEARTBEAT
    stream = os.fdopen(2, "wb", closefd=False)
    return LogObserver(
        stream,
        options.style,
        options.level,
        colors=options.colors,
        heartbeat=heartbeat,
        previous=_previous_run,
    )


def _previous_run(begun: RunStarted) -> tuple[float, float] | None:
    """Say how long the last run like this one took, and when it began."""
    from runner.record.history import last_done_run  # sqlite3, for those who have waited for a while

    before = last_done_run(begun.workflow, begun.file, begun.run)
    return None if before is None else (before.seconds, before.began)


def _tick(*buses: Bus) -> float | None:
    """Let those who show what grows show it. Return the seconds until they want to again; None if they do not."""
    found = [observer for bus in buses for observer in bus.observers]
    waits = [observer.tick() for observer in found if isinstance(observer, Ticking)]
    return min((wait for wait in waits if wait is not None), default=None)


_WRITTEN = {"FileObserver": "the file of events", "LogObserver": "the log", "JobOutput": "what jobs print"}


def _describe_failures(dropped: Iterable[tuple[Observer, Exception]], of_hub: Exception | None) -> str:
    """Say what could not be written. A reader of the log that went away did not want the rest: no trouble."""
    failures = [] if of_hub is None else [f"nobody could watch any more: {type(of_hub).__name__}: {of_hub}"]
    for observer, error in dropped:
        what = _WRITTEN.get(type(observer).__name__)
        if isinstance(error, TelemetryLost):
            failures.append(str(error))
        elif what is None or not isinstance(error, OSError):
            failures.append(f"{type(observer).__name__} stopped: {type(error).__name__}: {error}")
        elif not isinstance(error, BrokenPipeError):
            failures.append(f"{what} is incomplete: {error.strerror}")
    return "; ".join(failures)

"""The services of a job: processes in the background, begun before its steps and stopped after them.

start ──► one after the other, each until it is ready ──► steps run ──► stop, the last first

A line that a service is to print is looked for in its log as that grows: each byte is read once, little is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from runner.jobs.ansi import ESCAPE
from runner.jobs.executor.ports import answers, listeners, name_of, stranger
from runner.jobs.executor.process_group import CommandExit, Interruption, ProcessGroup
from runner.jobs.executor.wait import CommandWaiter, Deadline
from runner.jobs.log import CHUNK, LogWriter, Tail
from runner.jobs.requests import CommandRequest, JobRequest, ReadinessRequest, ServiceRequest
from runner.process.patterns import ENDLESS, EndlessPattern, bounded_matching
from runner.spec.model import JobResult
from runner.units import format_duration

_MOST_KEPT = 64 * 1024
"""Bytes in which a match may begin that ends in what is printed next."""
_CHUNKS = 16
"""Read in one look: who prints without end must not keep the caller from looking at the clock."""
_SHORTEST_PAUSE = 0.001
"""Seconds between two looks at what a service prints faster than it is read, in which the clock is looked at."""


class Services:
    """Those of one attempt."""

    def __init__(
        self,
        request: JobRequest,
        waiter: CommandWaiter,
        start: Callable[[CommandRequest, LogWriter], ProcessGroup],
        report: Callable[..., Any],
        logs: list[LogWriter],
    ) -> None:
        """`logs` gets the logs of services added, for the waiter to pass on what they print."""
        self._request = request
        self._waiter = waiter
        self._start = start
        self._report = report
        self._logs = logs
        self._running: list[tuple[ServiceRequest, ProcessGroup, LogWriter]] = []
        self._stranger: int | None = None
        """Who was last seen to listen where the service that is waited for should, and is none of its processes."""

    def start(self, deadlines: Sequence[Deadline]) -> Interruption | None:
        """Start all and wait until they are ready; return why the job can't go on, if it can't."""
        for service in self._request.services:
            began = time.monotonic()
            taken = _taken_port(service)
            if taken is not None:
                return taken
            log = LogWriter(service.log, self._request.secrets)
            self._logs.append(log)
            group = self._start(service.command, log)
            self._running.append((service, group, log))
            self._waiter.services[service.name] = group
            cut = self._wait_until_ready(service, log, deadlines) if service.ready is not None else None
            if cut is not None:
                return cut
            self._report("service.ready", service=service.name, seconds=round(time.monotonic() - began, 6))
        return None

    def stop(self) -> None:
        """Stop all that run. Nobody of them is left."""
        self._waiter.services.clear()
        for service, group, log in reversed(self._running):
            early = service.name == self._waiter.failed_service
            ended = group.reap_all() if early else self._waiter.stop(group)
            self._report_exit(service, ended, early=early)
            self._logs.remove(log)
            log.close()
        self._running.clear()

    def _report_exit(self, service: ServiceRequest, ended: CommandExit, *, early: bool) -> None:
        self._report(
            "service.exited",
            service=service.name,
            exitcode=ended.code,
            signal=ended.signal,
            reason="it ended before the job did" if early else "the job is over",
            early=early,
            log=service.log,
        )

    def _wait_until_ready(
        self, service: ServiceRequest, log: LogWriter, deadlines: Sequence[Deadline]
    ) -> Interruption | None:
        ready = service.ready
        assert ready is not None
        lasted = format_duration(ready.timeout)
        late = Interruption(JobResult.FAILED, f"service '{service.name}' was not ready within {lasted}")
        until = Deadline(time.monotonic() + ready.timeout, late)
        # Without a line to look for nothing is searched.
        with closing(LineSearch(service.log, ready.prints or "")) as line, suppress(EndlessPattern):
            while not self._is_ready(ready, line, log, until):
                patience = min(ready.every, _SHORTEST_PAUSE) if line.has_more else ready.every
                cut = self._waiter.pause(patience, [until, *deadlines])
                if cut is late and self._stranger is not None:
                    holder = f"port {ready.port} is held by {_called(self._stranger)}, which is none of its processes"
                    return replace(late, reason=f"{late.reason}: {holder}")
                if cut is not None:
                    return cut
            return None
        return Interruption(
            JobResult.FAILED, f"`prints` of service '{service.name}': {ENDLESS}", for_good=True
        )

    def _is_ready(self, ready: ReadinessRequest, line: LineSearch, log: LogWriter, until: Deadline) -> bool:
        """All that it is asked for must hold."""
        return (
            (ready.prints is None or line.look())
            and (ready.port is None or self._listens(ready.host, ready.port))
            and (ready.command is None or self._succeeds(ready.command, log, until))
        )

    def _listens(self, host: str, port: int) -> bool:
        """Whether the port answers, and it is not known to be somebody else who does."""
        is_open = answers(host, port)
        self._stranger = stranger(port) if is_open else None
        return is_open and self._stranger is None

    def _succeeds(self, command: CommandRequest, log: LogWriter, until: Deadline) -> bool:
        return self._waiter.wait_for(self._start(command, log), [until]).is_good


class LineSearch:
    """Looks for one regular expression in one log. Holds a descriptor until it is found, or to `close`."""

    def __init__(self, log: str, pattern: str) -> None:
        self._tail = Tail(log)
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._kept = b""
        self._is_found = False
        self.has_more = False
        """Whether there was more to read than one look takes: the next may follow at once."""

    def look(self) -> bool:
        """
        Look at what has come since the last time. What was found once stays found.

        Raises:
            EndlessPattern: the expression can't be searched for in that.
        """
        self.has_more = False
        for _ in range(0 if self._is_found else _CHUNKS):
            chunk = self._tail.read()
            self._is_found = bool(chunk) and self._is_in(chunk)
            self.has_more = len(chunk) == CHUNK and not self._is_found
            if not self.has_more:
                break
        if self._is_found:
            self.close()
        return self._is_found

    def close(self) -> None:
        """Look no further. May be called twice."""
        self._tail.close()

    def _is_in(self, chunk: bytes) -> bool:
        printed = self._kept + chunk
        self._kept = _end_of(printed)
        # As it is and as it looks: a colour may stand in the middle of what is looked for.
        with bounded_matching():
            return any(self._pattern.search(_text(each)) for each in {printed, ESCAPE.sub(b"", printed)})


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _taken_port(service: ServiceRequest) -> Interruption | None:
    """Say why a service can't be told from another by its port: somebody answers there before it was started."""
    ready = service.ready
    if ready is None or ready.port is None or not answers(ready.host, ready.port):
        return None
    by = next(iter(listeners(ready.port)), None)
    whose = "" if by is None else f", by {_called(by)}"
    reason = f"service '{service.name}' could not start: port {ready.port} is taken already{whose}"
    return Interruption(JobResult.FAILED, reason)


def _called(pid: int) -> str:
    return f"pid {pid} ({name_of(pid)})"


def _end_of(printed: bytes) -> bytes:
    """The last bytes that are kept, from the beginning of a line if one begins there."""
    if len(printed) <= _MOST_KEPT:
        return printed
    first = printed.find(b"\n", len(printed) - _MOST_KEPT - 1, -1) + 1
    return printed[first or len(printed) - _MOST_KEPT :]

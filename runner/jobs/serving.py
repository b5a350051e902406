"""The services of a job: processes in the background, begun before its steps and stopped after them.

start ──► one after the other, each until it is ready ──► steps run ──► stop, the last first
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from runner.jobs.attending import Attendance, Bound, CutShort
from runner.jobs.awaited import AwaitedLine
from runner.jobs.groups import Exit, Group
from runner.jobs.logbook import Logbook
from runner.jobs.orders import CommandOrder, Order, ReadyOrder, ServiceOrder
from runner.spec_jobs import Result
from runner.units import format_duration

_KNOCK = 1.0
"""Seconds that a port may take to answer one knock."""
_BREATH = 0.001
"""Seconds between two looks at what a service prints faster than it is read, in which the clock is heeded."""


class Services:
    """Those of one attempt."""

    def __init__(
        self,
        order: Order,
        attendance: Attendance,
        start: Callable[[CommandOrder, Logbook], Group],
        report: Callable[..., Any],
        logs: list[Logbook],
    ) -> None:
        """`logs` gets the logs of services added, for the attendance to pass on what they print."""
        self._order = order
        self._attendance = attendance
        self._start = start
        self._report = report
        self._logs = logs
        self._running: list[tuple[ServiceOrder, Group, Logbook]] = []

    def start(self, bounds: Sequence[Bound]) -> CutShort | None:
        """Start all and wait until they are ready; return why the job can't go on, if it can't."""
        for service in self._order.services:
            began = time.monotonic()
            log = Logbook(service.log, self._order.secrets)
            self._logs.append(log)
            group = self._start(service.command, log)
            self._running.append((service, group, log))
            self._attendance.services[service.name] = group
            cut = self._await(service, log, bounds) if service.ready is not None else None
            if cut is not None:
                return cut
            self._report("service.ready", service=service.name, seconds=round(time.monotonic() - began, 6))
        return None

    def stop(self) -> None:
        """Stop all that run. Nobody of them is left."""
        self._attendance.services.clear()
        for service, group, log in reversed(self._running):
            fallen = service.name == self._attendance.fallen
            ended = group.bury() if fallen else self._attendance.stop(group)
            self._tell(service, ended, early=fallen)
            self._logs.remove(log)
            log.close()
        self._running.clear()

    def _tell(self, service: ServiceOrder, ended: Exit, *, early: bool) -> None:
        self._report(
            "service.exited",
            service=service.name,
            exitcode=ended.code,
            signal=ended.signal,
            reason="it ended before the job did" if early else "the job is over",
            early=early,
            log=service.log,
        )

    def _await(self, service: ServiceOrder, log: Logbook, bounds: Sequence[Bound]) -> CutShort | None:
        ready = service.ready
        assert ready is not None
        lasted = format_duration(ready.timeout)
        late = CutShort(Result.FAILED, f"service '{service.name}' was not ready within {lasted}")
        until = Bound(time.monotonic() + ready.timeout, late)
        # Without a line to look for nothing is searched.
        with closing(AwaitedLine(service.log, ready.prints or "")) as line:
            while not self._is_ready(ready, line, log, until):
                patience = min(ready.every, _BREATH) if line.has_more else ready.every
                cut = self._attendance.pause(patience, [until, *bounds])
                if cut is not None:
                    return cut
        return None

    def _is_ready(self, ready: ReadyOrder, line: AwaitedLine, log: Logbook, until: Bound) -> bool:
        """All that it is asked for must hold."""
        return (
            (ready.prints is None or line.look())
            and (ready.port is None or _answers(ready.host, ready.port))
            and (ready.command is None or self._says_so(ready.command, log, until))
        )

    def _says_so(self, command: CommandOrder, log: Logbook, until: Bound) -> bool:
        ended = self._attendance.attend(self._start(command, log), [until])
        return isinstance(ended, Exit) and ended.is_good


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_KNOCK).close()
    except OSError:
        return False
    return True

"""The services of a job: processes in the background, begun before its steps and stopped after them.

start ──► one after the other, each until it is ready ──► steps run ──► stop, the last first
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from runner.jobs.executor.process_group import CommandExit, Interruption, ProcessGroup
from runner.jobs.executor.readiness import ReadinessCheck
from runner.jobs.executor.wait import CommandWaiter, Deadline
from runner.jobs.log import LogWriter
from runner.jobs.requests import CommandRequest, JobRequest, ServiceRequest


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

    def start(self, deadlines: Sequence[Deadline]) -> Interruption | None:
        """Start all and wait until they are ready; return why the job can't go on, if it can't."""
        for service in self._request.services:
            began = time.monotonic()
            check = self._check_of(service)
            taken = check.taken() if check is not None else None
            if taken is not None:
                return taken
            log = LogWriter(service.log, self._request.secrets)
            self._logs.append(log)
            group = self._start(service.command, log)
            self._running.append((service, group, log))
            self._waiter.services[service.name] = group
            cut = check.wait(log, deadlines) if check is not None else None
            if cut is not None:
                return cut
            self._report("service.ready", service=service.name, seconds=round(time.monotonic() - began, 6))
        return None

    def _check_of(self, service: ServiceRequest) -> ReadinessCheck | None:
        if service.ready is None:
            return None
        return ReadinessCheck(
            service.ready, f"service '{service.name}'", service.log, self._waiter, self._start
        )

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

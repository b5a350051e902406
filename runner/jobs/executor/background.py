"""The last step of a job in the background, from its start until it is asked to end.

start ──► ready? ──yes──► reported, with what the job hands on ──► released: it is ended, and that is well
            └─ late, or ended: the job fails                   └─► it ended by itself, or something cut it short
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from runner.jobs.executor.process_group import CommandExit, Interruption, ProcessGroup
from runner.jobs.executor.readiness import ReadinessCheck
from runner.jobs.executor.wait import CommandWaiter, Deadline
from runner.jobs.log import LogWriter
from runner.jobs.requests import CommandRequest
from runner.spec.model import JobResult

_SELF = "the background job"
"""What the waiter calls it meanwhile."""


class BackgroundStep:
    """Attends it."""

    def __init__(
        self,
        waiter: CommandWaiter,
        start: Callable[[CommandRequest, LogWriter], ProcessGroup],
        check: ReadinessCheck | None,
        announce: Callable[[], str | None],
        *,
        is_needed: bool,
    ) -> None:
        """`announce` says that the job is ready; it returns why the job is not, where something is missing."""
        self._waiter = waiter
        self._start = start
        self._check = check
        self._announce = announce
        self._is_needed = is_needed

    def run(self, command: CommandRequest, log: LogWriter, deadlines: Sequence[Deadline]) -> CommandExit:
        """Start it, and return when it has ended. Nobody of its group is left."""
        taken = self._check.taken() if self._check is not None else None
        if taken is not None:
            return CommandExit(None, None, taken)
        group = self._start(command, log)
        cut = self._until_ready(group, log, deadlines)
        if cut is not None and self._waiter.failed_service == _SELF:
            ended = group.reap_all()
            return replace(
                ended, interruption=replace(cut, reason=f"it ended before it was ready: it {ended}")
            )
        missing = None if cut is not None else self._announce()
        if missing is not None:
            cut = Interruption(JobResult.FAILED, missing)
        if cut is not None:
            return replace(self._waiter.stop(group), interruption=cut)
        ended = self._waiter.wait_for(group, deadlines)
        if ended.interruption is not None:
            return ended
        return replace(ended, interruption=Interruption(JobResult.FAILED, f"it {ended}{self._too_early()}"))

    def _until_ready(
        self, group: ProcessGroup, log: LogWriter, deadlines: Sequence[Deadline]
    ) -> Interruption | None:
        if self._check is None:
            return None
        self._waiter.services[_SELF] = group
        try:
            return self._check.wait(log, deadlines)
        finally:
            del self._waiter.services[_SELF]

    def _too_early(self) -> str:
        if self._is_needed:
            return ": it ended before those that need it"
        return ", and a job in the background is to go on until it is ended"

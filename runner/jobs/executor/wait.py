"""Waiting for a command, with an eye on everything that may cut it short: the clock, silence, services, a revocation.

    CommandWaiter.wait_for(group, deadlines) ──► CommandExit                   it ended by itself
                                            └──► CommandExit(interruption)     it was stopped: signal, grace, KILL

One poll waits for all of it; nothing is looked at in between.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from runner.facts import dataclass
from runner.jobs.executor.process_group import CommandExit, Interruption, ProcessGroup
from runner.jobs.executor.terminal import SIZE_LOOK, TerminalRelay
from runner.jobs.log import LogWriter
from runner.spec.model import JobResult
from runner.units import format_duration

_LOOK = 0.01
"""Seconds between two looks whether a group is empty; no event announces that."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which a command is stopped, by `time.monotonic`."""

    until: float
    why: Interruption


RELEASED = "it was ended, as nobody needs it any more"


class WakeupPipe:
    """SIGUSR1 makes `fileno()` readable: a wait is cut short when the supervisor has revoked something."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._wake())

    def fileno(self) -> int:
        """For a poll."""
        return self._reading

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it rings already
            os.write(self._writing, b"!")

    def drain(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, 512):
                pass


class CommandWaiter:
    """Attends one attempt of a job."""

    def __init__(
        self,
        logs: list[LogWriter],
        wakeup: WakeupPipe,
        is_revoked: Callable[[], bool],
        *,
        grace: float,
        idle_timeout: float | None,
        silent: Callable[[float], None],
        is_released: Callable[[], bool] = lambda: False,
    ) -> None:
        """The first of `logs` is the job's own, others may be added. `is_released`: it is to end, and that is well.

        `silent` is called with how long the job has printed nothing, before it is stopped for that.
        """
        self._logs = logs
        self._wakeup = wakeup
        self._is_revoked = is_revoked
        self._grace = grace
        self._idle_timeout = idle_timeout
        self._silent = silent
        self._is_released = is_released
        self._size = 0
        self._grew = 0.0
        self._looked = 0.0
        self.relay: TerminalRelay | None = None
        """Between the command and the terminal, while one has that."""
        self.services: dict[str, ProcessGroup] = {}
        """Processes that must not end before the job does, by name."""
        self.failed_service: str | None = None
        """The service that did."""

    def wait_for(
        self, group: ProcessGroup, deadlines: Sequence[Deadline] = (), *, uninterruptible: bool = False
    ) -> CommandExit:
        """
        Wait until the leader of a group has ended, or has to be stopped. Nobody of the group is left afterwards.

        What is `uninterruptible`, such as clean-up, goes on though the job was revoked or a service has ended.
        """
        self._grew = self._looked = time.monotonic()
        ended = False
        while not ended:
            # Before the wait: what rang while nobody listened for it does not ring again.
            interruption = self._interruption(deadlines, uninterruptible)
            if interruption is not None:
                return replace(self.stop(group), interruption=interruption)
            ended = self._wait(group, self._time_left(deadlines), watching=not uninterruptible)
        return group.reap_all()

    def pause(self, seconds: float, deadlines: Sequence[Deadline] = ()) -> Interruption | None:
        """Wait for a moment; return why the job can't go on, if it can't."""
        self._grew = self._looked = time.monotonic()
        until = time.monotonic() + seconds
        while (interruption := self._interruption(deadlines, uninterruptible=False)) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._wait(None, min(left, self._time_left(deadlines)), watching=True)
        return interruption

    def is_cut_short(self) -> bool:
        """Look at once whether the job can't go on, the clock apart."""
        self._wait(None, 0.0, watching=True)
        return self._is_revoked() or self.failed_service is not None

    def lost_service(self) -> Interruption | None:
        """Look at once whether a service has ended; return why the job can't go on then."""
        self._wait(None, 0.0, watching=True)
        return self._of_service()

    def stop(self, group: ProcessGroup) -> CommandExit:
        """Ask a group to end, and after the grace make it. Nobody of it is left."""
        group.signal(signal.SIGTERM)
        group.signal(signal.SIGCONT)  # one that is stopped would not hear
        deadline = time.monotonic() + self._grace
        while not self._wait(group, deadline - time.monotonic()):
            if time.monotonic() >= deadline:
                group.signal(signal.SIGKILL)
        ended = group.reap()
        # A shell dies at once; what it has started may have something to finish.
        while time.monotonic() < deadline and not group.is_empty():
            self._wait(None, _LOOK)
        group.kill_rest()
        return ended

    def _interruption(self, deadlines: Sequence[Deadline], uninterruptible: bool) -> Interruption | None:
        now = time.monotonic()
        if not uninterruptible and self._is_revoked():
            return Interruption(JobResult.CANCELLED, "it was called off")
        if not uninterruptible and self._is_released():
            return Interruption(JobResult.PASSED, RELEASED)
        if not uninterruptible and (lost := self._of_service()) is not None:
            return lost
        passed = [deadline for deadline in deadlines if now >= deadline.until]
        return passed[0].why if passed else self._silence(now)

    def _of_service(self) -> Interruption | None:
        if self.failed_service is None:
            return None
        return Interruption(JobResult.FAILED, f"service '{self.failed_service}' ended before the job did")

    def _silence(self, now: float) -> Interruption | None:
        if self._idle_timeout is None:
            return None
        if (size := self._logs[0].size) != self._size:
            # Not now: nobody looks while it prints. And not before the last look: the clock of a file may be set.
            self._size, self._grew = size, min(max(now - self._logs[0].age, self._looked), now)
        self._looked = now
        quiet = now - self._grew
        if quiet < self._idle_timeout:
            return None
        self._silent(round(quiet, 3))
        return Interruption(
            JobResult.TIMED_OUT,
            f"it printed nothing for {format_duration(self._idle_timeout)}, its idle-timeout",
        )

    def _time_left(self, deadlines: Sequence[Deadline]) -> float:
        dues = [deadline.until for deadline in deadlines]
        if self._idle_timeout is not None:
            dues.append(self._grew + self._idle_timeout)
        return min(dues, default=math.inf) - time.monotonic()

    def _wait(self, group: ProcessGroup | None, seconds: float, *, watching: bool = False) -> bool:
        """Wait for the leader of a group, passing on output meanwhile. False: cut short, or time is up."""
        poll = select.poll()
        watched = {service.fileno(): name for name, service in self.services.items()} if watching else {}
        end = None if group is None else group.fileno()
        if self.relay is not None:
            seconds = min(seconds, SIZE_LOOK)
        for descriptor in (end, self._wakeup.fileno(), *self._pipes(), *watched):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        found = poll.poll(None if seconds == math.inf else math.ceil(max(0.0, seconds) * 1000))
        ready = {descriptor for descriptor, _ in found}
        if self._wakeup.fileno() in ready:
            self._wakeup.drain()
        for log in self._logs:
            log.pump()
        if self.relay is not None:
            self.relay.pump(ready)
        self.failed_service = self.failed_service or next(
            (name for end_, name in watched.items() if end_ in ready), None
        )
        return end in ready

    def _pipes(self) -> list[int]:
        lent = () if self.relay is None else self.relay.descriptors
        return [*(pipe for log in self._logs for pipe in log.pipes), *lent]

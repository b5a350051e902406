"""Waiting for a command, with an eye on everything that may cut it short: the clock, silence, services, a call off.

    Attendance.attend(group, bounds) ──► Exit        it ended by itself
                                    └──► CutShort    it was stopped: signal, grace, KILL; and why

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
from dataclasses import dataclass, replace

from runner.jobs.groups import Exit, Group
from runner.jobs.logbook import Logbook
from runner.spec_jobs import Result
from runner.units import format_duration

_LOOK = 0.01
"""Seconds between two looks whether a group is empty; nothing tells of that."""


@dataclass(frozen=True, slots=True)
class CutShort:
    """Why a command, and the job with it, can't go on."""

    result: Result
    reason: str
    for_good: bool = False
    """The job as a whole is out of time."""
    of_step: bool = False
    """It concerns one step alone: the job could go on."""
    ended: Exit | None = None
    """How the command ended then, if there was one."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A moment after which a command is stopped, by `time.monotonic`."""

    until: float
    why: CutShort


class Alarm:
    """SIGUSR1 makes `fileno()` readable: a wait is cut short when the supervisor has revoked something."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._ring())

    def fileno(self) -> int:
        """For a poll."""
        return self._reading

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it rings already
            os.write(self._writing, b"!")

    def hush(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, 512):
                pass


class Attendance:
    """Attends one attempt of a job."""

    def __init__(
        self,
        logs: list[Logbook],
        alarm: Alarm,
        is_revoked: Callable[[], bool],
        *,
        grace: float,
        idle_timeout: float | None,
        silent: Callable[[float], None],
    ) -> None:
        """The first of `logs` is the job's own, others may be added.

        `silent` is told for how long the job has printed nothing, before it is stopped for that.
        """
        self._logs = logs
        self._alarm = alarm
        self._is_revoked = is_revoked
        self._grace = grace
        self._idle_timeout = idle_timeout
        self._silent = silent
        self._size = 0
        self._grew = 0.0
        self.services: dict[str, Group] = {}
        """Processes that must not end before the job does, by name."""
        self.fallen: str | None = None
        """The service that did."""

    def attend(
        self, group: Group, bounds: Sequence[Bound] = (), *, steadfast: bool = False
    ) -> Exit | CutShort:
        """
        Wait until the leader of a group has ended, or has to be stopped. Nobody of the group is left afterwards.

        What is `steadfast`, such as clean-up, goes on though the job was called off or a service has ended.
        """
        self._grew = time.monotonic()
        ended = False
        while not ended:
            # Before the wait: what rang while nobody listened for it does not ring again.
            cause = self._cause(bounds, steadfast)
            if cause is not None:
                return replace(cause, ended=self.stop(group))
            ended = self._wait(group, self._patience(bounds), watching=not steadfast)
        return group.bury()

    def pause(self, seconds: float, bounds: Sequence[Bound] = ()) -> CutShort | None:
        """Wait for a moment; return why the job can't go on, if it can't."""
        self._grew = time.monotonic()
        until = time.monotonic() + seconds
        while (cause := self._cause(bounds, steadfast=False)) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._wait(None, min(left, self._patience(bounds)), watching=True)
        return cause

    def stop(self, group: Group) -> Exit:
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

    def _cause(self, bounds: Sequence[Bound], steadfast: bool) -> CutShort | None:
        now = time.monotonic()
        if not steadfast and self._is_revoked():
            return CutShort(Result.CANCELLED, "it was called off")
        if not steadfast and self.fallen is not None:
            return CutShort(Result.FAILED, f"service '{self.fallen}' ended before the job did")
        passed = [bound for bound in bounds if now >= bound.until]
        return passed[0].why if passed else self._silence(now)

    def _silence(self, now: float) -> CutShort | None:
        if self._idle_timeout is None:
            return None
        if (size := self._logs[0].size) != self._size:
            self._size, self._grew = size, now
        quiet = now - self._grew
        if quiet < self._idle_timeout:
            return None
        self._silent(round(quiet, 3))
        return CutShort(
            Result.TIMED_OUT,
            f"it printed nothing for {format_duration(self._idle_timeout)}, its idle-timeout",
        )

    def _patience(self, bounds: Sequence[Bound]) -> float:
        dues = [bound.until for bound in bounds]
        if self._idle_timeout is not None:
            dues.append(self._grew + self._idle_timeout)
        return min(dues, default=math.inf) - time.monotonic()

    def _wait(self, group: Group | None, seconds: float, *, watching: bool = False) -> bool:
        """Wait for the leader of a group, passing on output meanwhile. False: cut short, or time is up."""
        poll = select.poll()
        watched = {service.fileno(): name for name, service in self.services.items()} if watching else {}
        end = None if group is None else group.fileno()
        for descriptor in (end, self._alarm.fileno(), *self._pipes(), *watched):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        found = poll.poll(None if seconds == math.inf else math.ceil(max(0.0, seconds) * 1000))
        ready = {descriptor for descriptor, _ in found}
        if self._alarm.fileno() in ready:
            self._alarm.hush()
        for log in self._logs:
            log.pump()
        self.fallen = self.fallen or next((name for end_, name in watched.items() if end_ in ready), None)
        return end in ready

    def _pipes(self) -> list[int]:
        return [pipe for log in self._logs for pipe in log.pipes]

"""The output of one attempt of a job, followed in its log while it is written: chunks in, whole clean lines out.

log file ──► Tail ── chunks ──► LineCleaner ── whole lines ──► one of the ways to show them
"""

from __future__ import annotations

from runner.events.jobs import JobEvent, JobRetried, JobStarted
from runner.jobs.ansi import LineCleaner
from runner.jobs.log import CHUNK, Tail

AttemptKey = tuple[str, int]
"""A job's full id, and a number that no other attempt of the run has."""


class FollowedLog:
    """One attempt's output: what is in its log from `start` to where that ended when it ended."""

    def __init__(self, log: str, start: int = 0, *, colors: bool) -> None:
        self._tail = Tail(log, start)
        self._lines = LineCleaner(colors=colors)
        self._is_done = False
        self.has_more = True
        """Whether the next `lines` may find something at once."""

    @property
    def log(self) -> str:
        """The file that has it all."""
        return self._tail.path

    @property
    def is_done(self) -> bool:
        """Whether the attempt has ended and all that it printed was returned."""
        return self._is_done

    @property
    def left(self) -> int:
        """Bytes that were printed and not yet returned."""
        return self._tail.left

    def end(self) -> int:
        """The attempt is over: nothing that is written from now on is its own. Return where that begins."""
        return self._tail.end()

    def lines(self) -> bytes:
        """Return the lines that one more chunk completes; when the last was read, also one that has no end."""
        chunk = self._tail.read()
        self.has_more = len(chunk) == CHUNK
        shown = self._lines.feed(chunk) if chunk else b""
        if self._tail.is_over and not self._is_done:
            shown += self._lines.rest()
            self.close()
        return shown

    def unfinished_line(self) -> bytes:
        """Return what stands on a line that is not ended, such as a question that nobody will answer."""
        return self._lines.rest()

    def close(self) -> None:
        """Read no further."""
        self._is_done = True
        self._tail.close()


class LogFollower:
    """Begins and ends the following of attempts, some of which may share a log."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._live: dict[str, tuple[AttemptKey, FollowedLog]] = {}
        self._begun: set[str] = set()
        self._count = 0
        self._ends: dict[str, int] = {}

    def begin(self, event: JobStarted) -> tuple[AttemptKey, FollowedLog]:
        """Follow an attempt from its `job.started`."""
        job, log = event.job, event.log
        self._count += 1
        followed = FollowedLog(log, self._ends.get(log, 0), colors=self._colors)
        self._live[job] = ((job, self._count), followed)
        self._begun.add(job)
        return self._live[job]

    def end(self, event: JobEvent) -> AttemptKey | None:
        """Return the attempt that an event of its job ends; None if nobody follows one.

        These are `job.retried`, `job.finished` and `job.skipped`, and `job.started` where the end of the attempt before
        was among the events that are missing.
        """
        job = event.job
        if not isinstance(event, JobRetried):
            self._begun.discard(job)
        if job not in self._live:
            return None
        key, followed = self._live.pop(job)
        end = followed.end()
        if isinstance(event, JobRetried):
            self._ends[followed.log] = end
        return key

    def end_all(self) -> list[AttemptKey]:
        """The run is over, and with it every attempt whose own end was not seen. Return these."""
        ended = list(self._live.values())
        self._live.clear()
        for _, followed in ended:
            followed.end()
        return [key for key, _ in ended]

    def is_begun(self, job: str) -> bool:
        """Whether a job was begun and its end is still to come, also between two attempts."""
        return job in self._begun

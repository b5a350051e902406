"""`--output json`: every event as a JSON line on stdout, and what jobs print as `job.printed` between them.

{"event": "job.printed", "at": …, "run": …, "job": "lint", "text": "checking…\n"}
"""

from __future__ import annotations

import time

from runner.events.base import Event
from runner.events.jobs import JobFinished, JobPrinted, JobRetried, JobSkipped, JobStarted
from runner.events.run import RunFinished, RunProgress, RunWorkers
from runner.render.job_output.base import POLL, Write
from runner.render.job_output.follow import AttemptKey, FollowedLog, LogFollower
from runner.render.log import event_line


class JsonView:
    """Lines for machines: no colours, and as many lines of a job together as were there."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._follower = LogFollower(colors=False)
        self._followed: dict[AttemptKey, FollowedLog] = {}
        self._held: dict[AttemptKey, Event] = {}
        self._last: Event | None = None
        self._run = ""

    def observe(self, event: Event) -> None:
        """Write the event; the end of an attempt only after all that it printed."""
        self._run = event.run
        match event:
            case RunProgress() | RunWorkers():
                return
            case JobStarted():
                self._follower.end(event)
                key, followed = self._follower.begin(event)
                self._followed[key] = followed
            case JobFinished() | JobRetried() | JobSkipped():
                ended = self._follower.end(event)
                if ended is not None:
                    self._held[ended] = event
                    return
            case RunFinished():
                self._follower.end_all()
                self._last = event  # after all that was printed, so that it is the last line
                return
        self._write_line(event)

    def step(self) -> float | None:
        """Write a chunk of each job that has one."""
        for key, followed in list(self._followed.items()):
            text = followed.lines()
            if text:
                self._print(key[0], text.decode())
            if followed.is_done:
                del self._followed[key]
                self._write_line(self._held.pop(key, None))
        if not self._followed:
            return None
        return 0 if any(followed.has_more for followed in self._followed.values()) else POLL

    def finish(self) -> None:
        """Say how much of which job is left out, and how it ended; then write the last line."""
        for key, followed in self._followed.items():
            self._print(key[0], "", left_out=followed.left)
            followed.close()
            self._write_line(self._held.pop(key, None))
        self._followed.clear()
        self._write_line(self._last)

    def _print(self, job: str, text: str, **more: int) -> None:
        self._write_line(JobPrinted(job=job, text=text, **more).stamped(time.time(), self._run))

    def _write_line(self, event: Event | None) -> None:
        if event is not None:
            self._write(event_line(event))

"""`--output json`: every event as a JSON line on stdout, and what jobs print as `job.printed` between them.

{"event": "job.printed", "at": …, "run": …, "job": "lint", "text": "checking…\n"}
"""

from __future__ import annotations

import time

from runner.events import Event
from runner.jobs.followed import Attempt, Followed, Following
from runner.jobs.output import POLL, Write
from runner.logs import json_line, level_of


class JsonShow:
    """Lines for machines: no colours, and as many lines of a job together as were there."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._following = Following(colors=False)
        self._followed: dict[Attempt, Followed] = {}
        self._held: dict[Attempt, Event] = {}
        self._last: Event | None = None
        self._run = ""

    def observe(self, event: Event) -> None:
        """Write the event; the end of an attempt only after all that it printed."""
        self._run = event.run
        match event.name:
            case "run.progress":
                return
            case "job.started":
                self._following.end(event)
                key, followed = self._following.begin(event)
                self._followed[key] = followed
            case "job.finished" | "job.retried" | "job.skipped":
                ended = self._following.end(event)
                if ended is not None:
                    self._held[ended] = event
                    return
            case "run.finished":
                self._following.end_all()
                self._last = event  # after all that was printed, so that it is the last line
                return
        self._tell(event)

    def step(self) -> float | None:
        """Write a chunk of each job that has one."""
        for key, followed in list(self._followed.items()):
            text = followed.lines()
            if text:
                self._print(key[0], text.decode())
            if followed.is_done:
                del self._followed[key]
                self._tell(self._held.pop(key, None))
        if not self._followed:
            return None
        return 0 if any(followed.has_more for followed in self._followed.values()) else POLL

    def give_up(self) -> None:
        """Say how much of which job is left out, and how it ended."""
        for key, followed in self._followed.items():
            self._print(key[0], "", left_out=followed.left)
            followed.close()
            self._tell(self._held.pop(key, None))
        self._followed.clear()

    def finish(self) -> None:
        """Write the last line."""
        self._tell(self._last)

    def _print(self, job: str, text: str, **more: int) -> None:
        self._tell(Event("job.printed", time.time(), self._run, {"job": job, "text": text, **more}))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self._write(json_line({**event.as_dict(), "level": level_of(event)}) + b"\n")

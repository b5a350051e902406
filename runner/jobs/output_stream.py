"""`--output stream`: the lines of all jobs as they come, each with its job's name before it.

lint      | checking…
test      | 12 passed
✓ lint passed in 3.1s
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.events import Event
from runner.jobs.dress import Dress, Prefixes, prefixed
from runner.jobs.followed import Attempt, Followed, Following
from runner.jobs.output import POLL, Write
from runner.jobs.telling import Said, left_out, say


@dataclass(slots=True)
class _Stream:
    followed: Followed
    closing: Said | None = None


class StreamShow:
    """All jobs at once. Each live one has a descriptor of its log and at most one unfinished line."""

    def __init__(self, write: Write, dress: Dress) -> None:
        self._write = write
        self._dress = dress
        self._prefixes = Prefixes(colors=dress.colors)
        self._following = Following(colors=dress.colors)
        self._streams: dict[Attempt, _Stream] = {}
        self._is_guarded = False

    def observe(self, event: Event) -> None:
        """Begin to follow a job, or to end it; tell at once of what happened without one."""
        said = say(event)
        match event.name:
            case "job.started":
                self._end(self._following.end(event), None)
                key, followed = self._following.begin(event)
                self._streams[key] = _Stream(followed)
            case "job.finished" | "job.retried" | "job.skipped":
                self._end(self._following.end(event), said)
            case "job.cancelled" if self._following.is_begun(event.fields["job"]):
                pass  # its end will be told
            case "job.silent":
                self._unfinished(event.fields["job"])
                self._tell(said)
            case "run.finished":
                self._following.end_all()
            case _:
                self._tell(said)

    def step(self) -> float | None:
        """Show a chunk of each job that has one."""
        for key, stream in list(self._streams.items()):
            self._advance(key, stream)
        if not self._streams:
            return None
        return 0 if any(stream.followed.has_more for stream in self._streams.values()) else POLL

    def give_up(self) -> None:
        """Say how much of which job is not shown."""
        for (job, _), stream in self._streams.items():
            self._tell(left_out(job, stream.followed.left, stream.followed.log))
            self._tell(stream.closing)
            stream.followed.close()
        self._streams.clear()

    def finish(self) -> None:
        """Take the guard back, if there was anything to guard against."""
        if self._is_guarded:
            self._write(self._dress.unguard())

    def _end(self, key: Attempt | None, closing: Said | None) -> None:
        if key is None:
            self._tell(closing)
            return
        stream = self._streams[key]
        stream.closing = closing
        # Most have little left, so that their end stands in its place among the others.
        self._advance(key, stream)

    def _advance(self, key: Attempt, stream: _Stream) -> None:
        self._show(key[0], stream.followed.lines())
        if stream.followed.is_done:
            del self._streams[key]
            self._tell(stream.closing)

    def _unfinished(self, job: str) -> None:
        for (name, _), stream in self._streams.items():
            if name == job:
                self._show(job, stream.followed.unfinished_line())

    def _show(self, job: str, lines: bytes) -> None:
        if not lines:
            return
        if not self._is_guarded:
            self._is_guarded = True
            self._write(self._dress.guard())
        self._write(prefixed(lines, self._prefixes.of(job)))

    def _tell(self, said: Said | None) -> None:
        if said is not None:
            self._write(self._dress.line(said))

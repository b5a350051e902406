"""`--output stream`: the lines of all jobs as they come, each with its job's name before it.

lint      | checking…
test      | 12 passed
✓ lint passed in 3.1s
"""

from __future__ import annotations

from runner.events.base import Event
from runner.events.jobs import JobCancelled, JobFinished, JobRetried, JobSilent, JobSkipped, JobStarted
from runner.events.run import RunFinished
from runner.facts import dataclass
from runner.render.job_output.base import POLL, Write
from runner.render.job_output.follow import AttemptKey, FollowedLog, LogFollower
from runner.render.lines import OutputLine, format_event, format_omitted
from runner.render.style import OutputStyle, Prefixes, add_prefix


@dataclass(slots=True)
class _Stream:
    followed: FollowedLog
    end_line: OutputLine | None = None


class StreamView:
    """All jobs at once. Each live one has a descriptor of its log and at most one unfinished line."""

    def __init__(self, write: Write, style: OutputStyle) -> None:
        self._write = write
        self._style = style
        self._prefixes = Prefixes(colors=style.colors)
        self._follower = LogFollower(colors=style.colors)
        self._streams: dict[AttemptKey, _Stream] = {}
        self._is_guarded = False

    def observe(self, event: Event) -> None:
        """Begin to follow a job, or to end it; write at once what happened without one."""
        line = format_event(event)
        match event:
            case JobStarted():
                self._end(self._follower.end(event), None)
                key, followed = self._follower.begin(event)
                self._streams[key] = _Stream(followed)
            case JobFinished() | JobRetried() | JobSkipped():
                self._end(self._follower.end(event), line)
            case JobCancelled(job=job) if self._follower.is_begun(job):
                pass  # its end is still to come
            case JobSilent(job=job):
                self._unfinished(job)
                self._write_line(line)
            case RunFinished():
                self._follower.end_all()
            case _:
                self._write_line(line)

    def step(self) -> float | None:
        """Show a chunk of each job that has one."""
        for key, stream in list(self._streams.items()):
            self._advance(key, stream)
        if not self._streams:
            return None
        return 0 if any(stream.followed.has_more for stream in self._streams.values()) else POLL

    def finish(self) -> None:
        """Say how much of which job is not shown, and take the guard back if there was anything to guard against."""
        for (job, _), stream in self._streams.items():
            self._write_line(format_omitted(job, stream.followed.left, stream.followed.log))
            self._write_line(stream.end_line)
            stream.followed.close()
        self._streams.clear()
        if self._is_guarded:
            self._write(self._style.unguard())

    def _end(self, key: AttemptKey | None, end_line: OutputLine | None) -> None:
        if key is None:
            self._write_line(end_line)
            return
        stream = self._streams[key]
        stream.end_line = end_line
        # Most have little left, so that their end stands in its place among the others.
        self._advance(key, stream)

    def _advance(self, key: AttemptKey, stream: _Stream) -> None:
        self._show(key[0], stream.followed.lines())
        if stream.followed.is_done:
            del self._streams[key]
            self._write_line(stream.end_line)

    def _unfinished(self, job: str) -> None:
        for (name, _), stream in self._streams.items():
            if name == job:
                self._show(job, stream.followed.unfinished_line())

    def _show(self, job: str, lines: bytes) -> None:
        if not lines:
            return
        if not self._is_guarded:
            self._is_guarded = True
            self._write(self._style.guard())
        self._write(add_prefix(lines, self._prefixes.of(job)))

    def _write_line(self, line: OutputLine | None) -> None:
        if line is not None:
            self._write(self._style.line(line))

"""`--output group`: one job after the other. The oldest that is live is shown live; the others are shown whole, later.

    ▸ lint
    checking…
    ✓ lint passed in 3.1s
    - deploy was skipped: if: it is not main

What is held back costs nothing: it is read from its log when its turn comes. Between the groups stand the lines on what
happened to jobs without output. `OutputQueue` decides whose turn it is:

    begin a · begin b · begin c · end b ──► current a … a is over ──► b, whole ──► c, live from its beginning

A job in the background goes on while others run, and holds up none of them: it is live where there is nothing else to
show, its group ends when there is, and it goes on in another.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from runner.events.base import Event
from runner.events.jobs import JobCancelled, JobFinished, JobRetried, JobSilent, JobSkipped, JobStarted
from runner.events.run import RunFinished
from runner.facts import dataclass
from runner.render.job_output.base import POLL, Write
from runner.render.job_output.follow import AttemptKey, FollowedLog, LogFollower
from runner.render.lines import OutputLine, format_event, format_heading, format_omitted
from runner.render.style import OutputStyle

_Key = TypeVar("_Key")


class OutputQueue(Generic[_Key]):
    """Whose output is shown, where only one job's may be. Keys are hashable, and each begins and ends once. Pure.

    What has ended goes before what is live: it can be shown at once, and then is out of the way.
    """

    def __init__(self) -> None:
        self._live: dict[_Key, None] = {}
        self._background: dict[_Key, None] = {}
        self._over: deque[_Key] = deque()
        self._current: _Key | None = None

    def begin(self, key: _Key, *, background: bool = False) -> None:
        """Something may be shown from now on."""
        (self._background if background else self._live)[key] = None

    def end(self, key: _Key) -> None:
        """Nothing will be added to it any more. If it has not had its turn it waits for it."""
        self._live.pop(key, None)
        self._background.pop(key, None)
        if key != self._current:
            self._over.append(key)

    def current(self) -> _Key | None:
        """Return whose turn it is; None if nobody wants one. It stays so until `done`."""
        if self._current in self._background and (self._over or self._live):
            self._current = None
        if self._current is None:
            if self._over:
                self._current = self._over.popleft()
            else:
                self._current = next(iter(self._live or self._background), None)
        return self._current

    def pass_on(self) -> None:
        """The current one has nothing to show for now: of several in the background the next has its turn."""
        if self._current in self._background:
            del self._background[self._current]
            self._background[self._current] = None
            self._current = None

    def done(self) -> None:
        """All of the current one was shown: the turn goes on."""
        self._current = None


@dataclass(slots=True)
class _Group:
    job: str
    title: str
    followed: FollowedLog | None = None
    background: bool = False
    end_line: OutputLine | None = None
    is_open: bool = False


class GroupView:
    """One job at a time. Holds one descriptor at most."""

    def __init__(self, write: Write, style: OutputStyle) -> None:
        self._write = write
        self._style = style
        self._follower = LogFollower(colors=style.colors)
        self._queue: OutputQueue[AttemptKey] = OutputQueue()
        self._groups: dict[AttemptKey, _Group] = {}
        self._shown: _Group | None = None
        """The last whose turn it was, where that is not over."""
        self._line_count = 0

    def observe(self, event: Event) -> None:
        """Put a job in the line, or end it, or put a line of our own between the groups."""
        match event:
            case JobStarted():
                self._end(self._follower.end(event), None)
                self._begin(event)
            case JobFinished() | JobRetried() | JobSkipped():
                self._end(self._follower.end(event), format_event(event))
            case JobCancelled(job=job) if self._follower.is_begun(job):
                pass  # its end is still to come
            case JobSilent(job=job) if self._is_current(job):
                self._interrupt(format_event(event))
            case RunFinished():
                for key in self._follower.end_all():
                    self._queue.end(key)
            case _:
                self._put(format_event(event))

    def step(self) -> float | None:
        """Show a chunk of the one whose turn it is, or end its group."""
        key = self._queue.current()
        if key is None:
            return None
        group = self._groups[key]
        more = self._show(group)
        if group.followed is not None and not group.followed.is_done:
            if not more:
                self._queue.pass_on()
            return 0 if more else POLL
        self._close(group)
        del self._groups[key]
        self._queue.done()
        return 0

    def finish(self) -> None:
        """Say of each group that was not shown whole how much is missing, and how its job ended."""
        while (key := self._queue.current()) is not None:
            group = self._groups.pop(key)
            if group.followed is not None:
                self._write_line(format_omitted(group.job, group.followed.left, group.followed.log))
                group.followed.close()
            self._close(group)
            self._queue.done()

    def _begin(self, event: JobStarted) -> None:
        key, followed = self._follower.begin(event)
        self._groups[key] = _Group(key[0], format_heading(event), followed, event.background)
        self._queue.begin(key, background=event.background)

    def _end(self, key: AttemptKey | None, end_line: OutputLine | None) -> None:
        if key is None:
            self._put(end_line)
            return
        self._groups[key].end_line = end_line
        self._queue.end(key)

    def _put(self, line: OutputLine | None) -> None:
        """Put a line of our own into the queue."""
        if line is not None:
            self._line_count += 1
            key = ("", self._line_count)  # no job has this id
            self._groups[key] = _Group("", "", end_line=line)
            self._queue.end(key)

    def _take_turn(self, group: _Group) -> None:
        """End the group of one in the background that was shown so far, and goes on later."""
        if self._shown is not None and self._shown is not group and self._shown.is_open:
            self._shown.is_open = False
            self._write(self._style.close_group())
        self._shown = group

    def _show(self, group: _Group) -> bool:
        if group.followed is None:
            return False
        lines = group.followed.lines()
        if lines or not (group.followed.is_done or group.background):
            self._open(group)
        self._write(lines)
        return group.followed.has_more

    def _interrupt(self, line: OutputLine | None) -> None:
        """Tell in the middle of a group what concerns it, after what stands on its unfinished line."""
        key = self._queue.current()
        group = self._groups[key] if key is not None else None
        if group is not None and group.followed is not None:
            self._open(group)
            self._write(group.followed.unfinished_line())
        self._write_line(line)

    def _open(self, group: _Group) -> None:
        if not group.is_open:
            self._take_turn(group)
            group.is_open = True
            self._write(self._style.open_group(group.title))

    def _close(self, group: _Group) -> None:
        if group.is_open or group.end_line is not None:
            self._take_turn(group)
        if group.is_open:
            group.is_open = False
            self._write(self._style.close_group())
        self._write_line(group.end_line)

    def _write_line(self, line: OutputLine | None) -> None:
        if line is not None:
            self._write(self._style.line(line))

    def _is_current(self, job: str) -> bool:
        key = self._queue.current()
        return key is not None and self._groups[key].job == job

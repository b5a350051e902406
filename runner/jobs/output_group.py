"""`--output group`: one job after the other. The oldest that is live is shown live; the others are shown whole, later.

    ▸ lint
    checking…
    ✓ lint passed in 3.1s
    - deploy was skipped: if: it is not main

What is held back costs nothing: it is read from its log when its turn comes. Between the groups stand the lines on what
happened to jobs without output.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.events import Event
from runner.jobs.dress import Dress
from runner.jobs.followed import Attempt, Followed, Following
from runner.jobs.output import POLL, Write
from runner.jobs.telling import Said, heading, left_out, say
from runner.jobs.turns import Turns


@dataclass(slots=True)
class _Group:
    job: str
    title: str
    followed: Followed | None = None
    closing: Said | None = None
    is_open: bool = False


class GroupShow:
    """One job at a time. Holds one descriptor at most."""

    def __init__(self, write: Write, dress: Dress) -> None:
        self._write = write
        self._dress = dress
        self._following = Following(colors=dress.colors)
        self._turns: Turns[Attempt] = Turns()
        self._groups: dict[Attempt, _Group] = {}
        self._told = 0

    def observe(self, event: Event) -> None:
        """Put a job in the line, or end it, or put a line of our own between the groups."""
        fields = event.fields
        match event.name:
            case "job.started":
                self._end(self._following.end(event), None)
                self._begin(event)
            case "job.finished" | "job.retried" | "job.skipped":
                self._end(self._following.end(event), say(event))
            case "job.cancelled" if self._following.is_begun(fields["job"]):
                pass  # its end will be told
            case "job.silent" if self._is_current(fields["job"]):
                self._interrupt(say(event))
            case "run.finished":
                for key in self._following.end_all():
                    self._turns.end(key)
            case _:
                self._put(say(event))

    def step(self) -> float | None:
        """Show a chunk of the one whose turn it is, or end its group."""
        key = self._turns.current()
        if key is None:
            return None
        group = self._groups[key]
        more = self._show(group)
        if group.followed is not None and not group.followed.is_done:
            return 0 if more else POLL
        self._close(group)
        del self._groups[key]
        self._turns.done()
        return 0

    def give_up(self) -> None:
        """Say of each group that was not shown whole how much is missing, and how its job ended."""
        while (key := self._turns.current()) is not None:
            group = self._groups.pop(key)
            if group.followed is not None:
                self._tell(left_out(group.job, group.followed.left, group.followed.log))
                group.followed.close()
            self._close(group)
            self._turns.done()

    def finish(self) -> None:
        """All groups were closed."""

    def _begin(self, event: Event) -> None:
        key, followed = self._following.begin(event)
        self._groups[key] = _Group(key[0], heading(event.fields), followed)
        self._turns.begin(key)

    def _end(self, key: Attempt | None, closing: Said | None) -> None:
        if key is None:
            self._put(closing)
            return
        self._groups[key].closing = closing
        self._turns.end(key)

    def _put(self, said: Said | None) -> None:
        """Have a line of our own told when it is its turn."""
        if said is not None:
            self._told += 1
            key = ("", self._told)  # no job has this id
            self._groups[key] = _Group("", "", closing=said)
            self._turns.end(key)

    def _show(self, group: _Group) -> bool:
        if group.followed is None:
            return False
        lines = group.followed.lines()
        if lines or not group.followed.is_done:
            self._open(group)
        self._write(lines)
        return group.followed.has_more

    def _interrupt(self, said: Said | None) -> None:
        """Tell in the middle of a group what concerns it, after what stands on its unfinished line."""
        key = self._turns.current()
        group = self._groups[key] if key is not None else None
        if group is not None and group.followed is not None:
            self._open(group)
            self._write(group.followed.unfinished_line())
        self._tell(said)

    def _open(self, group: _Group) -> None:
        if not group.is_open:
            group.is_open = True
            self._write(self._dress.open_group(group.title))

    def _close(self, group: _Group) -> None:
        if group.is_open:
            self._write(self._dress.close_group())
        self._tell(group.closing)

    def _tell(self, said: Said | None) -> None:
        if said is not None:
            self._write(self._dress.line(said))

    def _is_current(self, job: str) -> bool:
        key = self._turns.current()
        return key is not None and self._groups[key].job == job

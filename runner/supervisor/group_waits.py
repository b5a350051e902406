"""The legs of a run that ask for a concurrency group of the machine: who waits, who may go, who is called off.

    JobGraph ── EnterGroup, LeaveGroup ──► GroupWaits ── tickets ──► MachineGroups, which other runs see
             ◄── let in, called off ──────────┘ looks four times a second, and only while there is a ticket

Nothing in here waits. Where tickets can't be had, the leg that asked is called off with the reason: it must not run
beside another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field
from typing import Literal, NamedTuple

from runner.facts import dataclass
from runner.spec.jobs.model import ConcurrencySpec
from runner.store.machine_groups import MachineGroups, TicketHolder
from runner.text import summarize

LOOK_SECONDS = 0.25
_MOST_NAMED = 3


class GroupNews(NamedTuple):
    """What is new of one that asks for a group, or is in it."""

    key: str
    """Who: a leg's id."""
    what: Literal["waits", "may go", "is called off"]
    reason: str
    group: str


@dataclass(slots=True)
class _Asking:
    group: ConcurrencySpec
    has_ticket: bool = False
    may_go: bool = False
    told: str = ""


@dataclass(slots=True)
class GroupWaits:
    """Those of one run."""

    groups: MachineGroups
    _asking: dict[str, _Asking] = field(default_factory=dict)
    _due: float = math.inf

    @property
    def due(self) -> float:
        """When `look` must be called although nothing has happened; infinity if never."""
        return self._due if self._asking else math.inf

    def enter(self, key: str, group: ConcurrencySpec) -> None:
        """One asks to be let in."""
        self._asking[key] = _Asking(group)
        self._due = 0.0

    def leave(self, key: str) -> None:
        """One is through with it, or does not ask any more."""
        if self._asking.pop(key, None) is not None:
            self.groups.leave(key)

    def leave_all(self) -> None:
        """The run is over."""
        for key in [*self._asking]:
            self.leave(key)

    def waiting_for(self, key: str) -> str:
        """Say what one waits for; nothing where it does not."""
        asking = self._asking.get(key)
        return "" if asking is None or asking.may_go else asking.told

    def look(self, now: float) -> Iterator[GroupNews]:
        """Yield what is new. The tickets of this run are in the order in which they were asked for."""
        if now < self.due:
            return
        self._due = now + LOOK_SECONDS
        for key, asking in [*self._asking.items()]:
            try:
                news = self._look_at(key, asking)
            except OSError as error:
                where = f": '{error.filename}'" if error.filename else ""
                reason = f"group '{asking.group.group}' of the machine can't be had: {error.strerror}{where}"
                news = GroupNews(key, "is called off", reason, asking.group.group)
            if news is not None:
                yield news

    def _look_at(self, key: str, asking: _Asking) -> GroupNews | None:
        group = asking.group
        if not asking.has_ticket:
            asking.has_ticket = self.groups.enter(
                group.group, key, group.limit, job=key, calls_off=group.cancels
            )
            if not asking.has_ticket:
                return None
        standing = self.groups.look(key)
        if (newer := standing.called_off_by) is not None:
            reason = f"{self._named(newer)} takes its place in group '{group.group}'"
            return GroupNews(key, "is called off", reason, group.group)
        if asking.may_go:
            return None
        if standing.may_go:
            asking.may_go = True
            return GroupNews(key, "may go", "", group.group)
        held = summarize([self._named(each) for each in standing.before], _MOST_NAMED)
        reason = f"waits for group '{group.group}', held by {held}"
        if reason == asking.told:
            return None
        asking.told = reason
        return GroupNews(key, "waits", reason, group.group)

    def _named(self, holder: TicketHolder) -> str:
        return f"'{holder.job}'" if holder.run == self.groups.run and holder.job else str(holder)

"""The items that a worker has in hand side by side, and what its page tells of them in case that it dies.

    PageMarks   begin: taken, or its turn has come ──► call: its handler is called ──► end

The page names the newest; all leases that were handed out before that and have not ended are in hand with it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import field

from runner.facts import dataclass
from runner.ipc.status_page import StatusPage, Wait, Word
from runner.ipc.stream import LeaseMessage


@dataclass(slots=True, eq=False)
class HeldItem:
    """An item in hand."""

    lease: LeaseMessage
    place: int
    """How many leases this worker had taken before."""
    item: object = None
    text: str = ""
    began: int = 0
    """When its handler was called, by the clock of the page; 0 before that."""
    left: bool = False
    """It was not begun, and is not to be: the worker ends."""
    nanos: int = 0
    value: object = None
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class PageMarks:
    """What the page says of the items in hand: how many, the newest of them, since when the oldest is at work."""

    def __init__(self, status: StatusPage) -> None:
        self._status = status
        self._words = status.words
        self._held: dict[HeldItem, None] = {}
        self._begun: OrderedDict[HeldItem, None] = OrderedDict()
        """Of these, those whose handler was called, the oldest first."""
        self._newest: HeldItem | None = None
        self._waits: Wait | None = None
        self._since = 0

    @property
    def holds_any(self) -> bool:
        """Whether any item is in hand."""
        return bool(self._held)

    def begin(self, held: HeldItem) -> None:
        """One more. All that were taken before it and have not ended count as in hand as well."""
        self._held[held] = None
        if self._newest is None or held.place > self._newest.place:
            self._mark(held)
        self._words[Word.IN_HAND] = len(self._held)

    def end(self, held: HeldItem) -> None:
        """It is about to be told that this one has ended, or it waits: from now on it is to blame for nothing."""
        self._held.pop(held, None)
        if held is self._newest:
            self._mark(max(self._held, key=lambda each: each.place, default=None))
        self._words[Word.IN_HAND] = len(self._held)
        if held in self._begun:
            is_oldest = held is next(iter(self._begun))
            del self._begun[held]
            if is_oldest:
                self._name_oldest()

    def call(self, held: HeldItem) -> None:
        """Its handler is called now."""
        self._begun[held] = None
        if len(self._begun) == 1:
            self._name_oldest()

    def _name_oldest(self) -> None:
        """Name the one that has been at work for longest."""
        oldest = next(iter(self._begun), None)
        self._words[Word.OLDEST] = 0 if oldest is None else oldest.began
        self._status.set_item("" if oldest is None else oldest.text)

    def show_wait(self, why: Wait) -> None:
        """Show what the worker waits for from now on, and count what it has waited for until now."""
        if why is self._waits:
            return
        if self._waits not in (None, Wait.NOTHING):
            word = Word.STARVED if self._waits is Wait.ITEM else Word.BLOCKED
            self._words[word] += time.perf_counter_ns() - self._since
        if why is Wait.NOTHING:
            self._status.show_wait(why)
            self._status.begin_work()
        else:
            self._status.end_work()
            self._since = self._status.show_wait(why)
        self._waits = why

    def _mark(self, held: HeldItem | None) -> None:
        self._newest = held
        if held is None:
            self._status.unmark()
        else:
            self._status.mark(held.lease.lease, held.lease.start)

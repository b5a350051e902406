"""Leave to put: how many items each writer may send to a bounded queue before it must wait. Pure.

    room in the queue ──► top_up ──► Granted(writer, count) ──► the writer sends up to so many, unasked
                             ▲                                          │
                             └───────────── use ◄───────────────────────┘

Leave is room given away: an item that may come counts like one that has. So each writer holds a fixed share at the
most, and one share is left over: writers that sit on theirs and send nothing slow the others down, and can't stop them.

Leave goes out in shares, not item by item: a writer that has to wait for each item sends frames of one. Only when a
whole moment passes without enough room for a share does a writer get what little there is.

A queue with no more places than writers has no shares to give. There `shares` is False, and a writer asks by sending
the one item that it has.
"""

from __future__ import annotations

from runner.facts import dataclass

GRANT_DELAY = 0.001
"""Seconds that a writer waits for a worthwhile share of the room before it is given the little there is."""
UNBOUNDED_SHARE = 1 << 17
"""Items that a writer may send unasked where there is no bound: as many as the supervisor should read at once."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A writer may send `count` more items."""

    writer: str
    count: int


class Credit:
    """Who holds how much leave to put to one queue."""

    def __init__(self, maxsize: int | None, writers: int) -> None:
        """`writers` counts those that there can be at once."""
        self._share = UNBOUNDED_SHARE if maxsize is None else maxsize // (writers + 1)
        self._held: dict[str, int] = {}
        self._low: dict[str, None] = {}
        """Writers that have used up half their share or more, the longest wait first."""
        self._little_since: float | None = None
        """Since when there is room for whoever waits, though not for a share."""
        self.total = 0
        """Items that all writers together may still send."""
        self._without = 0
        """Writers that may send nothing."""

    @property
    def shares(self) -> bool:
        """Whether writers get leave without asking."""
        return self._share > 0

    @property
    def leaves_waiting(self) -> bool:
        """Whether a writer that needs leave has none: there was no room that was worth giving it."""
        return self.shares and self._without > 0

    def held(self, writer: str) -> int:
        """What a writer may still send."""
        return self._held.get(writer, 0)

    def join(self, writer: str) -> None:
        """A writer exists, and shares in the room from now on."""
        if writer not in self._held:
            self._hold(writer, 0)
            self._note_if_low(writer)

    def remove_writer(self, writer: str) -> None:
        """A writer has ended: the room that was kept for it is free again."""
        held = self._held.pop(writer, None)
        self.total -= held or 0
        self._without -= held == 0
        self._low.pop(writer, None)

    def give(self, writer: str, count: int) -> None:
        """Let a writer send `count` more, whatever its share."""
        self._hold(writer, self._held.get(writer, 0) + count)
        self.total += count

    def use(self, writer: str, count: int) -> None:
        """A writer has sent `count` items. What goes beyond its leave it had to ask for, and waits for the answer."""
        held = self._held.get(writer, 0)
        used = min(count, held)
        if used:
            self._hold(writer, held - used)
            self.total -= used
            self._note_if_low(writer)

    def consume_if_ample(self, writer: str) -> bool:
        """A writer has sent one item; False, and not counted, if that leaves it with so little that it wants more."""
        left = self._held.get(writer, 0) - 1
        if 2 * left <= self._share:
            return False
        self._held[writer] = left
        self.total -= 1
        return True

    def top_up(self, free: int | None, now: float) -> list[Granted]:
        """Give leave for `free` more items, None being any number, to whoever has waited longest for a share."""
        grants: list[Granted] = []
        while self._low:
            writer = next(iter(self._low))
            lack = self._share - self._held[writer]
            count = lack if free is None else min(lack, free)
            if not self._worthwhile(count, now):
                return grants
            del self._low[writer]
            self.give(writer, count)
            self._note_if_low(writer)
            free = None if free is None else free - count
            grants.append(Granted(writer, count))
        self._little_since = None
        return grants

    @property
    def due(self) -> float | None:
        """When `top_up` must be called although nothing has happened; None if never."""
        return None if self._little_since is None else self._little_since + GRANT_DELAY

    def _worthwhile(self, count: int, now: float) -> bool:
        if count > 0 and 2 * count < self._share:
            if self._little_since is None:
                self._little_since = now
            if now < self._little_since + GRANT_DELAY:
                return False
        self._little_since = None
        return count > 0

    def _hold(self, writer: str, count: int) -> None:
        self._without += (count == 0) - (self._held.get(writer) == 0)
        self._held[writer] = count

    def _note_if_low(self, writer: str) -> None:
        if writer not in self._low and self._share and 2 * self._held[writer] <= self._share:
            self._low[writer] = None

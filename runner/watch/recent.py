"""What counters that only grow have gained over the last seconds: rates, shares of the time. Pure.

add(at, snapshot) ──► Recent ──► since(3 s) ──► the snapshot of 3 seconds ago, and how long ago it really was
"""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import Generic, NamedTuple, TypeVar

from runner.facts import dataclass

RATE_WINDOW = 3.0
"""Seconds that rates and shares are taken over: long enough to be read, short enough to be now."""
BALANCE_WINDOW = 10.0
"""Seconds over which stages are weighed against each other."""

Snapshot = TypeVar("Snapshot")


class Taken(NamedTuple, Generic[Snapshot]):
    """A snapshot, and the moment to which it belongs."""

    at: float
    what: Snapshot


@dataclass(slots=True)
class Recent(Generic[Snapshot]):
    """Snapshots in the order of time, as far back as anybody looks."""

    span: float = BALANCE_WINDOW
    taken: deque[Taken[Snapshot]] = field(default_factory=deque)

    def add(self, at: float, what: Snapshot) -> None:
        """Take one, and forget those that nobody needs any more. Time that goes back begins anew."""
        if self.taken and at < self.taken[-1].at:
            self.taken.clear()
        self.taken.append(Taken(at, what))
        while len(self.taken) > 2 and at - self.taken[1].at >= self.span:
            self.taken.popleft()

    @property
    def last(self) -> Snapshot | None:
        """The latest; None before the first."""
        return self.taken[-1].what if self.taken else None

    def before(self, seconds: float) -> Taken[Snapshot] | None:
        """Return the youngest that is `seconds` older than the last, or the oldest that there is."""
        if not self.taken:
            return None
        until = self.taken[-1].at - seconds
        return next((each for each in reversed(self.taken) if each.at <= until), self.taken[0])

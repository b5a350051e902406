"""How many items travel together: as many as make a few milliseconds of work. Pure.

    acknowledged: n items took t seconds ──► Prefetch ──► the next lease may hold `most` items

Slow items go alone, so that no worker sits on work that another could do; cheap ones by the thousand. Nothing is known
at the start, so the controller begins with one item and grows eightfold a step at the most.
"""

from __future__ import annotations

from runner.ledger.readers import TARGET

SLOW = 0.0001
"""Seconds from which on an item is a slow one: how many of them make a lease depends on who else wants some."""
MOST = 1 << 16
_GROWTH = 8
_TOLERANCE = 1.5
"""How far from what was said last the time of a slow item may be before it is said anew."""


class Prefetch:
    """What is known of the time that one item takes a reader."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self.most = 1
        """Items that the reader should hold at once."""
        self.slow = 0.0
        """Seconds that an item takes where that is a slow one, about; else 0."""

    def observe(self, items: int, seconds: float) -> None:
        """Take in that `items` items took `seconds`. Slower than thought counts at once, faster by half."""
        if items <= 0:
            return
        each = max(seconds / items, 1e-9)
        known = self._seconds
        self._seconds = each if known is None or each > known else (each + known) / 2
        self.most = max(1, min(int(TARGET / self._seconds), self.most * _GROWTH, MOST))
        if not self.slow / _TOLERANCE < self._seconds < self.slow * _TOLERANCE:
            self.slow = self._seconds if self._seconds >= SLOW else 0.0


class OneByOne(Prefetch):
    """One item at a time, however quick: whoever feeds the queue has given out no more than there are readers."""

    def observe(self, items: int, seconds: float) -> None:
        """Learn nothing."""

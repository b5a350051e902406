"""`rate`: how many items the workers of a stage may begin. Pure.

    worker ── so many, of this key ──► RateLimiter.reserve ──► from when on, and how many then

The generic cell rate algorithm (ITU-T I.371): for each key one number is kept, the time at which it would be due if
items came exactly at the limit. What is given out is never taken back, so whoever dies with leave in its hand makes
the stage slower for a moment, and never faster.
"""

from __future__ import annotations

from runner.facts import dataclass

_SHARE = 0.02
"""Of what the limit allows in a second, how much all workers together may get ahead, where the key does not matter."""
_KEYS = 4096
"""Keys that are known at once before those are forgotten whose time is over."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave for `count` items: the first from `at` on, by the clock that was handed in, each further one later."""

    at: float
    count: int


class RateLimiter:
    """Gives out leave to begin items."""

    def __init__(self, limit: float, burst: int = 1, workers: int = 1, *, by_key: bool = False) -> None:
        """`limit` a second; `by_key`: for each key of its own, and then one item at a time."""
        self._interval = 1 / limit
        self._ahead = (burst - 1) / limit
        self._most = 1 if by_key else max(1, int(limit * _SHARE / workers))
        self._due: dict[int, float] = {}
        self._forget_at = _KEYS

    @property
    def interval(self) -> float:
        """Seconds from one item to the next."""
        return self._interval

    @property
    def known(self) -> int:
        """How many keys are kept in mind."""
        return len(self._due)

    def reserve(self, key: int, wanted: int, now: float, *, together: bool = False) -> Reservation:
        """Give leave for up to `wanted` items of a key; for all of them if they are begun `together`, as in a batch."""
        due = self._due.get(key, now)
        at = max(now, due - self._ahead)
        count = wanted if together else min(wanted, self._most)
        self._due[key] = max(at, due) + count * self._interval
        if len(self._due) > self._forget_at:
            self._forget(now)
        return Reservation(at, count)

    def _forget(self, now: float) -> None:
        self._due = {key: due for key, due in self._due.items() if due > now}
        self._forget_at = 2 * max(_KEYS, len(self._due))

"""When a worker makes safe what it has handled: calls `flush()`, sends its state. Pure: the clock is handed in.

handled ── held ──► due? ──► flush, checkpoint, acknowledgement ──► committed(cost of the state)

`flush`      at the latest `every` after the first item that waits, or when `items` wait; at once when there is no
             item to take
`checkpoint` as soon as it takes next to none of the time; else `every` so often, and so seldom that it takes at
             most a twentieth; where the queue is full of what is held, or will get nothing more, half
"""

from __future__ import annotations

import math

from runner.spec.commits import CheckpointPolicy, FlushPolicy

_CHEAP = 99
"""A state that took so many times less than it is since the last one costs a hundredth of the time: never mind."""
_BEARABLE = 19
"""So many times less: a twentieth."""
_PRESSED = 1
"""So many times less: half, where nothing else could be done with the time."""


class CommitPace:
    """What is known of one worker's commits. Seconds."""

    def __init__(self, flush: FlushPolicy | None, checkpoint: CheckpointPolicy | None, now: float) -> None:
        """Which of the two are done at each commit; at least one is."""
        self._flush = flush
        self._checkpoint = checkpoint
        self._last = now
        self._held_since: float | None = None
        self._cost = 0.0

    @property
    def most(self) -> int | None:
        """Items that may wait for a commit; None where nothing bounds them."""
        return None if self._flush is None else self._flush.items

    def holds(self, now: float) -> None:
        """Something was handled that is not safe yet."""
        if self._held_since is None:
            self._held_since = now

    def due(self) -> float:
        """When to commit while there are items to take; infinity while nothing is held."""
        if self._held_since is None:
            return math.inf
        if self._flush is not None:
            return max(self._held_since + self._flush.every, self._affordable(_BEARABLE))
        assert self._checkpoint is not None
        seldom = max(self._last + self._checkpoint.every, self._affordable(_BEARABLE))
        return min(self._affordable(_CHEAP), seldom)

    def due_when_idle(self, *, pressed: bool) -> float:
        """When to commit while there is no item to take; `pressed`: and none will come before that is done."""
        if self._held_since is None:
            return math.inf
        return self._affordable(_PRESSED if pressed else _BEARABLE)

    def committed(self, now: float, cost: float) -> None:
        """Nothing is held any more; `cost` is what keeping the state took, up to `now`."""
        self._last, self._held_since, self._cost = now, None, cost

    def _affordable(self, times: int) -> float:
        """When one more state has cost at most so many times less than what has passed since the last."""
        return self._last if self._checkpoint is None else self._last + times * self._cost

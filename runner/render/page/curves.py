"""Numbers over time made ready to be drawn: what a counter gains a second, in a bounded number of equal steps. Pure.

1 4 9 9 16 25 … a counter ──► gains ──► steps of at least half a second ──► items/s, or workers busy
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from runner.facts import dataclass
from runner.record.series import Series

MOST_STEPS = 600
"""Of one curve; a screen has no more points across."""
SHORTEST_STEP = 0.5
"""Seconds. Snapshots come twice as often, and not at equal distances: in less, that would look like the run's own."""
_FEWEST_STEPS = 12
"""A run of a few seconds is drawn in its snapshots, as they are."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One number for each step, from the start of the run on."""

    step: float
    """Seconds."""
    values: tuple[float, ...]

    def scaled(self, factor: float) -> Curve:
        """Return it in another unit."""
        return Curve(self.step, tuple(value * factor for value in self.values))

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.step * len(self.values)

    @property
    def top(self) -> float:
        """The greatest of them."""
        return max(self.values, default=0.0)

    @property
    def last(self) -> float:
        """The one at the end."""
        return self.values[-1] if self.values else 0.0

    @property
    def area(self) -> float:
        """What a rate adds up to."""
        return sum(self.values) * self.step


EMPTY = Curve(1.0, ())


class End(NamedTuple):
    """What a counter came to after its last point, and when, in seconds since the epoch."""

    at: float
    value: float


def gains(series: Series, end: End | None = None, most: int = MOST_STEPS) -> Curve:
    """
    Return what a counter gained a second, up to its `end`, where that is known.

    A counter that falls has begun anew, as it does under another runner.
    """
    counted = list(series.values)
    if not counted:
        return EMPTY
    gained = [max(counted[0], 0.0)]
    gained += [new - old if new >= old else max(new, 0.0) for old, new in pairwise(counted)]
    if end is not None and end.value > counted[-1]:
        more = max(round((end.at - series.start) / series.step) - len(counted), 0)
        gained += [0.0] * more
        last = max(more, 1)
        gained[-last:] = [each + (end.value - counted[-1]) / last for each in gained[-last:]]
    step, together = _joined_steps(series.step, len(gained), most)
    return Curve(step, tuple(sum(part) / step for part in _parts(gained, together)))


def levels(series: Series, most: int = MOST_STEPS) -> Curve:
    """Return how high a number stood: in each step the highest, so that no peak is lost."""
    values = series.values
    step, together = _joined_steps(series.step, len(values), most)
    return Curve(step, tuple(max(part) for part in _parts(values, together)))


def added_up(curves: Iterable[Curve]) -> Curve:
    """Add up curves of equal steps."""
    found = [curve for curve in curves if curve.values]
    if not found:
        return EMPTY
    longest = max(len(curve.values) for curve in found)
    padded = [[*curve.values, *[0.0] * (longest - len(curve.values))] for curve in found]
    return Curve(found[0].step, tuple(map(sum, zip(*padded, strict=True))))


def shares(part: Curve, whole: Curve) -> Curve:
    """Return the share that one curve is of another, 0 to 1, step by step."""
    pairs = zip(part.values, whole.values, strict=False)
    return Curve(part.step, tuple(min(a / b, 1.0) if b > 0 else 0.0 for a, b in pairs))


def _joined_steps(step: float, count: int, most: int) -> tuple[float, int]:
    """Say how many steps are drawn as one, and how long that is."""
    together = 1
    while count / together > most or (
        step * together < SHORTEST_STEP and count / together > 2 * _FEWEST_STEPS
    ):
        together *= 2
    return step * together, together


def _parts(values: Sequence[float], together: int) -> Iterable[Sequence[float]]:
    return (values[at : at + together] for at in range(0, len(values), together))

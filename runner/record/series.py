"""Numbers over the time of a run, in a bounded number of points: when all are taken, pairs become one. Pure.

    0.25 s a step:  1 4 9 16 25 36 … 1,200 of them       full ──►  0.5 s a step:  4 16 36 … 600, and room for 600

A point is the last number that was seen within its step. So counters stay counters, and a run of an hour has steps of
3 to 6 seconds, one of a week of 10 minutes. Stored as what each adds to the one before, most of which is alike.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator

MOST_POINTS = 1200
STEP = 0.25
"""Seconds, of a young series."""


class Series:
    """One number over time, which is added in the order of time."""

    def __init__(self, start: float, step: float = STEP, most: int = MOST_POINTS) -> None:
        """Begin at `start`, in seconds since the epoch."""
        self.start = start
        self.step = step
        self._most = most
        self._values: list[float] = []

    @property
    def values(self) -> tuple[float, ...]:
        """One number for each step so far."""
        return tuple(self._values)

    def add(self, at: float, value: float) -> None:
        """Take the number that was seen at `at`. Where none was seen for some steps the last one stood."""
        place = max(int((at - self.start) / self.step), len(self._values) - 1, 0)
        while place >= self._most:
            self._halve()
            place //= 2
        before = self._values[-1] if self._values else value
        self._values += [before] * (place - len(self._values))
        self._values[place:] = [value]

    def count(self, at: float) -> None:
        """Add one to the last number: for what happens now and then."""
        self.add(at, (self._values[-1] if self._values else 0.0) + 1.0)

    def points(self) -> Iterator[tuple[float, float]]:
        """Yield each number with the moment at which its step ends."""
        for place, value in enumerate(self._values, start=1):
            yield self.start + place * self.step, value

    def encode(self) -> bytes:
        """Pack the numbers. What rounding leaves of one goes into the next, so that nothing adds up."""
        deltas, reached = array("f"), 0.0
        for value in self._values:
            deltas.append(value - reached)
            reached += deltas[-1]
        return zlib.compress(deltas.tobytes(), 1)

    @classmethod
    def decode(cls, start: float, step: float, body: bytes) -> Series:
        """Make it again. Raises ValueError where `body` is none of ours."""
        deltas = array("f")
        try:
            deltas.frombytes(zlib.decompress(body))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        series, reached = cls(start, step), 0.0
        for delta in deltas:
            reached += delta
            series._values.append(reached)
        return series

    def _halve(self) -> None:
        last = self._values[-1:] if len(self._values) % 2 else []
        self._values = self._values[1::2] + last
        self.step *= 2

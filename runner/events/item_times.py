"""How long items took: how many of each length, in buckets that are an eighth wide or less, and the slowest. Pure.

    n items took t together ──► bucket_of(t / n) ──► counts ──► ItemTimes.percentile(0.95)

Eight buckets an octave, all of them equally wide within it, from a microsecond up to more than an hour; the first one
holds all that is shorter. So a count is one whole number in an array, and where the bucket is takes no logarithm.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

BUCKETS = 256
WIDEST = 1 / 8
"""Of its lower bound, how wide a bucket is at the most: nothing is known more exactly."""
_UNIT: Final = 7
"""Times are told in 2**7 ns, 128 ns: eight of them are where the second bucket begins."""
_SUB: Final = 3
_EACH: Final = 1 << _SUB
"""Buckets of an octave."""


def bucket_of(nanos: int) -> int:
    """Return the bucket of a time."""
    units = nanos >> _UNIT
    if units < _EACH:
        return 0
    octave = units.bit_length() - (_SUB + 1)
    bucket = (octave << _SUB) + (units >> octave) - (_EACH - 1)
    return bucket if bucket < BUCKETS else BUCKETS - 1


def begin_of(bucket: int) -> float:
    """Return the shortest time, in seconds, that is in a bucket; it ends where the next one begins."""
    if bucket <= 0:
        return 0.0
    octave, sub = divmod(bucket - 1, _EACH)
    return float((_EACH + sub) << (octave + _UNIT)) / 1e9


class ItemTimes(NamedTuple):
    """How long the items of a stage took its handler, those that failed too."""

    counts: Mapping[int, int] = {}
    """Items by bucket."""
    slowest: float = 0.0
    """Seconds of the slowest that was measured alone; 0 where none was."""
    slowest_item: str = ""
    """Its repr; empty where it has no name."""

    @property
    def items(self) -> int:
        """How many there were."""
        return sum(self.counts.values())

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which that share of the items was handled, to a bucket; None where none was.

        It is the nearest rank, and within its bucket the items are taken to lie evenly.
        """
        rank, before = max(1, math.ceil(share * self.items)), 0
        for bucket, count in sorted(self.counts.items()):
            if before + count >= rank:
                begin = begin_of(bucket)
                return begin + (begin_of(bucket + 1) - begin) * (rank - before - 0.5) / count
            before += count
        return None

    @classmethod
    def total(cls, several: Iterable[ItemTimes]) -> ItemTimes:
        """Put the times of several workers, or of several lives, together."""
        counts: dict[int, int] = {}
        worst = NO_TIMES
        for each in several:
            for bucket, count in each.counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
            if each.slowest > worst.slowest:
                worst = each
        return cls(counts, worst.slowest, worst.slowest_item)

    def encode(self) -> tuple[bytes, str | None]:
        """Return what a database keeps: 64-bit numbers, a bucket and its items in turn; the slowest as JSON, if any."""
        flat = array("Q", [number for pair in sorted(self.counts.items()) for number in pair])
        if sys.byteorder == "big":
            flat.byteswap()
        slowest = {"seconds": self.slowest, "item": self.slowest_item or None}
        return flat.tobytes(), json.dumps(slowest, ensure_ascii=False) if self.slowest else None

    @classmethod
    def decode(cls, buckets: bytes, slowest: str | None) -> ItemTimes:
        """Make them again. Raises ValueError where these are none of ours."""
        flat = array("Q")
        try:
            flat.frombytes(buckets)
            known = json.loads(slowest or "{}")
            seconds, item = float(known.get("seconds") or 0.0), str(known.get("item") or "")
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error
        if sys.byteorder == "big":
            flat.byteswap()
        if len(flat) % 2 or any(bucket >= BUCKETS for bucket in flat[::2]):
            raise ValueError("there is no such bucket")
        return cls(dict(zip(flat[::2], flat[1::2], strict=True)), seconds, item)


NO_TIMES = ItemTimes()

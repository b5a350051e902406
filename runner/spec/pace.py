"""How fast a stage may go: its `rate`, which all its workers share.

rate: 20/s                                          20 items a second
rate: {limit: 20/s, burst: 5, per: item.host}       20 of each host, 5 of which may come at once
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import PATH_PATTERN, RATE, Key, Shape, declares, integer, key, mapping, text
from runner.units import RATE_PATTERN, format_rate

MOST_AT_ONCE = 10_000
"""Items that a worker may have in hand at once."""


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """How many items the workers of a stage may begin, all together. By the second."""

    limit: float = field(
        metadata=declares(
            Key(
                RATE,
                "The most items that are begun in a second, a minute, …: in any second no more than that, and `burst` "
                "beside them.",
                more={"examples": ["20/s"]},
            )
        )
    )
    burst: int = key(
        integer(1, 1_000_000),
        "How many may be begun at once after a time in which there were fewer than `limit` allows.",
        default=1,
    )
    per: str | None = key(
        text(pattern=PATH_PATTERN, title="a path such as item.host"),
        "The way from an item to its key: each key has the whole `limit`. A key is what `shard_by` may have for one; "
        "an item without one fails.",
        default=None,
        more={"examples": ["item.host"]},
    )

    def __str__(self) -> str:
        burst = f", burst {self.burst}" if self.burst > 1 else ""
        return f"{format_rate(self.limit)}{burst}" + (f", per {self.per}" if self.per else "")

    @classmethod
    def written(cls, **given: Any) -> RatePolicy:
        """Return what the file gives; where its limit is wrong, which is told of, the rest can still be checked."""
        return cls(**{"limit": 1.0, **given})


RATE_OR_POLICY: Shape = mapping(
    RatePolicy,
    read=RatePolicy.written,
    short="limit",
    type=["object", "string", "number"],
    title="a rate such as 20/s, or a mapping with a limit",
    pattern=RATE_PATTERN,
    exclusiveMinimum=0,
    maximum=10**9,
)

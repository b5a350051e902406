"""What has the right shape and is out of all measure: endless or empty waits, hosts of workers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner.findings import Finding
from runner.schema import MOST_WORKERS
from runner.units import DURATION_PATTERN, duration

TOO_MANY_WORKERS = "too-many-workers"
MOST_WORKERS_IN_ALL = 100_000

_DURATIONS = ("timeout", "stall_timeout", "stop_timeout")
_SHORTEST = 0.001


def check_sizes(data: Mapping[str, Any]) -> list[Finding]:
    """Return what reads well and is yet no time to wait for, or more workers than there can be."""
    return [*_durations(data.get("limits")), *_workers(data)]


def _durations(limits: Any) -> list[Finding]:
    """Return the limits that read well and yet are no time to wait: `0s`, or more than a lifetime."""
    keys = _mapping(limits)
    return [
        Finding(("limits", key), "out-of-range", f"'limits.{key}': expected a duration from 1ms to 30 years")
        for key in _DURATIONS
        if isinstance(keys.get(key), str)
        and re.match(DURATION_PATTERN, keys[key])
        and not _can_wait(keys[key])
    ]


def _can_wait(text: str) -> bool:
    try:
        return duration(text) >= _SHORTEST
    except (ValueError, OverflowError):
        return False


def _workers(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Point at the stage whose workers, with those of the stages above it, are more than any machine runs."""
    usual = _mapping(_mapping(data.get("defaults")).get("stage")).get("count", 1)
    total = 0
    for name, keys in _mapping(data.get("stages")).items():
        total += _head_count(_mapping(keys), usual)
        if total > MOST_WORKERS_IN_ALL:
            message = f"with those of stage '{name}' there would be more than {MOST_WORKERS_IN_ALL} workers"
            yield Finding(("stages", name, "count"), TOO_MANY_WORKERS, message, help="lower some 'count'")
            return


def _head_count(keys: Mapping[str, Any], usual: object) -> int:
    count = len(keys["names"]) if isinstance(keys.get("names"), list) else keys.get("count", usual)
    return int(count) if isinstance(count, int | float) and 1 <= count <= MOST_WORKERS else 1


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

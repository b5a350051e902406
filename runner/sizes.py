"""What has the right shape and is out of all measure: endless or empty waits, hosts of workers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner.findings import Finding
from runner.schema import MOST_WORKERS
from runner.schema_words import describe, subject
from runner.source_marks import DataPath
from runner.units import DURATION_PATTERN, duration

TOO_MANY_WORKERS = "too-many-workers"
MOST_WORKERS_IN_ALL = 100_000

_DURATIONS = ("timeout", "stall_timeout", "stop_timeout", "idle-timeout", "every")
_MAYBE_NONE = ("backoff", "max_backoff", "max-backoff", "within")
"""Durations that may be no time at all."""
_OF_THE_USER = ("with", "env", "run", "strategy", "matrix", "needs")
"""Keys below which the names are the user's own."""
_SHORTEST = 0.001


def check_sizes(data: Mapping[str, Any]) -> list[Finding]:
    """Return what reads well and is yet no time to wait for, or more workers than there can be."""
    sections = ("limits", "defaults", "stages", "jobs")
    return [*(f for key in sections for f in _durations(data.get(key), (key,))), *_workers(data)]


def _durations(data: Any, path: DataPath) -> Iterator[Finding]:
    """Yield the durations that read well and yet are no time to wait: `0s`, or more than a lifetime."""
    if isinstance(data, list):
        for number, value in enumerate(data):
            yield from _durations(value, (*path, number))
    elif isinstance(data, dict):
        for key, value in data.items():
            shortest = _SHORTEST if key in _DURATIONS else 0.0 if key in _MAYBE_NONE else None
            if shortest is not None and isinstance(value, str) and not _can_wait(value, shortest):
                message = f"{subject((*path, key))}: expected a duration from {'1ms' if shortest else '0s'} to 30 years"
                message += f", got {describe(value)}"
                yield Finding((*path, key), "out-of-range", message)
            elif key not in _OF_THE_USER:
                yield from _durations(value, (*path, key))


def _can_wait(text: str, shortest: float) -> bool:
    """Say whether a text is such a duration; one that is none is left to the check of the shape."""
    if not re.match(DURATION_PATTERN, text):
        return True
    try:
        return duration(text) >= shortest
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

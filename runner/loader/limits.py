"""What has the right shape and is out of all measure: endless or empty waits, hosts of workers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner.loader.schema.validate import fragments_below
from runner.loader.schema.wording import subject
from runner.spec.diagnostics import DataPath, Diagnostic
from runner.spec.keys import Fragment
from runner.spec.model import MOST_WORKERS
from runner.text import describe_value
from runner.units import DURATION_PATTERN, MOST_OFTEN, RATE_PATTERN, duration, rate

TOO_MANY_WORKERS = "too-many-workers"
MOST_WORKERS_IN_ALL = 100_000

_SHORTEST = 0.001


def check_limits(schema: Fragment, data: Mapping[str, Any]) -> list[Diagnostic]:
    """Return what reads well and is yet no time to wait for, no rate to hold to, or more workers than there can be."""
    return [*_measures(schema, data, ()), *_workers(data)]


def _measures(fragment: Fragment, value: Any, path: DataPath) -> Iterator[Diagnostic]:
    """Yield what reads well and yet is no time to wait, or to wait between two items: `0s`, or more than a lifetime."""
    if fragment.get("pattern") == RATE_PATTERN and isinstance(value, str | int | float):
        if not _can_be_held(value):
            message = f"{subject(path)}: expected a rate from one item in 30 years to a billion a second"
            yield Diagnostic(path, "out-of-range", f"{message}, got {describe_value(value)}")
        return
    if isinstance(value, str):
        shortest = 0.0 if fragment.get("minimum") == 0 else _SHORTEST
        if fragment.get("pattern") == DURATION_PATTERN and not _can_wait(value, shortest):
            message = f"{subject(path)}: expected a duration from {'1ms' if shortest else '0s'} to 30 years"
            yield Diagnostic(path, "out-of-range", f"{message}, got {describe_value(value)}")
        return
    for step, each, below in fragments_below(fragment, value):
        yield from _measures(below, each, (*path, step))


def _can_wait(text: str, shortest: float) -> bool:
    """Say whether a text is such a duration; one that is none is left to the check of the shape."""
    if not re.match(DURATION_PATTERN, text):
        return True
    try:
        return duration(text) >= shortest
    except (ValueError, OverflowError):
        return False


def _can_be_held(value: str | float) -> bool:
    """Say whether this is a rate that anybody can hold to; what is none is left to the check of the shape."""
    if not re.match(RATE_PATTERN, value) if isinstance(value, str) else not 0 < value <= MOST_OFTEN:
        return True
    try:
        return rate(value) > 0
    except (ValueError, OverflowError):
        return False


def _workers(data: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Point at the stage whose workers, with those of the stages above it, are more than any machine runs."""
    usual = _mapping(_mapping(data.get("defaults")).get("stage")).get("count", 1)
    total = 0
    for name, keys in _mapping(data.get("stages")).items():
        total += _head_count(_mapping(keys), usual)
        if total > MOST_WORKERS_IN_ALL:
            message = f"with those of stage '{name}' there would be more than {MOST_WORKERS_IN_ALL} workers"
            yield Diagnostic(("stages", name, "count"), TOO_MANY_WORKERS, message, help="lower some 'count'")
            return


def _head_count(keys: Mapping[str, Any], usual: object) -> int:
    count = len(keys["names"]) if isinstance(keys.get("names"), list) else keys.get("count", usual)
    return int(count) if isinstance(count, int | float) and 1 <= count <= MOST_WORKERS else 1


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

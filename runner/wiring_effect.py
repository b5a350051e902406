"""Keys that have no effect where they stand, since another key beside them takes it away. Pure: data in, findings out.

    retry: {backoff: 5s}           nothing is tried again without `attempts`         a warning: the run is what it would
    restart: {on: never, max: 3}   no death is made good, so none is counted         be without the key
    retry: {backoff: 5s, max_backoff: 1s}                                            an error: one of the two is wrong

What was written counts, not what was meant by default: so this looks at the data and not at the spec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.findings import Finding, Spoilt
from runner.problems import Severity
from runner.source_marks import DataPath
from runner.spec import RestartOn
from runner.units import duration

_CODE = "no-effect"


def check_effect(data: Mapping[str, Any], spoilt: Spoilt) -> list[Finding]:
    """Return what is written and does nothing. `data` has the right shape."""
    stages = data.get("stages", {})
    places: dict[DataPath, Any] = {("stages", name): keys for name, keys in stages.items()}
    places["defaults", "stage"] = data.get("defaults", {}).get("stage")
    found = [
        finding
        for path, keys in places.items()
        if isinstance(keys, Mapping)
        for finding in _stage(path, keys)
    ]
    return [finding for finding in found if spoilt.knows(*finding.path[:3])]


def _stage(path: DataPath, keys: Mapping[str, Any]) -> Iterator[Finding]:
    retry, restart = keys.get("retry"), keys.get("restart")
    if isinstance(retry, Mapping):
        where = (*path, "retry")
        if path[0] == "stages" and "from" not in keys:
            message = f"stage '{path[1]}' takes no items, so there is none that could be tried again"
            yield Finding(where, _CODE, message, "key", "leave it out", Severity.WARNING)
        else:
            yield from _retry(where, retry)
    if isinstance(restart, Mapping):
        yield from _restart((*path, "restart"), restart)


def _retry(where: DataPath, retry: Mapping[str, Any]) -> Iterator[Finding]:
    if retry.get("attempts", 1) == 1:
        for key in (key for key in ("backoff", "max_backoff", "on") if key in retry):
            message = f"'{key}' has no effect where an item has only one attempt"
            yield Finding((*where, key), _CODE, message, "key", "add `attempts: 3`", Severity.WARNING)
    elif "backoff" in retry and "max_backoff" in retry:
        first, most = retry["backoff"], retry["max_backoff"]
        if duration(most) < duration(first):
            message = f"'max_backoff' is {most}, and the first wait, 'backoff', is {first} already"
            yield Finding((*where, "max_backoff"), _CODE, message, help="make it longer, or leave it out")


def _restart(where: DataPath, restart: Mapping[str, Any]) -> Iterator[Finding]:
    if restart.get("on") != RestartOn.NEVER:
        return
    for key in (key for key in ("max", "within") if key in restart):
        message = f"'{key}' has no effect beside `on: never`: no death is made good, so none is counted"
        yield Finding((*where, key), _CODE, message, "key", "leave it out", Severity.WARNING)

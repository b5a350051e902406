"""What stands for sources and sinks in a test: items that are given, and a file of what came.

    give ──► …stages… ──► collect ──► {"place": 0, "item": …} a line

A line says which item it is of: one that was handed out twice, as after a kill, is there twice, and once to its reader.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import WorkerContext

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_MOST_ELEMENTS = 1000
"""Of an array, to be shown as lists."""


def give(items: list[Any], offset: int) -> Iterator[Any]:
    """Make the items that a test gives; none is the same object as before."""
    yield from map(deepcopy, items[offset:])


def collect(item: Any, worker: WorkerContext, path: str) -> None:
    """Keep what a sink would have got."""
    try:
        place = worker.places()[0]
    except HandlerError:  # nobody counts them, and nobody hands them out again
        place = -1
    line = json.dumps({"place": place, "item": as_plain(item)}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def collected(lines: Iterable[str], put: int) -> list[Any]:
    """
    Return what came, each item once, in the order in which it was put; `put` is how many there were in the end.

    The last line of a place counts: what a killed runner had put after its last cut is put again.
    """
    uncounted: list[Any] = []
    found: dict[int, Any] = {}
    for line in lines:
        told = json.loads(line)
        if told["place"] < 0:
            uncounted.append(told["item"])
        else:
            found[told["place"]] = told["item"]
    return uncounted + [found[place] for place in sorted(found) if place < put]


def as_plain(item: Any) -> Any:
    """Return an item as YAML can have it: what it has no way to write is its repr, without addresses."""
    if item is None or isinstance(item, bool | int | float | str):
        return item.value if isinstance(item, Enum) else item
    if isinstance(item, Mapping):
        return {
            key if isinstance(key, str) else _ADDRESS.sub("", str(key)): as_plain(each)
            for key, each in item.items()
        }
    if isinstance(item, list | tuple):
        return [as_plain(each) for each in item]
    if isinstance(item, set | frozenset):
        return sorted(map(as_plain, item), key=repr)
    if is_dataclass(item) and not isinstance(item, type):
        return {each.name: as_plain(getattr(item, each.name)) for each in fields(item)}
    if isinstance(item, Enum):
        return as_plain(item.value)
    if isinstance(item, PurePath):
        return str(item)
    if (
        callable(getattr(item, "tolist", None))
        and getattr(item, "size", _MOST_ELEMENTS + 1) <= _MOST_ELEMENTS
    ):
        return as_plain(item.tolist())
    return _ADDRESS.sub("", repr(item))

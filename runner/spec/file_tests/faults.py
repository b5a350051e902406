"""What goes wrong in a test, at which item: as a file says it, and as a worker has it.

faults: [{kill: {stage: clean, at_item: 50}}] ──► FaultSpec ──► PlannedFault, in the plan of each worker it is for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import (
    DURATION,
    NAME,
    TEXT,
    Fragment,
    Key,
    Shape,
    closed_mapping,
    declares,
    integer,
    key,
    values_of,
)


class FaultKind(StrEnum):
    """What goes wrong."""

    KILL = "kill"
    RAISE = "raise"
    DELAY = "delay"
    RESTART = "restart"


_STAGE = Key(NAME, "The stage in which it happens.", "stage")
_AT_ITEM = integer(1)
_WORKER = Shape(
    {"type": ["integer", "string"], "minimum": 1, "title": "the number of a worker, from 1, or its name"}
)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One thing that goes wrong in a test, at an item."""

    stage: str = field(metadata=declares(_STAGE))
    at_item: int | None = key(
        _AT_ITEM,
        "At which item, from 1: of those that were put on the stage's queue, or that a producer makes; with `worker`, "
        "of those that this worker gets. Left out for `delay`, it is each of them.",
        default=None,
    )
    worker: int | str | None = key(
        _WORKER, "Only to this worker: its number, from 1, or its name.", default=None, more={"examples": [1]}
    )
    times: int | None = key(
        integer(1),
        "How often. `kill` and `restart`: once, if nothing is said. `raise` and `delay`: at each attempt at the item.",
        default=None,
    )
    error: str = key(
        TEXT,
        "For `raise`: the exception, a built-in one by its name, with its message.",
        default="RuntimeError: as the test asked for",
        more={"examples": ["ConnectionError: no answer"]},
    )
    seconds: float = key(
        DURATION, "For `delay`: how long the handler waits.", name="for", default=0.1, shown="100ms"
    )
    kind: FaultKind = FaultKind.KILL


_KEYS_OF = {
    FaultKind.KILL: (
        ("stage", "at_item", "worker", "times"),
        "SIGKILL of a worker, just before its handler gets the item. Needs `leased`.",
    ),
    FaultKind.RAISE: (
        ("stage", "at_item", "worker", "times", "error"),
        "The handler raises instead of being called.",
    ),
    FaultKind.DELAY: (
        ("stage", "at_item", "worker", "times", "for"),
        "The handler waits before it is called.",
    ),
    FaultKind.RESTART: (
        ("stage", "at_item", "times"),
        "SIGKILL of the runner itself; the run is then gone on with, as by `mprun resume`. Needs `leased`.",
    ),
}


def fault_schema() -> Fragment:
    """Return the schema of one entry of `faults`."""
    own = closed_mapping(FaultSpec)["properties"]
    kinds = {
        kind.value: {
            "type": "object",
            "description": about,
            "properties": {name: own[name] for name in names},
            "required": ["stage"] if kind is FaultKind.DELAY else ["stage", "at_item"],
            "additionalProperties": False,
        }
        for kind, (names, about) in _KEYS_OF.items()
    }
    return {
        "type": "object",
        "title": f"a mapping with one of {', '.join(FaultKind)}",
        "properties": kinds,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


def read_faults(written: list[Mapping[str, Any]]) -> tuple[FaultSpec, ...]:
    """Return the faults in the data of a test."""
    return tuple(
        FaultSpec(**values_of(FaultSpec, keys), kind=FaultKind(kind))
        for each in written
        for kind, keys in each.items()
    )


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault as a worker has it."""

    fault: FaultSpec
    marks: str
    """What the files begin with that are made as it strikes, so that a successor knows that it has."""

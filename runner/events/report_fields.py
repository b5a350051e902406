"""The lines of a report, each a frozen fact that says what its fields mean; schemas are made from that.

class QueueLine ──► closed_schema(QueueLine) ──► "queues" in report.schema.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any

from runner.facts import dataclass


def means(description: str, default: Any = MISSING) -> Any:
    """Declare a field of a fact, with what the schema says of it."""
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True, slots=True)
class StageLine:
    """What one stage did. Seconds are sums over its workers."""

    name: str = means("The stage's name.")
    role: str = means("producer, consumer, pipe or plain.")
    workers: int = means("How many workers it had, or was to have: the most at a time.", 0)
    receives: str | None = means("The queue it reads; null if none.", None)
    sends: str | None = means("The queue it writes; null if none, or several.", None)
    targets: tuple[str, ...] = means("The queues it writes.", ())
    received: int = means("Items its workers took; one that is tried again counts again.", 0)
    sent: int = means("Items they put.", 0)
    done: int = means("Items they acknowledged.", 0)
    failed: int = means(
        "Items that failed for good: the handler raised on them, or they killed their workers.", 0
    )
    retried: int = means("How often an item was tried again, after its handler raised or its worker died.", 0)
    dead_lettered: int = means("Items kept as dead letters.", 0)
    lost: int = means("Items that were to be kept as dead letters, and could not be written.", 0)
    checkpoints: int = means("How often the state of one of its workers was kept.", 0)
    items_per_second: float = means("Items sent (a producer) or done, over the life of the stage.", 0.0)
    busy: float = means("Share of the run, 0 to 1, that a worker spent inside the handler on average.", 0.0)
    busy_seconds: float = means("Seconds inside the handler.", 0.0)
    starved_seconds: float = means("Seconds waiting for an item.", 0.0)
    blocked_seconds: float = means("Seconds waiting for room.", 0.0)
    p50_seconds: float | None = means(
        "Seconds within which the handler was done with half of the items, to an eighth; null if not measured.",
        None,
    )
    p95_seconds: float | None = means("The same for 95% of them.", None)
    slowest_seconds: float | None = means(
        "Seconds of the slowest item that was measured alone; null if there was none.", None
    )
    slowest_item: str | None = means("The repr of that item; null where it has no name.", None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The queues it writes, also where an older record names the only one alone."""
        return self.targets or (() if self.sends is None else (self.sends,))


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue's accounts."""

    name: str = means("The queue's name.")
    maxsize: int | None = means("Items it has room for; null is unbounded.", None)
    max_bytes: int | None = means("Bytes of items it has room for; null where it does not count them.", None)
    put: int = means("Items put.", 0)
    done: int = means("Items done.", 0)
    done_before: int = means(
        "Of these, the items that were done when another runner had to go on with the run.", 0
    )
    dropped: int = means("Items that left without being done.", 0)
    duplicates: int = means("Items whose key was put before, on a queue with `unique`.", 0)
    dead_lettered: int = means("Items kept as dead letters.", 0)
    lost: int = means("Items that were to be kept as dead letters, and could not be written.", 0)
    waiting: int = means("Items not begun: still in the queue at the end, or given back to it.", 0)
    leased: int = means("Items begun and not done: a worker still held them at the end.", 0)
    peak: int = means("Most items it held at a time.", 0)
    peak_bytes: int = means("Most bytes of items that were not done with; 0 where it does not count them.", 0)
    full_seconds: float = means("Seconds without room.", 0.0)
    joined: bool = means("Whether every writer had finished and every item was accounted for.", False)

    @property
    def balanced(self) -> bool:
        """Whether every item that was put is accounted for."""
        ended = self.done + self.dropped + self.duplicates + self.dead_lettered + self.lost
        return self.put == ended + self.waiting + self.leased


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that a handler raised on, or a worker that died."""

    kind: str = means("item or worker.")
    worker: str = means("The worker's name.")
    stage: str = means("Its stage.")
    error: str = means("What went wrong.")
    queue: str | None = means("The queue the item came from.", None)
    item: str | None = means("The item's repr, or of the items at stake.", None)
    traceback: str | None = means("The traceback, without mprun's own frames.", None)
    fatal: bool = means("Whether the run ended for it.", False)


_JSON_TYPES: Mapping[str, Mapping[str, Any]] = {
    "str": {"type": "string"},
    "str | None": {"type": ["string", "null"]},
    "int": {"type": "integer"},
    "int | None": {"type": ["integer", "null"]},
    "float": {"type": "number"},
    "float | None": {"type": ["number", "null"]},
    "bool": {"type": "boolean"},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
}


def closed_schema(facts: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of a fact: all its fields, no others. A type unknown here is left open."""
    return {
        "description": facts.__doc__,
        "type": "object",
        "required": [f.name for f in fields(facts)],
        "properties": {f.name: {**_JSON_TYPES.get(str(f.type), {}), **f.metadata} for f in fields(facts)},
        "additionalProperties": False,
    }

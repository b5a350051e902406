"""What stages use beside their handlers, as the user wrote it: queues, locks, shared objects and pipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import (
    BOOLEAN,
    NAME,
    PATH_PATTERN,
    SIZE,
    TEXT,
    Key,
    Shape,
    as_tuple,
    choice,
    declares,
    integer,
    key,
    mapping,
    text,
)

LARGEST_QUEUE = 2**31 - 1
"""What a semaphore of the system counts up to."""
UNBOUNDED = "unbounded"


class WhenFull(StrEnum):
    """What a full queue does with an item that is put."""

    BLOCK = "block"
    DROP_NEWEST = "drop_newest"
    DROP_OLDEST = "drop_oldest"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Sentinel:
    """What a reader gets where a queue ends. Any scalar, so it takes a class to tell `null` from none."""

    value: Any


@dataclass(frozen=True, slots=True)
class UniqueSpec:
    """What makes an item the same as one that was there before."""

    by: str = field(
        metadata=declares(
            Key(
                text(pattern=PATH_PATTERN, title="a path such as item.url"),
                "The way from an item to its key, through mappings, attributes and places in lists. A key is text, "
                "bytes, a number, or a tuple of these; an item without one fails at its put.",
            )
        )
    )
    most: int = key(
        integer(1, 2**40),
        "How many different keys there may be: each takes some 30 bytes of memory. One more ends the run.",
        default=10_000_000,
    )

    @classmethod
    def written(cls, by: str = "", **more: Any) -> UniqueSpec:
        """Return what the file gives. That the way to the key is missing has been reported."""
        return cls(by, **more)


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One bounded, joinable queue: first in, first out."""

    name: str
    maxsize: int | None = key(
        integer(1, LARGEST_QUEUE, title="an integer of at least 1"),
        "The most items that may wait in it. Whoever puts to a full queue waits, if `when_full` says nothing else.",
        default=10_000,
        usual=Key(
            Shape(
                {
                    "type": ["integer", "string"],
                    "minimum": 1,
                    "maximum": LARGEST_QUEUE,
                    "pattern": f"^{UNBOUNDED}$",
                    "title": f"an integer of at least 1, or '{UNBOUNDED}'",
                },
                lambda written: None if written == UNBOUNDED else int(written),
            ),
            f"The `maxsize` of queues that give none; `{UNBOUNDED}` takes every bound away.",
        ),
    )
    """None is unbounded. The default is enough for frames of thousands, and small items of this number are a few
    megabytes."""
    max_bytes: int | None = key(
        SIZE,
        "The most bytes of pickled items, big arrays included, that may wait in it or be in its readers' hands and not "
        "done with; small ones that share a pickle count as it is long. An item that is bigger fails at its put. "
        "`maxsize` holds as well. Below `1MiB` items are pickled one by one, and travel more slowly. Without it, only "
        "the number of items is bounded, and under `leased` what all items of 64 KiB and more of a run take together: "
        "512 MiB, or a quarter of the memory if that is less. Needs `leased`.",
        default=None,  # since whoever counts them is slower
        more={"examples": ["64MiB", "1GB"]},
    )
    when_full: WhenFull = key(
        choice(WhenFull),
        "What becomes of an item that is put to a full queue: `block` lets its writer wait; `drop_newest` drops it; "
        "`drop_oldest` drops what has waited longest and no reader holds; `fail` ends the run, naming queue and "
        "writer. Items that are dropped are counted, and told of a few times a second at the most; they are no "
        "failures. All but `block` need `leased`.",
        default=WhenFull.BLOCK,
    )
    sentinel: Sentinel | None = key(
        Shape(
            {
                "type": ["null", "string", "number", "boolean"],
                "title": "null, a text, a number, true or false",
            },
            Sentinel,
        ),
        "What `get()` returns at the end of the queue to a handler that drives it itself: once to each reader, after "
        "every writer has finished and every item before it was taken. Without it, `get()` raises EndOfStream there, "
        "which ends the worker. No writer puts it: it takes no room, is no item of the ledger, and needs no "
        "`task_done()`. A handler that is called with items is not called with it.",
        default=None,
        more={"examples": [None, "end"]},
    )
    contract: Mapping[str, Any] | None = key(
        Shape({"type": "object", "title": "a JSON Schema, as a mapping"}),
        "A JSON Schema that each item must keep when it is put. One that does not has failed where it was made, and "
        "goes the way of that stage's `retry` and `on_error`; the failure names the field. Tuples are arrays too. Of "
        "the dialects that `$schema` may name, the usual is 2020-12.",
        name="schema",
        default=None,
        more={
            "examples": [
                {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}
            ]
        },
    )
    loop: bool = key(
        BOOLEAN,
        "Whether a later stage writes back to it, as a crawler does with the links that it finds. It is over when "
        "nobody writes to it from outside any more, it is empty, and nobody holds an item of it, nor of another queue "
        "on the way round. What is written back is let in however full it is, since only those who read it can make "
        "room: `maxsize` and `max_bytes` hold back who writes from outside. Needs `leased` or `inline`.",
        default=False,
    )
    unique: UniqueSpec | None = key(
        mapping(
            UniqueSpec,
            short="by",
            read=UniqueSpec.written,
            type=["object", "string"],
            title="the way from an item to its key, such as item.url",
            pattern=PATH_PATTERN,
        ),
        "The way from an item to its key, as `shard_by` has it. An item whose key was put before is dropped, and "
        "counted so: for as long as the run lasts, whoever of its workers dies, and when it is gone on with. "
        "Needs `leased` or `inline`.",
        default=None,
        more={"examples": ["item.url", {"by": "item.url", "most": 100_000}]},
    )
    description: str = key(TEXT, "What travels through the queue.", default="")
    declared: bool = True
    """False if stages name it and `queues` does not."""


@dataclass(frozen=True, slots=True)
class LockSpec:
    """One lock: held by one worker at a time, and let go by the system when that worker dies."""

    name: str
    description: str = key(TEXT, "What it is held for.", default="")


@dataclass(frozen=True, slots=True)
class SharedSpec:
    """One object that a process of its own holds."""

    name: str
    kind: str = field(
        metadata=declares(
            Key(
                choice(["dict", "list", "Namespace", "Value", "Array", "Event"]),
                "What it is, as `multiprocessing.Manager()` has it: handlers get a proxy with its methods.",
            )
        )
    )
    value: Any = key(
        Shape({"type": ["object", "array", "number", "boolean", "string"]}),
        "What it holds at first. Without it, nothing, or zero.",
        default=None,
    )
    typecode: str = key(
        choice("bBhHiIlLqQfd"),
        "For a `Value` or an `Array`: the type of its numbers, as in Python's `array`: `i` is an integer, `q` a long "
        "one, `d` a float.",
        name="type",
        default="",
    )
    description: str = key(TEXT, "What it is for.", default="")


@dataclass(frozen=True, slots=True)
class PipeSpec:
    """One pipe, both ways."""

    name: str
    ends: tuple[str, ...] = field(
        metadata=declares(
            Key(
                Shape(
                    {"type": "array", "items": NAME.fragment, "minItems": 2, "title": "a list of two stages"},
                    as_tuple,
                ),
                "The two stages that it joins: plain ones, of one worker each.",
                more={"examples": [["asker", "answerer"]]},
            )
        )
    )
    description: str = key(TEXT, "What is said through it.", default="")

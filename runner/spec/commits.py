"""When the items of a stage are done, where that is not as each call returns: its `batch`, its `flush`, its `state`.

the call has returned ──► handled ──► flush() has returned, the state is kept ──► done
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import (
    DURATION,
    DURATION_OR_NONE,
    SIZE,
    Key,
    Shape,
    declares,
    integer,
    key,
    mapping,
    values_of,
)
from runner.units import format_duration

MOST_IN_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """How many items a handler is called with."""

    size: int = field(
        metadata=declares(
            Key(
                integer(1, MOST_IN_BATCH, title="a number of items, at least 1"),
                "The most items in a list.",
                more={"examples": [32]},
            )
        )
    )
    most_bytes: int | None = key(
        SIZE,
        "The most bytes in a list, by the sizes of its items as they are pickled. A bigger item comes alone.",
        name="bytes",
        default=None,
    )
    wait: float = key(
        DURATION_OR_NONE,
        "How long the first item of a list waits for others. A list that is not full is handed over then, and before "
        "that where the stream ends, the run is being stopped, or nobody can add to it.",
        default=0.1,
        shown="100ms",
    )

    def __str__(self) -> str:
        return f"batch of {self.size}"

    @classmethod
    def written(cls, **given: Any) -> BatchSpec:
        """Return what the file gives; where its size is wrong, which is told of, the rest can still be checked."""
        return cls(**{"size": 1, **given})


BATCH = mapping(
    BatchSpec,
    read=BatchSpec.written,
    short="size",
    type=["object", "integer"],
    title="a mapping with a size, or a number of items",
    minimum=1,
    maximum=MOST_IN_BATCH,
)


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """How often a class with a method `flush()` has it called. Seconds."""

    every: float = key(DURATION, "The longest that an item waits for it.", default=1.0, shown="1s")
    items: int = key(integer(1), "The most items that wait for it.", default=1000)

    def __str__(self) -> str:
        return f"flush {format_duration(self.every)}"


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """How often the state of a handler is kept, and how much of it. Seconds and bytes."""

    every: float = key(
        DURATION,
        "How often a state is kept that takes a while to pickle; it is kept more seldom where that would take more "
        "than 5 % of the time, and with the items that made it where it takes next to none.",
        default=1.0,
        shown="1s",
    )
    most: int = key(
        SIZE, "The most bytes of it; a bigger one fails the run.", default=64 << 20, shown="64MiB"
    )

    def __str__(self) -> str:
        return f"checkpoint {format_duration(self.every)}"


class StateWord(StrEnum):
    """The short forms of `state`."""

    NONE = "none"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class StatePolicy:
    """What becomes of what a handler keeps of its items when its worker dies."""

    checkpoint: CheckpointPolicy | None = field(
        metadata=declares(Key(mapping(CheckpointPolicy), "It is kept: how often, and how much of it."))
    )
    """None: it does not matter."""
    lasts: bool = False
    """Whether it is a place in what a kind of handler writes: kept without a word, and for all who come later."""


NO_STATE, CHECKPOINTED = StatePolicy(None), StatePolicy(CheckpointPolicy())
PLACE_KEPT = StatePolicy(CheckpointPolicy(), lasts=True)


def _read(written: Any) -> StatePolicy:
    if isinstance(written, str):
        return NO_STATE if written == StateWord.NONE else CHECKPOINTED
    # What is wrong in it is told elsewhere, and has been left out here.
    return replace(CHECKPOINTED, **values_of(StatePolicy, written))


STATE = Shape(
    {
        "type": ["object", "string"],
        "title": "one of none and checkpoint, or a mapping with `checkpoint`",
        "pattern": f"^({'|'.join(StateWord)})$",
    },
    _read,
    StatePolicy,
)


class LostBeside(StrEnum):
    """What keeps other state of the handler, but not this."""

    NOTHING = "nothing"
    FLUSH = "flush"
    """It is changed by calls, and `flush()` does nothing with it."""
    CHECKPOINT = "checkpoint"
    """It does not belong to the instance: it is the class's, the module's, or a default's."""


class Holder(StrEnum):
    """What has that in which a handler keeps something."""

    INSTANCE = "instance"
    """Or its class."""
    MODULE = "module"
    DEFAULT = "default"
    """The default of a parameter: it is made once, not at each call."""
    BEGUN = "begun"
    """What a call begins, such as a thread: it is no name that holds something, but what is called."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """What a handler keeps in itself from one item to the next, so that it is lost when its worker dies."""

    attribute: str = ""
    """The attribute, or the name, in which it does; empty where its source can't be read, so that nobody knows."""
    file: str = ""
    line: int = 0
    beside: LostBeside = LostBeside.NOTHING
    holder: Holder = Holder.INSTANCE

    @property
    def seen(self) -> bool:
        """Whether its source shows it."""
        return bool(self.attribute)

    @property
    def shown(self) -> str:
        """How a message names it: the attribute or the name, and where it is changed."""
        match self.holder:
            case Holder.MODULE:
                return f"the global `{self.attribute}` ({self.file}, line {self.line})"
            case Holder.DEFAULT:
                return f"`{self.attribute}`, a default in {self.file} (line {self.line})"
            case Holder.BEGUN:
                return f"`{self.attribute}()`, which a call does not wait for ({self.file}, line {self.line})"
        name = self.attribute if self.attribute == "self" else f"self.{self.attribute}"
        return f"`{name}` ({self.file}, line {self.line})"

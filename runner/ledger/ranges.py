"""What the ledger hands out: items in frames that nobody opens, ranges of them, and what it decides. Pure facts.

Frame  ▯▯▯▯▯▯▯▯     ItemRange ──▯▯▯▯──  a range of it     Lease  a range in a reader's hand, and how far it has come

None of them is ever changed once it is made, but for a frame's place, which it gets as it is put, and its number. They
are not declared frozen, since making one would take three times as long, and every frame makes several.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

from runner.facts import dataclass


@dataclass(slots=True)
class Frame:
    """Some items that travel together. `payload` is opaque."""

    payload: Any
    count: int
    size: int = 0
    """Bytes of its items, where its queue counts them."""
    first: int = 0
    """The position of its first item among all that were ever put; its queue says which."""
    number: int = field(default=0, compare=False)
    """What tells it apart in the record of the run; 0 until the first cut that has it."""


@dataclass(slots=True)
class ItemRange:
    """Items `start` to `stop` of a frame. `attempt` and `partial` are those of the first item alone."""

    frame: Frame
    start: int
    stop: int
    attempt: int = 1
    """Hand-overs of the first item, this one included."""
    partial: int = 0
    """Outputs of the first item that are already in the next queue."""
    history: tuple[Any, ...] = ()
    """What became of the first item's earlier hand-overs. Opaque here."""

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def size(self) -> int:
        """Bytes: those of the frame, shared out evenly. The parts of a frame weigh as much as the whole."""
        frame = self.frame
        return frame.size * self.stop // frame.count - frame.size * self.start // frame.count

    @property
    def position(self) -> int:
        """Where the first item stands among all that were ever put."""
        return self.frame.first + self.start

    def upto(self, stop: int) -> ItemRange:
        """The items before `stop`."""
        if stop == self.stop:
            return self
        return ItemRange(self.frame, self.start, stop, self.attempt, self.partial, self.history)

    def after(self, start: int) -> ItemRange:
        """The items from `start` on; what is known of the first item stays with it."""
        if start == self.start:
            return self
        return ItemRange(self.frame, start, self.stop)

    def again(self, past: object) -> ItemRange:
        """The first item alone, for one more hand-over; `past` is what became of the last one."""
        history = (*self.history, past)
        return replace(self, stop=self.start + 1, attempt=self.attempt + 1, history=history)


@dataclass(slots=True)
class Lease:
    """A range in a reader's hand: items before `at` have come to an end, `at` itself is the one being handled."""

    number: int
    reader: str
    item_range: ItemRange
    at: int
    partial: int = 0
    """Outputs of item `at` that are already in the next queue."""
    first: int = field(default=0, compare=False)
    """How many items its reader had been handed before."""

    @property
    def left(self) -> int:
        """Items that have not come to an end."""
        return self.item_range.stop - self.at

    def item(self, index: int) -> ItemRange:
        """One of the items that have not come to an end, alone, with what is known of it."""
        alone = self.item_range.after(index).upto(index + 1)
        return replace(alone, partial=self.partial) if index == self.at else alone


@dataclass(slots=True)
class Accepted:
    """All of the oldest frame that a writer offered is in the queue."""

    writer: str


@dataclass(slots=True)
class HandOver:
    """Give these items to that reader."""

    lease: Lease


@dataclass(slots=True)
class Recall:
    """Have a reader begin nothing more of the first `handed` items that it was handed, and see which it has begun."""

    reader: str
    handed: int

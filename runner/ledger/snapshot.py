"""What a ledger is at one moment, as far as it takes to go on from there in another process. Pure facts.

    LeaseQueue, PartitionedQueue ── snapshot ──► QueueSnapshot ──► restore, in the runner that goes on

What is in a reader's hand waits, in front: whoever held it is gone by then. So of what a lease has come to, only the
items that have not come to an end are here.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner.facts import dataclass
from runner.ledger.ranges import Frame, ItemRange

GONE = ""
"""The writer of what another runner's workers had put: nobody waits to be told that it is in."""


@dataclass(frozen=True, slots=True)
class DelayedItem:
    """An item that failed, and is to be tried again."""

    seconds: float
    """How long from the snapshot on."""
    item_range: ItemRange


@dataclass(frozen=True, slots=True)
class ParkedItems:
    """Items that have found no room yet, of one offer, or a part of one."""

    writer: str
    item_range: ItemRange
    owed: bool
    """What they were made from counts as done."""
    shard: int = 0


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """What waits of one shard; where nothing is sharded there is one, of the whole queue."""

    waiting: tuple[ItemRange, ...] = ()
    """In the order in which it is to be handed out; what was in a hand is the first."""
    delayed: tuple[DelayedItem, ...] = ()
    put: int = 0
    done: int = 0
    dropped: int = 0
    dead_lettered: int = 0


@dataclass(frozen=True, slots=True)
class HeldOutputs:
    """Outputs of a stage that keeps order, of items behind one that has not come to an end.

    The items `first` to `next` have come to an end, and these are what they made.
    """

    first: int
    next: int
    outputs: tuple[ParkedItems, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """One queue: its account, and every item that has not come to an end."""

    queue: str
    offered: int = 0
    """Items that were ever offered: the position of the next one."""
    partitions: tuple[PartitionSnapshot, ...] = ()
    parked: tuple[ParkedItems, ...] = ()
    """In the order of their offers."""
    turned_away: int = 0
    """Items that never were in a partition, and are dropped."""
    dead_at_once: int = 0
    """The same, dead-lettered."""
    in_hand: int = 0
    """How many of those that wait were in a reader's hand."""
    expected: int = 0
    """Where its stage keeps order: the first item that has not come to an end."""
    held: tuple[HeldOutputs, ...] = ()
    """Where its stage keeps order: what that has made of later ones."""

    def ranges(self) -> Iterator[ItemRange]:
        """Every range of items that has not come to an end, those held for their turn too."""
        for partition in self.partitions:
            yield from partition.waiting
            yield from (each.item_range for each in partition.delayed)
        yield from (each.item_range for each in self.parked)
        for stretch in self.held:
            yield from (each.item_range for each in stretch.outputs)

    def frames(self) -> dict[int, Frame]:
        """The frames of all these, by identity."""
        return {id(each.frame): each.frame for each in self.ranges()}

    def passed_on(self) -> dict[int, Frame]:
        """Of these, the ones that are held for the queue which its stage writes to, by identity."""
        outputs = (each for stretch in self.held for each in stretch.outputs)
        return {id(each.item_range.frame): each.item_range.frame for each in outputs}

    @property
    def unfinished(self) -> int:
        """Items that have been put and have not come to an end, and those that found no room yet."""
        return sum(len(each) for each in self.ranges())

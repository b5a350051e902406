"""A cut: what a run is at a moment between two facts, so that another runner can go on from there. Facts only.

    LeasedTransport.cut ──► Cut ──► the recorder ──► run.db        … the runner is killed …        run.db ──► Cut
                                                                                    LeasedTransport begins with it ◄──┘

It is consistent without anybody being stopped, as one thread keeps all the books: an item is in one queue, or has come
to an end, and what was made of it is in the next. This is Flink's checkpoint without its barriers, which are needed
where books are kept in many places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from runner.facts import dataclass
from runner.ledger.snapshot import QueueSnapshot
from runner.spec.obstacles import Reached

OUTPUT = "output:"
"""Before the name of a stage: what is known of what it leaves."""


class StoredPayload(bytes):
    """The payload of a frame whose big items lie in a file, until they lie in an arena again. Whoever keeps cuts
    makes them of a class of its own."""

    @property
    def span(self) -> int:
        """The bytes that they take together."""
        raise NotImplementedError

    def copy_to(self, memory: int, at: int) -> bytes:
        """Copy them into an arena, from `at` on, which begins a page; return the payload whose handles say so.

        Raises OSError.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SampledItem:
    """What one item of a producer was, so that it can be seen whether it makes the same again."""

    index: int
    """Which of all its items, counted from 0."""
    pickled: bytes = b""
    """The item; empty where that is too big to be kept."""
    shown: str = ""
    """What it looks like, as messages show it."""


@dataclass(frozen=True, slots=True)
class WriterCut:
    """How far a producer's worker has come."""

    worker: str
    put: int
    """Items that are in its queue, or could not be put."""
    start: int = 0
    """Items that lie behind the place that it had noted last."""
    place: bytes = b""
    """What it has to know to go on there; empty where it had noted none."""
    samples: tuple[SampledItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """All that it takes to go on with a run."""

    queues: tuple[QueueSnapshot, ...] = ()
    writers: tuple[WriterCut, ...] = ()
    states: Mapping[str, bytes] = field(default_factory=dict)
    """What workers have kept with their last acknowledgement, by name; under `output:STAGE` what a stage leaves, under
    `lost:QUEUE` how many of its dead letters could not be written."""
    ended: frozenset[str] = frozenset()
    """Workers that had come to their own end: they are not started again."""
    closed: frozenset[str] = frozenset()
    """Workers that had closed as the run was ended: what they kept was theirs to see to. They are started again."""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    """What there was to read for each stage when its first worker was started."""
    added: Mapping[str, str] = field(default_factory=dict)
    """Workers that are not in the plan, as their stage was scaled up, and that stage."""
    letters: Mapping[str, int] = field(default_factory=dict)
    """How long the files of dead letters are, in bytes, by stage."""

    @property
    def unfinished(self) -> int:
        """Items that have been put and have not come to an end."""
        return sum(queue.unfinished for queue in self.queues)

    def done(self, queues: Collection[str]) -> int:
        """Items of these queues that are done."""
        return sum(part.done for queue in self.queues if queue.queue in queues for part in queue.partitions)

    @property
    def in_hand(self) -> int:
        """How many of them were in a reader's hand."""
        return sum(queue.in_hand for queue in self.queues)

    @property
    def reached(self) -> Reached:
        """How far the run is, for whoever asks whether it can be gone on with."""
        done = {queue.queue: sum(part.done for part in queue.partitions) for queue in self.queues}
        return Reached(self.ended, self.closed, self.added, done)

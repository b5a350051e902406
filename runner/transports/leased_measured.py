"""Where a worker's items leave for a queue that must know more of them than their number (gated.py).

    put ──► key ──► shard ─┐
        └─► pickle ─► bytes ┴► bundle being filled ──full, or half a millisecond old──► PUT ──► answered: it is in

Each item is pickled alone, so that its size is known at its put. Nothing is sent before the last bundle is answered,
but for what has gathered while the handler is at its next item.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.bundles import Piece, bundle, weight_of
from runner.sharding import sharder
from runner.status import Word
from runner.transports.leased_freight import Freight
from runner.transports.leased_outbox import FILL_SECONDS, FRAME_BYTES, FrameOutbox
from runner.transports.leased_stream import Stream
from runner.wire import Kind, Message


@dataclass(frozen=True, slots=True)
class Measures:
    """What a writer must know of the queue that it writes to. Pickles while multiprocessing spawns a process."""

    shard_by: str | None
    shards: int
    max_bytes: int | None
    bundle_items: int
    """Items that it may send at once."""
    bundle_bytes: int = FRAME_BYTES
    """Bytes that it may send at once, but for a single item."""
    in_order: bool = False
    """The writer's stage keeps the order of what it reads."""


class MeasuredOutbox(FrameOutbox):
    """Gathers items, sorts them by shard, and waits for the answer to each bundle."""

    def __init__(self, stream: Stream, measures: Measures, *, stops: bool, freight: Freight) -> None:
        self._measures = measures
        self._shard_of = _shard_of(measures)
        self._pieces: list[Piece] = []
        self._gathered = self._left = 0
        """Bytes that were ever gathered, by the main thread, and that were sent, by whoever holds the lock."""
        super().__init__(stream, stops=stops, asks=True, freight=freight)

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room.

        Raises:
            queue.Full: there is none, and the caller does not wait.
            Stopping: the run is being stopped; in a producer.
            ItemTooBig: it is bigger than the queue can ever hold. A ValueError.
            ShardKeyError: it has no key to be sharded by.
            RuntimeError: the stage keeps the order of its items, and nobody can tell which one this was made from.
        """
        if self._measures.in_order:
            raise RuntimeError(
                "`order: keep` needs a handler that returns or yields what it makes of an item"
            )
        super().put(item, block, timeout)

    def _look(self, yes: bool) -> None:
        self.looks = True
        self.add = self._add_measured
        self.output = self._output_measured

    def _add_measured(self, item: object) -> None:
        self._gather(item)
        self._added(len(self._pieces))

    def _output_measured(self, item: object) -> None:
        self._gather(item)
        self._outputs += 1
        upto, partial, _ = self._progress
        self._progress = (upto, partial + 1, self._outputs)
        if self._count() >= self.room:
            self.send_full()

    def _gather(self, item: object) -> None:
        shard = self._shard_of(item)  # first: an item without a key must not take room in the arena
        entry = self._pack(item)
        weight = weight_of(entry)
        assert self._freight is not None
        self._freight.check_bound(weight)
        if self._gathered - self._left + weight > self._measures.bundle_bytes:
            self.flush()
        self._gathered += weight
        self._pieces.append(Piece(entry, shard, weight))

    def _count(self) -> int:
        return len(self._pieces)

    def _send(self, nanos: int = 0) -> int:
        """Send one bundle; the lock is held. Appending goes on meanwhile, so only what was counted is removed."""
        upto, partial, outputs = self._progress
        count = outputs - self._outputs_sent if self._lease else len(self._pieces)
        if not count:
            return 0
        pieces = self._pieces[:count]
        del self._pieces[:count]
        kind = Kind.PUT
        if self._freight is not None and self._freight.laden:
            kind, _ = self._freight.seal([piece.entry for piece in pieces])
        body = bundle(pieces)
        self._left += sum(piece.weight for piece in pieces)
        self._outputs_sent = outputs
        self._bytes = len(body)
        self._sends += 1
        self._words[Word.SENT] += count
        self._stream.wire.send(Message(kind, count, upto, partial, self._lease, nanos, body))
        return count

    def _observe(self, sent: int) -> None:
        """As for any frame; but a bundle that was sent early, by the flusher, does not make the next one small."""
        known, took = self._fitting, max(time.perf_counter() - self._began, 1e-6)
        super()._observe(sent)
        self._fitting = max(self._fitting, min(known, int(sent * FILL_SECONDS / took)))

    def _size(self) -> None:
        self._began = time.perf_counter()  # the wait for the answer says nothing of how quickly items come
        super()._size()

    def _most(self) -> int:
        return min(self._fitting, self._measures.bundle_items)

    def _may_flush(self) -> bool:
        return True


def _shard_of(measures: Measures) -> Callable[[object], int]:
    return (lambda _: 0) if measures.shard_by is None else sharder(measures.shard_by, measures.shards)

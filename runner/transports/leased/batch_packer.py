"""What a writer gathers for a queue that must know more of its items than their number: their shards, their bytes.

    small, and nothing can change it ──► in company: one pickle for each shard     its bytes are those of the frame
    any other item ────────────────────► alone: a pickle or a handle for each      its bytes are its own

As soon as one item of a batch goes alone all of it do, so that their order is theirs. Where the queue is bounded by
bytes, only what surely is small goes in company: an item that never fits has to fail at its put.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

from runner.facts import dataclass
from runner.handlers.kinds import unrouted_here
from runner.ipc.frames import (
    ATOMS,
    NUMBERS,
    TEXTS,
    ShardedEntry,
    is_safe,
    item_size,
    pack_batch,
    pack_safe_batch,
    pickle_alone,
)
from runner.ipc.shm.handles import BIG
from runner.ipc.stream import PutMessage
from runner.ledger.sharding import Sharding
from runner.transports.leased.big_items import BigItemWriter

if TYPE_CHECKING:
    from runner.transports.leased.samples import ItemSampler

FRAME_BYTES = 1 << 16
"""About how long a frame of several items may be. One that is handed out in parts goes whole with each."""
_WIDEST = 4
"""Bytes of one character, at the most."""
_ROOMY = 1 << 20
"""A bound in bytes from which on a number is small beside it, unless it is one of millions of digits."""
_WHOLE = 1 << 256
"""Whole numbers below this are small."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """What a writer must know of the queue that it writes to. Pickles while multiprocessing spawns a process."""

    shard_by: str | None
    shards: int
    max_bytes: int | None
    batch_items: int
    """Items that it may send at once."""
    batch_bytes: int = FRAME_BYTES
    """Bytes that it may send at once, but for a single item, and for small ones that nobody has looked at."""
    in_order: bool = False
    """The writer's stage keeps the order of what it reads."""
    share_bytes: int = 0
    """Where bytes are bounded: those that a batch may have without filling the queue."""

    @property
    def sharding(self) -> Sharding | None:
        """How items are shared out; None where all go to one shard."""
        return None if self.shard_by is None else Sharding(self.shard_by, self.shards)


@dataclass(frozen=True, slots=True)
class QuickKinds:
    """Which items need no look but at their types, and lengths: they are gathered by whoever has them, in a list."""

    numbers: frozenset[type] = NUMBERS
    text: int = BIG
    """Texts are shorter than this."""
    whole: int = 0
    """Whole numbers are smaller than this, where they are not among `numbers`."""
    flat: type | None = tuple
    """None, or tuples of numbers and texts."""

    @classmethod
    def of(cls, policy: BatchPolicy) -> QuickKinds:
        """Return which items for such a queue are so."""
        sharding, most = policy.sharding, policy.max_bytes
        if (sharding is not None and not sharding.by_item) or (most is not None and most < _ROOMY):
            return cls(frozenset(), 0, 0, None)
        text = BIG if most is None else min(BIG, policy.share_bytes // policy.batch_items // _WIDEST)
        if sharding is None and most is None:
            return cls()
        # What is complex is no key, and a number of thousands of digits neither.
        return cls(NUMBERS - {complex, int}, text, _WHOLE, None)

    def take(self, item: object) -> bool:
        """Whether this item is of them."""
        kind = type(item)
        return (
            kind in self.numbers
            or (kind in TEXTS and len(item) < self.text)  # type: ignore[arg-type]
            or (kind is self.flat and ATOMS.issuperset(map(type, item)))  # type: ignore[call-overload]
            or (kind is int and -self.whole < item < self.whole)  # type: ignore[operator]
        )

    def take_all(self, items: Sequence[object]) -> bool:
        """Whether all of these are, numbers and texts as they come in blocks."""
        return (self.text == BIG and self.numbers >= NUMBERS) or all(map(self.take, items))


class BatchPacker:
    """Gathers items for batches."""

    def __init__(
        self,
        policy: BatchPolicy,
        big_items: BigItemWriter,
        lock: threading.Lock,
        send: Callable[[], object],
        wait_for_slot: Callable[[], object],
    ) -> None:
        """
        `lock` is held by whoever takes a batch, maybe in another thread. `send` sends what has gathered;
        `wait_for_slot` is called while the arena has no room for a big item.
        """
        self.quick = QuickKinds.of(policy)
        self._counts_bytes = policy.max_bytes is not None
        self._most_bytes = policy.batch_bytes
        self._sharding = policy.sharding
        self._big_items = big_items
        self._lock = lock
        self._send = send
        self._wait_for_slot = wait_for_slot
        self._safe: list[object] = []
        self._entries: list[ShardedEntry] = []
        """At any time only one of the two holds anything."""
        self._inspects = True
        """Whether each item that goes alone is looked at for its size before it is pickled."""
        self.sampler: ItemSampler | None = None
        self._gathered = self._left = 0
        """Bytes of what goes alone: gathered by the main thread, and sent by whoever holds the lock."""
        self.taken_bytes = 0
        """How long the last batch was."""

    def __len__(self) -> int:
        return len(self._safe) or len(self._entries)

    @property
    def looks(self) -> bool:
        """Whether each item has to come by `add`: since some before it go alone."""
        return bool(self._entries)

    def add(self, item: object) -> int:
        """Gather one item; return how many there are now. Raises as a frame's packer does, and `ShardKeyError`."""
        # First: an item without a key must not take room in the arena.
        item = unrouted_here(item)
        shard = 0 if self._sharding is None else self._sharding.shard_of(item)
        if not self._entries and self._goes_in_company(item):
            self._safe.append(item)
            return len(self._safe)
        data = self._pickle(item)
        size = item_size(data)
        self._big_items.check_bound(size)
        if self._safe:
            self._part_company()
        if self._gathered - self._left + size > self._most_bytes:
            self._send()
        if self.sampler is not None and size > len(data) and not self._entries:
            self.sampler.note_big(item)
        self._gathered += size
        self._entries.append(ShardedEntry(data, shard, size))
        return len(self._entries)

    def open_safe(self) -> list[object]:
        """Return the list to which quick items may be appended directly, while `looks` is false."""
        return self._safe

    def entry(self, index: int) -> bytes:
        """Return the pickle of an item, or its handle, by how many are older."""
        return pickle_alone(self._safe[index]) if self._safe else self._entries[index].data

    def queues_of(self, index: int) -> tuple[str, ...]:
        """All go to the only queue."""
        return ()

    def take(self, count: int, *, may_store: bool) -> tuple[type[PutMessage], bytes]:
        """Make a batch of the oldest `count` items. Appending goes on meanwhile, so only these are removed. It travels
        itself."""
        kind, body = self._pack_safe(count) if self._safe else self._pack_entries(count)
        self.taken_bytes = len(body)
        return kind, body

    def _pack_safe(self, count: int) -> tuple[type[PutMessage], bytes]:
        items = self._safe[:count]
        del self._safe[:count]
        by_shard = {0: items} if self._sharding is None else self._sharding.split(items)
        return PutMessage, pack_safe_batch(by_shard)

    def _pack_entries(self, count: int) -> tuple[type[PutMessage], bytes]:
        entries = self._entries[:count]
        del self._entries[:count]
        kind: type[PutMessage] = PutMessage
        if self._big_items.has_unsent:
            kind, _ = self._big_items.pack_frame([entry.data for entry in entries])
        self._left += sum(entry.size for entry in entries)
        return kind, pack_batch(entries)

    def _goes_in_company(self, item: object) -> bool:
        return self.quick.take(item) or (not self._counts_bytes and is_safe(item))

    def _part_company(self) -> None:
        """From now on all that has gathered goes alone. Nobody else takes of it meanwhile."""
        with self._lock:
            safe = self._safe[:]
            self._safe.clear()
            self._entries += part_company(safe, self._sharding)
            self._gathered += sum(entry.size for entry in self._entries)

    def _pickle(self, item: object) -> bytes:
        """Pickle an item; one that turns out to be big goes by the arena, and those behind it are looked at first."""
        if not self._inspects and type(item) not in TEXTS:
            data = pickle_alone(item)
            if len(data) < BIG:
                return data
            self._big_items.look_again()
            self._inspects = True
        data = self._big_items.pack(item, self._wait_for_slot)
        self._inspects = not self._big_items.seen_enough
        return data


def part_company(items: Sequence[object], sharding: Sharding | None) -> list[ShardedEntry]:
    """Return small items that were to share a pickle as they go alone, each with its own shard and size."""
    pickles = map(pickle_alone, items)
    shards = repeat(0) if sharding is None else map(sharding.shard_of, items)
    return [ShardedEntry(data, shard, len(data)) for data, shard in zip(pickles, shards, strict=False)]

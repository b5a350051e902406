"""A worker's outputs under `leased` where they go to several queues: gathered in one order, sent in one message.

    item ──► Router ──► its queues ──► an entry for each of them ──► one container: for each queue a frame

A container is what a PUT or a commit carries instead of a frame, so that all branches of an item and the
acknowledgement of what it was made from arrive together or not at all. It counts as the items that were made, however
many queues each of them goes to: `partial` and a producer's place count those too. The supervisor answers once all of
it is in (`RoutedOutput`), so a queue that blocks holds back whoever writes to it, with all its branches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from runner.facts import dataclass
from runner.ipc.frames import (
    RoutedFrame,
    ShardedEntry,
    item_size,
    pack_batch,
    pack_mixed,
    pack_routed,
    pack_series,
    pickle_alone,
)
from runner.ipc.shm.handles import is_handle
from runner.ipc.status_page import Wait, Word
from runner.ipc.stream import PutMessage
from runner.spec.routes import RoutePlan
from runner.transports.leased.batch_packer import BatchPolicy
from runner.transports.leased.big_items import BigItemWriter, WriterRegion
from runner.transports.leased.commits import ArenaFullError, check_closing
from runner.transports.leased.samples import ItemSampler
from runner.transports.leased.session import WorkerSession
from runner.transports.routing import Router

_MOST_ITEMS = 1 << 12
_ROOM = 2
"""A container may fill one part in so many of the smallest queue."""


@dataclass(frozen=True, slots=True)
class BranchEnd:
    """What a worker must know of one of its queues. Pickles while multiprocessing spawns a process."""

    region: WriterRegion
    policy: BatchPolicy | None
    maxsize: int | None

    @property
    def at_once(self) -> int:
        """Items that may be sent at once."""
        if self.policy is not None:
            return self.policy.batch_items
        return _MOST_ITEMS if self.maxsize is None else min(_MOST_ITEMS, max(1, self.maxsize // _ROOM))


class _Branch:
    """One of the queues, in the worker."""

    def __init__(self, end: BranchEnd, session: WorkerSession) -> None:
        self.big_items = BigItemWriter(end.region, session)
        self.is_plain = end.policy is None
        self._sharding = None if end.policy is None else end.policy.sharding

    def shard(self, item: object) -> int:
        return 0 if self._sharding is None else self._sharding.shard_of(item)

    def frame(self, entries: Sequence[ShardedEntry]) -> tuple[bool, bytes]:
        """Return whether what lies in shared memory leaves with these, and their frame; those of a shard in a row."""
        pickles = [entry.data for entry in entries]
        is_big = self.big_items.mark_sent(pickles)
        if not self.is_plain:
            return is_big, pack_batch(entries)
        return is_big, pack_mixed(pickles) if is_big else pack_series(pickles)


_Made = tuple[tuple[int, ShardedEntry, int], ...]
"""What leaves of one item: for each of its queues, by number, its entry, and its key where that matters."""


class RoutedOutputs:
    """Gathers items for their queues. What it needs of these is made once in a worker."""

    looks = True
    """Each item is looked at."""

    def __init__(
        self, routes: Sequence[RoutePlan], ends: Sequence[BranchEnd], session: WorkerSession
    ) -> None:
        self._router = Router(routes)
        self._branches = [_Branch(end, session) for end in ends]
        self._session = session
        self._made: list[_Made] = []
        self.at_once = min(end.at_once for end in ends)
        """Items that may be sent at once."""
        self.size = self.taken_bytes = 0
        """About how many bytes there are, and how long the last container was."""
        self.sampler: ItemSampler | None = None
        self.wait_for_slot: Callable[[], object] | None = None
        """Called while there is no room for a big item; else it is waited for what was sent to come to an end."""

    def __len__(self) -> int:
        return len(self._made)

    def add(self, item: object) -> int:
        """
        Gather one item; return how many there are now.

        Raises for one that no queue takes, that breaks the schema of one, can't be pickled, or never fits.
        """
        item, targets = self._router.route(item)
        shards = [
            self._branches[number].shard(item) for number in targets
        ]  # before it takes room in an arena
        keys = [self._router.key(number, item) for number in targets]
        made: list[tuple[int, ShardedEntry, int]] = []
        shared: bytes | None = None
        try:
            for number, shard, key in zip(targets, shards, keys, strict=True):
                data = self._pack(self._branches[number], item) if shared is None else shared
                made.append((number, ShardedEntry(data, shard, size := item_size(data)), key))
                self._branches[number].big_items.check_bound(size)
                shared = None if is_handle(data) else data  # what lies in an arena lies in that of one queue
        except BaseException:
            self._forget([tuple(made)])
            raise
        if self.sampler is not None and shared is None and not self._made:
            self.sampler.note_big(item)
        self._made.append(tuple(made))
        self.size += sum(len(entry.data) for _, entry, _ in made)
        return len(self._made)

    def entry(self, index: int) -> bytes:
        """Return the pickle of an item, or its handle, by how many are older."""
        return self._made[index][0][1].data

    def queues_of(self, index: int) -> tuple[str, ...]:
        """Name the queues that an item goes to."""
        return tuple(self._router.queues[number] for number, _, _ in self._made[index])

    def take(self, count: int, *, may_store: bool = False) -> tuple[type[PutMessage], bytes]:
        """Make a container of the oldest `count` items. Appending goes on meanwhile, so only these are removed. It
        travels itself."""
        made = self._made[:count]
        del self._made[:count]
        self.size -= sum(len(entry.data) for each in made for _, entry, _ in each)
        body = pack_routed(self._frames(made))
        self.taken_bytes = len(body)
        return PutMessage, body

    def pack(self) -> tuple[int, bool, bytes]:
        """The same of all of them: how many items, that it has no handles of its own, and the container."""
        count = len(self._made)
        if self._session.status.words[Word.SHOW_MADE]:
            self._session.show_made(self, count)
        return count, False, self.take(count)[1]

    def truncate(self, count: int) -> None:
        """Forget all but the first `count`."""
        self._forget(self._made[count:])
        del self._made[count:]

    def discard(self) -> None:
        """Forget what was gathered: whatever made it is tried again."""
        self.truncate(0)
        self.size = 0

    def _forget(self, made: Sequence[_Made]) -> None:
        for each in made:
            for number, entry, _ in each:
                self._branches[number].big_items.discard([entry.data])

    def _frames(self, made: Sequence[_Made]) -> list[RoutedFrame]:
        """Each queue's frame; those that get the very same share one."""
        shared: dict[tuple[int, ...], int] = {}
        frames: list[RoutedFrame] = []
        for number, branch in enumerate(self._branches):
            its = [(entry, bits) for each in made for at, entry, bits in each if at == number]
            if not its:
                continue
            its.sort(key=lambda each: each[0].shard)
            entries, keys = [entry for entry, _ in its], [bits for _, bits in its]
            known_by_key = any(keys)
            alike = branch.is_plain and not known_by_key
            key = tuple(id(entry.data) for entry in entries) if alike else (-number,)
            if key in shared:
                known = frames[shared[key]]
                frames[shared[key]] = known.for_branch(number)
                continue
            is_big, frame = branch.frame(entries)
            if not is_big:
                shared[key] = len(frames)
            packed = struct.pack(f"<{len(keys)}Q", *keys) if known_by_key else b""
            frames.append(RoutedFrame((number,), len(entries), is_big, frame, packed))
        return frames

    def _pack(self, branch: _Branch, item: object) -> bytes:
        try:
            return branch.big_items.pack(item, lambda: self._wait_for_slot(branch))
        except ArenaFullError:
            # It travels like a small one: what fills the arena can't leave before it.
            return pickle_alone(item)

    def _wait_for_slot(self, branch: _Branch) -> None:
        """The arena is full: wait until a frame of it has come to an end. Raises where none ever will."""
        if self.wait_for_slot is not None:
            self.wait_for_slot()
            return
        if not branch.big_items.has_in_flight:
            raise ArenaFullError
        check_closing(self._session)
        self._session.blocked(Wait.ROOM, self._session.wait)

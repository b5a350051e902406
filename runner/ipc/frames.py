"""Frames, some items pickled together, and batches, the frames of several shards in one message.

The supervisor passes frames on unopened; only workers pack and unpack them.

    SAFE items (numbers, short text, None, flat tuples)    one pickle of the list         b"L" + pickle
    the same, where the first is a tuple or bytes          the list by marshal            b"T" + marshal
    any other item                                         pickled alone, when it is put  b"S" + lengths + pickles
    where one of these lies in shared memory               its handle instead of it       b"M" + lengths + entries
    where all of it does                                   the handle of the frame        b"M" + length + handle

An item that can change is pickled before the handler goes on: it may change it next, or yield the same object again.
Items that can't change may wait for company and share one pickle, which is what makes small items cheap.

A batch is what a writer puts at once to a partitioned queue, which must know more of its items than their number:

    count of parts │ shard, items, bytes, length of each part │ the frame of each part

One message, however many shards: outputs and the acknowledgement of what they were made from stay together. Within a
part items are in the order in which they were put; between shards there is no order to keep.

A container is what a writer puts at once to several queues: for each a frame, or a batch where it is partitioned, and
one for all those that get the very same.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from runner.errors import MprunError, WorkerSignal
from runner.facts import dataclass
from runner.ipc.shm.handles import BIG, BufferHandle, frame_handle, is_handle

NUMBERS: frozenset[type] = frozenset({int, float, complex, bool, type(None)})
TEXTS: frozenset[type] = frozenset({str, bytes})
ATOMS = NUMBERS | TEXTS
"""Types without parts and without state. Exact types: a subclass may carry anything."""
_BY_MARSHAL: frozenset[type] = frozenset({tuple, bytes})

_LIST, _MARSHALLED, _SERIES, MIXED = b"L", b"T", b"S", b"M"
_MARSHAL_VERSION = 4
"""What every Python that can run this reads."""
_PROTOCOL = pickle.HIGHEST_PROTOCOL
_TOGETHER = (_LIST, _MARSHALLED)
_ONE = 9
"""Where the entry of a frame with a single one begins."""
_STORED = frame_handle(0, 0)[:2]
"""How the handle of a frame begins."""
_FORM = _ONE + len(_STORED)

Fetch = Callable[[memoryview], object]
"""Makes an item of its entry."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a replay yields for an item whose first `outputs` outputs are in the next queue: these are left out."""

    item: object
    outputs: int


def is_safe(item: object) -> bool:
    """Whether an item can wait to be pickled in company: nothing can change it meanwhile, and it is not big itself."""
    kind = type(item)
    if kind in TEXTS:
        return len(item) < BIG  # type: ignore[arg-type]
    return kind in NUMBERS or (kind is tuple and ATOMS.issuperset(map(type, item)))  # type: ignore[call-overload]


def pack_safe(items: Sequence[object]) -> bytes:
    """Write items that are all safe, together.

    For tuples and bytes by marshal, which knows the few types that there may be: of tuples it needs a third of the time
    that pickle does, which notes each. For the others there is no difference.
    """
    if type(items[0]) in _BY_MARSHAL:
        return _MARSHALLED + marshal.dumps(items, _MARSHAL_VERSION)  # type: ignore[arg-type]
    return _LIST + pickle.dumps(items, _PROTOCOL)


def pickle_alone(item: object) -> bytes:
    """Pickle one item. Raises whatever pickling it raises."""
    return pickle.dumps(item, _PROTOCOL)


def pack_series(pickles: Sequence[bytes]) -> bytes:
    """Put items that were pickled alone into one frame, with a table of their lengths in front."""
    return b"".join((_SERIES, struct.pack(f"<I{len(pickles)}I", len(pickles), *map(len, pickles)), *pickles))


def pack_mixed(entries: Sequence[bytes]) -> bytes:
    """Put pickles and handles (handles.py) into one frame."""
    return MIXED + pack_series(entries)[1:]


def stored_frame(payload: bytes | memoryview) -> BufferHandle | None:
    """Return the handle of a frame that lies elsewhere as a whole; None for one that is here."""
    if payload[:1] != MIXED or payload[_ONE:_FORM] != _STORED:
        return None
    return BufferHandle.decode(payload[_ONE:])


def size_in_record(payload: bytes | memoryview) -> int:
    """Return the bytes of a frame, wherever it lies, without its big items."""
    handle = stored_frame(payload)
    return len(payload) if handle is None else handle.span


def unpack(
    payload: bytes | memoryview, start: int, stop: int, fetch: Fetch | None = None
) -> Iterator[object]:
    """Return items `start` to `stop` of a frame, unpickled as they are asked for; `fetch` makes an item of a handle.

    A frame that lies elsewhere is fetched before.

    The iterator raises `UnpackError` for an item that can't be unpickled, and goes on with the next one after that.
    """
    if (kind := payload[:1]) == _LIST:
        return iter(pickle.loads(memoryview(payload)[1:])[start:stop])
    if kind == _MARSHALLED:
        return iter(marshal.loads(memoryview(payload)[1:])[start:stop])
    if payload[:1] == MIXED and fetch is not None:
        return _Series(payload, start, stop, _load_or(fetch))
    return _Series(payload, start, stop)


def shares_pickle(payload: bytes | memoryview) -> bool:
    """Whether the items of a frame can only be told apart by unpickling it."""
    return payload[:1] in _TOGETHER


def cut(payload: bytes, index: int) -> tuple[bytes, int]:
    """Return the smallest frame with item `index` that can be had without unpickling, and where in it that is. A frame
    that lies elsewhere is fetched before."""
    return (payload, index) if shares_pickle(payload) else (pack_series([entry(payload, index)]), 0)


def entry(payload: bytes, index: int) -> bytes:
    """Return the pickle of item `index`, or its handle, of a frame whose items have one each."""
    (count,) = struct.unpack_from("<I", payload, 1)
    lengths = struct.unpack_from(f"<{count}I", payload, 5)
    begin = 5 + 4 * count + sum(lengths[:index])
    return payload[begin : begin + lengths[index]]


def handles_in(payload: bytes | memoryview) -> Iterator[BufferHandle]:
    """Yield the handles in a frame, in order."""
    if payload[:1] == MIXED:
        yield from (BufferHandle.decode(each) for each in _entries(payload) if is_handle(each))


def with_handles_moved(payload: bytes, places: Iterable[int]) -> bytes:
    """Return the same frame whose handles say that what they stand for lies elsewhere."""
    at = iter(places)
    return pack_mixed(
        [
            replace(BufferHandle.decode(e), at=next(at)).encode() if is_handle(e) else e
            for e in _entries(payload)
        ]
    )


def _entries(payload: bytes | memoryview) -> list[bytes]:
    (count,) = struct.unpack_from("<I", payload, 1)
    ends = list(accumulate(struct.unpack_from(f"<{count}I", payload, 5), initial=5 + 4 * count))
    return [bytes(payload[begin:end]) for begin, end in pairwise(ends)]


def sizes_of(payload: bytes | memoryview, start: int, stop: int) -> list[int]:
    """Return the bytes of items `start` to `stop` of a frame, as they are pickled, wherever they lie."""
    if shares_pickle(payload):
        return [len(pickle_alone(item)) for item in unpack(payload, start, stop)]
    (count,) = struct.unpack_from("<I", payload, 1)
    lengths = struct.unpack_from(f"<{count}I", payload, 5)
    if payload[:1] == _SERIES:
        return list(lengths[start:stop])
    ends = list(accumulate(lengths, initial=5 + 4 * count))
    return [item_size(payload[ends[index] : ends[index + 1]]) for index in range(start, stop)]


class UnpackError(MprunError):
    """An item can't be unpickled here; the cause says why."""


class Unreadable:
    """Stands for an item that could not be unpickled."""

    def __repr__(self) -> str:
        return "<an item that can't be unpickled>"


def load_item(pickled: bytes | memoryview, load: Callable[[Any], object] = pickle.loads) -> object:
    """Return the item of one pickle. Raises `UnpackError`."""
    try:
        return load(pickled)
    except (WorkerSignal, KeyboardInterrupt):
        raise
    except BaseException as error:  # `__setstate__` is the user's code, and may call sys.exit
        raise UnpackError("the item can't be unpickled in this worker") from error


class _Series:
    """Items that were pickled alone. A class, since a generator would end at the first that fails."""

    def __init__(
        self, payload: bytes | memoryview, start: int, stop: int, load: Fetch = pickle.loads
    ) -> None:
        (count,) = struct.unpack_from("<I", payload, 1)
        lengths = struct.unpack_from(f"<{count}I", payload, 5)
        self._view = memoryview(payload)
        self._at = 5 + 4 * count + sum(lengths[:start])
        self._lengths = iter(lengths[start:stop])
        self._load = load

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        begin = self._at
        self._at += next(self._lengths)
        return load_item(self._view[begin : self._at], self._load)


def _load_or(fetch: Fetch) -> Fetch:
    return lambda entry: fetch(entry) if is_handle(entry) else pickle.loads(entry)


_COUNT = struct.Struct("<I")
_PART = struct.Struct("<IIQI")


class ShardedEntry(NamedTuple):
    """One item, pickled or as a handle, and what there is to know of it. A tuple: one is made for each item."""

    data: bytes
    shard: int
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Items of one shard, in one frame."""

    shard: int
    count: int
    size: int
    """Bytes of the items, those in the arena included."""
    frame: bytes


def item_size(entry: bytes | memoryview) -> int:
    """The bytes of an item, wherever they lie."""
    return len(entry) + (BufferHandle.decode(entry).span if is_handle(entry) else 0)


def pack_batch(entries: Sequence[ShardedEntry]) -> bytes:
    """Pack items, shard by shard."""
    by_shard: dict[int, list[ShardedEntry]] = {}
    for entry in entries:
        by_shard.setdefault(entry.shard, []).append(entry)
    return _pack_parts(
        [
            Part(shard, len(those), sum(e.size for e in those), _frame([e.data for e in those]))
            for shard, those in by_shard.items()
        ]
    )


def pack_safe_batch(by_shard: Mapping[int, Sequence[object]]) -> bytes:
    """Pack items that are all safe, shard by shard. Their bytes are those of their frame."""
    return _pack_parts([_safe_part(shard, those) for shard, those in by_shard.items() if those])


def _safe_part(shard: int, items: Sequence[object]) -> Part:
    frame = pack_safe(items)
    return Part(shard, len(items), len(frame), frame)


def _pack_parts(parts: Sequence[Part]) -> bytes:
    heads = [_PART.pack(part.shard, part.count, part.size, len(part.frame)) for part in parts]
    return b"".join((_COUNT.pack(len(parts)), *heads, *(part.frame for part in parts)))


def unpack_batch(body: bytes | memoryview) -> Iterator[Part]:
    """Take a batch apart; the frames stay as they are."""
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size + count * _PART.size
    for number in range(count):
        shard, items, size, length = _PART.unpack_from(body, _COUNT.size + number * _PART.size)
        yield Part(shard, items, size, bytes(body[at : at + length]))
        at += length


_ROUTED = struct.Struct("<QIIQI")


@dataclass(frozen=True, slots=True)
class RoutedFrame:
    """What some of a writer's queues, by number, get of what it puts at once."""

    branches: tuple[int, ...]
    count: int
    is_big: bool
    """Whether some of it lies in shared memory."""
    frame: bytes
    keys: bytes = b""
    """Where the queue takes each key once: those of its items, eight bytes each, in the order of the frame."""

    def for_branch(self, number: int) -> RoutedFrame:
        """The same for one queue more."""
        return replace(self, branches=(*self.branches, number))


def pack_routed(frames: Sequence[RoutedFrame]) -> bytes:
    """Put frames for several queues, fewer than 64, into one body."""
    heads = [
        _ROUTED.pack(sum(1 << number for number in f.branches), f.count, f.is_big, len(f.frame), len(f.keys))
        for f in frames
    ]
    return b"".join(
        (_COUNT.pack(len(frames)), *heads, *(part for each in frames for part in (each.frame, each.keys)))
    )


def unpack_routed(body: bytes | memoryview) -> list[RoutedFrame]:
    """Take that apart; the frames stay as they are."""
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size + count * _ROUTED.size
    frames = []
    for number in range(count):
        mask, items, is_big, length, keys = _ROUTED.unpack_from(body, _COUNT.size + number * _ROUTED.size)
        branches = tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
        behind = at + length
        parts = bytes(body[at:behind]), bytes(body[behind : behind + keys])
        frames.append(RoutedFrame(branches, items, bool(is_big), *parts))
        at = behind + keys
    return frames


def keep_some(frame: bytes, kept: Sequence[bool], *, in_batch: bool) -> bytes:
    """Return a frame, or a batch, with those of its items alone that are `kept`, in order. Opens none."""
    flags = iter(kept)
    if not in_batch:
        return _frame([entry for entry in _entries(frame) if next(flags)])
    return pack_batch(
        [
            ShardedEntry(entry, part.shard, item_size(entry))
            for part in unpack_batch(frame)
            for entry in _entries(part.frame)
            if next(flags)
        ]
    )


def _frame(entries: Sequence[bytes]) -> bytes:
    return pack_mixed(entries) if any(map(is_handle, entries)) else pack_series(entries)

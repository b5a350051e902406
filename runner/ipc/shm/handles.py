"""Buffer handles, which travel in place of big items that lie in the arena, and the way of such an item into a file.

    item ──► Packed: the pickle, and the buffers of 64 KiB and more that were left out of it
                 │ copied into a slot of the arena
                 └──► BufferHandle (some hundred bytes) ──► frame ──► BufferHandle, and what is in the slot ──► item

Buffers leave the pickle by its protocol 5, as arrays do. `bytes` can't, so those that are an item, or stand in a tuple,
list or dict that is one, are taken out here. What is big in another way, such as a long text, is a long pickle, and
that goes into the slot as well.

A `Spill` copies the bytes of a big item from shared memory into a file, a bounded step at a time:

    arena ── a few MiB a step ──► file                  between two steps its caller does what else is due

An item of any size costs its caller the memory of one step, and the longest that a step can hold it up is what the
disk needs for a few MiB.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

from runner.facts import dataclass

BIG = 64 * 1024
"""Bytes from which on a buffer does not travel with its frame."""
MARK = b"D"
"""How a handle begins. No pickle does."""
_HEAD = struct.Struct("<cBHxxxxQ")
_FRAME = struct.Struct(_HEAD.format + "Q")
_ALIGN = 64
_PROTOCOL = pickle.HIGHEST_PROTOCOL


class Form(IntEnum):
    """How an item is put together again."""

    BYTES = 1
    BYTEARRAY = 2
    PICKLE = 3
    """The pickle is in the handle, its buffers are in the slot."""
    LONG_PICKLE = 4
    """The first buffer is the pickle."""
    FRAME = 5
    """The one buffer is a frame (frames.py), which the handle stands for among frames as others do among items."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A big item taken apart. The buffers are those of the item itself: they must be copied before it may change."""

    form: Form
    buffers: tuple[memoryview, ...]
    lengths: tuple[int, ...]
    """The bytes of each buffer."""
    pickle: bytes = b""

    @classmethod
    def of(cls, form: Form, *buffers: memoryview, data: bytes = b"") -> Packed:
        """Measure the buffers."""
        return cls(form, buffers, tuple(map(len, buffers)), data)

    def handle(self, at: int) -> bytes:
        """Write the handle of the item, if its buffers are copied to the slot that begins at `at`."""
        return BufferHandle(self.form, at, self.lengths, self.pickle).encode()


@dataclass(frozen=True, slots=True)
class BufferHandle:
    """Where an item lies, and how it is put together again."""

    form: Form
    at: int
    lengths: tuple[int, ...]
    pickle: bytes | memoryview = b""

    def encode(self) -> bytes:
        """The handle as it travels."""
        count = len(self.lengths)
        return b"".join(
            (
                _HEAD.pack(MARK, self.form, count, self.at),
                struct.pack(f"<{count}Q", *self.lengths),
                self.pickle,
            )
        )

    @classmethod
    def decode(cls, entry: bytes | memoryview) -> BufferHandle:
        """Read what `encode` wrote."""
        _, form, count, at = _HEAD.unpack_from(entry)
        lengths = struct.unpack_from(f"<{count}Q", entry, _HEAD.size)
        return cls(Form(form), at, lengths, memoryview(entry)[_HEAD.size + 8 * count :])

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Where each buffer begins, counted from the slot's beginning, and how long it is."""
        return list(zip(offsets(self.lengths), self.lengths, strict=True))

    @property
    def span(self) -> int:
        """How many bytes of the slot are in use."""
        return extent(self.lengths)


def frame_handle(at: int, length: int) -> bytes:
    """Write the handle of a frame of so many bytes, if it is copied to the slot that begins at `at`."""
    return _FRAME.pack(MARK, Form.FRAME, 1, at, length)


def is_handle(entry: bytes | memoryview) -> bool:
    """Whether an entry of a frame stands for an item that lies elsewhere."""
    return entry[:1] == MARK


def offsets(lengths: Sequence[int]) -> list[int]:
    """Where in a slot each buffer begins: processors like arrays that are aligned."""
    begins, at = [], 0
    for length in lengths:
        begins.append(at)
        at += -(-length // _ALIGN) * _ALIGN
    return begins


def extent(lengths: Sequence[int]) -> int:
    """How many bytes buffers of these lengths take in a slot."""
    return offsets((*lengths, 0))[-1]


def pack(item: object) -> bytes | Packed:
    """Pickle one item; one that is big is taken apart instead. Raises whatever pickling it raises."""
    kind = type(item)
    if (kind is bytes or kind is bytearray) and len(item) >= BIG:  # type: ignore[arg-type]
        return Packed.of(Form.BYTES if kind is bytes else Form.BYTEARRAY, memoryview(item))  # type: ignore[arg-type]
    buffers: list[memoryview] = []
    data = pickle.dumps(_outboard(item), _PROTOCOL, buffer_callback=_taker(buffers))
    if len(data) >= BIG or len(buffers) > 0xFFFE:
        return Packed.of(Form.LONG_PICKLE, memoryview(data), *buffers)
    return Packed.of(Form.PICKLE, *buffers, data=data) if buffers else data


def rebuild(handle: BufferHandle, buffers: Sequence[bytes | bytearray | memoryview]) -> object:
    """Put an item together again. What it keeps of the buffers it keeps as they are: they are not copied."""
    match handle.form:
        case Form.BYTES:
            return bytes(buffers[0])
        case Form.BYTEARRAY:
            return bytearray(buffers[0])
        case Form.PICKLE:
            return pickle.loads(handle.pickle, buffers=buffers)
        case Form.LONG_PICKLE:
            return pickle.loads(buffers[0], buffers=buffers[1:])
        case Form.FRAME:
            raise ValueError("a frame is no item")


@dataclass(frozen=True, slots=True)
class _Outboard:
    """Stands for `bytes` within an item while it is pickled: they leave the pickle and come back as `bytes`."""

    data: bytes

    def __reduce_ex__(self, protocol: object) -> tuple[type[bytes], tuple[pickle.PickleBuffer]]:
        return bytes, (pickle.PickleBuffer(self.data),)


def _outboard(item: object) -> object:
    """The item, or one to be pickled in its place if it is a plain container with big `bytes` right in it."""
    if type(item) is dict and any(map(_is_big_bytes, item.values())):
        return {key: _Outboard(value) if _is_big_bytes(value) else value for key, value in item.items()}
    if (type(item) is tuple or type(item) is list) and any(map(_is_big_bytes, item)):
        return type(item)(_Outboard(value) if _is_big_bytes(value) else value for value in item)
    return item


def _is_big_bytes(value: object) -> bool:
    return type(value) is bytes and len(value) >= BIG


def _taker(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Make what pickle asks of each buffer: True leaves it in the pickle."""

    def stays(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if len(raw) < BIG:
            return True
        buffers.append(raw)
        return False

    return stays


_STEP = 8 << 20


@dataclass(frozen=True, slots=True)
class SharedBytes:
    """Where the bytes of a big item lie. They stay there as long as somebody has `held`."""

    descriptor: int
    at: int
    size: int
    held: object


class Spill:
    """One item's bytes on their way into a new file, which only its owner may read."""

    def __init__(self, bulk: SharedBytes, path: Path) -> None:
        """Make the file. Raises OSError."""
        self._bulk: SharedBytes | None = bulk
        self._path = path
        self._done = 0
        self._out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def step(self) -> bool:
        """Copy some more; True once that was the last. Raises OSError, and leaves no half of a file behind."""
        assert self._bulk is not None
        try:
            left = self._bulk.size - self._done
            self._done += self._copy(self._bulk, min(left, _STEP))
        except OSError:
            self._close()
            self._path.unlink(missing_ok=True)
            raise
        if self._done < self._bulk.size:
            return False
        self._close()
        return True

    def _copy(self, bulk: SharedBytes, most: int) -> int:
        # Not sendfile: it refuses (EOVERFLOW) to read from beyond where the file system that is written to would end
        # a file, 16 TiB on ext4, and the arena's second writer begins there.
        return os.write(self._out, os.pread(bulk.descriptor, most, bulk.at + self._done)) if most else 0

    def _close(self) -> None:
        self._bulk = None  # the arena may have its room back
        os.close(self._out)

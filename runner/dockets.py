"""Dockets: what travels in place of a big item, and says where in the arena the item itself lies. Pure.

    item ──► Packed: the pickle, and the buffers of 64 KiB and more that were left out of it
                 │ copied into a slot of the arena
                 └──► Docket (some hundred bytes) ──► frame ──► Docket, and what is in the slot ──► item

Buffers leave the pickle by its protocol 5, as arrays do. `bytes` can't, so those that are an item, or stand in a tuple,
list or dict that is one, are taken out here. What is big in another way, such as a long text, is a long pickle, and
that goes into the slot as well.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

BIG = 64 * 1024
"""Bytes from which on a buffer does not travel with its frame."""
MARK = b"D"
"""How a docket begins. No pickle does."""
_HEAD = struct.Struct("<cBHxxxxQ")
_ALIGN = 64
_PROTOCOL = pickle.HIGHEST_PROTOCOL


class Form(IntEnum):
    """How an item is put together again."""

    BYTES = 1
    BYTEARRAY = 2
    PICKLE = 3
    """The pickle is in the docket, its buffers are in the slot."""
    LONG_PICKLE = 4
    """The first buffer is the pickle."""


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

    def docket(self, at: int) -> bytes:
        """Write the docket of the item, if its buffers are copied to the slot that begins at `at`."""
        return Docket(self.form, at, self.lengths, self.pickle).encode()


@dataclass(frozen=True, slots=True)
class Docket:
    """Where an item lies, and how it is put together again."""

    form: Form
    at: int
    lengths: tuple[int, ...]
    pickle: bytes | memoryview = b""

    def encode(self) -> bytes:
        """The docket as it travels."""
        count = len(self.lengths)
        return b"".join(
            (
                _HEAD.pack(MARK, self.form, count, self.at),
                struct.pack(f"<{count}Q", *self.lengths),
                self.pickle,
            )
        )

    @classmethod
    def decode(cls, entry: bytes | memoryview) -> Docket:
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


def is_docket(entry: bytes | memoryview) -> bool:
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


def rebuild(docket: Docket, buffers: Sequence[bytes | bytearray | memoryview]) -> object:
    """Put an item together again. What it keeps of the buffers it keeps as they are: they are not copied."""
    match docket.form:
        case Form.BYTES:
            return bytes(buffers[0])
        case Form.BYTEARRAY:
            return bytearray(buffers[0])
        case Form.PICKLE:
            return pickle.loads(docket.pickle, buffers=buffers)
        case Form.LONG_PICKLE:
            return pickle.loads(buffers[0], buffers=buffers[1:])


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

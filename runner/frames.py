"""Frames: some items pickled together. The supervisor passes them on unopened; only workers call this.

    SAFE items (numbers, text, bytes, None, flat tuples of these)   one pickle of the list        b"L" + pickle
    any other item                                                  pickled alone, when it is put  b"S" + lengths + pickles

An item that can change is pickled before the handler goes on: it may change it next, or yield the same object again.
Items that can't change may wait for company and share one pickle, which is what makes small items cheap.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence

from runner.errors import MprunError

ATOMS: frozenset[type] = frozenset({int, float, complex, str, bytes, bool, type(None)})
"""Types without parts and without state. Exact types: a subclass may carry anything."""

_LIST, _SERIES = b"L", b"S"
_PROTOCOL = pickle.HIGHEST_PROTOCOL


def is_safe(item: object) -> bool:
    """Whether an item can wait to be pickled: nothing can change it meanwhile."""
    kind = type(item)
    return kind in ATOMS or (kind is tuple and ATOMS.issuperset(map(type, item)))  # type: ignore[call-overload]


def pack_safe(items: Sequence[object]) -> bytes:
    """Pickle items that are all safe, together."""
    return _LIST + pickle.dumps(items, _PROTOCOL)


def pickle_alone(item: object) -> bytes:
    """Pickle one item. Raises whatever pickling it raises."""
    return pickle.dumps(item, _PROTOCOL)


def pack_series(pickles: Sequence[bytes]) -> bytes:
    """Put items that were pickled alone into one frame, with a table of their lengths in front."""
    return b"".join((_SERIES, struct.pack(f"<I{len(pickles)}I", len(pickles), *map(len, pickles)), *pickles))


def unpack(payload: bytes, start: int, stop: int) -> Iterator[object]:
    """Return items `start` to `stop` of a frame, unpickled as they are asked for.

    The iterator raises `UnpackError` for an item that can't be unpickled, and goes on with the next one after that.
    """
    if payload[:1] == _LIST:
        return iter(pickle.loads(memoryview(payload)[1:])[start:stop])
    return _Series(payload, start, stop)


class UnpackError(MprunError):
    """An item can't be unpickled here; the cause says why."""


class _Series:
    """Items that were pickled alone. A class, since a generator would end at the first that fails."""

    def __init__(self, payload: bytes, start: int, stop: int) -> None:
        (count,) = struct.unpack_from("<I", payload, 1)
        lengths = struct.unpack_from(f"<{count}I", payload, 5)
        self._view = memoryview(payload)
        self._at = 5 + 4 * count + sum(lengths[:start])
        self._lengths = iter(lengths[start:stop])

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        begin = self._at
        self._at += next(self._lengths)
        try:
            return pickle.loads(self._view[begin : self._at])
        except Exception as error:
            raise UnpackError("the item can't be unpickled in this worker") from error

"""Frames: some items pickled together. The supervisor passes them on unopened; only workers call this.

    SAFE items (numbers, short text, None, flat tuples)    one pickle of the list         b"L" + pickle
    any other item                                         pickled alone, when it is put  b"S" + lengths + pickles
    where one of these lies in shared memory               its docket instead of it       b"M" + lengths + entries

An item that can change is pickled before the handler goes on: it may change it next, or yield the same object again.
Items that can't change may wait for company and share one pickle, which is what makes small items cheap.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator, Sequence

from runner.dockets import BIG, is_docket
from runner.errors import MprunError

NUMBERS: frozenset[type] = frozenset({int, float, complex, bool, type(None)})
TEXTS: frozenset[type] = frozenset({str, bytes})
_ATOMS = NUMBERS | TEXTS
"""Types without parts and without state. Exact types: a subclass may carry anything."""

_LIST, _SERIES, _MIXED = b"L", b"S", b"M"
_PROTOCOL = pickle.HIGHEST_PROTOCOL

Fetch = Callable[[memoryview], object]
"""Makes an item of its entry."""


def is_safe(item: object) -> bool:
    """Whether an item can wait to be pickled in company: nothing can change it meanwhile, and it is not big itself."""
    kind = type(item)
    if kind in TEXTS:
        return len(item) < BIG  # type: ignore[arg-type]
    return kind in NUMBERS or (kind is tuple and _ATOMS.issuperset(map(type, item)))  # type: ignore[call-overload]


def pack_safe(items: Sequence[object]) -> bytes:
    """Pickle items that are all safe, together."""
    return _LIST + pickle.dumps(items, _PROTOCOL)


def pickle_alone(item: object) -> bytes:
    """Pickle one item. Raises whatever pickling it raises."""
    return pickle.dumps(item, _PROTOCOL)


def pack_series(pickles: Sequence[bytes]) -> bytes:
    """Put items that were pickled alone into one frame, with a table of their lengths in front."""
    return b"".join((_SERIES, struct.pack(f"<I{len(pickles)}I", len(pickles), *map(len, pickles)), *pickles))


def pack_mixed(entries: Sequence[bytes]) -> bytes:
    """Put pickles and dockets (dockets.py) into one frame."""
    return _MIXED + pack_series(entries)[1:]


def unpack(payload: bytes, start: int, stop: int, fetch: Fetch | None = None) -> Iterator[object]:
    """Return items `start` to `stop` of a frame, unpickled as they are asked for; `fetch` makes an item of a docket.

    The iterator raises `UnpackError` for an item that can't be unpickled, and goes on with the next one after that.
    """
    if payload[:1] == _LIST:
        return iter(pickle.loads(memoryview(payload)[1:])[start:stop])
    if payload[:1] == _MIXED and fetch is not None:
        return _Series(payload, start, stop, _load_or(fetch))
    return _Series(payload, start, stop)


def shares_pickle(payload: bytes | memoryview) -> bool:
    """Whether the items of a frame can only be told apart by unpickling it."""
    return payload[:1] == _LIST


def cut(payload: bytes, index: int) -> tuple[bytes, int]:
    """Return the smallest frame with item `index` that can be had without unpickling, and where in it that is."""
    return (payload, index) if shares_pickle(payload) else (pack_series([entry(payload, index)]), 0)


def entry(payload: bytes, index: int) -> bytes:
    """Return the pickle of item `index`, or its docket, of a frame whose items have one each."""
    (count,) = struct.unpack_from("<I", payload, 1)
    lengths = struct.unpack_from(f"<{count}I", payload, 5)
    begin = 5 + 4 * count + sum(lengths[:index])
    return payload[begin : begin + lengths[index]]


class UnpackError(MprunError):
    """An item can't be unpickled here; the cause says why."""


class _Series:
    """Items that were pickled alone. A class, since a generator would end at the first that fails."""

    def __init__(self, payload: bytes, start: int, stop: int, load: Fetch = pickle.loads) -> None:
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
        try:
            return self._load(self._view[begin : self._at])
        except Exception as error:
            raise UnpackError("the item can't be unpickled in this worker") from error


def _load_or(fetch: Fetch) -> Fetch:
    return lambda entry: fetch(entry) if is_docket(entry) else pickle.loads(entry)

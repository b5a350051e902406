"""Bundles: what a writer puts at once to a queue that must know more of its items than their number.

    count of parts │ shard, items, bytes, length of each part │ the frame of each part

One message, however many shards: outputs and the acknowledgement of what they were made from stay together. Within a
part items are in the order in which they were put; between shards there is no order to keep.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runner.dockets import Docket, is_docket
from runner.frames import pack_mixed, pack_series

_COUNT = struct.Struct("<I")
_PART = struct.Struct("<IIQI")


@dataclass(frozen=True, slots=True)
class Piece:
    """One item, pickled or as a docket, and what there is to know of it."""

    entry: bytes
    shard: int
    weight: int


@dataclass(frozen=True, slots=True)
class Part:
    """Items of one shard, in one frame."""

    shard: int
    count: int
    weight: int
    """Bytes of the items, those in the arena included."""
    frame: bytes


def weight_of(entry: bytes) -> int:
    """The bytes of an item, wherever they lie."""
    return len(entry) + (Docket.decode(entry).span if is_docket(entry) else 0)


def bundle(pieces: Sequence[Piece]) -> bytes:
    """Pack items, shard by shard."""
    by_shard: dict[int, list[Piece]] = {}
    for piece in pieces:
        by_shard.setdefault(piece.shard, []).append(piece)
    frames = [_frame([piece.entry for piece in those]) for those in by_shard.values()]
    heads = [
        _PART.pack(shard, len(those), sum(piece.weight for piece in those), len(frame))
        for (shard, those), frame in zip(by_shard.items(), frames, strict=True)
    ]
    return b"".join((_COUNT.pack(len(frames)), *heads, *frames))


def unbundle(body: bytes | memoryview) -> Iterator[Part]:
    """Take a bundle apart; the frames stay as they are."""
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size + count * _PART.size
    for number in range(count):
        shard, items, weight, length = _PART.unpack_from(body, _COUNT.size + number * _PART.size)
        yield Part(shard, items, weight, bytes(body[at : at + length]))
        at += length


def _frame(entries: Sequence[bytes]) -> bytes:
    return pack_mixed(entries) if any(map(is_docket, entries)) else pack_series(entries)

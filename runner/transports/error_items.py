"""Failures as items: what `on_error: {to: …}` puts on a queue for a stage to read. Made without opening the item.

    FailedItem, error ──► pickle_failure ──► {"item": …, "error": "ValueError: …", "attempts": 3, "stage": "parse"}
                                                 │ pickled as it was, within the pickle
                                                 └──► opened by whoever reads it

An item that can't be unpickled there either is an `Unreadable` in its failure, so that this can be dealt with.
"""

from __future__ import annotations

import os
import pickle
from base64 import b64decode
from collections.abc import Callable

from runner.facts import dataclass
from runner.ipc.frames import UnpackError, Unreadable, unpack
from runner.ipc.messages import FailedItem, ItemFailure
from runner.ipc.shm.handles import BufferHandle, rebuild


def pickle_failure(failed: FailedItem, error: str, stage: str, shown: str) -> bytes:
    """Return the pickle of a failure. Where the item itself can't be had, it is what was `shown` of it."""
    item = shown if failed.frame is None else _Unopened(failed.frame, failed.index, _bulk_of(failed))
    failure = {"item": item, "error": error, "attempts": max(1, len(failed.attempts)), "stage": stage}
    return pickle.dumps(failure, pickle.HIGHEST_PROTOCOL)


def failed_in_making(failure: ItemFailure) -> FailedItem:
    """Return what is there of an item that was never put, where its producer says so."""
    try:
        frame = b64decode(failure.frame, validate=True) or None
    except ValueError:
        frame = None
    return FailedItem(frame, 0, ())


def restored(frame: bytes, index: int, bulk: bytes) -> object:
    """Return an item of a frame. Called where a failure is unpickled; its name and place are part of that pickle."""
    whole = memoryview(bytearray(bulk))

    def fetch(entry: memoryview) -> object:
        handle = BufferHandle.decode(entry)
        return rebuild(handle, [whole[at : at + length] for at, length in handle.ranges])

    try:
        return next(unpack(frame, index, index + 1, fetch))
    except UnpackError:
        return Unreadable()


@dataclass(frozen=True, slots=True)
class _Unopened:
    """Stands for an item while its failure is pickled."""

    frame: bytes
    index: int
    bulk: bytes

    def __reduce__(self) -> tuple[Callable[[bytes, int, bytes], object], tuple[bytes, int, bytes]]:
        return restored, (self.frame, self.index, self.bulk)


def _bulk_of(failed: FailedItem) -> bytes:
    """Copy what of a big item lies in shared memory: whoever reads its failure has no part in that."""
    bulk = failed.bulk
    return b"" if bulk is None else os.pread(bulk.descriptor, bulk.size, bulk.at)

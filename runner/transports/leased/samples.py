"""Some of the items of a producer, shown to the supervisor: whoever takes its place is to make the same again.

    FrameOutbox ── a frame leaves ──► is_due? ──► its first item ──► SampleMessage, behind the frame

No item pays for it: frames are looked at, and few of them.
"""

from __future__ import annotations

import pickle
import time

from runner.ipc.shm.handles import is_handle
from runner.ipc.stream import SampleMessage, WorkerStream
from runner.text import safe_repr

_EVERY_ITEMS = 1024
_EVERY_SECONDS = 0.05
MOST_BYTES = 2048
"""Of a pickled item that is kept whole. Of a bigger one it is kept what it looks like."""


class ItemSampler:
    """Counts a producer's items as they leave, over all its generations, and shows some."""

    def __init__(self, stream: WorkerStream, index: int) -> None:
        """`index` is that of the next item to leave."""
        self.index = index
        self.shown = ""
        """What the first item of the frame being filled looks like, where it is a big one."""
        self._stream = stream
        self._next_index, self._next_time = index, 0.0

    @property
    def is_due(self) -> bool:
        """Whether the first item of the next frame is to be shown."""
        return self.index >= self._next_index or time.perf_counter() >= self._next_time

    def note_big(self, item: object) -> None:
        """The frame being filled begins with a big item, which can't be looked at any more when it leaves."""
        self.shown = safe_repr(item) if self.is_due else ""

    def sent(self, count: int, entry: bytes | None) -> None:
        """A frame has left with so many items; `entry` is the pickle of the first, or its handle, if it was due."""
        if entry is not None:
            self._show(entry)
            self._next_index = self.index + _EVERY_ITEMS
            self._next_time = time.perf_counter() + _EVERY_SECONDS
        self.index += count

    def _show(self, entry: bytes) -> None:
        if len(entry) <= MOST_BYTES and not is_handle(entry):
            self._stream.send(SampleMessage(self.index, body=entry))
        elif shown := self.shown if is_handle(entry) else _shown(entry):
            self._stream.send(SampleMessage(self.index, is_pickled=False, body=shown.encode()))


def _shown(entry: bytes) -> str:
    """What an item looks like to whoever has unpickled it; nothing where that fails."""
    try:
        return safe_repr(pickle.loads(entry))
    except Exception:  # it is the reader's affair
        return ""

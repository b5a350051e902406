"""Bulk: the bytes of a big item, and their way from shared memory into a file, a bounded step at a time.

    arena ── sendfile, a few MiB a step ──► file        between two steps its caller does what else is due

The kernel copies: nothing of it passes through this process, so an item of any size costs its caller the same memory,
and the longest that a step can hold it up is what the disk needs for a few MiB.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

_STEP = 8 << 20


@dataclass(frozen=True, slots=True)
class Bulk:
    """Where the bytes of a big item lie. They stay there as long as somebody has `held`."""

    descriptor: int
    at: int
    size: int
    held: object


class Removal:
    """One item's bytes on their way into a new file, which only its owner may read."""

    def __init__(self, bulk: Bulk, path: Path) -> None:
        """Make the file. Raises OSError."""
        self._bulk: Bulk | None = bulk
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

    def _copy(self, bulk: Bulk, most: int) -> int:
        if not most:
            return 0
        copied = os.sendfile(self._out, bulk.descriptor, bulk.at + self._done, most)
        if not copied:  # a disk that is full to the byte says no more than this
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copied

    def _close(self) -> None:
        self._bulk = None  # the arena may have its room back
        os.close(self._out)

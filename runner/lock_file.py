"""The nameless file behind the locks of a run: a byte of it each, held by the kernel and let go of at a death.

    supervisor: one nameless file ──► each worker opens it anew ──► byte 0: `mutex`, byte 1: `printer` …
                                      └─ who opened it holds the locks (fcntl F_OFD_SETLK): a death closes it

A worker's copy of the supervisor's descriptor would not do: all of them would be one holder. For the same reason a
process that a handler forks opens the file for itself: it holds nothing of what its parent holds, and outlives nobody's
lock. Programs that a handler starts get no descriptor of it at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import weakref
from collections.abc import Callable
from typing import Any

_FLOCK = "@hhqqi0q"
"""struct flock: kind, whence, start, length, pid."""


class LockFile:
    """The nameless file behind all locks of a run; each byte of it is one. Made in the supervisor."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is owned from now on."""
        self._handed_down = descriptor
        self._own: int | None = None
        _files.add(self)

    @classmethod
    def create(cls) -> LockFile:
        """Make a file without a name. Raises OSError if there is no descriptor left."""
        return cls(os.memfd_create("mprun-locks", os.MFD_CLOEXEC))

    def __reduce__(self) -> tuple[Callable[[Any], LockFile], tuple[Any]]:
        """Travel to a spawned process as a duplicated descriptor; only works while one is being spawned."""
        from multiprocessing import reduction

        return _from_duplicate, (reduction.DupFd(self._handed_down),)

    def fileno(self) -> int:
        """The descriptor to hand down to a worker."""
        return self._handed_down

    def take(self, place: int) -> bool:
        """Take the lock at `place` for this process if nobody holds it."""
        try:
            self._ask(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, place)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def wait(self, place: int) -> None:
        """Take the lock at `place`, waiting for it."""
        self._ask(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, place)

    def let_go(self, place: int) -> None:
        """Free the lock at `place`."""
        self._ask(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place)

    def is_taken(self, place: int) -> bool:
        """Say whether another process holds the lock at `place`."""
        answer = self._ask(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def disown(self) -> None:
        """Called in a process that a handler has forked: what its parent holds is not its own."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def close(self) -> None:
        """Give it back. Whatever this process holds is free after that."""
        self.disown()
        os.close(self._handed_down)

    def _ask(self, command: int, kind: int, place: int) -> bytes:
        if self._own is None:
            self._own = os.open(f"/proc/self/fd/{self._handed_down}", os.O_RDWR | os.O_CLOEXEC)
        answer: bytes = fcntl.fcntl(self._own, command, struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0))
        return answer


def _from_duplicate(duplicate: Any) -> LockFile:
    return LockFile(duplicate.detach())


_files: weakref.WeakSet[LockFile] = weakref.WeakSet()


def _disown_all() -> None:
    for file in list(_files):
        file.disown()


os.register_at_fork(after_in_child=_disown_all)

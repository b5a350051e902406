"""Locks that are free again when their holder dies: the ones that a file declares under `locks`.

    supervisor: LockProvider ── LockResource ──► worker: open_locks ──► Lock ──► the handler's parameter, or `lock`
                    │                                                    └─ threads of the worker, in turns
                    └─ LockFile, one nameless file ──► each worker opens it anew ──► byte 0: `mutex`, byte 1 …
                                                       └─ who opened it holds the locks: a death closes it

The face is that of a `multiprocessing.Lock`. The kernel holds the bytes of the file (fcntl F_OFD_SETLK) and frees them
at a death. A worker's copy of the supervisor's descriptor would not do: all of them would be one holder. For the same
reason a process that a handler forks opens the file for itself: it holds nothing of what its parent holds, and outlives
nobody's lock. Programs that a handler starts get no descriptor of it at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.ipc.descriptors import by_duplicate
from runner.ipc.status_page import StatusPage, Wait, Word
from runner.process.resources.base import InjectedResources, ReadyResource, ResourceProvider
from runner.spec.plan import WorkerPlan

_FLOCK = "@hhqqi0q"
"""struct flock: kind, whence, start, length, pid."""


class LockFile:
    """The nameless file behind all locks of a run; each byte of it is one. Made in the supervisor."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is owned from now on."""
        self._inherited = descriptor
        self._own: int | None = None
        _held_by_process.add(self)

    @classmethod
    def create(cls) -> LockFile:
        """Make a file without a name. Raises OSError if there is no descriptor left."""
        return cls(os.memfd_create("mprun-locks", os.MFD_CLOEXEC))

    def __reduce__(self) -> tuple[Callable[..., LockFile], tuple[Any, ...]]:
        return by_duplicate(LockFile, self._inherited)

    def fileno(self) -> int:
        """The descriptor to hand down to a worker."""
        return self._inherited

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

    def release(self, place: int) -> None:
        """Free the lock at `place`."""
        self._ask(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place)

    def is_taken(self, place: int) -> bool:
        """Say whether another process holds the lock at `place`."""
        answer = self._ask(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def forget(self) -> None:
        """Called in a process that a handler has forked: what its parent holds is not its own."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def close(self) -> None:
        """Give it back. Whatever this process holds is free after that."""
        self.forget()
        os.close(self._inherited)

    def _ask(self, command: int, kind: int, place: int) -> bytes:
        if self._own is None:
            self._own = os.open(f"/proc/self/fd/{self._inherited}", os.O_RDWR | os.O_CLOEXEC)
        answer: bytes = fcntl.fcntl(self._own, command, struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0))
        return answer


_SHORTEST_POLL, _LONGEST_POLL = 0.001, 0.02
"""Seconds between two tries of whoever waits with a timeout: the kernel itself only waits without one."""


class HandlerLock(Protocol):
    """What a handler gets that asks for a lock by name: the methods of `multiprocessing.Lock`."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Wait for the lock and hold it; False if it is not free, or not within `timeout` seconds.

        Raises:
            RuntimeError: this thread holds it already, and would wait for itself for ever.
        """

    def release(self) -> None:
        """Let go of it. Raises ValueError where this worker does not hold it."""

    def locked(self) -> bool:
        """Say whether anybody holds it at this moment."""

    def __enter__(self) -> bool:
        """Wait for the lock and hold it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""


_held_by_process: weakref.WeakSet[Lock | LockFile] = weakref.WeakSet()
"""What a fork of this process must not take for its own."""


class Lock:
    """One lock, in one worker process. Threads of the worker hold it in turns too."""

    def __init__(self, name: str, file: LockFile, place: int, status: StatusPage | None = None) -> None:
        """`status` is the worker's page, in which waits for it are shown and counted."""
        self._name = name
        self._file = file
        self._place = place
        self._status = status
        self._among_threads = threading.Lock()
        self._holder: int | None = None
        """The thread of this process that holds it."""
        _held_by_process.add(self)

    def __reduce__(self) -> tuple[type[Lock], tuple[str, LockFile, int]]:
        """Travel to a process that a handler spawns, which is a holder of its own."""
        return Lock, (self._name, self._file, self._place)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Wait for the lock and hold it; False if it is not free, or not within `timeout` seconds.

        Raises:
            RuntimeError: this thread holds it already, and would wait for itself for ever.
        """
        until = math.inf if timeout is None else time.monotonic() + max(0.0, timeout)
        deadline = until if block else 0.0
        if self._holder == threading.get_ident() and deadline == math.inf:
            raise RuntimeError(
                f"lock '{self._name}': this worker holds it already, and would wait for itself"
            )
        return self._take_at_once() or (deadline > 0.0 and self._wait(deadline))

    def release(self) -> None:
        """Let go of it. Raises ValueError where this worker does not hold it."""
        if self._holder is None:
            raise ValueError(f"lock '{self._name}': this worker does not hold it, so it can't release it")
        self._holder = None
        self._file.release(self._place)
        self._among_threads.release()

    def locked(self) -> bool:
        """Say whether anybody holds it at this moment."""
        return self._holder is not None or self._file.is_taken(self._place)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A process that was forked in here leaves the block too, and holds nothing.
        if self._holder is not None:
            self.release()

    def forget(self) -> None:
        """Called in a process that a handler has forked: it holds nothing, whichever thread did."""
        self._among_threads, self._holder = threading.Lock(), None

    def _take_at_once(self) -> bool:
        return self._take(
            lambda: self._among_threads.acquire(blocking=False), lambda: self._file.take(self._place)
        )

    def _wait(self, deadline: float) -> bool:
        with _shown_as_waiting(self._status):
            if deadline == math.inf:
                return self._take(self._among_threads.acquire, self._wait_for_others)
            left = max(0.0, deadline - time.monotonic())
            return self._take(
                lambda: self._among_threads.acquire(timeout=left), lambda: self._try_until(deadline)
            )

    def _take(self, from_threads: Callable[[], bool], from_others: Callable[[], bool]) -> bool:
        if not from_threads():
            return False
        try:
            taken = from_others()
        except BaseException:
            self._among_threads.release()
            raise
        if taken:
            self._holder = threading.get_ident()
        else:
            self._among_threads.release()
        return taken

    def _wait_for_others(self) -> bool:
        self._file.wait(self._place)
        return True

    def _try_until(self, deadline: float) -> bool:
        pause = _SHORTEST_POLL
        while not self._file.take(self._place):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(_LONGEST_POLL, pause * 2)
        return True


@contextlib.contextmanager
def _shown_as_waiting(status: StatusPage | None) -> Iterator[None]:
    """Show in the page that the worker waits for a lock, and count the time as waited, not as busy."""
    if status is None:
        yield
        return
    began = status.show_wait(Wait.LOCK)
    try:
        yield
    finally:
        status.words[Word.BLOCKED] += time.perf_counter_ns() - began
        status.show_wait(Wait.NOTHING)


@dataclass(frozen=True, slots=True)
class LockResource:
    """What a worker gets for one lock."""

    name: str
    file: LockFile
    place: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a forked worker must not close."""
        return (self.file.fileno(),)

    def resolve(self) -> HandlerLock:
        """Return the lock."""
        return Lock(self.name, self.file, self.place)


def open_locks(resources: InjectedResources, status: StatusPage) -> InjectedResources:
    """Called in a worker: make one lock of each name for it, whose waits are shown in the worker's page."""
    return {
        name: ReadyResource(Lock(each.name, each.file, each.place, status))
        if isinstance(each, LockResource)
        else each
        for name, each in resources.items()
    }


class LockProvider(ResourceProvider):
    """The locks of a run, in the supervisor, which never holds one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Raises `StartFailed` if there is no descriptor left."""
        try:
            self._file = LockFile.create()
        except OSError as error:
            raise StartFailed(f"the locks could not be made: {error.strerror or error}") from error
        self._resources = {name: LockResource(name, self._file, place) for place, name in enumerate(names)}

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:  # noqa: ARG002 - every worker may hold every lock
        """Return every lock."""
        return self._resources

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _after_fork() -> None:
    for each in list(_held_by_process):
        each.forget()


os.register_at_fork(after_in_child=_after_fork)

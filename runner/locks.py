"""Locks that are free again when their holder dies: the ones that a file declares under `locks`.

    supervisor: LockProvider ── LockGift ──► worker: aboard ──► Lock ──► the handler's parameter, or its stage's `lock`
                                                                 └─ threads of the worker ─► LockFile, the kernel's

The face is that of a `multiprocessing.Lock`. What the kernel does is in lock_file.py.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from runner.errors import StartFailed
from runner.lock_file import LockFile
from runner.plan import WorkerPlan
from runner.provisions import Gift, Gifts, Unwrapped
from runner.status import StatusPage, Wait, Word

_SHORTEST_LOOK, _LONGEST_LOOK = 0.001, 0.02
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


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


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
        _locks.add(self)

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
        self._file.let_go(self._place)
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

    def disown(self) -> None:
        """Called in a process that a handler has forked: it holds nothing, whichever thread did."""
        self._among_threads, self._holder = threading.Lock(), None

    def _take_at_once(self) -> bool:
        return self._take(
            lambda: self._among_threads.acquire(blocking=False), lambda: self._file.take(self._place)
        )

    def _wait(self, deadline: float) -> bool:
        with _shown(self._status):
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
        look = _SHORTEST_LOOK
        while not self._file.take(self._place):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(look, left))
            look = min(_LONGEST_LOOK, look * 2)
        return True


@contextlib.contextmanager
def _shown(status: StatusPage | None) -> Iterator[None]:
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
class LockGift:
    """What a worker is born with for one lock."""

    name: str
    file: LockFile
    place: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a forked worker must not close."""
        return (self.file.fileno(),)

    def unwrap(self) -> HandlerLock:
        """Return the lock."""
        return Lock(self.name, self.file, self.place)


def aboard(gifts: Gifts, status: StatusPage) -> Gifts:
    """Called in a worker: return its gifts with one lock of each name, whose waits are shown in the worker's page."""
    return {name: _taken_aboard(gift, status) for name, gift in gifts.items()}


def _taken_aboard(gift: Gift, status: StatusPage) -> Gift:
    return Unwrapped(Lock(gift.name, gift.file, gift.place, status)) if isinstance(gift, LockGift) else gift


class LockProvider:
    """The locks of a run, in the supervisor, which never holds one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Raises `StartFailed` if there is no descriptor left."""
        try:
            self._file = LockFile.create()
        except OSError as error:
            raise StartFailed(f"the locks could not be made: {error.strerror or error}") from error
        self._gifts = {name: LockGift(name, self._file, place) for place, name in enumerate(names)}

    def gifts(self, worker: WorkerPlan) -> Gifts:  # noqa: ARG002 - every worker may hold every lock
        """Return every lock."""
        return self._gifts

    def handed_over(self, worker: WorkerPlan) -> None:
        """Nothing belongs to one worker alone."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _disown_all() -> None:
    for lock in list(_locks):
        lock.disown()


os.register_at_fork(after_in_child=_disown_all)

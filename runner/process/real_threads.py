"""Threads, locks and waits of the operating system, whatever a handler has put in their place.

`gevent.monkey.patch_all()`, `eventlet.monkey_patch()` and their like replace the innards of `threading` and `time` in
the process of the handler that calls them. A thread that is then started is a greenlet of whoever started it, and a
lock keeps only greenlets out: what mprun itself leaves to a thread would wait for ever for a turn that nobody gives.
The handler's own threads, locks and waits stay what it made of them.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

_threading = vars(threading)
_MADE_OF = (
    *("Thread", "Timer", "Lock", "RLock", "Condition", "Semaphore", "Event", "local", "get_ident"),
    *("_allocate_lock", "_start_new_thread", "_start_joinable_thread", "_set_sentinel", "_CRLock", "_time"),
)
_REAL = {name: _threading[name] for name in _MADE_OF if name in _threading}
"""What `threading` was made of when this was imported, which is before any handler."""

_MODULES = [
    (_threading, _REAL),
    *((vars(each), dict(vars(each))) for each in (time, select, _thread, signal, os)),
]

_start = threading.Thread.start

poll = select.poll
sleep = time.sleep


def start_thread(target: Callable[..., object], *args: object, name: str) -> threading.Thread:
    """Start a daemonic thread. Raises RuntimeError where there can be none."""
    with real_threading():
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
    return thread


@contextmanager
def real_threading() -> Iterator[None]:
    """Have threads that are made and started inside be real ones."""
    replaced: dict[str, Any] = {name: _threading.get(name, real) for name, real in _REAL.items()}
    kind, start = threading.Thread, threading.Thread.start
    _threading.update(_REAL)
    threading.Thread.start = _start  # type: ignore[method-assign]
    try:
        yield
    finally:
        _threading.update(replaced)
        kind.start = start  # type: ignore[method-assign]


def threads_are_green() -> bool:
    """Whether somebody has put something else in the place of threads."""
    starts = ("_start_new_thread", "_start_joinable_thread")
    return any(_threading[name] is not _REAL[name] for name in starts if name in _REAL)


def undo_patches() -> None:
    """Put back all that was replaced of the modules that a process with several workers rests on."""
    for module, real in _MODULES:
        module.update(real)


@contextmanager
def frames_of_threads() -> Iterator[Mapping[int, FrameType]]:
    """
    Where each thread is, by its number, while the context lasts.

    The frame that asks is among them: kept there, it would lead to itself, and all that any thread had in hand would
    live until the collector comes.
    """
    frames = sys._current_frames()
    try:
        yield frames
    finally:
        frames.clear()


class Baton:
    """Passed from one thread to another: who acquires it waits until the other has released it."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def release(self) -> None:
        """Pass it on; nothing where it has been passed on already."""
        if self._lock.locked():
            self._lock.release()

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for it; say whether it came within `timeout` seconds."""
        return self._lock.acquire(True, -1 if timeout is None else timeout)


class RealCondition:
    """As `threading.Condition`, as far as a queue of `multiprocessing` asks for it."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._waiting: deque[Baton] = deque()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self) -> None:
        """Wait until somebody notifies; the lock is free meanwhile."""
        baton = Baton()
        self._waiting.append(baton)
        self._lock.release()
        try:
            baton.acquire()
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        """Wake the one that has waited longest."""
        if self._waiting:
            self._waiting.popleft().release()


class RealEvent:
    """As `threading.Event`, for one thread that waits."""

    def __init__(self) -> None:
        self._condition = RealCondition()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake whoever waits."""
        with self._condition:
            self._is_set = True
            self._condition.notify()

    def clear(self) -> None:
        """Have who comes to wait do so."""
        self._is_set = False

    def wait(self) -> None:
        """Wait until it is set."""
        with self._condition:
            while not self._is_set:
                self._condition.wait()

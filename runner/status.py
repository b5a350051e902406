"""The status page: one page of shared memory per worker, where each word has exactly one writer, so nothing is locked.

    worker writes      received sent done failed busy starved blocked phase item…    supervisor reads, also after a kill
    supervisor writes  stop end revoked                                              worker reads at each item

A store of one aligned 64-bit word is not torn on the machines Python runs on. Behind the page, in the same file,
`faulthandler` leaves the stacks of a worker that overruns.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from runner.pages import make_private

PAGE = 4096
STACKS_SIGNAL = signal.SIGUSR2
_ITEM_AT = 256
_ITEM_ROOM = 512
_STACKS_MOST = 65536


class Word(IntEnum):
    """Where each 64-bit word is in the page."""

    STOP = 0
    END = 1
    RECEIVED = 2
    SENT = 3
    DONE = 4
    FAILED = 5
    BUSY = 6
    STARVED = 7
    BLOCKED = 8
    ITEM = 9
    MARK = 10
    ATTEMPT = 11
    WAITING = 12
    WAITING_SINCE = 13
    LEASE = 14
    REVOKED = 15


class Wait(IntEnum):
    """What a worker waits for at a queue, or at a lock, while it does; `NOTHING` is being at work."""

    NOTHING = 0
    ITEM = 1
    ROOM = 2
    JOIN = 3
    LOCK = 4


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a page shows of how far its worker is. Two that are equal: nothing has moved between them. Seconds."""

    received: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0
    mark: int = 0
    waiting: Wait = Wait.NOTHING
    waiting_since: float = 0.0
    """By `time.monotonic`, which all processes share."""
    waited: float = 0.0
    """Time spent waiting, without the wait that goes on."""


@dataclass(frozen=True, slots=True)
class Counters:
    """A snapshot of what a worker has done. Times in seconds."""

    received: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0
    busy: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0

    @classmethod
    def total(cls, several: Iterable[Counters]) -> Counters:
        """Add up the counters of several workers."""
        rows = [[getattr(each, name) for name in cls.__slots__] for each in several]
        return cls(*map(sum, zip(*rows, strict=True))) if rows else cls()

    def as_fields(self) -> dict[str, int | float]:
        """The counters under the names that events use."""
        return {name: getattr(self, name) for name in self.__slots__}


class StatusPage:
    """One worker's page. Made by the supervisor; the worker gets it by fork, or by its descriptor under spawn."""

    def __init__(self, descriptor: int) -> None:
        """Map the page behind `descriptor`, which is owned from now on; -1 is a page that nobody else can have."""
        self._fd = descriptor
        self._map = mmap.mmap(descriptor, PAGE)
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def shared(cls) -> StatusPage:
        """Make a page for a worker in another process. Raises OSError if there is no descriptor left."""
        descriptor = os.memfd_create("mprun-status", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, PAGE)
            return cls(descriptor)
        except OSError:  # mapping it takes one more descriptor
            os.close(descriptor)
            raise

    @classmethod
    def private(cls) -> StatusPage:
        """Make a page for a worker in this process."""
        return cls(-1)

    def __reduce__(self) -> tuple[Callable[[Any], StatusPage], tuple[Any]]:
        """Travel to a spawned process as a duplicated descriptor; only works while one is being spawned."""
        from multiprocessing import reduction

        return _from_duplicate, (reduction.DupFd(self._fd),)

    def add(self, word: Word, amount: int = 1) -> None:
        """Raise a word that this process alone writes."""
        self.words[word] += amount

    def set_item(self, text: str) -> None:
        """Note the item in hand, so that its name survives the worker; an empty text means none."""
        self.words[Word.ITEM] = 0
        if text:
            raw = text.encode("utf-8", "replace")[:_ITEM_ROOM]
            self._map[_ITEM_AT : _ITEM_AT + len(raw)] = raw
            self.words[Word.ITEM] = len(raw)

    @property
    def item(self) -> str:
        """The item in hand; empty if none."""
        length = min(self.words[Word.ITEM], _ITEM_ROOM)
        # A long text was cut at a byte, perhaps in the middle of a character.
        return self._map[_ITEM_AT : _ITEM_AT + length].decode("utf-8", "ignore")

    def counters(self) -> Counters:
        """Read what the worker has done so far."""
        received, sent, done, failed, busy, starved, blocked = self.words[Word.RECEIVED : Word.ITEM]
        return Counters(received, sent, done, failed, busy / 1e9, starved / 1e9, blocked / 1e9)

    def show_wait(self, why: Wait) -> int:
        """Show that the worker waits from now on, or that it no longer does; return now, in nanoseconds.

        A wait that is over is counted before it is shown to be over: read the other way round, the time would seem to
        have been spent at work.
        """
        now = time.perf_counter_ns()
        self.words[Word.WAITING_SINCE] = now
        self.words[Word.WAITING] = why
        return now

    def pulse(self) -> Pulse:
        """Read how far the worker is. What it waits for is read first: see `show_wait`."""
        words = self.words
        waiting, since = words[Word.WAITING], words[Word.WAITING_SINCE]
        received, sent, done, failed, _, starved, blocked, _, mark = words[Word.RECEIVED : Word.ATTEMPT]
        return Pulse(
            received,
            sent,
            done,
            failed,
            mark,
            _WAITS.get(waiting, Wait.NOTHING),
            since / 1e9,
            (starved + blocked) / 1e9,
        )

    def become_a_copy(self) -> None:
        """Called in a process that the worker forked: what it writes from now on, nobody else sees."""
        make_private(self._map, self._fd)

    def dump_stacks_on_signal(self) -> None:
        """Called in the worker: leave the stacks of all threads behind the page when `STACKS_SIGNAL` comes."""
        os.lseek(self._fd, PAGE, os.SEEK_SET)
        faulthandler.register(STACKS_SIGNAL, file=self._fd, all_threads=True)

    def stacks(self) -> str:
        """Return what the worker's `faulthandler` has left so far."""
        return os.pread(self._fd, _STACKS_MOST, PAGE).decode("utf-8", "replace")

    def fileno(self) -> int:
        """The descriptor behind the page."""
        return self._fd

    def close(self) -> None:
        """Give the page back. Counters must not be read after this."""
        self.words.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)


_WAITS = {wait.value: wait for wait in Wait}


def _from_duplicate(duplicate: Any) -> StatusPage:
    return StatusPage(duplicate.detach())

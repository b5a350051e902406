"""A queue's end under `inline`: its book says what is in it, and waiting is giving the baton back.

put, get, task_done ──► LeasedBook, at once ──► pause: the next strand's turn
"""

from __future__ import annotations

import math
import pickle
import queue
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from runner.errors import EndOfStream, Stopping
from runner.leases import LeasedBook
from runner.parcels import Frame, HandOver, Lease
from runner.plan import WorkerPlan
from runner.sketch import sketch
from runner.spec import Role
from runner.status import StatusPage, Word


class Strand(Protocol):
    """A worker that is a thread of this process and runs only while it holds the baton."""

    name: str
    plan: WorkerPlan
    status: StatusPage

    def pause(self, movable: Callable[[], bool], waits_for: str, until: float = math.inf) -> None:
        """Called in the strand: give the baton back until `movable`, or the time `until`, and its turn comes."""


class InlineQueue:
    """A queue's end in one strand: its book says what is in it, and waiting is giving the baton back."""

    def __init__(self, book: LeasedBook, strand: Strand) -> None:
        self._book = book
        self._strand = strand
        self._held: deque[Lease] = deque()

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`; `Stopping` in a producer while the run stops."""
        payload = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        words = self._strand.status.words
        self._check_stop(words)
        if self.full():
            self._wait(
                Word.BLOCKED, block, timeout, lambda: not self.full() or bool(words[Word.STOP]), "to put"
            )
            self._check_stop(words)
            if self.full():
                raise queue.Full
        self._let_in(Frame(payload, 1))
        words[Word.SENT] += 1
        self._strand.pause(lambda: True, "for its turn")

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        words = self._strand.status.words
        if self.empty():
            self._say_what_is_held()
            self._wait(
                Word.STARVED, block, timeout, lambda: not self.empty() or bool(words[Word.END]), "to get"
            )
        if self.empty():
            raise EndOfStream if words[Word.END] else queue.Empty
        self._book.want(self._strand.name, len(self._held) + 1, time.monotonic())
        (handed,) = self._book.decide()
        self._book.want(self._strand.name, 0, time.monotonic())
        assert isinstance(handed, HandOver)
        self._held.append(handed.lease)
        words[Word.RECEIVED] += 1
        item: object = pickle.loads(handed.lease.parcel.frame.payload)
        self._strand.status.set_item(sketch(item))
        return item

    def _say_what_is_held(self) -> None:
        """A handler that waits for more before it is done with any holds nothing back: that item is taken."""
        if self._held:
            self._book.takes_more(self._strand.name, len(self._held), time.monotonic())
            self._book.want(self._strand.name, 0, time.monotonic())

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with."""
        lease = self._oldest()
        self._book.acked(lease.number, lease.parcel.stop, time.monotonic())
        self._strand.status.add(Word.DONE)
        self._strand.pause(lambda: True, "for its turn")

    def give_up(self) -> None:
        """Say that the oldest item that was taken has failed."""
        self._book.failed(self._oldest().number, time.monotonic())
        self._strand.status.add(Word.FAILED)

    def give_back(self) -> None:
        """The strand has ended: what it holds was taken and never acknowledged."""
        self._held.clear()

    def join(self) -> None:
        """Wait until every item ever put is done."""
        self._wait(Word.BLOCKED, True, None, lambda: self._book.account().settled, "to join")

    def qsize(self) -> int:
        """Count the items waiting."""
        return self._book.account().waiting

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        room = self._book.room
        return room is not None and room <= 0

    def _let_in(self, frame: Frame) -> None:
        """There is room: take it, without the patience that the book has with writers far away."""
        now = time.monotonic()
        self._book.grant(self._strand.name, 1)
        self._book.offer(self._strand.name, frame, now)
        self._book.writer_gone(self._strand.name, now)
        self._book.decide()

    def _wait(
        self, word: Word, block: bool, timeout: float | None, movable: Callable[[], bool], what: str
    ) -> None:
        began = time.perf_counter_ns()
        # One that does not wait gives the others a turn all the same: it may be asking again and again.
        until = 0.0 if not block else math.inf if timeout is None else time.monotonic() + timeout
        self._strand.pause(movable, f"waits {what} on queue '{self._book.name}'", until)
        self._strand.status.add(word, time.perf_counter_ns() - began)

    def _oldest(self) -> Lease:
        if not self._held:
            raise ValueError("task_done() called too many times")
        lease = self._held.popleft()
        if not self._held:
            self._strand.status.set_item("")
        return lease

    def _check_stop(self, words: memoryview) -> None:
        if words[Word.STOP] and self._strand.plan.role is Role.PRODUCER:
            raise Stopping

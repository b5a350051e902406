"""Where a worker's items arrive under `leased`: leased frames, taken apart and acknowledged.

LEASE ──► next_lease, for the loops;  get and task_done, for a handler that drives its queue
              └── mark: which item is in hand, in a word of shared memory that only this worker writes
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator

from runner.errors import EndOfStream
from runner.frames import unpack
from runner.sketch import sketch
from runner.status import Wait, Word
from runner.transports.leased_freight import Unloading
from runner.transports.leased_stream import Stream
from runner.wire import Kind, Message


class FrameInbox:
    """Takes leased frames apart, and acknowledges them."""

    def __init__(self, stream: Stream, unloading: Unloading | None = None) -> None:
        """`unloading` gets big items out of the arena."""
        self._stream = stream
        self._unloading = unloading
        self._words = stream.status.words
        self._items: Iterator[object] = iter(())
        self._lease: Message | None = None
        self._at = 0
        self._unacked: deque[tuple[int, int]] = deque()
        self._began = 0
        self.flush_first: Callable[[], object] | None = None
        """Called before a handler's own acknowledgement goes out: what it made of the item goes before it."""

    def next_lease(self) -> Message | None:
        """Wait for the next lease; None at the end of the stream."""
        stream = self._stream
        if not stream.leases:
            stream.take_in()
            began = stream.status.show_wait(Wait.ITEM)
            while not stream.leases and not stream.ended:
                stream.wait()
            self._words[Word.STARVED] += time.perf_counter_ns() - began
            stream.status.show_wait(Wait.NOTHING)
        if not stream.leases:
            return None
        lease = stream.leases.popleft()
        self._words[Word.RECEIVED] += lease.upto - lease.count
        self._words[Word.ATTEMPT] = lease.nanos
        return lease

    def open(self, lease: Message) -> Iterator[object]:
        """Unpickle what a lease holds, as it is asked for. Arrays may be good only until `let_go`."""
        fetch = None if self._unloading is None else self._unloading.view
        return unpack(bytes(lease.body), lease.count, lease.upto, fetch)

    def let_go(self) -> None:
        """Called before items are acknowledged: what is kept of them must not lie where the next ones will."""
        if self._unloading is not None:
            self._unloading.settle()

    def take_up(self, lease: int, index: int) -> None:
        """Mark which item is in hand. In this order: in between the page may name a lease that is over, no harm."""
        self._words[Word.MARK] = index
        self._words[Word.LEASE] = lease

    def ack(self, lease: int, upto: int, nanos: int) -> None:
        """Say that the items of a lease before `upto` are done."""
        self._stream.wire.send(Message(Kind.ACK, upto=upto, lease=lease, nanos=nanos))

    # The handler's face: a JoinableQueue's.

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        while self._lease is None or self._at == self._lease.upto:
            if self._unacked and not self._stream.leases:
                self._stream.wire.send(Message(Kind.MORE, count=len(self._unacked)))
            self._wait_for_lease(0.0 if not block else timeout)
            self._lease = self.next_lease()
            if self._lease is None:
                raise EndOfStream
            self._at = self._lease.count
            # Whoever drives the queue still holds an item when it says that it is done with it, so it gets a copy.
            fetch = None if self._unloading is None else self._unloading.copy
            self._items = unpack(bytes(self._lease.body), self._lease.count, self._lease.upto, fetch)
        if not self._unacked:
            self.take_up(self._lease.lease, self._at)
        self._unacked.append((self._lease.lease, self._at))
        self._at += 1
        self._began = time.perf_counter_ns()
        item = next(self._items)
        self._stream.status.set_item(sketch(item))
        return item

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with."""
        if not self._unacked:
            raise ValueError("task_done() called too many times")
        if self.flush_first is not None:
            self.flush_first()
        lease, index = self._unacked.popleft()
        self._words[Word.DONE] += 1
        self.ack(lease, index + 1, time.perf_counter_ns() - self._began)
        if self._unacked:
            self.take_up(*self._unacked[0])
        else:
            self._stream.status.set_item("")

    def give_up(self) -> None:
        """Never called here: the loops of this transport say themselves which item failed."""
        raise AssertionError

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """A reader does not write. Raises `queue.Full`, since no room will ever come."""
        raise queue.Full

    def join(self) -> None:
        """A reader that waits for its own queue would wait for itself. Raises ValueError."""
        raise ValueError("join() is for the workers that put; this one takes")

    def qsize(self) -> int:
        """Count the items waiting."""
        return self._stream.ask(Message(Kind.STOCK, count=0)).count

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self._left_in_hand() == 0 and self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        return self._stream.ask(Message(Kind.STOCK, count=0)).upto == 0

    def _left_in_hand(self) -> int:
        return 0 if self._lease is None else self._lease.upto - self._at

    def _wait_for_lease(self, timeout: float | None) -> None:
        stream = self._stream
        deadline = None if timeout is None else time.monotonic() + timeout
        while deadline is not None and not stream.leases and not stream.ended:
            if not stream.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                raise queue.Empty

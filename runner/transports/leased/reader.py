"""Where a worker's items arrive under `leased`: leased frames, taken apart and acknowledged.

LEASE ──► next_lease, for the loops;  get and task_done, for a handler that drives its queue
              └── mark: which item is in hand, in a word of shared memory that only this worker writes
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from runner.errors import EndOfStream
from runner.facts import dataclass
from runner.ipc.barrier import heed_barriers
from runner.ipc.frames import Fetch, shares_pickle, unpack
from runner.ipc.status_page import Wait, Word
from runner.ipc.stream import LONGEST, AckMessage, Ended, LeaseMessage, LeftMessage, MoreRequest
from runner.text import safe_repr
from runner.transports.base import nothing_in_hand
from runner.transports.leased.big_items import BigItemReader
from runner.transports.leased.session import WorkerSession

if TYPE_CHECKING:
    from runner.transports.leased.by_hand import HeldOutbox

_APART = 1 << 22
"""Nanoseconds that an item takes at the least where several threads take them: so that each is leased alone, and who is
done first is acknowledged first."""


_STOP, _ENDED, _BEGUN, _RECALLED = Word.STOP, Word.ENDED, Word.BEGUN, Word.RECALLED
_SHOW = Word.SHOW_TAKEN
SLOW = 50_000
"""Nanoseconds from which on an item is begun for itself: others of its lease may then be taken back meanwhile."""
_STRIDE = 500_000
"""Nanoseconds of quicker items that are begun together."""
_GROWTH = 8


class FrameInbox:
    """Takes leased frames apart, and acknowledges them."""

    def __init__(self, session: WorkerSession, big_items: BigItemReader | None = None) -> None:
        """`big_items` gets big items out of the arena."""
        self._session = session
        self._big_items = big_items
        self._words = session.status.words
        self._items: Iterator[object] = iter(())
        self._lease: LeaseMessage | None = None
        self._at = 0
        self._parted_frame: tuple[int, int] | None = None
        self._parted: list[object] = []
        """The items of a frame that is handed out in parts, and what tells it from others: nothing can change them."""
        self._first: int | None = None
        """The place of the first item of the frame that the item in hand is in; None while none is in hand."""
        self._handed = self._first_handed = 0
        """Items that were handed to this worker, up to the lease in hand, and before it."""
        self._left = 0
        """So many of those it has told not to begin, if it had not."""
        self.stride = 1
        """Items that are begun together: what is begun is not taken back."""
        self.nanos = 0
        """What items took since something was said of them last."""
        self._taken: dict[int, deque[_Taken]] = {}
        """What a handler that drives its queue has taken and is not acknowledged, by lease, oldest first."""
        self._takers: set[int] = set()
        self._held = self._waiting = 0
        """Items that it is not done with, and threads that wait for one."""
        self._began = self._busy_before = 0
        """When the last one was taken, and how long the worker had been busy by then."""
        self._is_alone = False
        """Whether it was in hand alone from the first: what passed until it was done is its time."""
        self.outbox: HeldOutbox | None = None
        """Where a handler that drives both its queues puts: what it made of an item leaves with the word that it is
        done."""
        self.before_ack: Callable[[], None] | None = None
        """Called before items are acknowledged, where somebody wants to look at what their handler left behind."""

    def next_lease(self) -> LeaseMessage | None:
        """Wait for the next lease; None at the end of the stream."""
        session = self._session
        if self._words[Word.STOP]:
            return None
        if not session.leases:
            session.take_in()
            began = session.status.show_wait(Wait.ITEM)
            while not session.leases and not session.ended:
                session.wait()
            self._words[Word.STARVED] += time.perf_counter_ns() - began
            session.status.show_wait(Wait.NOTHING)
        if not session.leases or self._words[Word.STOP]:
            return None
        lease = session.leases.popleft()
        self._first_handed = self._handed
        self._handed += lease.stop - lease.start
        if self._big_items is not None:
            lease.body = self._big_items.resolve(lease.body)
        self._words[Word.RECEIVED] += lease.stop - lease.start
        self._words[Word.ATTEMPT] = lease.attempt
        return lease

    # What is begun of a lease, and what the supervisor may take back.

    def heed(self) -> None:
        """Say what is begun, from now on, and begin nothing that is recalled; where the system lets that be safe."""
        self._words[Word.HEEDS] = heed_barriers()

    def claim(self, lease: LeaseMessage, at: int) -> int:
        """Say that items of the lease in hand from `at` on are begun; return where they end, `at` if they may not be.

        In this order: the supervisor writes what it recalls before it reads what is begun, so one of the two sees the
        other's word (barrier.py).
        """
        words, stop = self._words, at + self.stride
        if stop > lease.stop:
            stop = lease.stop
        ended = self._first_handed + at - lease.start
        words[_ENDED] = ended
        words[_BEGUN] = ended + stop - at
        return at if ended < words[_RECALLED] or words[_STOP] else stop

    def leave(self, lease: LeaseMessage, at: int) -> None:
        """Say that items of the lease in hand from `at` on, and what was recalled with them, are not begun."""
        self._words[Word.RECEIVED] -= lease.stop - at
        begun, recalled = self._first_handed + at - lease.start, self._words[Word.RECALLED]
        if self._left <= begun < recalled:
            self._left = recalled
            self._session.stream.send(LeftMessage(begun, recalled))

    def handled(self, items: int, nanos: int) -> None:
        """Items that were begun together have taken so long."""
        self._session.status.count_items(items, nanos)
        self.nanos += nanos
        each = nanos // max(1, items)
        self.stride = 1 if each >= SLOW else min(self.stride * _GROWTH, _STRIDE // max(1, each))

    def handled_each(self, times: list[int], names: list[str]) -> None:
        """Items that were begun one by one have taken so long each; the name of the next may stand behind theirs."""
        if times:
            self._session.status.count_each(times, names)
            self.nanos += sum(times)
            self.stride = 1 if times[-1] >= SLOW else _GROWTH

    def pop_nanos(self) -> int:
        """What items took since this was asked last."""
        nanos, self.nanos = self.nanos, 0
        return nanos

    def open(self, lease: LeaseMessage) -> Iterator[object]:
        """Unpickle what a lease holds, as it is asked for. Arrays may be good only until `release_items`."""
        fetch = None if self._big_items is None else self._big_items.view
        return self._unpack(lease, fetch)

    def release_items(self) -> None:
        """Called before items are acknowledged: what is kept of them must not lie where the next ones will."""
        self._first = None
        if self._big_items is not None:
            self._big_items.release()
        if self.before_ack is not None:
            self.before_ack()

    def release_views(self) -> None:
        """Called between items of a lease: what is kept of a big one must not lie where the next will."""
        if self._big_items is not None:
            self._big_items.release()

    def mark_in_hand(self, lease: int, index: int, first: int) -> None:
        """Mark which item is in hand, of a frame whose first item has that place among all that were put."""
        self._first = first
        self._session.status.mark(lease, index)

    def unmark(self) -> None:
        """No item is in hand: whatever happens now is the fault of none, and takes a time of its own."""
        self._first = None
        self._session.status.unmark()

    def place(self) -> int:
        """Where the item in hand stands among all that were put. Nothing is kept of it: who asks has it worked out."""
        return nothing_in_hand() if self._first is None else self._first + self._words[Word.MARK]

    def ack(self, lease: int, upto: int, nanos: int) -> None:
        """Say that the items of a lease before `upto` are done."""
        self._session.stream.send(AckMessage(lease, upto, nanos))

    # The handler's face: a JoinableQueue's.

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        session = self._session
        while not self._left_in_hand():
            if not session.leases and not session.ended:
                self._wait_for_lease(0.0 if not block else timeout)
            elif (lease := self.next_lease()) is not None:
                self._open_copies(lease)
            else:
                raise EndOfStream
        item = self._take()
        if self._waiting and not session.leases and not self._left_in_hand():
            self._ask_for_more()  # for another thread, which waits since before this item was in hand
        return item

    def task_done(self) -> None:
        """Say that an item is done with: the oldest that this thread took, or where it took none, the oldest."""
        taken = self._oldest()
        taken.done = True
        self._held -= 1
        self._words[Word.IN_HAND] = self._held
        self._words[Word.DONE] += 1
        those = self._taken.get(taken.lease, deque())
        upto = 0
        while those and those[0].done:
            upto = those.popleft().index + 1
        if not those:
            self._taken.pop(taken.lease, None)
        if upto:
            now = time.perf_counter_ns()
            nanos = now - self._began
            if self._is_alone:
                status = self._session.status
                status.count_items(1, status.busy_at(now) - self._busy_before)
            nanos = nanos if len(self._takers) == 1 else max(nanos, _APART)
            if self.outbox is None:
                self.ack(taken.lease, upto, nanos)
            else:
                self.outbox.commit([Ended(taken.lease, upto)], nanos)
        self._mark_oldest()

    def _open_copies(self, lease: LeaseMessage) -> None:
        # Whoever drives the queue still holds an item when it says that it is done with it, so it gets a copy.
        fetch = None if self._big_items is None else self._big_items.copy
        self._lease, self._at = lease, lease.start
        self._items = self._unpack(lease, fetch)

    def open_copy(self, lease: LeaseMessage) -> Iterator[object]:
        """The same, with nothing of it in the arena: other items that are in hand need not end with these."""
        return self._unpack(lease, None if self._big_items is None else self._big_items.copy)

    def _unpack(self, lease: LeaseMessage, fetch: Fetch | None) -> Iterator[object]:
        """Unpickle what a lease holds, as it is asked for, and show some of it where somebody looks on."""
        items = self._items_of(lease, fetch)
        if self._words[_SHOW] and (tap := self._session.tap) is not None:
            return tap.taken(items, lease.first + lease.start, lease.stop - lease.start)
        return items

    def _items_of(self, lease: LeaseMessage, fetch: Fetch | None) -> Iterator[object]:
        """A frame that can only be unpickled whole is kept as long as parts of it come."""
        if not shares_pickle(lease.body):
            return unpack(lease.body, lease.start, lease.stop, fetch)
        frame = lease.first, len(lease.body)
        if frame != self._parted_frame:
            items = list(unpack(lease.body, 0, LONGEST))
            if len(items) == lease.stop - lease.start:
                return iter(items)
            self._parted_frame, self._parted = frame, items
        return iter(self._parted[lease.start : lease.stop])

    def _take(self) -> object:
        assert self._lease is not None
        if not self._held:
            self.mark_in_hand(self._lease.lease, self._at, self._lease.first)
            self._session.status.set_item("")
        thread = threading.get_ident()
        self._takers.add(thread)
        those = self._taken.setdefault(self._lease.lease, deque())
        taken = _Taken(self._lease.lease, self._at, self._lease.first, thread)
        those.append(taken)
        self._held += 1
        self._words[Word.IN_HAND] = self._held
        self._at += 1
        self._is_alone = self._held == 1
        self._began = time.perf_counter_ns()
        self._busy_before = self._session.status.busy_at(self._began)
        item = next(self._items)
        taken.text = safe_repr(item)
        if self._held == 1:  # the name goes with the mark
            self._session.status.set_item(taken.text)
        return item

    def _oldest(self) -> _Taken:
        """The item that a `task_done` of this thread is about. Raises ValueError where there is none."""
        if not self._held:
            raise ValueError("task_done() called too many times")
        thread = threading.get_ident()
        left = (taken for those in self._taken.values() for taken in those if not taken.done)
        if len(self._takers) == 1 or thread not in self._takers:
            return next(left)
        return next((taken for taken in left if taken.thread == thread), None) or self._first_left()

    def _first_left(self) -> _Taken:
        return next(taken for those in self._taken.values() for taken in those if not taken.done)

    def _mark_oldest(self) -> None:
        if self._held:
            oldest = self._first_left()
            self.mark_in_hand(oldest.lease, oldest.index, oldest.first)
            self._session.status.set_item(oldest.text)
        else:
            self._first = None
            self._session.status.set_item("")

    def _ask_for_more(self) -> None:
        self._session.stream.send(MoreRequest(self._held))

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """A reader does not write. Raises `queue.Full`, since no room will ever come."""
        raise queue.Full

    def join(self) -> None:
        """A reader that waits for its own queue would wait for itself. Raises ValueError."""
        raise ValueError("join() is for the workers that put; this one takes")

    def qsize(self) -> int:
        """Count the items waiting."""
        return self._session.stock(of_outbox=False).waiting

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self._left_in_hand() == 0 and self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        return self._session.stock(of_outbox=False).room == 0

    @property
    def holds_any(self) -> bool:
        """Whether a handler that drives its queue has taken items that it is not done with."""
        return self._held > 0

    def _left_in_hand(self) -> int:
        return 0 if self._lease is None else self._lease.stop - self._at

    def _wait_for_lease(self, timeout: float | None) -> None:
        """Wait until there is something to take, for this thread or another. Raises `queue.Empty`."""
        session = self._session
        if self.outbox is not None:
            self.outbox.flush()
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._held:
            self._ask_for_more()
        session.take_in()
        began = session.status.show_wait(Wait.ITEM)
        self._waiting += 1
        try:
            while not session.leases and not session.ended and not self._left_in_hand():
                left = None if deadline is None else deadline - time.monotonic()
                if (
                    not session.wait(left if left is None else max(0.0, left))
                    and left is not None
                    and left <= 0
                ):
                    raise queue.Empty
        finally:
            self._waiting -= 1
            self._words[Word.STARVED] += time.perf_counter_ns() - began
            session.status.show_wait(Wait.NOTHING)


@dataclass(slots=True)
class _Taken:
    """An item that a handler which drives its queue has taken."""

    lease: int
    index: int
    first: int
    thread: int
    text: str = ""
    """What it is called."""
    done: bool = False

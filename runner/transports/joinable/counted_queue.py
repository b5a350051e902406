"""The standard library's JoinableQueue, with what a run needs to know of it: counts, names, waits, endings.

    put ──► feeder thread ──► pipe ──► get                 every lock of it is the standard library's
     └────── words of the worker's status page ──────┘     read by the supervisor, which touches no lock of theirs

Nothing waits that can be had at once: only who finds the queue empty, full, or a lock of it taken looks at the clock.
Who waits for an item is woken by its bell, a descriptor that becomes readable when its page has something new to say.
"""

from __future__ import annotations

import math
import os
import pickle
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.queues import JoinableQueue
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from select import POLLIN
from struct import Struct
from typing import Any, NoReturn, cast

from runner.errors import EndOfStream, HandlerError, NotTheWorker, Stopping
from runner.ipc.frames import NUMBERS, TEXTS, load_item
from runner.ipc.shown_items import Side
from runner.ipc.status_page import StatusPage, StopRequest, Wait, Word
from runner.process.real_threads import RealCondition, poll, real_threading
from runner.spec.model import Role
from runner.spec.plan import WorkerPlan
from runner.text import describe_error, safe_repr
from runner.transports.item_tap import ItemTap

_now = time.monotonic
"""What the clock was when this was imported: a handler that puts another in its place has no part in our waits."""
_sleep = time.sleep
_read, _readv, _write = os.read, os.readv, os.write
_clock = time.perf_counter_ns
_put, _get, _task_done = JoinableQueue.put, JoinableQueue.get, JoinableQueue.task_done
_FLUSH_LOOK = 0.0005
"""Seconds until the first look whether all that was put is on its way: it mostly is at once."""
_IDLE_LOOK = 0.1
"""Seconds between two looks of a reader that has had nothing for a while: its bell wakes it, except from a lock."""
_ATOMS = NUMBERS | TEXTS
"""Types that nothing can change and that always pickle: these the feeder pickles, as it would by hand."""
_HEAD = Struct("!i")
"""What the standard library writes before a message: its length; -1 for one that has its length in eight bytes."""
_LONG_HEAD = Struct("!Q")
_WHOLE = 4096 - _HEAD.size
"""Bytes of a message that a pipe takes at once or not at all (PIPE_BUF), its head included."""


class _NoWords:
    """Stands for the words of a page in a process that has none: each use of a queue reads one before all else."""

    def __getitem__(self, _: object) -> NoReturn:
        raise NotTheWorker("a process that a handler forked has no queue: only its worker does")


class CountedQueue(JoinableQueue):  # type: ignore[type-arg]  # the standard library's class has no parameters
    """A JoinableQueue that counts in the status page of the worker that uses it.

    `put` pickles at once what can change, or may not pickle: the standard library pickles in a thread, where an item
    that can't be pickled is lost and `join` then waits for ever.
    """

    _reader: Connection  # the standard library's own, which its type stubs leave out
    _writer: Connection
    _cond: Any
    _unfinished_tasks: Any
    _status: StatusPage
    _tap: ItemTap
    _words: memoryview
    _is_producer = False
    _look = 0.02
    _bell = -1
    _head = b""
    """The head of a message that has been read ahead of it."""
    _taken = 0
    """Items that this worker has taken."""
    _held = 0
    """Those of them that it has not ended."""
    _entered = 0
    """Items that this worker has put: they wait in its memory until its feeder, a thread, finds room in the pipe."""
    _delivered = 0
    """Those of them that are in the pipe."""
    _lost: OSError | None = None
    """Why one of them will never be."""

    def use_as(self, worker: WorkerPlan, status: StatusPage, look: float, bell: int, tap: ItemTap) -> None:
        """Called in a worker before its first put or get.

        `look` are the seconds between two looks of one that waits at its page, `bell` a descriptor that can be read
        once there is something new in it. `tap` shows some items to whoever looks on.
        """
        self._status = status
        self._tap = tap
        self._words = status.words
        self._look = look
        self._is_producer = worker.role is Role.PRODUCER
        self._counting = threading.Lock()
        self._notempty = RealCondition()  # its feeder is a real thread, and waits in it
        self._from, self._to, self._bell = self._reader.fileno(), self._writer.fileno(), bell
        self._arrivals, self._poller = poll(), poll()
        self._arrivals.register(self._from, POLLIN)
        self._poller.register(self._from, POLLIN)
        self._poller.register(bell, POLLIN)
        # The standard library looks these up in the instance: how a queue waits, receives and sends.
        self._poll = self._has_item
        self._recv_bytes = self._receive
        self._send_bytes = self._deliver
        Finalize(self, self._give_up_unread, exitpriority=0)  # before it waits for its feeder, a thread

    def after_fork(self) -> None:
        """Called in a process that the worker forked: it has no items, and what it counts, nobody sees."""
        self._words = cast("memoryview", _NoWords())

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`; `Stopping` in a producer while the run stops."""
        if (
            not self.enter(item, block, timeout)
            and self._words[Word.SHOW_MADE] > self._words[Word.SHOWN_MADE]
        ):
            self._show(Side.MADE, item)

    def enter(self, item: object, block: bool = True, timeout: float | None = None) -> bool:
        """As `put`, for a loop that looks itself now and then whether somebody looks on. Returns whether it was shown,
        as one is for which there was no room at once."""
        words, kind = self._words, type(item)
        if words[Word.STOP] and self._is_producer:
            raise Stopping
        carried: object = item
        if not (kind in _ATOMS or (kind is tuple and _ATOMS.issuperset(map(type, cast("Any", item))))):
            carried = [bytes(ForkingPickler.dumps(item, pickle.HIGHEST_PROTOCOL))]
        waited = False
        try:
            _put(self, carried, False)
        except queue.Full:
            if not block:
                raise
            with self._shown(Wait.ROOM, timeout):
                self._put_when_room(carried, timeout, words)
            waited = True
        with self._counting:
            words[Word.SENT] = self._entered = self._entered + 1
        return waited and words[Word.SHOW_MADE] > words[Word.SHOWN_MADE] and self._show(Side.MADE, item)

    def _put_when_room(self, carried: object, timeout: float | None, words: memoryview) -> None:
        deadline = None if timeout is None else _now() + timeout
        with self._waited(Word.BLOCKED):
            while True:
                try:
                    _put(self, carried, True, self._next_look(deadline))
                    return
                except queue.Full:
                    if words[Word.STOP]:  # nobody makes room any more, or a producer is to end
                        raise Stopping from None
                    if deadline is not None and _now() >= deadline:
                        raise

    def _deliver(self, payload: memoryview) -> None:
        """What its feeder calls, alone. A short message is one write, as the standard library's is."""
        size = len(payload)
        try:
            if size <= _WHOLE:
                _write(self._to, _HEAD.pack(size) + payload)
            else:
                self._writer.send_bytes(payload)
        except OSError as error:
            self._lost = error
            raise
        self._delivered += 1

    def flush_puts(self) -> None:
        """
        Wait until all that this worker has put is in the pipe, where others find it also when this worker is gone.

        It is part of the work, and takes as long as the readers do. Where nobody reads any more it returns at once.

        Raises:
            HandlerError: an item could not be sent, as where a handler has closed what it is sent by.
        """
        if self._delivered >= self._entered:
            return
        words, pause = self._own_words(), _FLUSH_LOOK
        with self._shown(Wait.ROOM, None), self._waited(Word.BLOCKED):
            while self._delivered < self._entered and words[Word.STOP] != StopRequest.WAITING:
                if self._lost is not None:
                    raise HandlerError(
                        f"an item that was put could not be sent: {describe_error(self._lost)}"
                    )
                _sleep(pause)
                pause = min(self._look, 2 * pause)

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        words = self._words
        if words[Word.STOP]:
            raise EndOfStream
        try:
            carried = _get(self, False)
        except queue.Empty:
            carried = self._get_when_there(words, block, timeout)
        with self._counting:
            self._held += 1
            words[Word.RECEIVED] = self._taken = self._taken + 1
        item: object = load_item(carried[0]) if type(carried) is list else carried
        if words[Word.SHOW_TAKEN] > words[Word.SHOWN_TAKEN]:
            self._show(Side.TAKEN, item)
        self._status.set_item(safe_repr(item))
        return item

    def take(self) -> object:
        """As `get`, for a loop that holds one item: no thread of the handler's uses this end."""
        words = self._words
        if words[Word.STOP]:
            raise EndOfStream
        waited = False
        try:
            carried = _get(self, False)
        except queue.Empty:
            carried = self._get_when_there(words, True, None)
            waited = True
        self._held = 1
        words[Word.RECEIVED] = self._taken = self._taken + 1
        item: object = load_item(carried[0]) if type(carried) is list else carried
        if waited and words[Word.SHOW_TAKEN] > words[Word.SHOWN_TAKEN]:
            self._show(Side.TAKEN, item)
        self._status.set_item(safe_repr(item))
        return item

    def take_showing(self) -> object:
        """As `take`, while somebody looks on."""
        words = self._words
        before = words[Word.SHOWN_TAKEN]
        item = self.take()
        if words[Word.SHOW_TAKEN] > words[Word.SHOWN_TAKEN] == before:
            self._show(Side.TAKEN, item)
        return item

    def _show(self, side: Side, item: object) -> bool:
        """Show an item to whoever looks on, if there is leave; return whether it was shown."""
        shows = self._tap.may_show(side) > 0
        if shows:
            self._tap.show(side, item)
        return shows

    def _get_when_there(self, words: memoryview, block: bool, timeout: float | None) -> Any:
        if not block:
            if words[Word.END]:
                raise EndOfStream from None
            raise queue.Empty
        if timeout is not None:
            return self._get_within(words, timeout)
        try:
            return self._get_within(words, self._look)
        except queue.Empty:
            with self._shown(Wait.ITEM, None):
                return self._get_within(words, math.inf)

    def _get_within(self, words: memoryview, seconds: float) -> Any:
        deadline = _now() + seconds
        look = self._look if seconds < math.inf else max(self._look, _IDLE_LOOK)
        with self._waited(Word.STARVED):
            while True:
                if words[Word.STOP]:
                    raise EndOfStream
                try:
                    return _get(self, True, max(0.0, min(look, deadline - _now())))
                except queue.Empty:
                    if words[Word.END]:
                        raise EndOfStream from None
                    if _now() >= deadline:
                        raise

    def _has_item(self, timeout: float = 0.0) -> bool:
        """Called by who holds the lock of the reading end. Returns early, with nothing, where the bell has rung.

        To read is quicker than to ask whether one can: so the head of the message is read, if there is one.
        """
        if not self._head:
            try:
                self._head = _read(self._from, _HEAD.size)
            except BlockingIOError:
                return timeout > 0 and self._can_be_read_within(timeout)
        return True

    def _can_be_read_within(self, timeout: float) -> bool:
        for descriptor, _ in self._poller.poll(timeout * 1000):
            if descriptor == self._from:
                return True
            if not (self._words[Word.STOP] or self._words[Word.END]):
                self._poller.unregister(
                    self._bell
                )  # broken, as where a handler has closed it: only looks are left
        return False

    def _receive(self) -> bytes | bytearray:
        """Take the next message from the pipe, as the standard library would, in no more calls than it needs."""
        head, self._head = self._head or _read(self._from, _HEAD.size), b""
        if len(head) < _HEAD.size:
            head = bytes(self._read_rest(head, _HEAD.size))
        (size,) = _HEAD.unpack(head)
        if size < 0:
            (size,) = _LONG_HEAD.unpack(self._read_rest(b"", _LONG_HEAD.size))
        if size > _WHOLE:
            return self._read_rest(b"", size)
        payload = _read(self._from, size)
        return payload if len(payload) == size else self._read_rest(payload, size)

    def _read_rest(self, begun: bytes, size: int) -> bytearray:
        """Wait for the rest of a message: whoever writes it is about to."""
        whole, at = bytearray(size), len(begun)
        whole[:at] = begun
        with memoryview(whole) as view:
            while at < size:
                self._arrivals.poll()
                count = _readv(self._from, [view[at:]])
                if not count:
                    raise EOFError
                at += count
        return whole

    def empty(self) -> bool:
        """Whether there is nothing to take right now. Any thread may ask while another waits."""
        poller = poll()
        poller.register(self._from, POLLIN)
        return not poller.poll(0)

    def _start_thread(self) -> None:
        with real_threading():
            super()._start_thread()  # type: ignore[misc]  # the standard library's own, which its type stubs leave out

    def task_done(self) -> None:
        """Say that one item that was taken is done with. Raises ValueError where this worker holds none."""
        self._end_item(Word.DONE)

    def give_up(self) -> None:
        """Say that one item that was taken has failed: it counts as dropped, and `join` does not wait for it."""
        self._end_item(Word.FAILED)

    def hold_handled(self) -> None:
        """Nobody asks here which item is in hand."""

    def _end_item(self, how: int) -> None:
        words = self._own_words()
        with self._counting:
            if not self._held:
                # The standard library would take it for another worker's item, and `join` would be over too soon.
                raise ValueError("task_done() called too many times")
            _task_done(self)
            words[how] += 1
            self._held -= 1
            if not self._held:
                words[Word.ITEM] = 0

    def finish(self) -> None:
        """As `task_done`, for a loop that holds one item, and does so with no other thread at this end."""
        words = self._words
        done = words[Word.DONE]  # first: a fork that has come back from the handler ends nothing
        _task_done(self)
        words[Word.DONE] = done + 1
        self._held = words[Word.ITEM] = 0

    def join(self) -> None:
        """Wait until every item ever put is done. Raises `Stopping` once nobody works them off any more."""
        words = self._own_words()
        with self._shown(Wait.JOIN, None), self._waited(Word.BLOCKED), self._cond:
            while self._has_unfinished():
                if words[Word.STOP] == StopRequest.WAITING:
                    raise Stopping
                self._cond.wait(self._look)  # the standard library's own never looks up

    def descriptors(self) -> tuple[int, int]:
        """The pipe's two ends: what a forked worker that uses this queue must keep open."""
        return self._reader.fileno(), self._writer.fileno()

    def dispose(self) -> None:
        """Called in the supervisor, once no worker is left: close the pipe. Semaphores go with the object."""
        self.close()
        self._reader.close()
        self._writer.close()

    def _has_unfinished(self) -> bool:
        """Whether some item was put and is not done; whoever asks holds `_cond`, as whoever counts does."""
        if not self._unfinished_tasks.acquire(False):
            return False
        self._unfinished_tasks.release()
        return True

    def _give_up_unread(self) -> None:
        """Called when the worker ends: where nobody reads any more, what is not in the pipe yet would never fit."""
        if self._status.words[Word.STOP] == StopRequest.WAITING:
            self.cancel_join_thread()

    @contextmanager
    def _shown(self, why: Wait, timeout: float | None) -> Iterator[None]:
        """Show in the page what goes on waiting. A wait that ends by itself is none that others must end."""
        if timeout is not None:
            yield
            return
        self._status.show_wait(why)
        try:
            yield
        finally:
            self._status.show_wait(Wait.NOTHING)

    @contextmanager
    def _waited(self, word: int) -> Iterator[None]:
        """Count what passes meanwhile as waited, not as busy."""
        page, began = self._status, _clock()
        page.pause_work()
        try:
            yield
        finally:
            with self._counting:  # a handler that drives its queue may have several threads
                page.words[word] += _clock() - began
            page.resume_work()

    def _own_words(self) -> memoryview:
        _ = self._words[Word.STOP]
        return self._words

    def _next_look(self, deadline: float | None) -> float:
        return self._look if deadline is None else max(0.0, min(self._look, deadline - _now()))

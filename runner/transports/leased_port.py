"""A worker's side of `leased`: items come in leased frames, leave in frames of its own, over its private stream.

    LEASE ──► FrameInbox ──► handler ──► FrameOutbox ──► PUT with the acknowledgement of what it was made from
                  └── mark: which item is in hand, in a word of shared memory that only this worker writes

Frames are filled for a millisecond or two. If the handler then sleeps on an item, a second thread sends what has gathered,
so that no item waits long for company; it is only started once items do gather.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import GeneratorType

from runner.errors import EndOfStream, Stopping
from runner.frames import ATOMS, UnpackError, is_safe, pack_safe, pack_series, pickle_alone, unpack
from runner.sketch import sketch
from runner.status import StatusPage, Word
from runner.transports.base import Fail
from runner.wire import Kind, Message, WorkerWire

FILL_SECONDS = 0.002
"""How long a frame may take to fill where items come quickly."""
_TICK = 0.0005
_NAME_FROM = 0.001
"""Seconds an item must take before it is named in the status page: naming costs a microsecond or two."""
_NO_GRANT = 1


class Stream:
    """The worker's private stream, sorted by what comes: leases, credit, answers."""

    def __init__(self, wire: WorkerWire, status: StatusPage) -> None:
        self.wire = wire
        self.status = status
        self.leases: deque[Message] = deque()
        self.granted = 0
        """Items that may be sent unasked, counted since the start; only the main thread takes in messages."""
        self.spent = 0
        """Of these, how many were sent; only whoever holds the outbox's lock sends frames."""
        self.answered = 0
        """CREDITs that have come: one for each PUT."""
        self.most_per_frame = 1
        self.answers: deque[Message] = deque()
        self.ended = False

    @property
    def credit(self) -> int:
        """Items that may be sent unasked."""
        return self.granted - self.spent

    def wait(self, timeout: float | None = None) -> bool:
        """Take in the next message, waiting for it; False if none came in time.

        Raises:
            SystemExit: the supervisor is gone. So will this worker be: it dies with its parent.
        """
        try:
            message = self.wire.receive(timeout)
        except (EOFError, OSError):
            raise SystemExit(1) from None
        if message is None:
            return False
        match message.kind:
            case Kind.LEASE:
                self.leases.append(message)
            case Kind.CREDIT:
                self.granted += message.count
                self.answered += 1
                self.most_per_frame = message.upto
            case Kind.END:
                self.ended = True
            case Kind.JOINED | Kind.STOCK:
                self.answers.append(message)
            case _:
                pass
        return True

    def take_in(self) -> None:
        """Take in what has come, without waiting."""
        while self.wait(0):
            pass

    def ask(self, message: Message) -> Message:
        """Send a question and wait for its answer."""
        self.wire.send(message)
        while not self.answers:
            self.wait()
        return self.answers.popleft()


@dataclass(slots=True)
class _Done:
    """How far a lease has come: what the next message acknowledges."""

    lease: int = 0
    upto: int = 0
    partial: int = 0


class FrameOutbox:
    """Gathers items and sends them in frames, within the credit that the supervisor gives."""

    def __init__(self, stream: Stream, *, stops: bool) -> None:
        """`stops`: a producer's, whose put ends it while the run is being stopped."""
        self._stream = stream
        self._words = stream.status.words
        self._stops = stops
        self._safe: list[object] = []
        self._pickles: list[bytes] = []
        self._lock = threading.Lock()
        self._flusher: threading.Thread | None = None
        self._gathering = threading.Event()
        self._sends = 0
        self._sent_at = time.perf_counter()
        self._done = _Done()
        self.room = _NO_GRANT
        """Items that the frame being filled may hold."""

    # The handler's face: a JoinableQueue's.

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`; `Stopping` in a producer while the run stops."""
        self.check_stop()
        if not block or timeout is not None:
            self._wait_for_room(timeout if block and timeout is not None else 0.0)
        self.add(item)

    def join(self) -> None:
        """Wait until every item ever put is done."""
        self.flush()
        self._waiting(lambda: self._stream.ask(Message(Kind.JOIN)))

    def task_done(self) -> None:
        """An outbox hands out nothing. Raises ValueError, as a JoinableQueue does when called too often."""
        raise ValueError("task_done() called too many times")

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """An outbox hands out nothing. Raises `queue.Empty`."""
        raise queue.Empty

    def qsize(self) -> int:
        """Count the items waiting in the queue."""
        self.flush()
        return self._stream.ask(Message(Kind.STOCK, count=1)).count

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        self.flush()
        return self._stream.ask(Message(Kind.STOCK, count=1)).upto == 0

    # The loops' face.

    def add(self, item: object) -> None:
        """Gather one item; send when the frame is full. One that can't be pickled raises here, at its put."""
        if is_safe(item):
            self.add_safe(item)
        else:
            self._add_pickled(pickle_alone(item))

    def add_safe(self, item: object) -> None:
        """Gather an item that nothing can change."""
        if self._pickles:
            self.flush()
        self._safe.append(item)
        self._added(len(self._safe))

    def open_safe(self) -> list[object]:
        """Return the list to which the producer's loop appends safe items itself, up to `room`, then calls `flush`."""
        if self._pickles:
            self.flush()
        return self._safe

    def start_gathering(self) -> None:
        """Something waits in a frame that is not full: see to it that it does not wait long."""
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_in_time, name="mprun-flusher", daemon=True)
            self._flusher.start()
        self._gathering.set()

    def output(self, item: object) -> None:
        """Gather one output of the item in hand. Raises here if it can't be pickled."""
        payload = None if is_safe(item) else pickle_alone(item)
        if self._pickles if payload is None else self._safe:
            self.flush()
        with self._lock:
            if payload is None:
                self._safe.append(item)
            else:
                self._pickles.append(payload)
            self._done.partial += 1
            count = len(self._safe) or len(self._pickles)
        if count >= self.room:
            self.flush()
        elif count == 1:
            self.start_gathering()

    def begin(self, lease: int, at: int, partial: int = 0) -> None:
        """Item `at` of a lease is in hand, and those before it are done: the next frame says so."""
        with self._lock:
            self._done = _Done(lease, at, partial)

    def flush(self, nanos: int = 0) -> bool:
        """Send what has gathered, waiting for credit if there is none. False if there was nothing."""
        with self._lock:
            unasked = self._stream.credit
            sent = self._send(nanos)
        if sent:
            self._stream.take_in()
            if sent > unasked:
                self._waiting(self._wait_until_answered)
            self._set_room(sent)
        return bool(sent)

    def check_stop(self) -> None:
        """Raise `Stopping` in a producer that is to end."""
        if self._stops and self._words[Word.STOP]:
            self.flush()
            raise Stopping

    def _add_pickled(self, payload: bytes) -> None:
        if self._safe:
            self.flush()
        self._pickles.append(payload)
        self._added(len(self._pickles))

    def _added(self, count: int) -> None:
        if count >= self.room:
            self.flush()
        elif count == 1:
            self.start_gathering()

    def _send(self, nanos: int = 0) -> int:
        """Send one frame; the lock is held. Appending goes on meanwhile, so only what was counted is removed."""
        count = len(self._safe) or len(self._pickles)
        if not count:
            return 0
        if self._safe:
            body = pack_safe(self._safe[:count])
            del self._safe[:count]
        else:
            body = pack_series(self._pickles[:count])
            del self._pickles[:count]
        done = self._done
        self._stream.wire.send(Message(Kind.PUT, count, done.upto, done.partial, done.lease, nanos, body))
        self._stream.spent += min(count, self._stream.credit)
        self._words[Word.SENT] += count
        self._sends += 1
        return count

    def _wait_until_answered(self) -> None:
        """What went beyond the grant is in the queue once every frame has its answer."""
        while self._stream.answered < self._sends:
            self._stream.wait()

    def _set_room(self, sent: int) -> None:
        """Size the next frame: as many as came in the time of the last, scaled to the time that a frame may take."""
        now = time.perf_counter()
        took = max(now - self._sent_at, 1e-6)
        self._sent_at = now
        stream = self._stream
        fitting = int(sent * FILL_SECONDS / took)
        self.room = max(1, min(fitting, 8 * sent, stream.most_per_frame, stream.credit))

    def _wait_for_room(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.full():
            if time.monotonic() >= deadline:
                raise queue.Full
            time.sleep(_TICK)

    def _waiting(self, wait: Callable[[], object]) -> None:
        began = time.perf_counter_ns()
        wait()
        self._words[Word.BLOCKED] += time.perf_counter_ns() - began

    def _flush_in_time(self) -> None:
        """The flusher's life: send what has waited for a whole tick while nothing else was sent."""
        while True:
            self._gathering.wait()
            sends = self._sends
            time.sleep(_TICK)
            with self._lock:
                if sends == self._sends and not self._send():
                    self._gathering.clear()


class FrameInbox:
    """Takes leased frames apart, and acknowledges them."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._words = stream.status.words
        self._items: Iterator[object] = iter(())
        self._lease: Message | None = None
        self._at = 0
        self._unacked: deque[tuple[int, int]] = deque()
        self._began = 0

    def next_lease(self) -> Message | None:
        """Wait for the next lease; None at the end of the stream."""
        stream = self._stream
        if not stream.leases:
            stream.take_in()
            began = time.perf_counter_ns()
            while not stream.leases and not stream.ended:
                stream.wait()
            self._words[Word.STARVED] += time.perf_counter_ns() - began
        if not stream.leases:
            return None
        lease = stream.leases.popleft()
        self._words[Word.RECEIVED] += lease.upto - lease.count
        self._words[Word.ATTEMPT] = lease.nanos
        return lease

    def ack(self, lease: int, upto: int, nanos: int) -> None:
        """Say that the items of a lease before `upto` are done."""
        self._stream.wire.send(Message(Kind.ACK, upto=upto, lease=lease, nanos=nanos))

    # The handler's face: a JoinableQueue's.

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        while self._lease is None or self._at == self._lease.upto:
            self._wait_for_lease(0.0 if not block else timeout)
            self._lease = self.next_lease()
            if self._lease is None:
                raise EndOfStream
            self._at = self._lease.count
            self._items = unpack(bytes(self._lease.body), self._lease.count, self._lease.upto)
        if not self._unacked:
            self._mark(self._lease.lease, self._at)
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
        lease, index = self._unacked.popleft()
        self._words[Word.DONE] += 1
        self.ack(lease, index + 1, time.perf_counter_ns() - self._began)
        if self._unacked:
            self._mark(*self._unacked[0])
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

    def _mark(self, lease: int, index: int) -> None:
        self._words[Word.MARK] = lease << 32 | index


@dataclass(frozen=True, slots=True)
class FrameLoops:
    """The loops over frames. What every item passes is kept flat, since its cost is the speed of the whole."""

    stream: Stream
    inbox: FrameInbox | None
    outbox: FrameOutbox | None

    def produce(self, items: Iterable[object], fail: Fail) -> None:
        """Put each item until there are no more or the run is being stopped."""
        outbox = self.outbox
        assert outbox is not None
        words = self.stream.status.words
        iterator = iter(items)
        began = time.perf_counter_ns()
        try:
            self._gather(iterator, outbox, fail)
        finally:
            if isinstance(iterator, GeneratorType):
                iterator.close()
            outbox.flush()
            words[Word.BUSY] += time.perf_counter_ns() - began - words[Word.BLOCKED]

    def _gather(self, iterator: Iterator[object], outbox: FrameOutbox, fail: Fail) -> None:
        words = self.stream.status.words
        frame = outbox.open_safe()
        append, atoms, stop = frame.append, ATOMS, Word.STOP
        room = outbox.room
        for item in iterator:
            if type(item) in atoms:
                append(item)
                count = len(frame)
                if count < room:
                    if count == 1:
                        outbox.start_gathering()
                    continue
                outbox.flush()
            else:
                try:
                    outbox.add(item)
                except Stopping:
                    raise
                except Exception as error:
                    words[Word.FAILED] += 1
                    fail(item, error)
                frame = outbox.open_safe()
                append = frame.append
            room = outbox.room
            if words[stop]:
                return

    def consume(self, call: Callable[[object], object], fail: Fail) -> None:
        """Call the handler with each item, and put what it returns, until the stream ends."""
        inbox = self.inbox
        assert inbox is not None
        work = self._work_off if self.outbox is None else self._pass_on
        while (lease := inbox.next_lease()) is not None:
            clock = _Clock(self.stream.status)
            items = self._open(lease)
            at = lease.count
            while at < lease.upto:
                at = work(lease, items, at, call, fail, clock)

    def _open(self, lease: Message) -> Iterator[object]:
        items = unpack(bytes(lease.body), lease.count, lease.upto)
        # An item that is handled alone is slow, or new, or suspect: its name is worth a microsecond.
        return _named(items, self.stream.status) if lease.upto - lease.count == 1 else items

    def _work_off(
        self,
        lease: Message,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: Fail,
        clock: _Clock,
    ) -> int:
        """A consumer's loop: handle items from `at` on, up to the end or a failure; return where to go on."""
        assert self.inbox is not None
        words, base = self.stream.status.words, lease.lease << 32
        mark, item = base + at - 1, _NOTHING
        try:
            for mark, item in enumerate(items, base + at):  # noqa: B020 - `mark` and `item` outlive the loop on purpose
                words[_MARK] = mark
                call(item)
        except (Stopping, EndOfStream):
            raise
        except (Exception, SystemExit) as error:
            return self._failed(lease, mark - base, item, error, fail, clock, at)
        words[Word.DONE] += lease.upto - at
        self.inbox.ack(lease.lease, lease.upto, clock.stop())
        return lease.upto

    def _pass_on(
        self,
        lease: Message,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: Fail,
        clock: _Clock,
    ) -> int:
        """A pipe stage's loop: as a consumer's, and what the handler returns goes on with the acknowledgement."""
        outbox, words, base = self.outbox, self.stream.status.words, lease.lease << 32
        assert outbox is not None
        mark, item = base + at - 1, _NOTHING
        skip = lease.partial if at == lease.count else 0
        try:
            for mark, item in enumerate(items, base + at):
                words[_MARK] = mark
                outbox.begin(lease.lease, mark - base, skip)
                _put_value(outbox, call(item), skip)
                skip = 0
                words[Word.DONE] += 1
        except (Stopping, EndOfStream):
            raise
        except (Exception, SystemExit) as error:
            outbox.flush()
            return self._failed(lease, mark - base, item, error, fail, clock, at)
        self._acknowledge(lease, clock)
        return lease.upto

    def _acknowledge(self, lease: Message, clock: _Clock) -> None:
        """The lease is done: say so with what is left of its outputs, or alone if nothing is."""
        assert self.inbox is not None and self.outbox is not None
        self.outbox.begin(lease.lease, lease.upto)
        nanos = clock.stop()
        if not self.outbox.flush(nanos):
            self.inbox.ack(lease.lease, lease.upto, nanos)

    def _failed(
        self,
        lease: Message,
        index: int,
        item: object,
        error: BaseException,
        fail: Fail,
        clock: _Clock,
        began_at: int,
    ) -> int:
        """One item failed: those before it are done. Return where to go on."""
        if isinstance(error, UnpackError):
            index, item = index + 1, _Unreadable()
            assert error.__cause__ is not None
            error = error.__cause__
        words = self.stream.status.words
        if self.outbox is None:
            words[Word.DONE] += index - began_at
        words[Word.FAILED] += 1
        self.stream.wire.send(Message(Kind.FAILED, upto=index, lease=lease.lease, nanos=clock.stop()))
        fail(item, error)
        return index + 1


_MARK = int(Word.MARK)
_NOTHING = object()


class _Unreadable:
    """Stands for an item that could not be unpickled."""

    def __repr__(self) -> str:
        return "<an item that can't be unpickled>"


def _named(items: Iterator[object], status: StatusPage) -> Iterator[object]:
    for item in items:
        status.set_item(sketch(item))
        yield item
        status.set_item("")


def _put_value(outbox: FrameOutbox, value: object, skip: int) -> None:
    """Put what a handler returned, but not the first `skip` outputs: an earlier attempt has put those."""
    if value is None:
        return
    if isinstance(value, GeneratorType):
        for each in islice(value, skip, None):
            outbox.output(each)
    elif not skip:
        outbox.output(value)


class _Clock:
    """Busy time of a lease: what passes, less what was spent waiting for credit."""

    def __init__(self, status: StatusPage) -> None:
        self._words = status.words
        self._began = time.perf_counter_ns()
        self._blocked = self._words[Word.BLOCKED]

    def stop(self) -> int:
        """Count the time since the last stop as busy; return it in nanoseconds."""
        now, blocked = time.perf_counter_ns(), self._words[Word.BLOCKED]
        nanos = max(0, now - self._began - (blocked - self._blocked))
        self._began, self._blocked = now, blocked
        self._words[Word.BUSY] += nanos
        return nanos

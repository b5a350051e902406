"""Where a worker's items leave under `leased`: gathered into frames, sent within the credit that the supervisor gives.

    put ──► frame being filled ──full, or half a millisecond old──► PUT, with the acknowledgement of what it was made from

Frames are filled for a millisecond or two. If the handler then sleeps on an item, a second thread sends what has gathered,
so that no item waits long for company; it is only started once items do gather.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import Stopping
from runner.frames import is_safe, pack_safe, pack_series, pickle_alone
from runner.status import Word
from runner.transports.leased_stream import Stream
from runner.wire import Kind, Message

FILL_SECONDS = 0.002
"""How long a frame may take to fill where items come quickly."""
_TICK = 0.0005
_NO_GRANT = 1


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

"""Where a worker's items leave under `leased`: gathered into frames, sent within the credit that the supervisor gives.

    put ──► frame being filled ──full, or half a millisecond old──► PUT, which acknowledges what it was made from

A frame is filled for a millisecond at the most, and never with more than the supervisor has given leave for. If the
handler then sleeps on an item, a second thread sends what has gathered, so that no item waits long for company; from
then on each item goes out at once, until they come quickly again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from runner.dockets import BIG
from runner.errors import Stopping
from runner.frames import NUMBERS, TEXTS, is_safe, pack_safe, pack_series, pickle_alone
from runner.status import Wait, Word
from runner.transports.leased_freight import Freight
from runner.transports.leased_stream import Stream
from runner.wire import Kind, Message

FILL_SECONDS = 0.001
"""How long a frame may take to fill where items come quickly."""
_TICK = 0.0005
_GROWTH = 8
FRAME_BYTES = 1 << 16
"""About how long a frame of several items may be. One that is handed out in parts goes whole with each."""


class FrameOutbox:
    """Gathers items and sends them in frames, within the credit that the supervisor gives."""

    def __init__(
        self, stream: Stream, *, stops: bool, asks: bool = False, freight: Freight | None = None
    ) -> None:
        """`stops`: a producer's, whose put ends it while the run is being stopped. `asks`: leave is not given, so each
        item is sent alone, and waits until it is in. `freight` carries big items; else they go like small ones."""
        self._stream = stream
        self._words = stream.status.words
        self._stops = stops
        self._asks = asks
        self._safe: list[object] = []
        self._pickles: list[bytes] = []
        self._lock = threading.Lock()
        self._flusher: threading.Thread | None = None
        self._gathering = threading.Event()
        self._sends = 0
        self._began = time.perf_counter()
        self._fitting = 1
        """Items that would fill a frame, as quickly as they came lately."""
        self.room = 1
        """Items that the frame being filled may hold; the flusher makes it 1 when it has nothing more to see to."""
        self._lease = 0
        self._progress = (0, 0, 0)
        """For a pipe stage: items of the lease before the first number are done, the second counts the outputs of that
        item, and the third all outputs ever gathered up to there. One store: the flusher sees all or nothing."""
        self._outputs = self._outputs_sent = 0
        self._bytes = 0
        """How long the last frame was."""
        self._freight = freight
        self.looks: bool
        """Whether each item is looked at for its size."""
        self.add: Callable[[object], None]
        """Gather one item; send when the frame is full. One that can't be pickled, or never fits, raises at its put."""
        self.output: Callable[[object], None]
        """Gather one output of the item in hand. Raises as `add` does."""
        self._look(freight is not None)

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
        self._waiting(Wait.JOIN, lambda: self._stream.ask(Message(Kind.JOIN)))

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

    def send_full(self) -> None:
        """The frame holds all that it may: send it. The first item beyond the leave waits here for more."""
        if self._asks or self._stream.credit > 0:
            self._send_now()
            return
        self._waiting(Wait.ROOM, self._wait_for_credit)
        with self._lock:
            self._began = time.perf_counter()
            self._size()
        if self.room <= self._count():
            self.flush()

    def _add(self, item: object) -> None:
        if is_safe(item):
            self.add_safe(item)
        else:
            self._add_pickled(self._pickle(item))

    def _output(self, item: object) -> None:
        if type(item) in NUMBERS or is_safe(item):
            if self._pickles:
                self.flush()
            self._safe.append(item)
        else:
            payload = self._pickle(item)
            if self._safe:
                self.flush()
            self._pickles.append(payload)
        self._outputs += 1
        upto, partial, _ = self._progress
        self._progress = (upto, partial + 1, self._outputs)
        if self._count() >= self.room:
            self.send_full()

    def begin(self, lease: int, at: int, partial: int = 0) -> None:
        """Item `at` of a lease is in hand, those before it are done, and `partial` of its outputs were sent before."""
        with self._lock:
            self._lease = lease
            self._progress = (at, partial, self._outputs)

    def done(self, upto: int) -> None:
        """The items of the lease before `upto` are done: what is sent next says so."""
        self._progress = (upto, 0, self._outputs)

    def flush(self, nanos: int = 0) -> bool:
        """Send what has gathered, waiting for leave if there is none. False if there was nothing."""
        if not self._count():
            return False
        if self._stream.credit <= 0 and not self._asks:
            self._waiting(Wait.ROOM, self._wait_for_credit)
        return self._send_now(nanos)

    def _send_now(self, nanos: int = 0) -> bool:
        """Send what has gathered, for which there is leave, and see how the next frame is to be."""
        with self._lock:
            sent = self._send(nanos)
            self._observe(sent)
        if self._asks:
            self._waiting(Wait.ROOM, self._wait_until_answered)
        elif self._stream.credit < self._fitting:
            self._stream.take_in()
        with self._lock:
            self._size()
        return bool(sent)

    def _look(self, yes: bool) -> None:
        """Look at each item for its size from now on, or no more: small ones pay for it."""
        self.looks = yes
        self.add = self._add_looking if yes else self._add
        self.output = self._output_looking if yes else self._output

    def _add_looking(self, item: object) -> None:
        self._add_pickled(self._pack(item))

    def _output_looking(self, item: object) -> None:
        payload = self._pack(item)
        if self._safe:
            self.flush()
        self._pickles.append(payload)
        self._outputs += 1
        upto, partial, _ = self._progress
        self._progress = (upto, partial + 1, self._outputs)
        if self._count() >= self.room:
            self.send_full()

    def _pickle(self, item: object) -> bytes:
        """Pickle an item that nobody looked at; if it turns out to be big, look from now on, and begin with it."""
        freight = self._freight
        if freight is None or type(item) not in TEXTS:  # of what kind a text is shows that it is a big one
            payload = pickle_alone(item)
            if freight is None or len(payload) < BIG:
                return payload
        freight.look_again()
        self._look(True)
        return self._pack(item)

    def _pack(self, item: object) -> bytes:
        """Pickle an item, or put it into the arena, and look no more once that is not worth it."""
        assert self._freight is not None
        payload = self._freight.pack(item, self._wait_for_slot)
        if self._freight.seen_enough:
            self._look(False)
        return payload

    def _wait_for_slot(self) -> None:
        """The arena is full: nothing of it comes back while its dockets are kept here."""
        if not self.flush():
            self._waiting(Wait.ROOM, self._stream.wait)

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
            self.send_full()

    def _count(self) -> int:
        return len(self._safe) or len(self._pickles)

    def _send(self, nanos: int = 0) -> int:
        """Send one frame; the lock is held. Appending goes on meanwhile, so only what was counted is removed."""
        upto, partial, outputs = self._progress
        count = outputs - self._outputs_sent if self._lease else self._count()
        if not count:
            return 0
        kind = Kind.PUT
        if self._safe:
            body = pack_safe(self._safe[:count])
            del self._safe[:count]
        else:
            kind, body = self._pack_series(self._pickles[:count])
            del self._pickles[:count]
        if len(body) >= BIG:
            self._weigh(count, body)
        self._outputs_sent = outputs
        self._bytes = len(body)
        self._stream.spent += count
        self._sends += 1
        self._words[Word.SENT] += count
        self._stream.wire.send(Message(kind, count, upto, partial, self._lease, nanos, body))
        return count

    def _pack_series(self, entries: list[bytes]) -> tuple[Kind, bytes]:
        if self._freight is None or not self._freight.laden:
            return Kind.PUT, pack_series(entries)
        return self._freight.seal(entries)

    def _weigh(self, count: int, body: bytes) -> None:
        """A frame is heavy: unless it is so by many small items, look at each from now on."""
        if self._freight is not None and self._freight.is_heavy(count, body):
            self._look(True)

    def _observe(self, sent: int) -> None:
        """Learn how quickly items come; the lock is held."""
        now = time.perf_counter()
        took, self._began = max(now - self._began, 1e-6), now
        fitting = min(
            int(sent * FILL_SECONDS / took), _GROWTH * sent, sent * FRAME_BYTES // max(1, self._bytes)
        )
        self._fitting = max(1, fitting)

    def _size(self) -> None:
        """Size the frame to be filled, and see to it that it leaves in time; the lock is held."""
        self.room = max(1, self._most())
        if self.room > 1 and not self._gathering.is_set():
            if self._flusher is None:
                self._flusher = threading.Thread(
                    target=self._flush_in_time, name="mprun-flusher", daemon=True
                )
                self._flusher.start()
            self._gathering.set()

    def _most(self) -> int:
        """How many items the next frame may hold."""
        return 1 if self._asks else min(self._fitting, self._stream.credit)

    def _may_flush(self) -> bool:
        """Whether the flusher may send."""
        return self._stream.credit > 0

    def _wait_for_credit(self) -> None:
        while self._stream.credit <= 0:
            self._stream.wait()

    def _wait_until_answered(self) -> None:
        """What was asked for is in the queue once every frame has its answer."""
        while self._stream.answered < self._sends:
            self._stream.wait()

    def _wait_for_room(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.full():
            if time.monotonic() >= deadline:
                raise queue.Full
            time.sleep(_TICK)

    def _waiting(self, why: Wait, wait: Callable[[], object]) -> None:
        began = self._stream.status.show_wait(why)
        wait()
        self._words[Word.BLOCKED] += time.perf_counter_ns() - began
        self._stream.status.show_wait(Wait.NOTHING)

    def _flush_in_time(self) -> None:
        """The flusher's life: send what has waited for a whole tick while nothing else was sent."""
        while True:
            self._gathering.wait()
            sends = self._sends
            time.sleep(_TICK)
            if sends != self._sends:
                continue
            with self._lock:
                # First of all, so that an item that comes too late for this frame finds that it is to go out at once.
                self.room = 1
                self._gathering.clear()
                if self._may_flush():
                    self._observe(self._send())

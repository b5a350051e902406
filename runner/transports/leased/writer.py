"""Where a worker's items leave under `leased`: gathered into frames, sent within the credit that the supervisor gives.

    put ──► FramePacker ──► frame being filled ──full, or half a millisecond old──► PUT
        └─► BatchPacker ──► batch being filled ──full, or half a millisecond old──► PUT ──► answered: it is in

A PUT also acknowledges what its items were made from. A frame is filled for a millisecond at the most, and never with
more than the supervisor has given leave for. If the handler then sleeps on an item, a second thread sends what has
gathered, so that no item waits long for company; from then on each goes out at once, until they come quickly again.

A batch is for a queue that must know more of its items than their number (batch_packer.py). No leave is given for it;
it is answered when it is in. While one is not, the next is filled and sent, and then its writer waits, where there is
room for several.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runner.errors import Stopping
from runner.ipc.frames import NUMBERS, TEXTS, is_safe, pack_safe, pack_series, pickle_alone
from runner.ipc.shm.handles import BIG, is_handle
from runner.ipc.status_page import StopRequest, Wait, Word
from runner.ipc.stream import PutBigMessage, PutMessage
from runner.process.real_threads import RealEvent, sleep, start_thread
from runner.transports.leased.batch_packer import FRAME_BYTES, BatchPacker, BatchPolicy, QuickKinds
from runner.transports.leased.big_items import BigItemWriter
from runner.transports.leased.outbox import TICK, OutboxEnd
from runner.transports.leased.session import WorkerSession

if TYPE_CHECKING:
    from runner.transports.leased.samples import ItemSampler

FILL_SECONDS = 0.001
"""How long a frame may take to fill where items come quickly; a batch that is shared out has twice that, since each
shard gets a frame of its own."""
_GROWTH = 8
STORED_BYTES = 1 << 18
"""About how long a frame may be that lies in shared memory. It should fit into a core's cache: else it costs more."""
_STORED_FROM = 1 << 13
"""Bytes of a frame from which on it costs less to store it than to send it along twice."""
_SHOW = Word.SHOW_MADE
_ON_THEIR_WAY = 2
"""Batches that may be unanswered, where one holds more than a single item."""


class FramePacker:
    """
    Gathers items for frames. Nobody looks at small ones for their size, since they would pay for it.

    Once one was big, each is looked at, until they have proved to be small again.
    """

    quick = QuickKinds()

    def __init__(
        self,
        big_items: BigItemWriter | None,
        flush: Callable[[], object],
        wait_for_slot: Callable[[], object],
    ) -> None:
        """`flush` sends what has gathered; `wait_for_slot` is called while the arena has no room for a big item."""
        self._big_items = big_items
        self._flush = flush
        self._wait_for_slot = wait_for_slot
        self._safe: list[object] = []
        self._pickles: list[bytes] = []
        """At any time only one of the two holds anything."""
        self.sampler: ItemSampler | None = None
        self.looks = big_items is not None
        """Whether each item is looked at for its size."""
        self.taken_bytes = 0
        """How long the last frame was, wherever it lies."""

    def __len__(self) -> int:
        return len(self._safe) or len(self._pickles)

    def add(self, item: object) -> int:
        """Gather one item; return how many there are now. Raises for one that can't be pickled, or never fits."""
        if self.looks:
            payload = self._inspect(item)
        elif type(item) in NUMBERS or is_safe(item):
            if self._pickles:
                self._flush()
            self._safe.append(item)
            return len(self._safe)
        else:
            payload = self._pickle(item)
        if self._safe:
            self._flush()
        self._pickles.append(payload)
        return len(self._pickles)

    def open_safe(self) -> list[object]:
        """Return the list to which safe items may be appended directly."""
        if self._pickles:
            self._flush()
        return self._safe

    def entry(self, index: int) -> bytes:
        """Return the pickle of an item, or its handle, by how many are older."""
        return pickle_alone(self._safe[index]) if self._safe else self._pickles[index]

    def queues_of(self, index: int) -> tuple[str, ...]:
        """All go to the only queue."""
        return ()

    def take(self, count: int, *, may_store: bool) -> tuple[type[PutMessage], bytes]:
        """Make a frame of the oldest `count` items. Appending goes on meanwhile, so only these are removed.

        `may_store`: it may go to shared memory. Only the thread that adds items may say so.
        """
        kind: type[PutMessage] = PutMessage
        if self._safe:
            body = pack_safe(self._safe[:count])
            del self._safe[:count]
        else:
            kind, body = self._pack_entries(self._pickles[:count])
            del self._pickles[:count]
        self.taken_bytes = len(body)
        if self._big_items is None:
            return kind, body
        if len(body) >= BIG and self._big_items.is_heavy(count, body):
            self.looks = True
        if may_store and len(body) >= _STORED_FROM and kind is PutMessage:
            stored = self._big_items.store_frame(body)
            return (kind, body) if stored is None else (PutBigMessage, stored)
        return kind, body

    def _pack_entries(self, entries: list[bytes]) -> tuple[type[PutMessage], bytes]:
        if self._big_items is None or not self._big_items.has_unsent:
            return PutMessage, pack_series(entries)
        return self._big_items.pack_frame(entries)

    def _pickle(self, item: object) -> bytes:
        """Pickle an item that nobody looked at; if it turns out to be big, look from now on, and begin with it."""
        big_items = self._big_items
        if big_items is None or type(item) not in TEXTS:  # of what kind a text is shows that it is a big one
            payload = pickle_alone(item)
            if big_items is None or len(payload) < BIG:
                return payload
        big_items.look_again()
        self.looks = True
        return self._inspect(item)

    def _inspect(self, item: object) -> bytes:
        """Pickle an item, or put it into the arena, and look no more once that is not worth it."""
        assert self._big_items is not None
        payload = self._big_items.pack(item, self._wait_for_slot)
        if self.sampler is not None and is_handle(payload) and not self._pickles:
            self.sampler.note_big(item)
        if self._big_items.seen_enough:
            self.looks = False
        return payload


class RoutedPacker(Protocol):
    """Gathers items for several queues (routing.py)."""

    looks: bool
    sampler: ItemSampler | None
    at_once: int
    """Items that may be sent at once."""
    wait_for_slot: Callable[[], object] | None
    """Called while an arena has no room for a big item."""

    def __len__(self) -> int:
        """How many there are."""

    def add(self, item: object) -> int:
        """Gather one item; return how many there are now. Raises for one that can't be put."""

    def entry(self, index: int) -> bytes:
        """Return the pickle of an item, or its handle, by how many are older."""

    def queues_of(self, index: int) -> tuple[str, ...]:
        """Name the queues that an item goes to."""

    @property
    def taken_bytes(self) -> int:
        """How long the last message was."""

    def take(self, count: int, *, may_store: bool) -> tuple[type[PutMessage], bytes]:
        """Make a message of the oldest `count` items. It travels itself."""


class FrameOutbox(OutboxEnd):
    """Gathers items and sends them in frames, within the credit that the supervisor gives."""

    def __init__(
        self,
        session: WorkerSession,
        *,
        stops: bool,
        asks: bool = False,
        big_items: BigItemWriter | None = None,
        policy: BatchPolicy | None = None,
        routed: RoutedPacker | None = None,
    ) -> None:
        """
        `stops`: a producer's, whose put ends it while the run is being stopped.

        `asks`: leave is not given, so each item is sent alone, or with others as `policy` says, and waits until it is
        in. `big_items` carries big items; else they go like small ones. `routed` gathers for several queues.
        """
        super().__init__(session, in_order=policy is not None and policy.in_order)
        self._words = session.status.words
        self._stops = stops
        self._asks = asks
        self._asks_for = 1 if policy is None else policy.batch_items
        """Items that may be sent at once where leave is not given."""
        self._lock = threading.Lock()
        self._packer = self._packer_for(big_items, policy, routed)
        self._fill_seconds = FILL_SECONDS * (1 if policy is None or policy.shards == 1 else 2)
        self._ahead = _ON_THEIR_WAY - 1 if asks and self._asks_for > 1 and routed is None else 0
        """What may be unanswered while more is gathered."""
        self._flusher: threading.Thread | None = None
        self._gathering = RealEvent()
        self._sends = 0
        self._began = time.perf_counter()
        self._busy_before = 0
        """Nanoseconds that a producer had been busy when something was sent last."""
        self._fitting = 1
        """Items that would fill a frame, as quickly as they came lately."""
        self.room = 1
        """Items that the frame being filled may hold; the flusher makes it 1 when it has nothing more to see to."""
        self._lease = self._stop = 0
        """The lease in hand, and where it ends."""
        self._progress = (0, 0, 0)
        """For a pipe stage: items of the lease before the first number are done, the second counts the outputs of that
        item, and the third all outputs ever gathered up to there. One store: the flusher sees all or nothing."""
        self.told = 0
        """Up to which item of the lease in hand what was sent says that they are done."""
        self._outputs = self._outputs_sent = 0
        self._sampler: ItemSampler | None = None

    def _packer_for(
        self, big_items: BigItemWriter | None, policy: BatchPolicy | None, routed: RoutedPacker | None
    ) -> FramePacker | BatchPacker | RoutedPacker:
        if routed is not None:
            self._asks_for = routed.at_once
            routed.wait_for_slot = self._wait_for_slot
            return routed
        if policy is None:
            return FramePacker(big_items, self.flush, self._wait_for_slot)
        assert big_items is not None
        return BatchPacker(policy, big_items, self._lock, self.send_full, self._wait_for_slot)

    # The loops' face.

    @property
    def looks(self) -> bool:
        """Whether each item is looked at for its size."""
        return self._packer.looks

    @property
    def quick(self) -> QuickKinds:
        """Which items may be appended to the list of `open_safe`, unless each is looked at."""
        assert isinstance(self._packer, FramePacker | BatchPacker)
        return self._packer.quick

    def show_by(self, sampler: ItemSampler) -> None:
        """Have some items shown to the supervisor. In a producer, before its first item."""
        self._sampler = self._packer.sampler = sampler

    def count_made(self) -> int:
        """In a producer that is shown: count the items up to now, over all generations, gathered ones too."""
        with self._lock:
            return (0 if self._sampler is None else self._sampler.index) + len(self._packer)

    def count_put(self) -> int:
        """In a producer: count the items that were put in this life, gathered ones and those that could not be, too."""
        with self._lock:
            return self._words[Word.SENT] + self._words[Word.FAILED] + len(self._packer)

    def flush_nowait(self) -> None:
        """In a producer, between two items: send what has gathered, if there is leave for it."""
        if self._asks or not len(self._packer):
            return  # what has to be asked for leaves by itself within a tick
        self.session.take_in()
        if self.session.credit > 0:
            self._send_now()

    def missed(self) -> None:
        """In a producer: an item could not be put, and counts all the same. Nothing is gathered meanwhile."""
        if self._sampler is not None:
            self._sampler.index += 1

    def add(self, item: object) -> None:
        """Gather one item; send when the frame is full. One that can't be pickled, or never fits, raises at its put."""
        if self._packer.add(item) >= self.room:
            self.send_full()

    def output(self, item: object) -> None:
        """Gather one output of the item in hand. Raises as `add` does."""
        count = self._packer.add(item)
        self._outputs += 1
        upto, partial, _ = self._progress
        self._progress = (upto, partial + 1, self._outputs)
        if count >= self.room:
            self.send_full()

    def add_resumed(self, item: object, outputs: int) -> None:
        """In a producer: put an item alone, of which so many outputs are in the next queue. Raises as `add` does."""
        self.flush()
        self._progress = (0, outputs, 0)
        try:
            self._packer.add(item)
            self.flush()
        finally:
            self._progress = (0, 0, 0)

    def last_output(self, item: object, upto: int) -> None:
        """Gather the last output of the item in hand; those of the lease before `upto` are done. Raises as `add` does.

        That a lease is over is said by `all_done` alone.
        """
        count = self._packer.add(item)
        self._outputs += 1
        if upto < self._stop:
            self._progress = (upto, 0, self._outputs)
            if count >= self.room:
                self.send_full()

    def open_safe(self) -> list[object]:
        """Return the list to which the producer's loop appends safe items itself, up to `room`, then calls `flush`."""
        assert isinstance(self._packer, FramePacker | BatchPacker)
        return self._packer.open_safe()

    def append_safe(self, item: object) -> None:
        """Append a safe item to that list, whatever has gathered before it: only when it is full is to be seen to."""
        self.open_safe().append(item)

    def send_full(self) -> None:
        """The frame holds all that it may: send it. The first item beyond the leave waits here for more."""
        if self._asks or self.session.credit > 0:
            self._send_now()
            return
        self.session.blocked(Wait.ROOM, self._wait_for_credit)
        with self._lock:
            self._began = time.perf_counter()
            self._size()
        if self.room <= len(self._packer):
            self.flush()

    def begin(self, lease: int, at: int, stop: int, partial: int = 0) -> None:
        """Item `at` of a lease up to `stop` is in hand, and `partial` of its outputs were sent before."""
        with self._lock:
            self._lease, self._stop = lease, stop
            self.told = at
            self._progress = (at, partial, self._outputs)
            if stop - at > 1 and not len(self._packer):
                # The wait for the lease says nothing of how quickly its items are handled.
                self._began = time.perf_counter()
                self._size()

    def done(self, upto: int) -> None:
        """The items of the lease before `upto` are done: what is sent next says so, unless it is the whole lease."""
        if upto < self._stop:
            self._progress = (upto, 0, self._outputs)

    def all_done(self) -> None:
        """All of the lease is done, and nothing is needed any more of what it held: what is sent next says so."""
        self._progress = (self._stop, 0, self._outputs)

    def flush(self) -> None:
        """Send what has gathered, waiting for leave if there is none; where none is given, wait until all is in."""
        self.send_rest()
        if self._asks and self.session.answered < self._sends:
            self.session.blocked(Wait.ROOM, lambda: self._wait_until_answered(0))

    def send_rest(self, nanos: int = 0) -> bool:
        """Send what has gathered, waiting for leave if there is none. False if there was nothing."""
        if not len(self._packer):
            # What the flusher has taken leaves before whoever flushes goes on, or ends this process.
            with self._lock:
                return False
        if self.session.credit <= 0 and not self._asks:
            self.session.blocked(Wait.ROOM, self._wait_for_credit)
        return self._send_now(nanos)

    def _send_now(self, nanos: int = 0) -> bool:
        """Send what has gathered, for which there is leave, and see how the next frame is to be."""
        with self._lock:
            sent = self._send(nanos)
            self._observe(sent)
        if self._asks:
            if self.session.answered < self._sends - self._ahead:
                self.session.blocked(Wait.ROOM, lambda: self._wait_until_answered(self._ahead))
        elif self.session.credit < self._fitting:
            self.session.take_in()
        with self._lock:
            self._size()
        return bool(sent)

    def _wait_for_slot(self) -> None:
        """The arena is full: nothing of it comes back while its handles are kept here."""
        self._check_closing()
        if not self.send_rest():
            self.session.blocked(Wait.ROOM, self.session.wait)

    def check_stop(self) -> None:
        """Raise `Stopping` in a producer that is to end."""
        if self._stops and self._words[Word.STOP]:
            self.flush()
            raise Stopping

    def _send(self, nanos: int = 0, *, may_store: bool = True) -> int:
        """Send one frame; the lock is held. The flusher stores none: the arena is the main thread's."""
        upto, partial, outputs = self._progress
        count = outputs - self._outputs_sent if self._lease else len(self._packer)
        if not count:
            return 0
        sampler = self._sampler
        first = self._packer.entry(0) if sampler is not None and sampler.is_due else None
        if self._words[_SHOW]:
            self.session.show_made(self._packer, count)
        kind, body = self._packer.take(count, may_store=may_store)
        self._outputs_sent = outputs
        self.session.spent += count
        self._sends += 1
        self._words[Word.SENT] += count
        self.told = upto
        self.session.stream.send(kind(count, upto, partial, self._lease, nanos, body=body))
        if sampler is not None:
            sampler.sent(count, first)
        return count

    def _observe(self, sent: int) -> None:
        """Learn how quickly items come; the lock is held."""
        now = time.perf_counter()
        if self._stops and sent:
            self._count_made(sent, int(now * 1e9))
        took, self._began = max(now - self._began, 1e-6), now
        in_time, known = int(sent * self._fill_seconds / took), self._fitting
        most_bytes = FRAME_BYTES if self._asks else STORED_BYTES
        fitting = min(in_time, _GROWTH * sent, sent * most_bytes // max(1, self._packer.taken_bytes))
        if self._asks:  # a batch that was sent early, by the flusher, does not make the next one small
            fitting = max(fitting, min(known, in_time))
        self._fitting = max(1, fitting)

    def _count_made(self, sent: int, now: int) -> None:
        """In a producer: items have left, which took what it was busy since others did; the lock is held."""
        status = self.session.status
        busy = status.busy_at(now)
        status.count_items(sent, max(0, busy - self._busy_before))
        self._busy_before = busy

    def _size(self) -> None:
        """Size the frame to be filled, and see to it that it leaves in time; the lock is held."""
        if self._asks:
            # The wait for the answer says nothing of how quickly items come.
            self._began = time.perf_counter()
        most = self._asks_for if self._asks else min(self.session.credit, self.session.longest)
        self.room = max(1, min(self._fitting, most))
        if self.room > 1 and not self._gathering.is_set():
            if self._flusher is None:
                self._flusher = start_thread(self._flush_in_time, name="mprun-flusher")
            self._gathering.set()

    def _wait_for_credit(self) -> None:
        while self.session.credit <= 0:
            self._check_closing()
            self.session.wait()

    def _wait_until_answered(self, ahead: int) -> None:
        """What was asked for is in the queue once its frame has its answer: wait for all but so many."""
        while self.session.answered < self._sends - ahead:
            self._check_closing()
            self.session.wait()

    def _check_closing(self) -> None:
        """Raise `Stopping` in a worker that is to close: nobody makes room for it any more."""
        if self._words[Word.STOP] == StopRequest.WAITING:
            raise Stopping

    def _flush_in_time(self) -> None:
        """The flusher's life: send what has waited for a whole tick while nothing else was sent."""
        while True:
            self._gathering.wait()
            sends = self._sends
            sleep(TICK)
            if sends != self._sends:
                continue
            with self._lock:
                # First of all, so that an item that comes too late for this frame finds that it is to go out at once.
                self.room = 1
                self._gathering.clear()
                if len(self._packer) and (self._asks or self.session.credit > 0):
                    self._observe(self._send(may_store=False))

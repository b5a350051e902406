"""The `joinable` transport: the standard library's JoinableQueue itself, and a process per worker.

    chef ──put──► pickled bytes ──► JoinableQueue(maxsize) ──get──► eater        every lock of it shared by all
         └─ status page, private channel, pidfd ─► supervisor ◄─ the same ─┘     touches no lock of theirs

A worker that is killed may take a lock of the queue with it, which nothing can repair: the run ends when one dies. The
supervisor never puts or gets, so it can't be caught by such a lock; the end of the stream is a word in a reader's page.
"""

from __future__ import annotations

import math
import multiprocessing
import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.queues import JoinableQueue
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from select import POLLIN
from typing import Any, NoReturn

from runner.errors import EndOfStream, HandlerError, NotTheWorker, Stopping
from runner.handlers.kinds import allow_routes
from runner.ipc.channel import Sender
from runner.ipc.frames import load_item
from runner.ipc.messages import Exited, Fact
from runner.ipc.status_page import StatusPage, StopRequest, Wait, Word
from runner.ledger.accounts import Account, CountedLedger, Tally
from runner.process.real_threads import RealCondition, poll, real_threading
from runner.process.resources.base import NO_PROVIDERS, ResourceProviders
from runner.spec.model import Role
from runner.spec.plan import Plan, QueuePlan, WorkerPlan
from runner.text import describe_error, safe_repr
from runner.transports.base import Spawned, WorkerEndpoint, WorkerMain, nothing_waits
from runner.transports.cut import Cut
from runner.transports.item_loops import loops_of
from runner.transports.pool import PooledTransport, ProcessPool, isolate_forks

_now = time.monotonic
"""What the clock was when this was imported: a handler that puts another in its place has no part in our waits."""
_sleep = time.sleep
_LOOK = 0.02
"""Seconds between two looks of a waiting reader or writer at its page: how late it may learn of the end."""
_FLUSH_LOOK = 0.0005
"""Seconds until the first look whether all that was put is on its way: it mostly is at once."""
_LOOKERS = 20
"""Workers of a queue that may look so often; more of them look less often, or they would do nothing else."""
_SAMPLE = 0.1
"""Seconds between two looks of the supervisor at the counters, for peaks and for the queue being joined."""


class CountedQueue(JoinableQueue):  # type: ignore[type-arg]  # the standard library's class has no parameters
    """A JoinableQueue that counts in the status page of the worker that uses it.

    `put` pickles at once: the standard library pickles in a thread, where an item that can't be pickled is lost and
    `join` then waits for ever.
    """

    _reader: Connection  # the standard library's own, which its type stubs leave out
    _writer: Connection
    _cond: Any
    _unfinished_tasks: Any
    _status: StatusPage | None = None
    _is_producer = False
    _is_forks = False
    _look = _LOOK
    _entered = 0
    """Items that this worker has put: they wait in its memory until its feeder, a thread, finds room in the pipe."""
    _delivered = 0
    """Those of them that are in the pipe."""
    _lost: OSError | None = None
    """Why one of them will never be."""

    def use_as(self, worker: WorkerPlan, status: StatusPage, look: float) -> None:
        """Called in a worker before its first put or get; `look` is in seconds."""
        self._status = status
        self._look = look
        self._poll = self._has_item
        self._is_producer = worker.role is Role.PRODUCER
        self._counting = threading.Lock()
        self._notempty = RealCondition()  # its feeder is a real thread, and waits in it
        self._send_bytes = self._deliver
        Finalize(self, self._give_up_unread, exitpriority=0)  # before it waits for its feeder, a thread

    def after_fork(self) -> None:
        """Called in a process that the worker forked: it has no items, and what it counts, nobody sees."""
        self._is_forks = True

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`; `Stopping` in a producer while the run stops."""
        payload = bytes(ForkingPickler.dumps(item, pickle.HIGHEST_PROTOCOL))
        words = self._words()
        try:
            self._check_stop(words)
            super().put(payload, block=False)
        except queue.Full:
            if not block:
                raise
            with self._shown(Wait.ROOM, timeout):
                self._put_when_room(payload, timeout, words)
        with self._counting:
            self._entered += 1
            self._page().words[Word.SENT] += 1

    def _deliver(self, payload: bytes) -> None:
        """What its feeder calls, alone."""
        try:
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
        words, pause = self._words(), _FLUSH_LOOK
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
        words = self._words()
        try:
            payload = self._get_within(words, block, self._look if timeout is None else timeout)
        except queue.Empty:
            if not block or timeout is not None:
                raise
            with self._shown(Wait.ITEM, None):
                payload = self._get_within(words, block, math.inf)
        self._count(Word.RECEIVED)
        item = load_item(payload)
        self._page().set_item(safe_repr(item))
        return item

    def _get_within(self, words: memoryview, block: bool, seconds: float) -> bytes:
        deadline = _now() + seconds
        with self._waited(Word.STARVED):
            while True:
                if words[Word.STOP]:
                    raise EndOfStream
                try:
                    payload: bytes = super().get(block, self._next_look(deadline))
                    return payload
                except queue.Empty:
                    if words[Word.END]:
                        raise EndOfStream from None
                    if not block or _now() >= deadline:
                        raise

    def _has_item(self, timeout: float = 0.0) -> bool:
        """As the standard library's own, which would wait for ever by a clock that a handler has frozen."""
        poller = poll()
        poller.register(self._reader, POLLIN)
        return bool(poller.poll(max(0.0, timeout * 1000)))

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

    def join(self) -> None:
        """Wait until every item ever put is done. Raises `Stopping` once nobody works them off any more."""
        words = self._words()
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
        if self._page().words[Word.STOP] == StopRequest.WAITING:
            self.cancel_join_thread()

    def _put_when_room(self, payload: bytes, timeout: float | None, words: memoryview) -> None:
        deadline = None if timeout is None else _now() + timeout
        with self._waited(Word.BLOCKED):
            while True:
                try:
                    super().put(payload, True, self._next_look(deadline))
                    return
                except queue.Full:
                    if words[Word.STOP]:  # nobody makes room any more, or a producer is to end
                        raise Stopping from None
                    if deadline is not None and _now() >= deadline:
                        raise

    def _end_item(self, how: int) -> None:
        words = self._words()
        with self._counting:
            held = words[Word.RECEIVED] - words[Word.DONE] - words[Word.FAILED]
            if not held:
                # The standard library would take it for another worker's item, and `join` would be over too soon.
                raise ValueError("task_done() called too many times")
            super().task_done()
            words[how] += 1
        if held == 1:
            self._page().set_item("")

    def _count(self, word: int, amount: int = 1) -> None:
        """Raise a word; a handler that drives its queue may have several threads."""
        with self._counting:
            self._page().words[word] += amount

    def _check_stop(self, words: memoryview) -> None:
        if self._is_producer and words[Word.STOP]:
            raise Stopping

    @contextmanager
    def _shown(self, why: Wait, timeout: float | None) -> Iterator[None]:
        """Show in the page what goes on waiting. A wait that ends by itself is none that others must end."""
        assert self._status is not None
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
        page, began = self._page(), time.perf_counter_ns()
        page.pause_work()
        try:
            yield
        finally:
            self._count(word, time.perf_counter_ns() - began)
            page.resume_work()

    def _next_look(self, deadline: float | None) -> float:
        return self._look if deadline is None else max(0.0, min(self._look, deadline - _now()))

    def _words(self) -> memoryview:
        if self._is_forks:
            raise NotTheWorker("a process that a handler forked has no queue: only its worker does")
        return self._page().words

    def _page(self) -> StatusPage:
        assert self._status is not None, "a queue is used through its worker's endpoint"
        return self._status


class JoinableTransport(PooledTransport):
    """Joinable queues and the processes round them."""

    ends_when_settled = False
    tells_when_settled = False
    outlives_workers = False

    def __init__(
        self, plan: Plan, main: WorkerMain, wake: int, providers: ResourceProviders = NO_PROVIDERS
    ) -> None:
        """Make the queues; start nothing. `wake` cuts a wait short when it becomes readable."""
        self._queues = {q.name: _make_queue(q, plan) for q in plan.queues}
        self._ledgers = {q.name: CountedLedger(q.name, q.spec.maxsize) for q in plan.queues}
        self._queue_plans = plan.queues
        self._look = _LOOK * max(1.0, len(plan.workers) / _LOOKERS)
        self._plans: dict[str, WorkerPlan] = {}
        self._killed: set[str] = set()
        # Last, as it has to be closed: the queues let go of their descriptors when one more can't be had.
        self.pool = ProcessPool(main, wake, providers)

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Give birth to a worker. Raises `StartFailed`."""
        self._plans[worker.name] = worker
        inbox = self._queues[worker.receives] if worker.receives else None
        outbox = self._queues[worker.sends] if worker.sends else None
        needed = [fd for end in (inbox, outbox) if end is not None for fd in end.descriptors()]
        return self.pool.start(worker, _EndpointFactory(inbox, outbox, self._look), needed)

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Block until a worker speaks or dies, a signal arrives, or `timeout` has passed; counters are then fresh."""
        facts = self.pool.wait(min(timeout, _SAMPLE))
        self._killed.update(fact.worker for fact in facts if isinstance(fact, Exited) and fact.code < 0)
        now = _now()
        for name, ledger in self._ledgers.items():
            ledger.update(self._tallies(name), now)
        return facts

    def account(self, queue: str) -> Account:
        """Take stock, as of the last wait."""
        return self._ledgers[queue].account()

    def kept_state(self, worker: str) -> bytes | None:
        """Nobody takes a worker's place, so nothing is kept for one that would."""
        return None

    def cut(self, now: float) -> Cut | None:
        """What is in a queue that hands out its own items nobody could take along."""
        return None

    def close_accounts(self) -> None:
        """Check every ledger against the workers' last words."""
        for queue_plan in self._queue_plans:
            # One that was killed may have put an item and not counted it yet: such a sum proves nothing.
            if not self._killed.intersection(queue_plan.writers):
                self._ledgers[queue_plan.name].verify()

    def end_stream(self, queue: str, worker: str) -> None:
        """Write the end into the reader's page; it looks there whenever it finds the queue empty."""
        self.pool.status(worker).words[Word.END] = 1

    def retire(self, worker: str) -> None:
        """A reader of a JoinableQueue can't be told apart from the others: not here."""

    def close(self) -> None:
        """Give back pages, pipes and semaphores."""
        self.pool.close()
        for joinable in self._queues.values():
            joinable.dispose()
        self._queues.clear()  # the last reference: its semaphores are unlinked when it goes

    def _tallies(self, name: str) -> list[tuple[str, Tally]]:
        tallies = []
        for worker, page in self.pool.statuses():
            plan, counters = self._plans[worker], page.counters()
            reads = plan.receives == name
            # What a producer can't put is put, taken and dropped in one step.
            rejected = counters.failed if plan.sends == name and plan.receives is None else 0
            tallies.append(
                (
                    worker,
                    Tally(
                        put=counters.sent + rejected if plan.sends == name else 0,
                        taken=counters.received if reads else rejected,
                        done=counters.done if reads else 0,
                        dropped=counters.failed if reads else rejected,
                    ),
                )
            )
        return tallies


@dataclass(frozen=True, slots=True)
class _EndpointFactory:
    """Made in the supervisor, called in the worker."""

    inbox: CountedQueue | None
    outbox: CountedQueue | None
    look: float

    def __call__(self, plan: WorkerPlan, status: StatusPage, sender: Sender) -> WorkerEndpoint:
        ends = [end for end in (self.inbox, self.outbox) if end is not None]
        for end in ends:
            end.use_as(plan, status, self.look)
        allow_routes(plan.targets)
        isolate_forks([end.after_fork for end in ends], status, sender)
        loops = loops_of(self.inbox, self.outbox, status, plan.batch, sender.send)
        flush = nothing_waits if self.outbox is None else self.outbox.flush_puts
        return WorkerEndpoint(
            loops, self.inbox, self.outbox, status, sender.send, places=_uncounted, flush_puts=flush
        )


def _uncounted() -> NoReturn:
    raise HandlerError("`worker.item_id` needs a ledger that counts the items: use `leased` or `inline`")


def _make_queue(plan: QueuePlan, whole: Plan) -> CountedQueue:
    ends = {*plan.writers, *plan.readers}
    spawned = any(w.start_method == "spawn" for w in whole.workers if w.name in ends)
    # Semaphores made for fork have no name and can't be handed to a spawned process.
    context: Any = multiprocessing.get_context("spawn" if spawned else "fork")
    return CountedQueue(plan.spec.maxsize or 0, ctx=context)

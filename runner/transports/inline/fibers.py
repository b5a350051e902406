"""The workers of the `inline` transport, and the ends of queues in their hands.

transport ── take_turn ──► Fiber: runs until its next put, task_done or wait ── pause ──► transport
put, get, task_done ──► LeaseQueue, at once ──► pause: the next fiber's turn
  in a thread that the handler has started: at once; it waits by looking again, and others have turns meanwhile
"""

from __future__ import annotations

import ctypes
import math
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from runner.errors import EndOfStream, HandlerError, Stopping
from runner.handlers.kinds import unrouted
from runner.ipc.frames import load_item
from runner.ipc.messages import Exited, Fact, HandlerFailed, ItemFailure, from_message
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Frame, HandOver, Lease
from runner.process import child as process
from runner.process.bootstrap import SavedEnvironment, apply_environment
from runner.process.ending import flush_files, lingering, opened_since
from runner.process.real_threads import Baton, real_threading
from runner.process.resources.base import InjectedResources
from runner.spec.model import Role
from runner.spec.plan import WorkerPlan
from runner.spec.routes import RoutePlan
from runner.text import describe_error, safe_repr
from runner.transports.base import (
    Cancelled,
    WorkerEndpoint,
    WorkerMain,
    nothing_in_hand,
)
from runner.transports.inline.locks import InlineLocks
from runner.transports.item_loops import ItemwiseLoops, loops_of
from runner.transports.routing import Router

_QUEUE_LOOK = 0.001
"""Seconds between two looks of a thread that a handler has started, and that waits at a queue."""
_JOIN_LOOK = 0.02
"""Seconds that a fiber waits at a time for a thread that its handler has started."""
_UNWINDING = 2.0
"""Seconds that a fiber which is killed has to unwind, `finally` and `close()` included, before it is left behind."""
_ledgers = threading.Lock()
"""Held by whoever changes a ledger or counts: the fiber with the turn, or a thread that a handler has started."""


class _Page(StatusPage):
    """A page whose worker does nothing more once it is left behind.

    Each loop comes here with what its handler's code has returned or raised, so nothing more of that is run: else
    `finally` and `close()` would follow when the run is long over.
    """

    left_behind = False

    def end_work(self) -> int:
        """Count what has begun, up to now; return it in nanoseconds."""
        self.stay_if_left()
        return super().end_work()

    def stay_if_left(self) -> None:
        """Called in the fiber: never come back where nobody waits for it any more."""
        while self.left_behind:
            Baton().acquire()


class _FiberThread(threading.Thread):
    """A daemon, so that it keeps nobody who ends; but what its handler starts is none, as in a process of its own."""

    has_begun = False

    @property
    def daemon(self) -> bool:
        """What a thread that is made in this one is too, unless it says otherwise."""
        return not self.has_begun

    @daemon.setter
    def daemon(self, yes: bool) -> None:
        raise RuntimeError("a fiber's thread is what it is")


class Fiber:
    """One worker: a thread that runs only while it has the turn."""

    def __init__(
        self,
        plan: WorkerPlan,
        main: WorkerMain,
        ledgers: dict[str, LeaseQueue],
        note: Callable[[Fact], None],
        resources: InjectedResources,
        locks: InlineLocks,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.status = _Page(-1)
        self.origin = ""
        """The run that items have their ids of."""
        self.is_last: Callable[[], bool] = lambda: True
        """Whether no other has anything to do. It waits for the threads that handlers have started."""
        self.ends_files = False
        """Whether open files are to be written out also if it is not: all objects are looked through for that."""
        self.open_before: frozenset[tuple[int, int, int]] | None = None
        """The descriptors of before the run: those files are the program's own, which goes on."""
        self.threads_before: Collection[threading.Thread] = ()
        """Those that were there before the run."""
        self.waits_for = "has not begun"
        self.wakes_at = math.inf
        """When its wait is over whatever happens, for one that waits with a timeout."""
        self._main = main
        self._note = note
        self._locks = locks
        self._resources = {**resources, **locks.resources_for(self)}
        self._inbox = InlineQueue(ledgers[plan.receives], self) if plan.receives else None
        self._outbox = _outbox_of(plan, ledgers, self)
        self._errors = InlineQueue(ledgers[plan.errors_to], self) if plan.errors_to else None
        self.threads_waiting = 0
        """Threads that its handler has started and that wait at a queue."""
        self._movable: Callable[[], bool] = lambda: True
        self._cancelled: signal.Signals | None = None
        self._unwinds_until = math.inf
        """When it is left behind: set once it is killed and has the turn."""
        self._is_leaving = False
        """Nothing of the handler's runs any more, so there is nothing to unwind."""
        self._has_turn = False
        self._saved_environment = SavedEnvironment({}, None)
        self._go, self._back = Baton(), Baton()
        with real_threading():
            self._thread = _FiberThread(target=self._run, name=plan.name, daemon=True)

    @property
    def ident(self) -> int:
        """The thread's identity; 0 before it runs."""
        return self._thread.ident or 0

    def can_move(self) -> bool:
        """Whether a turn would get it any further."""
        if self._cancelled is not None or self._has_turn or self._movable():
            return True
        return time.monotonic() >= self.wakes_at

    def take_turn(self, patience: float) -> bool:
        """Hand over the turn and wait for it; False if it is not back after `patience` seconds."""
        if not self._has_turn:
            self._has_turn = True
            self._saved_environment = apply_environment(self.plan)
            if not self._thread.ident:
                with real_threading():
                    self._thread.start()
            self._go.release()
        if self._cancelled is signal.SIGKILL and self._unwinds_until == math.inf:
            self._unwinds_until = time.monotonic() + _UNWINDING
        if not self._back.acquire(timeout=patience):
            return False
        self._has_turn = False
        self._saved_environment.restore()
        return True

    def pause(self, movable: Callable[[], bool], waits_for: str, until: float = math.inf) -> None:
        """Called in the fiber: give the turn back until `movable`, or the time `until`, and its turn comes.

        A thread that the handler has started has no turn: it waits.
        """
        if threading.get_ident() != self.ident:
            self._wait_in_thread(movable, until)
            return
        self.status.stay_if_left()
        self._movable, self.waits_for, self.wakes_at = movable, waits_for, until
        with self.status.at_rest():
            self._back.release()
            self._go.acquire()
        if self._cancelled is not None:
            raise Cancelled

    def _wait_in_thread(self, movable: Callable[[], bool], until: float) -> None:
        with _ledgers:
            self.threads_waiting += 1
        try:
            while not movable() and time.monotonic() < until:
                if self._cancelled is not None:
                    raise Cancelled
                time.sleep(_QUEUE_LOOK)
        finally:
            with _ledgers:
                self.threads_waiting -= 1

    def cancel(self, number: signal.Signals) -> None:
        """Unwind the fiber at its next turn, or where it is."""
        self._cancelled = number
        if self._has_turn and not self._is_leaving:
            thread = ctypes.c_ulong(self.ident)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Cancelled))

    @property
    def outstays(self) -> bool:
        """Whether nobody has to wait for it any more."""
        return time.monotonic() >= self._unwinds_until

    def abandon(self) -> None:
        """Take it for dead, although it does not give the turn back; end the programs that it has started.

        Its thread can't be ended. When the call that it sits in returns, nothing more of its handler is run.
        """
        self.status.left_behind = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), None)
        process.end_children_of(self._thread.native_id)
        self._saved_environment.restore()
        self._locks.release_all_of(self)
        self.status.stop_clock()
        self._note(Exited(self.name, os.getpid(), -signal.SIGKILL))
        self._note = _ignore  # its last word is said

    def _run(self) -> None:
        self._go.acquire()  # nothing of a handler's runs before the thread that starts this one has done so
        self._thread.has_begun = True
        try:
            if self._cancelled is not None:
                raise Cancelled
            loops = loops_of(self._inbox, self._outbox, self.status, self.plan.batch, self._send)
            endpoint = WorkerEndpoint(
                loops,
                self._inbox,
                self._outbox,
                self.status,
                self._send,
                resources=self._resources,
                places=lambda: self._places(loops),
                origin=self.origin,
                put_failure=self._put_failure,
            )
            code = self._main(self.plan, endpoint)
        except Cancelled:
            code = -(self._cancelled or signal.SIGTERM)
        with suppress(Cancelled):  # whoever is ended while it ends need not be told
            if self._note is not _ignore:
                code = self._end_as_a_process() or code
        self._is_leaving = True
        self._clean_up()
        self._note(Exited(self.name, os.getpid(), code))
        self._back.release()

    def _end_as_a_process(self) -> int:
        """Wait for threads and write out files; return 1 where data is lost."""
        if self.is_last():
            self._join_threads()
        ends_files = self.is_last() or self.ends_files
        return flush_files(self._report_lost) if ends_files and opened_since(self.open_before) else 0

    def _join_threads(self) -> None:
        until = time.monotonic() + self.plan.close_timeout
        while (left := self._threads_left()) and time.monotonic() < until:
            left[0].join(_JOIN_LOOK)  # not for long: whoever kills this fiber is heard in between
        if left:
            names = [f"thread '{each.name}'" for each in left]
            self._send(
                "logged", level="warning", message=lingering(self.plan.close_timeout, names), fields={}
            )

    def _threads_left(self) -> list[threading.Thread]:
        """Those that handlers have started, but for executors': these are joined as the interpreter ends."""
        executors = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())
        return [
            each
            for each in threading.enumerate()
            if not each.daemon
            and not isinstance(each, _FiberThread)
            and each not in self.threads_before
            and each not in executors
        ]

    def _places(self, loops: ItemwiseLoops) -> list[int]:
        if self._inbox is None:
            nothing_in_hand()
        return [self._inbox.place()] if loops.batches is None else self._inbox.oldest(loops.batches.in_hand)

    def _put_failure(self, failure: object) -> None:
        if self._errors is not None:
            payload = pickle.dumps(failure, pickle.HIGHEST_PROTOCOL)
            put_on([self._errors], payload, self, block=True, timeout=None, counts=False)

    def _clean_up(self) -> None:
        try:
            self._locks.release_all_of(self)
            if self._inbox is not None:
                self._inbox.give_back()
            process.end_children_of(threading.get_native_id())
        except Cancelled:  # on its way when the last of it began: it comes once
            self._clean_up()

    def _report_lost(self, error: OSError) -> None:
        self._note(HandlerFailed(self.name, f"a file could not be written out: {describe_error(error)}"))

    def _send(self, kind: str, **fields: Any) -> None:
        fact = from_message(self.name, {"kind": kind, **fields})
        if fact is None:
            return
        if isinstance(fact, ItemFailure) and self._inbox is None and self._outbox is not None:
            self._outbox.reject()
        self._note(fact)


def _ignore(fact: Fact) -> None:
    """Where the words of a fiber go that counts as dead."""


class InlineQueue:
    """A queue's end in one fiber: its ledger says what is in it, and waiting is giving the turn back."""

    def __init__(self, ledger: LeaseQueue, fiber: Fiber) -> None:
        self._ledger = ledger
        self._fiber = fiber
        self._held: deque[Lease] = deque()
        self._in_hand = 0
        """Which of them it is."""

    def hold_handled(self) -> None:
        """Those taken before the last are handled."""
        self._in_hand = -1

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`; `Stopping` in a producer while the run stops."""
        item = unrouted(item, (self._ledger.name,))
        put_on([self], pickle.dumps(item, pickle.HIGHEST_PROTOCOL), self._fiber, block, timeout)

    def await_room(self, until: float) -> None:
        """Wait for room, or until it may be there. Raises as `put` does."""
        words = self._fiber.status.words
        self._wait(Word.BLOCKED, until, lambda: not self.full() or bool(words[Word.STOP]), "to put")
        self.check_stop()
        if self.full() and words[Word.STOP]:
            raise Stopping
        if time.monotonic() >= until and self.full():
            raise queue.Full

    def reject(self) -> None:
        """Account for an item that can't be put."""
        self._fiber.status.stay_if_left()
        with _ledgers:
            self._ledger.reject(dead_letter=False)

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`; `EndOfStream` once there can be no more."""
        self._fiber.status.stay_if_left()
        words = self._fiber.status.words
        until = _deadline(block, timeout)
        while (lease := self._take_unless_closing(words)) is None:
            if words[Word.END]:
                raise EndOfStream
            self._report_held()
            self._wait(
                Word.STARVED,
                until,
                lambda: not self.empty() or bool(words[Word.END] or words[Word.STOP]),
                "to get",
            )
            if time.monotonic() >= until and self.empty() and not (words[Word.END] or words[Word.STOP]):
                raise queue.Empty
        item = load_item(lease.item_range.frame.payload)
        self._fiber.status.set_item(safe_repr(item))
        return item

    def _take_unless_closing(self, words: memoryview) -> Lease | None:
        """Take an item if one waits. Raises `EndOfStream` in a reader that is to take no other."""
        if words[Word.STOP]:
            raise EndOfStream
        return self._take_nowait()

    def _take_nowait(self) -> Lease | None:
        with _ledgers:
            if self.empty():
                return None
            self._ledger.set_demand(self._fiber.name, len(self._held) + 1, time.monotonic())
            (handed,) = self._ledger.decide()
            self._ledger.set_demand(self._fiber.name, 0, time.monotonic())
            assert isinstance(handed, HandOver)
            self._held.append(handed.lease)
            self._fiber.status.add(Word.RECEIVED)
        return handed.lease

    def _report_held(self) -> None:
        """A handler that waits for more before it is done with any holds nothing back: that item is taken."""
        with _ledgers:
            if self._held and self.empty():
                self._ledger.request_more(self._fiber.name, len(self._held), time.monotonic())
                self._ledger.set_demand(self._fiber.name, 0, time.monotonic())

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with."""
        self._fiber.status.stay_if_left()
        with _ledgers:
            lease = self._oldest()
            self._ledger.acked(lease.number, lease.item_range.stop, time.monotonic())
            self._fiber.status.add(Word.DONE)
        self._fiber.pause(lambda: True, "for its turn")

    def give_up(self) -> None:
        """Say that the oldest item that was taken has failed."""
        self._fiber.status.stay_if_left()
        with _ledgers:
            self._ledger.failed(self._oldest().number, time.monotonic())
            self._fiber.status.add(Word.FAILED)

    def place(self) -> int:
        """Where the item in hand, the oldest that was taken, stands among all that were put."""
        return self._held[self._in_hand].item_range.position if self._held else nothing_in_hand()

    def oldest(self, count: int) -> list[int]:
        """Where the oldest `count` items that were taken stand among all that were put."""
        return [lease.item_range.position for lease in islice(self._held, count)] or nothing_in_hand()

    def give_back(self) -> None:
        """The fiber has ended: what it holds was taken and never acknowledged."""
        self._held.clear()

    def join(self) -> None:
        """Wait until every item ever put is done. Raises `Stopping` once nobody works them off any more."""
        words = self._fiber.status.words
        self._wait(
            Word.BLOCKED,
            math.inf,
            lambda: self._ledger.settled or words[Word.STOP] == StopRequest.WAITING,
            "to join",
        )
        if not self._ledger.settled:
            raise Stopping

    @property
    def settled(self) -> bool:
        """Whether every item ever put is done."""
        return self._ledger.settled

    def qsize(self) -> int:
        """Count the items waiting."""
        return self._ledger.waiting

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        room = self._ledger.room
        return room is not None and room <= 0

    def enter(self, frame: Frame) -> None:
        """There is room: take it, without the patience that the ledger has with writers far away."""
        now = time.monotonic()
        self._ledger.grant(self._fiber.name, 1)
        self._ledger.offer(self._fiber.name, frame, now)
        self._ledger.writer_gone(self._fiber.name, now)
        self._ledger.decide()

    def _wait(self, word: int, until: float, movable: Callable[[], bool], what: str) -> None:
        began = time.perf_counter_ns()
        self._fiber.pause(movable, f"waits {what} on queue '{self._ledger.name}'", until)
        with _ledgers:
            self._fiber.status.add(word, time.perf_counter_ns() - began)

    def _oldest(self) -> Lease:
        if not self._held:
            raise ValueError("task_done() called too many times")
        lease = self._held.popleft()
        if not self._held:
            self._fiber.status.set_item("")
        return lease

    def check_stop(self) -> None:
        """Raise `Stopping` in a producer while the run stops."""
        if self._fiber.status.words[Word.STOP] and self._fiber.plan.role is Role.PRODUCER:
            raise Stopping


class InlineRoutes:
    """The end of several queues that are written to: an item is on all of its queues at once, or on none."""

    def __init__(self, ends: Sequence[InlineQueue], routes: Sequence[RoutePlan], fiber: Fiber) -> None:
        self._ends = ends
        self._router = Router(routes)
        self._fiber = fiber

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item on its queues, waiting for room on all of them. Raises as that of one queue, and `RouteError`."""
        item, targets = self._router.route(item)
        ends = [self._ends[number] for number in targets]
        put_on(ends, pickle.dumps(item, pickle.HIGHEST_PROTOCOL), self._fiber, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Nobody takes anything from here."""
        raise HandlerError("this worker reads none of the queues that it writes to")

    def task_done(self) -> None:
        """Nobody has taken anything from here."""
        raise ValueError("task_done() called too many times")

    def reject(self) -> None:
        """Account for an item that can't be put."""
        self._ends[0].reject()

    def join(self) -> None:
        """Wait until every item ever put on any of them is done."""
        while (left := next((end for end in self._ends if not end.settled), None)) is not None:
            left.join()

    def qsize(self) -> int:
        """Count the items waiting in all of them."""
        return sum(end.qsize() for end in self._ends)

    def empty(self) -> bool:
        """Say whether no item waits in any."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say whether one of them has no room."""
        return any(end.full() for end in self._ends)


def put_on(
    ends: Sequence[InlineQueue],
    payload: bytes,
    fiber: Fiber,
    block: bool,
    timeout: float | None,
    *,
    counts: bool = True,
) -> None:
    """Put an item on queues, all at once, and give the turn back. It `counts` where the handler has made it."""
    fiber.status.stay_if_left()
    until = _deadline(block, timeout)
    ends[0].check_stop()
    while not _entered(ends, payload, fiber, counts=counts):
        full = next((end for end in ends if end.full()), ends[0])
        full.await_room(until)
    fiber.pause(lambda: True, "for its turn")


def _entered(ends: Sequence[InlineQueue], payload: bytes, fiber: Fiber, *, counts: bool) -> bool:
    with _ledgers:
        if any(end.full() for end in ends):
            return False
        for end in ends:
            end.enter(Frame(payload, 1))
        fiber.status.add(Word.SENT, int(counts))
    return True


def _outbox_of(
    plan: WorkerPlan, ledgers: dict[str, LeaseQueue], fiber: Fiber
) -> InlineQueue | InlineRoutes | None:
    ends = [InlineQueue(ledgers[queue], fiber) for queue in plan.targets]
    if plan.routes:
        return InlineRoutes(ends, plan.routes, fiber)
    return ends[0] if ends else None


def _deadline(block: bool, timeout: float | None) -> float:
    """Until when to wait. One that does not wait gives the others a turn all the same: it may ask again and again."""
    return 0.0 if not block else math.inf if timeout is None else time.monotonic() + timeout

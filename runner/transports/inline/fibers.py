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
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from runner.ipc.messages import Exited, Fact, HandlerFailed, ItemFailure, from_message
from runner.ledger.leases import LeaseQueue
from runner.process import child as process
from runner.process.bootstrap import SavedEnvironment, apply_environment
from runner.process.ending import flush_files, lingering, opened_since
from runner.process.real_threads import Baton, real_threading
from runner.process.resources.base import InjectedResources
from runner.spec.plan import WorkerPlan
from runner.text import describe_error
from runner.transports.base import (
    Cancelled,
    WorkerEndpoint,
    WorkerMain,
    nothing_in_hand,
)
from runner.transports.inline.locks import InlineLocks
from runner.transports.inline.queues import (
    LEDGERS,
    FiberPage,
    InlineQueue,
    InlineWays,
    end_to,
    outbox_of,
    put_on,
)
from runner.transports.item_loops import ItemwiseLoops, loops_of

_QUEUE_LOOK = 0.001
"""Seconds between two looks of a thread that a handler has started, and that waits at a queue."""
_JOIN_LOOK = 0.02
"""Seconds that a fiber waits at a time for a thread that its handler has started."""
_UNWINDING = 2.0
"""Seconds that a fiber which is killed has to unwind, `finally` and `close()` included, before it is left behind."""


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
        ways: InlineWays,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.status = FiberPage(-1)
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
        self._outbox = outbox_of(plan, ledgers, self, ways)
        self._errors = end_to(plan.errors_to, plan, ledgers, self, ways) if plan.errors_to else None
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
        with LEDGERS:
            self.threads_waiting += 1
        try:
            while not movable() and time.monotonic() < until:
                if self._cancelled is not None:
                    raise Cancelled
                time.sleep(_QUEUE_LOOK)
        finally:
            with LEDGERS:
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

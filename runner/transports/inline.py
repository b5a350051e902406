"""The `inline` transport: everything in this process, one worker at a time, always in the same order.

    supervisor ── baton ──► worker 1: runs until its next put, task_done or wait ── baton ──► supervisor ──► worker 2 …

Each worker is a thread, because a handler may wait in the middle of its own code; but only the holder of the baton
runs, so that two runs of the same workflow interleave alike and `breakpoint()` in a handler stops everything.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from runner import process
from runner.errors import StartFailed
from runner.facts import Exited, Fact, HandlerFailed, from_message
from runner.leases import LeasedBook
from runner.ledger import Account
from runner.plan import Plan, WorkerPlan
from runner.provisions import NO_PROVISIONS, Gifts, Provisions
from runner.status import Counters, Pulse, StatusPage, Word
from runner.surroundings import Surroundings, put_on
from runner.transports.base import Cancelled, HasFileno, Life, Port, Spawned
from runner.transports.inline_locks import InlineLocks
from runner.transports.inline_queue import InlineQueue
from runner.transports.itemwise import ItemwiseLoops

_PATIENCE = 3
"""Rounds in which nobody can move and the supervisor decides nothing, before that is called a deadlock."""
_LOOK = 0.05
"""Seconds between two looks whether the baton is back, so that signals are heeded during a long item."""


class InlineTransport:
    """Workers as strands of this process."""

    ends_when_settled = True
    tells_when_settled = False
    outlives_workers = False

    def __init__(self, plan: Plan, life: Life, wake: int, provisions: Provisions = NO_PROVISIONS) -> None:
        """Make the books; start nothing. `wake` is not needed: no wait here lasts long."""
        self._life = life
        self._provisions = provisions
        self._books = {q.name: LeasedBook(q.name, q.maxsize) for q in plan.queues}
        self._locks = InlineLocks(plan.locks)
        self._strands: dict[str, _Strand] = {}
        self._turns: deque[_Strand] = deque()
        self._stuck = 0
        self._facts: list[Fact] = []

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Make a strand; it runs when its turn comes. Raises `StartFailed` where the folder of `cwd` is gone."""
        if worker.cwd is not None and not Path(worker.cwd).is_dir():
            raise StartFailed(
                f"worker '{worker.name}' could not be started: there is no folder '{worker.cwd}'"
            )
        gifts = self._provisions.gifts(worker)
        strand = _Strand(worker, self._life, self._books, self._facts.append, gifts, self._locks)
        self._strands[worker.name] = strand
        self._turns.append(strand)
        return Spawned(os.getpid(), os.getppid())

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Let the next strand that can move take its turn; return what happened in it."""
        strand = self._next()
        if strand is None:
            self._nobody_can_move(timeout)
        elif strand.take_turn(min(timeout, _LOOK)):
            self._turns.rotate(-1)
        elif strand.killed:
            strand.abandon()
        facts, self._facts[:] = list(self._facts), []
        for fact in facts:
            if isinstance(fact, Exited):
                self._retire(fact.worker)
        return facts

    def abandon(self) -> None:
        """Unwind every strand, or take it for dead where it does not give the baton back."""
        for strand in self._turns:
            strand.cancel(signal.SIGKILL)
        while self._turns:
            self.wait(_LOOK)

    def counters(self, worker: str) -> Counters:
        """Read a worker's page."""
        return self._strands[worker].status.counters()

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is."""
        return self._strands[worker].status.pulse()

    def stopped(self) -> frozenset[str]:
        """No strand is stopped without this whole process being so."""
        return frozenset()

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""
        return self._books[queue].account()

    def verify(self) -> None:
        """Check every book."""
        for book in self._books.values():
            book.verify()

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the item that the worker had in hand."""
        item = self._strands[worker].status.item
        return [item] if item else []

    def end_stream(self, queue: str, worker: str) -> None:
        """Let the reader's wait end."""
        self._strands[worker].status.words[Word.END] = 1

    def retire(self, worker: str) -> None:
        """Everything is one process: not here."""

    def watch(self, end: HasFileno, ready: Callable[[], None]) -> None:
        """No wait here lasts long enough to be worth it: `ready` is never called."""

    def unwatch(self, end: HasFileno) -> None:
        """Nothing is watched."""

    def stop_producing(self, worker: str) -> None:
        """Let the producer's next put end it."""
        self._strands[worker].status.words[Word.STOP] = 1

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Unwind a strand; one that is in the middle of its own code when the signal is KILL is left behind."""
        strand = self._strands[worker]
        if strand in self._turns:
            strand.cancel(number)

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Show where strands are."""
        frames = sys._current_frames()
        found = {name: frames.get(self._strands[name].ident) for name in workers}
        return {
            name: "".join(traceback.format_stack(frame)) for name, frame in found.items() if frame is not None
        }

    def close(self) -> None:
        """Give back the pages."""
        for strand in self._strands.values():
            strand.status.close()

    def _nobody_can_move(self, timeout: float) -> None:
        """The supervisor may still have a decision that frees someone; if it has none either, nobody ever will."""
        wakes_at = min((strand.wakes_at for strand in self._turns), default=math.inf)
        if wakes_at < math.inf:
            time.sleep(max(0.0, min(wakes_at - time.monotonic(), timeout, _LOOK)))
            return
        self._stuck += 1
        if self._stuck <= _PATIENCE:
            return
        waits = "; ".join(f"'{strand.name}' {strand.waits_for}" for strand in self._turns)
        for strand in self._turns:
            self._facts.append(HandlerFailed(strand.name, f"deadlock: {waits}"))
            strand.cancel(signal.SIGTERM)

    def _next(self) -> _Strand | None:
        for _ in range(len(self._turns)):
            if self._turns[0].can_move():
                self._stuck = 0
                return self._turns[0]
            self._turns.rotate(-1)
        return None

    def _retire(self, worker: str) -> None:
        strand = self._strands[worker]
        if strand in self._turns:
            self._turns.remove(strand)


class _Strand:
    """One worker: a thread that runs only while it holds the baton."""

    def __init__(
        self,
        plan: WorkerPlan,
        life: Life,
        books: dict[str, LeasedBook],
        note: Callable[[Fact], None],
        gifts: Gifts,
        locks: InlineLocks,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.status = StatusPage.private()
        self.waits_for = "has not begun"
        self.wakes_at = math.inf
        """When its wait is over whatever happens, for one that waits with a timeout."""
        self._life = life
        self._note = note
        self._locks = locks
        self._gifts = {**gifts, **locks.gifts(self)}
        self._inbox = InlineQueue(books[plan.receives], self) if plan.receives else None
        self._outbox = InlineQueue(books[plan.sends], self) if plan.sends else None
        self._movable: Callable[[], bool] = lambda: True
        self._cancelled: signal.Signals | None = None
        self._holds_baton = False
        self._surroundings = Surroundings({}, None)
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, name=plan.name, daemon=True)

    @property
    def ident(self) -> int:
        """The thread's identity; 0 before it runs."""
        return self._thread.ident or 0

    def can_move(self) -> bool:
        """Whether a turn would get it any further."""
        if self._cancelled is not None or self._holds_baton or self._movable():
            return True
        return time.monotonic() >= self.wakes_at

    def take_turn(self, patience: float) -> bool:
        """Hand over the baton and wait for it; False if it is not back after `patience` seconds."""
        if not self._holds_baton:
            self._holds_baton = True
            self._surroundings = put_on(self.plan)
            if not self._thread.ident:
                self._thread.start()
            else:
                self._go.release()
        if not self._back.acquire(timeout=patience):
            return False
        self._holds_baton = False
        self._surroundings.take_off()
        return True

    def pause(self, movable: Callable[[], bool], waits_for: str, until: float = math.inf) -> None:
        """Called in the strand: give the baton back until `movable`, or the time `until`, and its turn comes."""
        self._movable, self.waits_for, self.wakes_at = movable, waits_for, until
        self._back.release()
        self._go.acquire()
        if self._cancelled is not None:
            raise Cancelled

    def cancel(self, number: signal.Signals) -> None:
        """Unwind the strand at its next turn, or where it is."""
        self._cancelled = number
        if self._holds_baton:
            thread = ctypes.c_ulong(self.ident)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Cancelled))

    @property
    def killed(self) -> bool:
        """Whether nobody has to wait for it any more."""
        return self._cancelled is signal.SIGKILL

    def abandon(self) -> None:
        """Take it for dead, although it does not give the baton back; end the programs that it has started."""
        process.end_children_of(self._thread.native_id)
        self._surroundings.take_off()
        self._locks.free_of(self)
        self._note(Exited(self.name, os.getpid(), -signal.SIGKILL))
        self._note = _unheard  # whatever it still says, it says as a ghost

    def _live(self) -> None:
        try:
            if self._cancelled is not None:
                raise Cancelled
            loops = ItemwiseLoops(self._inbox, self._outbox, self.status)
            port = Port(loops, self._inbox, self._outbox, self.status, self._tell, gifts=self._gifts)
            code = self._life(self.plan, port)
        except Cancelled:
            code = -(self._cancelled or signal.SIGTERM)
        self._locks.free_of(self)
        if self._inbox is not None:
            self._inbox.give_back()
        self._note(Exited(self.name, os.getpid(), code))
        self._back.release()

    def _tell(self, kind: str, **fields: Any) -> None:
        fact = from_message(self.name, {"kind": kind, **fields})
        if fact is not None:
            self._note(fact)


def _unheard(fact: Fact) -> None:
    """Where the words of a strand go that counts as dead."""

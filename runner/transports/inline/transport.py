"""The `inline` transport: everything in this process, one worker at a time, always in the same order.

    supervisor ── turn ──► worker 1: runs until its next put, task_done or wait ── turn ──► supervisor ──► worker 2 …

Each worker is a fiber: a thread, because a handler may wait in the middle of its own code; but only the one whose turn
it is runs, so that two runs of the same workflow interleave alike and `breakpoint()` in a handler stops everything.

What a fiber does at its queues and locks stands in `fibers` and `locks`.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from runner.errors import StartFailed
from runner.ipc.messages import Exited, Fact, HandlerFailed
from runner.ipc.shown_items import Side
from runner.ipc.status_page import Counters, Pulse, Sighting, StopRequest, Word
from runner.ledger.accounts import Account
from runner.ledger.leases import LeaseQueue
from runner.process.ending import open_descriptors
from runner.process.real_threads import frames_of_threads, threads_are_green, undo_patches
from runner.process.resources.base import NO_PROVIDERS, ResourceProviders
from runner.spec.plan import Plan, WorkerPlan
from runner.transports.base import HasFileno, Spawned, WorkerMain
from runner.transports.cut import Cut
from runner.transports.inline.fibers import Fiber
from runner.transports.inline.locks import InlineLocks
from runner.transports.inline.queues import InlineWays

_PATIENCE = 3
"""Rounds in which nobody can move and the supervisor decides nothing, before that is called a deadlock."""
_LOOK = 0.05
"""Seconds between two looks whether the turn was given back, so that signals are heeded during a long item."""
_GLANCE = 0.001
"""The same, for a fiber with a thread of its own that waits at a queue."""


def _bounds() -> tuple[int, int]:
    """How deep Python may call, and how many descriptors there may be."""
    return sys.getrecursionlimit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _restore_bounds(depth: int, descriptors: int) -> None:
    sys.setrecursionlimit(depth)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):
        # The hard one is lower now, which nobody can take back: then as many as there may be.
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_GREEN = (
    "its handler replaces threads by something else, as gevent and eventlet do in `monkey.patch_all()` and "
    "`monkey_patch()`; under `inline` mprun itself lives on those: run it under `leased` or `joinable`"
)


class InlineTransport:
    """Workers as fibers of this process."""

    ends_when_settled = True
    tells_when_settled = False
    outlives_workers = False

    def __init__(
        self, plan: Plan, main: WorkerMain, wake: int, providers: ResourceProviders = NO_PROVIDERS
    ) -> None:
        """Make the ledgers; start nothing. `wake` is not needed: no wait here lasts long."""
        self._main = main
        self._origin = plan.origin
        self._providers = providers
        self._ways = InlineWays(plan)
        self._ledgers = {
            q.name: LeaseQueue(q.name, None if q.spec.loop else q.spec.maxsize) for q in plan.queues
        }
        self._locks = InlineLocks(plan.locks)
        self._fibers: dict[str, Fiber] = {}
        self._threads_before = frozenset(threading.enumerate())
        self._open_before = open_descriptors()
        self._bounds_before = _bounds()
        self._needed = {name for stage in plan.stages for name in stage.spec.needs}
        self._turns: deque[Fiber] = deque()
        self._stuck = 0
        self._facts: list[Fact] = []
        self._waits = 0

    def start(self, workers: Sequence[WorkerPlan]) -> Iterator[Spawned]:
        """Make fibers; each runs when its turn comes. Raises `StartFailed` where the folder of `cwd` is gone."""
        return map(self._start, workers)

    def moves(self) -> int:
        """Count turns: between two of them nobody sleeps for long."""
        return self._waits

    def _start(self, worker: WorkerPlan) -> Spawned:
        if worker.cwd is not None and not Path(worker.cwd).is_dir():
            raise StartFailed(
                f"worker '{worker.name}' could not be started: there is no folder '{worker.cwd}'"
            )
        resources = self._providers.resources_for(worker)
        fiber = Fiber(
            worker, self._main, self._ledgers, self._facts.append, resources, self._locks, self._ways
        )
        fiber.origin = self._origin
        # Once is enough, unless somebody begins only after it, and may read what it has written.
        fiber.ends_files = worker.stage in self._needed
        fiber.is_last = lambda: len(self._turns) == 1
        fiber.threads_before = self._threads_before
        fiber.open_before = self._open_before
        self._fibers[worker.name] = fiber
        self._turns.append(fiber)
        return Spawned(os.getpid(), os.getppid())

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Let the next fiber that can move take its turn; return what happened in it."""
        self._waits += 1
        fiber = self._next()
        if fiber is None:
            self._wait_or_break_deadlock(timeout)
        elif fiber.take_turn(min(timeout, _GLANCE if fiber.threads_waiting else _LOOK)):
            self._turns.rotate(-1)
        elif fiber.threads_waiting:
            self._turns.rotate(-1)  # it waits for a thread of its own, which waits for somebody else
        elif fiber.outstays:
            fiber.abandon()
        if threads_are_green() and self._turns:
            self._refuse_green_threads(fiber or self._turns[0])
        facts, self._facts[:] = list(self._facts), []
        for fact in facts:
            if isinstance(fact, Exited):
                self._retire(fact.worker)
        return facts

    def _refuse_green_threads(self, culprit: Fiber) -> None:
        """A handler has replaced the threads of this process, which all workers and mprun itself live on."""
        undo_patches()
        self._facts.insert(0, HandlerFailed(culprit.name, _GREEN))  # before its end
        culprit.cancel(signal.SIGTERM)

    def abandon(self) -> None:
        """Unwind every fiber, or leave it behind where it does not give the turn back."""
        for fiber in self._turns:
            fiber.cancel(signal.SIGKILL)
        while self._turns:
            self.wait(_LOOK)

    def counters(self, worker: str) -> Counters:
        """Read a worker's page."""
        return self._fibers[worker].status.counters()

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is."""
        return self._fibers[worker].status.pulse()

    def sighting(self, worker: str) -> Sighting:
        """Read what a worker is at."""
        return self._fibers[worker].status.sighting()

    def stopped(self) -> frozenset[str]:
        """No fiber is stopped without this whole process being so."""
        return frozenset()

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""
        account = self._ledgers[queue].account()
        if queue in self._ways.bounds:
            account = replace(account, maxsize=self._ways.bounds[queue])
        seen = self._ways.seen.get(queue)
        return account if seen is None else account.with_duplicates(seen.duplicates)

    def kept_state(self, worker: str) -> bytes | None:
        """Nobody takes a worker's place, so nothing is kept for one that would."""
        return None

    def cut(self, now: float) -> Cut | None:
        """What is in a queue that hands out its own items nobody could take along."""
        return None

    def tell_committed(self, worker: str, count: int) -> int:
        """Nobody waits for a cut where there are none."""
        return 0

    def let_show(self, worker: str, side: Side, count: int) -> None:
        """Nobody can look on: there is no process that would answer."""

    def unshown(self, worker: str, side: Side) -> int:
        """Nobody shows any."""
        return 0

    def close_accounts(self) -> None:
        """Check every ledger: nothing was held outside."""
        for ledger in self._ledgers.values():
            ledger.verify()

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the item that the worker had in hand."""
        item = self._fibers[worker].status.item
        return [item] if item else []

    def end_stream(self, queue: str, worker: str) -> None:
        """Let the reader's wait end."""
        self._fibers[worker].status.words[Word.END] = 1

    def retire(self, worker: str) -> None:
        """Everything is one process: not here."""

    def dismiss(self, worker: str) -> None:
        """Let its next get or put, or one that finds no room, end the worker."""
        self._fibers[worker].status.words[Word.STOP] = StopRequest.WAITING

    def watch(self, end: HasFileno, ready: Callable[[], None]) -> None:
        """No wait here lasts long enough to be worth it: `ready` is never called."""

    def unwatch(self, end: HasFileno) -> None:
        """Nothing is watched."""

    def stop_producing(self, worker: str) -> None:
        """Let the producer's next put end it."""
        self._fibers[worker].status.words[Word.STOP] = StopRequest.PRODUCING

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Unwind a fiber; one that is still in the middle of its own code a while after a KILL is left behind."""
        fiber = self._fibers[worker]
        if fiber in self._turns:
            fiber.cancel(number)

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Show where fibers are."""
        with frames_of_threads() as frames:
            found = {name: frames.get(self._fibers[name].ident) for name in workers}
            return {
                name: "".join(traceback.format_stack(frame))
                for name, frame in found.items()
                if frame is not None
            }

    def close(self) -> None:
        """Give back the pages, and the bounds of this process that a handler has set for what it takes for its own."""
        _restore_bounds(*self._bounds_before)
        for fiber in self._fibers.values():
            if not fiber.status.left_behind:  # it may yet come to look at it
                fiber.status.close()

    def _wait_or_break_deadlock(self, timeout: float) -> None:
        """The supervisor may still have a decision that frees someone; if it has none either, nobody ever will."""
        wakes_at = min((fiber.wakes_at for fiber in self._turns), default=math.inf)
        if wakes_at < math.inf:
            time.sleep(max(0.0, min(wakes_at - time.monotonic(), timeout, _LOOK)))
            return
        self._stuck += 1
        if self._stuck <= _PATIENCE:
            return
        waits = "; ".join(f"'{fiber.name}' {fiber.waits_for}" for fiber in self._turns)
        for fiber in self._turns:
            self._facts.append(HandlerFailed(fiber.name, f"deadlock: {waits}"))
            fiber.cancel(signal.SIGTERM)

    def _next(self) -> Fiber | None:
        for _ in range(len(self._turns)):
            if self._turns[0].can_move():
                self._stuck = 0
                return self._turns[0]
            self._turns.rotate(-1)
        return None

    def _retire(self, worker: str) -> None:
        fiber = self._fibers[worker]
        if fiber in self._turns:
            self._turns.remove(fiber)

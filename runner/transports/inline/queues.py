"""The ends of queues in the hands of a fiber, under `inline`. Who waits gives the turn back.

    put ──► put_on ──► is there room on all of its queues? ──yes──► LeaseQueue, one after the other ──► the next's turn
                                  └──no──► wait for room on that which has none

An item that goes to several queues is on all of them, or on none. What goes round, and what was seen, `InlineWays` has.
"""

from __future__ import annotations

import math
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from runner.errors import EndOfStream, HandlerError, Stopping
from runner.handlers.kinds import unrouted
from runner.ipc.frames import load_item
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Frame, HandOver, Lease
from runner.ledger.uniqueness import SeenKeys
from runner.process.real_threads import Baton
from runner.spec.model import Role
from runner.spec.plan import Plan, WorkerPlan
from runner.spec.routes import RoutePlan
from runner.text import safe_repr
from runner.transports.base import nothing_in_hand
from runner.transports.routing import Router

LEDGERS = threading.Lock()
"""Held by whoever changes a ledger or counts: the fiber with the turn, or a thread that a handler has started."""


class FiberPage(StatusPage):
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


class Turns(Protocol):
    """The fiber, as its queues see it."""

    @property
    def name(self) -> str:
        """The worker's."""

    @property
    def plan(self) -> WorkerPlan:
        """The worker's."""

    @property
    def status(self) -> FiberPage:
        """The worker's."""

    def pause(self, movable: Callable[[], bool], waits_for: str, until: float = math.inf) -> None:
        """Give the turn back until `movable`, or the time `until`."""


class InlineQueue:
    """A queue's end in one fiber: its ledger says what is in it, and waiting is giving the turn back."""

    def __init__(
        self,
        ledger: LeaseQueue,
        fiber: Turns,
        bound: float | None = None,
        seen: SeenKeys | None = None,
    ) -> None:
        """`bound` takes the place of the ledger's; `seen` are the keys that were put, where each is taken once."""
        self._ledger = ledger
        self._fiber = fiber
        self._bound = bound
        self._seen = seen
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
        with LEDGERS:
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
        with LEDGERS:
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
        with LEDGERS:
            if self._held and self.empty():
                self._ledger.request_more(self._fiber.name, len(self._held), time.monotonic())
                self._ledger.set_demand(self._fiber.name, 0, time.monotonic())

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with."""
        self._fiber.status.stay_if_left()
        with LEDGERS:
            lease = self._oldest()
            self._ledger.acked(lease.number, lease.item_range.stop, time.monotonic())
            self._fiber.status.add(Word.DONE)
        self._fiber.pause(lambda: True, "for its turn")

    def give_up(self) -> None:
        """Say that the oldest item that was taken has failed."""
        self._fiber.status.stay_if_left()
        with LEDGERS:
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
        if self._bound is not None:
            return self._ledger.occupied >= self._bound
        room = self._ledger.room
        return room is not None and room <= 0

    def enter(self, frame: Frame, key: int = 0) -> None:
        """There is room: take it, without the patience that the ledger has with writers far away."""
        if self._seen is not None and not self._seen.add(key):
            self._ledger.reject(dead_letter=False)
            return
        now = time.monotonic()
        self._ledger.grant(self._fiber.name, 1)
        self._ledger.offer(self._fiber.name, frame, now)
        self._ledger.writer_gone(self._fiber.name, now)
        self._ledger.decide()

    def _wait(self, word: int, until: float, movable: Callable[[], bool], what: str) -> None:
        began = time.perf_counter_ns()
        self._fiber.pause(movable, f"waits {what} on queue '{self._ledger.name}'", until)
        with LEDGERS:
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

    def __init__(self, ends: Sequence[InlineQueue], routes: Sequence[RoutePlan], fiber: Turns) -> None:
        self._ends = ends
        self._router = Router(routes)
        self._fiber = fiber

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item on its queues, waiting for room on all of them. Raises as that of one queue, and `RouteError`."""
        item, targets = self._router.route(item)
        ends = [self._ends[number] for number in targets]
        keys = [self._router.key(number, item) for number in targets]
        payload = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        put_on(ends, payload, self._fiber, block, timeout, keys=keys)

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
    fiber: Turns,
    block: bool,
    timeout: float | None,
    *,
    keys: Sequence[int] = (0,),
    counts: bool = True,
) -> None:
    """Put an item on queues, all at once, and give the turn back. It `counts` where the handler has made it."""
    fiber.status.stay_if_left()
    until = _deadline(block, timeout)
    ends[0].check_stop()
    while not _entered(ends, payload, fiber, keys, counts=counts):
        full = next((end for end in ends if end.full()), ends[0])
        full.await_room(until)
    fiber.pause(lambda: True, "for its turn")


def _entered(
    ends: Sequence[InlineQueue], payload: bytes, fiber: Turns, keys: Sequence[int], *, counts: bool
) -> bool:
    with LEDGERS:
        if any(end.full() for end in ends):
            return False
        for end, key in zip(ends, keys, strict=True):
            end.enter(Frame(payload, 1), key)
        fiber.status.add(Word.SENT, int(counts))
    return True


class InlineWays:
    """What goes round, and what was seen, in one run."""

    def __init__(self, plan: Plan) -> None:
        self._loops = plan.loops
        self.bounds = {queue.name: queue.spec.maxsize for queue in plan.queues if queue.spec.loop}
        """Of queues that are written back to: their ledgers have none, as it is for those outside alone."""
        self.seen = {
            queue.name: SeenKeys(queue.spec.unique.most)
            for queue in plan.queues
            if queue.spec.unique is not None
        }

    def bound(self, stage: str, queue: str) -> float | None:
        """Return how many items may wait when a stage puts; None where that is the ledger's to say."""
        if queue not in self.bounds:
            return None
        most = self.bounds[queue]
        return math.inf if most is None or (stage, queue) in self._loops.back else most


def end_to(
    queue: str, plan: WorkerPlan, ledgers: dict[str, LeaseQueue], fiber: Turns, ways: InlineWays
) -> InlineQueue:
    return InlineQueue(ledgers[queue], fiber, ways.bound(plan.stage, queue), ways.seen.get(queue))


def outbox_of(
    plan: WorkerPlan, ledgers: dict[str, LeaseQueue], fiber: Turns, ways: InlineWays
) -> InlineQueue | InlineRoutes | None:
    ends = [end_to(queue, plan, ledgers, fiber, ways) for queue in plan.targets]
    if plan.routes:
        return InlineRoutes(ends, plan.routes, fiber)
    return ends[0] if ends else None


def _deadline(block: bool, timeout: float | None) -> float:
    """Until when to wait. One that does not wait gives the others a turn all the same: it may ask again and again."""
    return 0.0 if not block else math.inf if timeout is None else time.monotonic() + timeout

"""The `joinable` transport: the standard library's JoinableQueue itself, and a process per worker.

    chef ──put──► pickled bytes ──► JoinableQueue(maxsize) ──get──► eater        every lock of it shared by all
         └─ status page, private channel, pidfd ─► supervisor ◄─ the same ─┘     touches no lock of theirs

A worker that is killed may take a lock of the queue with it, which nothing can repair: the run ends when one dies. The
supervisor never puts or gets, so it can't be caught by such a lock; the end of the stream is a word in a reader's page.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from runner.errors import HandlerError
from runner.facts import dataclass
from runner.handlers.kinds import allow_routes
from runner.ipc.channel import Sender
from runner.ipc.messages import Exited, Fact
from runner.ipc.status_page import StatusPage, Word
from runner.ledger.accounts import Account, CountedLedger, Tally
from runner.process.resources.base import NO_PROVIDERS, ResourceProviders
from runner.spec.plan import Plan, QueuePlan, WorkerPlan
from runner.transports.base import Spawned, WorkerEndpoint, WorkerMain, nothing_waits
from runner.transports.cut import Cut
from runner.transports.item_loops import loops_of
from runner.transports.item_tap import ItemTap
from runner.transports.joinable.counted_queue import CountedQueue
from runner.transports.joinable.loops import JoinableLoops
from runner.transports.pool import Birth, PooledTransport, ProcessPool, isolate_forks

_LOOK = 0.02
"""Seconds between two looks of who waits for room, or for a lock, at its page: nothing else wakes it."""
_LOOKERS = 20
"""Workers of a queue that may look so often; more of them look less often, or they would do nothing else."""
_SAMPLE = 0.1
"""Seconds between two looks of the supervisor at the counters, for peaks and for the queue being joined."""


class JoinableTransport(PooledTransport):
    """Joinable queues and the processes round them."""

    ends_when_settled = False
    tells_when_settled = False
    outlives_workers = False

    def __init__(
        self, plan: Plan, main: WorkerMain, wake: int, providers: ResourceProviders = NO_PROVIDERS
    ) -> None:
        """Make the queues; start nothing. `wake` cuts a wait short when it becomes readable."""
        with _nothing_done_at_forks():
            self._queues = {q.name: _make_queue(q, plan) for q in plan.queues}
        self._ledgers = {q.name: CountedLedger(q.name, q.spec.maxsize) for q in plan.queues}
        self._queue_plans = {q.name: q for q in plan.queues}
        self._outdated = set(self._ledgers)
        self._next_sample = 0.0
        self._items_moved = 0
        self._look = _LOOK * max(1.0, len(plan.workers) / _LOOKERS)
        self._plans: dict[str, WorkerPlan] = {}
        self._killed: set[str] = set()
        # Last, as it has to be closed: the queues let go of their descriptors when one more can't be had.
        self.pool = ProcessPool(main, wake, providers)

    def start(self, workers: Sequence[WorkerPlan]) -> Iterator[Spawned]:
        """Give birth to workers. Raises `StartFailed` after those that were born."""
        spawned = self.pool.start([self._birth(worker) for worker in workers])
        self._plans.update((worker.name, worker) for worker in workers[: len(spawned)])
        yield from spawned
        if self.pool.why_not is not None:
            raise self.pool.why_not

    def _birth(self, worker: WorkerPlan) -> Birth:
        inbox = self._queues[worker.receives] if worker.receives else None
        outbox = self._queues[worker.sends] if worker.sends else None
        needed = [fd for end in (inbox, outbox) if end is not None for fd in end.descriptors()]
        return Birth(worker, _EndpointFactory(inbox, outbox, self._look), needed)

    def moves(self) -> int:
        """Count what has come, and the items, which nobody tells of: as of the last sample."""
        return super().moves() + self._items_moved

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Block until a worker speaks or dies, a signal arrives, or `timeout` has passed; counters are then fresh."""
        facts = self.pool.wait(min(timeout, _SAMPLE))
        self._killed.update(fact.worker for fact in facts if isinstance(fact, Exited) and fact.code < 0)
        self._outdated.update(self._ledgers)
        if time.monotonic() >= self._next_sample:
            self._next_sample = time.monotonic() + _SAMPLE
            for name in self._ledgers:
                self._bring_up_to_date(name)
            accounts = [ledger.account() for ledger in self._ledgers.values()]
            self._items_moved = sum(each.put + each.waiting + each.done for each in accounts)
        return facts

    def account(self, queue: str) -> Account:
        """Take stock, as of the first time it is asked for after the last wait: in a long chain few queues matter."""
        if queue in self._outdated:
            self._bring_up_to_date(queue)
        return self._ledgers[queue].account()

    def kept_state(self, worker: str) -> bytes | None:
        """Nobody takes a worker's place, so nothing is kept for one that would."""
        return None

    def cut(self, now: float) -> Cut | None:
        """What is in a queue that hands out its own items nobody could take along."""
        return None

    def close_accounts(self) -> None:
        """Check every ledger against the workers' last words."""
        for queue_plan in self._queue_plans.values():
            self._bring_up_to_date(queue_plan.name)
            # One that was killed may have put an item and not counted it yet: such a sum proves nothing.
            if not self._killed.intersection(queue_plan.writers):
                self._ledgers[queue_plan.name].verify()

    def end_stream(self, queue: str, worker: str) -> None:
        """Write the end into the reader's page, where it looks when it finds the queue empty, and wake it."""
        self.pool.status(worker).words[Word.END] = 1
        self.pool.ring(worker)

    def dismiss(self, worker: str) -> None:
        """Write it into the worker's page, and wake it where it waits for an item."""
        super().dismiss(worker)
        self.pool.ring(worker)

    def retire(self, worker: str) -> None:
        """A reader of a JoinableQueue can't be told apart from the others: not here."""

    def close(self) -> None:
        """Give back pages, pipes and semaphores."""
        self.pool.close()
        for joinable in self._queues.values():
            joinable.dispose()
        self._queues.clear()  # the last reference: its semaphores are unlinked when it goes

    def _bring_up_to_date(self, name: str) -> None:
        self._outdated.discard(name)
        self._ledgers[name].update(self._tallies(self._queue_plans[name]), time.monotonic())

    def _tallies(self, queue: QueuePlan) -> Iterator[tuple[str, Tally]]:
        """Count what each of the queue's workers says; no other's page is looked at."""
        for worker in dict.fromkeys((*queue.writers, *queue.readers)):
            plan = self._plans.get(worker)
            if plan is None:  # it has not started
                continue
            counts = self.pool.status(worker).counts()
            reads, sends = plan.receives == queue.name, plan.sends == queue.name
            # What a producer can't put is put, taken and dropped in one step.
            rejected = counts.failed if sends and plan.receives is None else 0
            yield (
                worker,
                Tally(
                    put=counts.sent + rejected if sends else 0,
                    taken=counts.received if reads else rejected,
                    done=counts.done if reads else 0,
                    dropped=counts.failed if reads else rejected,
                ),
            )


@dataclass(frozen=True, slots=True)
class _EndpointFactory:
    """Made in the supervisor, called in the worker."""

    inbox: CountedQueue | None
    outbox: CountedQueue | None
    look: float

    def __call__(self, plan: WorkerPlan, status: StatusPage, sender: Sender) -> WorkerEndpoint:
        ends = [end for end in (self.inbox, self.outbox) if end is not None]
        tap = ItemTap(plan, status, sender.send)
        for end in ends:
            end.use_as(plan, status, self.look, sender.fileno(), tap)
        allow_routes(plan.targets)
        isolate_forks([end.after_fork for end in ends], status, sender)
        loops = loops_of(self.inbox, self.outbox, status, plan.batch, sender.send, JoinableLoops)
        flush = nothing_waits if self.outbox is None else self.outbox.flush_puts
        return WorkerEndpoint(
            loops, self.inbox, self.outbox, status, sender.send, places=_uncounted, flush_puts=flush
        )


def _uncounted() -> NoReturn:
    raise HandlerError("`worker.item_id` needs a ledger that counts the items: use `leased` or `inline`")


@contextmanager
def _nothing_done_at_forks() -> Iterator[None]:
    """
    Let multiprocessing forget what it would do in each forked process for the queues that are made inside.

    It would bring each lock and buffer back to how it was made, and so they are: the supervisor uses no queue. With a
    thousand queues that would take each worker longer than all else that it does before its first item.
    """
    registry: Any = vars(multiprocessing.util)["_afterfork_registry"]
    before = frozenset(registry.keys())
    try:
        yield
    finally:
        for key in [key for key in registry.keys() if key not in before]:  # noqa: SIM118 - it holds weak references
            registry.pop(key, None)


def _make_queue(plan: QueuePlan, whole: Plan) -> CountedQueue:
    ends = {*plan.writers, *plan.readers}
    spawned = any(w.start_method == "spawn" for w in whole.workers if w.name in ends)
    # Semaphores made for fork have no name and can't be handed to a spawned process.
    context: Any = multiprocessing.get_context("spawn" if spawned else "fork")
    made = CountedQueue(plan.spec.maxsize or 0, ctx=context)
    os.set_blocking(made.descriptors()[0], False)
    return made

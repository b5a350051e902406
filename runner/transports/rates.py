"""`rate` under `leased`: the supervisor gives out leave to begin items, and a worker waits with each until its time.

    worker: RateGate.wait ── LEAVE? so many of this key ──► supervisor: StageRates ──► RateLimiter (ledger/pacing.py)
                          ◄── so many, from then on ──

One place gives it out, so it does not matter how many workers a stage has. What a worker takes with it when it dies, or
does not use while it may, is lost: the stage is slower for a moment, and never faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.errors import Stopping
from runner.ipc.status_page import StopRequest, Wait, Word
from runner.ipc.stream import LeaveAnswer, LeaveRequest
from runner.ledger.pacing import RateLimiter
from runner.ledger.sharding import key_number, key_reader
from runner.spec.model import Role
from runner.spec.pace import RatePolicy
from runner.spec.plan import Plan, WorkerPlan
from runner.transports.leased.session import WorkerSession

_KEPT = 0.05
"""Seconds for which leave is good that was not used: what came by it later would be too much then."""
_NEVER = 1e9
"""Seconds: whoever waits longer than that waits for ever, and what many of them wait together has no room anywhere."""
_ASKED = 1 << 20
"""More items than leave is given for at once."""


class StageRates:
    """The supervisor's side: the limiters of all stages that have a rate."""

    def __init__(self, plan: Plan) -> None:
        self._limiters = {
            stage.name: RateLimiter(
                stage.spec.rate.limit,
                stage.spec.rate.burst,
                len(stage.workers),
                by_key=stage.spec.rate.per is not None,
            )
            for stage in plan.stages
            if stage.spec.rate is not None
        }

    def answer(self, worker: WorkerPlan, request: LeaveRequest, now: float) -> LeaveAnswer | None:
        """Give leave; None for a worker whose stage needs none: its word is gossip."""
        limiter = self._limiters.get(worker.stage)
        if limiter is None or not request.count:
            return None
        given = limiter.reserve(request.key, request.count, now, together=bool(request.together))
        return LeaveAnswer(given.count, int(min(given.at, now + _NEVER) * 1e9), int(limiter.interval * 1e9))


class RateGate:
    """A worker's side: where each item waits for its turn."""

    def __init__(self, session: WorkerSession, worker: WorkerPlan, policy: RatePolicy) -> None:
        self._session = session
        self._in_batches = worker.batch is not None
        self._ends_at = StopRequest.PRODUCING if worker.role is Role.PRODUCER else StopRequest.WAITING
        self._key_of = _no_key if policy.per is None else _keys_by(policy.per)
        self._by_key = policy.per is not None
        self._left = 0
        self._next = self._interval = 0.0
        """Items for which there is leave, when the next may begin, and how long after it the one behind that."""

    def wait(self, item: object) -> None:
        """Wait until an item may be begun, or the list of items that a batch is. Blocks as long as the rate wants it.

        Raises:
            Stopping: a producer is to end, or a reader is to close.
            ShardKeyError: the item has no key.
        """
        at = self.reserve(item)
        if time.monotonic() < at:
            self._session.blocked(Wait.RATE, lambda: self._until(at))

    def reserve(self, item: object) -> float:
        """Return from when on an item may be begun, by `time.monotonic`. Raises `ShardKeyError`, and `Stopping`."""
        count = len(item) if self._in_batches and isinstance(item, list) else 1
        if self._in_batches or self._by_key or not self._left or time.monotonic() > self._next + _KEPT:
            self._ask(self._key_of(item), count)
        at = self._next
        self._left -= count
        self._next += count * self._interval
        return at

    def _ask(self, key: int, count: int) -> None:
        alone = self._by_key and not self._in_batches
        wanted = count if self._in_batches or alone else _ASKED
        answer = self._session.leave(LeaveRequest(wanted, key, together=int(self._in_batches)))
        self._left, self._next, self._interval = answer.count, answer.nanos / 1e9, answer.interval / 1e9

    def _until(self, at: float) -> None:
        while (left := at - time.monotonic()) > 0:
            if self._session.status.words[Word.STOP] >= self._ends_at:
                raise Stopping
            self._session.wait(left)


def _no_key(_item: object) -> int:
    return 0


def _keys_by(path: str) -> Callable[[object], int]:
    read = key_reader("rate: per", path)
    return lambda item: key_number(read(item))

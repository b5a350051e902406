"""How a run is brought to an end, and daemonic workers before it. Each step has a bound, and the next is harsher.

RUNNING ──signal──► DRAINING ──stop_timeout──► CLOSING ──close_timeout──► TERMINATING ──grace──► KILLING
   │                    ├───────failure──────────►▲ │                                               ▲
   ├──failure, timeout──┼─────────────────────────┘ │                                               │
   └────────────────────┴────────second signal──────┴───────────────────────────────────────────────┘

DRAINING      producers end at their next put, and what is in the queues is worked off
CLOSING       what waits is given up, not what is done: every worker finishes the item in hand, takes or makes no other,
              and closes; producers that were to come before and did not are ended

Asking takes no time where a worker waits at a queue or is between two items: only who sits in a call uses the bound up.
Under `joinable` a worker that was killed may have taken along a lock which the others wait for. Who waits for it can't
close, so there the bound is short.

Daemonic workers that nothing needs any more:

    producer ──► its next put ends it ──close_timeout, nothing of its on the way──► SIGTERM ──stop_timeout──► SIGKILL
    reader ────► it closes ────────────close_timeout──────────────────────────────► SIGTERM ──stop_timeout──► SIGKILL
    others, or with processes of their own ───────────────────────────────────────► SIGTERM ──stop_timeout──► SIGKILL

A signal to a producer in the middle of a put would lose an item; and one that ignores SIGTERM would keep the run alive.
A reader that `mprun stop --worker` names is ended in the same way, without a look at what it has started.
The phases and the schedule are pure; `WorkerShutdown` sends what the schedule says.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum

from runner.facts import dataclass
from runner.process.child import has_children
from runner.spec.limits import Limits
from runner.spec.model import Role
from runner.supervisor.workers import FROM_OUTSIDE, WorkerState, WorkerTable
from runner.transports.base import Transport

LOCK_LOST_GRACE = 0.3
"""Seconds to close, and again from TERM to KILL, where a lock may be lost: such a run ends within a second."""
TERM_GRACE = 2.0
"""Seconds between TERM and KILL."""
MOMENT = 0.2
"""Seconds that a producer has at the least to come to its next put, and again until what it has put is taken."""
_NOT_NEEDED = "daemonic, and nothing needs it any more"
_OUTSTAYED = "daemonic, and not gone limits.stop_timeout after SIGTERM"


class Phase(IntEnum):
    """How far the end has come; it only grows."""

    RUNNING = 0
    DRAINING = 1
    CLOSING = 2
    TERMINATING = 3
    KILLING = 4


@dataclass(frozen=True, slots=True)
class Stop:
    """The phase, when the next begins by itself, and how long TERMINATING lasts."""

    phase: Phase = Phase.RUNNING
    until: float = math.inf
    term_grace: float = TERM_GRACE
    asked: bool = False
    """Whether somebody has asked for the end: who asks again wants it at once."""


def drain(stop: Stop, now: float, stop_timeout: float) -> Stop:
    """Somebody asks the run to stop: producers first, the rest empties its queues. Asked again: kill.

    Where it comes to its end already, by a failure or a timeout, who asks for the first time is told so, no more.
    """
    if stop.phase is Phase.RUNNING:
        return Stop(Phase.DRAINING, now + stop_timeout, asked=True)
    return Stop(Phase.KILLING, asked=True) if stop.asked else replace(stop, asked=True)


def fail(stop: Stop, now: float, close_timeout: float, *, lock_lost: bool = False) -> Stop:
    """The run can't go on: what is left closes, without draining. What closes already is let do so.

    `lock_lost`: a worker may have taken along what the others need in order to close.
    """
    if stop.phase >= Phase.CLOSING:
        return stop
    if lock_lost:
        bound = min(LOCK_LOST_GRACE, close_timeout)
        return Stop(Phase.CLOSING, now + bound, LOCK_LOST_GRACE, asked=stop.asked)
    return Stop(Phase.CLOSING, now + close_timeout, asked=stop.asked)


def escalate(stop: Stop, now: float, close_timeout: float) -> Stop:
    """Return the phase that is due at `now`: the same one until its time has passed."""
    if now < stop.until:
        return stop
    if stop.phase is Phase.DRAINING:
        return replace(stop, phase=Phase.CLOSING, until=now + close_timeout)
    if stop.phase is Phase.CLOSING:
        return Stop(Phase.TERMINATING, now + stop.term_grace, asked=stop.asked)
    return Stop(Phase.KILLING, asked=stop.asked)


class TerminationSchedule:
    """Who is being ended, and what is due to whom next."""

    def __init__(self, stop_timeout: float) -> None:
        self._stop_timeout = stop_timeout
        self._due: dict[str, tuple[float, signal.Signals]] = {}

    def begin(self, worker: str, at: float) -> None:
        """End a worker that has not ended by itself at the time `at`."""
        self._due[worker] = (at, signal.SIGTERM)

    def due(self, now: float, may_wait: Callable[[str], bool]) -> list[tuple[str, signal.Signals]]:
        """Return who is to be sent which signal now. `may_wait`: what a worker has put is still on its way."""
        signals = []
        for name, number in [(name, number) for name, (at, number) in self._due.items() if at <= now]:
            if number is signal.SIGTERM and may_wait(name):
                self._due[name] = (now + MOMENT, number)
                continue
            signals.append((name, number))
            kill_at = now + self._stop_timeout if number is signal.SIGTERM else math.inf
            self._due[name] = (kill_at, signal.SIGKILL)
        return signals

    def ended(self, worker: str) -> None:
        """It is gone."""
        self._due.pop(worker, None)

    @property
    def soonest(self) -> float:
        """When something is due next; infinity if nothing is."""
        return min((at for at, _ in self._due.values()), default=math.inf)


class WorkerShutdown:
    """Ends single workers while the run goes on: daemonic ones that nothing needs any more, and readers on request."""

    def __init__(
        self,
        workers: WorkerTable,
        transport: Transport,
        limits: Limits,
        *,
        ask_to_close: Callable[[WorkerState, str], None],
        ask_to_end: Callable[[WorkerState, signal.Signals, str], None],
    ) -> None:
        self._workers = workers
        self._transport = transport
        self._ask_to_close = ask_to_close
        self._ask_to_end = ask_to_end
        self._close_timeout = limits.asked_close
        self.schedule = TerminationSchedule(limits.stop_timeout)

    def dismiss(self, worker: WorkerState, reason: str, now: float) -> None:
        """Let a reader close whose stream goes on."""
        self._ask_to_close(worker, reason)
        self.schedule.begin(worker.plan.name, now + self._close_timeout)

    def begin(self, worker: WorkerState, now: float) -> None:
        """Let a daemonic worker end. One whose handler failed does so by itself."""
        if worker.failure is not None:
            return
        name, role = worker.plan.name, worker.plan.role
        if role is Role.PRODUCER:
            self._transport.stop_producing(name)
        elif role is not Role.PLAIN:
            self._ask_to_close(worker, _NOT_NEEDED)
        bound = self._close_timeout
        if role is Role.PLAIN or has_children(worker.pid):  # these may be all that it waits for
            bound = MOMENT if role is Role.PRODUCER else 0.0
        self.schedule.begin(name, now + bound)
        self.send_due(now)

    def send_due(self, now: float) -> None:
        """Send the signals that are due."""
        for name, number in self.schedule.due(now, self._has_put_what_waits):
            worker = self._workers[name]
            of_daemon = _OUTSTAYED if number is signal.SIGKILL else _NOT_NEEDED
            if number is signal.SIGKILL or worker.asked_to_end is None:
                self._ask_to_end(
                    worker, number, FROM_OUTSIDE if worker.closing == FROM_OUTSIDE else of_daemon
                )

    def _has_put_what_waits(self, worker: str) -> bool:
        plan = self._workers[worker].plan
        if plan.role is not Role.PRODUCER:
            return False
        return any(self._transport.account(queue).waiting > 0 for queue in plan.targets)

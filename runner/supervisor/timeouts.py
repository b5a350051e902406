"""What takes too long: an item in a worker's hand, or a run in which nothing moves. Nothing is done about it here.

    heartbeat of each worker ──► WorkerSample ──► FirstSeen: at one piece of work since …
                                                    ├──► worked      seconds at work on it, waits at queues left out
                                                    └──► Standstill  since when nothing moved ──► blame: who holds it up

    TimeoutMonitor ── check(now) ─► Overdue: kill this worker, as one that has died
                                    Stalled: the run can't go on

Nobody notes when an item began: that would cost every item a look at the clock. What has not changed between two looks
has lasted at least that long, so a worker is never accused too early, and by one look at most too late. All but the
monitor is pure: samples and a clock go in.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from runner.events.run import WorkerOutcome
from runner.facts import dataclass
from runner.ipc.status_page import A_BATCH, Pulse, Wait
from runner.process.memory import OomMonitor
from runner.spec.model import Role
from runner.spec.plan import Plan, WorkerPlan
from runner.supervisor.workers import WorkerExit, WorkerState
from runner.transports.base import Transport
from runner.units import counted, format_duration

DEADLOCK = 60.0
"""Seconds after which a run in which every worker waits for another is given up, whatever its limits say."""
_LONGEST_LOOK = 1.0
_SHORTEST_LOOK = 0.05
_LOOKS = 10
"""Looks in the time of the shortest bound: an overdue item is found a tenth too late at the most."""
STOPPED_GRACE = 1.0
"""Seconds that a worker may be stopped by a signal: a debugger or a job control that lets it go on is left alone."""
_CANCEL_GRACE = 1.0
"""Seconds that a worker has to cancel a coroutine that takes too long."""
_GAP = 2.0
"""Seconds late that a look may come. After a longer gap it was this process that was stopped: all begins anew."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A worker that can't be waited for any longer: it is to be killed, which counts as its death."""

    worker: str
    reason: str
    has_stacks: bool
    """Whether it can still be asked what it does."""
    where: str = ""
    """The item that it is at, to be added to the reason."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing moves, and nothing will."""

    reason: str
    holder: str | None
    """The worker that most likely holds the others up."""
    kill_reason: str = ""
    """What is held against that one, without its name."""


Finding = Overdue | Stalled


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """A worker that is alive: what it is, how far it is."""

    plan: WorkerPlan
    pid: int
    pulse: Pulse
    finished: bool = False
    """It has said that all its work is done, and is still there."""
    closes_since: float | None = None
    """When its `close()` was called at the end of its stream, which nobody asked for; None before that."""

    @property
    def holds(self) -> int:
        """Items that it took and has not acknowledged."""
        pulse = self.pulse
        return 0 if self.plan.receives is None else max(0, pulse.received - pulse.done - pulse.failed)

    @property
    def is_at_work(self) -> bool:
        """Whether its handler has the word, and something to do."""
        return self.pulse.waiting is Wait.NOTHING and (self.plan.receives is None or self.holds > 0)

    @property
    def piece(self) -> tuple[int, ...]:
        """What changes from one piece of work to the next: items taken and ended; for a producer, items put."""
        pulse = self.pulse
        if self.plan.receives is None:
            return self.pid, pulse.sent, pulse.failed
        return self.pid, pulse.received, pulse.done, pulse.failed, pulse.mark

    @property
    def motion(self) -> tuple[int, ...]:
        """What changes whenever an item moves."""
        return (*self.piece, self.pulse.sent)


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """A worker as it was when it was first seen at a piece of work."""

    sample: WorkerSample
    at: float


def first_seen(before: FirstSeen | None, sample: WorkerSample, now: float) -> FirstSeen:
    """Keep the first look at a piece of work; a new piece begins now."""
    return before if before is not None and before.sample.piece == sample.piece else FirstSeen(sample, now)


def worked(first: FirstSeen, sample: WorkerSample, now: float) -> float:
    """Seconds at work since it was first seen. What was spent waiting at a queue does not count."""
    return now - first.at - (_waited(sample.pulse, now) - _waited(first.sample.pulse, first.at))


def is_overdue(first: FirstSeen, sample: WorkerSample, now: float) -> bool:
    """Whether a worker has been at one piece of work for longer than its stage allows."""
    bound = sample.plan.timeout
    if bound is None or not sample.is_at_work:
        return False
    if sample.plan.at_once == 1:
        return worked(first, sample, now) >= bound
    # A coroutine is cancelled by its own loop: whoever is much later does not come back to that.
    late = now - (now if sample.pulse.oldest is None else sample.pulse.oldest)
    return late >= bound + (_CANCEL_GRACE if sample.plan.concurrency > 1 else 0.0)


def closes_too_long(sample: WorkerSample, now: float, bound: float) -> bool:
    """Whether a worker that has come to the end of its stream does not come back from `close()`."""
    return sample.closes_since is not None and not sample.finished and now - sample.closes_since >= bound


def interval(timeouts: Iterable[float | None]) -> float:
    """Seconds between two looks, so that the shortest of the bounds is kept well enough."""
    shortest = min((bound for bound in timeouts if bound is not None), default=_LONGEST_LOOK * _LOOKS)
    return min(_LONGEST_LOOK, max(_SHORTEST_LOOK, shortest / _LOOKS))


@dataclass(frozen=True, slots=True)
class Standstill:
    """Since when nothing has moved."""

    motions: Mapping[str, tuple[int, ...]]
    since: float


def standstill(before: Standstill | None, samples: Collection[WorkerSample], now: float) -> Standstill:
    """Keep the time since which nothing has moved; a worker that starts or ends is a movement too."""
    motions = {sample.plan.name: sample.motion for sample in samples}
    return before if before is not None and before.motions == motions else Standstill(motions, now)


def is_excused(samples: Collection[WorkerSample], waiting: Mapping[str, int]) -> bool:
    """Whether that nothing moves is in order: something is sure to move, or to be ended, by itself.

    A worker within its stage's `timeout` will, and so will one that waits for what its `rate` allows, and items that
    wait although a reader waits for one: they are held back until their retry is due. Plain processes move no items, so
    they can't show that they are stuck, unless they wait for a lock; a daemonic one may hold it.
    """
    locked = any(sample.pulse.waiting is Wait.LOCK for sample in samples)
    return any(
        (sample.is_at_work and sample.plan.timeout is not None)
        or sample.pulse.waiting is Wait.RATE
        or (_is_plainly_at_work(sample) and (locked or not sample.plan.daemon))
        or (sample.pulse.waiting is Wait.ITEM and waiting.get(sample.plan.receives or "", 0) > 0)
        for sample in samples
    )


def all_wait(samples: Collection[WorkerSample], since: float, now: float) -> bool:
    """Whether everyone waits for another, and has done so for too long: nothing can ever move again."""
    in_question = _in_question(samples)
    return bool(in_question) and all(
        sample.pulse.waiting not in (Wait.NOTHING, Wait.RATE)
        and now - max(since, sample.pulse.waiting_since) >= DEADLOCK
        for sample in in_question
    )


def blame(seen: Mapping[str, FirstSeen], samples: Collection[WorkerSample], now: float) -> Stalled | None:
    """Name who most likely holds the run up. Whoever waits for room holds up nobody: others do not make it."""
    in_question = _in_question(samples)
    if not in_question:
        return None
    worst = max(in_question, key=lambda s: (_blame_rank(s), now - seen[s.plan.name].at))
    others = sum(_blame_rank(sample) == _blame_rank(worst) for sample in in_question) - 1
    lasted = format_duration(round(now - seen[worst.plan.name].at, 1))
    also = f", and so do {others} more" if others > 1 else ", and so does one more" if others else ""
    who = f"worker '{worst.plan.name}' (pid {worst.pid}) of stage '{worst.plan.stage}'"
    kill_reason = f"{_describe_blocker(worst)} for {lasted}"
    return Stalled(f"{who} {kill_reason}{also}", worst.plan.name, kill_reason)


def _is_plainly_at_work(sample: WorkerSample) -> bool:
    return sample.plan.role is Role.PLAIN and sample.pulse.waiting is not Wait.LOCK


def _in_question(samples: Iterable[WorkerSample]) -> list[WorkerSample]:
    """Those of whom one can tell that they wait: at a queue, or for a lock."""
    return [sample for sample in samples if not _is_plainly_at_work(sample)]


def _blame_rank(sample: WorkerSample) -> int:
    if sample.is_at_work:
        return 5 if sample.holds else 3
    if sample.pulse.waiting is Wait.NOTHING:
        return 2
    if sample.pulse.waiting is Wait.ITEM:
        return 4 if sample.holds else 0
    return 1


def _describe_blocker(sample: WorkerSample) -> str:
    """What is held against a worker, as the end of a sentence that goes on with how long."""
    plan = sample.plan
    if sample.closes_since is not None and not sample.finished:
        return "has been in its close()"
    if sample.finished:
        return "is done with all its work, and a thread of its handler has kept it from ending"
    if sample.pulse.waiting is Wait.ITEM and sample.holds:
        held = counted(sample.holds, "item")
        return f"waits for more of queue '{plan.receives}' and has not acknowledged {held} (task_done)"
    if sample.pulse.waiting is not Wait.NOTHING:
        return f"waits {_wait(sample)}"
    if sample.holds:
        return f"has been at work on an item of queue '{plan.receives}'"
    if plan.receives is None:
        return f"has put nothing on {_targets(plan)}"
    return f"has taken nothing from queue '{plan.receives}'"


def doing(sample: WorkerSample) -> str:
    """Say what a worker does, as the rest of a sentence in the past."""
    plan = sample.plan
    if sample.closes_since is not None and not sample.finished:
        return "was in its close()"
    if sample.finished:
        return "was done with all its work, and a thread of its handler kept it from ending"
    if sample.pulse.waiting is not Wait.NOTHING:
        return f"waited {_wait(sample)}"
    if sample.holds:
        return f"was at work on an item of queue '{plan.receives}'"
    if plan.receives is not None:
        return "was at work, with no item in hand"
    return f"was making an item for {_targets(plan)}" if plan.targets else "was at work"


def _targets(plan: WorkerPlan) -> str:
    word = "queue" if len(plan.targets) == 1 else "queues"
    return f"{word} {', '.join(map(repr, plan.targets))}"


def _wait(sample: WorkerSample) -> str:
    """Say what for."""
    match sample.pulse.waiting:
        case Wait.ITEM:
            return f"for an item of queue '{sample.plan.receives}'"
        case Wait.ROOM:
            return f"for room in {_targets(sample.plan)}"
        case Wait.RATE:
            return f"for what the `rate` of stage '{sample.plan.stage}' allows"
        case Wait.JOIN:
            return f"in join() for {_targets(sample.plan)}"
        case _:
            return "for a lock"


def _waited(pulse: Pulse, now: float) -> float:
    return pulse.waited + (0.0 if pulse.waiting is Wait.NOTHING else max(0.0, now - pulse.waiting_since))


class TimeoutMonitor:
    """Remembers what it saw of each worker from look to look."""

    def __init__(self, plan: Plan, transport: Transport, now: float) -> None:
        self._transport = transport
        self._stall_timeout = plan.limits.stall_timeout
        self._close_timeout = math.inf if plan.transport == "inline" else plan.limits.last_close
        bounds = (plan.limits.stall_timeout, self._close_timeout)
        self._every = interval([*(w.timeout for w in plan.workers), *bounds])
        self._first_seen: dict[str, FirstSeen] = {}
        self._stopped: dict[str, float] = {}
        self._standstill: Standstill | None = None
        self._since = now
        self._oom = OomMonitor()
        # Fibers of one process can't be killed one by one, and who waits for ever there is found at once: what is left
        # to look for is one that has the turn and never gives it back.
        needless = plan.transport == "inline" and self._stall_timeout is None
        self.next_check = math.inf if needless else now + self._every

    def check(self, alive: Collection[WorkerState], now: float, *, may_stall: bool) -> list[Finding]:
        """Look at whoever is alive, if it is time to; `may_stall` is false once the run is being stopped."""
        if now < self.next_check:
            return []
        if now - self.next_check > _GAP:
            self._start_over(now)
        self.next_check = now + self._every
        samples = [self._sample(worker) for worker in alive]
        self._observe(samples, now)
        overdue: list[Finding] = [
            *self._long_stopped(now),
            *self._overdue(samples, now),
            *self._too_long_closing(samples, now),
        ]
        if overdue or not may_stall:
            return overdue
        return list(self._stalled(samples, now))

    def explain(self, exited: WorkerExit) -> WorkerExit:
        """Add what is known of a SIGKILL that was none of ours."""
        killed = exited.outcome is WorkerOutcome.DIED and exited.code == -signal.SIGKILL
        if killed and self._oom.has_killed():
            return replace(exited, reason=f"{exited.reason}: the kernel had no memory left (oom_kill)")
        return exited

    def doing(self, worker: WorkerState) -> str:
        """Say what a worker does right now, as the rest of a sentence."""
        item = ", ".join(self._transport.items_at_stake(worker.plan.name))
        activity = doing(self._sample(worker))
        if item.startswith(A_BATCH):
            activity = activity.replace("on an item", "on items")
        return f"{activity}, {item}," if item else activity

    def _start_over(self, now: float) -> None:
        self._first_seen.clear()
        self._stopped.clear()
        self._standstill = None
        self._since = now

    def _sample(self, worker: WorkerState) -> WorkerSample:
        was_asked = worker.closing or worker.asked_to_end is not None
        closes_since = None if was_asked else worker.closes_since
        pulse = self._transport.pulse(worker.plan.name)
        return WorkerSample(worker.plan, worker.pid, pulse, worker.finished, closes_since)

    def _observe(self, samples: Collection[WorkerSample], now: float) -> None:
        before = self._first_seen
        self._first_seen = {s.plan.name: first_seen(before.get(s.plan.name), s, now) for s in samples}
        self._standstill = standstill(self._standstill, samples, now)

    def _long_stopped(self, now: float) -> Iterator[Overdue]:
        stopped = self._transport.stopped()
        self._stopped = {name: self._stopped.get(name, now) for name in stopped}
        for name, since in self._stopped.items():
            if now - since >= STOPPED_GRACE:
                yield Overdue(name, "was stopped (SIGSTOP)", has_stacks=False)

    def _overdue(self, samples: Collection[WorkerSample], now: float) -> Iterator[Overdue]:
        for sample in samples:
            if sample.plan.name not in self._stopped and is_overdue(
                self._first_seen[sample.plan.name], sample, now
            ):
                assert sample.plan.timeout is not None
                item = ", ".join(self._transport.items_at_stake(sample.plan.name))
                on = item and (f" on {item}" if item.startswith(A_BATCH) else f" on item {item}")
                reason = f"timed out after {format_duration(sample.plan.timeout)}"
                yield Overdue(sample.plan.name, reason, has_stacks=True, where=on)

    def _too_long_closing(self, samples: Collection[WorkerSample], now: float) -> Iterator[Overdue]:
        for sample in samples:
            if sample.plan.name not in self._stopped and closes_too_long(sample, now, self._close_timeout):
                bound = format_duration(self._close_timeout)
                reason = f"was in its close() for limits.close_timeout, {bound}"
                yield Overdue(sample.plan.name, reason, has_stacks=True)

    def _stalled(self, samples: Collection[WorkerSample], now: float) -> Iterator[Stalled]:
        assert self._standstill is not None
        bound, still_for = self._stall_timeout, now - self._standstill.since
        if still_for < min(DEADLOCK, DEADLOCK if bound is None else bound) or self._stopped:
            return
        if is_excused(samples, self._waiting(samples)):
            self._standstill = None
            return
        if bound is not None and still_for >= bound:
            yield self._stall(
                samples, f"nothing moved for limits.stall_timeout, {format_duration(bound)}", now
            )
        elif all_wait(samples, self._since, now):
            yield self._stall(samples, "every worker waits for another, and nothing can move", now)

    def _waiting(self, samples: Collection[WorkerSample]) -> dict[str, int]:
        queues = {sample.plan.receives for sample in samples if sample.plan.receives is not None}
        return {queue: self._transport.account(queue).waiting for queue in queues}

    def _stall(self, samples: Collection[WorkerSample], what: str, now: float) -> Stalled:
        blamed = blame(self._first_seen, samples, now)
        if blamed is None or blamed.holder is None:
            return Stalled(what, None)
        item = ", ".join(self._transport.items_at_stake(blamed.holder))
        return replace(blamed, reason=f"{what}: {blamed.reason}{f'; it holds {item}' if item else ''}")

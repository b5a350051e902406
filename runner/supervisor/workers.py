"""The workers of a run: what is known of each, how the end of one is judged, and what it means for the run.

    spawned ──► WorkerState ── its process ends ──► judge ──► WorkerExit ──► consequence, if nobody takes its place

it had done all there was to do ──────────────────► nothing
a reader or a plain worker was asked to end ──────► nothing
a producer is gone in the middle of its work ─────► Drain    what it had put stays put, and is worked off
any other death ──────────────────────────────────► Fail

The judgements are pure. `RunMetrics` adds up what the run has done so far, for events and the outcome.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from operator import add
from typing import TypedDict

from runner.errors import MprunInternalError
from runner.events.item_times import ItemTimes
from runner.events.run import (
    QueueProgress,
    RunFinished,
    RunOutcome,
    RunProgress,
    RunResumed,
    RunStarted,
    StageCounts,
    StageDeclared,
    StageTimed,
    WorkerExited,
    WorkerOutcome,
)
from runner.exit_status import describe_alone
from runner.facts import dataclass
from runner.ipc.messages import Exited
from runner.ipc.status_page import Counters, Pulse, Sighting
from runner.ledger.accounts import Account
from runner.spec.commits import Holder, KeptState, LostBeside
from runner.spec.model import Role
from runner.spec.plan import Plan, StagePlan, WorkerPlan
from runner.supervisor.outcome import Cause
from runner.transports.base import Transport
from runner.transports.cut import Cut
from runner.units import counted

SCALED_DOWN = "its stage was scaled down"
FROM_OUTSIDE = "stopped by `mprun stop --worker`"
"""The reason of a worker's end that somebody asked for who asked for no other's."""


@dataclass(frozen=True, slots=True)
class WorkerExit(Exited):
    """The end of one process of a worker: what the kernel said, and what was added to it as it became known."""

    outcome: WorkerOutcome = WorkerOutcome.DIED
    reason: str = ""
    at: float = 0.0
    """When, by `time.monotonic`."""
    counters: Counters = field(default_factory=Counters)
    """What this process had done."""
    held: tuple[str, ...] = ()
    """The items in its hands where it did not finish, as far as they are known."""
    reads: bool = True
    """Whether it took items from a queue. What counts of a producer are the items that it put."""
    on_item: bool = False
    """An item was in its hand, which answers for it, by its attempts. They are finite, so such deaths are too."""
    given_up: str = ""
    """Why it was not replaced, where it should have been; empty where that is no question."""

    @property
    def received(self) -> int:
        """Items that were handed to it. A producer: items that it put."""
        return self.counters.received if self.reads else self.counters.sent

    @property
    def done(self) -> int:
        """Items that it acknowledged, or put."""
        return self.counters.done if self.reads else self.counters.sent


# What several events have in common, typed by key: mypy refuses an event that lacks a field, or has another.


class WorkerLabels(TypedDict):
    """Which worker an event is about."""

    worker: str
    stage: str


class QueueLabels(WorkerLabels):
    """And where its items come from; None for a producer."""

    queue: str | None


class ReaderLabels(WorkerLabels):
    """And the queue that it reads."""

    queue: str


class ProcessLabels(WorkerLabels):
    """And which process it is."""

    pid: int


_NOTHING_COUNTED = Counters()


@dataclass(slots=True)
class WorkerState:
    """What the supervisor knows of one worker. Times in seconds since the epoch."""

    plan: WorkerPlan
    generation: int = 0
    pid: int = 0
    alive: bool = False
    finished: bool = False
    """It said that it had done all that it had to."""
    failure: str | None = None
    """What its handler raised, as it said itself."""
    traceback: str = ""
    asked_to_end: str | None = None
    """The reason with which the supervisor signalled it, or None."""
    asked_at: float | None = None
    """When it did so first: to ask a process to end and to see it gone are two moments."""
    earlier: Counters = _NOTHING_COUNTED
    """What its earlier generations did."""
    last_exit: WorkerExit | None = None
    """How its last process ended, if one has."""
    ended_at: float | None = None
    retired: bool = False
    """Its stage was scaled down: it finishes what it holds and ends, and nobody takes its place."""
    closing: str = ""
    """Why it was asked to take no other item and close, although its stream goes on; empty where it was not."""
    closes_since: float | None = None
    """When it said that its work is done and its `close()` called, by the monotonic clock; None before that."""
    kill_reason: str | None = None
    """Why the supervisor killed it as one that could not go on, which counts as its death; or None."""
    instance_of: str = ""
    """The class whose instance its handler is, where its source told nothing."""
    holds: str = ""
    """What its handler was found to hold of items that are done; empty for nothing."""

    def started(self, pid: int) -> None:
        """Begin a new generation."""
        self.generation += 1
        self.pid, self.alive = pid, True
        self.finished, self.failure, self.traceback, self.asked_to_end = False, None, "", None
        self.kill_reason = self.asked_at = self.closes_since = None
        self.instance_of = self.holds = ""

    def signalled(self, reason: str, at: float) -> None:
        """Note that it is asked to end."""
        self.asked_to_end = reason
        self.asked_at = self.asked_at or at

    def ended(self, last: WorkerExit, at: float) -> None:
        """Note that its process is gone, and how."""
        self.alive, self.last_exit, self.ended_at = False, last, at

    # As events say it.

    def labels(self) -> WorkerLabels:
        """Which worker it is."""
        return {"worker": self.plan.name, "stage": self.plan.stage}

    def queue_labels(self) -> QueueLabels:
        """Which worker it is, and where its items come from."""
        return {**self.labels(), "queue": self.plan.receives}

    def reader_labels(self) -> ReaderLabels:
        """Which worker it is, and the queue that hands its items out: a producer has none."""
        if self.plan.receives is None:
            raise MprunInternalError(f"worker '{self.plan.name}' was handed an item, and reads no queue")
        return {**self.labels(), "queue": self.plan.receives}

    def process_labels(self) -> ProcessLabels:
        """Which worker it is, and which process."""
        return {**self.labels(), "pid": self.pid}

    def exit_event(self, exited: WorkerExit, *, restarting: bool) -> WorkerExited:
        """How its process ended, what that did and what it held."""
        return WorkerExited(
            **self.process_labels(),
            generation=self.generation,
            exitcode=exited.exitcode,
            signal=exited.signal_name,
            outcome=exited.outcome,
            reason=exited.reason,
            items=list(exited.held),
            traceback=self.traceback,
            restarting=restarting,
            **exited.counters.as_fields(),
        )


def judge(exited: WorkerExit, worker: WorkerState) -> WorkerExit:
    """Add whether a worker did its work, was stopped by us, or died; and why."""
    outcome, reason = _judgement(exited, worker)
    return replace(exited, outcome=outcome, reason=reason)


def _judgement(exited: WorkerExit, worker: WorkerState) -> tuple[WorkerOutcome, str]:
    if worker.failure is not None:
        return WorkerOutcome.DIED, worker.failure
    if worker.kill_reason is not None and exited.code != 0:
        return WorkerOutcome.DIED, worker.kill_reason
    if worker.asked_to_end is not None and not (worker.finished and exited.code == 0):
        # Also one that had said its last word, when our signal met it at the door.
        return WorkerOutcome.STOPPED, worker.asked_to_end
    if worker.finished and exited.code == 0:
        return WorkerOutcome.FINISHED, worker.closing or (
            SCALED_DOWN if worker.retired else "nothing left to do"
        )
    unfinished = "" if worker.finished or exited.code < 0 else " in the middle of its work"
    return WorkerOutcome.DIED, describe_alone(exited.code) + unfinished


class WorkerTable:
    """Every worker of the run, by name, in start order."""

    def __init__(self, plan: Plan) -> None:
        self._states = {worker.name: WorkerState(worker) for worker in plan.workers}

    def __getitem__(self, worker: str) -> WorkerState:
        return self._states[worker]

    def add(self, worker: WorkerPlan) -> WorkerState:
        """Add a worker that is not in the plan."""
        self._states[worker.name] = WorkerState(worker)
        return self._states[worker.name]

    def all(self) -> list[WorkerState]:
        """Every worker, also those not started."""
        return list(self._states.values())

    def started(self) -> list[WorkerState]:
        """Every worker that has existed."""
        return [state for state in self._states.values() if state.generation]

    def alive(self, stage: str | None = None) -> list[WorkerState]:
        """The workers that exist, of one stage or of all."""
        return [each for each in self._states.values() if each.alive and stage in (None, each.plan.stage)]


@dataclass(frozen=True, slots=True)
class Drain:
    """The run can't come to its proper end, but what is in its queues can be worked off."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The run can't go on."""

    reason: str


def consequence(
    plan: WorkerPlan, exited: WorkerExit, put: int, *, outlives_workers: bool
) -> Drain | Fail | None:
    """
    Say what follows for the run from the end of a worker in whose place nobody comes.

    `put` are the items that it and its earlier generations had put; `outlives_workers`: the transport loses nothing by
    a death.
    """
    produces = plan.receives is None and bool(plan.targets)
    stopped_alone = exited.outcome is WorkerOutcome.STOPPED and exited.reason == FROM_OUTSIDE
    # A daemonic worker has no end of its own to come to, and a plain one no items.
    if stopped_alone and plan.role is Role.PRODUCER and not plan.daemon:
        return Drain(_describe(plan, exited, f"was {exited.reason}") + _what_stays(put))
    if exited.outcome is not WorkerOutcome.DIED and not exited.given_up:
        return None
    lost = _describe(plan, exited, exited.reason)
    return Drain(lost + _what_stays(put)) if produces and outlives_workers else Fail(lost)


_OR_GIVE_IT_UP = (
    "`state: none` says that it does not matter, and `restart` that another is to begin anew all the same"
)
_STATE_CURES = {
    LostBeside.NOTHING: f"`state: checkpoint` keeps it, a method `flush()` makes it safe, {_OR_GIVE_IT_UP}",
    LostBeside.FLUSH: f"`state: checkpoint` keeps it, `flush()` may make it safe too, {_OR_GIVE_IT_UP}",
    LostBeside.CHECKPOINT: (
        f"it is the class's, and a checkpoint keeps what is made in `__init__`; {_OR_GIVE_IT_UP}"
    ),
}
_HELD_CURES = (
    f"what a call does before it returns is safe, and so is what `flush()` makes so; {_OR_GIVE_IT_UP}"
)
_OUTSIDE_CURES = {
    LostBeside.NOTHING: (
        f"a class that keeps it in `self`, with `state: checkpoint`, has it kept; {_OR_GIVE_IT_UP}"
    ),
    LostBeside.FLUSH: f"`flush()` may make it safe too; {_OR_GIVE_IT_UP}",
    LostBeside.CHECKPOINT: f"a checkpoint keeps what is kept in `self`; {_OR_GIVE_IT_UP}",
}


def lost_state(worker: WorkerState, exited: WorkerExit) -> str:
    """
    Say what a worker that died has taken along: what it kept of items that are done. Empty where that is nothing.

    An item that it had in hand is none of these: it is handed out again.
    """
    kept, taken_in = worker.plan.kept, exited.counters.done
    if not taken_in:
        return ""
    items = counted(taken_in, "item")
    if kept is not None and kept.seen:
        return _lost_kept(kept, items)
    if worker.holds:
        return f"what it had not made safe of {items} is lost: {worker.holds}; {_HELD_CURES}"
    if kept is None or not worker.instance_of:
        return ""
    unread = f"if it kept anything: the source of {worker.instance_of} can't be read"
    return f"what it kept of {items} is lost, {unread}; {_STATE_CURES[kept.beside]}"


def _lost_kept(kept: KeptState, items: str) -> str:
    if kept.holder is Holder.BEGUN:
        return f"what it had left of {items} to {kept.shown} is lost; {_HELD_CURES}"
    cures = _STATE_CURES if kept.holder is Holder.INSTANCE else _OUTSIDE_CURES
    return f"what it kept of {items} in {kept.shown} is lost; {cures[kept.beside]}"


def lost_close(worker: WorkerState, exited: WorkerExit) -> str:
    """Say what is lost with a worker that died in its `close()`. Empty where that is nothing, or it died elsewhere."""
    if worker.closes_since is None or not worker.plan.misses_close or worker.finished:
        return ""
    done = counted(exited.counters.done, "item")
    return f"it was in its close(), and what that was to make safe of {done} may be lost; {_OR_GIVE_IT_UP}"


def lost_with_reader(worker: WorkerState, exited: WorkerExit) -> str:
    """
    Say what is lost with a reader that was stopped alone and did not come to its `close()`: nobody takes its place.

    Empty where that is nothing, or it ended otherwise.
    """
    if exited.outcome is not WorkerOutcome.STOPPED or exited.reason != FROM_OUTSIDE:
        return ""
    if worker.plan.checkpoint is None:
        return lost_state(worker, exited)
    done = worker.earlier.done + exited.counters.done
    return f"nobody takes over what it kept of {counted(done, 'item')}" if done else ""


def abandoned(plan: Plan, account: Account, readers: Iterable[WorkerState]) -> str:
    """Say why a queue will not be emptied any more, which `readers` of it have begun, and what they took and kept."""
    readers = list(readers)
    stopped = [each.plan.name for each in readers if FROM_OUTSIDE in (each.asked_to_end, each.closing)]
    sharded = any(each.name == account.queue and each.shard_by is not None for each in plan.queues)
    who = "a reader has ended, and no other may take its shard" if sharded else "every reader has ended"
    asked = f" ({', '.join(map(repr, stopped))} {FROM_OUTSIDE})" if stopped else ""
    left = account.waiting + account.leased
    verb = "is" if left == 1 else "are"
    return f"queue '{account.queue}': {who}{asked}, and {counted(left, 'item')} {verb} left{_kept_by(readers, left)}"


def _kept_by(readers: Iterable[WorkerState], left: int) -> str:
    """Name the stages whose workers took items, and ended by themselves without a word on these."""
    kept: Counter[str] = Counter()
    for each in readers:
        if (
            each.last_exit is not None
            and each.last_exit.outcome is WorkerOutcome.FINISHED
            and not each.closing
        ):
            kept[each.plan.stage] += each.last_exit.counters.unacknowledged
    parts = [f"stage '{stage}' took {min(count, left)}" for stage, count in kept.items() if count > 0]
    if not parts:
        return ": not taken, or given back"
    them = "it" if left == 1 else "them"
    return f": {' and '.join(parts)} and never called `task_done()` for {them}, which is due once an item is done"


def _describe(plan: WorkerPlan, exited: WorkerExit, how: str) -> str:
    held = f"; it held {', '.join(exited.held)}" if exited.held and exited.held[0] not in how else ""
    why = f"; {exited.given_up}" if exited.given_up else ""
    return f"stage '{plan.stage}': worker '{plan.name}' (pid {exited.pid}) {how}{held}{why}"


def _what_stays(put: int) -> str:
    """Say what becomes of the items of a worker that makes some."""
    return f"; what it had put, {counted(put, 'item')}, is worked off" if put else "; it had put nothing"


class RunMetrics:
    """A snapshot whenever it is asked. Reads the workers and the transport, and changes neither."""

    def __init__(
        self, plan: Plan, transport: Transport, workers: WorkerTable, letters_lost: Callable[[str], int]
    ) -> None:
        """`letters_lost` says how many dead letters of a queue could not be written."""
        self._plan = plan
        self._transport = transport
        self._workers = workers
        self._letters_lost = letters_lost
        self._joined: set[str] = set()
        self._stages = plan.flow

    def note_joined(self, queue: str) -> None:
        """A queue is joined, and stays so."""
        self._joined.add(queue)

    def accounts(self) -> list[Account]:
        """Return the account of each queue."""
        accounts = [self._transport.account(queue.name) for queue in self._plan.queues]
        return [
            replace(each, joined=each.queue in self._joined).with_lost(self._letters_lost(each.queue))
            for each in accounts
        ]

    def counters(self, worker: WorkerState) -> Counters:
        """Return what a worker has done in all its generations."""
        now = self._transport.counters(worker.plan.name)
        return now if worker.earlier is _NOTHING_COUNTED else Counters.total((worker.earlier, now))

    def started(self) -> RunStarted:
        """Return what is about to exist."""
        plan = self._plan
        return RunStarted(
            workflow=plan.name,
            file=str(plan.path),
            transport=plan.transport,
            pid=os.getpid(),
            stages=[_declared(stage) for stage in self._stages],
            queues=[{"name": queue.name, "maxsize": queue.spec.maxsize} for queue in plan.queues],
            jobs=sum(len(job.legs) for job in plan.jobs) if plan.jobs else None,
        )

    def resumed(self, cut: Cut, incarnation: int) -> RunResumed:
        """Return from where another runner goes on."""
        return RunResumed(
            incarnation=incarnation,
            done=cut.done(self._plan.last_queues),
            unfinished=cut.unfinished,
            in_hand=cut.in_hand,
            ended=sorted(cut.ended),
        )

    def progress(
        self, elapsed: float, cut_at: float | None = None, record_trouble: str | None = None
    ) -> RunProgress:
        """Return what the run has done up to now, and how its record stands."""
        queues: list[QueueProgress] = [
            {**account.as_fields(), "size": account.waiting} for account in self.accounts()
        ]
        return RunProgress(
            elapsed=elapsed,
            stages=self.stage_lines(),
            queues=queues,
            cut_at=cut_at,
            record_trouble=record_trouble,
        )

    def finished(self, cause: Cause | None, seconds: float, *, resumable: bool) -> RunFinished:
        """Return what the run came to, and whether somebody may go on with it."""
        return RunFinished(
            outcome=RunOutcome.DONE if cause is None else cause.outcome,
            exitcode=0 if cause is None else int(cause.exit_code),
            reason=None if cause is None else cause.reason,
            seconds=seconds,
            queues=[account.as_fields() for account in self.accounts()],
            resumable=resumable,
        )

    def stage_lines(self) -> list[StageCounts]:
        """Return one line a stage, as events show it."""
        return [self._stage_line(stage.name) for stage in self._stages]

    def timed(self) -> Iterator[StageTimed]:
        """Yield how long items took, of each stage that handles some."""
        for stage in self._stages:
            if (times := self._times(stage.name)).counts:
                # The item is a request of ours then, of which nobody has heard; jobs have lines of their own.
                yield StageTimed.of(stage.name, times._replace(slowest_item="") if self._plan.jobs else times)

    def worker_states(self) -> list[WorkerState]:
        """Return the workers there are, by their stages in the same order."""
        places = {stage.name: place for place, stage in enumerate(self._stages)}
        return sorted(self._workers.all(), key=lambda worker: places[worker.plan.stage])

    def _of(self, stage: str) -> list[WorkerState]:
        return [worker for worker in self._workers.all() if worker.plan.stage == stage]

    def sighting(self, worker: WorkerState) -> Sighting:
        """Return what a worker has done in all its generations, but for how long items took, and what it is at."""
        seen = self._transport.sighting(worker.plan.name)
        if worker.earlier is _NOTHING_COUNTED:
            return seen
        sums = map(add, worker.earlier.as_fields().values(), seen.counted)
        return seen.with_counted(tuple(sums))

    def _times(self, stage: str) -> ItemTimes:
        return ItemTimes.total(self.counters(worker).times for worker in self._of(stage) if worker.generation)

    def _stage_line(self, stage: str) -> StageCounts:
        workers = self._of(stage)
        counted = [self.sighting(worker).counted for worker in workers if worker.generation]
        sums = Counters.summed(counted)
        read, to_read = self._progress(workers)
        return {
            "name": stage,
            # Those to come count, and those that were added; who was told to go does not.
            "workers": sum(not worker.retired for worker in workers),
            "alive": sum(worker.alive for worker in workers),
            **sums.as_fields(),
            "read": read,
            "to_read": to_read,
        }

    def _progress(self, workers: Sequence[WorkerState]) -> tuple[int | None, int | None]:
        """Return how far the workers of a source have come, and in how much; nothing until each has said so."""
        pulses = []
        for each in workers:
            pulses.append(self._transport.pulse(each.plan.name) if each.generation else Pulse())
            if not (pulses[-1].to_read or each.finished):
                return None, None  # mostly the first, since it is no source
        whole = sum(pulse.to_read for pulse in pulses)
        return (sum(pulse.read for pulse in pulses), whole) if whole else (None, None)


def _declared(stage: StagePlan) -> StageDeclared:
    return {
        "name": stage.name,
        "role": stage.role.value,
        "workers": len(stage.workers),
        "daemon": stage.spec.daemon,
        "from": stage.receives,
        "to": stage.spec.sends,
        "targets": list(stage.targets),
        "total": stage.spec.total,
    }

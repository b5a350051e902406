"""The workers of a watched run: a row each, with what it is at and what it has in hand. Pure.

    worker.spawned · worker.ready · run.workers · worker.exited ──► WorkerRows ──► WatchedWorker

A worker of whom nothing is told goes on with what it was at: the time that has passed since counts as that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from enum import StrEnum

from runner.events.base import Event
from runner.events.run import (
    RunWorkers,
    WorkerClosing,
    WorkerCounts,
    WorkerExited,
    WorkerOutcome,
    WorkerReady,
    WorkerSpawned,
    WorkerTerminating,
)
from runner.facts import dataclass
from runner.watch.recent import RATE_WINDOW, Recent
from runner.watch.stages import Shares, ratio

_COUNTERS = ("received", "sent", "done", "failed", "retried", "busy", "starved", "blocked")
MOST_ENDINGS = 10
"""Ends of earlier processes of a worker that are kept; the rest are counted."""


class WorkerCondition(StrEnum):
    """What a worker is at, in one word."""

    STARTING = "starting"
    BUSY = "busy"
    STARVED = "starved"
    BLOCKED = "blocked"
    IDLE = "idle"
    """It lives, and does none of these: between two items, or in its own code."""
    CLOSING = "closing"
    TERMINATING = "terminating"
    FINISHED = "finished"
    STOPPED = "stopped"
    DIED = "died"

    @property
    def is_over(self) -> bool:
        """Whether its process is gone."""
        return self in (WorkerCondition.FINISHED, WorkerCondition.STOPPED, WorkerCondition.DIED)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one process of a worker ended."""

    generation: int
    pid: int
    at: float
    outcome: str
    reason: str
    signal: str | None
    exitcode: int | None
    items: tuple[str, ...]
    """What it had in hand, as far as it is known."""


@dataclass(frozen=True, slots=True)
class WatchedWorker:
    """One worker, over all of its processes. Moments in seconds since the epoch."""

    name: str
    stage: str
    pid: int
    generation: int
    """1 for its first process."""
    condition: WorkerCondition
    waits_for: str | None
    """item, room, join, lock or rate while it waits."""
    received: int
    sent: int
    done: int
    failed: int
    retried: int
    busy_seconds: float
    starved_seconds: float
    blocked_seconds: float
    now: Shares
    """Over the last seconds."""
    whole: Shares
    """Since its first process began."""
    rate: float
    """Items a second over the last seconds: done, or sent where it takes none."""
    item: str | None
    """What it has in hand."""
    since: float | None
    """Since when it has it."""
    began: float | None
    ended: float | None
    restarts: int
    deaths: int
    """Of its processes that died, the last one among them."""
    endings: tuple[Ending, ...]
    """Of its processes that have ended, the last ones, oldest first."""


def _last_seconds() -> Recent[WorkerCounts]:
    return Recent(RATE_WINDOW)


@dataclass(slots=True)
class _Row:
    """What is known of a worker."""

    stage: str
    pid: int = 0
    generation: int = 0
    condition: WorkerCondition = WorkerCondition.STARTING
    began: float | None = None
    ended: float | None = None
    deaths: int = 0
    endings: list[Ending] = field(default_factory=list)
    asked: WorkerCondition | None = None
    """`CLOSING` or `TERMINATING` once it was asked to."""
    told: Counter[str] = field(default_factory=Counter)
    """What those of its processes had done that have ended."""
    counts: Recent[WorkerCounts] = field(default_factory=_last_seconds)


@dataclass(slots=True)
class WorkerRows:
    """The workers that have ever existed, in the order in which they came."""

    rows: dict[str, _Row] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case RunWorkers():
                for counts in event.workers:
                    self._counted(event.at, counts)
            case WorkerSpawned():
                row = self.rows.setdefault(event.worker, _Row(event.stage))
                row.pid, row.generation = event.pid, event.generation
                row.condition, row.asked, row.ended = WorkerCondition.STARTING, None, None
                row.began = row.began or event.at
            case WorkerReady() if event.worker in self.rows:
                self.rows[event.worker].condition = WorkerCondition.IDLE
            case WorkerClosing() if event.worker in self.rows:
                self.rows[event.worker].asked = WorkerCondition.CLOSING
            case WorkerTerminating() if event.worker in self.rows:
                self.rows[event.worker].asked = WorkerCondition.TERMINATING
            case WorkerExited():
                self._exited(event)

    def _counted(self, at: float, counts: WorkerCounts) -> None:
        row = self.rows.setdefault(counts["worker"], _Row(counts["stage"], began=at))
        row.pid, row.generation = counts["pid"], counts["generation"]
        row.condition, row.ended = WorkerCondition(counts["state"]), None
        row.counts.add(at, counts)

    def _exited(self, event: WorkerExited) -> None:
        row = self.rows.setdefault(event.worker, _Row(event.stage))
        row.pid, row.generation, row.ended = event.pid, event.generation, event.at
        row.condition = WorkerCondition(event.outcome.value)
        row.deaths += event.outcome is WorkerOutcome.DIED
        row.endings.append(_ending(event))
        del row.endings[:-MOST_ENDINGS]
        row.told.update({name: getattr(event, name) for name in _COUNTERS})
        # No row of this process comes any more: what it said last counts.
        row.counts.add(event.at, _last_word(event, row.told))

    def now(self, at: float) -> tuple[WatchedWorker, ...]:
        """Return a row for each worker as it is at a moment, in seconds since the epoch."""
        return tuple(_worker_now(name, row, at) for name, row in self.rows.items())


def _worker_now(name: str, row: _Row, at: float) -> WatchedWorker:
    last = row.counts.taken[-1] if row.counts.taken else None
    counts = _nothing_counted(name, row) if last is None else last.what
    is_over = row.condition.is_over
    passed = 0.0 if last is None or is_over else max(at - last.at, 0.0)
    before = row.counts.before(max(RATE_WINDOW - passed, 0.0))
    old = counts if before is None else before.what
    seconds = 0.0 if last is None or before is None or is_over else last.at - before.at + passed
    spent = _spent(counts, row.condition, passed)
    life = 0.0 if row.began is None else (row.ended or max(at, row.began)) - row.began
    gained = counts["done"] - old["done"] if counts["received"] else counts["sent"] - old["sent"]
    return WatchedWorker(
        name=name,
        stage=row.stage,
        pid=row.pid,
        generation=row.generation,
        condition=row.condition if is_over or row.asked is None else row.asked,
        waits_for=None if is_over else counts["waits_for"],
        received=counts["received"],
        sent=counts["sent"],
        done=counts["done"],
        failed=counts["failed"],
        retried=counts["retried"],
        busy_seconds=spent.busy,
        starved_seconds=spent.starved,
        blocked_seconds=spent.blocked,
        now=_shares(_spent(old, WorkerCondition.IDLE, 0.0), spent, seconds),
        whole=_shares(Shares(), spent, life),
        rate=ratio(gained, seconds),
        item=None if is_over else counts["item"],
        since=None if is_over else counts["since"],
        began=row.began,
        ended=row.ended,
        restarts=max(row.generation - 1, 0),
        deaths=row.deaths,
        endings=tuple(row.endings),
    )


def _spent(counts: WorkerCounts, condition: WorkerCondition, passed: float) -> Shares:
    """Return the seconds that a worker has spent at each, with those that have passed since it was told of."""
    return Shares(
        counts["busy"] + passed * (condition is WorkerCondition.BUSY),
        counts["starved"] + passed * (condition is WorkerCondition.STARVED),
        counts["blocked"] + passed * (condition is WorkerCondition.BLOCKED),
    )


def _shares(before: Shares, after: Shares, seconds: float) -> Shares:
    gained = (ratio(new - old, seconds) for old, new in zip(before, after, strict=True))
    return Shares(*(min(max(each, 0.0), 1.0) for each in gained))


def _ending(event: WorkerExited) -> Ending:
    return Ending(
        generation=event.generation,
        pid=event.pid,
        at=event.at,
        outcome=event.outcome.value,
        reason=event.reason,
        signal=event.signal,
        exitcode=event.exitcode,
        items=tuple(event.items),
    )


def _nothing_counted(name: str, row: _Row) -> WorkerCounts:
    return _counts(name, row.stage, row.pid, row.generation, Counter())


def _last_word(event: WorkerExited, told: Counter[str]) -> WorkerCounts:
    return _counts(event.worker, event.stage, event.pid, event.generation, told)


def _counts(worker: str, stage: str, pid: int, generation: int, told: Counter[str]) -> WorkerCounts:
    return {
        "worker": worker,
        "stage": stage,
        "pid": pid,
        "generation": generation,
        "state": WorkerCondition.IDLE.value,
        "waits_for": None,
        "received": told["received"],
        "sent": told["sent"],
        "done": told["done"],
        "failed": told["failed"],
        "retried": told["retried"],
        "busy": told["busy"],
        "starved": told["starved"],
        "blocked": told["blocked"],
        "item": None,
        "since": None,
    }

"""The supervisor: waits for facts, asks the pure parts what follows, and does it. One loop, one thread.

Transport ── facts ──► Supervisor ──► lifecycle · stopping · verdict (pure) ── decisions ──► Transport
                           └──► Announcer ── events ──► report, logs, progress
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from runner import stopping, verdict
from runner.announcer import Announcer
from runner.errors import MprunInternalError, StartFailed
from runner.events import Bus
from runner.facts import Exited, Fact, Finished, HandlerFailed, ItemFailed, Logged, Ready
from runner.ledger import Account
from runner.lifecycle import (
    Decision,
    EndStream,
    Lifecycle,
    QueueAbandoned,
    QueueJoined,
    StageFinished,
    StartStage,
    StopDaemons,
)
from runner.plan import Plan
from runner.roster import Record, Roster, judge
from runner.spec import Role
from runner.status import Counters
from runner.stopping import Phase, Stop
from runner.transports.base import Transport
from runner.units import format_duration
from runner.verdict import Cause

_PROGRESS_EVERY = 0.25
_CLOSING_LOOK = 0.005
"""Seconds between two looks at the books while all that is left to happen is that a queue becomes joined."""


class Census(Protocol):
    """Whoever must know which processes exist, to end them if the supervisor itself is killed."""

    def born(self, pid: int) -> None:
        """A worker exists."""

    def died(self, pid: int) -> None:
        """A worker was reaped."""


class Supervisor:
    """Runs one plan on one transport, once. Made by `run`."""

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        bus: Bus,
        pending_signals: Callable[[], Sequence[signal.Signals]],
        census: Census | None = None,
    ) -> None:
        """`pending_signals` returns the signals that came since it was last called."""
        self._plan = plan
        self._transport = transport
        self._pending_signals = pending_signals
        self._census = census
        self._announce = Announcer(bus, plan)
        self._lifecycle = Lifecycle(plan, ends_when_settled=transport.ends_when_settled)
        self._roster = Roster(plan)
        self._stop = Stop()
        self._cause: Cause | None = None
        self._joined: set[str] = set()
        self._began = time.monotonic()
        self._next_progress = self._began + _PROGRESS_EVERY

    def run(self) -> Cause | None:
        """Run to the end; return why the run is not simply done, or None if it is.

        Blocks. No worker is alive when it returns, nor when it raises, which only a bug makes it do.
        """
        self._announce.run_started()
        try:
            self._decide()
            while not self._lifecycle.over:
                for fact in self._transport.wait(self._patience()):
                    self._handle(fact)
                self._heed_signals()
                self._heed_clock()
                self._decide()
        finally:
            self._end_whoever_is_left()
        self._settle()
        self._announce.run_finished(self._cause, self._accounts())
        return self._cause

    # Facts.

    def _handle(self, fact: Fact) -> None:
        record = self._roster[fact.worker]
        match fact:
            case Ready():
                self._announce.ready(record)
            case Finished():
                record.finished = True
            case Logged():
                self._announce.logged(record, fact)
            case HandlerFailed():
                record.failure, record.traceback = fact.error, fact.traceback
            case ItemFailed():
                self._item_failed(record, fact)
            case Exited():
                self._exited(record, fact)

    def _item_failed(self, record: Record, failure: ItemFailed) -> None:
        self._announce.item_failed(record, failure)
        if failure.action == "fail":
            record.failure = failure.error
            self._fail(
                f"stage '{record.plan.stage}': worker '{record.plan.name}' failed on item {failure.item}: {failure.error}"
            )

    def _exited(self, record: Record, exited: Exited) -> None:
        record.alive = False
        self._lifecycle.ended(record.plan.name)
        if self._census is not None:
            self._census.died(exited.pid)
        ending = judge(record, exited)
        at_stake = self._transport.items_at_stake(record.plan.name) if ending.outcome != "finished" else []
        counters = self._transport.counters(record.plan.name)
        self._announce.exited(record, exited, ending, at_stake, counters)
        if ending.outcome == "died":
            held = f"; it held {', '.join(at_stake)}" if at_stake else ""
            self._fail(
                f"stage '{record.plan.stage}': worker '{record.plan.name}' (pid {exited.pid}) {ending.reason}{held}"
            )

    def _heed_signals(self) -> None:
        for number in self._pending_signals():
            self._note(verdict.interrupted(number))
            self._stop = stopping.drain(self._stop, time.monotonic(), self._plan.limits.stop_timeout)
            self._enter_phase()

    def _heed_clock(self) -> None:
        now = time.monotonic()
        timeout = self._plan.limits.timeout
        if timeout is not None and now - self._began >= timeout and self._stop.phase is Phase.RUNNING:
            self._note(verdict.timed_out(format_duration(timeout)))
            self._stop = stopping.fail(self._stop, now)
            self._enter_phase()
        due = stopping.escalate(self._stop, now)
        if due != self._stop:
            self._stop = due
            self._enter_phase()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_EVERY
            self._announce.progress(self._stage_lines(), self._accounts())

    # Decisions.

    def _decide(self) -> None:
        # Each decision carried out may make another one due.
        while decisions := self._lifecycle.decide(self._transport.account):
            for decision in decisions:
                self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case StartStage(stage):
                self._start(stage)
            case EndStream(queue, worker):
                self._transport.end_stream(queue, worker)
            case QueueJoined(queue):
                self._joined.add(queue)
                self._announce.queue_joined(self._transport.account(queue))
            case StageFinished(stage):
                self._announce.stage_finished(
                    stage, sum(1 for r in self._roster.started() if r.plan.stage == stage)
                )
            case StopDaemons(stage):
                for record in self._roster.alive(stage):
                    self._ask_to_end(record, signal.SIGTERM, "daemonic, and nothing needs it any more")
            case QueueAbandoned(queue):
                self._fail(
                    f"queue '{queue}': every reader has ended, and items are left in it or still to come"
                )

    def _start(self, stage: str) -> None:
        if self._stop.phase is not Phase.RUNNING:
            return
        for record in self._roster.all():
            if record.plan.stage != stage:
                continue
            try:
                spawned = self._transport.start(record.plan, record.generation + 1)
            except StartFailed as error:
                self._fail(str(error))
                return
            record.be_born(spawned.pid)
            self._lifecycle.started(record.plan.name)
            if self._census is not None:
                self._census.born(spawned.pid)
            self._announce.spawned(record, spawned)

    # Stopping.

    def _note(self, cause: Cause) -> None:
        """Keep the first cause: what follows from it is not the root. Every one is announced."""
        if self._cause is None:
            self._cause = cause
        self._announce.stopping(cause, self._roster.alive())

    def _fail(self, reason: str) -> None:
        if self._stop.phase >= Phase.TERMINATING:
            return  # it died because the run is being ended, or along with the one that is the cause
        self._note(verdict.failed(reason))
        self._stop = stopping.fail(self._stop, time.monotonic())
        self._enter_phase()

    def _enter_phase(self) -> None:
        """Do once what a phase begins with."""
        self._lifecycle.cancel_unstarted()
        reason = "the run has to end" if self._cause is None else f"the run has to end: {self._cause.outcome}"
        if self._stop.phase is Phase.DRAINING:
            self._begin_draining(reason)
            return
        number = signal.SIGTERM if self._stop.phase is Phase.TERMINATING else signal.SIGKILL
        for record in self._roster.alive():
            if self._overran(record):
                self._announce.stacks(record, self._transport.stacks(record.plan.name))
            self._ask_to_end(record, number, reason)

    def _begin_draining(self, reason: str) -> None:
        # Producers first: consumers must see the end of the stream, not a broken one.
        for record in self._roster.alive():
            if record.plan.role is Role.PRODUCER:
                self._transport.stop_producing(record.plan.name)
            elif record.plan.role is Role.PLAIN:
                self._ask_to_end(record, signal.SIGTERM, reason)

    def _overran(self, record: Record) -> bool:
        """Whether the worker was given time to end by itself, and is still there."""
        assert self._cause is not None
        return self._stop.phase is Phase.TERMINATING and self._cause.outcome in ("interrupted", "timeout")

    def _ask_to_end(self, record: Record, number: signal.Signals, reason: str) -> None:
        record.asked_to_end = reason
        self._announce.terminating(record, number, reason)
        self._transport.signal(record.plan.name, number)

    def _end_whoever_is_left(self) -> None:
        """Kill and reap what an exception of ours leaves alive; after an orderly loop there is nobody."""
        for record in self._roster.alive():
            self._transport.signal(record.plan.name, signal.SIGKILL)
        while any(record.alive for record in self._roster.all()):
            for fact in self._transport.wait(1.0):
                if isinstance(fact, Exited):
                    self._roster[fact.worker].alive = False

    # What it came to.

    def _settle(self) -> None:
        """Check the ledger, and the budget of errors, once nobody is left to change them."""
        try:
            self._transport.verify()
        except MprunInternalError as error:
            self._cause = verdict.internal(str(error))
        if self._cause is None:
            failures = sum(counters.failed for counters in self._counters())
            items = sum(account.put for account in self._accounts())
            self._cause = verdict.unaccounted(self._accounts()) or verdict.over_budget(
                failures, items, self._plan.limits.max_errors
            )

    def _accounts(self) -> list[Account]:
        accounts = [self._transport.account(queue.name) for queue in self._plan.queues]
        return [replace(account, joined=account.queue in self._joined) for account in accounts]

    def _counters(self) -> list[Counters]:
        return [self._transport.counters(record.plan.name) for record in self._roster.started()]

    def _stage_lines(self) -> list[dict[str, Any]]:
        lines = []
        for stage in self._plan.stages:
            records = [record for record in self._roster.started() if record.plan.stage == stage.name]
            sums = Counters.total(self._transport.counters(record.plan.name) for record in records)
            alive = sum(record.alive for record in records)
            lines.append(
                {"name": stage.name, "workers": len(stage.workers), "alive": alive, **sums.as_fields()}
            )
        return lines

    def _patience(self) -> float:
        """How long a wait may be: to the next thing that is due by the clock."""
        now = time.monotonic()
        dues = [self._next_progress, self._stop.until]
        if self._plan.limits.timeout is not None and self._stop.phase is Phase.RUNNING:
            dues.append(self._began + self._plan.limits.timeout)
        if self._lifecycle.only_joins_are_left:
            dues.append(now + _CLOSING_LOOK)
        return max(0.0, min(dues) - now)

"""The supervisor: waits for facts, asks the pure parts what follows, and does it. One loop, one thread.

Transport ── facts ──► Supervisor ──► lifecycle · stopping · verdict (pure) ── decisions ──► Transport
                           └──► Announcer ── events ──► report, logs, progress
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from runner import stopping, verdict
from runner.announcer import Announcer
from runner.births import Births, Census
from runner.casualties import Casualties, Letters
from runner.dismissals import Dismissals
from runner.errors import MprunInternalError, StartFailed
from runner.events import Bus
from runner.facts import Exited, Fact, Finished, HandlerFailed, Logged, Ready, Reported
from runner.feeding import Feeder
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
from runner.restart import GiveUp, Restart
from runner.roster import Record, Roster, judge
from runner.spec import Role
from runner.stock import Stock
from runner.stopping import Phase, Stop
from runner.transports.base import Transport
from runner.underway import Levers, RunUnderway
from runner.units import format_duration
from runner.verdict import Cause
from runner.watch import Condemned, Stalled, Watch

_PROGRESS_EVERY = 0.25
_FROM_OUTSIDE = "`mprun stop --worker` asked for it"
_MOST_STACKS = 20
"""Workers whose stacks are shown at once; of a thousand that hang in the same place nobody reads more."""
_CLOSING_LOOK = 0.005
"""Seconds between two looks at the books while all that is left to happen is that a queue becomes joined."""


class Supervisor:
    """Runs one plan on one transport, once. Made by `run`."""

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        bus: Bus,
        pending_signals: Callable[[], Sequence[signal.Signals]],
        census: Census | None = None,
        letters: Letters | None = None,
        feeder: Feeder | None = None,
    ) -> None:
        """`pending_signals` returns the signals that came since it was last called; `letters` keeps dead letters;
        `feeder` puts the items of queues that are fed from inside."""
        self._plan = plan
        self._transport = transport
        self._pending_signals = pending_signals
        self._announce = Announcer(bus, plan)
        self._lifecycle = Lifecycle(plan, ends_when_settled=transport.ends_when_settled)
        self._roster = Roster(plan)
        self._stock = Stock(plan, transport, self._roster)
        self._births = Births(transport, self._lifecycle, self._roster, self._stock, self._announce, census)
        self._feeder = feeder
        self._casualties = Casualties(self._announce, letters, self._births.forgive)
        self._stop = Stop()
        self._cause: Cause | None = None
        self._facts: deque[Fact] = deque()
        self._dismissals = Dismissals(transport, self._ask_to_end)
        self._began = time.monotonic()
        self._next_progress = self._began + _PROGRESS_EVERY
        self._time_limit = plan.limits.timeout
        self._watch = Watch(plan, transport, self._began)
        self.underway = RunUnderway(
            bus.run, plan, transport, self._roster, self._stock, self._births, self._levers()
        )
        """What can be told of the run and changed in it, from inside `Transport.wait`, while `run` runs."""

    def run(self) -> Cause | None:
        """Run to the end; return why the run is not simply done, or None if it is.

        Blocks. No worker is alive when it returns, nor when it raises, which only a bug makes it do.
        """
        self._announce.run_started()
        try:
            self._decide()
            while not self._lifecycle.over:
                self._facts.extend(self._transport.wait(self._patience()))
                while self._facts:
                    self._handle(self._facts.popleft())
                self._heed_signals()
                self._heed_clock()
                self._decide()
        finally:
            self._end_whoever_is_left()
        self._settle()
        self._announce.run_finished(self._cause, self._stock.accounts())
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
            case Reported():
                if self._feeder is not None:
                    self._feeder.heard(fact)
            case HandlerFailed():
                record.failure, record.traceback = fact.error, fact.traceback
            case Exited():
                self._exited(record, fact)
            case _:
                reason = self._casualties.note(record, fact)
                if reason is not None:
                    self._fail(f"stage '{record.plan.stage}': {reason}")

    def _exited(self, record: Record, exited: Exited) -> None:
        record.alive = False
        ending = self._watch.explain(judge(record, exited), exited)
        at_stake = self._transport.items_at_stake(record.plan.name) if ending.outcome != "finished" else []
        counters = self._transport.counters(record.plan.name)
        decision = self._births.after(record, exited, ending, counters, self._stop.phase, time.monotonic())
        returns = isinstance(decision, Restart)
        if self._feeder is not None:
            self._feeder.lost(record.plan.name, ending.reason, [r.pid for r in self._roster.alive()])
        self._announce.exited(record, exited, ending, at_stake, counters, restarting=returns)
        record.last_ending = ending.reason
        if returns:
            return
        self._lifecycle.ended(record.plan.name)
        if ending.outcome == "died" or (isinstance(decision, GiveUp) and decision.why):
            held = f"; it held {', '.join(at_stake)}" if at_stake and at_stake[0] not in ending.reason else ""
            self._mourn(record, f"(pid {exited.pid}) {ending.reason}{held}", decision)

    def _mourn(self, record: Record, how: str, decision: Restart | GiveUp | None) -> None:
        """A worker died and nobody takes its place: the run fails. What a producer had put is worked off first."""
        why = f"; {decision.why}" if isinstance(decision, GiveUp) and decision.why else ""
        reason = f"stage '{record.plan.stage}': worker '{record.plan.name}' {how}{why}"
        if record.plan.role is not Role.PRODUCER or not self._transport.outlives_workers:
            self._fail(reason)
        elif self._stop.phase is Phase.RUNNING:
            self._note(verdict.failed(f"{reason}; {verdict.stays(self._stock.counters(record).sent)}"))
            self._stop = stopping.drain(self._stop, time.monotonic(), self._plan.limits.stop_timeout)
            self._enter_phase()

    def _heed_signals(self) -> None:
        for number in self._pending_signals():
            self._interrupt(verdict.interrupted(number))

    def _interrupt(self, cause: Cause) -> None:
        """Drain, or let the feeder bring its items to an end; asked again, kill."""
        self._note(cause)
        if self._feeder is None:
            self._stop = stopping.drain(self._stop, time.monotonic(), self._plan.limits.stop_timeout)
        elif not self._feeder.stop(cause):
            self._stop = Stop(Phase.KILLING)
        if self._stop.phase is not Phase.RUNNING:
            self._enter_phase()

    def _levers(self) -> Levers:
        return Levers(
            phase=lambda: self._stop.phase,
            elapsed=lambda: self._announce.elapsed,
            interrupt=lambda: self._interrupt(verdict.told_to_stop()),
            ask_to_end=lambda record: self._ask_to_end(record, signal.SIGTERM, _FROM_OUTSIDE),
        )

    def _heed_clock(self) -> None:
        now = time.monotonic()
        if self._time_limit is not None and now - self._began >= self._time_limit:
            self._run_out_of_time(now)
        due = stopping.escalate(self._stop, now)
        if due != self._stop:
            self._stop = due
            self._enter_phase()
        self._dismissals.look(now)
        self._heed_watch(now)
        with self._starting():
            self._births.bring_back(now)
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_EVERY
            self._announce.progress(self._stock.stage_lines(), self._stock.accounts())

    def _run_out_of_time(self, now: float) -> None:
        assert self._time_limit is not None
        cause, self._time_limit = verdict.timed_out(format_duration(self._time_limit)), None
        if self._stop.phase is not Phase.RUNNING:
            return
        if self._feeder is not None:
            self._interrupt(cause)
            return
        self._show_stacks(self._roster.alive())
        self._note(cause)
        self._stop = stopping.fail(self._stop, now)
        self._enter_phase()

    def _heed_watch(self, now: float) -> None:
        """End who can't be waited for: one worker, as if it had died, or the run."""
        if self._stop.phase >= Phase.TERMINATING:
            return
        may_stall = self._stop.phase is Phase.RUNNING and self._feeder is None
        for found in self._watch.look(self._roster.alive(), now, may_stall=may_stall):
            match found:
                case Condemned(worker, reason, has_stacks):
                    self._condemn(self._roster[worker], reason, has_stacks)
                case Stalled(reason, holder):
                    if holder is not None:
                        self._show_stacks([self._roster[holder]])
                    self._note(verdict.stalled(reason))
                    self._stop = stopping.fail(self._stop, now)
                    self._enter_phase()

    def _condemn(self, record: Record, reason: str, has_stacks: bool) -> None:
        if record.condemned is not None or record.failure is not None:
            return  # its end is on its way
        record.condemned = reason
        if has_stacks:
            self._show_stacks([record])
        self._announce.terminating(record, signal.SIGKILL, reason)
        self._transport.signal(record.plan.name, signal.SIGKILL)

    def _show_stacks(self, records: Sequence[Record]) -> None:
        names = [record.plan.name for record in records[:_MOST_STACKS]]
        for name, stacks in self._transport.stacks(names).items():
            self._announce.stacks(self._roster[name], stacks)

    # Decisions.

    def _decide(self) -> None:
        if self._feeder is not None and self._feeder.feed():
            self._lifecycle.feeding_ended()
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
                self._stock.note_joined(queue)
                self._announce.queue_joined(self._transport.account(queue))
            case StageFinished(stage):
                self._announce.stage_finished(
                    stage, sum(1 for r in self._roster.started() if r.plan.stage == stage)
                )
            case StopDaemons(stage):
                self._births.dispense_with(stage)
                for record in self._roster.alive(stage):
                    self._dismissals.dismiss(record, time.monotonic())
            case QueueAbandoned(queue):
                who = verdict.who_left(self._plan, queue)
                self._fail(
                    f"queue '{queue}': {who}, and items are left: not taken, or taken without task_done"
                )

    def _start(self, stage: str) -> None:
        if self._stop.phase is not Phase.RUNNING:
            return
        with self._starting():
            for record in self._roster.all():
                if record.plan.stage == stage:
                    self._births.give_birth(record)

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """A worker that can't be started ends the run."""
        try:
            yield
        except StartFailed as error:
            self._fail(str(error))

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
        if self._feeder is not None and self._cause is not None:
            self._feeder.break_off(self._cause.reason)
        draining = self._stop.phase is Phase.DRAINING
        self._births.leave_vacant(s.name for s in self._plan.stages if s.receives is None or not draining)
        reason = "the run has to end" if self._cause is None else f"the run has to end: {self._cause.outcome}"
        if self._stop.phase is Phase.DRAINING:
            self._begin_draining(reason)
            return
        number = signal.SIGTERM if self._stop.phase is Phase.TERMINATING else signal.SIGKILL
        # Whose handler failed ends by itself, and may have something to close first.
        left = [r for r in self._roster.alive() if r.failure is None or self._stop.phase is Phase.KILLING]
        if self._has_overrun():
            self._show_stacks(left)
        for record in left:
            self._ask_to_end(record, number, self._overrun(record) if self._has_overrun() else reason)

    def _begin_draining(self, reason: str) -> None:
        # Producers first: consumers must see the end of the stream, not a broken one.
        for record in self._roster.alive():
            if record.plan.role is Role.PRODUCER:
                self._transport.stop_producing(record.plan.name)
            elif record.plan.role is Role.PLAIN:
                self._ask_to_end(record, signal.SIGTERM, reason)

    def _has_overrun(self) -> bool:
        """Whether whoever is left was given time to end by itself."""
        assert self._cause is not None
        return self._stop.phase is Phase.TERMINATING and self._cause.outcome == "interrupted"

    def _overrun(self, record: Record) -> str:
        bound = format_duration(self._plan.limits.stop_timeout)
        return f"it {self._watch.doing(record)} when limits.stop_timeout, {bound}, had passed"

    def _ask_to_end(self, record: Record, number: signal.Signals, reason: str) -> None:
        record.asked_to_end = reason
        self._announce.terminating(record, number, reason)
        self._transport.signal(record.plan.name, number)

    def _end_whoever_is_left(self) -> None:
        """Kill and reap what an exception of ours leaves alive; after an orderly loop there is nobody."""
        for record in self._roster.alive():
            self._transport.signal(record.plan.name, signal.SIGKILL)
        while self._roster.alive():
            # Also the facts that the exception kept from being heard: a death is only told once.
            self._facts.extend(self._transport.wait(0.0 if self._facts else 1.0))
            while self._facts:
                fact = self._facts.popleft()
                if isinstance(fact, Exited):
                    self._roster[fact.worker].alive = False

    # What it came to.

    def _settle(self) -> None:
        """Check the ledger, and the budget of errors, once nobody is left to change them."""
        if self._feeder is not None:
            self._feeder.wrap_up()
        try:
            self._transport.verify()
        except MprunInternalError as error:
            self._cause = verdict.internal(str(error))
        if self._cause is None and self._feeder is not None:
            self._cause = self._feeder.verdict()
        if self._cause is None:
            accounts = self._stock.accounts()
            items = sum(account.put for account in accounts)
            self._cause = verdict.unaccounted(accounts) or verdict.over_budget(
                self._casualties.count, items, self._plan.limits.max_errors
            )

    def _patience(self) -> float:
        """How long a wait may be: to the next thing that is due by the clock."""
        now = time.monotonic()
        dues = [self._next_progress, self._births.next_due, self._stop.until, *self._dismissals.dues]
        if self._time_limit is not None and self._stop.phase is Phase.RUNNING:
            dues.append(self._began + self._time_limit)
        if self._feeder is not None:
            dues.append(self._feeder.due)
        if self._stop.phase < Phase.TERMINATING:  # after that nobody looks
            dues.append(self._watch.next_look)
        if self._lifecycle.only_joins_are_left and not self._transport.tells_when_settled:
            dues.append(now + _CLOSING_LOOK)
        return max(0.0, min(dues) - now)

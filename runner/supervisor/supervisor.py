"""The supervisor: waits for facts, asks the pure parts what follows, and does it. One loop, one thread.

Transport ── facts ──► Supervisor ──► lifecycle · shutdown · outcome (pure) ── decisions ──► Transport
                           └──► Bus ── events ──► report, logs, progress
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from runner.errors import MprunInternalError, StartFailed
from runner.events.bus import Bus
from runner.events.run import (
    QueueJoined,
    RunOutcome,
    RunResumed,
    RunStopping,
    RunWorkers,
    StageFinished,
    StateCheckpointed,
    StateHeld,
    WorkerClosing,
    WorkerLogged,
    WorkerOutcome,
    WorkerReady,
    WorkerStacks,
    WorkerTerminating,
)
from runner.ipc.messages import (
    Closes,
    Exited,
    Fact,
    Finished,
    FollowsCuts,
    HandlerFailed,
    Holds,
    ItemShown,
    Logged,
    NotTheSame,
    Ready,
    Reported,
    StateKept,
)
from runner.process.watchdog import PidRegistry
from runner.record.recorder import NO_RECORD, NoRecord
from runner.spec.model import Role
from runner.spec.plan import Plan
from runner.store.dead_letters import DeadLetterStore
from runner.supervisor import outcome, shutdown
from runner.supervisor.admin import ControlHooks, RunController
from runner.supervisor.cuts import CutParts, RunCuts, failed_items_of, listed_inputs, lost_letters_of
from runner.supervisor.feeder import NO_FEEDER, Feeder
from runner.supervisor.item_failures import CrashLoopDetector, DeadLetterWriter, ItemFailures
from runner.supervisor.lifecycle import (
    Decision,
    EndStream,
    Lifecycle,
    MarkFinished,
    MarkJoined,
    QueueAbandoned,
    StartStage,
    StartWorker,
    StopDaemons,
)
from runner.supervisor.outcome import Cause
from runner.supervisor.outputs import NO_OUTPUTS, RunOutputs
from runner.supervisor.progress_pace import ProgressPace
from runner.supervisor.resources import NO_RESOURCES, ResourceMonitor
from runner.supervisor.restart import Restart, RestartBudget, WorkerSpawner
from runner.supervisor.shutdown import Phase, Stop, WorkerShutdown
from runner.supervisor.taps import Taps
from runner.supervisor.timeouts import Overdue, Stalled, TimeoutMonitor
from runner.supervisor.way_on import is_way_on
from runner.supervisor.worker_sampler import WorkerSampler
from runner.supervisor.workers import (
    Drain,
    Fail,
    RunMetrics,
    WorkerExit,
    WorkerState,
    WorkerTable,
    abandoned,
    consequence,
    judge,
)
from runner.transports.base import Transport
from runner.transports.cut import Cut
from runner.units import format_duration

_TIMES_EVERY = 5.0
"""Seconds between two words on how long items take; of a young run it is said more often."""
_MOST_STACKS = 20
"""Workers whose stacks are shown at once; of a thousand that hang in the same place nobody reads more."""
_JOIN_POLL = 0.005
"""Seconds between two looks at the accounts while all that is left to happen is that a queue becomes joined."""


class Supervisor:
    """Runs one plan on one transport, once. Made by `run`."""

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        bus: Bus,
        pending_signals: Callable[[], Sequence[signal.Signals]],
        letters: DeadLetterStore,
        pids: PidRegistry,
        resources: ResourceMonitor = NO_RESOURCES,
        feeder: Feeder = NO_FEEDER,
        outputs: RunOutputs = NO_OUTPUTS,
        recorder: NoRecord = NO_RECORD,
    ) -> None:
        """`pending_signals` returns the signals that came since it was last called; `feeder` puts the items of queues
        that are fed from inside."""
        self._plan = plan
        self._transport = transport
        self._pending_signals = pending_signals
        self._publish = bus.publish
        self._resources, self._feeder, self._outputs = resources, feeder, outputs
        self._lifecycle = Lifecycle(plan, ends_when_settled=transport.ends_when_settled)
        self._workers = workers = WorkerTable(plan)
        self._letters = DeadLetterWriter(letters)
        self._metrics = RunMetrics(plan, transport, workers, self._letters.lost_of)
        budget = RestartBudget()
        self._spawner = WorkerSpawner(
            transport, self._lifecycle, workers, self._metrics, bus.publish, pids, budget, self._committed_of
        )
        crash_loops = CrashLoopDetector(plan, transport.account, lambda: self._over_budget() is not None)
        self._failures = ItemFailures(bus.publish, self._letters, budget, crash_loops)
        parts = CutParts(transport, letters, self._letters, outputs, workers, self._failures, self._spawner)
        self._cuts = RunCuts(plan, parts, recorder)
        self._recorder = recorder
        self._stop = Stop()
        self._cause: Cause | None = None
        self._resumed: RunResumed | None = None
        self._facts: deque[Fact] = deque()
        self._single = WorkerShutdown(
            workers, transport, plan.limits, ask_to_close=self._ask_to_close, ask_to_end=self._ask_to_end
        )
        self._began = self._next_times = time.monotonic()
        self._progress = ProgressPace(self._began, lambda: bus.is_watched)
        self._sampler = WorkerSampler(self._metrics, names_items=not plan.jobs)
        self._time_limit = plan.limits.timeout
        self._timeouts = TimeoutMonitor(plan, transport, self._began)
        self._taps, hooks = Taps(plan, transport, workers, bus.mask), self._control_hooks()
        self.controller = RunController(
            bus.run, plan, transport, workers, self._metrics, self._spawner, hooks, feeder, self._taps
        )
        """What can be told of the run and changed in it, from inside `Transport.wait`, while `run` runs."""

    def resume(self, cut: Cut, incarnation: int) -> None:
        """Before `run`: go on from a cut, as the transport does."""
        self._resumed = self._metrics.resumed(cut, incarnation)
        self._cuts.resume(cut)
        self._lifecycle.resume(cut.ended)
        self._spawner.resume(listed_inputs(cut))
        self._letters.resume(lost_letters_of(cut))
        self._failures.resume(failed_items_of(cut))

    def run(self) -> Cause | None:
        """Run to the end; return why the run is not simply done, or None if it is.

        Blocks. No worker is alive when it returns, nor when it raises, which only a bug makes it do.
        """
        self._publish(self._metrics.started())
        if self._resumed is not None:
            self._publish(self._resumed)
        self._resources.begin(self._publish)
        try:
            # Before anything is done: whoever is to go on with the run goes on from here, if from nowhere else.
            self._cuts.take()
            self._decide()
            while not self._lifecycle.over:
                self._facts.extend(self._transport.wait(self._time_to_next()))
                self._check_resources()
                while self._facts:
                    self._handle(self._facts.popleft())
                self._handle_signals()
                self._do_what_is_due()
                self._decide()
                self._cuts.take_if_due()
        except BaseException:
            self._transport.abandon()
            raise
        finally:
            self._resources.end(self._publish)
        self._cause = self._final_cause()
        self._tell_times()
        seconds, resumable = self._elapsed(), self._is_resumable()
        self._tell_progress(seconds)  # who draws what was counted has all of it
        self._publish(self._metrics.finished(self._cause, seconds, resumable=resumable))
        return self._cause

    def _tell_progress(self, elapsed: float) -> None:
        recorder = self._recorder
        self._publish(self._metrics.progress(elapsed, recorder.kept_at, recorder.trouble_so_far()))

    def _is_resumable(self) -> bool:
        if self._cause is None or self._recorder.hindrances():
            return False
        inputs, accounts = self._spawner.inputs, self._metrics.accounts()
        return is_way_on(self._plan, self._cause, accounts, inputs, self._cuts.ended, self._cuts.closed)

    def _final_cause(self) -> Cause | None:
        """Why the run is not simply done: what stopped it, else what the accounts say; a bug before all."""
        self._feeder.wrap_up()
        lost = self._letters.lost()
        self._cuts.take(last=True)  # while what is held for its turn is still known to be
        try:
            self._transport.close_accounts()
        except MprunInternalError as error:
            return outcome.internal(str(error))
        cause = self._cause or self._feeder.cause()
        cause = cause or outcome.unaccounted(self._metrics.accounts()) or lost or self._over_budget()
        fault = self._outputs.finish(
            complete=cause is None, workers=self._cuts.workers(), state_of=self._transport.kept_state
        )
        cause = cause or (None if fault is None else outcome.failed(fault))
        return cause if cause is None or lost is None else cause.and_also(lost)

    # Facts.

    def _handle(self, fact: Fact) -> None:
        worker = self._workers[fact.worker]
        match fact:
            case Ready():
                worker.instance_of = fact.instance_of
                self._publish(WorkerReady(**worker.process_labels()))
            case Holds():
                worker.holds = fact.what
                self._publish(StateHeld(**worker.process_labels(), what=fact.what))
            case FollowsCuts():
                self._cuts.followed(fact.worker)
            case Closes():
                worker.closes_since = time.monotonic()
            case Finished():
                worker.finished = True
            case StateKept():
                told = StateCheckpointed(**worker.process_labels(), count=fact.times, bytes=fact.size)
                self._publish(told)
            case Logged():
                self._publish(_logged(worker, fact))
            case ItemShown():
                self._taps.shown(fact)
            case Reported():
                self._feeder.reported(fact)
            case HandlerFailed():
                worker.failure, worker.traceback = fact.error, fact.traceback
            case NotTheSame():
                worker.failure = fact.error
                if self._stop.phase < Phase.CLOSING:
                    self._give_up(outcome.not_repeated(fact.error))
            case Exited():
                self._worker_exited(worker, fact)
            case _:
                reason = self._failures.note(worker, fact)
                if reason is not None:
                    self._fail(f"stage '{worker.plan.stage}': {reason}")

    def _worker_exited(self, worker: WorkerState, fact: Exited) -> None:
        exited = self._examine(worker, fact)
        decision = self._spawner.exited(worker, exited, self._stop.phase)
        worker.ended(exited, time.time())
        others = [each.pid for each in self._workers.alive()]
        self._feeder.worker_lost(worker.plan.name, exited.reason, others)
        self._publish(worker.exit_event(exited, restarting=isinstance(decision, Restart)))
        self._single.schedule.ended(worker.plan.name)
        if not isinstance(decision, Restart):
            given_up = "" if decision is None else decision.why
            self._cuts.worker_ended(worker, exited, self._stop.phase)
            self._not_replaced(worker, replace(exited, given_up=given_up))

    def _examine(self, worker: WorkerState, fact: Exited) -> WorkerExit:
        """Put together what is known of a worker's end."""
        name, reads = worker.plan.name, worker.plan.receives is not None
        counters = self._transport.counters(name)
        exited = WorkerExit(
            fact.worker, fact.pid, fact.code, at=time.monotonic(), counters=counters, reads=reads
        )
        exited = self._timeouts.explain(judge(exited, worker))
        if exited.outcome is WorkerOutcome.FINISHED:
            return exited
        return replace(exited, held=tuple(self._transport.items_at_stake(name)))

    def _not_replaced(self, worker: WorkerState, exited: WorkerExit) -> None:
        """Nobody takes its place: say what follows for the run."""
        self._lifecycle.ended(worker.plan.name)
        self._check_resources(suspected=exited.outcome is WorkerOutcome.DIED)
        put = self._metrics.counters(worker).sent
        match consequence(worker.plan, exited, put, outlives_workers=self._transport.outlives_workers):
            case Fail(reason):
                killed = exited.outcome is WorkerOutcome.DIED and worker.failure is None
                self._fail(reason, lock_lost=killed and not self._transport.outlives_workers)
            case Drain(reason) if self._stop.phase is Phase.RUNNING:
                self._interrupt(outcome.failed(reason))

    def _check_resources(self, *, suspected: bool = False) -> None:
        """Before the deaths that follow from it, so that the root cause comes first."""
        if (failure := self._resources.failure(self._publish, suspected=suspected)) is not None:
            self._fail(failure)

    def _handle_signals(self) -> None:
        for number in self._pending_signals():
            self._interrupt(outcome.interrupted(number))

    # The clock.

    def _time_to_next(self) -> float:
        """Seconds that a wait may last: to the next thing that is due by the clock."""
        now = time.monotonic()
        if self._letters.behind:
            return 0.0
        dues = [
            self._progress.due,
            self._cuts.due,
            self._spawner.next_due,
            self._stop.until,
            self._single.schedule.soonest,
            self._feeder.due,
            self._taps.due,
        ]
        if self._time_limit is not None and self._stop.phase is Phase.RUNNING:
            dues.append(self._began + self._time_limit)
        if self._stop.phase < Phase.TERMINATING:  # after that nobody looks
            dues.append(self._timeouts.next_check)
        if self._lifecycle.only_joins_are_left and not self._transport.tells_when_settled:
            dues.append(now + _JOIN_POLL)
        return max(0.0, min(dues) - now)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        self._check_time_limit(now)
        if (due := shutdown.escalate(self._stop, now, self._plan.limits.asked_close)) != self._stop:
            self._enter(due)
        self._single.send_due(now)
        self._taps.advance(now)
        self._check_timeouts(now)
        self._letters.catch_up()
        with self._failing_where_none_can_start():
            self._spawner.respawn_due(now)
        if self._progress.is_due(now, self._transport.moves()):
            self._tell_progress(self._elapsed())
            if rows := self._sampler.rows(self._workers.alive()):
                self._publish(RunWorkers(workers=rows))
            if now >= self._next_times:
                self._next_times = now + min(now - self._began, _TIMES_EVERY)
                self._tell_times()

    def _tell_times(self) -> None:
        for event in self._metrics.timed():
            self._publish(event)

    def _check_time_limit(self, now: float) -> None:
        if self._time_limit is None or now - self._began < self._time_limit:
            return
        cause, self._time_limit = outcome.timed_out(format_duration(self._time_limit)), None
        if self._stop.phase is not Phase.RUNNING:
            return
        if self._feeder.ends_its_items:
            self._interrupt(cause)
        else:
            self._show_stacks(self._workers.alive())
            self._give_up(cause)

    def _check_timeouts(self, now: float) -> None:
        """End who can't be waited for: one worker, as if it had died, or the run."""
        if self._stop.phase >= Phase.TERMINATING:
            return
        may_stall = self._stop.phase is Phase.RUNNING and not self._feeder.ends_its_items
        for found in self._timeouts.check(self._workers.alive(), now, may_stall=may_stall):
            match found:
                case Overdue(name):
                    self._kill_overdue(self._workers[name], found)
                case Stalled(reason, holder, kill_reason):
                    if holder is not None:
                        self._workers[holder].kill_reason = kill_reason
                        self._show_stacks([self._workers[holder]])
                    self._give_up(outcome.stalled(reason))

    def _kill_overdue(self, worker: WorkerState, found: Overdue) -> None:
        if worker.kill_reason is not None or worker.failure is not None:
            return  # its end is on its way
        worker.kill_reason = found.reason + found.where
        if found.has_stacks:
            self._show_stacks([worker])
        self._publish_terminating(worker, signal.SIGKILL, worker.kill_reason)
        self._transport.signal(worker.plan.name, signal.SIGKILL, found.reason)

    def _show_stacks(self, workers: Sequence[WorkerState]) -> None:
        names = [worker.plan.name for worker in workers[:_MOST_STACKS]]
        for name, stacks in self._transport.stacks(names).items():
            worker = self._workers[name]
            self._publish(WorkerStacks(**worker.process_labels(), stacks=stacks))
            if worker.kill_reason is not None:  # they are the evidence, in its dead letter and in the report
                worker.traceback = stacks

    # Decisions.

    def _decide(self) -> None:
        if self._feeder.feed():
            self._lifecycle.feeding_ended()
        # Each decision carried out may make another one due.
        while decisions := self._lifecycle.decide(self._transport.account):
            for decision in decisions:
                self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case StartStage(stage):
                self._start(self._cuts.to_start(stage))
            case StartWorker(name):
                self._start([self._workers[name]])
            case EndStream(queue, reader):
                self._transport.end_stream(queue, reader)
            case MarkJoined(queue):
                self._metrics.note_joined(queue)
                account = self._transport.account(queue)
                self._publish(QueueJoined(queue=queue, put=account.put, done=account.done))
            case MarkFinished(stage):
                workers = sum(each.plan.stage == stage for each in self._workers.started())
                self._publish(StageFinished(stage=stage, workers=workers))
            case StopDaemons(stage):
                self._spawner.mark_unneeded(stage)
                for worker in self._workers.alive(stage):
                    self._single.begin(worker, time.monotonic())
            case QueueAbandoned(queue):
                readers = (each for each in self._workers.started() if each.plan.receives == queue)
                self._fail(abandoned(self._plan, self._transport.account(queue), readers))

    def _start(self, workers: Sequence[WorkerState]) -> None:
        if self._stop.phase is not Phase.RUNNING:
            return
        with self._failing_where_none_can_start():
            self._spawner.spawn(workers)

    @contextmanager
    def _failing_where_none_can_start(self) -> Iterator[None]:
        """A worker that can't be started ends the run."""
        try:
            yield
        except StartFailed as error:
            self._fail(str(error))

    # Stopping.

    def _interrupt(self, cause: Cause) -> None:
        """Drain, or let the feeder bring its items to an end; asked again, kill."""
        self._record(cause)
        if not self._feeder.ends_its_items:
            self._enter(shutdown.drain(self._stop, time.monotonic(), self._plan.limits.stop_timeout))
        elif not self._feeder.stop(cause):
            self._enter(Stop(Phase.KILLING))

    def _fail(self, reason: str, *, lock_lost: bool = False) -> None:
        if self._stop.phase < Phase.CLOSING:
            self._give_up(outcome.failed(reason), lock_lost=lock_lost)
        # Else it died because the run is being ended, or along with the one that is the cause.

    def _give_up(self, cause: Cause, *, lock_lost: bool = False) -> None:
        """Let every worker close, without draining."""
        self._record(cause)
        bound = self._plan.limits.asked_close
        self._enter(shutdown.fail(self._stop, time.monotonic(), bound, lock_lost=lock_lost))

    def _record(self, cause: Cause) -> None:
        """Keep the first cause: what follows from it is not the root. Every one is announced."""
        if self._cause is None:
            self._cause = cause
        alive = [worker.plan.name for worker in self._workers.alive()]
        self._publish(RunStopping(reason=cause.reason, signal=cause.signal, alive=alive))

    def _enter(self, stop: Stop) -> None:
        """Do once what a phase begins with."""
        before, self._stop = self._stop, stop
        assert self._cause is not None
        if stop.phase is before.phase:
            return
        self._lifecycle.cancel_unstarted()
        self._resources.stop_accepting()
        self._feeder.break_off(self._cause.reason)
        draining = stop.phase is Phase.DRAINING
        self._spawner.cancel_restarts(s.name for s in self._plan.stages if s.receives is None or not draining)
        reason = f"the run has to end: {self._cause.outcome}"
        overran = before.phase is Phase.DRAINING and time.monotonic() >= before.until
        if draining:
            self._begin_draining(reason)
        elif stop.phase is Phase.CLOSING:
            self._begin_closing(reason, overran=overran)
        else:
            self._end_workers(reason)

    def _begin_draining(self, reason: str) -> None:
        # Producers first: consumers must see the end of the stream, not a broken one.
        for worker in self._workers.alive():
            if worker.plan.role is Role.PRODUCER:
                self._transport.stop_producing(worker.plan.name)
            elif worker.plan.role is Role.PLAIN:
                self._ask_to_end(worker, signal.SIGTERM, reason)

    def _begin_closing(self, reason: str, *, overran: bool) -> None:
        """`overran`: producers were to come to their end before, and had `limits.stop_timeout` for it."""
        # Whose handler failed closes by itself.
        left = [each for each in self._workers.alive() if each.failure is None]
        # Ended first, as its readers get the end of their stream only after it.
        late = [each for each in left if _is_signalled(each, overran=overran)]
        # Said before the stacks are fetched: nobody is handed an item meanwhile, so that all come to wait for one.
        reasons = {each.plan.name: self._overran(each) if overran else reason for each in left}
        if overran:
            self._show_stacks(late)
        for worker in late:
            self._ask_to_end(worker, signal.SIGTERM, reasons[worker.plan.name])
        for worker in left:
            if worker not in late:
                self._ask_to_close(worker, reasons[worker.plan.name])

    def _end_workers(self, reason: str) -> None:
        assert self._cause is not None
        terminating = self._stop.phase is Phase.TERMINATING
        left = self._workers.alive()
        if terminating and self._cause.outcome is not RunOutcome.TIMEOUT:  # then they were shown before
            self._show_stacks(left)
        for worker in left:
            number = signal.SIGTERM if terminating else signal.SIGKILL
            self._ask_to_end(worker, number, self._did_not_close(worker) if terminating else reason)

    def _overran(self, worker: WorkerState) -> str:
        bound = format_duration(self._plan.limits.stop_timeout)
        return f"it {self._timeouts.doing(worker)} when limits.stop_timeout, {bound}, had passed"

    def _did_not_close(self, worker: WorkerState) -> str:
        if self._stop.term_grace == shutdown.LOCK_LOST_GRACE:
            return f"it {self._timeouts.doing(worker)}, and may wait for a lock that a killed worker has taken along"
        bound = format_duration(self._plan.limits.asked_close)
        return f"it {self._timeouts.doing(worker)} when limits.close_timeout, {bound}, had passed"

    def _ask_to_close(self, worker: WorkerState, reason: str) -> None:
        worker.closing = reason
        worker.asked_at = worker.asked_at or time.time()
        self._publish(WorkerClosing(**worker.process_labels(), reason=reason))
        self._transport.dismiss(worker.plan.name)

    def _ask_to_end(self, worker: WorkerState, number: signal.Signals, reason: str) -> None:
        worker.signalled(reason, time.time())
        self._publish_terminating(worker, number, reason)
        self._transport.signal(worker.plan.name, number)

    def _publish_terminating(self, worker: WorkerState, number: signal.Signals, reason: str) -> None:
        self._publish(WorkerTerminating(**worker.process_labels(), signal=number.name, reason=reason))

    def _over_budget(self) -> Cause | None:
        """Say if more items have failed than `limits.max_errors` allows."""
        shares = self._failures.shares(self._metrics.accounts())
        return outcome.over_budget(shares, self._plan.limits.max_errors)

    def _committed_of(self, worker: str) -> int | None:
        return self._cuts.committed_of(worker)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _control_hooks(self) -> ControlHooks:
        return ControlHooks(
            phase=lambda: self._stop.phase,
            elapsed=self._elapsed,
            interrupt=lambda: self._interrupt(outcome.stop_requested()),
            ask_to_end=self._ask_to_end,
            dismiss=lambda worker, reason: self._single.dismiss(worker, reason, time.monotonic()),
        )


def _is_signalled(worker: WorkerState, *, overran: bool) -> bool:
    """Whether a worker can't be asked to close, was asked before in vain, or is found to hang."""
    late = worker.plan.receives is None and overran
    return late or worker.plan.role is Role.PLAIN or worker.kill_reason is not None


def _logged(worker: WorkerState, fact: Logged) -> WorkerLogged:
    fields = dict(fact.fields)
    return WorkerLogged(**worker.process_labels(), level=fact.level, message=fact.message, fields=fields)

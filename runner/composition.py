"""Put the parts together and run a plan: transport, watchdog, signals, observers, supervisor.

    run(plan, observers) ──► Report

May be called from any program; from a thread other than the main one it handles no signals. Under process transports
the caller should have one thread only while it starts workers, as for every `fork`.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import ResumeRefused, RunFailed, StartFailed, UsageError
from runner.events.bus import Bus, Observer, ServesWatchers
from runner.events.report import Report, ReportBuilder
from runner.facts import dataclass, write_all
from runner.process import child as process
from runner.process.preflight import ensure_capacity
from runner.process.resources.base import ResourceProviders
from runner.process.signals import SignalInbox
from runner.process.watchdog import RUN_VARIABLE, PidRegistry, Watchdog
from runner.record.facts import Mask, begin_facts, mask_for
from runner.record.recorder import NO_RECORD, NoRecord
from runner.spec.plan import Plan
from runner.store.control_socket import ControlSocket
from runner.store.dead_letters import DeadLetterStore, stage_with_dead_letters
from runner.store.discovery import end_left_by_killed, forget_killed, prune_job_logs
from runner.store.hidden_outputs import note_hidden
from runner.store.run_folder import HOME, JOB_LOGS, LastSeen, RunFacts, RunFolder, home, mark_of
from runner.store.run_socket import WATCH_SOCKET, listen_in
from runner.supervisor.admin import AdminApi
from runner.supervisor.cuts import failed_items_of, resumable, with_added, with_renumbered
from runner.supervisor.feeder import NO_FEEDER
from runner.supervisor.outputs import hidden_by, leaves_output, open_outputs
from runner.supervisor.resources import open_resources
from runner.supervisor.supervisor import Supervisor
from runner.transports.base import HasFileno, Transport
from runner.transports.cut import Cut
from runner.transports.worker import import_ahead, work

if TYPE_CHECKING:
    from runner.events.trace_context import TraceContext
    from runner.jobs.resumption import JobsPast
    from runner.record.resumption import TakenRun
    from runner.supervisor.group_waits import GroupWaits
    from runner.supervisor.job_scheduler import JobScheduler


@dataclass(frozen=True, slots=True)
class Hosting:
    """How a run is done for a program, in a process of its own."""

    lent: Mapping[str, socket.socket] = field(default_factory=dict)
    """Stages whose one worker is the program itself, with the socket over which it gets its place. `leased` alone."""
    home: Path | None = None
    """Where what has to be written lies, where nobody else is to reach the run or to find it listed."""
    program: HasFileno | None = None
    """Can be read once the program has ended: nothing of the run is to outlive it."""


def run(
    plan: Plan,
    observers: Sequence[Observer] = (),
    keep: Callable[[Report], object] = lambda _: None,
    recorder: NoRecord = NO_RECORD,
    resumed: TakenRun | None = None,
    past: JobsPast | None = None,
    hosting: Hosting | None = None,
    trace: TraceContext | None = None,
) -> Report:
    """Run a plan to its end and report. Blocks, prints nothing, leaves no process behind.

    With `resumed` it goes on where another runner was killed or has ended, as the same run.

    `hosting` is for a process that does nothing else, and does it for a program (`process/host.py`).

    `keep` gets the report before observers are closed: one that shows the run may wait for a screen that is stopped.
    What `recorder` has left to do when this returns, whoever made it waits for. `past` is what a plan of jobs takes
    over of a run before it. `trace` is where the run stands in one, for what its jobs start.

    Raises:
        UsageError: the transport does not exist on this system.
        StartFailed: the machine has not enough processes, descriptors or memory, or dead letters can't be kept where
            a stage asks for them. Nothing was started.
        ResumeRefused: what its stages had written is not there any more, or is somebody else's by now.
        RunFailed: under `inline` a handler has closed what mprun itself had open.
        MprunInternalError: a bug; everything that was started is gone all the same.
    """
    builder = ReportBuilder()
    run_id = os.urandom(4).hex() if resumed is None else resumed.run
    bus = Bus(run=run_id, observers=[builder, recorder, *observers], mask=mask_for(plan))
    plan = replace(plan, origin=plan.origin or bus.run)
    if resumed is not None and resumed.cut is not None:
        plan = with_renumbered(with_added(plan, resumed.cut), resumed.cut, resumed.incarnation)
    with _blaming_who_closed_all(plan), ExitStack() as last:
        last.callback(bus.close)
        with _signals_noted() as signals:
            run_folder = last.enter_context(
                _keep_record(RunFolder(bus.run, home()), plan, recorder, resumed, bus.mask)
                if hosting is None or hosting.home is None
                else nullcontext(RunFolder(bus.run, hosting.home))
            )
            last.callback(recorder.close)
            last.enter_context(_own_trees(plan, run_folder))
            _supervise(plan, bus, signals, run_folder, recorder, resumed, past, hosting or Hosting(), trace)
        recorder.note_end(builder.report().as_dict())
        keep(builder.report())
    return builder.report()


@contextmanager
def _signals_noted() -> Iterator[SignalInbox]:
    """Before whatever takes a while: a signal that nobody notes is one that nobody obeys."""
    with ExitStack() as parts:
        with _refusals_as_start_failed():
            signals = parts.enter_context(SignalInbox())
        yield signals


@contextmanager
def _blaming_who_closed_all(plan: Plan) -> Iterator[None]:
    """Where handlers share this process, a descriptor that is gone was closed by one of them."""
    try:
        yield
    except OSError as error:
        if plan.transport != "inline" or error.errno != errno.EBADF:
            raise
        raise RunFailed(
            "a handler has closed files that it had not opened, as by `os.closerange`; under `inline` these are "
            "mprun's own: run it under `leased` or `joinable`"
        ) from error


_MOST_CALLING = 64
"""Who may wait at a time to be let in to watch."""
_NEEDED_LATER = (
    *(
        "runner.process.ending",
        "runner.events.catalogue",
        "multiprocessing.popen_fork",
        "multiprocessing.util",
    ),
    *("pkgutil", "subprocess", "locale", "encodings.ascii"),
)
_NEEDED_TO_WATCH = ("runner.render.process", "runner.watch.hub")
_TRANSPORTS = {"leased": "runner.transports.leased.transport", "joinable": "runner.transports.joinable"}


def preload(transport: str, *, may_be_watched: bool = False) -> None:
    """
    Import what hosts and workers import at their first use: imported once by the program, it is there in each of them.

    In a host an import may never come to its end: another thread of the program may have been in the middle of it.
    """
    for_watchers = _NEEDED_TO_WATCH if may_be_watched else ()
    for module in (*_NEEDED_LATER, *for_watchers, *filter(None, [_TRANSPORTS.get(transport)])):
        import_module(module)
    write_all()


@contextmanager
def _hosted_transport(
    plan: Plan, wake: int, providers: ResourceProviders, cut: Cut | None, hosting: Hosting
) -> Iterator[Transport]:
    """Open the transport, and have this process end with the program that it works for."""
    transport = _open_transport(plan, wake, providers, cut, hosting.lent)
    import_ahead(plan.workers)
    try:
        if hosting.program is not None:
            transport.watch(hosting.program, _die)
        yield transport
    finally:
        transport.close()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # the watchdog ends whatever is left


def _supervise(
    plan: Plan,
    bus: Bus,
    signals: SignalInbox,
    run_folder: RunFolder,
    recorder: NoRecord,
    resumed: TakenRun | None,
    past: JobsPast | None,
    hosting: Hosting,
    trace: TraceContext | None,
) -> None:
    """Put the parts together, run the plan to its end, and take them apart in reverse order. Raises as `run` does."""
    cut, incarnation = (None, 1) if resumed is None else (resumed.cut, resumed.incarnation)
    with ExitStack() as parts:
        with _refusals_as_start_failed():
            parts.enter_context(ensure_capacity(plan))
            if recorder.keeps_cuts:
                note_hidden(run_folder, hidden_by(plan))
            may_resume = resumable(plan) and recorder.keeps_cuts
            plan, outputs = parts.enter_context(open_outputs(plan, resumable=may_resume, cut=cut))
            marked = _leave_no_process(mark_of(bus.run, incarnation))
            watchdog = parts.enter_context(marked) if plan.transport != "inline" else None
            resources = parts.enter_context(open_resources(plan))
            opened = _hosted_transport(plan, signals.wake, resources.providers, cut, hosting)
            transport = parts.enter_context(opened)
            letters = DeadLetterStore(run_folder, plan)
            if cut is not None:
                letters.resume(cut.letters)
        feeder = NO_FEEDER
        if plan.jobs and watchdog is not None:
            feeder = _job_scheduler(plan, transport, bus, run_folder, watchdog, recorder, past, trace)
        supervisor = Supervisor(
            plan,
            transport,
            bus,
            signals.take,
            letters,
            watchdog or PidRegistry(),
            resources.monitor,
            feeder,
            outputs,
            recorder,
        )
        if cut is not None:
            supervisor.resume(cut, incarnation)
        if watchdog is not None and hosting.home is None:
            parts.enter_context(_serve_requests(supervisor, transport, run_folder, bus.observers))
            mask, snapshot = bus.mask or dict, supervisor.controller.snapshot
            bus.observers.append(LastSeen(run_folder, lambda: mask(snapshot())))
        supervisor.run()


@contextmanager
def _own_trees(plan: Plan, run_folder: RunFolder) -> Iterator[None]:
    """Remove the trees of jobs that killed runs have left, and at its end those of this run. Raises UsageError."""
    if not any(leg.workspace.is_own for job in plan.jobs for leg in job.legs):
        yield
        return
    from runner.jobs.workspace.removal import TreesHold, sweep_killed
    from runner.jobs.workspace.request import WORK

    sweep_killed(run_folder.home / "runs")
    try:
        hold = TreesHold(run_folder.make_folder(WORK))
    except OSError as error:
        where = f"the trees of jobs can't be kept under '{run_folder.home}': {error.strerror}"
        raise UsageError(f"{where}; set {HOME} to a folder that can be written") from error
    try:
        yield
    finally:
        hold.end()


def run_file(
    path: str | Path,
    *,
    transport: str | None = None,
    params: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
) -> Report:
    """Check a workflow file and run it: what a test of a handler calls, with `transport="inline"`.

    Raises:
        SpecError: the file has problems; nothing was started.
    """
    from runner.jobs.plan import plan_for
    from runner.loader.load import load

    chosen = [*overrides, *([f"transport={transport}"] if transport is not None else [])]
    spec = load(path, params=[f"{key}={value}" for key, value in (params or {}).items()], overrides=chosen)
    return run(plan_for(spec), observers)


def _open_transport(
    plan: Plan,
    wake: int,
    providers: ResourceProviders,
    cut: Cut | None,
    lent: Mapping[str, socket.socket],
) -> Transport:
    # Each is imported only where it is wanted: multiprocessing alone takes as long to import as a short run.
    if plan.transport == "inline":
        from runner.transports.inline.transport import InlineTransport

        return InlineTransport(plan, work, wake, providers)
    if plan.transport == "joinable":
        from runner.transports.joinable.transport import JoinableTransport

        return JoinableTransport(plan, work, wake, providers)
    from runner.transports.leased.transport import LeasedTransport

    return LeasedTransport(plan, work, wake, providers, cut, lent)


def _job_scheduler(
    plan: Plan,
    transport: Any,
    bus: Bus,
    run_folder: RunFolder,
    watchdog: Watchdog,
    recorder: NoRecord,
    past: JobsPast | None,
    trace: TraceContext | None,
) -> JobScheduler:
    """Make what decides about the jobs of a plan.

    Raises:
        UsageError: a secret can't be masked, or the logs of jobs can't be kept.
    """
    from runner.jobs.masking import Masker
    from runner.jobs.requests import RequestBuilder, Secrets, remove_unread_outputs
    from runner.jobs.resumption import NO_PAST
    from runner.supervisor.job_scheduler import JobScheduler

    secrets = Secrets.gathered(plan.jobs, os.environ)
    try:
        prune_job_logs(run_folder.home)
        logs = run_folder.make_folder(JOB_LOGS)
        remove_unread_outputs(logs)
    except OSError as error:
        where = f"the logs of jobs can't be kept under '{run_folder.home}': {error.strerror}"
        raise UsageError(f"{where}; set {HOME} to a folder that can be written") from error
    builder = RequestBuilder(plan, secrets, logs, run_folder.home, trace)
    known = [pid for pid in process.children() if pid != watchdog.pid]

    def end_orphans(alive: Collection[int]) -> None:
        process.end_orphans(spare=(watchdog.pid, *alive), known=known)

    masker = Masker(secrets.values.values())
    return JobScheduler(
        plan,
        transport,
        bus,
        builder,
        masker,
        end_orphans,
        past or NO_PAST,
        recorder.note_job,
        _groups(plan, bus),
    )


def _groups(plan: Plan, bus: Bus) -> GroupWaits | None:
    """Make what knows the concurrency groups of the machine, if the plan has some."""
    from runner.spec.jobs.model import GroupScope

    used = (leg.concurrency for job in plan.jobs for leg in job.legs if leg.concurrency is not None)
    if not any(each.scope is GroupScope.MACHINE for each in used):
        return None
    from runner.store.machine_groups import MachineGroups, groups_folder
    from runner.supervisor.group_waits import GroupWaits  # few runs have any

    return GroupWaits(MachineGroups(groups_folder(), bus.run, os.environ.get(RUN_VARIABLE, bus.run)))


@contextmanager
def _keep_record(
    run_folder: RunFolder, plan: Plan, recorder: NoRecord, resumed: TakenRun | None, mask: Mask | None
) -> Iterator[RunFolder]:
    """Say what run this is, for whoever wants to reach it or look at its letters, and tidy up at its end.

    Where no record can be kept the run goes on without, unless a stage asks for letters: better now than when the
    first of them is lost. What runs in one process can neither be reached nor keep letters.

    Raises:
        StartFailed: they would be lost.
        ResumeRefused: it was to go on with a run whose record can't be written any more.
    """
    if plan.transport == "inline":
        yield run_folder
        return
    try:
        end_left_by_killed(run_folder.home)
        forget_killed(plan.name, run_folder.home)
        run_folder.write_facts(
            _facts_to_keep(run_folder.run, plan, 1 if resumed is None else resumed.incarnation, mask)
        )
    except OSError as error:
        why = f"'{run_folder.home}' can't be written: {error.strerror or error}"
        if resumed is not None:
            # Nobody would know later that it went on, and another would do all of it again.
            resumed.lock.release()
            raise ResumeRefused(f"run '{run_folder.run}' can't be gone on with: {why}") from error
        if (stage := stage_with_dead_letters(plan)) is not None:
            raise StartFailed(
                f"stage '{stage}' has `on_error: dead_letter`, and {why}; MPRUN_HOME may name another folder"
            ) from error
        recorder.refuse(why)
    else:
        earlier = {} if resumed is None or resumed.cut is None else failed_items_of(resumed.cut)
        known = {"failed_before": sum(earlier.values())}
        about = lambda: ({**begin_facts(plan), **known}, mask)  # noqa: E731
        policy, at_once = plan.resume, plan.resume.required or leaves_output(plan)
        recorder.begin(
            run_folder.path, about, resumed, every=policy.every, fsync=policy.fsync, at_once=at_once
        )
    try:
        yield run_folder
    finally:
        run_folder.remove_if_empty()


def _facts_to_keep(run: str, plan: Plan, incarnation: int, mask: Mask | None) -> RunFacts:
    path, given = str(plan.path.absolute()), plan.given
    facts = RunFacts(
        run, plan.name, path, os.getpid(), time.time(), given.params, given.overrides, incarnation
    )
    if mask is None:
        return facts
    params, overrides = (tuple(mask(each)) for each in (given.params, given.overrides))
    return replace(facts, file=mask(path), params=params, overrides=overrides)


@contextmanager
def _serve_requests(
    supervisor: Supervisor, transport: Transport, run_folder: RunFolder, observers: Sequence[Observer]
) -> Iterator[None]:
    """Let `ps`, `stop` and `scale` reach the run, and others watch it. Without sockets it runs all the same."""
    try:
        control = ControlSocket(run_folder.path, transport, AdminApi(supervisor.controller).handle)
    except OSError:
        yield
        return
    try:
        with _let_watch(observers, run_folder):
            yield
    finally:
        control.close()


@contextmanager
def _let_watch(observers: Sequence[Observer], run_folder: RunFolder) -> Iterator[None]:
    """Let others watch the run: the process that shows it tells them."""
    serve = next((each.serve_watchers for each in observers if isinstance(each, ServesWatchers)), None)
    if serve is None:
        yield
        return
    try:
        with listen_in(run_folder.path, WATCH_SOCKET, _MOST_CALLING) as listener:
            serve(listener)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            (run_folder.path / WATCH_SOCKET).unlink(missing_ok=True)


@contextmanager
def _refusals_as_start_failed() -> Iterator[None]:
    """What the system refuses before the first worker is a start that failed; no event has been published yet."""
    try:
        yield
    except OSError as error:
        raise StartFailed(f"the run could not be started: {error.strerror or error}") from error


@contextmanager
def _leave_no_process(mark: str) -> Iterator[Watchdog]:
    """See to it that no process that bears this mark is left, whether this process ends in order or is killed."""
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"workers need Linux, and this is {sys.platform}; `--transport inline` runs everywhere"
        )
    process.require_own_proc()
    known = process.children()
    spare = os.open(os.devnull, os.O_RDONLY)
    try:
        watchdog = Watchdog(mark)
    except OSError:
        os.close(spare)
        raise
    before = os.environ.get(RUN_VARIABLE)
    os.environ[RUN_VARIABLE] = mark
    process.adopt_orphans(True)
    try:
        yield watchdog
    finally:
        os.close(spare)  # kept for this: to look for orphans takes a descriptor, and none may be left
        process.end_orphans(spare=(watchdog.pid,), known=known)
        process.end_own_tracker(known)
        process.adopt_orphans(False)
        watchdog.close()
        if before is None:
            del os.environ[RUN_VARIABLE]
        else:
            os.environ[RUN_VARIABLE] = before

"""Put the parts together and run a plan: transport, warden, signals, observers, supervisor.

    run(plan, observers) ──► Report

May be called from any program; from a thread other than the main one it heeds no signals. Under process transports the
caller should have one thread only while it starts workers, as for every `fork`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import machine, process
from runner.control import ControlSocket
from runner.dead_letters import LetterBox, letters_asked_by
from runner.desk import Desk
from runner.errors import StartFailed, UsageError
from runner.events import Bus, Observer
from runner.furnishing import furnish
from runner.plan import Plan
from runner.provisions import Provisions
from runner.record import HOME, RunFacts, RunRecord, home
from runner.report import Report, ReportBuilder
from runner.signals import SignalInbox
from runner.supervisor import Supervisor
from runner.transports.base import Transport
from runner.warden import MARK, Warden
from runner.worker import work

if TYPE_CHECKING:
    from runner.jobs.conductor import Conductor


def run(plan: Plan, observers: Sequence[Observer] = ()) -> Report:
    """Run a plan to its end and report. Blocks, prints nothing, leaves no process behind.

    Raises:
        UsageError: the transport does not exist on this system.
        StartFailed: the machine has not enough processes, descriptors or memory, or dead letters can't be kept where
            a stage asks for them. Nothing was started.
        MprunInternalError: a bug; everything that was started is gone all the same.
    """
    builder = ReportBuilder()
    bus = Bus(run=os.urandom(4).hex(), observers=[builder, *observers])
    try:
        with ExitStack() as parts:
            record = parts.enter_context(_recorded(RunRecord(bus.run, home()), plan))
            with _refusals_told():
                parts.enter_context(machine.fit(plan))
                signals = parts.enter_context(SignalInbox())
                census = (
                    parts.enter_context(_nothing_outlives(bus.run)) if plan.transport != "inline" else None
                )
                furnished = parts.enter_context(furnish(plan))
                transport = _open_transport(plan, signals.wake, furnished.provisions)
                parts.callback(transport.close)
            feeder = (
                _conductor(plan, transport, bus, record, census) if plan.jobs and census is not None else None
            )
            letters = LetterBox(record, plan)
            supervisor = Supervisor(
                plan, transport, bus, signals.take, census, letters, furnished.upkeep, feeder
            )
            if census is not None:
                parts.enter_context(_reachable(supervisor, transport, record))
            supervisor.run()
    finally:
        bus.close()
    return builder.report()


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
    from runner.jobs.layout import plan_for
    from runner.load import load

    chosen = [*overrides, *([f"transport={transport}"] if transport is not None else [])]
    spec = load(path, params=[f"{key}={value}" for key, value in (params or {}).items()], overrides=chosen)
    return run(plan_for(spec), observers)


def _open_transport(plan: Plan, wake: int, provisions: Provisions) -> Transport:
    # Each is imported only where it is wanted: multiprocessing alone takes as long to import as a short run.
    if plan.transport == "inline":
        from runner.transports.inline import InlineTransport

        return InlineTransport(plan, work, wake, provisions)
    if plan.transport == "joinable":
        from runner.transports.joinable import JoinableTransport

        return JoinableTransport(plan, work, wake, provisions)
    from runner.transports.leased import LeasedTransport

    return LeasedTransport(plan, work, wake, provisions)


def _conductor(plan: Plan, transport: Any, bus: Bus, record: RunRecord, warden: Warden) -> Conductor:
    """Make what decides about the jobs of a plan.

    Raises:
        UsageError: a secret can't be masked, or the logs of jobs can't be kept.
    """
    from runner.jobs.conductor import Conductor
    from runner.jobs.masking import Masker
    from runner.jobs.order_desk import OrderDesk, Secrets

    secrets = Secrets.gathered(plan.jobs, os.environ)
    try:
        logs = record.folder_for("jobs")
    except OSError as error:
        where = f"the logs of jobs can't be kept under '{record.home}': {error.strerror}"
        raise UsageError(f"{where}; set {HOME} to a folder that can be written") from error
    desk = OrderDesk(plan, secrets, logs, record.home)
    known = [pid for pid in process.children() if pid != warden.pid]

    def sweep(alive: Collection[int]) -> None:
        process.end_orphans(spare=(warden.pid, *alive), known=known)

    return Conductor(plan, transport, bus, desk, Masker(secrets.values.values()), sweep)


@contextmanager
def _recorded(record: RunRecord, plan: Plan) -> Iterator[RunRecord]:
    """Say what run this is, for whoever wants to reach it or look at its letters, and tidy up at its end.

    Where no record can be kept the run goes on without, unless a stage asks for letters: better now than when the
    first of them is lost. What runs in one process can neither be reached nor keep letters.
    """
    asking = letters_asked_by(plan)
    if plan.transport == "inline":
        yield record
        return
    path, given = str(plan.path.absolute()), plan.given
    facts = RunFacts(record.run, plan.name, path, os.getpid(), time.time(), given.params, given.overrides)
    try:
        record.write_facts(facts)
    except OSError as error:
        if asking is not None:
            raise StartFailed(
                f"stage '{asking}' has `on_error: dead_letter`, and '{record.home}' can't be written: "
                f"{error.strerror or error}; MPRUN_HOME may name another folder"
            ) from error
    try:
        yield record
    finally:
        record.tidy()


@contextmanager
def _reachable(supervisor: Supervisor, transport: Transport, record: RunRecord) -> Iterator[None]:
    """Let `mprun ps`, `stop` and `scale` reach the run. Where no socket can be made, it runs all the same."""
    try:
        control = ControlSocket(record.folder, transport, Desk(supervisor.underway).answer)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        control.close()


@contextmanager
def _refusals_told() -> Iterator[None]:
    """What the system refuses before the first worker is a start that failed; no event has been published yet."""
    try:
        yield
    except OSError as error:
        raise StartFailed(f"the run could not be started: {error.strerror or error}") from error


@contextmanager
def _nothing_outlives(run_id: str) -> Iterator[Warden]:
    """See to it that no process of the run is left, whether this process ends in order or is killed."""
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"workers need Linux, and this is {sys.platform}; `--transport inline` runs everywhere"
        )
    known = process.children()
    spare = os.open(os.devnull, os.O_RDONLY)
    try:
        warden = Warden(run_id)
    except OSError:
        os.close(spare)
        raise
    before = os.environ.get(MARK)
    os.environ[MARK] = run_id
    process.adopt_orphans(True)
    try:
        yield warden
    finally:
        os.close(spare)  # kept for this: to look for orphans takes a descriptor, and none may be left
        process.end_orphans(spare=(warden.pid,), known=known)
        process.adopt_orphans(False)
        warden.dismiss()
        if before is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = before

"""`mprun.run`: a workflow from a script or a notebook, checked as any file is, supervised in a process of its own.

    mapping, path, Plan ──► checked plan ──► Host ──► run(plan) there ──► Report
                                              │ events ──► observers, here
                                              └ what it prints ──► sys.stdout, sys.stderr, here

Ctrl-C, or a notebook's interrupt, lets the run end as on the command line; then it goes on as KeyboardInterrupt.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.api.channel import ChannelObserver, Outcome, Words, died, send_outcome
from runner.api.documents import Document, document_of
from runner.api.relay import OutputRelay
from runner.api.results import WorkerTraceback
from runner.composition import Hosting, preload
from runner.composition import run as run_here
from runner.errors import ExitCode, RunFailed, SpecError, UsageError
from runner.events.base import Event
from runner.events.bus import Bus, Observer
from runner.events.report import Report
from runner.handlers import live
from runner.ipc.line_sender import LineSender
from runner.process.child import ProgramPidfd
from runner.process.host import Host
from runner.spec.plan import Plan
from runner.text import safe_repr

_IN_MEMORY = "<{}>"
"""What problems of a workflow that is no file call it."""


def run(
    workflow: Mapping[str, Any] | str | Path | Plan,
    observers: Sequence[Observer] = (),
    *,
    params: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    transport: str | None = None,
    progress: bool = False,
    check: bool = True,
    record: bool = False,
) -> Report:
    """
    Run a workflow to its end, and return its report.

    `workflow` is the path of a file; a mapping with what a file would have, in which `run` and what is under `with` may
    be objects of this program, closures too; or a plan. The run is supervised in a process of its own, so that this
    program may have threads. What handlers print comes out here.

    Args:
        observers: are told of each event, in this process; one that raises is dropped.
        params: values of the workflow's parameters.
        overrides: `a.b=value`, as for `--set`.
        transport: to be used instead of the workflow's own; "inline" is in this process, for a debugger.
        progress: whether to show how far it is, in a notebook's cell or on stderr.
        check: whether a run that did not do its work raises. With `check=False` its report says so.
        record: whether `mprun history`, `show` and `resume` shall know of it, and others may watch it.

    Raises:
        SpecError: the workflow has problems; they are in its text. Nothing was started.
        RunFailed: it failed, or broke off; its `report` says how far it was.
        StartFailed, UsageError: it could not be started.
        KeyboardInterrupt: it was interrupted, and has come to its end.
    """
    _check_arguments(observers, params, overrides)
    watching = [*observers]
    if progress:
        from runner.api.progress import ProgressView

        watching.append(ProgressView())
    with _plan_of(workflow, params or {}, overrides, transport) as plan:
        report = run_here(plan, watching) if plan.transport == "inline" else _hosted(plan, watching, record)
    if check and report.exit_code != ExitCode.DONE:
        raise error_of(report)
    return report


def _check_arguments(observers: Sequence[object], params: object, overrides: object) -> None:
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(f"run: `params` is a mapping of names to values, not {safe_repr(params)}")
    if isinstance(overrides, str):
        raise TypeError(f"run: `overrides` is a list of texts, as [{safe_repr(overrides)}], not one text")
    for each in observers:
        if not callable(getattr(each, "observe", None)):
            raise TypeError(f"run: an observer has a method `observe`, and {safe_repr(each)} has none")


def run_file(
    path: str | Path,
    *,
    transport: str | None = None,
    params: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
) -> Report:
    """
    Check a workflow file and run it: what a test of a handler calls, with `transport="inline"`.

    The same as `run` with `check=False`: a run that failed returns its report.

    Raises:
        SpecError: the file has problems; nothing was started.
    """
    return run(path, observers, params=params, overrides=overrides, transport=transport, check=False)


def error_of(report: Report) -> RunFailed:
    """Return the error for a run that did not do its work; its cause is the traceback of the worker, if any."""
    error = RunFailed(report.reason or f"the run ended as {report.outcome}")
    error.report = report
    cause = report.root_cause
    if cause is not None and cause.traceback:
        error.__cause__ = WorkerTraceback(cause.traceback)
    return error


@contextmanager
def _plan_of(
    workflow: object, params: Mapping[str, Any], overrides: Sequence[str], transport: str | None
) -> Iterator[Plan]:
    """Check what was given and lay it out; what lives in the program is known by its key meanwhile."""
    chosen = [*overrides, *([f"transport={transport}"] if transport is not None else [])]
    match workflow:
        case Plan():
            if params or overrides:
                raise UsageError(
                    "a plan has its params and overrides already; `run` takes them with a path or a mapping"
                )
            yield workflow if transport is None else replace(workflow, transport=transport)
        case str() | os.PathLike():
            yield _checked(Path(workflow), params, chosen, None)
        case Mapping():
            registered: list[str] = []

            def name(wanted: str, found: object) -> str:
                registered.append(live.register_live(wanted, found))
                return registered[-1]

            try:
                document = document_of(workflow, name)
                called = Path(_IN_MEMORY.format(workflow.get("name") or "workflow"))
                plan = _checked(called, params, chosen, document)
                _refuse_spawned(plan, document)
                yield document.with_objects(plan)
            finally:
                live.forget_live(registered)
        case _ if hasattr(workflow, "document"):
            with _plan_of(workflow.document(), params, overrides, transport) as plan:
                yield plan
        case _:
            raise TypeError(
                "run takes the path of a workflow file, a mapping, a Flow or a Plan, and "
                f"{safe_repr(workflow)} is of type {type(workflow).__name__}"
            )


def _checked(
    path: Path, params: Mapping[str, Any], overrides: Sequence[str], document: Document | None
) -> Plan:
    from runner.jobs.plan import plan_for
    from runner.loader.load import check
    from runner.render.diagnostics import render_text

    given = [f"{key}={_written(value)}" for key, value in params.items()]
    text = None if document is None else document.text
    checked = check(path, params=given, overrides=overrides, text=text)
    if checked.spec is None:
        raise SpecError(checked.diagnostics, f"\n{render_text(checked.diagnostics)}")
    return plan_for(checked.spec)


def _written(value: object) -> str:
    """Return the value of a param as `--param` would be given it: what is no text as JSON, which YAML reads."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _refuse_spawned(plan: Plan, document: Document) -> None:
    """Raise `UsageError` where a worker is to be spawned, and would not have what lives in the program."""
    for worker in plan.workers:
        if worker.start_method == "spawn" and document.has_objects(worker):
            raise UsageError(
                f"stage '{worker.stage}' has `start_method: spawn`, and a fresh interpreter has nothing of what lives "
                "in this program: leave it out, or name what is to run as 'module:callable'"
            )


def _hosted(plan: Plan, observers: Sequence[Observer], record: bool) -> Report:
    """Run a plan in a host, tell observers of it, and return what it came to. Raises what the run there has raised."""
    preload(plan.transport, may_be_watched=record)
    program = os.getpid()
    bus = Bus(run="", observers=list(observers))
    relay = OutputRelay()
    wants = bool(observers)
    host = Host(lambda channel: _serve(plan, channel, program, wants, record), standard=relay.standard)
    relay.started()
    words = Words(host.channel, bus.forward)
    interrupt: KeyboardInterrupt | None = None
    try:
        while not words.ended:
            try:
                _wait(words, relay)
            except KeyboardInterrupt as error:
                interrupt = error
                host.signal(signal.SIGINT)
        host.wait()
    finally:
        if host.code is None:  # an exception of what the program has put in the place of stdout
            host.signal(signal.SIGTERM)
            host.wait()
        relay.close()
        host.close()
        bus.close()
    return _result(words, host, interrupt)


def _wait(words: Words, relay: OutputRelay) -> None:
    poll = select.poll()
    for descriptor in (words.channel.fileno(), *relay.descriptors()):
        poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll():
        if descriptor == words.channel.fileno():
            words.take_in()
        else:
            relay.pass_on(descriptor)


def _result(words: Words, host: Host, interrupt: KeyboardInterrupt | None) -> Report:
    outcome = words.outcome
    if interrupt is not None:
        if isinstance(outcome, Report):
            interrupt.add_note(f"The run has come to its end:\n{outcome}")
        raise interrupt
    if isinstance(outcome, BaseException):
        raise outcome
    if outcome is None:
        raise died(host.code)
    return outcome


def _serve(plan: Plan, channel: socket.socket, program: int, wants: bool, record: bool) -> None:
    """The host's work."""
    from runner.record.recorder import NO_RECORD, open_recorder
    from runner.render.process import open_hub

    lines = LineSender(channel)
    wanted: Callable[[Event], bool] = lambda _event: wants  # noqa: E731
    recorder = open_recorder() if record else NO_RECORD
    observers: list[Observer] = [ChannelObserver(lines, wanted)]
    outcome: Outcome
    try:
        if record:
            observers.append(open_hub())
        hosting = Hosting(program=ProgramPidfd(program))
        outcome = run_here(plan, observers, recorder=recorder, hosting=hosting)
    except BaseException as error:
        outcome = error
    recorder.finish()
    send_outcome(lines, outcome)

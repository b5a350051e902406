"""`mprun run`: check, plan, run, report.

file ──► checked_plan ───────┬──► run(plan, observers) ──► Report ──► tables · report file · exit code
   └───► observers, forked ──┘
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli import CLOSE_TIMEOUT
from runner.cli.completion import complete_jobs
from runner.cli.gc_tuning import resume_collection
from runner.cli.options import (
    FILE,
    Decorated,
    RunOptions,
    WithArguments,
    arguments_given,
    examples,
    values,
    workflow_file,
)
from runner.cli.output import abandon_output, discard_output, has_room, in_github, output_mode, print_message
from runner.cli.refusals import refusals_told
from runner.cli.watching.notifying import finish_notifier, open_notifier, ring, tell_refused
from runner.errors import ExitCode, UsageError
from runner.facts import dataclass

if TYPE_CHECKING:
    from runner.cli.checking import JobsChoice
    from runner.cli.watching.metrics import OpenMetrics
    from runner.events.report import Report
    from runner.events.trace_context import TraceContext
    from runner.jobs.resumption import JobsPast
    from runner.record.fold import FailureObserver
    from runner.record.recorder import NoRecord
    from runner.record.resumption import TakenRun
    from runner.render.process import ObserverProcess
    from runner.spec.notify import UserConfig
    from runner.spec.plan import Plan
    from runner.watch.notifier import Notifier


@dataclass(slots=True)
class Watchers:
    """The processes beside a run that are told of it: those that show it, and the one that keeps its record."""

    observers: Sequence[ObserverProcess]
    recorder: NoRecord
    metrics: OpenMetrics | None
    trace: TraceContext | None
    """Where the run stands in a trace, if that is sent to somebody."""
    failures: FailureObserver
    """Not a process: the kinds of failures, for the end."""
    config: UserConfig
    notifier: Notifier | None = None
    """Once it is known whom the file wants to be told, too."""

    def write_events_to(self, path: Path | None) -> None:
        """Keep every event in a file as well, if one is asked for. Raises OSError."""
        if path is not None:
            self.observers[0].write_events_to(path)

    def abandon(self) -> None:
        """There is no run after all."""
        self.recorder.abandon()
        for observer in self.observers:
            observer.abandon()


_events = click.option(
    "--events",
    type=FILE,
    help="Write every event to this file, a JSON object a line; of run.progress at most one a second, no run.workers.",
)
_report = click.option("--report", "report_file", type=FILE, help="Write the report to this file as JSON.")
_html = click.option(
    "--html",
    type=FILE,
    help="Write the page of the run to this file at its end, whatever that is, as `mprun report` does.",
)
_log = click.option(
    "--log",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    envvar="MPRUN_LOG",
    help="What stderr gets: text, with tables at the end, or JSON lines alone. Of items that fail alike the first is"
    " told in full, then every ten seconds how many more; --events keeps each. auto is text, and no events of jobs;"
    " MPRUN_LOG in the environment says the same.",
)
_log_level = click.option(
    "--log-level",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least urgent events that are logged.",
)
_progress = click.option(
    "--progress/--no-progress", default=None, help="Show the live view; by default on a terminal."
)
_quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Log errors only; no live view, and no tables unless it fails: one line if items failed all the same.",
)

_record = click.option(
    "--record/--no-record",
    default=True,
    help="Keep what `mprun history` and `mprun show` tell of the run, under `.mprun` or `$MPRUN_HOME`; on by default.",
)

_metrics = click.option(
    "--metrics",
    metavar="HOST:PORT|FILE",
    multiple=True,
    help="Tell metrics while it runs: listen there for Prometheus, which asks for /metrics, or write them anew each"
    " second, and at the end, to FILE, whose name ends in .prom. Needs the extra `metrics`. May be repeated.",
)

_otel = click.option(
    "--otel/--no-otel",
    default=False,
    envvar="MPRUN_OTEL",
    help="Send spans and metrics to a collector of OpenTelemetry, by OTLP over HTTP, where the usual variables such as"
    " OTEL_EXPORTER_OTLP_ENDPOINT say. Needs the extra `otel`. MPRUN_OTEL=1 in the environment says the same.",
)


_bell = click.option(
    "--bell/--no-bell",
    default=None,
    help="Ring the bell of the terminal at the end, with a message where it can show one; `bell: true` in"
    " ~/.config/mprun/config.yaml does so each time.",
)


def how_shown(command: Decorated) -> Decorated:
    """Add the options that say what is told and kept of a run; their values are fields of `RunOptions`."""
    for option in (
        _bell,
        _record,
        _otel,
        _metrics,
        _quiet,
        _progress,
        _log_level,
        _log,
        _html,
        _report,
        _events,
    ):
        command = option(command)
    return command


_output = click.option(
    "--output",
    type=click.Choice(["stream", "group", "quiet", "json"]),
    help="How to show what jobs print: each line with its job's name, one job after the other, not at all, or as JSON"
    " events. By default stream on a terminal and group in a pipe.",
)
_jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="How many jobs run at once. By default one for each core.",
)
_junit = click.option("--junit", type=FILE, help="Write what became of the jobs to this file as JUnit XML.")
_keep_workspace = click.option(
    "--keep-workspace",
    is_flag=True,
    help="Keep the tree of each job that has one of its own and fails, to look at: until its run is pruned.",
)


def how_jobs_run(command: Decorated) -> Decorated:
    """Add the options that are for jobs alone; their values are fields of `RunOptions`."""
    for option in (_keep_workspace, _junit, _jobs, _output):
        command = option(command)
    return command


_only = click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    help="Run just this job, leg or glob, without what it needs: as if that had passed. May be repeated.",
)
_skip = click.option(
    "--skip",
    metavar="NAME",
    multiple=True,
    help="Leave out this job, leg or glob: what needs it runs as if it had passed, and what it alone needs does not"
    " run. May be repeated.",
)
_force = click.option(
    "-f",
    "--force",
    is_flag=True,
    help="Run the jobs though they are up to date, with those that they need.",
)

EXAMPLES = examples(
    "mprun run workflows/baozi.yaml",
    "mprun run workflows/baozi.yaml --param buns=5",
    "mprun run workflows/baozi.yaml --set stages.eater.count=4 --report r.json",
    "mprun run workflows/baozi.yaml --transport inline    in one process, for pdb",
    "mprun run workflows/baozi.yaml --log json 2> events.jsonl",
    "mprun run workflows/jobs-demo.yaml --output group --junit junit.xml",
    "mprun workflows/jobs-demo.yaml lint 'test*'      these, and what they need",
    "mprun workflows/jobs-demo.yaml --skip lint       all but that",
)


@click.command(epilog=EXAMPLES, cls=WithArguments, options_metavar="[OPTIONS]")
@workflow_file
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs)
@values
@click.option(
    "--transport", type=click.Choice(["leased", "joinable", "inline"]), help="Run on this transport instead."
)
@how_shown
@click.option(
    "--job",
    metavar="NAME",
    multiple=True,
    help="Run this job, or this leg such as 'test (3.11)', or all that are like a glob such as 'test*', and what they"
    " need. May be repeated.",
)
@_only
@_skip
@_force
@how_jobs_run
def command(
    file: Path, names: Sequence[str], params: Sequence[str], overrides: Sequence[str], **options: Any
) -> int:
    """Run a workflow to its end. FILE may be `-`, which is standard input; a JOB is the same as --job JOB.

    Without any JOB the jobs that `default` names run, or all that are not `manual`. `mprun list FILE` shows them. What
    stands behind `--` are the words of `${{ args }}` in the commands of the jobs: `mprun FILE test -- -k name`.

    The file is checked first; if anything is wrong, every problem is shown and nothing starts. stdout belongs
    to the handlers, and to what jobs print; events, the live view and the end of the run go to stderr.

    Ctrl-C stops the producers and has what is in the queues worked off, for limits.stop_timeout, usually 10s;
    jobs are stopped, and what cleans up after them still runs. Ctrl-C again ends everything at once.
    """
    from runner.cli.checking import JobsChoice

    chosen = RunOptions(**options)
    if chosen.transport:
        overrides = [*overrides, f"transport={chosen.transport}"]
    choice = JobsChoice(
        (*chosen.job, *names),
        chosen.jobs,
        only=chosen.only,
        skip=chosen.skip,
        args=arguments_given(),
        force=chosen.force,
    )
    return run_as_chosen(file, params, overrides, chosen, choice)


def run_as_chosen(
    file: Path,
    params: Sequence[str],
    overrides: Sequence[str],
    chosen: RunOptions,
    choice: JobsChoice,
    text: str | None = None,
) -> int:
    """Check a file, or the `text` that it once had, and run it as `chosen`. Return the exit code."""

    def prepare(*, show_warnings: bool) -> Prepared:
        from runner.cli.checking import checked_plan

        return Prepared(
            checked_plan(file, params, overrides, show_warnings=show_warnings, choice=choice, text=text)
        )

    return run_prepared(prepare, chosen)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be run, and what it takes over of a past run."""

    plan: Plan
    past: JobsPast | None = None
    taken: TakenRun | None = None
    """The run that is gone on with; None for a new one."""


def run_prepared(prepare: Callable[..., Prepared], chosen: RunOptions) -> int:
    """
    Run what `prepare` returns, as `chosen`. Return the exit code.

    It is called, with `show_warnings`, beside those who will show the run, which takes them a while to be ready for.
    """
    with refusals_told(chosen), watchers(chosen) as watching:
        # A pipe of JSON lines stays one: there `validate` is the place for warnings.
        prepared = prepare(show_warnings=chosen.log != "json" and not chosen.quiet)
        plan = prepared.plan
        _check_options_fit(plan, chosen)
        check_writable(chosen, watching.metrics)
        watching.write_events_to(chosen.events)
    from runner.process.signals import first_signal_ignored

    if plan.jobs and in_github(os.environ):
        from runner.cli.jobs.run import hide_secrets

        hide_secrets(plan.jobs, os.environ, output=chosen.output)
    resume_collection()
    if plan.transport == "inline":  # its handlers' threads are this process's
        click.get_current_context().meta[CLOSE_TIMEOUT] = plan.limits.asked_close

    # A signal that comes when the run is over must not cost its report: it only ends the wait for slow readers.
    with first_signal_ignored(and_all_after=True):
        report, lost = run_plan(prepared, watching, chosen)
        return finish(report, watching, chosen, lost)


def run_plan(prepared: Prepared, watching: Watchers, chosen: RunOptions) -> tuple[Report, list[str]]:
    """Run what is prepared, and write the files asked for; return what could not be written. Raises as `run`."""
    from runner.composition import run

    lost: list[str] = []
    wanted = (*prepared.plan.notify, *watching.config.notify)
    notifier = watching.notifier = open_notifier(wanted, watching.failures.rows)

    def keep_and_tell(report: Report) -> None:
        lost.extend(keep(report, chosen))
        if notifier is not None:
            notifier.end()

    if watching.metrics is not None:
        watching.metrics.tell()
    try:
        with refusals_told(chosen):
            report = run(
                replace(prepared.plan, keeps_trees=chosen.keep_workspace),
                [*watching.observers, watching.failures, *([] if notifier is None else [notifier])],
                keep_and_tell,
                watching.recorder,
                prepared.taken,
                prepared.past,
                trace=watching.trace,
            )
    except BaseException as error:
        watching.recorder.finish()
        tell_refused(notifier, error, quiet=True)
        raise
    return report, lost


def _check_options_fit(plan: Plan, chosen: RunOptions) -> None:
    asked = {"--output": chosen.output, "--junit": chosen.junit}
    given = [option for option, value in asked.items() if value is not None]
    if given and not plan.jobs:
        verb = "is" if len(given) == 1 else "are"
        raise UsageError(f"'{plan.path}' has stages and no jobs: {' and '.join(given)} {verb} for those")
    asking = [leg.id for job in plan.jobs for leg in job.legs if leg.interactive]
    if asking and str(plan.path) == "-":
        raise UsageError(
            f"job '{asking[0]}' reads what is typed, and the file itself came over standard input"
        )
    if plan.resume.required and not chosen.record:
        raise UsageError(
            f"'{plan.path}' says `resume: required`: with --no-record there is nothing to go on from; leave out one of "
            "the two"
        )


def check_writable(chosen: RunOptions, metrics: OpenMetrics | None = None) -> None:
    """Find out before anything starts that a file can't be written, not after an hour of work."""
    asked = {"--events": chosen.events, "--report": chosen.report_file, "--junit": chosen.junit}
    files = {option: path for option, path in {**asked, "--html": chosen.html}.items() if path is not None}
    others = () if metrics is None else metrics.files
    by_file: dict[Path, str] = {}
    for option, path in (*files.items(), *(("--metrics", path) for path in others)):
        other = by_file.get(path.absolute())
        by_file[path.absolute()] = option
        if other is not None:
            raise UsageError(f"{other} and {option} name the same file; give each its own")
    if chosen.html is not None:
        from runner.cli.watching.report import refuse_foreign

        refuse_foreign(chosen.html, "--html")
    for option, path in files.items():
        try:
            # Opening a pipe and closing it again would tell its reader that all has been said.
            if not path.exists() or path.is_file() or path.is_dir():
                path.open("ab").close()
        except OSError as error:
            raise UsageError(f"{option}: '{path}' can't be written: {error.strerror}") from error


@contextmanager
def watchers(chosen: RunOptions) -> Iterator[Watchers]:
    """Start what shows the run, to import what it needs beside the check, and its recorder. A refused run has none."""
    from runner.loader.user_config import read_user_config
    from runner.record.fold import FailureObserver
    from runner.record.recorder import NO_RECORD, open_recorder
    from runner.render.process import open_observers

    config = read_user_config(os.environ)
    recorder = open_recorder() if chosen.record and chosen.transport != "inline" else NO_RECORD
    try:
        metrics, trace = _open_metrics(chosen), _open_trace(chosen)
        observers = open_observers(
            stream=sys.stderr,
            log=chosen.log,
            level="error" if chosen.quiet else chosen.level,
            progress=False if chosen.quiet else chosen.progress,
            jobs=output_mode(chosen.output, quiet=chosen.quiet, log=chosen.log),
            metrics=None if metrics is None else metrics.targets,
            trace=trace,
        )
        if metrics is not None:
            metrics.close()
    except BaseException:
        recorder.abandon()
        raise
    watching = Watchers(observers, recorder, metrics, trace, FailureObserver(), config)
    try:
        yield watching
    except BaseException as error:
        watching.abandon()
        if isinstance(error, Exception):
            tell_refused(open_notifier(config.notify), error, quiet=True)
        raise


def _open_metrics(chosen: RunOptions) -> OpenMetrics | None:
    if not chosen.metrics:
        return None
    from runner.cli.watching.metrics import open_metrics

    return open_metrics(chosen.metrics, log=chosen.log, quiet=chosen.quiet)


def _open_trace(chosen: RunOptions) -> TraceContext | None:
    if not chosen.otel:
        return None
    from runner.cli.watching.tracing import open_trace

    return open_trace(os.environ)


def finish(report: Report, watching: Watchers, chosen: RunOptions, lost: Sequence[str]) -> int:
    """Show the report, and what is `lost` of it. The exit code is the run's own, unless that of a good run was lost."""
    from runner.process.signals import NobodyReads, first_signal_ignored

    observers = watching.observers
    try:
        if any(observer.was_interrupted for observer in observers) and not has_room(sys.stderr):
            raise NobodyReads  # the signal that ended the wait for the log is not to be waited for again
        with first_signal_ignored(lambda: not has_room(sys.stderr)):
            _show(report, watching, chosen)
            # By now it has written what it had, while the tables were made.
            watching.recorder.finish()
            for trouble in (*lost, *filter(None, [watching.recorder.trouble])):
                print_message(f"mprun: {trouble}")
            if chosen.log != "json" and (line := _way_on(report, watching.recorder)):
                print_message(line)
            if watching.config.bell if chosen.bell is None else chosen.bell:
                ring(report, sys.stderr)
        finish_notifier(watching.notifier, quiet=chosen.quiet or chosen.log == "json")
    except NobodyReads:
        abandon_output()
    except OSError:
        # The run is over and its exit code stands, whether or not anyone still reads, or the log's disk is full.
        discard_output()
    finally:
        watching.recorder.finish()
        if watching.notifier is not None:
            watching.notifier.finish()
    if chosen.html is not None:
        _write_page(report, chosen.html)
    return ExitCode.FAILED if lost and report.exit_code == ExitCode.DONE else report.exit_code


def _write_page(report: Report, file: Path) -> None:
    """Write the page of the run by its record, which is closed by now. What goes wrong is told, and changes nothing."""
    from runner.cli.watching.report import write_page_of

    if (trouble := write_page_of(report, file)) is not None:
        with suppress(OSError):  # nobody reads
            print_message(f"mprun: {trouble}")


def _way_on(report: Report, recorder: NoRecord) -> str | None:
    """Say how to go on with a run that has not come to its end; None where that would refuse, or do nothing."""
    if report.exit_code == ExitCode.DONE:
        return None
    hindrances = recorder.hindrances()
    if not hindrances:
        return f"resume with: mprun resume {report.run}" if report.resumable else None
    if report.exit_code != ExitCode.RESUME_REFUSED and all(each.can_be_asked for each in hindrances):
        return f"what has to be known before it is resumed: mprun resume {report.run} --check"
    return None


def keep(report: Report, chosen: RunOptions) -> list[str]:
    """Write the files that were asked for; return what could not be."""
    files: dict[str, tuple[Path, Callable[[Path], None]]] = {}
    if chosen.report_file is not None:
        files["report"] = chosen.report_file, partial(_write_report, report)
    if report.jobs is not None and chosen.junit is not None:
        from runner.cli.jobs.run import write_junit

        files["JUnit file"] = chosen.junit, partial(write_junit, report, report.jobs)
    lost = []
    for what, (path, write_to) in files.items():
        try:
            write_to(path)
        except OSError as error:
            lost.append(f"the {what} '{path}' can't be written: {error.strerror}")
    return lost


def _show(report: Report, watching: Watchers, chosen: RunOptions) -> None:
    text = chosen.log != "json"
    if report.jobs is not None:
        from runner.cli.jobs.run import show_jobs

        show_jobs(report, report.jobs, quiet=chosen.quiet, screen=chosen.log != "json", output=chosen.output)
    elif text and (report.exit_code != ExitCode.DONE or not chosen.quiet):
        from runner.render.summary import print_report

        print_report(report, sys.stderr, watching.failures.rows())
    elif text and any(queue.dead_lettered or queue.dropped for queue in report.queues):
        from runner.render.summary import print_losses

        print_losses(report, sys.stderr)
    for observer in watching.observers:
        if observer.trouble:
            print_message(f"mprun: {observer.trouble}")


def _write_report(report: Report, path: Path) -> None:
    text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")

"""`mprun run`: check, plan, run, report.

file ──► checked_plan ───────┬──► run(plan, observers) ──► Report ──► tables · report file · exit code
   └───► observers, forked ──┘
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from runner.cli.collector import hand_over
from runner.cli.options import FILE, examples, values, workflow_file
from runner.cli.outlet import in_github, outlet
from runner.cli.output import leave_quietly, say
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runner.observers import ObserverProcess
    from runner.plan import Plan
    from runner.report import Report


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks of a run, beyond the values of the file."""

    transport: str | None
    events: Path | None
    report_file: Path | None
    log: Literal["auto", "text", "json"]
    level: str
    progress: bool | None
    output: str | None
    junit: Path | None
    job: Sequence[str]
    jobs: int | None
    quiet: bool


EXAMPLES = examples(
    "mprun run workflows/baozi.yaml",
    "mprun run workflows/baozi.yaml --param buns=5",
    "mprun run workflows/baozi.yaml --set stages.eater.count=4 --report report.json",
    "mprun run workflows/baozi.yaml --transport inline       in one process, for pdb",
    "mprun run workflows/baozi.yaml --log json 2> events.jsonl",
    "mprun run workflows/jobs-demo.yaml --output group --junit junit.xml",
    "mprun run workflows/jobs-demo.yaml --job lint           that, and what it needs",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@values
@click.option(
    "--transport", type=click.Choice(["leased", "joinable", "inline"]), help="Run on this transport instead."
)
@click.option("--events", type=FILE, help="Write every event to this file, a JSON object a line.")
@click.option("--report", "report_file", type=FILE, help="Write the report to this file as JSON.")
@click.option(
    "--log",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="What stderr gets; auto is text on a terminal and JSON lines in a pipe.",
)
@click.option(
    "--log-level",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least urgent events that are logged.",
)
@click.option("--progress/--no-progress", default=None, help="Show the live view; by default on a terminal.")
@click.option(
    "--output",
    type=click.Choice(["stream", "group", "quiet", "json"]),
    help="How to show what jobs print: each line with its job's name, one job after the other, not at all, or as JSON"
    " events. By default stream on a terminal and group in a pipe.",
)
@click.option(
    "--job",
    metavar="NAME",
    multiple=True,
    help="Run only this job, or this leg such as 'test (3.11)', and what it needs. May be repeated.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="How many jobs run at once. By default one for each core.",
)
@click.option("--junit", type=FILE, help="Write what became of the jobs to this file as JUnit XML.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Log errors only; no live view, and no tables unless it fails."
)
def command(file: Path, params: Sequence[str], overrides: Sequence[str], **options: Any) -> int:
    """Run a workflow to its end.

    The file is checked first; if anything is wrong, every problem is shown and nothing starts. stdout belongs
    to the handlers, and to what jobs print; events, the live view and the end of the run go to stderr.

    Ctrl-C stops the producers and lets the rest finish; jobs are stopped, and what cleans up after them still
    runs. Ctrl-C again ends everything at once.
    """
    from runner.cli.checking import JobsChoice, checked_plan
    from runner.observers import wants_text

    chosen = RunOptions(**options)
    if chosen.transport:
        overrides = [*overrides, f"transport={chosen.transport}"]
    text = wants_text(sys.stderr, chosen.log)
    with _observers_ahead(chosen) as observers:
        # A pipe of JSON lines stays one: there `validate` is the place for warnings.
        shown = text and not chosen.quiet
        choice = JobsChoice(chosen.job, chosen.jobs)
        plan = checked_plan(file, params, overrides, show_warnings=shown, choice=choice)
        _check_meant_for(plan, chosen)
        _check_writable(chosen)
        if chosen.events is not None:
            observers[0].write_events_to(chosen.events)
    from runner.run import run
    from runner.signals import spared_once

    if plan.jobs and in_github(os.environ):
        from runner.cli.run_jobs import hide_secrets

        hide_secrets(plan.jobs, os.environ, output=chosen.output)
    hand_over()
    # A signal that comes when the run is over must not cost its report: it only ends the wait for slow readers.
    with spared_once():
        report = run(plan, observers)
        return _finish(report, observers, chosen, text=text)


def _check_meant_for(plan: Plan, chosen: RunOptions) -> None:
    asked = {"--output": chosen.output, "--junit": chosen.junit}
    given = [option for option, value in asked.items() if value is not None]
    if given and not plan.jobs:
        verb = "is" if len(given) == 1 else "are"
        raise UsageError(f"'{plan.path}' has stages and no jobs: {' and '.join(given)} {verb} for those")


def _check_writable(chosen: RunOptions) -> None:
    """Find out before anything starts that a file can't be written, not after an hour of work."""
    asked = {"--events": chosen.events, "--report": chosen.report_file, "--junit": chosen.junit}
    files = {option: path for option, path in asked.items() if path is not None}
    by_file: dict[Path, str] = {}
    for option, path in files.items():
        other = by_file.setdefault(path.absolute(), option)
        if other != option:
            raise UsageError(f"{other} and {option} name the same file; give each its own")
    for option, path in files.items():
        try:
            # Opening a pipe and closing it again would tell its reader that all has been said.
            if not path.exists() or path.is_file() or path.is_dir():
                path.open("ab").close()
        except OSError as error:
            raise UsageError(f"{option}: '{path}' can't be written: {error.strerror}") from error


@contextmanager
def _observers_ahead(chosen: RunOptions) -> Iterator[list[ObserverProcess]]:
    """Start what shows the run, to import what it needs beside the check. A run that is refused has none."""
    from runner.observers import open_observers

    observers = open_observers(
        stream=sys.stderr,
        log=chosen.log,
        level="error" if chosen.quiet else chosen.level,
        progress=False if chosen.quiet else chosen.progress,
        jobs=outlet(chosen.output, quiet=chosen.quiet, log=chosen.log),
    )
    try:
        yield observers
    except BaseException:
        for observer in observers:
            observer.abandon()
        raise


def _finish(report: Report, observers: Sequence[ObserverProcess], chosen: RunOptions, *, text: bool) -> int:
    """Show and keep the report. The exit code is the run's own, unless the report of a good run was lost."""
    failed = report.exit_code != ExitCode.DONE
    try:
        _show(report, observers, chosen, text=text)
    except OSError:
        # The run is over and its exit code stands, whether or not anyone still reads, or the log's disk is full.
        leave_quietly()
    kept = chosen.report_file is None or _write_report(report, chosen.report_file)
    if report.jobs is not None and chosen.junit is not None:
        from runner.cli.run_jobs import write_junit

        kept &= write_junit(report, report.jobs, chosen.junit)
    return report.exit_code if failed or kept else ExitCode.FAILED


def _show(report: Report, observers: Sequence[ObserverProcess], chosen: RunOptions, *, text: bool) -> None:
    if report.jobs is not None:
        from runner.cli.run_jobs import show_jobs

        show_jobs(report, report.jobs, quiet=chosen.quiet, screen=chosen.log != "json", output=chosen.output)
    elif text and (report.exit_code != ExitCode.DONE or not chosen.quiet):
        from runner.tables import print_report

        print_report(report, sys.stderr)
    for observer in observers:
        if observer.trouble:
            say(f"mprun: {observer.trouble}")


def _write_report(report: Report, path: Path) -> bool:
    text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False, default=str) + "\n"
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        say(f"mprun: the report '{path}' can't be written: {error.strerror}")
        return False
    return True

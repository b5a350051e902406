"""`mprun show`: one run of the past: its end again, its events, its failures by kind, its file.

record ──► report_of ──► the tables of the end      ──► LogObserver ──► the log      ──► kinds of failures
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from runner.cli.options import FILE, examples, output_format
from runner.cli.output import write
from runner.cli.past_runs.history import run_as_dict, when
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, how_killed, look_into, report_of, way_on
from runner.errors import ExitCode, UsageError
from runner.events.report import Report
from runner.record.reader import RunView, as_event
from runner.record.summary import KILLED, RUNNING, RunSummary
from runner.text import colour_allowed, visible, write_document
from runner.units import counted

_MOST_SAMPLES = 5
_TOLD = (
    "argv",
    "cwd",
    "host",
    "params",
    "overrides",
    "args",
    "trigger",
    "transport",
    "sha256",
    "modules",
    "versions",
    "journal",
)
EXAMPLES = examples(
    "mprun show latest               the end of the last run again",
    "mprun show 3f2a --failures      what failed, by kind, with samples",
    "mprun show baozi --events       its log",
    "mprun show baozi --file > as-it-was.yaml",
    "mprun show baozi --trace out.json      for ui.perfetto.dev",
)


@click.command(epilog=EXAMPLES, help=f"Show a run of the past, as it was shown at its end.\n\n{RUN_HELP}")
@click.argument("run")
@click.option(
    "--events", is_flag=True, help="Its events, as its log had them; of failures of items 100 a kind."
)
@click.option("--failures", is_flag=True, help="What failed, by kind, with some of the items.")
@click.option("--file", "show_file", is_flag=True, help="The workflow file as it was.")
@click.option(
    "--trace",
    type=FILE,
    help="Write it to this file as trace events, to be looked at in ui.perfetto.dev; `-` is standard output.",
)
@output_format(["text", "json"])
def command(run: str, events: bool, failures: bool, show_file: bool, trace: Path | None, form: str) -> int:
    if sum((events, failures, show_file, trace is not None)) > 1:
        raise UsageError("--events, --failures, --file and --trace are shown one at a time")
    summary, run_folder = chosen_run(run)
    with look_into(summary, run_folder) as view:
        if trace is not None:
            _write_trace(summary, view, trace)
        elif events:
            _show_events(view, form)
        elif failures:
            _show_failures(view, form)
        elif show_file:
            _show_file(view, form)
        elif form == "json":
            told = {key: value for key, value in view.facts().items() if key in _TOLD}
            document = {**run_as_dict(summary), **told, "report": report_of(summary, view).as_dict()}
            write(_json(document))
        else:
            _show_end(summary, report_of(summary, view), view)
    return ExitCode.DONE


def _show_end(run: RunSummary, report: Report, view: RunView) -> None:
    end = f", ended {when(run.ended)}" if run.outcome not in (RUNNING, KILLED) else ""
    write(f"run {run.id} of {visible(run.workflow)}: {run.outcome}; began {when(run.began)}{end}\n")
    if trigger := view.facts().get("trigger"):
        write(f"it was begun by `mprun watch`, as {visible(str(trigger))}\n")
    if run.resumable is not None and run.outcome != KILLED:
        write(f"{way_on(run)}\n")
    if run.outcome == KILLED and report.jobs is not None:
        write(f"{how_killed(run)}\n")  # of stages it is the reason that stands below
    if run.broke_off is not None and run.done is None:
        write(f"its last numbers are not known: these are of {when(run.broke_off)}\n")
    write("\n")
    if report.jobs is not None:
        from runner.cli.jobs.run import show_screen

        show_screen(report, report.jobs, sys.stdout)
        return
    if run.incarnations > 1 and any(stage.p95_seconds is not None for stage in report.stages):
        write(
            f"p50 and p95 of a stage are over all {run.incarnations} incarnations, its other columns over the last\n\n"
        )
    from runner.render.summary import print_report

    print_report(report, sys.stdout, view.kinds())


def _show_events(view: RunView, form: str) -> None:
    from runner.render.log import LogObserver

    colors = colour_allowed(sys.stdout)
    log = (
        LogObserver(sys.stdout.buffer, "json", "debug", each_failure=True)
        if form == "json"
        else LogObserver(sys.stdout.buffer, "text", "info", colors=colors)
    )
    for stored in view.events():
        event = as_event(stored, view.run)
        if event is not None:
            log.observe(event)


def _show_failures(view: RunView, form: str) -> None:
    kinds = view.kinds()
    if form == "json":
        write(_json([{key: value for key, value in kind.items() if key != "print"} for kind in kinds]))
    elif not kinds:
        write("nothing failed\n")
    else:
        write("\n".join("\n".join(_kind_text(kind)) for kind in kinds))


def _kind_text(kind: dict[str, Any]) -> list[str]:
    """Show a kind of failures for people; what a handler raised is indented, so that it can't look like ours."""
    last = f", last {when(kind['last'])}" if kind["n"] > 1 else ""
    stage = f" in stage {kind['stage']}" if kind["stage"] else ""
    lines = [
        visible(
            f"kind {kind['id']}: {counted(kind['n'], 'failure')}{stage}, first {when(kind['first'])}{last}"
        )
    ]
    lines += [f"  error:  {visible(kind['error'])}"]
    samples = kind["samples"]
    for sample in samples[:_MOST_SAMPLES]:
        lines.append(f"  item:   {visible(sample['item'])}")
    if kind["n"] > _MOST_SAMPLES and samples:
        lines.append(f"  and {counted(kind['n'] - min(len(samples), _MOST_SAMPLES), 'more item')}")
    return [*lines, *(f"    {visible(line)}" for line in kind["traceback"].rstrip().splitlines()), ""]


def _show_file(view: RunView, form: str) -> None:
    facts = view.facts()
    text, included = facts.get("text") or "", facts.get("included") or {}
    if form == "json":
        write(_json({"file": facts.get("file"), "text": text, "included": included}))
        return
    write(text)
    for name, inner in included.items():
        write(f"\n# included: {visible(name)}\n{inner}")


def _write_trace(run: RunSummary, view: RunView, file: Path) -> None:
    from runner.telemetry.chrome_trace import TracedRun, trace_text

    with view.transaction():
        events, series = list(view.events()), view.all_series()
        heard = [view.last_moment(each.n) for each in view.incarnations()]
    ended = max(at for at in (run.began, run.ended, *heard) if at is not None)
    text = "".join(trace_text(TracedRun(run.id, run.workflow, run.began, ended, events, series)))
    if str(file) == "-":
        write(text)
        return
    try:
        write_document(file, text.encode())
    except OSError as error:
        raise UsageError(f"--trace: '{file}' can't be written: {error.strerror}") from error


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

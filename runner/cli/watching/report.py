"""`mprun report` and `mprun plot`: a run as one page to be read and mailed, and its charts as files.

RUN ──► its record ──► RunPage ──┬──► whole_page ──► FILE.html
                                 └──► plot ────────► FILE.svg
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner import __version__
from runner.cli.options import FILE, examples
from runner.cli.output import print_message, write
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, how_killed, look_into, report_of, way_on
from runner.errors import ExitCode, MprunError, UsageError
from runner.text import visible, write_atomically

if TYPE_CHECKING:
    from runner.events.report import Report
    from runner.record.summary import RunSummary
    from runner.render.page.model import RunPage

STDOUT = Path("-")
_BEGINNING = 4096
"""Bytes of a file in which it says what it is."""


@click.command(
    "report",
    epilog=examples(
        "mprun report latest                  WORKFLOW-ID.html, of the last run",
        "mprun report baozi -o baozi.html --open",
        "mprun report 3f2a -o - | gzip > page.html.gz",
    ),
    help="Write the page of a run: what it came to, what held it back, charts, failures, its file. One HTML file that"
    " needs nothing else, also of a run that goes on, as it is now, or was killed.\n\n"
    f"{RUN_HELP} An older page is overwritten, another file is not.",
)
@click.argument("run")
@click.option("-o", "--output", "file", type=FILE, help="Where to; `-` is standard output.")
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
def report(run: str, file: Path | None, opened: bool) -> int:
    if opened and file == STDOUT:
        raise UsageError("--open shows a file, and `-o -` writes none; leave out one of the two")
    place, said = write_page(run, file)
    if place != STDOUT:
        write(f"{said}\n")
    if opened:
        _show(place)
    return ExitCode.DONE


@click.command(
    "plot",
    epilog=examples(
        "mprun plot latest rate -o rate.svg     items a second",
        "mprun plot 3f2a fill -o fill.svg       what waited in queues",
        "mprun plot 3f2a workers -o - | display",
    ),
    help="Draw one thing of a run as an SVG file: items a second, what waited in queues, how busy stages and workers"
    f" were, or how long items took.\n\n{RUN_HELP}",
)
@click.argument("run")
@click.argument("what", type=click.Choice(["rate", "fill", "busy", "workers", "latency"]))
@click.option("-o", "--output", "file", type=FILE, required=True, help="Where to; `-` is standard output.")
def plot(run: str, what: str, file: Path) -> int:
    from runner.render.page import plots

    refuse_foreign(file, "-o")
    page = _recorded(run)
    if page.report.jobs is not None:
        raise UsageError(f"run '{page.state.run}' is one of jobs: its page has when each ran: `mprun report`")
    try:
        text = plots.draw_plot(page, what)
    except plots.NothingToPlot as nothing:
        raise MprunError(f"run '{page.state.run}' can't be plotted so: {nothing}") from nothing
    _put(file, text)
    if file != STDOUT:
        write(f"wrote '{visible(str(file))}'\n")
    return ExitCode.DONE


def write_page(run: str, file: Path | None = None) -> tuple[Path, str]:
    """Write the page of the run that a word means, unless a file is given under a name of its own; return where."""
    if file is not None:
        refuse_foreign(file, "-o")
    page = _recorded(run)
    place = file or Path(_file_name(page))
    if file is None:
        refuse_foreign(place, "-o")
    _put(place, page_text(page))
    return place, f"wrote the page of run {page.state.run} to '{visible(str(place))}'"


def _recorded(word: str) -> RunPage:
    from runner.render.page.recorded import recorded_page

    summary, run_folder = chosen_run(word)
    with look_into(summary, run_folder) as view:
        return recorded_page(summary, view, report_of(summary, view), _note(summary))


def _note(summary: RunSummary) -> str | None:
    from runner.record.summary import KILLED, RUNNING

    match summary.outcome:
        case str(outcome) if outcome == RUNNING:
            return "It goes on: all numbers are of the moment when this page was made."
        case str(outcome) if outcome == KILLED:
            return how_killed(summary)
    return way_on(summary) if summary.resumable is not None else None


def page_text(page: RunPage) -> str:
    """Return the page as the text of a file, with a line of what made it and when."""
    from runner.render.page.document import whole_page

    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return whole_page(page, f"Made by mprun {__version__} at {now}.")


def _file_name(page: RunPage) -> str:
    workflow = re.sub(r"[^\w.-]+", "-", page.report.workflow).strip("-.")
    return "-".join(filter(None, (workflow, page.state.run))) + ".html"


def _show(place: Path) -> None:
    import webbrowser

    if not webbrowser.open(place.absolute().as_uri()):
        print_message("mprun: there is no browser that could show it")


# Files.


def refuse_foreign(file: Path, option: str) -> None:
    """Refuse to write over what is neither a page nor a plot of ours. Raises UsageError."""
    if file == STDOUT:
        if option == "--html":
            raise UsageError("--html writes a file: standard output belongs to the handlers")
        return
    try:
        if file.is_dir():
            raise UsageError(f"{option}: '{file}' is a folder; name a file in it")
        if not file.parent.is_dir():
            raise UsageError(f"{option}: '{file}' can't be written: there is no folder '{file.parent}'")
        if not file.is_file():
            return
        with file.open("rb") as there:
            beginning = there.read(_BEGINNING)
    except OSError as error:
        raise UsageError(f"{option}: '{file}' can't be written: {error.strerror}") from error
    if beginning and not _is_ours(beginning):
        raise UsageError(
            f"{option}: '{file}' is there, and no page or plot of mprun's: it is left as it is; name another file"
        )


def _is_ours(beginning: bytes) -> bool:
    """Say by the beginning of a file whether mprun has written it as a page or a plot."""
    from runner.render.page import document, svg

    return document.is_page(beginning) or svg.is_picture(beginning)


def _put(file: Path, text: str) -> None:
    if file == STDOUT:
        write(text)
        return
    try:
        put(file, text)
    except OSError as error:
        raise MprunError(f"'{file}' can't be written: {error.strerror}") from error


def put(file: Path, text: str) -> None:
    """Write a file whole or not at all; a device is written to as it is. Raises OSError."""
    data = text.encode("utf-8", "backslashreplace")
    if file.exists() and not file.is_file():
        file.write_bytes(data)
    else:
        write_atomically(file, data)


def write_page_of(report: Report, file: Path) -> str | None:
    """Write the page of a run that has just ended; return what went wrong, which is no reason for another exit code."""
    try:
        refuse_foreign(file, "--html")
        put(file, page_text(_page_of(report)))
    except OSError as error:
        return f"the page '{file}' can't be written: {error.strerror}"
    except MprunError as error:
        return f"the page is not written: {error}"
    except Exception as error:  # a fault in it is no reason for the run to end otherwise than it did
        return f"the page '{file}' can't be made: {type(error).__name__}: {error}"
    return None


def _page_of(report: Report) -> RunPage:
    from runner.record.reader import RecordDamaged, RunView
    from runner.record.summary import summarize_run
    from runner.render.page.recorded import recorded_page, unrecorded_page
    from runner.store.run_folder import RunFolder, home

    run_folder = RunFolder(report.run, home())
    try:
        summary = summarize_run(run_folder)
        if summary is not None and summary.incarnations:
            with RunView(run_folder.path) as view:
                return recorded_page(summary, view, report_of(summary, view), _note(summary))
    except RecordDamaged:  # of which a warning tells
        pass
    return unrecorded_page(report)

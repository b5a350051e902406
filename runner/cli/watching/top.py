"""`mprun top`: a run as it goes on, on a terminal of its own; or as it is at one moment, for a pipe.

RUN ──► RunWatch ──┬── --once ──► lines, or JSON
                   └── TopSession on a TopTerminal ── the run's end ──► its last lines, on the normal screen
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import click

from runner.cli.options import examples, output_format
from runner.cli.output import write
from runner.errors import ExitCode, UsageError
from runner.record.summary import summarize_run
from runner.render.tables import width_of
from runner.render.top.drawing import drawn, knows_utf8
from runner.render.top.parts import eta_words
from runner.render.top.screens import screen_lines
from runner.render.top.view import Beside, Surface, View
from runner.store.discovery import running_folders
from runner.store.run_folder import RunFolder, join_ids
from runner.text import colour_allowed
from runner.units import duration
from runner.watch.client import RunWatch, find_watchable
from runner.watch.state import RunState

_LEAST_INTERVAL = 0.1
_WIDTH_OF_A_PIPE = 120
EXAMPLES = examples(
    "mprun top                     the run under way in this folder",
    "mprun top shop                the last run of a workflow, or one by its id",
    "mprun top --once              one look, as text, for a pipe or a log",
    "mprun top --once --format json | jq '.stages[] | {name, busy_share}'",
)


def _as_interval(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if seconds < _LEAST_INTERVAL:
        raise click.BadParameter(f"expected {_LEAST_INTERVAL:g}s or longer, got '{text}'")
    return seconds


@click.command("top", epilog=EXAMPLES)
@click.argument("run", required=False)
@click.option("--once", is_flag=True, help="Print one look, and end. It needs no terminal.")
@output_format(["text", "json"])
@click.option(
    "--interval",
    metavar="TIME",
    default="1s",
    show_default=True,
    callback=_as_interval,
    help="How often to draw it anew.",
)
@click.option("--read-only", "is_read_only", is_flag=True, help="Without the keys that change the run.")
def command(run: str | None, once: bool, form: str, interval: float, is_read_only: bool) -> int:
    """Watch a run: what each stage, queue and worker does, what holds it up, what fails.

    RUN is the beginning of its id, the name of its workflow, whose last run is meant, or `latest`; without it, the only
    one under way, or one to choose from a list. It may have been started anywhere, with nohup too.

    Keys: ↑↓ choose a row, ⏎ looks into it, ⎋ goes back, f shows failures, + and − scale a stage, s stops the run (it
    asks first), ? shows all of them, q leaves. The run goes on without top. When the run ends, top ends too and leaves
    the last table; its exit code is 0 whatever came of the run. Of a run that is over, the table is printed at once.
    """
    if form == "json" and not once:
        raise UsageError("a document is of one moment: `--format json` goes with `--once`")
    if not once and run is None and len(running := running_folders()) > 1:
        if not sys.stdout.isatty():
            raise UsageError(f"several runs are under way: {join_ids(running)}; name one by its id")
        return _watch_live(None, running, interval=interval, is_read_only=is_read_only)
    with RunWatch(find_watchable(run)) as watch:
        if form == "json":
            _print_json(watch.state)
        elif once or watch.is_over:
            _print_lines(watch.state)
        else:
            return _watch_live(watch, (), interval=interval, is_read_only=is_read_only)
    return ExitCode.DONE


def _watch_live(
    watch: RunWatch | None, running: Sequence[RunFolder], *, interval: float, is_read_only: bool
) -> int:
    from runner.cli.watching.top_session import TopSession
    from runner.cli.watching.top_terminal import TopTerminal

    runs = [summary for folder in running if (summary := summarize_run(folder)) is not None]
    session = TopSession(
        watch, runs, interval=interval, colors=colour_allowed(sys.stdout), is_read_only=is_read_only
    )
    with TopTerminal() as terminal:
        ended = session.run(terminal)
    if ended is not None:
        _print_lines(ended)
    return ExitCode.DONE


def _print_lines(state: RunState) -> None:
    columns = width_of(sys.stdout) or _WIDTH_OF_A_PIPE
    surface = Surface(columns, None, time.time(), has_keys=False)
    lines = screen_lines(state, View(), surface, Beside(eta=eta_words(state)))
    shown = drawn(lines, columns, colors=colour_allowed(sys.stdout), utf8=knows_utf8())
    write("".join(f"{line.rstrip()}\n" for line in shown))


def _print_json(state: RunState) -> None:
    from runner.watch.snapshot import snapshot

    write(json.dumps(snapshot(state, time.time()), indent=2, ensure_ascii=False) + "\n")

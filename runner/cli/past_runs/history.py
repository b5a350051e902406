"""`mprun history`: the runs that were started from this folder.

records ──► runs_in ──► the last 20 ──► table · JSON · CSV
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import click

from runner.cli.options import FILE, examples, output_format
from runner.cli.output import print_message, write
from runner.errors import MprunError, UsageError
from runner.record.history import find_run, runs_in, unique_prefixes
from runner.record.pruning import candidates, choose, remove_runs
from runner.record.summary import RUNNING, RunSummary
from runner.render.tables import table, width_of
from runner.spec.suggestions import did_you_mean
from runner.store.hidden_outputs import hidden_by_runs, still_there
from runner.store.run_folder import RunFolder, home
from runner.text import colour_allowed, visible
from runner.units import counted, duration, format_size, rough_duration

_DAY = 86400.0
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
EXAMPLES = examples(
    "mprun history                   the last 20 runs",
    "mprun history baozi --failed    of one workflow those that did not end well",
    "mprun history --since 7d --format csv",
)


class HistoryGroup(click.Group):
    """A group where a word that is none of its commands, and every option, means the list of runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` where nothing else is asked for."""
        known = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])


@click.group(cls=HistoryGroup, epilog=EXAMPLES, invoke_without_command=False)
def command() -> None:
    """List the runs that were started from this folder, the newest last.

    `mprun history` is `mprun history list`, whose options `mprun history list --help` tells. Each run leaves a record
    under `.mprun`, or `$MPRUN_HOME`, but with `--no-record`, under `transport: inline`, and where a program starts it.
    A run whose runner was killed shows as killed at once.
    """


@command.command("prune", short_help="Remove the records of old runs.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@output_format(["text", "json"])
def prune_runs(dry_run: bool, form: str) -> int:
    """Remove the records of old runs, as the end of a run does once a day.

    200 runs stay, of 2 GB together, for 60 days; the oldest go first. What runs stays, what is pinned, what was killed
    less than 14 days ago, of each workflow the last run of these days that can be gone on with, and what has dead
    letters that were not replayed. With a run that had not ended well goes what its sinks had hidden beside what
    they wrote, for `mprun resume` alone; what they wrote stays.
    """
    place = home()
    now = time.time()
    found = candidates(place, now)
    chosen = choose(found, now)
    hidden = hidden_by_runs(place, [run.id for run in chosen])
    going = chosen if dry_run else remove_runs(place, chosen)
    outputs = {run.id: [str(each) for each in hidden.get(run.id, ())] for run in going}
    left = [] if dry_run else [str(each) for run in going for each in still_there(hidden.get(run.id, ()))]
    if form == "json":
        kept = {run.id: run.needed for run in found if run.needed is not None}
        told = {
            "removed": [run.id for run in going],
            "bytes": sum(run.bytes for run in going),
            "needed": kept,
            "outputs": sorted(set(chain(*outputs.values())) - set(left)),
            "left": left,
        }
        write(json.dumps({**told, "dry_run": dry_run}, indent=2) + "\n")
    else:
        size = format_size(sum(run.bytes for run in going))
        for run in going:
            write(f"{run.id}  ended {when(run.ended)}  {format_size(run.bytes)}\n")
            for output in outputs[run.id]:
                write(f"  {'but not' if output in left else 'with'} {visible(output)}\n")
        did = "would remove" if dry_run else "removed"
        print_message(f"{did} {counted(len(going), 'record')} of {len(found):,}, {size}")
        if left:
            print_message("mprun: what is told of with `but not` could not be removed: take it away by hand")
    return 0


@command.command("pin", short_help="Have the record of a run stay.")
@click.argument("run")
@output_format(["text", "json"])
def pin(run: str, form: str) -> int:
    """Have the record of RUN stay, however old it gets and whatever room it takes, until it is unpinned.

    RUN is the beginning of its id, the name of its workflow, whose last run is meant, or `latest`.
    """
    return _set_pin(run, form, wanted=True)


@command.command("unpin", short_help="Have the record of a run go in its time.")
@click.argument("run")
@output_format(["text", "json"])
def unpin(run: str, form: str) -> int:
    """Have the record of RUN go when it is old enough, as those of other runs do."""
    return _set_pin(run, form, wanted=False)


def _set_pin(word: str, form: str, *, wanted: bool) -> int:
    place = home()
    run = find_run(word, runs_in(place))
    try:
        RunFolder(run.id, place).pin(wanted)
    except OSError as error:
        raise MprunError(
            f"the folder of run '{run.id}' can't be written: {error.strerror or error}"
        ) from error
    said = f"run {run.id} is {'pinned' if wanted else 'not pinned'}"
    return _told(form, said, {"run": run.id, "pinned": wanted})


def _told(form: str, text: str, document: Mapping[str, Any]) -> int:
    """Say to people or to programs what was done."""
    if form == "json":
        write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        print_message(text)
    return 0


@command.command("export", short_help="Write a run to a file, to be looked at elsewhere.")
@click.argument("run")
@click.option(
    "-o", "--output", "file", type=FILE, help="The file to write; without it, run-ID.zip in this folder."
)
@output_format(["text", "json"])
def export(run: str, file: Path | None, form: str) -> int:
    """Write the record of RUN, which must be over, to a new file: its database, dead letters and logs of jobs.

    RUN is the beginning of its id, the name of its workflow, whose last run is meant, or `latest`. A record has the
    workflow file, what was given by --param, and reprs of items; secrets of jobs are masked in it.
    """
    from runner.record.archive import export_run

    place = home()
    chosen = find_run(run, runs_in(place))
    if chosen.outcome == RUNNING:
        raise UsageError(f"run '{chosen.id}' is under way: it can be exported once it is over")
    target = file or Path(f"run-{chosen.id}.zip")
    size = export_run(RunFolder(chosen.id, place), target)
    said = f"wrote run {chosen.id} to '{target}', {format_size(size)}"
    return _told(form, said, {"run": chosen.id, "file": str(target), "bytes": size})


@command.command("import", short_help="Take in a run that was exported.")
@click.argument("file", type=FILE)
@output_format(["text", "json"])
def import_(file: Path, form: str) -> int:
    """Put the run in FILE, which `mprun history export` has written, among those of this folder."""
    from runner.record.archive import import_run

    run = import_run(file, home())
    return _told(form, f"imported run {run}; `mprun show {run}` shows it", {"run": run})


@command.command("list")
@click.argument("workflow", required=False)
@click.option(
    "--last", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many runs."
)
@click.option("--failed", is_flag=True, help="Only runs that did not end well, killed ones among them.")
@click.option("--since", metavar="WHEN", help="Only runs that began since: 90m, 7d, or 2026-11-30.")
@output_format(["table", "json", "csv"])
def list_runs(workflow: str | None, last: int, failed: bool, since: str | None, form: str) -> int:
    """List runs, the newest last; of WORKFLOW only those of one workflow.

    ITEMS are those that came to the end of their way, or jobs that passed, and `…` where nobody could write down how
    many; RESUMED, which is there where any was, is how often `mprun resume` went on with a run; RECORD, where any is,
    whether one is incomplete, or lost, of which `mprun show` says why; PINNED, where any is, whether `mprun history
    pin` has it stay. On a terminal the part of an id that is enough to name the run is bold.
    """
    place = home()
    known = runs_in(place)
    began = 0.0 if since is None else moment(since, time.time())
    chosen = [run for run in known if run.began >= began and not (failed and run.is_good)]
    if workflow is not None:
        chosen = _of_workflow(workflow, chosen, known)
    shown = chosen[-last:]
    if form == "json":
        write(json.dumps([_listed(run, place) for run in shown], indent=2, ensure_ascii=False) + "\n")
    elif form == "csv":
        write(_as_csv([_listed(run, place) for run in shown]))
    elif shown:
        pinned = {run.id for run in shown if RunFolder(run.id, place).is_pinned}
        write(_as_table(shown, unique_prefixes(run.id for run in known), pinned))
    else:
        print_message(
            "there is no record of such a run here" if known else "there is no record of any run here"
        )
    return 0


def run_as_dict(run: RunSummary) -> dict[str, Any]:
    """Return what programs are told of a run."""
    return {**asdict(run), "seconds": round(run.seconds, 3)}


def _listed(run: RunSummary, place: Path) -> dict[str, Any]:
    """Add what its folder tells."""
    run_folder = RunFolder(run.id, place)
    return {**run_as_dict(run), "bytes": run_folder.size(), "pinned": run_folder.is_pinned}


def moment(text: str, now: float) -> float:
    """
    Return the moment that `--since` means: so long before `now`, or a date with or without a time of day.

    Raises:
        UsageError: it is neither.
    """
    if found := re.fullmatch(r"(\d+)d", text):
        return now - int(found[1]) * _DAY
    try:
        return now - duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        message = (
            f"--since: expected how long ago, as in 90m or 7d, or a date such as 2026-11-30, got '{text}'"
        )
        raise UsageError(message) from None


def when(at: float | None) -> str:
    """Show a moment for people, by the clock of this place."""
    return "-" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def _of_workflow(
    workflow: str, chosen: Sequence[RunSummary], known: Sequence[RunSummary]
) -> list[RunSummary]:
    names = dict.fromkeys(run.workflow for run in known)
    if workflow not in names:
        nearest = did_you_mean(workflow, names)
        raise UsageError(
            f"no run of a workflow '{workflow}' is recorded here" + (f"; {nearest}" if nearest else "")
        )
    return [run for run in chosen if run.workflow == workflow]


_COLUMNS = ("RUN", "WORKFLOW", "BEGAN", "TOOK", "OUTCOME", "EXIT", "ITEMS", "FAILED")


def _as_table(runs: Sequence[RunSummary], prefixes: dict[str, int], pinned: Collection[str]) -> str:
    rows = [list(_COLUMNS), *map(_row, runs)]
    if any(run.incarnations > 1 for run in runs):
        _add_column(rows, ["RESUMED", *(str(max(run.incarnations - 1, 0)) for run in runs)])
    if any(run.trouble for run in runs):
        _add_column(rows, ["RECORD", *(_record_of(run) for run in runs)])
    if pinned:
        _add_column(rows, ["PINNED", *("yes" if run.id in pinned else "-" for run in runs)])
    lines = table(rows, width_of(sys.stdout))
    if colour_allowed(sys.stdout):
        lines = [_with_bold_prefix(line, prefixes) for line in lines]
    return "\n".join(lines) + "\n"


def _row(run: RunSummary) -> list[str]:
    return [
        run.id,
        run.workflow,
        when(run.began),
        rough_duration(run.seconds),
        run.outcome,
        "-" if run.exit_code is None else str(run.exit_code),
        _count(run.done),
        _count(run.failed),
    ]


def _count(number: int | None) -> str:
    return "…" if number is None else f"{number:,}"


def _record_of(run: RunSummary) -> str:
    if run.trouble is None:
        return "-"
    return "incomplete" if run.incarnations else "lost"


def _add_column(rows: Sequence[list[str]], cells: Sequence[str]) -> None:
    for row, cell in zip(rows, cells, strict=True):
        row.append(cell)


def _with_bold_prefix(line: str, prefixes: dict[str, int]) -> str:
    length = prefixes.get(line.partition(" ")[0], 0)
    return f"{_BOLD}{line[:length]}{_PLAIN}{line[length:]}" if length else line


def _as_csv(runs: Sequence[dict[str, Any]]) -> str:
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=list(runs[0]) if runs else ["id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(runs)
    return lines.getvalue()

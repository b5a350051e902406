"""`mprun dlq`: the dead letters of runs: list them, look at one, put them back.

ls ──► stages and counts      show ──► one letter      replay ──► a run from the failed stage on
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import FILE, RunOptions, examples, output_format, values
from runner.cli.output import print_message, write
from runner.cli.refusals import refusals_told
from runner.cli.run import Prepared, check_writable, finish, how_shown, run_plan, watchers
from runner.errors import MprunError, UsageError
from runner.render.tables import table, width_of
from runner.spec.suggestions import did_you_mean
from runner.store.dead_letters import (
    DeadLetter,
    DeadLetterQueue,
    dead_letter_queues,
    find_dead_letter_queues,
    replay_spec,
    source_name,
)
from runner.store.discovery import running_folders
from runner.text import describe_error, safe_repr, visible
from runner.units import counted
from runner.watch.letter_kinds import letter_kinds, queues_of_kind

if TYPE_CHECKING:
    from runner.events.report import Report
    from runner.spec.model import WorkflowSpec

EXAMPLES = examples(
    "mprun dlq ls                          runs, stages, how many letters",
    "mprun dlq ls 3f2a --kinds             what they failed on: kinds, and counts",
    "mprun dlq show 3f2a --stage eater     the first letter of a stage",
    "mprun dlq show 3f2a --stage eater --number 4 --format json",
    "mprun dlq replay 3f2a                 put all of them back where they failed",
    "mprun dlq replay 3f2a --stage eater fixed.yaml",
    "mprun dlq replay 3f2a --kind 2        those alone that failed so",
    "mprun dlq replay 3f2a --stage eater --number 4",
    "mprun dlq export 3f2a > letters.jsonl",
    "mprun dlq rm 3f2a                     once they are replayed",
)
_stage = click.option("--stage", metavar="STAGE", help="Only the letters of this stage.")
_kind = click.option(
    "--kind",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only letters that failed so: a number that `mprun dlq ls RUN --kinds` and `mprun show RUN --failures` tell.",
)
_trust = click.option(
    "--trust",
    "trusted",
    is_flag=True,
    help="Unpickle also letters that were not written where they lie: they run code of whoever brought them.",
)


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Look at dead letters, and put them back into the stage that failed on them.

    An item becomes a dead letter where its stage says `on_error: dead_letter` and its attempts are used up, or where
    it was in hand each time when workers died. Letters stay under `.mprun`, or `$MPRUN_HOME`, until `mprun dlq rm`.

    RUN, in each command, is the beginning of a run's id.
    """


@command.command("ls")
@click.argument("run", required=False)
@click.option("--kinds", is_flag=True, help="A line for each kind of failure, with its number.")
@output_format(["text", "json"])
def list_queues(run: str | None, kinds: bool, form: str) -> int:
    """List the stages that have dead letters, run by run."""
    queues = dead_letter_queues() if run is None else find_dead_letter_queues(run)
    rows = _rows_of_kinds(queues) if kinds else _rows_of_stages(queues)
    if form == "json":
        write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    elif rows:
        write(_table(rows))
    else:
        print_message("there are no dead letters here")
    return 0


def _rows_of_stages(queues: Sequence[DeadLetterQueue]) -> list[dict[str, Any]]:
    return [
        {
            "run": queue.run_folder.run,
            "workflow": queue.letters[0].workflow,
            "stage": queue.stage,
            "letters": len(queue.letters),
            "replayed": len(queue.replayed),
            "last": queue.letters[-1].at,
            "error": queue.letters[-1].error,
        }
        for queue in queues
    ]


def _rows_of_kinds(queues: Sequence[DeadLetterQueue]) -> list[dict[str, Any]]:
    runs = dict.fromkeys(queue.run_folder for queue in queues)
    return [
        {
            "run": run.run,
            "kind": kind.number,
            "stage": kind.queue.stage,
            "letters": len(kind.letters),
            "replayed": sum(letter.number in kind.queue.replayed for letter in kind.letters),
            "first": kind.letters[0].at,
            "last": kind.letters[-1].at,
            "error": kind.letters[0].error,
        }
        for run in runs
        for kind in letter_kinds([queue for queue in queues if queue.run_folder == run])
    ]


@command.command("show", short_help="Show one dead letter, with each attempt at it.")
@click.argument("run")
@_stage
@_kind
@click.option("--number", type=int, help="Which letter of the stage; by default the first.")
@click.option(
    "--unpickle", is_flag=True, help="Also show the item itself. This runs code of whoever wrote the item."
)
@_trust
@output_format(["text", "json"])
def show(
    run: str,
    stage: str | None,
    kind: int | None,
    number: int | None,
    unpickle: bool,
    trusted: bool,
    form: str,
) -> int:
    """Show one dead letter: the item, what it failed on, and each attempt."""
    queue = _one_queue(run, stage, kind)
    letter = queue.letters[0] if number is None else queue.letter(number)
    if unpickle:
        _require_trust([queue], trusted, "to unpickle an item runs code of its class")
    shown = _fields_of(letter)
    if unpickle:
        print_message("unpickling: this runs code of whoever wrote the item")
        shown["unpickled"] = _unpickled(letter, queue.file.parent, _whole_repr)
    write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n" if form == "json" else letter_text(shown))
    return 0


@command.command("export", short_help="Print all letters, a line of JSON each.")
@click.argument("run")
@_stage
@_kind
@click.option(
    "--unpickle", is_flag=True, help="Also the items themselves, whole. This runs code of whoever wrote them."
)
@_trust
def export(run: str, stage: str | None, kind: int | None, unpickle: bool, trusted: bool) -> int:
    """Print the letters of RUN, a line of JSON each, for other programs and for people with many of them.

    With `--unpickle` a line has the item itself as `unpickled`: as JSON where it can be that, else as text.
    """
    queues = _queues(run, stage, kind)
    if unpickle:
        _require_trust(queues, trusted, "to unpickle an item runs code of its class")
    for queue in queues:
        for letter in queue.letters:
            line = _fields_of(letter)
            if unpickle:
                line["unpickled"] = _unpickled(letter, queue.file.parent, _as_json)
            write(json.dumps(line, ensure_ascii=False) + "\n")
    return 0


@command.command("rm", short_help="Remove letters.")
@click.argument("run")
@_stage
@click.option("--force", is_flag=True, help="Also those that were not replayed.")
def remove(run: str, stage: str | None, force: bool) -> int:
    """Remove the letters of RUN, or of one stage of it, once they are replayed; with `--force`, in any case."""
    queues = _queues(run, stage)
    run_folder = queues[0].run_folder
    if run_folder in running_folders():
        raise UsageError(f"run '{run_folder.run}' is under way, and may add letters")
    if not force and (left := sum(len(queue.left) for queue in queues)):
        verb = "was" if left == 1 else "were"
        raise UsageError(
            f"{counted(left, 'letter')} of run '{run_folder.run}' {verb} not replayed; --force removes all"
        )
    for queue in queues:
        queue.require_private()  # what is removed is what the letters name
        queue.remove()
    print_message(
        f"removed {counted(sum(len(queue.letters) for queue in queues), 'letter')} of run {run_folder.run}"
    )
    return 0


@command.command("replay", short_help="Put letters back into the stages that failed on them.")
@click.argument("run")
@click.argument("file", type=FILE, required=False)
@_stage
@_kind
@click.option(
    "--number",
    "numbers",
    type=click.IntRange(min=1),
    metavar="N",
    multiple=True,
    help="Only this letter of a stage. May be repeated.",
)
@values
@how_shown
@_trust
def replay(
    run: str,
    file: Path | None,
    stage: str | None,
    kind: int | None,
    numbers: Sequence[int],
    params: Sequence[str],
    overrides: Sequence[str],
    trusted: bool,
    **shown: Any,
) -> int:
    """Put the letters of RUN back into the stages that failed on them, and run the workflow from there on.

    Producers and whatever else comes before are left out. FILE is the workflow; without it, the file that RUN was of,
    with the `--param` and `--set` that RUN was given: what is given here goes before these.

    When the replay ends, or was stopped and has drained, the letters that got through are marked and not replayed
    again. A letter that fails again is a letter of the new run. Of a replay that is killed, or in which a worker's
    death or an item ends the run at once, none is marked: all are put back once more next time.

    A letter is a pickle: to put it back runs code of whoever wrote it. Letters that another user owns or may write to
    are refused. Those that were not written where they lie, but copied, or came with a repository, are put back after a
    question that names the workflow, or with `--trust`.
    """
    chosen = RunOptions(**shown)
    with refusals_told(chosen):
        queues = _queues_to_replay(run, stage, kind, numbers)
        spec = _to_replay(queues, file, params, overrides, trusted=trusted, quiet=chosen.quiet)
    return _replay(spec, queues, chosen)


def _to_replay(
    queues: Sequence[DeadLetterQueue],
    file: Path | None,
    params: Sequence[str],
    overrides: Sequence[str],
    *,
    trusted: bool,
    quiet: bool,
) -> WorkflowSpec:
    path = file or Path(queues[0].letters[0].file)
    letters = counted(sum(len(queue.left) for queue in queues), "letter")
    _require_trust(queues, trusted, f"to put {letters} back runs '{path}'")
    if not quiet:
        print_message(visible(f"replaying {letters} of run {queues[0].run_folder.run} with {path}"))
    spec = _workflow_of(queues[0], path, params, overrides)
    _check_outputs(queues, spec.transport)
    return spec


def letter_text(shown: dict[str, Any]) -> str:
    """Show a letter for people."""
    attempts = shown.pop("attempts")
    traceback = shown.pop("traceback")
    shown["outputs"] = shown["outputs"] or None
    lines = [f"{key + ':':<11}{visible(str(value))}" for key, value in shown.items() if value is not None]
    lines += [
        visible("attempt {number}: {at}  '{worker}' (pid {pid})  {ended}".format_map(each))
        for each in attempts
    ]
    # Indented: what an item's handler raises may not look like what mprun says.
    lines += ["", *(f"    {visible(line)}" for line in traceback.splitlines())] if traceback else []
    return "\n".join(lines) + "\n"


def _queues_to_replay(
    run: str, stage: str | None, kind: int | None, numbers: Sequence[int]
) -> list[DeadLetterQueue]:
    queues = _found(run, stage, kind)
    if numbers:
        queues = [_numbered(queue, numbers) for queue in queues]
    queues = [queue for queue in queues if queue.letters and queue.left]
    if not queues:
        such = "" if kind is None and not numbers else " such"
        raise UsageError(f"run '{run}' has no{such} dead letters that were not replayed")
    return queues


def _numbered(queue: DeadLetterQueue, numbers: Sequence[int]) -> DeadLetterQueue:
    return replace(queue, letters=tuple(each for each in queue.letters if each.number in numbers))


def _of_kind(queues: list[DeadLetterQueue], kind: int | None) -> list[DeadLetterQueue]:
    return queues if kind is None or not queues else queues_of_kind(queues, kind)


def _require_trust(queues: Sequence[DeadLetterQueue], trusted: bool, what: str) -> None:
    """Ask where the letters of a run may be anybody's. Raises `UsageError` where nobody can be asked, or says no."""
    for queue in queues:
        queue.require_private()
    run_folder = queues[0].run_folder
    if trusted or run_folder.is_from_here():
        return
    doubt = f"the letters of run '{run_folder.run}' were not written here: they were copied, or came with a repository"
    danger = f"{what}, and code of whoever wrote them"
    if not sys.stdin.isatty():
        raise UsageError(visible(f"{doubt}; {danger}; say --trust if you know them"))
    if not click.confirm(visible(f"{doubt}.\n{danger[0].upper()}{danger[1:]}.") + " Do it?", err=True):
        raise UsageError("nothing was done")


def _check_outputs(queues: Sequence[DeadLetterQueue], transport: str) -> None:
    """Refuse to deliver again what has been. Raises `UsageError`."""
    if transport != "leased" and (letters := [each for queue in queues for each in queue.half_done]):
        raise UsageError(
            f"stage '{letters[0].stage}' has letters of which some outputs have gone on, number "
            f"{letters[0].number} the first; only `transport: leased` can leave these out"
        )


def _workflow_of(
    queue: DeadLetterQueue, path: Path, params: Sequence[str], overrides: Sequence[str]
) -> WorkflowSpec:
    """Load the workflow as the run of the letters had it, with what is given here on top: the last word counts."""
    from runner.loader.load import load

    facts = queue.run_folder.facts()
    if facts is None:
        return load(path, params=params, overrides=overrides)
    return load(path, params=[*facts.params, *params], overrides=[*facts.overrides, *overrides])


def _one_queue(run: str, stage: str | None, kind: int | None) -> DeadLetterQueue:
    queues = _queues(run, stage, kind)
    if len(queues) == 1:
        return queues[0]
    names = ", ".join(f"'{queue.stage}'" for queue in queues)
    raise UsageError(f"several stages have letters: {names}; say which by --stage")


def _queues(run: str, stage: str | None, kind: int | None = None) -> list[DeadLetterQueue]:
    queues = _found(run, stage, kind)
    if not queues:
        raise UsageError("no such dead letters")
    return queues


def _found(run: str, stage: str | None, kind: int | None) -> list[DeadLetterQueue]:
    """Return what is asked for, which may be nothing. Raises `UsageError` where no such stage has any letters."""
    every = find_dead_letter_queues(run)
    if stage is not None and every and stage not in (known := {queue.stage for queue in every}):
        raise UsageError(f"stage '{stage}' has no dead letters in run '{run}'; {did_you_mean(stage, known)}")
    return [queue for queue in _of_kind(every, kind) if stage in (None, queue.stage)]


def _fields_of(letter: DeadLetter) -> dict[str, Any]:
    """What there is to know of a letter without opening it."""
    return {key: value for key, value in asdict(letter).items() if key not in ("frame", "index", "bulk")}


def _unpickled(letter: DeadLetter, folder: Path, show: Callable[[object], object]) -> object:
    """Return the item, shown by `show`; or say why it can't be had."""
    try:
        return show(letter.unpickle(folder))
    except (LookupError, MprunError) as error:
        return f"({describe_error(error.__cause__ or error)})"


def _whole_repr(item: object) -> str:
    return safe_repr(item, width=sys.maxsize)  # whoever asks for it wants all of it


def _as_json(item: object) -> object:
    """Return the item where JSON can hold it, else a text."""
    try:
        json.dumps(item, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return _whole_repr(item)
    return item


def _replay(spec: WorkflowSpec, queues: Sequence[DeadLetterQueue], chosen: RunOptions) -> int:
    from runner.spec.plan import make_plan

    plan = make_plan(replay_spec(spec, {queue.stage: (queue.file, queue.left) for queue in queues}))
    with refusals_told(chosen), watchers(chosen) as watching:
        check_writable(chosen, watching.metrics)
        watching.write_events_to(chosen.events)
    report, lost = run_plan(Prepared(plan), watching, chosen)
    summaries = [_mark(queue, report, source_name(spec, queue.stage)) for queue in queues]
    code = finish(report, watching, chosen, lost)
    for summary in summaries:
        print_message(visible(summary))
    return code


def _mark(queue: DeadLetterQueue, report: Report, source: str) -> str:
    """Note which letters of a queue went back into their stage; return what became of them, in words."""
    through, left = queue.mark(report, source), len(queue.left)
    again = sum(each.dead_lettered for each in report.queues if each.name == queue.letters[0].queue)
    summary = f"{through} of {counted(left, 'letter')} of stage '{queue.stage}' replayed in run {report.run}"
    if through and again:
        summary += f"; {again} of them failed again, and {'is a letter' if again == 1 else 'are letters'} of that run"
    if through < left:
        summary += (
            f"; {counted(left - through, 'letter')} not known to have got through, to be replayed again"
        )
    return summary


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [[key.upper() for key in rows[0]], *([str(v) for v in r.values()] for r in rows)]
    return "\n".join(table(cells, width_of(sys.stdout), named_by=3)) + "\n"

"""`mprun dlq`: the dead letters of runs: list them, look at one, put them back.

ls ──► stages and counts      show ──► one letter      replay ──► a run from the failed stage on
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import FILE, examples, output_format, values
from runner.cli.output import say, write
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.dead_letters import DeadLetter
    from runner.piles import Pile
    from runner.report import Report
    from runner.spec import WorkflowSpec

EXAMPLES = examples(
    "mprun dlq ls                          runs, stages and how many letters they have",
    "mprun dlq show 3f2a --stage eater     the first letter of a stage",
    "mprun dlq show 3f2a --stage eater --number 4 --format json",
    "mprun dlq replay 3f2a                 put all of them back where they failed",
    "mprun dlq replay 3f2a --stage eater fixed.yaml",
)
_stage = click.option("--stage", metavar="STAGE", help="Only the letters of this stage.")


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Look at dead letters, and put them back into the stage that failed on them.

    An item becomes a dead letter where its stage says `on_error: dead_letter` and its attempts are used up, or where
    it was in hand each time when workers died. Letters stay under `.mprun`, or `$MPRUN_HOME`, until you remove them.
    """


@command.command("ls")
@click.argument("run", required=False)
@output_format(["text", "json"])
def list_piles(run: str | None, form: str) -> int:
    """List the stages that have dead letters, run by run."""
    from runner.piles import all_piles, find_piles

    rows = [
        {
            "run": pile.record.run,
            "workflow": pile.letters[0].workflow,
            "stage": pile.stage,
            "letters": len(pile.letters),
            "replayed": len(pile.replayed),
            "last": pile.letters[-1].at,
            "error": pile.letters[-1].error,
        }
        for pile in (all_piles() if run is None else find_piles(run))
    ]
    if form == "json":
        write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    elif rows:
        write(_table(rows))
    else:
        say("there are no dead letters here")
    return 0


@command.command("show")
@click.argument("run")
@_stage
@click.option("--number", type=int, default=1, show_default=True, help="Which letter of the stage.")
@click.option(
    "--unpickle", is_flag=True, help="Also show the item itself. This runs code of whoever wrote the item."
)
@output_format(["text", "json"])
def show(run: str, stage: str | None, number: int, unpickle: bool, form: str) -> int:
    """Show one dead letter: the item, what it failed on, and each attempt."""
    pile = _one_pile(run, stage)
    letter = pile.letter(number)
    shown = {key: value for key, value in asdict(letter).items() if key not in ("frame", "index", "bulk")}
    if unpickle:
        say("unpickling: this runs code of whoever wrote the item")
        shown["unpickled"] = _unpickled(letter, pile.file.parent)
    write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n" if form == "json" else letter_text(shown))
    return 0


@command.command("replay")
@click.argument("run")
@click.argument("file", type=FILE, required=False)
@_stage
@values
def replay(
    run: str, file: Path | None, stage: str | None, params: Sequence[str], overrides: Sequence[str]
) -> int:
    """Put the letters of RUN back into the stages that failed on them, and run the workflow from there on.

    Producers and whatever else comes before are left out. FILE is the workflow; without it, the file that RUN was of,
    with the `--param` and `--set` that RUN was given: what is given here goes before these.

    When the replay ends, or was stopped and has drained, the letters that got through are marked and not replayed
    again. A letter that fails again is a letter of the new run. Of a replay that is killed, or in which a worker's
    death or an item ends the run at once, none is marked: all are put back once more next time.
    """
    from runner.plan import make_plan
    from runner.replay import replay_spec, source_name

    piles = _piles_to_replay(run, stage)
    spec = _workflow_of(piles[0], file, params, overrides)
    report = _run(make_plan(replay_spec(spec, {pile.stage: (pile.file, pile.left) for pile in piles})))
    for pile in piles:
        _mark(pile, report, source_name(spec, pile.stage))
    return report.exit_code


def letter_text(shown: dict[str, Any]) -> str:
    """Show a letter for people."""
    from runner.cells import visible

    attempts = shown.pop("attempts")
    traceback = shown.pop("traceback")
    lines = [f"{key + ':':<11}{visible(str(value))}" for key, value in shown.items() if value is not None]
    lines += [
        f"attempt {each['number']}: {each['at']}  '{each['worker']}' (pid {each['pid']})  {visible(each['ended'])}"
        for each in attempts
    ]
    lines += ["", *map(visible, traceback.splitlines())] if traceback else []
    return "\n".join(lines) + "\n"


def _piles_to_replay(run: str, stage: str | None) -> list[Pile]:
    from runner.piles import find_piles

    piles = [pile for pile in find_piles(run) if stage in (None, pile.stage) and pile.left]
    if not piles:
        raise UsageError(f"run '{run}' has no dead letters that were not replayed")
    return piles


def _workflow_of(
    pile: Pile, file: Path | None, params: Sequence[str], overrides: Sequence[str]
) -> WorkflowSpec:
    """Load the workflow as the run of the letters had it, with what is given here on top: the last word counts."""
    from runner.load import load

    facts = pile.record.facts()
    if facts is None:
        return load(file or pile.letters[0].file, params=params, overrides=overrides)
    path = file or pile.letters[0].file
    return load(path, params=[*facts.params, *params], overrides=[*facts.overrides, *overrides])


def _one_pile(run: str, stage: str | None) -> Pile:
    from runner.piles import find_piles

    piles = [pile for pile in find_piles(run) if stage in (None, pile.stage)]
    if len(piles) == 1:
        return piles[0]
    names = ", ".join(f"'{pile.stage}'" for pile in piles)
    raise UsageError(
        f"several stages have letters: {names}; say which by --stage" if piles else "no such dead letters"
    )


def _unpickled(letter: DeadLetter, folder: Path) -> str:
    from runner.errors import MprunError
    from runner.sketch import describe_error, sketch

    try:
        return sketch(letter.unpickle(folder), width=10_000)
    except (LookupError, MprunError) as error:
        return f"({describe_error(error.__cause__ or error)})"


def _run(plan: Any) -> Report:
    from runner.observers import open_observers
    from runner.run import run

    observers = open_observers(stream=sys.stderr)
    report = run(plan, observers)
    if report.reason is not None:
        say(f"mprun: {report.reason}")
    return report


def _mark(pile: Pile, report: Report, source: str) -> None:
    from runner.units import counted

    through, left = pile.mark(report, source), len(pile.left)
    said = f"{through} of {counted(left, 'letter')} of stage '{pile.stage}' replayed in run {report.run}"
    if through < left:
        said += f"; {counted(left - through, 'letter')} not known to have got through, to be replayed again"
    say(said)


def _table(rows: list[dict[str, Any]]) -> str:
    from runner.cells import columns

    return (
        "\n".join(columns([[key.upper() for key in rows[0]], *([str(v) for v in r.values()] for r in rows)]))
        + "\n"
    )

"""`mprun dlq`: the dead letters of runs: list them, look at one, put them back.

ls ──► stages and counts      show ──► one letter      replay ──► a run from the failed stage on
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import FILE, examples, output_format, values
from runner.cli.output import say, write
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.dead_letters import DeadLetter
    from runner.report import Report

EXAMPLES = examples(
    "mprun dlq ls                          runs, stages and how many letters they have",
    "mprun dlq show 3f2a --stage eater     the first letter of a stage",
    "mprun dlq show 3f2a --stage eater --number 4 --format json",
    "mprun dlq replay 3f2a                 put all of them back where they failed",
    "mprun dlq replay 3f2a --stage eater fixed.yaml",
)
_stage = click.option("--stage", metavar="STAGE", help="Only the letters of this stage.")


@dataclass(frozen=True, slots=True)
class Pile:
    """The letters of one stage of one run."""

    run: str
    file: Path
    letters: tuple[DeadLetter, ...]
    replayed: frozenset[int]

    @property
    def stage(self) -> str:
        """The stage that failed on them."""
        return self.letters[0].stage

    @property
    def left(self) -> list[int]:
        """The numbers of those that were not replayed and can be."""
        return [
            each.number
            for each in self.letters
            if each.number not in self.replayed and each.frame is not None
        ]


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
    rows = [
        {
            "run": pile.run,
            "workflow": pile.letters[0].workflow,
            "stage": pile.stage,
            "letters": len(pile.letters),
            "replayed": len(pile.replayed),
            "last": pile.letters[-1].at,
            "error": pile.letters[-1].error,
        }
        for pile in _piles(run)
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
    letter = _letter(_one_pile(run, stage), number)
    shown = {key: value for key, value in asdict(letter).items() if key not in ("frame", "index")}
    if unpickle:
        say("unpickling: this runs code of whoever wrote the item")
        shown["unpickled"] = _unpickled(letter)
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

    Producers and whatever else comes before are left out. FILE is the workflow; without it, the file that RUN was of.
    Letters that got through are marked and not replayed again; one that fails again is a letter of the new run.
    """
    from runner.load import load
    from runner.plan import make_plan
    from runner.replay import replay_spec

    piles = {pile.stage: pile for pile in _piles(run) if stage in (None, pile.stage) and pile.left}
    if not piles:
        raise UsageError(f"run '{run}' has no dead letters that were not replayed")
    path = file or Path(next(iter(piles.values())).letters[0].file)
    spec = load(path, params=params, overrides=overrides)
    report = _run(
        make_plan(replay_spec(spec, {name: (pile.file, pile.left) for name, pile in piles.items()}))
    )
    for pile in piles.values():
        _mark(pile, report)
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


def _piles(run: str | None) -> Iterator[Pile]:
    from runner.dead_letters import letter_files, read_letters, replayed
    from runner.record import all_records, find_record

    for record in all_records() if run is None else [find_record(run)]:
        for file in letter_files(record):
            letters = tuple(read_letters(file))
            if letters:
                yield Pile(record.run, file, letters, replayed(file))


def _one_pile(run: str, stage: str | None) -> Pile:
    piles = [pile for pile in _piles(run) if stage in (None, pile.stage)]
    if len(piles) == 1:
        return piles[0]
    names = ", ".join(f"'{pile.stage}'" for pile in piles)
    raise UsageError(
        f"several stages have letters: {names}; say which by --stage" if piles else "no such dead letters"
    )


def _letter(pile: Pile, number: int) -> DeadLetter:
    for letter in pile.letters:
        if letter.number == number:
            return letter
    raise UsageError(f"stage '{pile.stage}' has letters 1 to {pile.letters[-1].number}, not {number}")


def _unpickled(letter: DeadLetter) -> str:
    from runner.errors import MprunError
    from runner.sketch import describe_error, sketch

    try:
        return sketch(letter.unpickle(), width=10_000)
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


def _mark(pile: Pile, report: Report) -> None:
    """Mark the letters that the replay accounted for: done, or dead letters of the new run."""
    from runner.dead_letters import mark_replayed

    queue = next((q for q in report.queues if q.name == pile.letters[0].queue), None)
    settled = queue is not None and queue.put == len(pile.left) == queue.done + queue.dead_lettered
    if settled:
        mark_replayed(pile.file, pile.left, report.run)
        say(f"{len(pile.left)} letters of stage '{pile.stage}' replayed in run {report.run}")
    else:
        say(f"the letters of stage '{pile.stage}' did not all get through, so none is marked as replayed")


def _table(rows: list[dict[str, Any]]) -> str:
    from runner.cells import columns

    return (
        "\n".join(columns([[key.upper() for key in rows[0]], *([str(v) for v in r.values()] for r in rows)]))
        + "\n"
    )

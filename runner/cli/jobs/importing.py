"""`mprun import`: a file of another tool as a file of jobs, and what became of each thing in it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import FILE, examples, output_format
from runner.cli.output import print_message, write
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.importers.importing import Import
    from runner.importers.model import Note

_SOURCES = ("github", "taskfile", "gitlab", "process-compose", "procfile", "nox", "tox")
_BESIDE = "imported.yaml"
"""What the file is taken to be called where it is printed: what it names is looked for from there."""

EXAMPLES = examples(
    "mprun import .github/workflows/ci.yml -o ci.yaml",
    "mprun import .gitlab-ci.yml | less",
    "mprun import jobs.txt --from procfile -o services.yaml",
    "mprun import .gitlab-ci.yml --format json | jq .counts",
)


@click.command(epilog=EXAMPLES)
@click.argument("file", type=FILE)
@click.option(
    "-o", "--output", "out", metavar="OUT.yaml", type=FILE, help="Where to write it; by default to stdout."
)
@click.option(
    "--from",
    "kind",
    type=click.Choice(_SOURCES),
    help="What FILE is for; by default seen from its name and content.",
)
@click.option("--force", is_flag=True, help="Overwrite OUT.yaml.")
@output_format(["text", "json"])
def command(file: Path, out: Path | None, kind: str | None, force: bool, form: str) -> int:
    """Make an mprun file of FILE, which another tool reads; what it makes checks.

    FILE may be a workflow of GitHub Actions, a Taskfile, a file of GitLab CI or process-compose, a Procfile, a noxfile
    or what tox reads. Nothing of it is run. What goes over as it is does so; what is translated, dropped or left has a
    comment with its line. What is left, as nobody can say what it would be here, fails when it is run, and says what to
    do. The same is told on stderr, or with `--format json`, together with the file, on stdout.

    OUT.yaml belongs into the folder in which the jobs are to run: mostly the top of the project.
    """
    from runner.importers.importing import import_file

    to_file = out is not None and str(out) != "-"
    target = out if out is not None and to_file else Path(_BESIDE)
    if to_file and target.exists() and not force:
        raise UsageError(f"'{target}' is there already; --force overwrites it")
    made = import_file(file, kind, target)
    if to_file:
        _save(target, made.text)
    if form == "json":
        write(json.dumps(_as_dict(made, target if to_file else None), indent=2, ensure_ascii=False) + "\n")
        return 0
    if not to_file:
        write(made.text)
    _tell(made, file, target if to_file else None)
    return 0


def _save(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"'{target}' can't be written: {error.strerror}") from error


def _tell(made: Import, file: Path, target: Path | None) -> None:
    """Say what became of what, in the order of its lines, and at the end what is to do."""
    from runner.importers.importing import summary
    from runner.importers.kinds import KINDS
    from runner.importers.model import Outcome
    from runner.render.tables import table, width_of

    notes = [note for note in made.imported.all_notes() if note.outcome is not Outcome.KEPT]
    rows = [[f"{file}:{note.line}", str(note.outcome), _told(note)] for note in notes]
    if rows:
        print_message("\n".join(table([["LINE", "WHAT", "HOW"], *rows], width_of(sys.stderr))))
    print_message(f"{file} is {KINDS[made.imported.kind].title}: {summary(made.imported)}")
    if target is not None:
        print_message(f"wrote {target}; see what would run: mprun plan {shlex.quote(str(target))}")


def _told(note: Note) -> str:
    return f"`{note.source}`: {note.said}" if note.said else f"`{note.source}`"


def _as_dict(made: Import, target: Path | None) -> dict[str, Any]:
    imported = made.imported
    return {
        "file": imported.file,
        "kind": imported.kind,
        "out": None if target is None else str(target),
        "counts": {str(outcome): count for outcome, count in imported.counts().items()},
        "notes": [
            {"line": note.line, "outcome": str(note.outcome), "source": note.source, "said": note.said}
            for note in imported.all_notes()
        ],
        "workflow": made.text,
    }

"""From a file of another tool to the text of an mprun file, and the story of what became of each thing in it."""

from __future__ import annotations

from pathlib import Path

from runner.errors import SpecError
from runner.facts import dataclass
from runner.importers.fitting import fitting
from runner.importers.kinds import KINDS, kind_of
from runner.importers.model import ImportedFile, Outcome
from runner.spec.source.positions import Text
from runner.spec.source.reader import read_characters
from runner.units import counted

NOTHING = "nothing-to-import"
_SCHEMA = "workflow.schema.json"


@dataclass(frozen=True, slots=True)
class Import:
    """What an import came to."""

    imported: ImportedFile
    text: str


def import_file(path: Path, kind: str | None, target: Path) -> Import:
    """
    Read a file of another tool; what is made of it is to be at `target`, and checks there.

    Raises:
        SpecError: it can't be read, is none of the kinds, or holds no job.
    """
    text = Text(str(path), read_characters(path))
    kind = kind_of(path.absolute(), text) if kind is None else kind
    imported = KINDS[kind].read(text, path)
    imported.keys = {"name": _name(imported, path), **{k: v for k, v in imported.keys.items() if k != "name"}}
    if not imported.jobs:
        message = f"there is no job in this, read as {KINDS[kind].title}"
        help_ = "--from says what else it is" if kind else None
        raise SpecError([text.location(0, 1).diagnostic(NOTHING, message, help=help_)])
    return Import(imported, fitting(imported, target, _head))


def _name(imported: ImportedFile, path: Path) -> str:
    """Return the name that the file has, or else that of the project's folder."""
    for name in (str(imported.keys.get("name", "")), path.stem.lstrip("."), path.absolute().parent.name):
        clean = " ".join("".join(char for char in name if char.isprintable()).split())
        if any(char.isalnum() for char in clean):
            return clean
    return "imported"


def _head(imported: ImportedFile) -> list[str]:
    return [f"From {imported.file}, by `mprun import`: {summary(imported)}."]


def summary(imported: ImportedFile) -> str:
    """Return the counts in words: `37 things as they are, 9 translated, 4 dropped, 3 left`."""
    counts = imported.counts()
    kept, left = counts[Outcome.KEPT], counts[Outcome.LEFT]
    parts = [
        f"{counted(kept, 'thing')} as {'it is' if kept == 1 else 'they are'}",
        f"{counts[Outcome.TRANSLATED]} translated",
        f"{counts[Outcome.DROPPED]} dropped",
        f"{left} left (search for LEFT)" if left else "nothing left",
    ]
    return ", ".join(parts)

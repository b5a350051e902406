"""What an import makes, whatever it reads: jobs and steps in mprun's own keys, and a note on each thing that was read.

    another tool's file ──► ImportedFile: jobs, steps, notes ──► text with comments, which checks
                                                        └──► the report: kept, translated, dropped, left

Mutable while it is put together. Keys and values are those of an mprun file, not yet checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass


class Outcome(StrEnum):
    """What became of one thing that was read."""

    KEPT = "kept"
    """It stands there as it was."""
    TRANSLATED = "translated"
    DROPPED = "dropped"
    """It has no meaning here, and nothing is missing without it."""
    LEFT = "left"
    """Somebody has to look at it: the note says what to do."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was read, with its line, and what became of it."""

    line: int
    outcome: Outcome
    source: str
    """As it is written, in short."""
    said: str = ""
    """What became of it, or what to do."""
    more: tuple[str, ...] = ()
    """Lines of what was left, to be looked at while something is written in its place."""


@dataclass(slots=True)
class ImportedStep:
    """A step; one without keys is not written, and its notes stand where it would be."""

    line: int
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class ImportedJob:
    """A job; `steps` and `ensure` are beside its other keys."""

    name: str
    line: int
    keys: dict[str, Any] = field(default_factory=dict)
    steps: list[ImportedStep] = field(default_factory=list)
    ensure: list[ImportedStep] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    env_of_all: bool = True
    """Whether what the file says of all its jobs holds for it."""


@dataclass(slots=True)
class ImportedFile:
    """A file that was read."""

    kind: str
    """What it is: a key of the table of readers."""
    file: str
    keys: dict[str, Any] = field(default_factory=dict)
    """Of the top level, without `jobs`."""
    jobs: dict[str, ImportedJob] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def add(self, name: str, line: int) -> ImportedJob:
        """Return a new job, under this name or, if it is taken, under one made of it."""
        free = name
        number = 2
        while free in self.jobs:
            free, number = f"{name}-{number}", number + 1
        self.jobs[free] = ImportedJob(free, line)
        return self.jobs[free]

    def all_notes(self) -> list[Note]:
        """Return the notes on the file, its jobs and their steps, in the order of its lines."""
        found = [*self.notes, *(note for job in self.jobs.values() for note in _notes_of(job))]
        return sorted(found, key=lambda note: note.line)

    def counts(self) -> dict[Outcome, int]:
        """Return how many things came to what."""
        notes = self.all_notes()
        return {outcome: sum(note.outcome is outcome for note in notes) for outcome in Outcome}


def _notes_of(job: ImportedJob) -> Iterator[Note]:
    yield from job.notes
    for step in (*job.steps, *job.ensure):
        yield from step.notes


TO_DO = "to do: "
"""How the name of a step begins that fails until it is written."""


def to_do(file: str, line: int, source: str, what: str) -> dict[str, Any]:
    """Return the keys of a step that fails, and says what has to be written in its place."""
    message = f"mprun import: {file}:{line}: {source}: {what}"
    quoted = "'" + message.replace("\n", " ").replace("'", "’").replace("${{", "$ {{") + "'"
    return {"name": f"{TO_DO}{source}".replace("${{", "$ {{"), "run": f"echo {quoted} >&2; exit 1"}

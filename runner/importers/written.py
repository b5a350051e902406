"""What was imported, as the text of an mprun file: its comments say what was changed, and where it stood.

ImportedFile ──► data, and comments by path ──► text
                                        └─► for a place in the text, the path that stands there
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from runner.facts import dataclass
from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome
from runner.spec.diagnostics import DataPath, Span
from runner.spec.source.emitter import emit
from runner.spec.source.positions import SourceNode
from runner.spec.source.reader import read_text
from runner.text import printable

_LONGEST_COMMENT = 320
_NOTHING_TO_DO = "true"
"""What a job runs of which nothing was left to run."""


@dataclass(frozen=True, slots=True)
class WrittenJobs:
    """The text of a file, and the steps of it by their place there."""

    text: str
    steps: dict[DataPath, ImportedStep]

    def paths(self) -> Places:
        """Return what stands where in the text."""
        return Places(self.text)


class Places:
    """The paths of a text by where they begin."""

    def __init__(self, text: str) -> None:
        """`text` can be read."""
        found = [*_begun(read_text(text, "").root, ())]
        found.sort(key=lambda each: each[0])
        self._starts = [start for start, _ in found]
        self._paths = [path for _, path in found]

    def at(self, span: Span) -> DataPath:
        """Return the path of what begins here, or last before."""
        place = bisect_right(self._starts, (span.line, span.column)) - 1
        return self._paths[place] if place >= 0 else ()


def _begun(node: SourceNode, path: DataPath) -> Iterator[tuple[tuple[int, int], DataPath]]:
    span = node.mark.at_key().span
    yield (span.line, span.column), path
    for key, each in node.entries().items():
        yield from _begun(each, (*path, key))
    for number, each in enumerate(node.items()):
        yield from _begun(each, (*path, number))


def written(imported: ImportedFile, head: Sequence[str]) -> WrittenJobs:
    """Return the file, with `head` as its first comment."""
    above: dict[DataPath, list[str]] = {}
    steps: dict[DataPath, ImportedStep] = {}
    jobs: dict[str, Any] = {}
    for name, job in imported.jobs.items():
        jobs[name] = _job(job, above, steps)
        above[("jobs", name)] = ["", *_comments(job.notes), *above.get(("jobs", name), ())]
    first = [*_comments(imported.notes)]
    data = {**imported.keys, "jobs": jobs}
    opening = "".join(f"# {line}\n" if line else "\n" for line in [*head, *first])
    return WrittenJobs(opening + emit(data, above=lambda path: above.get(path, ())), steps)


def _job(
    job: ImportedJob, above: dict[DataPath, list[str]], places: dict[DataPath, ImportedStep]
) -> dict[str, Any]:
    keys = dict(job.keys)
    if "uses" in keys:
        return keys
    for name, steps in (("steps", job.steps), ("ensure", job.ensure)):
        path: DataPath = ("jobs", job.name, name)
        waiting: list[str] = []
        listed: list[dict[str, Any]] = []
        for step in steps:
            waiting += _comments(step.notes)
            if step.keys:
                above[(*path, len(listed))] = waiting
                places[(*path, len(listed))] = step
                listed.append(step.keys)
                waiting = []
        if listed:
            keys[name] = listed
        if waiting:
            above[path if listed else path[:2]] = [*above.get(path if listed else path[:2], ()), *waiting]
    if "steps" not in keys and "run" not in keys:
        keys["run"] = _NOTHING_TO_DO
    return _short(job, keys, above, places)


def _short(
    job: ImportedJob,
    keys: dict[str, Any],
    above: dict[DataPath, list[str]],
    places: dict[DataPath, ImportedStep],
) -> dict[str, Any]:
    """Write a job whose one step has a command alone with `run`."""
    only = keys.get("steps", ())
    first: DataPath = ("jobs", job.name, "steps", 0)
    if len(only) != 1 or set(only[0]) != {"run"}:
        return keys
    above[("jobs", job.name, "run")] = above.pop(first, [])
    places[("jobs", job.name, "run")] = places.pop(first)
    return {
        ("run" if key == "steps" else key): (only[0]["run"] if key == "steps" else value)
        for key, value in keys.items()
    }


def _comments(notes: Sequence[Note]) -> Iterator[str]:
    for note in notes:
        if note.outcome is not Outcome.KEPT:
            yield comment(note)
            yield from (_printable(f"    {line}") for line in note.more)


def comment(note: Note) -> str:
    """Return what is said of a note in the file."""
    outcome = "LEFT" if note.outcome is Outcome.LEFT else str(note.outcome)
    said = f": {note.said}" if note.said else ""
    return _printable(" ".join(f"line {note.line}: {outcome} `{note.source}`{said}".split()))


def _printable(text: str) -> str:
    return printable(text.rstrip(), _LONGEST_COMMENT)

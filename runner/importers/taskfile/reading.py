"""A Taskfile with all that it includes, as tasks by their full names, before any becomes a job.

Taskfile.yml ──► tasks, vars, env
    └ includes: {docs: ./docs} ──► docs/Taskfile.yml ──► docs:build, …, in the folder docs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath

from runner.errors import SpecError
from runner.facts import dataclass
from runner.importers.model import Note, Outcome
from runner.importers.nodes import note, text_of
from runner.spec.source.positions import SourceDocument, SourceNode
from runner.spec.source.reader import read

_NAMES = (
    "Taskfile.yml",
    "taskfile.yml",
    "Taskfile.yaml",
    "taskfile.yaml",
    "Taskfile.dist.yml",
    "Taskfile.dist.yaml",
)
_MOST_FILES = 50


@dataclass(frozen=True, slots=True)
class WrittenTask:
    """A task as it is written, with what its file says of all."""

    name: str
    prefix: str
    """What stands before the names of tasks of its file: `docs:`."""
    node: SourceNode
    folder: str
    """Of its file, from that of the first one; empty is the same."""
    file: str
    """As notes call it; empty is the first one."""


@dataclass(slots=True)
class Tasks:
    """All tasks, and what their files say beside them."""

    tasks: dict[str, WrittenTask] = field(default_factory=dict)
    vars: dict[str, SourceNode] = field(default_factory=dict)
    env: dict[str, SourceNode] = field(default_factory=dict)
    dotenv: list[SourceNode] = field(default_factory=list)
    others: list[tuple[str, SourceNode]] = field(default_factory=list)
    """Keys of the first file that are none of these."""
    notes: list[Note] = field(default_factory=list)
    files: int = 0


def read_tasks(source: SourceDocument) -> Tasks:
    """Return what a Taskfile holds, and those that it includes."""
    found = Tasks()
    _read(source.root, found, "", "", "", source.path)
    return found


def _read(root: SourceNode, found: Tasks, prefix: str, folder: str, file: str, path: Path | None) -> None:
    found.files += 1
    entries = root.entries()
    for key, node in entries.items():
        if key == "tasks":
            for name, each in node.entries().items():
                full = f"{prefix}{name}"
                found.tasks.setdefault(full, WrittenTask(full, prefix, each, folder, file))
        elif key == "vars":
            found.vars = {**node.entries(), **found.vars}
        elif key == "env":
            found.env = {**node.entries(), **found.env}
        elif key == "dotenv":
            found.dotenv.append(node)
        elif key == "includes":
            _include_all(node, found, prefix, folder, path)
        elif not file:
            found.others.append((key, node))


def _include_all(node: SourceNode, found: Tasks, prefix: str, folder: str, path: Path | None) -> None:
    for name, each in node.entries().items():
        about = each.entries()
        written = text_of(about.get("taskfile")) if about else text_of(each)
        flat = "flatten" in about and about["flatten"].data is True
        inner = "" if flat else f"{name}:"
        there = _find(path, written)
        if there is None or found.files >= _MOST_FILES:
            optional = "optional" in about and about["optional"].data is True
            outcome = Outcome.DROPPED if optional else Outcome.LEFT
            found.notes.append(note(each, outcome, f"'{written}' can't be read from here"))
            continue
        try:
            source = read(there)
        except SpecError as error:
            found.notes.append(note(each, Outcome.LEFT, f"'{written}': {error.diagnostics[0].message}"))
            continue
        found.notes.append(
            note(
                each,
                Outcome.TRANSLATED,
                f"its tasks are here, as {inner}…" if inner else "its tasks are here",
            )
        )
        own = text_of(about.get("dir")) or "."
        inside = str(PurePosixPath(folder or ".") / own)
        _read(source.root, found, f"{prefix}{inner}", "" if inside == "." else inside, written, there)
        _take_vars(about.get("vars"), found)


def _take_vars(node: SourceNode | None, found: Tasks) -> None:
    if node is not None:
        found.vars = {**found.vars, **node.entries()}


def _find(path: Path | None, written: str) -> Path | None:
    if path is None or not written or "{{" in written or "://" in written:
        return None
    there = path.parent / written
    for each in (there, *(there / name for name in _NAMES)):
        try:
            if each.is_file():
                return each
        except (OSError, ValueError):
            return None
    return None


def task_called(name: str, prefix: str, tasks: Mapping[str, WrittenTask]) -> WrittenTask | None:
    """Return the task that a task of a file with this prefix calls `name`."""
    return next((tasks[each] for each in _candidates(name, prefix) if each in tasks), None)


def _candidates(name: str, prefix: str) -> Iterator[str]:
    if name.startswith(":"):
        yield name[1:]
        return
    yield f"{prefix}{name}"
    yield f"{prefix}{name}:default"
    yield name

"""A Taskfile as a whole: vars are params, tasks run where they are named or needed, `default` without a name."""

from __future__ import annotations

from runner.importers.go_templates import has_templates
from runner.importers.model import ImportedFile, Outcome
from runner.importers.nodes import note, text_of, texts_of
from runner.importers.taskfile.reading import read_tasks
from runner.importers.taskfile.scripts import PrintedValue
from runner.importers.taskfile.tasks import TaskReader
from runner.spec.source.positions import SourceDocument, SourceNode

_SHELL = "bash {0}"
"""Task runs each command by itself, and a script of several lines to its end."""
_DROPPED = {
    "version": "one version of mprun reads all files",
    **dict.fromkeys(("output", "silent"), "it is about the screen of task"),
    **dict.fromkeys(("method", "run", "interval"), "jobs have it by their `inputs`"),
}


def read_taskfile(source: SourceDocument) -> ImportedFile:
    """Return what a Taskfile comes to."""
    tasks = read_tasks(source)
    imported = ImportedFile("taskfile", source.file, {"params": {}, "env": {}})
    imported.notes += tasks.notes
    for key, node in tasks.others:
        why = _DROPPED.get(key)
        imported.notes.append(
            note(node, Outcome.LEFT if why is None else Outcome.DROPPED, why or f"'{key}' is not known here")
        )
    shared = {name: each for name, node in tasks.vars.items() for name, each in _variable(name, node).items()}
    reader = TaskReader(imported, tasks, shared)
    for name, node in tasks.vars.items():
        _tell_variable(imported, name, node)
        known = shared.get(name)
        if isinstance(known, str) and not has_templates(known):
            reader.scope({}).text("{{." + name + "}}")
    for name, node in tasks.env.items():
        _environment(imported, reader, name, node)
    for task in tasks.tasks.values():
        if "*" in task.name:
            imported.notes.append(
                note(task.node, Outcome.LEFT, "a task for many names: write a job for each, or a param")
            )
        else:
            reader.job(task, {})
    _finish(imported, [name for node in tasks.dotenv for name in texts_of(node)])
    return imported


def _variable(name: str, node: SourceNode) -> dict[str, str | PrintedValue]:
    if isinstance(node.data, dict) and "sh" in node.data:
        return {name: PrintedValue(text_of(node.entries()["sh"]))}
    return {} if isinstance(node.data, dict | list) else {name: text_of(node)}


def _tell_variable(imported: ImportedFile, name: str, node: SourceNode) -> None:
    if isinstance(node.data, dict) and "sh" in node.data:
        imported.notes.append(note(node, Outcome.TRANSLATED, "the scripts that use it run it first"))
    elif isinstance(node.data, dict | list):
        imported.notes.append(note(node, Outcome.LEFT, "no list or mapping can be a param"))
    elif has_templates(text_of(node)):
        imported.notes.append(note(node, Outcome.TRANSLATED, "it stands where it is used"))
    else:
        imported.notes.append(note(node, Outcome.TRANSLATED, f"the param '{name}'"))


def _environment(imported: ImportedFile, reader: TaskReader, name: str, node: SourceNode) -> None:
    text, left = reader.scope({}).text(text_of(node))
    if left or isinstance(node.data, dict | list):
        imported.notes.append(note(node, Outcome.LEFT, "set it where it is needed"))
    else:
        imported.keys["env"][name] = text
        imported.notes.append(note(node, Outcome.KEPT))


def _finish(imported: ImportedFile, dotenv: list[str]) -> None:
    usual = {"shell": _SHELL, **({"dotenv": dotenv} if dotenv else {})}
    keys = {key: imported.keys[key] for key in ("params", "env") if imported.keys[key]}
    imported.keys = {**keys, "defaults": {"job": usual}}
    if "default" in imported.jobs:
        imported.keys["default"] = ["default"]

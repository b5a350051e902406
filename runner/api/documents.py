"""A workflow as a mapping of a program, with its objects in it -> the text of the file that it stands for.

    {"stages": {"load": {"run": load, "with": {"scale": array}}}} ──► run: __live__:load       # a closure, say
                                                                      with: {scale: __live__:array}
    "module:callable" stands for what can be imported; all else is live (handlers/live.py), and named in a comment

Such a text goes the way of any file: all of it is checked, and problems have their lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.facts import dataclass
from runner.handlers import live
from runner.handlers.inspection.imports import Missing, find_module
from runner.spec.diagnostics import DataPath
from runner.spec.plan import Plan, WorkerPlan
from runner.spec.source.emitter import emit
from runner.text import safe_repr

_MOST_WRITTEN = 200
"""Members of a list or mapping that is written out under `with`: a bigger one stays the object that it is."""
_SCALARS = (str, int, float, bool, type(None))


@dataclass(slots=True)
class Document:
    """The text of a workflow, and the objects that it has keys for."""

    text: str
    objects: Mapping[str, object]

    def with_objects(self, plan: Plan) -> Plan:
        """Return a plan of this text whose arguments are the objects, not their keys."""
        if not self.objects:
            return plan
        stages = tuple(
            replace(stage, workers=tuple(self._with_arguments(each) for each in stage.workers))
            for stage in plan.stages
        )
        return replace(plan, stages=stages)

    def has_objects(self, worker: WorkerPlan) -> bool:
        """Say whether a worker needs any of them."""
        given = (worker.handler.target, *worker.places, *worker.arguments.values())
        return any(key in str(each) for key in self.objects for each in given)

    def _with_arguments(self, worker: Any) -> Any:
        arguments = {key: self._object(value) for key, value in worker.arguments.items()}
        return replace(worker, arguments=arguments, places=tuple(map(self._object, worker.places)))

    def _object(self, value: Any) -> Any:
        """Return a value with objects in the place of their keys."""
        match value:
            case str():
                return self.objects.get(value, value)
            case dict():
                return {key: self._object(each) for key, each in value.items()}
            case list():
                return [self._object(each) for each in value]
        return value


def document_of(workflow: Mapping[str, Any], name: Callable[[str, object], str]) -> Document:
    """
    Write a workflow down. `name` keeps an object that can't be written and returns its key.

    Raises:
        UsageError: an object is where only plain data can be.
    """
    writer = _Writer(name)
    data = writer.write(workflow, ())
    return Document(emit(data, lambda path: writer.comments.get(path, "")), writer.objects)


def name_only() -> Callable[[str, object], str]:
    """Return what names objects for a text that is only to be looked at: nothing is kept."""
    taken: dict[str, int] = {}

    def name(wanted: str, _found: object) -> str:
        number = taken[wanted] = taken.get(wanted, 0) + 1
        return f"{live.MODULE}:{wanted if number == 1 else f'{wanted}_{number}'}"

    return name


def handler_name(found: object, otherwise: str) -> str:
    """Return a name for an object that fits a key, a stage and a queue."""
    own = getattr(found, "__name__", None)
    text = own if isinstance(own, str) else otherwise
    plain = "".join(
        each if (each.isalnum() and each.isascii()) or each == "_" else "_" for each in text
    ).strip("_")
    return plain if plain and not plain[0].isdigit() else otherwise


@dataclass(slots=True)
class _Writer:
    name: Callable[[str, object], str]
    objects: dict[str, object] = field(default_factory=dict)
    comments: dict[DataPath, str] = field(default_factory=dict)
    """What to say of the keys, by where they stand."""

    def write(self, value: Any, path: DataPath) -> Any:
        """Return a value as plain data."""
        value = _unwrapped(value)
        in_arguments = len(path) > 3 and path[0] == "stages" and path[2] in ("with", "args")
        if in_arguments and isinstance(value, list | dict) and not _is_plain(value, _MOST_WRITTEN):
            return self._live(value, path, str(path[-1]))
        match value:
            case Mapping():
                return {str(key): self.write(each, (*path, str(key))) for key, each in value.items()}
            case list() | tuple():
                return [self.write(each, (*path, number)) for number, each in enumerate(value)]
            case _ if type(value) in _SCALARS:
                return value
            case os.PathLike():
                return os.fspath(value)
        if len(path) == 3 and path[0] == "stages" and path[2] == "run":
            return _imported(value) or self._live(value, path, str(path[1]))
        if in_arguments:
            return self._live(value, path, str(path[-1]))
        raise UsageError(
            f"'{'.'.join(map(str, path))}' is {safe_repr(value)}, of type {type(value).__name__}: only `run`, `with` "
            "and `args` of a stage may be objects of the program"
        )

    def _live(self, found: object, path: DataPath, otherwise: str) -> str:
        self.comments[path] = f"lives in the program: {_described(found)}"
        key = next((key for key, each in self.objects.items() if each is found), None)
        if key is None:
            key = self.name(
                handler_name(found, handler_name(None, otherwise if not otherwise.isdigit() else "value")),
                found,
            )
            self.objects[key] = found
        return key


def _unwrapped(value: Any) -> Any:
    """Return a number of NumPy's, and a number, text or flag of a class of its own, as Python's."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    for kind in (bool, int, float, str):
        if isinstance(value, kind) and type(value) is not kind:
            return kind(value.value if hasattr(value, "value") else value)
    return value


def _is_plain(value: Any, most: int) -> bool:
    """Say whether a value can be written out, and is not long."""
    if type(value) in _SCALARS:
        return True
    if isinstance(value, list) and len(value) <= most:
        return all(_is_plain(each, most) for each in value)
    if isinstance(value, dict) and len(value) <= most:
        return all(type(key) is str and _is_plain(each, most) for key, each in value.items())
    return False


def _imported(found: Any) -> str | None:
    """Return `module:callable` for what another process could import; None for all else."""
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module in ("__main__", "builtins"):
        return None
    here: Any = sys.modules.get(module)
    for part in name.split("."):
        here = getattr(here, part, None)
    if here is not found:
        return None
    # That it is loaded does not say that the path leads to it: a test, say, is loaded from its file.
    there = not isinstance(find_module(module, Path.cwd()), Missing)
    return f"{module}:{name}" if there else None


def _described(found: object) -> str:
    """Name an object for the comment beside its key."""
    name = getattr(found, "__qualname__", None)
    name = name.rpartition("<locals>.")[2] if isinstance(name, str) else None
    if isinstance(found, type):
        return f"class {name}"
    if callable(found) and name is not None:
        return f"function {name}, {Path(_file_of(found)).name}" if _file_of(found) else f"function {name}"
    kind, text = type(found).__name__, safe_repr(found, 60)
    return text if kind.startswith("_") else f"{kind} {text}"


def _file_of(found: Any) -> str:
    code = getattr(found, "__code__", None)
    return "" if code is None or code.co_filename.startswith("<") else str(code.co_filename)

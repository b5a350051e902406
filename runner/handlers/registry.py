"""The registry of the kinds of handlers: those that ship with mprun, from one table, and those of other packages.

A kind that makes items for one role and takes them for another is declared once for each role, in `sources` and in
`sinks`, and combined here: its schema, its page and its card show both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from runner.errors import HandlerNotFound
from runner.handlers.kinds import Address, Handler, HandlerKind, WorkerContext
from runner.handlers.outputs import Writes
from runner.spec.model import HandlerRef, Role
from runner.spec.plan import InputFile, WorkerPlan
from runner.spec.suggestions import did_you_mean
from runner.text import describe_error

ENTRY_POINT_GROUP = "mprun.handlers"

_BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "command": ("runner.handlers.command.kind:COMMAND",),
    "range": ("runner.handlers.sources.counting:RANGE",),
    "timer": ("runner.handlers.sources.counting:TIMER",),
    "items": ("runner.handlers.sources.counting:ITEMS",),
    "files": ("runner.handlers.sources.files:FILES",),
    "lines": ("runner.handlers.sources.lines:LINES",),
    "csv": ("runner.handlers.sources.csv:CSV", "runner.handlers.sinks.csv:CSV"),
    "jsonl": ("runner.handlers.sources.jsonl:JSONL", "runner.handlers.sinks.lines:JSONL"),
    "parquet": ("runner.handlers.sources.parquet:PARQUET", "runner.handlers.sinks.parquet:PARQUET"),
    "sqlite": ("runner.handlers.sources.sqlite:SQLITE", "runner.handlers.sinks.sqlite:SQLITE"),
    "http": ("runner.handlers.sources.http:HTTP", "runner.handlers.sinks.http:HTTP"),
    "tcp": ("runner.handlers.sources.tcp:TCP",),
    "dir": ("runner.handlers.sinks.folder:DIR",),
    "text": ("runner.handlers.sinks.lines:TEXT",),
    "print": ("runner.handlers.sinks.lines:PRINT",),
    "null": ("runner.handlers.sinks.lines:NULL",),
    "serve": ("runner.handlers.server:SERVE",),
}
"""Where each kind is declared: once, or once for each role."""


def built_in_kinds(named: Collection[str] = _BUILT_IN.keys()) -> dict[str, HandlerKind]:
    """Load the kinds of these names that ship with mprun, in the order in which they are listed."""
    return {name: _load(where) for name, where in _BUILT_IN.items() if name in named}


def is_built_in(name: object) -> bool:
    """Say whether a kind ships with mprun."""
    return name in _BUILT_IN


def all_kinds() -> dict[str, HandlerKind]:
    """
    Load every kind there is, those of other packages too, but for such as can't be loaded.

    Slow: it reads the metadata of all packages.
    """
    others = {name: kind for name, kind in _kinds_of_others() if isinstance(kind, HandlerKind)}
    return built_in_kinds() | others


def why_unloadable(name: str) -> str | None:
    """Return why a kind that another package has can't be loaded; None if none has it, or it can."""
    found = (kind for each, kind in _kinds_of_others() if each == name and not isinstance(kind, HandlerKind))
    return next(map(_in_words, found), None)


def _kinds_of_others() -> Iterator[tuple[str, object]]:
    """Load the kinds of other packages. It runs their code: what that raises stands in the kind's place."""
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            yield point.name, point.load()
        except Exception as error:
            yield point.name, error


def _in_words(kind: object) -> str:
    return describe_error(kind) if isinstance(kind, Exception) else f"it is a {type(kind).__name__}"


def find_kind(name: str) -> HandlerKind:
    """Return one kind. Other packages are only looked at when the name is not one of ours.

    Raises:
        HandlerNotFound: nobody registers `name`.
    """
    if name in _BUILT_IN:
        return _load(_BUILT_IN[name])
    kinds = all_kinds()
    if name not in kinds:
        raise HandlerNotFound(f"there is no handler kind '{name}'; {did_you_mean(name, kinds)}")
    return kinds[name]


def listens_at(handler: HandlerRef) -> Address | None:
    """Return where a stage with this handler is to listen; None if it does not. Its options must be valid."""
    if handler.kind == "python":
        return None
    listens = find_kind(handler.kind).listens
    return None if listens is None else listens(handler.options)


def writes_of(handler: HandlerRef, role: Role) -> Writes | None:
    """Return what a stage with this handler leaves; None if its kind says nothing of it. Its options must be valid."""
    if handler.kind == "python":
        return None
    writes = find_kind(handler.kind).of_role(role).writes
    return None if writes is None else writes(handler.options)


def input_files(plan: WorkerPlan) -> tuple[InputFile, ...] | None:
    """
    List what there is to read for the workers of a producer; None where its kind reads no files.

    Raises:
        HandlerError: a file is not there, say.
    """
    kind = find_kind(plan.handler.kind).of_role(plan.role)
    if kind.inputs is None:
        return None
    return tuple(kind.inputs(plan.handler.options, Path(plan.cwd or ".")))


def rereads_inputs(handler: HandlerRef, role: Role) -> bool:
    """Say whether a producer that goes on with a run opens the files again that were listed when it began."""
    return handler.kind != "python" and find_kind(handler.kind).of_role(role).rereads


def _load(where: Sequence[str]) -> HandlerKind:
    return combine([_declared(each) for each in where])


def _declared(where: str) -> HandlerKind:
    module, _, attribute = where.partition(":")
    kind: HandlerKind = getattr(import_module(module), attribute)
    return kind


def combine(parts: Sequence[HandlerKind]) -> HandlerKind:
    """
    Return one kind of the declarations of its roles: what it is to a producer and to a consumer, say.

    An option of the same name has to mean the same kind of value, though one role may take other types of it too.
    Which options a stage may have is said by the declaration of its role (`HandlerKind.of_role`).
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    parts_by_role = {role: part for part in parts for role in part.roles}

    def build(options: Any, context: WorkerContext) -> Handler:
        return parts_by_role[context.role].build(options, context)

    return replace(
        first,
        summary=" ".join(f"{_role_words(part)}: {part.summary}" for part in parts),
        roles=frozenset(parts_by_role),
        options=_all_options(parts),
        example="stages:\n" + "".join(part.example.removeprefix("stages:\n") for part in parts),
        build=build,
        parts=parts_by_role,
    )


def _all_options(parts: Sequence[HandlerKind]) -> dict[str, Any]:
    """Return the schema of the options that any role may have; those that all need are required."""
    names = dict.fromkeys(name for part in parts for name in part.options["properties"])
    required = [name for name in names if all(name in part.options.get("required", ()) for part in parts)]
    return {
        "type": "object",
        "properties": {name: _any_of(name, parts) for name in names},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _any_of(name: str, parts: Sequence[HandlerKind]) -> dict[str, Any]:
    """Return an option as those roles have it that have it, each with its description where these differ."""
    having = [part for part in parts if name in part.options["properties"]]
    fragments = [dict(part.options["properties"][name]) for part in having]
    merged = {key: value for fragment in reversed(fragments) for key, value in fragment.items()}
    types = dict.fromkeys(each for fragment in fragments for each in _types(fragment))
    if types:
        merged["type"] = next(iter(types)) if len(types) == 1 else list(types)
    said = dict.fromkeys(fragment.get("description", "") for fragment in fragments)
    if len(having) < len(parts) or len(said) > 1:
        texts = [
            f"{_role_words(part)}: {part.options['properties'][name].get('description', '')}"
            for part in having
        ]
        merged["description"] = " ".join(texts)
    return merged


def _types(fragment: Mapping[str, Any]) -> list[str]:
    found = fragment.get("type", [])
    return [found] if isinstance(found, str) else list(found)


def _role_words(part: HandlerKind) -> str:
    return " or ".join(f"a {role}" for role in Role if role in part.roles).capitalize()

"""All events by name: made again from their fields on the other side of a pipe, and described by a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from inspect import get_annotations
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from runner.events import jobs, run
from runner.events.base import LEVELS, Event

KINDS: Mapping[str, type[Event]] = {
    event.kind: event
    for module in (run, jobs)
    for event in vars(module).values()
    if isinstance(event, type) and issubclass(event, Event) and event.kind
}

_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def event_of(line: bytes) -> Event:
    """Make an event again from what `Event.line` gave."""
    kind, at, run_id, _, fields = json.loads(line)
    return KINDS[kind](**fields).stamped(at, run_id, line if line.endswith(b"\n") else line + b"\n")


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mprun event",
        "description": "One line of `mprun`'s JSON log or of `--events FILE`.",
        "type": "object",
        "required": ["event"],
        "properties": {"event": {"enum": sorted(KINDS)}},
        "oneOf": [_one_event(event) for _, event in sorted(KINDS.items())],
    }


def _one_event(event: type[Event]) -> dict[str, Any]:
    common = {
        "event": {"const": event.kind},
        "at": {"type": "string", "format": "date-time", "description": "When, ISO 8601 in UTC."},
        "run": {"type": "string", "description": "The run's id."},
        "level": {"enum": list(LEVELS), "description": "How loud the event is."},
    }
    own = {
        name: {**json_type(event, name), "description": field.description}
        for name, field in event.declared.items()
        if name not in common
    }
    required = [name for name, field in event.declared.items() if field.required]
    return {
        "title": event.kind,
        "description": event.__doc__,
        "properties": {**common, **own},
        "required": ["event", "at", "run", *required],
        "additionalProperties": False,
    }


def json_type(event: type[Event], name: str) -> dict[str, Any]:
    """Return what JSON Schema says of the type of a field, from its annotation: its type or types, or its words."""
    if name in event.enums:
        return {"enum": [each.value for each in event.enums[name]]}
    annotation = next(get_annotations(c)[name] for c in event.__mro__ if name in get_annotations(c))
    if annotation.startswith("Sequence["):
        return _list_of(annotation.removeprefix("Sequence[").removesuffix("]"))
    plain, _, null = annotation.partition(" | ")
    found = _JSON_TYPES.get(plain, "object")
    # What is None by default is left out then, and never null.
    return {"type": [found, "null"] if null and event.declared[name].default is not None else found}


def _list_of(element: str) -> dict[str, Any]:
    row = vars(run).get(element)
    if row is None:
        return {"type": "array", "items": {"type": _JSON_TYPES.get(element, "object")}}
    fields = get_type_hints(row, vars(run))
    shape = {
        "type": "object",
        "required": list(fields),
        "properties": {name: _json_shape(found) for name, found in fields.items()},
        "additionalProperties": False,
    }
    return {"type": "array", "items": shape}


def _json_shape(found: Any) -> dict[str, Any]:
    if get_origin(found) is list:
        (element,) = get_args(found)
        return {"type": "array", "items": {"type": _json_types(element)}}
    return {"type": _json_types(found)}


def _json_types(found: Any) -> str | list[str]:
    """Say what JSON Schema calls a type, or the types of a union."""
    if found is NoneType:
        return "null"
    if get_origin(found) in (list, dict):
        return "array" if get_origin(found) is list else "object"
    parts = get_args(found)
    return [str(_json_types(part)) for part in parts] if parts else _JSON_TYPES[found.__name__]

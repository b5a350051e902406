"""Plain English for the schema's messages: what a fragment expects, what a path is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runner.spec.diagnostics import DataPath
from runner.text import printable

_WIDEST_TEXT = 40

_OWNERS = {"params": "param", "queues": "queue", "stages": "stage", "jobs": "job", "tests": "test"}
_NUMBERED = {"steps": "step", "ensure": "step", "needs": "need"}
"""Lists whose entries people speak of by their number."""


# What is said of a schema that only asks for keys, say, and so has no words of its own for a value.
_UNTOLD = "another value"


def expected(fragment: Mapping[str, Any]) -> str:
    """Say what a schema fragment asks for, as a noun phrase: its `title`, where it has one."""
    if "title" in fragment:
        return str(fragment["title"])
    if "const" in fragment:
        return as_written(fragment["const"])
    if "enum" in fragment:
        return "one of " + ", ".join(map(as_written, fragment["enum"]))
    branches = [expected(branch) for word in ("anyOf", "oneOf") for branch in fragment.get(word, ())]
    alternatives = [words for words in dict.fromkeys(branches) if words != _UNTOLD]
    if alternatives:
        return " or ".join(alternatives)
    return " or ".join(_expected_of(kind, fragment) for kind in types_of(fragment)) or _UNTOLD


def types_of(fragment: Mapping[str, Any]) -> list[str]:
    """Return the types that a fragment allows; empty if it names none."""
    named = fragment.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def as_written(value: object) -> str:
    """Return a value as one would write it in the file, on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def subject(path: DataPath) -> str:
    """
    Name what a path is about: `stage 'chef'`, `'count' of stage 'chef'`, `'limits.timeout'`, `the workflow`.
    """
    if not path:
        return "the workflow"
    if len(path) > 1 and path[0] in _OWNERS:
        owner, rest = f"{_OWNERS[str(path[0])]} '{printable(str(path[1]), _WIDEST_TEXT)}'", path[2:]
        if path[0] == "jobs" and len(rest) > 1 and rest[0] in _NUMBERED and isinstance(rest[1], int):
            within = " of 'ensure'" if rest[0] == "ensure" else ""
            owner, rest = f"{_NUMBERED[str(rest[0])]} {rest[1] + 1}{within} of {owner}", rest[2:]
        return f"{_dotted(rest)} of {owner}" if rest else owner
    return _dotted(path)


def _dotted(path: DataPath) -> str:
    """Entries of lists count from 1 for people: `'names'[2]` would be misread."""
    if isinstance(path[-1], int):
        return f"entry {path[-1] + 1} of {_dotted(path[:-1])}"
    return "'" + printable(".".join(map(str, path)), _WIDEST_TEXT) + "'"


def _expected_of(kind: str, fragment: Mapping[str, Any]) -> str:
    match kind:
        case "string":
            return _expected_text(fragment)
        case "integer" | "number":
            noun = "an integer" if kind == "integer" else "a number"
            return noun + _range(fragment)
        case "boolean":
            return "true or false"
        case "array":
            return "a list" + _length(fragment, "minItems", "maxItems", "entries")
        case "object":
            return "a mapping"
    return "nothing"


def _expected_text(fragment: Mapping[str, Any]) -> str:
    if "pattern" in fragment:
        return f"text that matches {fragment['pattern']}"
    if fragment.get("minLength") == 1 and "maxLength" not in fragment:
        return "text that is not empty"
    return "text" + _length(fragment, "minLength", "maxLength", "characters")


def _range(fragment: Mapping[str, Any]) -> str:
    low, high = fragment.get("minimum"), fragment.get("maximum")
    if "exclusiveMinimum" in fragment:
        return f" above {fragment['exclusiveMinimum']}"
    return _between(low, high, " of")


def _length(fragment: Mapping[str, Any], fewest: str, most: str, noun: str) -> str:
    bounds = _between(fragment.get(fewest), fragment.get(most), "")
    return f" with{bounds} {noun}" if bounds else ""


def _between(low: object, high: object, of: str) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f"{of} at least {low}"
    return "" if high is None else f"{of} at most {high}"

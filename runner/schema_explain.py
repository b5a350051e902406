"""What a mismatch between data and schema means, in plain English: message, help, code and place. Pure.

Fault(path, keyword, fragment) ──► explain ──► Finding        one for each wrong value, unknown or missing key
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from runner.findings import Finding
from runner.problems import did_you_mean, nearest
from runner.schema import Fragment
from runner.schema_parts import ALSO_KNOWN_AS, NAME_PATTERN, NAMING
from runner.schema_words import as_written, describe, expected, subject, types_of
from runner.source_marks import DataPath

Written = Callable[[DataPath], str | None]
"""Returns the text of a scalar as the file has it."""

# The keywords that judge one value, each with the code of its problems, the most telling first.
VALUE_CODES = {
    "type": "wrong-type",
    "const": "unknown-value",
    "enum": "unknown-value",
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "exclusiveMinimum": "out-of-range",
    "exclusiveMaximum": "out-of-range",
    "minItems": "out-of-range",
    "maxItems": "out-of-range",
    "minLength": "out-of-range",
    "maxLength": "out-of-range",
    "minProperties": "out-of-range",
    "maxProperties": "out-of-range",
    "pattern": "wrong-format",
}
_OTHER_CODE = "wrong-value"


@dataclass(frozen=True, slots=True)
class Fault:
    """What jsonschema found, without its words: which keyword of which fragment the value at `path` fails."""

    path: DataPath
    keyword: str
    fragment: Fragment
    key: str | None = None
    """For a bad key of a mapping: that key."""


def explain(fault: Fault, data: Any, written: Written) -> Iterator[Finding]:
    """Return what to tell about a fault of `data`; `written` returns scalars as they were typed."""
    value = value_at(data, fault.path)
    match fault.keyword:
        case "additionalProperties":
            yield from _unknown_keys(fault, value)
        case "required":
            yield from _missing_keys(fault, value)
        case "propertyNames":
            yield _bad_key(fault)
        case "not" if "required" in fault.fragment.get("not", {}):
            yield _conflict(fault)
        case "uniqueItems" if isinstance(value, list):
            yield _repeated(fault, value)
        case "anyOf" if all(branch.keys() == {"required"} for branch in fault.fragment["anyOf"]):
            yield _without_any(fault)
        case _:
            yield _wrong_value(fault, value, written)


def _unknown_keys(fault: Fault, value: Mapping[str, Any]) -> Iterator[Finding]:
    known = fault.fragment.get("properties", {})
    free = [re.compile(pattern) for pattern in fault.fragment.get("patternProperties", {})]
    for key in value:
        if key not in known and not any(pattern.search(key) for pattern in free):
            path = (*fault.path, key)
            if _is_kind(path):
                message, code = f"there is no handler kind '{key}'", "unknown-kind"
            else:
                message, code = f"{_owner(fault.path)} has no key '{key}'", "unknown-key"
            also = tuple((word, right) for right in known for word in known[right].get(ALSO_KNOWN_AS, ()))
            taken = frozenset(word for word in known if word in value)
            help_, meant = _right_key(key, tuple(known), taken, also)
            yield Finding(path, code, message, "key", help_, meant=meant)


@lru_cache(maxsize=1024)  # the same slip is often made in many places
def _right_key(
    key: str, known: tuple[str, ...], taken: frozenset[str], also: tuple[tuple[str, str], ...]
) -> tuple[str | None, str | None]:
    """
    Return the help line for an unknown key, and the one key, not taken yet, that it was meant for.

    `also` are the words of other tools, each with the right one.
    """
    words = dict(also)
    theirs = words.get(key)
    if theirs is None and nearest(key, known) is None:
        theirs = words.get(nearest(key, words) or "")
    if theirs is not None:
        return f"did you mean '{theirs}'?", None if theirs in taken else theirs
    return did_you_mean(key, known), nearest(key, [word for word in known if word not in taken])


def _is_kind(path: DataPath) -> bool:
    """Say whether `path` is that of the name of a kind: `stages.<name>.run.<kind>`."""
    return len(path) == 4 and path[0] == "stages" and path[2] == "run"


def _missing_keys(fault: Fault, value: Mapping[str, Any]) -> Iterator[Finding]:
    for key in fault.fragment["required"]:
        if key not in value:
            about = fault.fragment.get("properties", {}).get(key, {}).get("description", "")
            help_ = f"'{key}': {_first_sentence(about)}" if about else None
            yield Finding(fault.path, "missing-key", f"{_owner(fault.path)} has no '{key}'", "key", help_)


def _bad_key(fault: Fault) -> Finding:
    wanted = expected(fault.fragment)
    path = (*fault.path, str(fault.key))
    help_ = NAMING if fault.fragment.get("pattern") == NAME_PATTERN else None
    return Finding(path, "bad-name", f"expected {wanted}, got {describe(fault.key)}", "key", help_)


def _conflict(fault: Fault) -> Finding:
    one, other = fault.fragment["not"]["required"]
    message = f"{subject(fault.path)} has both '{one}' and '{other}'"
    return Finding(
        (*fault.path, one), "conflicting-keys", message, "key", fault.fragment["not"].get("description")
    )


def _repeated(fault: Fault, value: list[Any]) -> Finding:
    at = next(i for i, entry in enumerate(value) if entry in value[:i])
    message = f"{subject(fault.path)} has {describe(value[at])} twice"
    return Finding((*fault.path, at), "duplicate-entry", message, help="each must be there once")


def _without_any(fault: Fault) -> Finding:
    """Say that none of several keys is there, one of which is needed."""
    keys = [f"'{branch['required'][0]}'" for branch in fault.fragment["anyOf"]]
    message = f"{_owner(fault.path)} has {'neither' if len(keys) == 2 else 'none of'} {_listed(keys)}"
    return Finding(fault.path, "missing-key", message, "key", _WITHOUT.get(fault.path[:1]))


def _listed(keys: list[str]) -> str:
    return " nor ".join(keys) if len(keys) == 2 else f"{', '.join(keys[:-1])} and {keys[-1]}"


_WITHOUT: Mapping[DataPath, str] = {
    ("params",): "add a type, such as type: integer, or a default that shows it",
    (): "'stages' has pools of worker processes, 'jobs' what a CI system calls by that name",
    ("jobs",): "add one, such as run: pytest",
}


def _wrong_value(fault: Fault, value: object, written: Written) -> Finding:
    code = VALUE_CODES.get(fault.keyword, _OTHER_CODE)
    message = f"{subject(fault.path)}: {mismatch(fault, value)}"
    return Finding(fault.path, code, message, help=_advice(fault, value, written))


_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}


def mismatch(fault: Fault, value: object) -> str:
    """Say what was expected of a value, and what it is."""
    fragment = fault.fragment
    # A bound that only keeps the absurd away has no place in the title, which speaks of what is usual.
    beyond = fault.keyword in _BOUNDS and "title" in fragment and not _is_nan(value)
    wanted = f"{_BOUNDS[fault.keyword]} {fragment[fault.keyword]}" if beyond else expected(fragment)
    return f"expected {wanted}, got {describe(value)}"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _advice(fault: Fault, value: object, written: Written) -> str | None:
    wanted = types_of(fault.fragment)
    if isinstance(value, str) and fault.fragment.get("pattern") == NAME_PATTERN:
        return NAMING
    if isinstance(value, str) and "enum" in fault.fragment:
        return did_you_mean(value, map(as_written, fault.fragment["enum"]))
    is_beyond = fault.keyword in _BOUNDS and not _is_nan(value)  # quotes would not help
    if "string" in wanted and isinstance(value, bool | int | float) and not is_beyond:
        return _quote_it(value, written(fault.path))
    if isinstance(value, str) and "boolean" in wanted and value.casefold() in _WORDS_FOR_TRUTH:
        return f"write {_WORDS_FOR_TRUTH[value.casefold()]}"
    if isinstance(value, str) and {"integer", "number"} & set(wanted) and _is_number(value):
        return f"write it without quotes: {value.strip()}"
    return None


_WORDS_FOR_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _quote_it(value: float, text: str | None) -> str:
    text = as_written(value) if text is None else text
    lost = "" if text == as_written(value) else f"; without quotes, {text} is the number {as_written(value)}"
    return f'quote it if text is meant: "{text}"{lost}'


def _is_number(text: str) -> bool:
    # 010 is no number to YAML either, and one of a thousand digits is none that anything takes.
    return re.fullmatch(r"\s*[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?\s*", text) is not None


def _owner(path: DataPath) -> str:
    return subject(path) if path else "a workflow"


def _first_sentence(description: str) -> str:
    sentence = re.split(r"(?<=[.:]) ", description, maxsplit=1)[0]
    return sentence[0].lower() + sentence[1:].rstrip(".:")


def value_at(data: Any, path: DataPath) -> Any:
    """Return what stands at `path`, which must be there."""
    for step in path:
        data = data[step]
    return data

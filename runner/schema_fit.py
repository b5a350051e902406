"""Say of a value that it fits a schema, where that is plain to see, without jsonschema.

    value ──► plainly_fits ──► True: it fits
                    └────────► False: it may not; jsonschema is asked, and finds the words

Importing jsonschema takes longer than everything else that a check of a good file does, and most files are good.
So this knows the keywords that the workflow schema uses, and only ever errs towards False.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[Any, Any], bool]
"""What a keyword asks, and a value of the type that it is about."""

_TYPE_NAMES: Mapping[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}


def plainly_fits(schema: Any, value: object) -> bool:
    """
    Return True only if the value fits. An unknown keyword, or a value that YAML does not have, makes it False.
    """
    if not isinstance(schema, dict):
        return schema is True
    rules = _RULES.get(type(value))
    if rules is None or not all(keyword in rules or keyword in _KNOWN for keyword in schema):
        return False
    met = all(rules[keyword](asked, value) for keyword, asked in schema.items() if keyword in rules)
    return met and (type(value) is not dict or _entries_fit(schema, value))


def _entries_fit(schema: Mapping[str, Any], value: Mapping[Any, object]) -> bool:
    """Look at what `properties`, `patternProperties` and `additionalProperties` say together of each key."""
    return all(
        type(key) is str and all(plainly_fits(part, inner) for part in _parts_for(schema, key))
        for key, inner in value.items()
    )


def _parts_for(schema: Mapping[str, Any], key: str) -> list[Any]:
    declared = schema.get("properties", {})
    parts = [declared[key]] if key in declared else []
    parts += [part for shape, part in schema.get("patternProperties", {}).items() if re.search(shape, key)]
    return parts or [schema.get("additionalProperties", True)]


def _is_one_of(choices: Any, value: object) -> bool:
    # Only the very same type will do: for Python 1 equals True and 1.0, and for JSON Schema not always.
    return isinstance(value, str | int | float) and any(
        type(c) is type(value) and c == value for c in choices
    )


def _is_refused_by(schema: Any, value: object) -> bool:
    """`not` is plain only round `required`: elsewhere a False of ours may still mean a fit."""
    return isinstance(schema, dict) and schema.keys() == {"required"} and not plainly_fits(schema, value)


def _rules_of(kind: type) -> dict[str, Rule]:
    names = _TYPE_NAMES[kind]
    return {
        "type": lambda asked, _: any(n in ([asked] if isinstance(asked, str) else asked) for n in names),
        "enum": _is_one_of,
        "anyOf": lambda branches, value: any(plainly_fits(branch, value) for branch in branches),
        **_FOR_ONE_TYPE.get(kind, {}),
    }


_FOR_NUMBERS: Mapping[str, Rule] = {
    "minimum": lambda least, value: value >= least,
    "maximum": lambda most, value: value <= most,
    "exclusiveMinimum": lambda bound, value: value > bound,
}

_FOR_ONE_TYPE: Mapping[type, Mapping[str, Rule]] = {
    str: {
        "pattern": lambda pattern, value: re.search(pattern, value) is not None,
        "minLength": lambda least, value: len(value) >= least,
        "maxLength": lambda most, value: len(value) <= most,
    },
    int: _FOR_NUMBERS,
    float: _FOR_NUMBERS,
    list: {
        "items": lambda schema, value: all(plainly_fits(schema, entry) for entry in value),
        "minItems": lambda least, value: len(value) >= least,
        "maxItems": lambda most, value: len(value) <= most,
        "uniqueItems": lambda _, value: (
            all(type(entry) is str for entry in value) and len(set(value)) == len(value)
        ),
    },
    dict: {
        "required": lambda keys, value: all(key in value for key in keys),
        "propertyNames": lambda schema, value: all(plainly_fits(schema, key) for key in value),
        "minProperties": lambda least, value: len(value) >= least,
        "maxProperties": lambda most, value: len(value) <= most,
        "not": _is_refused_by,
    },
}

_RULES: Mapping[type, Mapping[str, Rule]] = {kind: _rules_of(kind) for kind in _TYPE_NAMES}

_ABOUT_ENTRIES = {"properties", "patternProperties", "additionalProperties"}
_NOTES = {"$schema", "title", "description", "default", "examples"}
# `not` is left out: of a value that is no mapping, `required` asks nothing, so its `not` refuses all of them.
_KNOWN = _NOTES | _ABOUT_ENTRIES | {key for rules in _FOR_ONE_TYPE.values() for key in rules} - {"not"}
"""The keywords that ask nothing of a value of a type whose rules do not have them."""

"""Whether data surely fits a schema: the usual case, told without jsonschema, whose import takes as long as a check.

    data ──► surely_fits ──► True: nothing is wrong
                        └──► False: something is, or this does not know that keyword or kind of value: jsonschema judges

It may err on one side alone, and where it is not sure it says no. What is wrong, and how, is for `validate.py` to find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from runner.spec.keys import Fragment

_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_SILENT = frozenset({"title", "description", "default", "examples", "$schema"})
"""Keywords that no value can fail, as is each that begins with `x-`."""


def surely_fits(fragment: Fragment | bool, value: Any) -> bool:
    """Say whether it is certain that jsonschema would find nothing wrong."""
    if isinstance(fragment, bool):
        return fragment
    return all(
        keyword in _RULES and _RULES[keyword](asked, value, fragment)
        for keyword, asked in fragment.items()
        if keyword not in _SILENT and not keyword.startswith("x-")
    )


def _is_of_type(asked: str | list[str], value: Any, _: Fragment) -> bool:
    kind = type(value)
    names = [asked] if isinstance(asked, str) else asked
    return any(
        kind in (int, float) if name == "number" else kind is _TYPES.get(name, _TYPES) for name in names
    )


def _is_one_of(choices: list[Any], value: Any, _: Fragment) -> bool:
    return type(value) is str and value in choices


def _matches(pattern: str, value: Any, _: Fragment) -> bool:
    return not isinstance(value, str) or re.search(pattern, value) is not None


def _has_keys(keys: list[str], value: Any, _: Fragment) -> bool:
    return not isinstance(value, dict) or all(key in value for key in keys)


def _fits_none(refused: Fragment | bool, value: Any, _: Fragment) -> bool:
    """To be sure that it does not fit takes a keyword of which this knows both answers."""
    if isinstance(refused, bool):
        return not refused
    others = refused.keys() - _SILENT - {"required"}
    return not others and "required" in refused and not _has_keys(refused["required"], value, refused)


def _fit_by_name(_: Any, value: Any, fragment: Fragment) -> bool:
    """Judge by `properties`, `patternProperties` and `additionalProperties` together."""
    if not isinstance(value, dict):
        return True
    known, patterns = fragment.get("properties", {}), fragment.get("patternProperties", {})
    others = fragment.get("additionalProperties", True)
    for key, each in value.items():
        if type(key) is not str:
            return False
        asked = [known[key]] if key in known else []
        asked += [patterns[pattern] for pattern in patterns if re.search(pattern, key)]
        if not all(surely_fits(one, each) for one in asked or [others]):
            return False
    return True


def _bounded(size_of: Callable[[Any], Any], is_within: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def judge(bound: Any, value: Any, _: Fragment) -> bool:
        size = size_of(value)
        return size is None or is_within(size, bound)

    return judge


def _sized(kind: type[str | list[Any] | dict[str, Any]]) -> Callable[[Any], Any]:
    return lambda value: len(value) if isinstance(value, kind) else None


def _number(value: Any) -> Any:
    return value if type(value) in (int, float) else None


_RULES: Mapping[str, Callable[[Any, Any, Fragment], bool]] = {
    "type": _is_of_type,
    "enum": _is_one_of,
    "pattern": _matches,
    "required": _has_keys,
    "not": _fits_none,
    "anyOf": lambda branches, value, _: any(surely_fits(each, value) for each in branches),
    "properties": _fit_by_name,
    "patternProperties": _fit_by_name,
    "additionalProperties": _fit_by_name,
    "propertyNames": lambda asked, value, _: (
        not isinstance(value, dict) or all(surely_fits(asked, key) for key in value)
    ),
    "items": lambda asked, value, _: (
        not isinstance(value, list) or all(surely_fits(asked, each) for each in value)
    ),
    "uniqueItems": lambda _, value, __: (
        not isinstance(value, list)
        or len(value) < 2
        or (all(type(each) is str for each in value) and len({*value}) == len(value))
    ),
    # Written so that NaN is within no bounds.
    "minimum": _bounded(_number, lambda value, bound: value >= bound),
    "maximum": _bounded(_number, lambda value, bound: value <= bound),
    "exclusiveMinimum": _bounded(_number, lambda value, bound: value > bound),
    "exclusiveMaximum": _bounded(_number, lambda value, bound: value < bound),
    "minLength": _bounded(_sized(str), lambda size, bound: size >= bound),
    "maxLength": _bounded(_sized(str), lambda size, bound: size <= bound),
    "minItems": _bounded(_sized(list), lambda size, bound: size >= bound),
    "maxItems": _bounded(_sized(list), lambda size, bound: size <= bound),
    "minProperties": _bounded(_sized(dict), lambda size, bound: size >= bound),
    "maxProperties": _bounded(_sized(dict), lambda size, bound: size <= bound),
}

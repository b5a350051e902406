"""Params: what a workflow may be told from outside. Declared with a type, given as `--param name=value`.

    params: {buns: {type: integer, default: 3}}  ─┐
    --param buns=5   ─────────────────────────────┴──► Params(values={"buns": 5}, …)

A param that was declared or given wrongly is `unsure`: it has a problem already, and whatever uses it gets no
second one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import SpecError
from runner.findings import Finding
from runner.problems import Problem, Severity, did_you_mean, nearest
from runner.schema import Fragment, param_schema
from runner.schema_problems import check_value
from runner.schema_words import as_written
from runner.source import read_value
from runner.source_marks import Source, Text

_OPTION = "--param"
_NOT_FOR_VALUES = ("default", "description")

# In the order in which they are tried on a default: true is no integer, and 3 is an integer first.
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "boolean": bool,
    "integer": int,
    "number": float,
    "string": str,
    "array": list,
    "object": dict,
}


@dataclass(frozen=True, slots=True)
class Params:
    """The values by name, what is wrong, and the names whose values can't be told."""

    values: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    unsure: frozenset[str] = frozenset()


def resolve_params(source: Source, declared: Any, given: Mapping[str, str]) -> Params:
    """
    Return the value of every param: what was given as text, in its declared type, or else its default.

    `declared` is the file's `params`, its own references replaced. Declarations of the wrong shape are passed
    over: the check of the shape has said so.
    """
    block = declared if isinstance(declared, dict) else {}
    values: dict[str, Any] = {}
    problems = list(_unknown(given, block))
    for name, declaration in block.items():
        if not check_value(param_schema(), declaration):
            found = list(_resolve(source, name, declaration, given.get(name), values))
            problems += found
    return Params(values, tuple(problems), frozenset(block.keys() - values.keys()))


def unused_params(declared: Any, used: Collection[tuple[str, ...]]) -> list[Finding]:
    """
    Return a finding for each param that no reference of `used` names.

    It is a warning, unless a reference to a param that does not exist is near: then the key is misspelt.
    """
    block = declared if isinstance(declared, dict) else {}
    wanted = {path[1] for path in used if len(path) > 1 and path[0] == "params"}
    missing = sorted(wanted - block.keys())
    return [_unused(name, nearest(name, missing)) for name in block if name not in wanted]


def _unused(name: str, meant: str | None) -> Finding:
    path, message = ("params", name), f"nothing uses the param '{name}'"
    if meant is None:
        help_ = f"use it as ${{{{ params.{name} }}}}, or remove it"
        return Finding(path, "unused-param", message, "key", help_, Severity.WARNING)
    return Finding(
        path, "unused-param", message, "key", f"did you mean '{meant}'? It is used, and not declared"
    )


def _unknown(given: Mapping[str, str], declared: Collection[str]) -> Iterator[Problem]:
    for name, text in given.items():
        if name not in declared:
            at = Text(_OPTION, f"{name}={text}").location(0, len(name))
            help_ = did_you_mean(name, declared) or "the workflow declares no params"
            yield at.problem("unknown-param", f"the workflow has no param '{name}'", help=help_)


def _resolve(
    source: Source, name: str, declaration: Fragment, text: str | None, values: dict[str, Any]
) -> Iterator[Problem]:
    """Put the value of one param into `values`, unless something is wrong with it."""
    if (broken := _broken_pattern(name, declaration)) is not None:
        yield broken.at(source)
        return
    fragment = _fragment(declaration)
    faults = check_value(fragment, declaration["default"]) if "default" in declaration else []
    yield from (_wrong_default(name, fault).at(source) for fault in faults)
    if text is not None:
        yield from _take_given(name, text, fragment, values)
    elif "default" not in declaration:
        yield _missing(name).at(source)
    elif not faults:
        values[name] = declaration["default"]


def _fragment(declaration: Fragment) -> Fragment:
    """Return the schema of the value: the declaration without what is about the declaration itself."""
    own = {key: value for key, value in declaration.items() if key not in _NOT_FOR_VALUES}
    return {"type": own.get("type") or _type_of(declaration["default"]), **own}


def _type_of(default: object) -> str:
    return next(name for name, python in _PYTHON_TYPES.items() if isinstance(default, python))


def _broken_pattern(name: str, declaration: Fragment) -> Finding | None:
    try:
        re.compile(declaration.get("pattern", ""))
    except (re.error, RecursionError, OverflowError) as error:
        message = f"'pattern' of param '{name}': expected a regular expression, got a mistake in one: {error}"
        return Finding(("params", name, "pattern"), "wrong-format", message)
    return None


def _wrong_default(name: str, fault: str) -> Finding:
    return Finding(("params", name, "default"), "wrong-param", f"'default' of param '{name}': {fault}")


def _missing(name: str) -> Finding:
    message = f"the param '{name}' has no default, and none was given"
    return Finding(("params", name), "missing-param", message, "key", f"add {_OPTION} {name}=…, or a default")


def _take_given(name: str, text: str, fragment: Fragment, values: dict[str, Any]) -> Iterator[Problem]:
    line = Text(_OPTION, f"{name}={text}")
    start = len(name) + 1
    try:
        value = _typed(line, start, fragment["type"])
    except SpecError as error:
        yield from error.problems
        return
    faults = check_value(fragment, value)
    if not faults:
        values[name] = value
    for fault in faults:
        help_ = did_you_mean(text, map(as_written, fragment["enum"])) if "enum" in fragment else None
        at = line.location(start, len(line.text))
        yield at.problem("wrong-param", f"param '{name}': {fault}", help=help_)


def _typed(line: Text, start: int, kind: str) -> Any:
    """Read `line.text[start:]` as YAML would, unless text is declared. Others judge whether it fits."""
    text = line.text[start:]
    if kind == "string":
        return text
    node, traps = read_value(line, start)
    if traps:
        raise SpecError(traps)
    return node.data

"""Params: what a workflow may be told from outside. Declared with a type, given as `--param name=value`.

    params: {buns: {type: integer, default: 3}}  ─┐
    --param buns=5   ─────────────────────────────┴──► Params(values={"buns": 5}, …)

A param that was declared or given wrongly is `unsure`: it has a problem already, and whatever uses it gets no
second one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from runner.errors import SpecError
from runner.facts import dataclass
from runner.loader.schema.validate import check_value
from runner.loader.schema.wording import as_written
from runner.loader.schema.workflow import param_schema
from runner.process.patterns import EndlessPattern, bounded_matching
from runner.spec.diagnostics import Diagnostic, LocatedDiagnostic, Severity
from runner.spec.dotted_names import join_names
from runner.spec.keys import Fragment
from runner.spec.source.positions import SourceDocument, Text
from runner.spec.source.reader import lossy_numbers, read_value
from runner.spec.suggestions import did_you_mean, near, which_one

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
    diagnostics: tuple[LocatedDiagnostic, ...] = ()
    unsure: frozenset[str] = frozenset()


def resolve_params(source: SourceDocument, declared: Any, given: Mapping[str, str]) -> Params:
    """
    Return the value of every param: what was given as text, in its declared type, or else its default.

    `declared` is the file's `params`, its own references replaced. Declarations of the wrong shape are passed
    over: the check of the shape has said so.
    """
    block = declared if isinstance(declared, dict) else {}
    values: dict[str, Any] = {}
    diagnostics = list(_unknown(given, block))
    for name, declaration in block.items():
        if not check_value(param_schema(), declaration):
            diagnostics += _lossy(source, name, declaration)
            diagnostics += _resolve(source, name, declaration, given.get(name), values)
    return Params(values, tuple(diagnostics), frozenset(block.keys() - values.keys()))


def param_faults(declaration: Any, value: object) -> list[str]:
    """Say what is wrong with the value of a param; nothing where its declaration is, which is said elsewhere."""
    if check_value(param_schema(), declaration) or _broken_pattern("", declaration) is not None:
        return []
    try:
        with bounded_matching() if "pattern" in declaration else nullcontext():
            return check_value(_fragment(declaration), value)
    except EndlessPattern:
        return []


def unused_params(declared: Any, used: Collection[tuple[str, ...]]) -> list[Diagnostic]:
    """
    Return a diagnostic for each param that no reference of `used` names.

    It is a warning, unless a reference to a param that does not exist is near: then the key is misspelt.
    """
    block = declared if isinstance(declared, dict) else {}
    wanted = {path[1] for path in used if len(path) > 1 and path[0] == "params"}
    in_any_case = {name.casefold() for name in wanted}  # as conditions find them
    declared_names = {str(name).casefold() for name in block}
    missing = sorted(name for name in wanted if name.casefold() not in declared_names)
    return [
        _unused(name, which_one(near(name, missing)))
        for name in block
        if str(name).casefold() not in in_any_case
    ]


def _unused(name: str, question: str | None) -> Diagnostic:
    path, message = ("params", name), f"nothing uses the param '{name}'"
    if question is None:
        help_ = f"use it as ${{{{ {join_names(('params', name))} }}}}, or remove it"
        return Diagnostic(path, "unused-param", message, "key", help_, Severity.WARNING)
    return Diagnostic(path, "unused-param", message, "key", f"{question} It is used, and not declared")


def _unknown(given: Mapping[str, str], declared: Collection[str]) -> Iterator[LocatedDiagnostic]:
    for name, text in given.items():
        if name not in declared:
            at = Text(_OPTION, f"{name}={text}").location(0, len(name))
            help_ = did_you_mean(name, declared) or "the workflow declares no params"
            yield at.diagnostic("unknown-param", f"the workflow has no param '{name}'", help=help_)


def _resolve(
    source: SourceDocument, name: str, declaration: Fragment, text: str | None, values: dict[str, Any]
) -> Iterator[LocatedDiagnostic]:
    """Put the value of one param into `values`, unless something is wrong with it."""
    if (broken := _broken_pattern(name, declaration)) is not None:
        yield source.place(broken)
        return
    try:
        with bounded_matching() if "pattern" in declaration else nullcontext():
            found = list(_take(source, name, declaration, text, values))
    except EndlessPattern as error:
        message = f"'pattern' of param '{name}': {error}"
        found = [source.place(Diagnostic(("params", name, "pattern"), "wrong-format", message))]
    yield from found


def _take(
    source: SourceDocument, name: str, declaration: Fragment, text: str | None, values: dict[str, Any]
) -> Iterator[LocatedDiagnostic]:
    """Take the value that is given, or the default, if it fits."""
    fragment = _fragment(declaration)
    faults = check_value(fragment, declaration["default"]) if "default" in declaration else []
    yield from (source.place(_wrong_default(name, fault)) for fault in faults)
    if text is not None:
        yield from _take_given(name, text, declaration, fragment, values)
    elif "default" not in declaration:
        yield source.place(_missing(name))
    elif not faults:
        values[name] = declaration["default"]


_EXACT = ("number", "integer")
"""Types by which the file says that a number is meant, however it is written."""


def _lossy(source: SourceDocument, name: str, declaration: Fragment) -> Iterator[LocatedDiagnostic]:
    """Find numbers that were not meant for numbers, as nobody says that they are."""
    for key in ("default", "enum") if declaration.get("type") not in _EXACT else ():
        path = ("params", name, key)
        yield from source.place_all(lossy_numbers(declaration.get(key), path, source.scalar_text))


def _fragment(declaration: Fragment) -> Fragment:
    """Return the schema of the value: the declaration without what is about the declaration itself."""
    own = {key: value for key, value in declaration.items() if key not in _NOT_FOR_VALUES}
    return {"type": own.get("type") or _type_of(declaration["default"]), **own}


def _type_of(default: object) -> str:
    return next(name for name, python in _PYTHON_TYPES.items() if isinstance(default, python))


def _broken_pattern(name: str, declaration: Fragment) -> Diagnostic | None:
    try:
        re.compile(declaration.get("pattern", ""))
    except (re.error, RecursionError, OverflowError) as error:
        message = f"'pattern' of param '{name}': expected a regular expression, got a mistake in one: {error}"
        return Diagnostic(("params", name, "pattern"), "wrong-format", message)
    return None


def _wrong_default(name: str, fault: str) -> Diagnostic:
    return Diagnostic(("params", name, "default"), "wrong-param", f"'default' of param '{name}': {fault}")


def _missing(name: str) -> Diagnostic:
    message = f"the param '{name}' has no default, and none was given"
    return Diagnostic(
        ("params", name), "missing-param", message, "key", f"add {_OPTION} {name}=…, or a default"
    )


def _take_given(
    name: str, text: str, declaration: Fragment, fragment: Fragment, values: dict[str, Any]
) -> Iterator[LocatedDiagnostic]:
    line = Text(_OPTION, f"{name}={text}")
    start = len(name) + 1
    try:
        value, lossy = _typed(line, start, fragment["type"], is_declared="type" in declaration)
    except SpecError as error:
        yield from error.diagnostics
        return
    yield from lossy
    faults = check_value(fragment, value)
    if not faults:
        values[name] = value
    for fault in faults:
        help_ = did_you_mean(text, map(as_written, fragment["enum"])) if "enum" in fragment else None
        at = line.location(start, len(line.text))
        yield at.diagnostic("wrong-param", f"param '{name}': {fault}", help=help_)


def _typed(line: Text, start: int, kind: str, *, is_declared: bool) -> tuple[Any, list[LocatedDiagnostic]]:
    """Read `line.text[start:]` as YAML would, unless it is to be text; also return numbers that lose something.

    Others judge whether it fits.
    """
    text = line.text[start:]
    if kind == "string":
        return text, []
    node, traps = read_value(line, start)
    if traps:
        raise SpecError(traps)
    if is_declared and kind in _EXACT:
        return node.data, []
    read = SourceDocument(line.file, node.data, (), node.mark)
    lossy = list(lossy_numbers(node.data, (), read.scalar_text))
    if kind in _EXACT:
        help_ = f"give {node.data} if that is meant, or declare the param with `type: string` for it to stay as typed"
        lossy = [replace(each, help=help_) for each in lossy]
    return node.data, read.place_all(lossy)

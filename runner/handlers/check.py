"""Does a stage's handler exist, does it fit the stage, does `with` fit it? Without running any of it.

HandlerRef, with, role ──► read the signature ──► faults, each with its place in the stage
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runner.errors import HandlerNotFound
from runner.handlers.annotations import describe, fits
from runner.handlers.base import Calls, find_kind
from runner.handlers.fault import Fault
from runner.handlers.placing import check_places, place
from runner.handlers.rules import GIVEN, QUEUES, given, item_parameter, misfits, required, settable, takes_any
from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.problems import did_you_mean, nearest
from runner.spec import HandlerRef, Role

__all__ = ["GIVEN", "Fault", "check_handler"]


def check_handler(
    ref: HandlerRef,
    arguments: Mapping[str, Any],
    role: Role,
    beside: Path,
    read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature,
    declared: Mapping[str, str] = MappingProxyType({}),
    places: Sequence[Any] = (),
) -> list[Fault]:
    """
    Check a stage's `run`, `with` and `args`, which are `places`. Runs no user code; `beside` is the workflow's folder.

    `declared` is what a handler gets by asking for it by name, and what each is: `{"mutex": "lock"}`. Who checks many
    stages hands in a `functools.cache(read_signature)` as `read`: each handler is then looked for once, and not again
    for each stage that shares it.
    """
    if ref.kind != "python":
        return [
            *_args_of_kind(ref, places),
            *_check_kind(ref, arguments, role, lambda target: read(target, beside), declared),
        ]
    return _check_target(ref.target, read(ref.target, beside), arguments, role, declared, places)


def _check_target(
    target: str,
    signature: Signature | Missing | Opaque,
    arguments: Mapping[str, Any],
    role: Role,
    declared: Mapping[str, str],
    places: Sequence[Any] = (),
) -> list[Fault]:
    if isinstance(signature, Opaque):
        return []
    if isinstance(signature, Missing):
        return [Fault(("run",), "value", "handler-not-found", signature.message, signature.help)]
    shown = _shown(target, signature)
    left = signature.without(declared)
    filled = [parameter.name for parameter in place(left, role, places).filled]
    asked = {p.name: declared[p.name] for p in signature.parameters if p.name in declared}
    others = {key: value for key, value in arguments.items() if key not in asked and key not in filled}
    return [
        *_given_twice(asked, arguments),
        *check_places(shown, left, role, places, arguments),
        *_check_python(shown, left.without(filled), others, role, declared),
    ]


def _check_kind(
    ref: HandlerRef,
    arguments: Mapping[str, Any],
    role: Role,
    read: Callable[[str], Signature | Missing | Opaque],
    declared: Mapping[str, str],
) -> Iterator[Fault]:
    try:
        kind = find_kind(ref.kind)
    except HandlerNotFound as error:
        yield Fault(("run",), "value", "handler-not-found", str(error))
        return
    if role not in kind.roles:
        fit = " or ".join(f"a {known}" for known in Role if known in kind.roles)
        shown = f"'{kind.name}' can be {fit}; this stage is a {role}"
        yield Fault(("run",), "value", "handler-role", shown, "`from` and `to` make the role")
    if kind.calls is not None:
        target = ref.options.get(kind.calls.option)
        for fault in _check_called(target, read(target), kind.calls, arguments, declared) if target else ():
            where = ("run", kind.name, kind.calls.option) if fault.where == ("run",) else fault.where
            yield replace(fault, where=where)
    elif arguments:
        shown = f"`with` is for handlers in Python; '{kind.name}' takes none"
        help_ = f"its options go under `run`, in `{kind.name}`"
        yield Fault(("with",), "key", "unknown-argument", shown, help_)


def _check_called(
    target: str,
    signature: Signature | Missing | Opaque,
    calls: Calls,
    arguments: Mapping[str, Any],
    declared: Mapping[str, str],
) -> list[Fault]:
    """A function that a kind calls is like the handler of a plain stage; with one thing at a time, of a consumer."""
    if not isinstance(signature, Signature):
        return _check_target(target, signature, arguments, Role.PLAIN, declared)
    names = {parameter.name for parameter in signature.parameters}
    if names.intersection(calls.fills):
        given = {**declared, **dict.fromkeys(calls.fills, f"part of what `{calls.option}` is called with")}
        return _check_target(target, signature, arguments, Role.PLAIN, given)
    if names & QUEUES:
        return _check_target(target, signature, arguments, Role.PLAIN, declared)
    if item_parameter(signature.without(declared)) is None:
        shown = f"{_shown(target, signature)} takes nothing that it could be called with"
        wanted = " or ".join(f"`{name}`" for name in calls.fills)
        return [Fault(("run",), "value", "handler-role", shown, f"give it a first parameter, or {wanted}")]
    return _check_target(target, signature, arguments, Role.CONSUMER, declared)


def _given_twice(asked: Mapping[str, str], arguments: Mapping[str, Any]) -> Iterator[Fault]:
    for key in arguments:
        if key in asked:
            message = f"'{key}' is a {asked[key]}, which mprun gives, so `with` can't set it"
            yield Fault(("with", key), "key", "unknown-argument", message, "give one of the two another name")


def _shown(target: str, signature: Signature) -> str:
    name = target.partition(":")[2]
    return name if signature.shape in (Shape.CLASS, Shape.PROCESS) else f"{name}()"


def _args_of_kind(ref: HandlerRef, places: Sequence[Any]) -> Iterator[Fault]:
    if places:
        shown = f"`args` is for handlers in Python; '{ref.kind}' takes none"
        yield Fault(
            ("args",), "key", "unknown-argument", shown, f"its options go under `run`, in `{ref.kind}`"
        )


def _check_python(
    shown: str,
    signature: Signature,
    arguments: Mapping[str, Any],
    role: Role,
    declared: Mapping[str, str],
) -> Iterator[Fault]:
    for misfit in misfits(shown, signature, role):
        yield Fault(("run",), "value", "handler-role", misfit.message, misfit.help)
    unknown = _unknown(signature, arguments, role)
    for key in unknown:
        yield _unknown_argument(shown, key, signature, role)
    lacking = [p for p in required(signature, role) if p.name not in arguments or _by_place_only(p)]
    meant = {nearest(key, [p.name for p in lacking]) for key in unknown}
    lacking = [p for p in lacking if p.name not in meant]
    yield from _missing_arguments(shown, lacking, bool(arguments), declared)
    yield from _wrong_types(shown, signature, arguments, role)


def _unknown(signature: Signature, arguments: Mapping[str, Any], role: Role) -> list[str]:
    known = {p.name for p in settable(signature, role) if _by_name(p)}
    taken = {p.name for p in signature.parameters} - {p.name for p in settable(signature, role)}
    return [key for key in arguments if key in taken or (key not in known and not takes_any(signature))]


def _unknown_argument(shown: str, key: str, signature: Signature, role: Role) -> Fault:
    where = ("with", key)
    item = item_parameter(signature)
    if any(p.name == key for p in signature.parameters) and key in given(role):
        return Fault(where, "key", "unknown-argument", f"'{key}' is given by mprun, so `with` can't set it")
    if item is not None and key == item.name and item not in settable(signature, role):
        message = f"'{key}' is the item that {shown} is called with, so `with` can't set it"
        return Fault(where, "key", "unknown-argument", message)
    names = [p.name for p in settable(signature, role) if _by_name(p)]
    help = did_you_mean(key, names) or "it takes none"
    return Fault(where, "key", "unknown-argument", f"{shown} takes no argument '{key}'", help)


def _missing_arguments(
    shown: str, lacking: list[Parameter], has_with: bool, declared: Mapping[str, str]
) -> Iterator[Fault]:
    for parameter in lacking:
        near = nearest(parameter.name, declared)
        if _by_place_only(parameter):
            message = f"{shown} needs '{parameter.name}' by place only, and `with` gives arguments by name"
            yield Fault(("run",), "value", "missing-argument", message, "add `args: […]`")
        elif near is not None:
            message = f"{shown} needs an argument '{parameter.name}'"
            help_ = f"the file declares a {declared[near]} '{near}': are both to have one name?"
            yield Fault(("run",), "value", "missing-argument", message, help_)
        else:
            yield _missing_argument(shown, parameter.name, has_with)


def _missing_argument(shown: str, name: str, has_with: bool) -> Fault:
    message = f"{shown} needs an argument '{name}'"
    if has_with:
        return Fault(("with",), "key", "missing-argument", message, f"add `{name}:` under `with`")
    return Fault(("run",), "value", "missing-argument", message, f"add `with: {{{name}: …}}`")


def _wrong_types(
    shown: str, signature: Signature, arguments: Mapping[str, Any], role: Role
) -> Iterator[Fault]:
    for parameter in settable(signature, role):
        name, annotation = parameter.name, parameter.annotation
        if _by_name(parameter) and name in arguments and fits(arguments[name], annotation) is False:
            message = f"{shown} takes '{name}' as {annotation}, got {describe(arguments[name])}"
            yield Fault(("with", name), "value", "wrong-argument-type", message)


def _by_name(parameter: Parameter) -> bool:
    return parameter.kind in (ParameterKind.POSITIONAL, ParameterKind.KEYWORD_ONLY)


def _by_place_only(parameter: Parameter) -> bool:
    return parameter.kind is ParameterKind.POSITIONAL_ONLY

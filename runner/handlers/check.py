"""Does a stage's handler exist, does it fit the stage, does `with` fit it? Without running any of it.

HandlerRef, with, role ──► read the signature ──► faults, each with its place in the stage
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.errors import HandlerNotFound
from runner.handlers.annotations import describe, fits
from runner.handlers.base import find_kind
from runner.handlers.rules import GIVEN, given, item_parameter, misfits, required, settable, takes_any
from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.problems import did_you_mean, nearest
from runner.spec import HandlerRef, Role

__all__ = ["GIVEN", "Fault", "check_handler"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with how a stage uses its handler."""

    where: tuple[str | int, ...]
    """The keys that lead to it from the stage: `("run",)`, `("with", "bunz")`, `("retry", "on", 1)`."""
    part: Literal["key", "value"]
    """Whether to point at the key or at its value."""
    code: str
    message: str
    help: str | None = None


def check_handler(
    ref: HandlerRef,
    arguments: Mapping[str, Any],
    role: Role,
    beside: Path,
    read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature,
) -> list[Fault]:
    """
    Check a stage's `run` and `with`; `beside` is the folder of the workflow file. Runs no user code.

    Who checks many stages hands in a `functools.cache(read_signature)` as `read`: each handler is then looked
    for once, and not again for each stage that shares it.
    """
    if ref.kind != "python":
        return list(_check_kind(ref.kind, arguments, role))
    signature = read(ref.target, beside)
    if isinstance(signature, Opaque):
        return []
    if isinstance(signature, Missing):
        return [Fault(("run",), "value", "handler-not-found", signature.message, signature.help)]
    return list(_check_python(ref.target.partition(":")[2], signature, arguments, role))


def _check_kind(kind: str, arguments: Mapping[str, Any], role: Role) -> Iterator[Fault]:
    try:
        roles = find_kind(kind).roles
    except HandlerNotFound as error:
        yield Fault(("run",), "value", "handler-not-found", str(error))
        return
    if role not in roles:
        fit = " or ".join(f"a {known}" for known in Role if known in roles)
        shown = f"'{kind}' can be {fit}; this stage is a {role}"
        yield Fault(("run",), "value", "handler-role", shown, "`from` and `to` make the role")
    if arguments:
        shown = f"`with` is for handlers in Python; '{kind}' takes none"
        yield Fault(("with",), "key", "unknown-argument", shown, f"its options go under `run`, in `{kind}`")


def _check_python(
    name: str, signature: Signature, arguments: Mapping[str, Any], role: Role
) -> Iterator[Fault]:
    shown = name if signature.shape in (Shape.CLASS, Shape.PROCESS) else f"{name}()"
    for misfit in misfits(shown, signature, role):
        yield Fault(("run",), "value", "handler-role", misfit.message, misfit.help)
    unknown = _unknown(signature, arguments, role)
    for key in unknown:
        yield _unknown_argument(shown, key, signature, role)
    lacking = [p for p in required(signature, role) if p.name not in arguments or _by_place_only(p)]
    meant = {nearest(key, [p.name for p in lacking]) for key in unknown}
    yield from _missing_arguments(shown, [p for p in lacking if p.name not in meant], bool(arguments))
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


def _missing_arguments(shown: str, lacking: list[Parameter], has_with: bool) -> Iterator[Fault]:
    for parameter in lacking:
        if _by_place_only(parameter):
            message = f"{shown} needs '{parameter.name}' by place only, and `with` gives arguments by name"
            yield Fault(("run",), "value", "missing-argument", message, "wrap it in a function of your own")
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

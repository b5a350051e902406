"""`args`: which parameter each value goes to that a file gives by place. Pure.

    args: [neo, 3]   def bake(worker, name, buns)  ──► place ──► name: neo, buns: 3

Values go to the parameters that are the file's to fill, in their order: those that mprun fills are left out. What has a
name is then handed over by name, so that it does not matter what stands between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runner.handlers.annotations import adapt, describe, fits
from runner.handlers.fault import Fault
from runner.handlers.rules import settable
from runner.handlers.shape import Parameter, ParameterKind, Signature
from runner.spec import Role

_BY_PLACE = (ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL)


@dataclass(frozen=True, slots=True)
class Placing:
    """Where values go that are given by place."""

    filled: tuple[Parameter, ...]
    """The parameters of the first values."""
    front: tuple[object, ...]
    """What has to be handed over by place."""
    names: Mapping[str, object]
    """What is handed over by name."""


def place(signature: Signature, role: Role, values: Sequence[object]) -> Placing:
    """Find the parameters of `values`; `signature` has none that the file's declarations fill."""
    filled = tuple(_open(signature, role)[: len(values)])
    adapted = [adapt(value, parameter.annotation) for parameter, value in zip(filled, values, strict=False)]
    if len(values) > len(filled):
        return Placing(filled, (*adapted, *values[len(filled) :]), {})
    only = sum(parameter.kind is ParameterKind.POSITIONAL_ONLY for parameter in filled)
    names = {p.name: value for p, value in zip(filled[only:], adapted[only:], strict=True)}
    return Placing(filled, tuple(adapted[:only]), names)


def check_places(
    shown: str, signature: Signature, role: Role, values: Sequence[object], named: Mapping[str, object]
) -> Iterator[Fault]:
    """Say which values have no parameter, or one that gets another, or one of another type."""
    filled = place(signature, role, values).filled
    if len(values) > len(filled):
        yield from _too_many(shown, signature, role, len(values), named)
    for number, (parameter, value) in enumerate(zip(filled, values, strict=False)):
        name, annotation = parameter.name, parameter.annotation
        if name in named:
            message = f"{shown} gets '{name}' twice: by place in `args`, and here by name"
            yield Fault(("with", name), "key", "unknown-argument", message, "leave out one of the two")
        if fits(value, annotation) is False:
            message = f"{shown} takes '{name}' as {annotation}, got {describe(value)}"
            yield Fault(("args", number), "value", "wrong-argument-type", message)


def _open(signature: Signature, role: Role) -> list[Parameter]:
    return [parameter for parameter in settable(signature, role) if parameter.kind in _BY_PLACE]


def _too_many(
    shown: str, signature: Signature, role: Role, count: int, named: Collection[str]
) -> Iterator[Fault]:
    most = len(_open(signature, role))
    takes_rest = any(p.kind is ParameterKind.VAR_POSITIONAL for p in signature.parameters)
    given = [p for p in signature.parameters if p.kind in _BY_PLACE and p not in _open(signature, role)]
    where = ("args", most)
    if not takes_rest:
        others = [p for p in settable(signature, role) if p.kind is ParameterKind.KEYWORD_ONLY]
        by_name = [parameter.name for parameter in others if parameter.name not in named]
        message = f"{shown} takes {most or 'no'} argument{'s' * (most != 1)} by place, got {count}"
        help_ = f"give '{by_name[0]}' by name, under `with`" if by_name else "leave out the rest"
        yield Fault(where, "value", "unknown-argument", message, help_)
    elif given:
        message = f"{shown} gets '{given[0].name}' from mprun, so what goes to its `*` can't be told by place"
        yield Fault(where, "value", "unknown-argument", message, f"let '{given[0].name}' come behind the `*`")

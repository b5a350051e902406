"""What mprun gives a handler, what `with` may set, and which handlers fit which stage. Pure.

The check before a run and the binding in the worker both ask here, so they can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature
from runner.spec import Role

QUEUES = frozenset({"queue", "inbox", "outbox"})
GIVEN = QUEUES | {"worker"}
"""Parameters that the worker fills, whenever a handler asks for them by name."""
OFFSET = "offset"
"""One more that a producer is given."""

_FUNCTIONS = frozenset({Shape.FUNCTION, Shape.GENERATOR})
_BY_PLACE = frozenset({ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL, ParameterKind.VAR_POSITIONAL})
_VARIADIC = frozenset({ParameterKind.VAR_POSITIONAL, ParameterKind.VAR_KEYWORD})


class Misfit(NamedTuple):
    """Why a handler can't be run by a stage of this role, and what would do."""

    message: str
    help: str | None = None


def given(role: Role) -> frozenset[str]:
    """Return the parameters that the worker fills in a stage of this role."""
    return GIVEN | {OFFSET} if role is Role.PRODUCER else GIVEN


def takes_offset(signature: Signature) -> bool:
    """Say whether a producer's handler can go on where an earlier generation was: it asks how far that came."""
    return any(p.name == OFFSET for p in (*signature.parameters, *(signature.call or ())))


def drives(signature: Signature) -> bool:
    """Say whether a handler asks for its queues, to put and get by itself."""
    return signature.shape in _FUNCTIONS and any(p.name in QUEUES for p in signature.parameters)


def takes_items(signature: Signature, role: Role) -> bool:
    """Say whether a handler is called once for each item."""
    return role in (Role.CONSUMER, Role.PIPE) and not drives(signature)


def item_parameter(signature: Signature) -> Parameter | None:
    """Return the parameter that the item goes to: the first positional one that mprun does not fill."""
    called = signature.parameters if signature.shape in _FUNCTIONS else signature.call or ()
    return next((p for p in called if p.kind in _BY_PLACE and p.name not in GIVEN), None)


def settable(signature: Signature, role: Role) -> tuple[Parameter, ...]:
    """Return the parameters that `with` may set, one that takes any keyword included."""
    item = (
        item_parameter(signature) if signature.shape in _FUNCTIONS and takes_items(signature, role) else None
    )
    return tuple(p for p in signature.parameters if p.name not in given(role) and p is not item)


def required(signature: Signature, role: Role) -> tuple[Parameter, ...]:
    """Return the parameters that `with` has to set."""
    return tuple(p for p in settable(signature, role) if p.required and p.kind not in _VARIADIC)


def takes_any(signature: Signature) -> bool:
    """Say whether the handler takes arguments of any name."""
    return any(p.kind is ParameterKind.VAR_KEYWORD for p in signature.parameters)


def misfits(name: str, signature: Signature, role: Role) -> list[Misfit]:
    """Say all that is wrong with running this handler in a stage of this role."""
    found = [*_wrong_queues(name, signature, role)]
    if signature.shape in _FUNCTIONS:
        return found + list(_wrong_function(name, signature, role))
    return found + list(_wrong_class(name, signature, role))


def _wrong_queues(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    asked = [p.name for p in signature.parameters if p.name in QUEUES]
    if not asked:
        return
    if role is Role.PLAIN:
        shown = f"{name} asks for '{asked[0]}', and a plain stage has no queue"
        yield Misfit(shown, "give the stage `from` or `to`")
    elif signature.shape not in _FUNCTIONS:
        yield Misfit(
            f"{name} is a class and asks for '{asked[0]}'",
            "a function may drive its queues; a class gets items",
        )
    elif role is Role.PIPE:
        yield from _wrong_pipe_queues(name, set(asked))
    elif (other := "inbox" if role is Role.PRODUCER else "outbox") in asked:
        has = "only writes" if role is Role.PRODUCER else "only reads"
        yield Misfit(
            f"{name} asks for '{other}', and a {role} {has}", f"ask for '{_own_end(role)}' or 'queue'"
        )


def _wrong_pipe_queues(name: str, asked: set[str]) -> Iterator[Misfit]:
    if "queue" in asked:
        shown = f"{name} asks for 'queue', and a pipe stage has two"
        yield Misfit(shown, "ask for 'inbox' and 'outbox'")
    elif asked != {"inbox", "outbox"}:
        lacking = ({"inbox", "outbox"} - asked).pop()
        yield Misfit(
            f"{name} drives its queues and does not ask for '{lacking}'", "ask for 'inbox' and 'outbox'"
        )


def _own_end(role: Role) -> str:
    return "outbox" if role is Role.PRODUCER else "inbox"


def _wrong_function(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    if signature.shape is Shape.GENERATOR and role is Role.PLAIN:
        yield Misfit(f"{name} yields items, and a plain stage has no queue for them", "give the stage `to`")
    elif signature.shape is Shape.GENERATOR and drives(signature):
        yield Misfit(
            f"{name} both yields items and asks for its queue",
            "put the items on the queue, or only yield them",
        )
    elif takes_items(signature, role) and item_parameter(signature) is None:
        yield Misfit(
            f"{name} takes no item, and a {role} calls it with each", "give it a first parameter for the item"
        )


def _wrong_class(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    if signature.shape is Shape.PROCESS:
        if role is not Role.PLAIN:
            shown = f"{name} is a Process subclass, and a {role} has to be called with items or make them"
            yield Misfit(
                shown, "use it in a stage without `from` and `to`, or write a function or a plain class"
            )
    elif role is Role.PRODUCER:
        if not signature.methods & {"__call__", "__iter__"}:
            yield Misfit(f"class {name} makes no items", "give it an __iter__ or a __call__ that yields them")
    elif role is Role.PLAIN:
        if not signature.methods & {"__call__", "run"}:
            yield Misfit(f"class {name} has nothing to run", "give it a method run() or __call__()")
    else:
        yield from _wrong_call(name, signature, role)


def _wrong_call(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    item = item_parameter(signature)
    if "__call__" not in signature.methods:
        yield Misfit(
            f"class {name} has no __call__, and a {role} calls it with each item",
            "give it __call__(self, item)",
        )
    elif item is None:
        yield Misfit(f"the __call__ of {name} takes no item", "write __call__(self, item)")
    elif more := [p.name for p in signature.call or () if p.required and p is not item]:
        shown = f"the __call__ of {name} needs '{more[0]}' besides the item"
        yield Misfit(shown, "what is not the item goes to __init__")

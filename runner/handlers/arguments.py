"""What a Python handler takes, what mprun gives it, what `with` and `args` may set, which fits which stage. Pure.

    args: [neo, 3]   def bake(worker, name, buns)  ──► match_positional ──► name: neo, buns: 3

A `Signature` is made from source by `inspection.signatures`, which runs nothing, and from the loaded object by
`python.runtime_signature`, in the worker. The check before a run and the binding in the worker both ask here, so they
can't disagree.

Positional values go to the parameters that are the file's to fill, in their order: those that mprun fills are left out.
What has a name is then handed over by name, so that it does not matter what stands between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Literal, NamedTuple

from runner.facts import dataclass
from runner.handlers.annotations import adapt, fits
from runner.spec.model import Role
from runner.text import describe_value


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with how a stage uses its handler."""

    where: tuple[str | int, ...]
    """The keys that lead to it from the stage: `("run",)`, `("with", "bunz")`, `("args", 0)`."""
    part: Literal["key", "value"]
    """Whether to point at the key or at its value."""
    code: str
    message: str
    help: str | None = None


class HandlerShape(StrEnum):
    """What kind of callable a handler is."""

    FUNCTION = "function"
    GENERATOR = "generator function"
    CLASS = "class"
    PROCESS = "Process subclass"


class ParameterKind(StrEnum):
    """How a parameter may be given a value."""

    POSITIONAL_ONLY = "positional-only"
    POSITIONAL = "positional"
    KEYWORD_ONLY = "keyword-only"
    VAR_POSITIONAL = "var-positional"
    VAR_KEYWORD = "var-keyword"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a callable."""

    name: str
    kind: ParameterKind = ParameterKind.POSITIONAL
    annotation: str | None = None
    """Source text. None if there is none, or if a name in it has a meaning of its own in the module."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """A handler, as far as its use depends on how it is written."""

    shape: HandlerShape
    parameters: tuple[Parameter, ...]
    """A class's are those of its constructor, without `self`."""
    call: tuple[Parameter, ...] | None = None
    """The parameters of a class's `__call__`, without `self`; None if it has no `__call__`."""
    methods: frozenset[str] = frozenset()
    """The names that a class or its bases define."""
    file: str | None = None
    line: int | None = None
    is_async: bool = False
    """Whether a call of it, or of a class's instance, makes a coroutine or an asynchronous generator."""

    def without(self, filled: Collection[str]) -> Signature:
        """Return what is left to fill once the parameters of these names are."""
        return replace(self, parameters=tuple(p for p in self.parameters if p.name not in filled))


QUEUES = frozenset({"queue", "inbox", "outbox"})
INJECTED = QUEUES | {"worker"}
"""Parameters that the worker fills, whenever a handler asks for them by name."""
ASYNC_DRIVER = "and its queue's `get()` and `put()` would hold up all that it runs"
"""What is wrong with an async function that drives its queue."""
OFFSET, TOKEN = "offset", "resume"
"""Two more that a producer is given: where it is to go on, in items, or as it has said itself."""

_FUNCTIONS = frozenset({HandlerShape.FUNCTION, HandlerShape.GENERATOR})
_TAKES_POSITION = frozenset(
    {ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL, ParameterKind.VAR_POSITIONAL}
)
_VARIADIC = frozenset({ParameterKind.VAR_POSITIONAL, ParameterKind.VAR_KEYWORD})


class Misfit(NamedTuple):
    """Why a handler can't be run by a stage of this role, and what would do."""

    message: str
    help: str | None = None


def injected_parameters(role: Role) -> frozenset[str]:
    """Return the parameters that the worker fills in a stage of this role."""
    return INJECTED | {OFFSET, TOKEN} if role is Role.PRODUCER else INJECTED


def takes_offset(signature: Signature) -> bool:
    """Say whether a producer's handler can go on where an earlier generation was: it asks how far that came."""
    return OFFSET in names_asked(signature)


def takes_token(signature: Signature) -> bool:
    """Say whether a producer's handler goes on from what it has noted: it asks for that."""
    return TOKEN in names_asked(signature)


def names_asked(signature: Signature) -> frozenset[str]:
    """Return the names of all parameters, those of a class's `__call__` too."""
    return frozenset(p.name for p in (*signature.parameters, *(signature.call or ())))


def goes_on_by_itself(signature: Signature) -> bool:
    """Say whether a producer's handler is told where an earlier generation was."""
    return takes_offset(signature) or takes_token(signature)


def drives_queues(signature: Signature) -> bool:
    """Say whether a handler asks for its queues, to put and get by itself."""
    return signature.shape in _FUNCTIONS and any(p.name in QUEUES for p in signature.parameters)


def takes_items(signature: Signature, role: Role) -> bool:
    """Say whether a handler is called once for each item."""
    return role in (Role.CONSUMER, Role.PIPE) and not drives_queues(signature)


def item_parameter(signature: Signature) -> Parameter | None:
    """Return the parameter that the item goes to: the first positional one that mprun does not fill."""
    called = signature.parameters if signature.shape in _FUNCTIONS else signature.call or ()
    return next((p for p in called if p.kind in _TAKES_POSITION and p.name not in INJECTED), None)


def settable(signature: Signature, role: Role) -> tuple[Parameter, ...]:
    """Return the parameters that `with` may set, one that takes any keyword included."""
    item = (
        item_parameter(signature) if signature.shape in _FUNCTIONS and takes_items(signature, role) else None
    )
    return tuple(p for p in signature.parameters if p.name not in injected_parameters(role) and p is not item)


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
        missing = ({"inbox", "outbox"} - asked).pop()
        yield Misfit(
            f"{name} drives its queues and does not ask for '{missing}'", "ask for 'inbox' and 'outbox'"
        )


def _own_end(role: Role) -> str:
    return "outbox" if role is Role.PRODUCER else "inbox"


def _wrong_function(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    if signature.shape is HandlerShape.GENERATOR and role is Role.PLAIN:
        yield Misfit(f"{name} yields items, and a plain stage has no queue for them", "give the stage `to`")
    elif signature.shape is HandlerShape.GENERATOR and drives_queues(signature):
        yield Misfit(
            f"{name} both yields items and asks for its queue",
            "put the items on the queue, or only yield them",
        )
    elif takes_items(signature, role) and item_parameter(signature) is None:
        yield Misfit(
            f"{name} takes no item, and a {role} calls it with each", "give it a first parameter for the item"
        )


def _wrong_class(name: str, signature: Signature, role: Role) -> Iterator[Misfit]:
    if signature.shape is HandlerShape.PROCESS:
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
        help_ = "let __init__ have 'worker', and keep it: self.worker" if more[0] == "worker" else ""
        yield Misfit(shown, help_ or "what is not the item goes to __init__")


_POSITIONAL = (ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL)


@dataclass(frozen=True, slots=True)
class PositionalArguments:
    """Where values go that are given by place."""

    filled: tuple[Parameter, ...]
    """The parameters of the first values."""
    front: tuple[object, ...]
    """What has to be handed over by place."""
    names: Mapping[str, object]
    """What is handed over by name."""


def match_positional(signature: Signature, role: Role, values: Sequence[object]) -> PositionalArguments:
    """Find the parameters of `values`; `signature` has none that the file's declarations fill."""
    filled = tuple(_open(signature, role)[: len(values)])
    adapted = [adapt(value, parameter.annotation) for parameter, value in zip(filled, values, strict=False)]
    if len(values) > len(filled):
        return PositionalArguments(filled, (*adapted, *values[len(filled) :]), {})
    only = sum(parameter.kind is ParameterKind.POSITIONAL_ONLY for parameter in filled)
    names = {p.name: value for p, value in zip(filled[only:], adapted[only:], strict=True)}
    return PositionalArguments(filled, tuple(adapted[:only]), names)


def check_positional(
    shown: str, signature: Signature, role: Role, values: Sequence[object], named: Mapping[str, object]
) -> Iterator[Fault]:
    """Say which values have no parameter, or one that gets another, or one of another type."""
    filled = match_positional(signature, role, values).filled
    if len(values) > len(filled):
        yield from _too_many(shown, signature, role, len(values), named)
    for number, (parameter, value) in enumerate(zip(filled, values, strict=False)):
        name, annotation = parameter.name, parameter.annotation
        if name in named:
            message = f"{shown} gets '{name}' twice: by place in `args`, and here by name"
            yield Fault(("with", name), "key", "unknown-argument", message, "leave out one of the two")
        if fits(value, annotation) is False:
            message = f"{shown} takes '{name}' as {annotation}, got {describe_value(value)}"
            yield Fault(("args", number), "value", "wrong-argument-type", message)


def _open(signature: Signature, role: Role) -> list[Parameter]:
    return [parameter for parameter in settable(signature, role) if parameter.kind in _POSITIONAL]


def _too_many(
    shown: str, signature: Signature, role: Role, count: int, named: Collection[str]
) -> Iterator[Fault]:
    most = len(_open(signature, role))
    takes_rest = any(p.kind is ParameterKind.VAR_POSITIONAL for p in signature.parameters)
    given = [p for p in signature.parameters if p.kind in _POSITIONAL and p not in _open(signature, role)]
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

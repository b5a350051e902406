"""Does a stage's handler exist, and does it fit what the stage says of it? From its source alone: no user code runs.

HandlerRef, with, role ──► read the signature ──► faults, each with its place in the stage

check_handler    it is there, fits the stage's role, and `with` and `args` fit its parameters
check_locked     `lock: NAME` of a stage whose handler would wait for ever under it
check_ordered    `order: keep` where a handler puts by itself: its outputs would have no place in the order
check_batch      `batch` where a handler takes its items itself, or is of a kind that takes them one by one
check_resumable  a producer can be restarted without making its items again
check_retryable  there is such an exception as `retry.on` names

ConnectionError      a builtin              requests.Timeout   with its module: not looked for
SteamTooCold         the handler's module   ConectionError     one slip from a builtin: refused
Unheard              neither, nor near any: it may come from a library that the handler uses
"""

from __future__ import annotations

import builtins
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runner.errors import HandlerNotFound
from runner.handlers.annotations import fits
from runner.handlers.arguments import (
    INJECTED,
    OFFSET,
    QUEUES,
    TOKEN,
    Fault,
    HandlerShape,
    Parameter,
    ParameterKind,
    Signature,
    check_positional,
    drives_queues,
    goes_on_by_itself,
    injected_parameters,
    item_parameter,
    match_positional,
    misfits,
    required,
    settable,
    takes_any,
)
from runner.handlers.inspection.imports import Missing, Opaque, SourceModule, find_module
from runner.handlers.inspection.names import names_of
from runner.handlers.inspection.signatures import read_signature
from runner.handlers.kinds import Calls, HandlerKind
from runner.handlers.registry import find_kind
from runner.ledger.retry import is_signal
from runner.loader.checks.outputs import valid_writes
from runner.loader.schema.validate import check_value
from runner.spec.failures import RestartOn
from runner.spec.model import HandlerRef, Role, StageSpec
from runner.spec.suggestions import did_you_mean, nearest, one_slip_from
from runner.text import describe_value

__all__ = ["INJECTED", "Fault", "check_handler"]


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
    shown = _describe_handler(target, signature)
    left = signature.without(declared)
    filled = [parameter.name for parameter in match_positional(left, role, places).filled]
    asked = {p.name: declared[p.name] for p in signature.parameters if p.name in declared}
    others = {key: value for key, value in arguments.items() if key not in asked and key not in filled}
    return [
        *_given_twice(asked, arguments),
        *check_positional(shown, left, role, places, arguments),
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
    elif kind.parts:
        yield from _check_options(kind.of_role(role), ref.options, role)
    if kind.calls is not None:
        target = ref.options.get(kind.calls.option)
        for fault in _check_called(target, read(target), kind.calls, arguments, declared) if target else ():
            where = ("run", kind.name, kind.calls.option) if fault.where == ("run",) else fault.where
            yield replace(fault, where=where)
    elif arguments:
        shown = f"`with` is for handlers in Python; '{kind.name}' takes none"
        help_ = f"its options go under `run`, in `{kind.name}`"
        yield Fault(("with",), "key", "unknown-argument", shown, help_)


def _check_options(part: HandlerKind, options: Mapping[str, Any], role: Role) -> Iterator[Fault]:
    """Hold options of a kind that has them for several roles to those of the stage's own."""
    known = part.options["properties"]
    for name in (name for name in options if name not in known):
        shown = f"'{name}' in '{part.name}' is not for a {role}"
        help_ = f"a {role}'s: {', '.join(known)}"
        yield Fault(("run", part.name, name), "key", "handler-role", shown, help_)
    for name in (name for name in part.options.get("required", ()) if name not in options):
        yield Fault(("run", part.name), "key", "missing-key", f"'{part.name}' of a {role} has no '{name}'")
    for name in (name for name in options if name in known):
        for wrong in check_value(known[name], options[name]):
            shown = f"'{name}' of a {role}: {wrong}"
            yield Fault(("run", part.name, name), "value", "wrong-type", shown)


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
        shown = f"{_describe_handler(target, signature)} takes nothing that it could be called with"
        wanted = " or ".join(f"`{name}`" for name in calls.fills)
        return [Fault(("run",), "value", "handler-role", shown, f"give it a first parameter, or {wanted}")]
    return _check_target(target, signature, arguments, Role.CONSUMER, declared)


def _given_twice(asked: Mapping[str, str], arguments: Mapping[str, Any]) -> Iterator[Fault]:
    for key in arguments:
        if key in asked:
            message = f"'{key}' is a {asked[key]}, which mprun gives, so `with` can't set it"
            yield Fault(("with", key), "key", "unknown-argument", message, "give one of the two another name")


def _describe_handler(target: str, signature: Signature) -> str:
    name = target.partition(":")[2]
    return name if signature.shape in (HandlerShape.CLASS, HandlerShape.PROCESS) else f"{name}()"


def _args_of_kind(ref: HandlerRef, places: Sequence[Any]) -> Iterator[Fault]:
    if places:
        shown = f"`args` is for handlers in Python; '{ref.kind}' takes none"
        yield Fault(
            ("args",), "key", "unknown-argument", shown, f"its options go under `run`, in `{ref.kind}`"
        )


def _check_python(
    shown: str, signature: Signature, arguments: Mapping[str, Any], role: Role, declared: Mapping[str, str]
) -> Iterator[Fault]:
    for misfit in misfits(shown, signature, role):
        yield Fault(("run",), "value", "handler-role", misfit.message, misfit.help)
    unknown = _unknown(signature, arguments, role)
    for key in unknown:
        yield _unknown_argument(shown, key, signature, role)
    missing = [p for p in required(signature, role) if p.name not in arguments or _by_place_only(p)]
    meant = {nearest(key, [p.name for p in missing]) for key in unknown}
    missing = [p for p in missing if p.name not in meant]
    yield from _missing_arguments(shown, missing, bool(arguments), declared)
    yield from _wrong_types(shown, signature, arguments, role)


def _unknown(signature: Signature, arguments: Mapping[str, Any], role: Role) -> list[str]:
    known = {p.name for p in settable(signature, role) if _by_name(p)}
    taken = {p.name for p in signature.parameters} - {p.name for p in settable(signature, role)}
    return [key for key in arguments if key in taken or (key not in known and not takes_any(signature))]


def _unknown_argument(shown: str, key: str, signature: Signature, role: Role) -> Fault:
    where = ("with", key)
    item = item_parameter(signature)
    if any(p.name == key for p in signature.parameters) and key in injected_parameters(role):
        return Fault(where, "key", "unknown-argument", f"'{key}' is given by mprun, so `with` can't set it")
    if item is not None and key == item.name and item not in settable(signature, role):
        message = f"'{key}' is the item that {shown} is called with, so `with` can't set it"
        return Fault(where, "key", "unknown-argument", message)
    names = [p.name for p in settable(signature, role) if _by_name(p)]
    help = did_you_mean(key, names) or "it takes none"
    return Fault(where, "key", "unknown-argument", f"{shown} takes no argument '{key}'", help)


def _missing_arguments(
    shown: str, missing: list[Parameter], has_with: bool, declared: Mapping[str, str]
) -> Iterator[Fault]:
    for parameter in missing:
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
            message = f"{shown} takes '{name}' as {annotation}, got {describe_value(arguments[name])}"
            yield Fault(("with", name), "value", "wrong-argument-type", message)


def _by_name(parameter: Parameter) -> bool:
    return parameter.kind in (ParameterKind.POSITIONAL, ParameterKind.KEYWORD_ONLY)


def _by_place_only(parameter: Parameter) -> bool:
    return parameter.kind is ParameterKind.POSITIONAL_ONLY


Read = Callable[[str, Path], Signature | Missing | Opaque]


def asks(stage: StageSpec, name: str, beside: Path, read: Read = read_signature) -> bool | None:
    """Say whether a stage's handler has a parameter of this name; None where it can't be looked into."""
    target = _called_by(stage)
    if target is None:
        return False
    signature = read(target, beside)
    if not isinstance(signature, Signature):
        return None
    return any(p.name == name for p in signature.parameters)


def may_drive(stage: StageSpec, beside: Path, read: Read = read_signature) -> bool:
    """Say whether a stage's handler drives its queue itself, or can't be looked into."""
    if stage.handler.kind != "python":
        return False
    signature = read(stage.handler.target, beside)
    return not isinstance(signature, Signature) or drives_queues(signature)


def _called_by(stage: StageSpec) -> str | None:
    """Return the Python callable that a stage's workers call, by themselves or through a kind such as `serve`."""
    if stage.handler.kind == "python":
        return stage.handler.target
    if not stage.handler.is_known:
        return None
    calls = find_kind(stage.handler.kind).calls
    return None if calls is None else stage.handler.options.get(calls.option)


def check_locked(stage: StageSpec, beside: Path, read: Read = read_signature) -> list[Fault]:
    """Refuse a handler that waits for others, or for itself, while it holds its stage's lock."""
    if stage.lock is None or stage.handler.kind != "python":
        return []
    signature = read(stage.handler.target, beside)
    if not isinstance(signature, Signature):
        return []
    shown = f"{stage.handler.target.partition(':')[2]}()"
    if drives_queues(signature):
        message = f"{shown} drives its queue by itself, and would hold the lock while it waits there"
        help_ = (
            f"let it have a parameter `{stage.lock}`, and write `with {stage.lock}:` round what must be whole"
        )
        return [Fault(("lock",), "value", "handler-role", message, help_)]
    if any(parameter.name == stage.lock for parameter in signature.parameters):
        message = (
            f"{shown} asks for '{stage.lock}' itself, and would wait for itself under `lock: {stage.lock}`"
        )
        return [Fault(("lock",), "value", "handler-role", message, "leave out one of the two")]
    return []


def check_ordered(
    stage: StageSpec, beside: Path, read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature
) -> list[Fault]:
    """Refuse a handler that drives its queues where the order of items is to be kept."""
    if not stage.keeps_order or stage.handler.kind != "python":
        return []
    signature = read(stage.handler.target, beside)
    if not isinstance(signature, Signature) or not drives_queues(signature):
        return []
    name = stage.handler.target.partition(":")[2]
    message = (
        f"{name}() puts by itself, so nobody can tell which item an output was made from, to keep their order"
    )
    return [
        Fault(("order",), "key", "handler-role", message, "let it return or yield what it makes of an item")
    ]


def check_batch(
    stage: StageSpec, beside: Path, read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature
) -> list[Fault]:
    """Refuse a handler that nobody can call with a list of items."""
    if stage.batch is None or stage.receives is None or not stage.handler.is_known:
        return []
    where = ("batch",)
    if stage.handler.kind == "command":  # what can't hold there is told with its options
        return []
    if (writes := valid_writes(stage)) is not None and writes.commits.batch is not None:
        return []
    if stage.handler.kind != "python":
        why = _ONE_BY_ONE.get(stage.handler.kind, "takes its items one by one")
        message = f"`batch` is for handlers in Python and for commands: '{stage.handler.kind}' {why}"
        return [Fault(where, "key", "handler-role", message, "leave it out")]
    signature = read(stage.handler.target, beside)
    if not isinstance(signature, Signature) or not drives_queues(signature):
        return []
    name = stage.handler.target.partition(":")[2]
    message = f"{name}() drives its queue by itself, so nobody can give it lists of items"
    return [
        Fault(where, "key", "handler-role", message, "give it a parameter for the list instead of the queue")
    ]


_ONE_BY_ONE = {
    "lines": "writes each item as a line, as it comes",
    "jsonl": "writes each item as a line, as it comes",
}


_HELP = (
    f"give its handler a parameter `{OFFSET}` or `{TOKEN}`, or say `deterministic: true` if it makes the same items "
    "each time"
)


def check_resumable(
    stage: StageSpec, beside: Path, read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature
) -> list[Fault]:
    """Refuse a restart of a producer that would put again what is in the queue already."""
    asked = stage.restart is not None and stage.restart.on is not RestartOn.NEVER
    if stage.role is not Role.PRODUCER or not asked or stage.deterministic:
        return []
    if stage.handler.kind == "python":
        signature = read(stage.handler.target, beside)
        if not isinstance(signature, Signature) or goes_on_by_itself(signature):
            return []
    elif not stage.handler.is_known or _goes_on(stage):
        return []
    message = f"a producer that is restarted begins again, and would put items of '{', '.join(stage.targets)}' twice"
    return [Fault(("restart",), "value", "restart-repeats", message, _HELP)]


def _goes_on(stage: StageSpec) -> bool:
    return find_kind(stage.handler.kind).of_role(stage.role).resumes(stage.handler.options)


_BUILTIN = "builtins."


def check_retryable(stage: StageSpec, beside: Path) -> list[Fault]:
    """Refuse names that look like a slip of the finger: such an exception would never be tried again."""
    known = frozenset(name for name, value in vars(builtins).items() if _is_exception(value))
    faults: list[Fault] = []
    for index, name in enumerate(stage.retry.on):
        if isinstance(name, int) or is_signal(name):
            faults += _check_exit(stage, name, _place(stage, index))
            continue
        bare = name.removeprefix(_BUILTIN)
        if bare in known or ("." in bare and bare == name):
            continue
        # Only now: most files name builtins alone, and need no module to be read.
        own = () if bare != name else _own_names(stage, beside)
        if bare not in own and (meant := one_slip_from(bare, [*known, *own])) is not None:
            message = f"there is no exception '{name}'"
            help = f"did you mean '{meant}'?"
            faults.append(Fault(_place(stage, index), "value", "unknown-exception", message, help))
    return faults


def _check_exit(stage: StageSpec, name: int | str, where: tuple[str | int, ...]) -> Iterator[Fault]:
    """Refuse an exit code or a signal where no program exits, and a signal that there is not."""
    if stage.handler.kind != "command" and stage.handler.is_known:
        what = f"{name} is an exit code" if isinstance(name, int) else f"'{name}' is a signal"
        help_ = "name the exception that its handler raises"
        yield Fault(where, "value", "no-effect", f"{what}, and only a `command` ends with one", help_)
    elif isinstance(name, str) and name not in signal.Signals.__members__:
        nearest_one = did_you_mean(name, signal.Signals.__members__)
        yield Fault(where, "value", "unknown-exception", f"there is no signal '{name}'", nearest_one)


def _place(stage: StageSpec, index: int) -> tuple[str | int, ...]:
    """A single name need not be in a list."""
    return ("retry", "on") if len(stage.retry.on) == 1 else ("retry", "on", index)


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _own_names(stage: StageSpec, beside: Path) -> Iterable[str]:
    """The names that the handler's module binds, imports included."""
    if stage.handler.kind != "python":
        return ()
    module = find_module(stage.handler.target.partition(":")[0], beside)
    return names_of(module).names if isinstance(module, SourceModule) else ()

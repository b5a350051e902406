"""What stages use beside their handlers: names that can be asked for, objects that can be made, pipes with two ends,
contracts that can be kept. Pure.

stages, pipes, shared ──► diagnostics        `asks` tells what only the handlers' source knows
"""

from __future__ import annotations

import array
import keyword
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from runner.loader.checks.stages import TAKEN, check_reserved_names
from runner.spec.diagnostics import Diagnostic, Severity, UnknownPaths
from runner.spec.failures import RestartOn
from runner.spec.model import Role, StageSpec, WorkflowSpec
from runner.spec.resources import PipeSpec, SharedSpec
from runner.spec.suggestions import did_you_mean

Asks = Callable[[StageSpec, str], bool | None]
"""Whether a stage's handler has a parameter of a name; None where its source does not tell."""

_OF_KIND: Mapping[str, tuple[type, str]] = {
    "dict": (dict, "a mapping"),
    "Namespace": (dict, "a mapping"),
    "list": (list, "a list"),
    "Array": (list, "a list of numbers"),
}


def check_objects(spec: WorkflowSpec, asks: Asks, unknowns: UnknownPaths) -> list[Diagnostic]:
    """Return what is wrong with `shared` and `pipes`, and with how handlers ask for what is in them."""
    stages = {stage.name: stage for stage in spec.stages}
    return [
        *_names(spec),
        *(diagnostic for each in spec.shared for diagnostic in _content(each)),
        *_unused(spec, asks, unknowns),
        *(
            diagnostic
            for pipe in spec.pipes
            if _is_as_written(pipe, unknowns)
            for diagnostic in _pipe(pipe, stages, asks, unknowns)
        ),
        *(_inline(spec) if spec.transport == "inline" else ()),
    ]


def check_contracts(spec: WorkflowSpec) -> Iterator[Diagnostic]:
    """Return what is wrong with the schemas of queues themselves. Imports jsonschema where there are any."""
    for queue in spec.queues:
        if queue.contract is not None:
            from runner.spec.contracts import faults_of_contract

            for path, message in faults_of_contract(queue.contract):
                yield Diagnostic(("queues", queue.name, "schema", *path), "wrong-schema", message)


# ── names ──


def _names(spec: WorkflowSpec) -> Iterator[Diagnostic]:
    owners = {lock.name: "a lock" for lock in spec.locks}
    sections: Iterable[tuple[str, str, Iterable[SharedSpec | PipeSpec]]] = (
        ("shared", "a shared object", spec.shared),
        ("pipes", "a pipe", spec.pipes),
    )
    for section, what, objects in sections:
        for each in objects:
            path = (section, each.name)
            if each.name in TAKEN:
                yield from check_reserved_names(section, what, [each.name])
            elif not each.name.isidentifier() or keyword.iskeyword(each.name):
                message = f"no parameter can be called '{each.name}', so no handler could ask for it"
                yield Diagnostic(path, "reserved-name", message, "key", "letters, digits and _, as in Python")
            elif each.name in owners:
                message = (
                    f"'{each.name}' is {owners[each.name]} already, and a handler asks for both by this name"
                )
                yield Diagnostic(path, "defined-twice", message, "key", "rename one of them")
            owners.setdefault(each.name, what)


# ── shared objects ──


def _content(shared: SharedSpec) -> Iterator[Diagnostic]:
    path = ("shared", shared.name)
    if shared.kind == "Array" and not shared.typecode:
        message = f"the Array '{shared.name}' needs a `type` for its numbers"
        yield Diagnostic(path, "shared-value", message, "key", "`type: i` for integers, `type: d` for floats")
        return
    if shared.typecode and shared.kind not in ("Value", "Array"):
        message = f"`type` is for a Value or an Array; '{shared.name}' is a {shared.kind}"
        yield Diagnostic((*path, "type"), "shared-value", message, "key", "leave it out")
        return
    if shared.value is None:
        return
    mismatch = _misfit(shared)
    if mismatch is not None:
        yield Diagnostic((*path, "value"), "shared-value", f"the {shared.kind} '{shared.name}' {mismatch}")


def _misfit(shared: SharedSpec) -> str | None:
    """Say why an object of this kind can't begin with its value; None where it can."""
    value: Any = shared.value
    if shared.kind in _OF_KIND:
        wanted, shown = _OF_KIND[shared.kind]
        if not isinstance(value, wanted):
            return f"begins with {shown}, got {value!r}"
    if shared.kind == "Event":
        return f"begins as not set, got {value!r}"
    if shared.kind == "Namespace":
        odd = next((name for name in value if not isinstance(name, str) or not name.isidentifier()), None)
        return None if odd is None else f"has attributes, and none can be called {odd!r}"
    if not shared.typecode:
        return None
    try:
        array.array(shared.typecode, value if shared.kind == "Array" else [value])
    except (TypeError, OverflowError, ValueError) as error:
        return f"can't hold {value!r} as '{shared.typecode}': {error}"
    return None


def _unused(spec: WorkflowSpec, asks: Asks, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    if not unknowns.knows_all([stage.name for stage in spec.stages], "run"):
        return
    for each in spec.shared:
        if all(asks(stage, each.name) is False for stage in spec.stages):
            message = f"no handler asks for the shared {each.kind} '{each.name}'"
            help_ = f"let a handler have a parameter `{each.name}`, or leave it out"
            path = ("shared", each.name)
            yield Diagnostic(path, "unused-shared", message, "key", help_, severity=Severity.WARNING)


# ── pipes ──


def _is_as_written(pipe: PipeSpec, unknowns: UnknownPaths) -> bool:
    """Whether no end of it was wrong and taken out."""
    path = ("pipes", pipe.name, "ends")
    return unknowns.knows(*path) and not any(each[:3] == path for each in unknowns.paths)


def _pipe(
    pipe: PipeSpec, stages: Mapping[str, StageSpec], asks: Asks, unknowns: UnknownPaths
) -> Iterator[Diagnostic]:
    path = ("pipes", pipe.name, "ends")
    if len(pipe.ends) != 2:
        message = f"a pipe has two ends, and '{pipe.name}' is given to {len(pipe.ends)} stages"
        yield Diagnostic(path, "pipe-ends", message, help="for more than two use a queue, or a shared object")
        return
    if pipe.ends[0] == pipe.ends[1]:
        message = f"both ends of '{pipe.name}' are for stage '{pipe.ends[0]}'"
        yield Diagnostic((*path, 1), "pipe-ends", message, help="name two stages")
        return
    for number, name in enumerate(pipe.ends):
        if name not in stages:
            message = f"pipe '{pipe.name}' has an end for stage '{name}', and there is no such stage"
            yield Diagnostic((*path, number), "unknown-stage", message, help=did_you_mean(name, stages))
        elif mismatch := _wrong_end(pipe, stages[name], asks, unknowns):
            yield Diagnostic((*path, number), "pipe-ends", *mismatch)
    yield from _strangers(pipe, stages.values(), asks)


def _wrong_end(
    pipe: PipeSpec, stage: StageSpec, asks: Asks, unknowns: UnknownPaths
) -> tuple[str, Any, str] | None:
    """Say why a stage can't have an end of a pipe, and what would do."""
    shown = f"stage '{stage.name}'"
    if stage.role is not Role.PLAIN:
        why = f"{shown} is a {stage.role}, and a pipe joins plain stages"
        return why, "value", "leave out its `from` and `to`, or let a queue carry it all"
    if len(stage.workers) != 1:
        why = (
            f"{shown} has {len(stage.workers)} workers, and what they send through one end would get mixed up"
        )
        return why, "value", "`count: 1`; for more use a queue"
    if stage.restart is not None and stage.restart.on is not RestartOn.NEVER:
        why = f"{shown} has its workers replaced, and a pipe closes when the first of them dies"
        return why, "value", "leave out its `restart`"
    if asks(stage, pipe.name) is False and unknowns.knows("stages", stage.name, "run"):
        why = f"the handler of {shown} has no parameter '{pipe.name}', so it could not use its end"
        return why, "value", f"let it have a parameter `{pipe.name}`"
    return None


def _strangers(pipe: PipeSpec, stages: Iterable[StageSpec], asks: Asks) -> Iterator[Diagnostic]:
    """Handlers that ask for a pipe which has no end for them."""
    for stage in stages:
        if stage.name not in pipe.ends and asks(stage, pipe.name):
            ends = " and ".join(f"'{end}'" for end in pipe.ends)
            message = (
                f"the handler of stage '{stage.name}' asks for '{pipe.name}', the pipe between {ends}, "
                "which has no third end"
            )
            yield Diagnostic(
                ("stages", stage.name, "run"), "pipe-ends", message, help="for more than two use a queue"
            )


def _inline(spec: WorkflowSpec) -> Iterator[Diagnostic]:
    """What one worker waits at for another: under `inline`, where only one moves at a time, it would do so for ever."""
    waits = [(("pipes", pipe.name), f"`recv` at the pipe '{pipe.name}'") for pipe in spec.pipes]
    waits += [
        (("shared", each.name), f"`wait` at the Event '{each.name}'")
        for each in spec.shared
        if each.kind == "Event"
    ]
    for path, wait in waits:
        message = f"{wait} is for another worker, and under `inline` only one moves at a time"
        yield Diagnostic(path, "transport-cannot", message, "key", "use `leased` or `joinable`")

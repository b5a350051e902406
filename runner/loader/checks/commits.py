"""Is what a stage's handler makes of its items safe when they count as done? From its source alone: no user code runs.

check_flush       `flush` where the handler has no `flush()`, or takes no items
check_checkpoint  `state: checkpoint` where the handler is no object that could keep a state, or no worker is replaced
check_batch       `batch` beside either: its items are done when the call has returned
check_state       a handler that keeps something of its items, which would die with its worker
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from runner.handlers.arguments import HandlerShape, Signature, drives_queues, takes_token
from runner.handlers.inspection.imports import Missing, Opaque
from runner.handlers.inspection.signatures import read_signature
from runner.handlers.inspection.state import read_class_state, read_kept_state, read_unflushed_state
from runner.handlers.registry import find_kind
from runner.loader.checks.outputs import valid_writes
from runner.spec.commits import PLACE_KEPT, FlushPolicy, Holder, KeptState, LostBeside
from runner.spec.diagnostics import Diagnostic, Severity, UnknownPaths
from runner.spec.failures import RestartOn
from runner.spec.model import Role, StageSpec, WorkflowSpec

FLUSH = "flush"
"""The method that a class has whose items are done when it has returned."""
_STATE_HELP = {
    LostBeside.NOTHING: (
        "write `state: checkpoint` to have it kept, or `state: none` if it does not matter; or give the class a "
        "method `flush()`, which makes safe what it holds: its items are done only then"
    ),
    LostBeside.FLUSH: (
        "have `flush()` make it safe too, or write `state: checkpoint` to have it kept, or `state: none` if it does "
        "not matter"
    ),
    LostBeside.CHECKPOINT: "make it in `__init__`",
}
_OUTSIDE_HELP = {
    LostBeside.NOTHING: (
        "keep it in `self` of a class, and write `state: checkpoint`; or write `state: none` if it does not matter"
    ),
    LostBeside.FLUSH: "have `flush()` make it safe too; or write `state: none` if it does not matter",
    LostBeside.CHECKPOINT: "keep it in `self`",
}
_WHY_LOST = {
    LostBeside.NOTHING: "",
    LostBeside.FLUSH: ", with which `flush()` does nothing",
    LostBeside.CHECKPOINT: ", which is the class's, so that a checkpoint of the instance does not have it",
}
_WHY_LOST_OUTSIDE = _WHY_LOST | {LostBeside.CHECKPOINT: ", which no checkpoint of the instance has"}
_BEGUN_HELP = (
    "wait for it before the call returns, or in a method `flush()` of a class: its items are done only then; or write "
    "`state: none` if it does not matter"
)
_TAKES_NO_ITEMS = "stage '{}' takes no items, so there is nothing to {}"

_Misfit = tuple[str, Literal["key"], str]
"""The message, what to point at, and what to do."""
_ReadState = Callable[[str, Path], KeptState | Opaque | None]
Read = Callable[[str], Signature | Missing | Opaque]


def with_done_when(spec: WorkflowSpec) -> WorkflowSpec:
    """Note in each stage that takes items what its handler's source tells of when these are done, and what it keeps."""
    beside = spec.path.parent
    read = functools.cache(lambda target: read_signature(target, beside))
    kept = functools.cache(lambda target, read_state: read_state(target, beside))

    def noted(stage: StageSpec) -> StageSpec:
        if stage.handler.kind != "python":
            return _with_commits_of_kind(replace(stage, resumes=_resumes(stage)), spec.transport)
        if stage.receives is None and stage.sends is None:
            return stage
        signature = read(stage.handler.target)
        if stage.receives is None:
            return replace(stage, resumes=isinstance(signature, Signature) and takes_token(signature))
        flushes = _flushes(signature)
        drives = isinstance(signature, Signature) and drives_queues(signature)
        # Who drives its queue says itself when an item is done.
        watched = spec.transport == "leased" and not drives
        read_state = _state_reader(stage, flushes) if watched else None
        missed = None if read_state is None else kept(stage.handler.target, read_state)
        return replace(
            stage,
            flush=(stage.flush or FlushPolicy()) if flushes else stage.flush,
            drives=drives,
            kept=KeptState() if isinstance(missed, Opaque) else missed,
        )

    return replace(spec, stages=tuple(map(noted, spec.stages)))


def _resumes(stage: StageSpec) -> bool:
    if stage.role is not Role.PRODUCER or not stage.handler.is_known:
        return False
    kind = find_kind(stage.handler.kind).of_role(stage.role)
    return stage.role in kind.roles and kind.resumes(stage.handler.options)


def _with_commits_of_kind(stage: StageSpec, transport: str) -> StageSpec:
    """A kind says itself when items are done; what the stage says of that goes first."""
    writes = valid_writes(stage)
    if writes is None:
        return stage
    commits = writes.commits
    lasts = commits.keeps_state and transport == "leased"
    return replace(
        stage,
        flush=stage.flush or commits.flush,
        batch=stage.batch or commits.batch,
        state=PLACE_KEPT if lasts else stage.state,
    )


def _state_reader(stage: StageSpec, flushes: bool) -> _ReadState | None:
    """What tells of the state that a death would lose, where one is borne."""
    if stage.checkpoint is not None:
        return read_class_state
    if not stage.misses_state:
        return None
    return read_unflushed_state if flushes else read_kept_state


def check_commits(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Return what stages say in vain of when their items are done, and what they lack. After `with_done_when`."""
    read = functools.cache(lambda target: read_signature(target, spec.path.parent))
    for stage in spec.stages:
        for diagnostic in (
            *check_flush(stage, read),
            *check_checkpoint(stage, spec.transport, read),
            *check_batch_beside(stage),
            *check_state(stage),
        ):
            keys = ("run", "from", "restart", "state", str(diagnostic.path[2]))
            if all(unknowns.knows("stages", stage.name, key) for key in keys):
                yield diagnostic


def check_flush(stage: StageSpec, read: Read) -> Iterator[Diagnostic]:
    """Refuse `flush` where there is nothing to call, and warn of it where there is nothing to call it for."""
    path = ("stages", stage.name, "flush")
    if stage.flush is None:
        return
    if stage.receives is None:
        message = _TAKES_NO_ITEMS.format(stage.name, "make safe")
        yield Diagnostic(path, "no-effect", message, "key", "leave it out", Severity.WARNING)
    elif (misfit := _without_flush(stage, read)) is not None:
        yield Diagnostic(path, "handler-role", *misfit)


def _without_flush(stage: StageSpec, read: Read) -> _Misfit | None:
    shown = stage.handler.target.partition(":")[2]
    if stage.handler.kind != "python":
        if (writes := valid_writes(stage)) is not None and writes.commits.flush is not None:
            return None
        message = (
            f"`flush` is for a class with a method flush(); '{stage.handler.kind}' is safe after each item"
        )
        return message, "key", "leave it out"
    signature = read(stage.handler.target)
    if not isinstance(signature, Signature) or _flushes(signature):
        return None
    if signature.shape is HandlerShape.CLASS:
        message = f"{shown} has no method flush() that could be called"
        return message, "key", "add one, which makes safe what the instance holds; or leave this out"
    return _no_class(shown, "nothing of it waits to be flushed")


def check_checkpoint(stage: StageSpec, transport: str, read: Read) -> Iterator[Diagnostic]:
    """Refuse to keep the state of what has none, and warn where nobody would ever go on with it."""
    path = ("stages", stage.name, "state")
    if stage.checkpoint is None or stage.receives is None or stage.state == PLACE_KEPT:
        return
    if (misfit := _without_state(stage, read)) is not None:
        yield Diagnostic(path, "handler-role", *misfit)
    elif transport == "leased" and stage.restart is not None and stage.restart.on is RestartOn.NEVER:
        message = "`state: checkpoint` has no effect beside `restart: never`: nobody takes a worker's place"
        yield Diagnostic(path, "no-effect", message, "key", "leave out one of the two", Severity.WARNING)


def _without_state(stage: StageSpec, read: Read) -> _Misfit | None:
    if stage.handler.kind != "python":
        message = (
            f"`state: checkpoint` is for a class in Python; '{stage.handler.kind}' keeps nothing of its items"
        )
        return message, "key", "leave it out"
    signature = read(stage.handler.target)
    if not isinstance(signature, Signature) or signature.shape is HandlerShape.CLASS:
        return None
    return _no_class(stage.handler.target.partition(":")[2], "it keeps nothing of its items")


def _no_class(shown: str, therefore: str) -> _Misfit:
    message = f"{shown}() is a function: its items are done when it has returned, and {therefore}"
    return message, "key", "leave it out, or make it a class with `__call__`"


def check_batch_beside(stage: StageSpec) -> Iterator[Diagnostic]:
    """Refuse to say in two ways when an item is done."""
    if stage.batch is None or stage.receives is None or (stage.flush is None and stage.checkpoint is None):
        return
    other = "a handler with `flush()`" if stage.flush is not None else "`state: checkpoint`"
    message = f"`batch` beside {other}: the items of a batch are done when the call has returned"
    help_ = "leave out one of the two: make safe in the call what the list became"
    yield Diagnostic(("stages", stage.name, "batch"), "conflicting-keys", message, "key", help_)


def check_state(stage: StageSpec) -> Iterator[Diagnostic]:
    """Warn of a stage whose handler keeps something that a worker's death would lose."""
    if stage.kept is None or not stage.kept.seen:
        return
    name, beside = stage.handler.target.partition(":")[2], stage.kept.beside
    match stage.kept.holder:
        case Holder.INSTANCE:
            where, help_ = f"in {stage.kept.shown}{_WHY_LOST[beside]}", _STATE_HELP[beside]
        case Holder.BEGUN:
            where, help_ = f"for {stage.kept.shown}", _BEGUN_HELP
        case _:
            where, help_ = f"in {stage.kept.shown}{_WHY_LOST_OUTSIDE[beside]}", _OUTSIDE_HELP[beside]
    does = "leaves work on" if stage.kept.holder is Holder.BEGUN else "keeps what it makes of"
    fails = ", and the run fails" if stage.misses_state else ""
    message = f"{name} {does} its items {where}: if a worker dies, that is lost{fails}"
    path = ("stages", stage.name, "run")
    yield Diagnostic(path, "stateful-handler", message, help=help_, severity=Severity.WARNING)


def _flushes(signature: Signature | Missing | Opaque) -> bool:
    return isinstance(signature, Signature) and FLUSH in signature.methods

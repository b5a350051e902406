"""From `module:callable` to a handler at work: import it, see what it is, give it what it asks for.

target, with, context ──► import ──► signature ──► Source    generator function, or one that returns items
                                                   Mapper    function of one item, or class with __call__
                                                   Driver    function with `queue`, `inbox` or `outbox`
                                                   Task      function, class with run(), Process subclass

All of it happens in the worker, once. The supervisor never imports what users write.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.errors import HandlerError, HandlerNotFound
from runner.handlers.annotations import adapt
from runner.handlers.base import Driver, Handler, Mapper, QueueEnd, Source, Task, WorkerContext
from runner.handlers.live import is_async, is_process, signature_of, yields
from runner.handlers.modules import is_reserved
from runner.handlers.placing import place
from runner.handlers.rules import OFFSET, QUEUES, drives, item_parameter, misfits
from runner.handlers.shape import ParameterKind, Signature
from runner.problems import did_you_mean
from runner.spec import Role


def bind(
    target: str, arguments: Mapping[str, Any], context: WorkerContext, places: Sequence[Any] = ()
) -> Handler:
    """
    Import a Python handler and fit it to the stage's role; `places` are arguments by place. Called once, in the worker.

    Raises:
        HandlerNotFound: there is no such module or callable.
        HandlerError: it does not fit the role, in a way that could not be seen without running the module.
    What the module or a class raises while it is imported or constructed passes through.
    """
    name = target.partition(":")[2]
    handler = _find(target, context)
    signature = _signature(handler, name, context.role, context.gifts)
    front, by_name = _placed(signature, places, context)
    given = _keywords(signature, {**by_name, **arguments}, context)
    if isinstance(handler, type):
        return _bind_class(handler, front, given, signature, context)
    handler = partial(handler, *front) if front else handler
    if signature is not None and drives(signature):
        return Driver(_driver(handler, signature, given))
    if context.role is Role.PRODUCER:
        return Source(_maker(partial(handler, **given) if given else handler, name))
    if context.role is Role.PLAIN:
        return Task(partial(handler, **given))
    return Mapper(_of_one_item(handler, signature, given, context.gifts))


def bind_partly(
    target: str, arguments: Mapping[str, Any], context: WorkerContext, later: Collection[str]
) -> Callable[..., object]:
    """
    Import a function and fill all its parameters but `later`, which the caller gives by name. For kinds of handlers
    that call functions of the user's.

    Raises:
        HandlerNotFound, HandlerError: as `bind` does.
    """
    handler = _find(target, context)
    signature = _signature(handler, target.partition(":")[2], Role.PLAIN, {*context.gifts, *later})
    return partial(handler, **_keywords(signature, arguments, context))


def parameters_of(target: str, context: WorkerContext) -> frozenset[str]:
    """Import a Python handler and name its parameters; none where it does not tell. Raises as `bind` does."""
    signature = signature_of(_find(target, context))
    return frozenset(p.name for p in signature.parameters) if signature else frozenset()


def _find(target: str, context: WorkerContext) -> Callable[..., Any]:
    return _find_callable(_import(target.partition(":")[0], context.beside), target)


def _import(name: str, beside: str) -> ModuleType:
    _put_first(str(Path(beside).resolve()))
    _forget_namesake(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only the module itself: one that the handler's module fails to import is the handler's own affair.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        message = f"there is no module '{error.name}' beside the file or on the import path"
        raise HandlerNotFound(message) from None


def _put_first(folder: str) -> None:
    """Put the workflow's folder where imports look first, so that handlers find their own neighbours too."""
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()


def _forget_namesake(top: str) -> None:
    """Unload a module of this name from elsewhere: that of another workflow, run before in this process."""
    loaded = sys.modules.get(top)
    if loaded is None or is_reserved(top):
        return
    spec = importlib.machinery.PathFinder.find_spec(top, sys.path[:1])
    if spec is None or spec.origin is None or spec.origin == getattr(loaded, "__file__", None):
        return
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]


def _find_callable(module: ModuleType, target: str) -> Callable[..., Any]:
    found: Any = module
    for part in target.partition(":")[2].split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, [name for name in dir(found) if not name.startswith("_")])
            raise HandlerNotFound(f"'{target}' is not there: no '{part}'{f'; {hint}' if hint else ''}")
        found = getattr(found, part)
    if not callable(found):
        raise HandlerNotFound(f"'{target}' is a {type(found).__name__}: it can't be called")
    handler: Callable[..., Any] = found
    return handler


def _signature(
    handler: Callable[..., Any], name: str, role: Role, filled: Collection[str]
) -> Signature | None:
    """Return what a handler takes, once it is sure that it fits when the parameters `filled` are given."""
    if is_async(handler):
        raise HandlerError(f"'{name}' is an async function, and a worker runs no event loop")
    signature = signature_of(handler)
    for misfit in misfits(name, signature.without(filled), role) if signature else ():
        raise HandlerError(f"{misfit.message}; {misfit.help}" if misfit.help else misfit.message)
    return signature


def _keywords(
    signature: Signature | None, arguments: Mapping[str, Any], context: WorkerContext
) -> dict[str, Any]:
    """Return the arguments by name: `with`, in the types that are asked for, and what mprun gives."""
    if signature is None:
        return dict(arguments)
    annotations = {p.name: p.annotation for p in signature.parameters}
    given = {name: adapt(value, annotations.get(name)) for name, value in arguments.items()}
    offered = {"worker": context} | ({OFFSET: context.offset} if context.role is Role.PRODUCER else {})
    presents = {name: gift.unwrap() for name, gift in context.gifts.items() if name in annotations}
    return given | presents | {name: value for name, value in offered.items() if name in annotations}


def _placed(
    signature: Signature | None, places: Sequence[Any], context: WorkerContext
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """Split arguments by place into those that are handed over so, and those that have a name."""
    if signature is None or not places:
        return tuple(places), {}
    placing = place(signature.without(context.gifts), context.role, places)
    return placing.front, placing.names


def _driver(
    handler: Callable[..., Any], signature: Signature, given: Mapping[str, Any]
) -> Callable[[QueueEnd | None, QueueEnd | None], object]:
    asked = [p.name for p in signature.parameters if p.name in QUEUES]

    def drive(inbox: QueueEnd | None, outbox: QueueEnd | None) -> object:
        ends = {"inbox": inbox, "outbox": outbox, "queue": outbox if inbox is None else inbox}
        return handler(**given, **{name: ends[name] for name in asked})

    return drive


def _maker(make: Callable[[], Any], name: str) -> Callable[[], Iterable[object]]:
    """Return what makes a producer's items. A generator function is that already, with nothing round it."""
    if yields(make):
        return make

    def items() -> Iterable[object]:
        made = make()
        if made is None:
            return ()
        if isinstance(made, str | bytes) or not hasattr(made, "__iter__"):
            kind = type(made).__name__
            raise TypeError(
                f"{name} makes items, so it has to yield them or return a list of them; got {kind}"
            )
        found: Iterable[object] = made
        return found

    return items


def _of_one_item(
    handler: Callable[..., Any], signature: Signature | None, given: dict[str, Any], gifts: Collection[str]
) -> Callable[[object], object]:
    """Return a function of the item alone; the handler itself where nothing has to be added."""
    item = item_parameter(signature.without(gifts)) if signature else None
    before: list[object] = []
    for parameter in signature.parameters if signature else ():
        if parameter is item or parameter.kind is ParameterKind.KEYWORD_ONLY:
            break
        # Only what mprun gives, such as `worker`, stands before the item.
        before.append(given.pop(parameter.name))
    return partial(handler, *before, **given) if before or given else handler


def _bind_class(
    cls: type,
    front: Sequence[object],
    given: Mapping[str, Any],
    signature: Signature | None,
    context: WorkerContext,
) -> Handler:
    instance: Any = cls(*front, **given)
    if is_process(cls):
        return Task(_process_runner(instance, context))
    close = getattr(instance, "close", None)
    closing = {"close": close} if callable(close) else {}
    if context.role is Role.PRODUCER:
        return Source(_maker(_making(instance, signature, context.offset), cls.__name__), **closing)
    if context.role is Role.PLAIN:
        return Task(instance.run if hasattr(instance, "run") else instance.__call__, **closing)
    return Mapper(instance.__call__, **closing)


def _making(instance: Any, signature: Signature | None, offset: int) -> Callable[[], Any]:
    """Return what to call for the items of an instance; its `__call__` may ask for the offset too."""
    if not callable(instance):
        return lambda: instance
    asks = signature is not None and any(p.name == OFFSET for p in signature.call or ())
    return partial(instance.__call__, offset=offset) if asks else instance.__call__


def _process_runner(process: Any, context: WorkerContext) -> Callable[[], object]:
    """
    Return what runs a `multiprocessing.Process` as this worker, in which it was built.

    There is no `start()`: the worker is the new process already. So the instance is told what `start()` would
    have told it: whose child it is, its name, and that it is the one that `current_process()` finds.
    """
    import multiprocessing.process as state

    process._parent_pid = context.ppid
    if process.name == f"{type(process).__name__}-{':'.join(map(str, process._identity))}":
        process.name = context.name

    def run() -> object:
        before = state.current_process()
        state._current_process = process  # type: ignore[attr-defined]
        try:
            return process.run()
        finally:
            state._current_process = before  # type: ignore[attr-defined]

    return run

"""From `module:callable` to a handler at work: import it, see what it is, give it what it asks for.

target, with, context ──► import ──► signature ──► Source    generator function, or one that returns items
                                                   Mapper    function of one item, or class with __call__
                                                   Driver    function with `queue`, `inbox` or `outbox`
                                                   Task      function, class with run(), Process subclass

All of it happens in the worker, once. The supervisor never imports what users write; it asks for a runtime signature
only of what the standard library has in C, whose source can't be read.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from runner.errors import HandlerError, HandlerNotFound
from runner.handlers.annotations import adapt
from runner.handlers.arguments import (
    ASYNC_DRIVER,
    OFFSET,
    QUEUES,
    TOKEN,
    HandlerShape,
    Parameter,
    ParameterKind,
    Signature,
    drives_queues,
    item_parameter,
    match_positional,
    misfits,
    names_asked,
)
from runner.handlers.checkpoint import restore
from runner.handlers.inspection.imports import hidden_module, is_reserved
from runner.handlers.kinds import Driver, Handler, Mapper, QueueEnd, Source, Task, WorkerContext
from runner.spec.model import Role
from runner.spec.suggestions import did_you_mean


def bind(
    target: str, arguments: Mapping[str, Any], context: WorkerContext, positional: Sequence[Any] = ()
) -> Handler:
    """
    Import a Python handler and fit it to the stage's role; `positional` are its `args`. Called once, in the worker.

    Raises:
        HandlerNotFound: there is no such module or callable.
        HandlerError: it does not fit the role, in a way that could not be seen without running the module.
    What the module or a class raises while it is imported or constructed passes through, but for SystemExit, which is a
    HandlerError: nothing was built, so no worker may count as finished.
    """
    name = target.partition(":")[2]
    handler = _find(target, context)
    signature = _signature(handler, name, context.role, context.resources)
    front, by_name = _split_positional(signature, positional, context)
    given = _keywords(signature, {**by_name, **arguments}, context)
    if isinstance(handler, type):
        return _bind_class(handler, front, given, signature, context)
    handler = partial(handler, *front) if front else handler
    if is_async(handler):
        return _bind_async(handler, signature, given, context, name)
    if signature is not None and drives_queues(signature):
        return Driver(_driver(handler, signature, given))
    if context.role is Role.PRODUCER:
        return Source(_item_maker(partial(handler, **given) if given else handler, name))
    if context.role is Role.PLAIN:
        return Task(partial(handler, **given))
    kept = handler if _is_instance(handler) else None
    return Mapper(
        _item_function(handler, signature, given, context.resources), flush=_flush_of(kept), instance=kept
    )


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
    signature = _signature(handler, target.partition(":")[2], Role.PLAIN, {*context.resources, *later})
    return partial(handler, **_keywords(signature, arguments, context))


def import_parameters(target: str, context: WorkerContext) -> frozenset[str]:
    """Import a Python handler and name its parameters; none where it does not tell. Raises as `bind` does."""
    signature = runtime_signature(_find(target, context))
    return frozenset(p.name for p in signature.parameters) if signature else frozenset()


def producer_asks(target: str, context: WorkerContext) -> frozenset[str]:
    """Import a producer and name what it asks for, in its `__call__` too. Raises as `bind` does."""
    signature = runtime_signature(_find(target, context))
    return frozenset() if signature is None else names_asked(signature)


def class_called(target: str) -> str:
    """
    Name the class whose instance a handler is that is imported already; empty for a function, however decorated.

    What decorators leave round a function names it by `__wrapped__`, and what is in C keeps nothing of its items.
    """
    found = _find_callable(sys.modules[target.partition(":")[0]], target)
    if isinstance(found, type):
        return found.__name__
    if inspect.ismethod(found):
        return "" if isinstance(found.__self__, type) else type(found.__self__).__name__
    return type(found).__name__ if _is_instance(found) else ""


def resumed(handler: Mapper, state: bytes, context: WorkerContext) -> Mapper:
    """
    Return a handler that goes on with the state that another was in.

    What unpickling raises passes through, but for SystemExit, which is a HandlerError.
    """
    try:
        instance = restore(handler.instance, state, {"worker": context})
    except SystemExit as leaving:
        name = type(handler.instance).__name__
        raise HandlerError(f"{name} called sys.exit while it was given its predecessor's state") from leaving
    return handler if instance is handler.instance else _mapper_of(instance)


def _is_instance(found: object) -> bool:
    is_called = inspect.isfunction(getattr(type(found), "__call__", None))  # noqa: B004 - the method itself is wanted
    return is_called and not hasattr(found, "__wrapped__")


def _find(target: str, context: WorkerContext) -> Callable[..., Any]:
    return _find_callable(_import(target.partition(":")[0], context.beside), target)


def _import(name: str, beside: str) -> ModuleType:
    if hidden := hidden_module(name, Path(beside)):
        raise HandlerNotFound(f"{hidden.message}: {hidden.help}")
    prepend_to_path(str(Path(beside).resolve()))
    _unload_namesake(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only the module itself: one that the handler's module fails to import is the handler's own affair.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        message = f"there is no module '{error.name}' beside the file or on the import path"
        raise HandlerNotFound(message) from None
    except SystemExit as leaving:
        who = _module_that_left(leaving) or name
        message = f"{who} called sys.exit while it was imported; guard it with if __name__ == '__main__'"
        raise HandlerError(message) from leaving


def _module_that_left(leaving: SystemExit) -> str | None:
    """Name the file whose top level `sys.exit` came from: the handler's module, or one that it imports."""
    codes = [frame.f_code for frame, _ in walk_tb(leaving.__traceback__)]
    files = [Path(code.co_filename).name for code in codes if code.co_name == "<module>"]
    return files[-1] if files else None


def prepend_to_path(folder: str) -> None:
    """Put the workflow's folder where imports look first, so that handlers find their own neighbours too."""
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
        sys.path_importer_cache.pop(
            folder, None
        )  # of the others all see by themselves whether they have changed


def _unload_namesake(top: str) -> None:
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
    signature = runtime_signature(handler)
    if signature is not None and is_async(handler) and drives_queues(signature):
        raise HandlerError(f"'{name}' is an async function, {ASYNC_DRIVER}")
    for misfit in misfits(name, signature.without(filled), role) if signature else ():
        raise HandlerError(f"{misfit.message}; {misfit.help}" if misfit.help else misfit.message)
    return signature


def _bind_async(
    handler: Callable[..., Any],
    signature: Signature | None,
    given: dict[str, Any],
    context: WorkerContext,
    name: str,
) -> Handler:
    """Fit a coroutine function, or one that makes an asynchronous generator, to the stage's role."""
    from runner.handlers.async_calls import EventLoop, call_on, items_on

    loop = EventLoop()
    if context.role is Role.PRODUCER:
        return Source(_item_maker(partial(items_on(loop, handler), **given), name), loop.close)
    if context.role is Role.PLAIN:
        return Task(partial(call_on(loop, handler), **given), loop.close)
    of_item = _item_function(handler, signature, given, context.resources)
    return Mapper(call_on(loop, of_item), loop.close, coroutine=of_item, loop=loop)


def _keywords(
    signature: Signature | None, arguments: Mapping[str, Any], context: WorkerContext
) -> dict[str, Any]:
    """Return the arguments by name: `with`, in the types that are asked for, and what mprun gives."""
    if signature is None:
        return dict(arguments)
    annotations = {p.name: p.annotation for p in signature.parameters}
    given = {name: adapt(value, annotations.get(name)) for name, value in arguments.items()}
    offered: dict[str, Any] = {"worker": context}
    if context.role is Role.PRODUCER:
        offered |= {OFFSET: context.offset, TOKEN: context.token}
    injected = {
        name: resource.resolve() for name, resource in context.resources.items() if name in annotations
    }
    return given | injected | {name: value for name, value in offered.items() if name in annotations}


def _split_positional(
    signature: Signature | None, positional: Sequence[Any], context: WorkerContext
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """Split the values of `args` into those that are handed over by position, and those that have a name."""
    if signature is None or not positional:
        return tuple(positional), {}
    split = match_positional(signature.without(context.resources), context.role, positional)
    return split.front, split.names


def _driver(
    handler: Callable[..., Any], signature: Signature, given: Mapping[str, Any]
) -> Callable[[QueueEnd | None, QueueEnd | None], object]:
    asked = [p.name for p in signature.parameters if p.name in QUEUES]

    def drive(inbox: QueueEnd | None, outbox: QueueEnd | None) -> object:
        ends = {"inbox": inbox, "outbox": outbox, "queue": outbox if inbox is None else inbox}
        return handler(**given, **{name: ends[name] for name in asked})

    return drive


def _item_maker(make: Callable[[], Any], name: str) -> Callable[[], Iterable[object]]:
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


def _item_function(
    handler: Callable[..., Any],
    signature: Signature | None,
    given: dict[str, Any],
    resources: Collection[str],
) -> Callable[[object], object]:
    """Return a function of the item alone; the handler itself where nothing has to be added."""
    item = item_parameter(signature.without(resources)) if signature else None
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
    if is_async(cls):
        return _bind_async_class(cls, front, given, signature, context)
    instance: Any = _built(cls, partial(cls, *front, **given))
    if is_process(cls):
        return Task(_process_runner(instance, context))
    close = getattr(instance, "close", None)
    closing = {"close": close} if callable(close) else {}
    if context.role is Role.PRODUCER:
        return Source(_item_maker(_items_of_instance(instance, signature, context), cls.__name__), **closing)
    if context.role is Role.PLAIN and hasattr(instance, "run"):
        return Task(instance.run, **closing)
    if not callable(instance):
        raise HandlerError(
            f"the instances of {cls.__name__} can't be called: have `run` name a function that calls it, such as "
            f"`def each(item): return {cls.__name__}(item)`"
        )
    return Task(instance.__call__, **closing) if context.role is Role.PLAIN else _mapper_of(instance)


def _built(cls: type, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except SystemExit as leaving:
        raise HandlerError(f"{cls.__name__} called sys.exit while it was built") from leaving


def _bind_async_class(
    cls: type,
    front: Sequence[object],
    given: Mapping[str, Any],
    signature: Signature | None,
    context: WorkerContext,
) -> Handler:
    """Fit a class whose `__call__` is async. It is built on the loop: what it opens may ask which loop is running."""
    from runner.handlers.async_calls import EventLoop, call_on, closing_on, items_on

    loop = EventLoop()

    async def build() -> Any:
        return cls(*front, **given)

    instance = _built(cls, lambda: loop.run(build()))
    close = closing_on(loop, getattr(instance, "close", None))
    if context.role is Role.PRODUCER:
        make = items_on(loop, _items_of_instance(instance, signature, context))
        return Source(_item_maker(make, cls.__name__), close)
    call = call_on(loop, instance.__call__)
    if context.role is Role.PLAIN:
        return Task(call, close)
    flush = _flush_of(instance)
    return Mapper(call, close, flush, instance=instance, coroutine=instance.__call__, loop=loop)


def _mapper_of(instance: Any) -> Mapper:
    close = getattr(instance, "close", None)
    closing = {"close": close} if callable(close) else {}
    return Mapper(instance.__call__, **closing, flush=_flush_of(instance), instance=instance)


def _flush_of(instance: object) -> Callable[[], object] | None:
    """Return what makes safe what a handler holds. Raises `HandlerError` where a call of it would do nothing."""
    flush: Callable[[], object] | None = getattr(instance, "flush", None)
    if not callable(flush):
        return None
    if inspect.isgeneratorfunction(flush) or is_async(flush):
        raise HandlerError(
            f"the `flush()` of {type(instance).__name__} is a generator or async, so that to call it does nothing: "
            "let it make safe what the class holds, and items come of the calls"
        )
    return flush


def _items_of_instance(
    instance: Any, signature: Signature | None, context: WorkerContext
) -> Callable[[], Any]:
    """Return what to call for the items of an instance; its `__call__` may ask where to go on too."""
    if not callable(instance):
        return lambda: instance
    asked = {p.name for p in signature.call or ()} if signature is not None else set()
    offered = {OFFSET: context.offset, TOKEN: context.token}
    given = {name: value for name, value in offered.items() if name in asked}
    return partial(instance.__call__, **given) if given else instance.__call__


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


# What a loaded callable takes.

_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: ParameterKind.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: ParameterKind.POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY: ParameterKind.KEYWORD_ONLY,
    inspect.Parameter.VAR_POSITIONAL: ParameterKind.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD: ParameterKind.VAR_KEYWORD,
}


def runtime_signature(handler: Callable[..., Any]) -> Signature | None:
    """Return the signature of a loaded callable, or None where it tells nobody, as some of those in C."""
    try:
        parameters = _parameters(handler)
        if not isinstance(handler, type):
            shape = HandlerShape.GENERATOR if yields(handler) else HandlerShape.FUNCTION
            return Signature(shape, parameters, is_async=is_async(handler))
        call = _parameters(handler.__call__)[1:] if _defines(handler, "__call__") else None
    except (ValueError, TypeError):
        return None
    methods = frozenset(name for name in dir(handler) if _defines(handler, name))
    return Signature(
        HandlerShape.PROCESS if is_process(handler) else HandlerShape.CLASS,
        parameters,
        call,
        methods,
        is_async=is_async(handler),
    )


def yields(handler: Callable[..., Any]) -> bool:
    """Say whether calling `handler`, a function or an object with `__call__`, makes a generator of either kind."""
    return any(inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f) for f in _what_runs(handler))


def is_async(handler: Callable[..., Any]) -> bool:
    """Say whether calling `handler` makes a coroutine or an asynchronous generator."""
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in _what_runs(handler))


def is_process(handler: type) -> bool:
    """Say whether a class is a `multiprocessing.Process`; there is none before that is imported."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and issubclass(handler, module.BaseProcess)


def _what_runs(handler: Callable[..., Any]) -> tuple[Any, Any]:
    return handler, getattr(handler, "__call__", None)  # noqa: B004 - the method itself is wanted


def _defines(cls: type, name: str) -> bool:
    """Say whether instances have `name`: the class itself has more by its type, such as a `__call__`."""
    return any(name in vars(base) for base in cls.__mro__ if base is not object)


def _parameters(handler: Callable[..., Any]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(p.name, _KINDS[p.kind], _annotation(p), _required(p))
        for p in inspect.signature(handler).parameters.values()
    )


def _required(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _annotation(parameter: inspect.Parameter) -> str | None:
    if parameter.annotation is parameter.empty:
        return None
    if isinstance(parameter.annotation, str):
        return parameter.annotation
    return inspect.formatannotation(parameter.annotation)

"""The signature of a callable that is loaded: in a worker, or from a module of the standard library in C."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature

_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: ParameterKind.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: ParameterKind.POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY: ParameterKind.KEYWORD_ONLY,
    inspect.Parameter.VAR_POSITIONAL: ParameterKind.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD: ParameterKind.VAR_KEYWORD,
}


def signature_of(handler: Callable[..., Any]) -> Signature | None:
    """Return the signature of a loaded callable, or None where it tells nobody, as some of those in C."""
    try:
        parameters = _parameters(handler)
        if not isinstance(handler, type):
            shape = Shape.GENERATOR if yields(handler) else Shape.FUNCTION
            return Signature(shape, parameters)
        call = _parameters(handler.__call__)[1:] if _defines(handler, "__call__") else None
    except (ValueError, TypeError):
        return None
    methods = frozenset(name for name in dir(handler) if _defines(handler, name))
    return Signature(Shape.PROCESS if is_process(handler) else Shape.CLASS, parameters, call, methods)


def yields(handler: Callable[..., Any]) -> bool:
    """Say whether calling `handler`, a function or an object with `__call__`, makes a generator."""
    return any(map(inspect.isgeneratorfunction, _what_runs(handler)))


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

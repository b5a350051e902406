"""The parameters of a `def` or a lambda, and whether calling it makes a generator. From its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from runner.handlers.lookup import names_of
from runner.handlers.modules import SourceModule
from runner.handlers.namespace import FunctionNode, Imported, dotted_name
from runner.handlers.shape import Parameter, ParameterKind

_KEEPS_SIGNATURE = frozenset(
    {
        "staticmethod",
        "classmethod",
        "cache",
        "lru_cache",
        "override",
        "final",
        "no_type_check",
        "abstractmethod",
    }
)
# An annotation means what it says only if its names come from here, or from nowhere: the builtins.
_TYPE_MODULES = frozenset(
    {"typing", "typing_extensions", "collections.abc", "collections", "pathlib", "types"}
)


def read_parameters(node: FunctionNode, module: SourceModule) -> tuple[Parameter, ...]:
    """Return the parameters of a function in order."""
    return tuple(_parameters(node.args, module))


def makes_generator(node: FunctionNode) -> bool:
    """Say whether there is a `yield` in the function itself, not in one that is defined inside it."""
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    return any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in _own_nodes(body))


def strange_decorator(
    node: FunctionNode | ast.ClassDef, module: SourceModule, known: frozenset[str]
) -> str | None:
    """Return the first decorator that may change what the handler takes."""
    if isinstance(node, ast.Lambda):
        return None
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        dotted = dotted_name(called)
        if dotted is None or dotted.split(".")[-1] not in known or _is_own_name(dotted, module):
            return ast.unparse(decorator)
    return None


def changed_by(node: FunctionNode, module: SourceModule) -> str | None:
    """Return the decorator of a function that may change what it takes, if there is one."""
    return strange_decorator(node, module, _KEEPS_SIGNATURE)


def decorators(node: FunctionNode | ast.ClassDef) -> set[str]:
    """Return the last part of the name of each decorator."""
    found = [] if isinstance(node, ast.Lambda) else node.decorator_list
    called = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in found]
    return {dotted.split(".")[-1] for dotted in map(dotted_name, called) if dotted}


def read_annotation(node: ast.expr | None, module: SourceModule) -> str | None:
    """Return an annotation as text, unless the module gives one of its names a meaning of its own."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return None
    if node is None or any(_is_own_name(n.id, module) for n in ast.walk(node) if isinstance(n, ast.Name)):
        return None
    return ast.unparse(node)


def _parameters(args: ast.arguments, module: SourceModule) -> Iterator[Parameter]:
    positional = [*args.posonlyargs, *args.args]
    without_default = len(positional) - len(args.defaults)
    for place, arg in enumerate(positional):
        only = place < len(args.posonlyargs)
        kind = ParameterKind.POSITIONAL_ONLY if only else ParameterKind.POSITIONAL
        yield _parameter(arg, kind, place < without_default, module)
    if args.vararg:
        yield _parameter(args.vararg, ParameterKind.VAR_POSITIONAL, False, module)
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, ParameterKind.KEYWORD_ONLY, default is None, module)
    if args.kwarg:
        yield _parameter(args.kwarg, ParameterKind.VAR_KEYWORD, False, module)


def _parameter(arg: ast.arg, kind: ParameterKind, required: bool, module: SourceModule) -> Parameter:
    return Parameter(arg.arg, kind, read_annotation(arg.annotation, module), required)


def _is_own_name(dotted: str, module: SourceModule) -> bool:
    binding = names_of(module).get(dotted.partition(".")[0])
    if isinstance(binding, Imported):
        return binding.module not in _TYPE_MODULES | {"functools", "abc", "dataclasses", "enum"}
    return binding is not None


def _own_nodes(body: list[ast.stmt] | list[ast.expr]) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)

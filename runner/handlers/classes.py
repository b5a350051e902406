"""What a class takes and which methods it has, read from its source and that of its bases.

class Chef(Cook, Process) ──► lineage: Chef, Cook, Process ──► constructor, `__call__`, methods
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.handlers.functions import (
    changed_by,
    decorators,
    read_annotation,
    read_parameters,
    strange_decorator,
)
from runner.handlers.live import signature_of
from runner.handlers.lookup import Class, Live, look_up_in_scope, qualified_name
from runner.handlers.modules import Missing, Opaque, SourceModule
from runner.handlers.namespace import Binding, Defined, FunctionNode, dotted_name, read_names
from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature

_KEEPS_CLASS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering", "unique"})
_EMPTY_BASES = frozenset(
    {
        "object",
        "abc.ABC",
        "typing.Generic",
        "typing.Protocol",
        "typing_extensions.Generic",
        "typing_extensions.Protocol",
    }
)
_PROCESS_BASES = frozenset(
    {"multiprocessing.Process", "multiprocessing.process.BaseProcess"}
    | {f"multiprocessing.context.{start}Process" for start in ("", "Fork", "Spawn", "ForkServer")}
)
_DEEPEST_LINEAGE = 50


class _ProcessBase:
    """Stands for `multiprocessing.Process`, a class that exists only once its package is loaded."""

    parameters = (
        Parameter("group", required=False),
        Parameter("target", required=False),
        Parameter("name", required=False),
        Parameter("args", required=False),
        Parameter("kwargs", required=False),
        Parameter("daemon", ParameterKind.KEYWORD_ONLY, required=False),
    )
    methods = frozenset({"run", "start", "terminate", "kill", "join", "close", "is_alive"})


Ancestor = Class | Live | type[_ProcessBase]


def read_class(found: Class, beside: Path) -> Signature | Missing | Opaque:
    """Return the signature of a class that is written in source."""
    lineage = _lineage(found, beside, 0)
    if isinstance(lineage, Opaque):
        return lineage
    parameters = _constructor(lineage)
    if isinstance(parameters, Missing | Opaque):
        return parameters
    call = _method(lineage, "__call__")
    if isinstance(call, Missing | Opaque):
        return call
    shape = Shape.PROCESS if _ProcessBase in lineage else Shape.CLASS
    methods = frozenset[str]().union(*map(_methods, lineage))
    return Signature(shape, parameters, call, methods, str(found.module.file), found.node.lineno)


def _lineage(found: Class, beside: Path, depth: int) -> list[Ancestor] | Opaque:
    """List a class and its bases, nearest first: Python's own order, but for diamonds."""
    if reason := _cannot_read(found.node, found.module):
        return Opaque(reason)
    if depth > _DEEPEST_LINEAGE:
        return Opaque("has bases that lead back to itself")
    lineage: list[Ancestor] = [found]
    for base in found.node.bases:
        more = _ancestors(base, found.module, beside, depth)
        if isinstance(more, Opaque):
            return more
        lineage += [ancestor for ancestor in more if ancestor not in lineage]
    return lineage


def _ancestors(base: ast.expr, module: SourceModule, beside: Path, depth: int) -> list[Ancestor] | Opaque:
    dotted = dotted_name(base.value if isinstance(base, ast.Subscript) else base)
    if dotted is None:
        return Opaque("has a base that only running its module would tell")
    whole = qualified_name(dotted, module)
    if whole in _EMPTY_BASES:
        return []
    if whole in _PROCESS_BASES:
        return [_ProcessBase]
    thing = look_up_in_scope(dotted, module, beside)
    if isinstance(thing, Class):
        return _lineage(thing, beside, depth + 1)
    return [thing] if isinstance(thing, Live) else Opaque(f"has a base, {dotted}, that can't be read")


def _cannot_read(node: ast.ClassDef, module: SourceModule) -> str | None:
    if decorator := strange_decorator(node, module, _KEEPS_CLASS):
        return f"is changed by its decorator @{decorator}"
    if any(dotted_name(keyword.value) not in ("ABCMeta", "abc.ABCMeta") for keyword in node.keywords):
        return "is made by a metaclass"
    return None


def _constructor(lineage: Iterable[Ancestor]) -> tuple[Parameter, ...] | Missing | Opaque:
    lineage = list(lineage)
    for place, ancestor in enumerate(lineage):
        if isinstance(ancestor, Class):
            names = read_names(ancestor.node.body)
            if names.get("__new__"):
                return Opaque("makes its own instances, in __new__")
            if own := names.get("__init__"):
                return _read_method(own, ancestor.module)
            if _is_dataclass(ancestor.node):
                return tuple(_fields_of_lineage(lineage[place:]))
        elif isinstance(ancestor, Live):
            if _live_has(ancestor, "__init__") or _live_has(ancestor, "__new__"):
                signature = signature_of(ancestor.value)
                return signature.parameters if signature else Opaque("has a constructor in C")
        else:
            return ancestor.parameters
    return ()


def _method(lineage: Iterable[Ancestor], name: str) -> tuple[Parameter, ...] | Missing | Opaque | None:
    for ancestor in lineage:
        if isinstance(ancestor, Class):
            if own := read_names(ancestor.node.body).get(name):
                return _read_method(own, ancestor.module)
        elif isinstance(ancestor, Live) and _live_has(ancestor, name):
            return Opaque(f"has its {name} from a class in C")
    return None


def _read_method(binding: Binding, module: SourceModule) -> tuple[Parameter, ...] | Missing | Opaque:
    if not isinstance(binding, Defined) or isinstance(binding.node, ast.ClassDef):
        return Opaque("has a method that only running its module would tell")
    node: FunctionNode = binding.node
    if isinstance(node, ast.AsyncFunctionDef):
        return Missing("callable", f"its {node.name} is an async function, and a worker runs no event loop")
    if changed_by(node, module):
        return Opaque("has a method that a decorator changes")
    parameters = read_parameters(node, module)
    return parameters if "staticmethod" in decorators(node) else parameters[1:]


def _methods(ancestor: Ancestor) -> frozenset[str]:
    if isinstance(ancestor, Class):
        return frozenset(read_names(ancestor.node.body).names)
    if isinstance(ancestor, Live):
        return frozenset(name for name in dir(ancestor.value) if _live_has(ancestor, name))
    return ancestor.methods


def _live_has(ancestor: Live, name: str) -> bool:
    return any(name in vars(base) for base in ancestor.value.__mro__ if base is not object)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return "dataclass" in decorators(node) and _flag(node, "init", default=True)


def _flag(node: ast.ClassDef, name: str, default: bool) -> bool:
    for decorator in node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg == name and isinstance(keyword.value, ast.Constant):
                return bool(keyword.value.value)
    return default


def _fields_of_lineage(lineage: list[Ancestor]) -> Iterator[Parameter]:
    """The fields of a dataclass: those of its bases first, those that are keyword-only last."""
    fields: dict[str, Parameter] = {}
    for ancestor in reversed(lineage):
        if isinstance(ancestor, Class) and "dataclass" in decorators(ancestor.node):
            fields |= {field.name: field for field in _fields(ancestor)}
    yield from sorted(fields.values(), key=lambda field: field.kind is ParameterKind.KEYWORD_ONLY)


def _fields(found: Class) -> Iterator[Parameter]:
    keyword_only = _flag(found.node, "kw_only", default=False)
    for statement in found.node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        outer, inner = _unwrap(statement.annotation)
        if outer == "KW_ONLY":
            keyword_only = True
        elif outer != "ClassVar" and _option(statement.value, "init", default=True):
            only = _option(statement.value, "kw_only", default=keyword_only)
            kind = ParameterKind.KEYWORD_ONLY if only else ParameterKind.POSITIONAL
            annotation = read_annotation(inner, found.module)
            yield Parameter(statement.target.id, kind, annotation, not _has_default(statement.value))


def _unwrap(annotation: ast.expr) -> tuple[str, ast.expr]:
    """Return the last part of an annotation's name, and what it annotates: `InitVar[int]` is an int."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return "", annotation
    wrapper = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = (dotted_name(wrapper) or "").split(".")[-1]
    inner = annotation.slice if isinstance(annotation, ast.Subscript) and name == "InitVar" else annotation
    return name, inner


def _option(value: ast.expr | None, name: str, default: bool) -> bool:
    """Read a yes-or-no option of `field(…)`."""
    for keyword in _field_call(value):
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return bool(keyword.value.value)
    return default


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and (dotted_name(value.func) or "").split(".")[-1] == "field":
        return any(keyword.arg in ("default", "default_factory") for keyword in _field_call(value))
    return value is not None


def _field_call(value: ast.expr | None) -> list[ast.keyword]:
    if isinstance(value, ast.Call) and (dotted_name(value.func) or "").split(".")[-1] == "field":
        return value.keywords
    return []

"""What a Python handler takes, read from its source. Nothing of the user's is imported or run.

"baozi:steam" ──► find the module ──► follow the name ──► Signature   its shape and its parameters
                                      through imports     Missing     no such module or callable
                                      and aliases         Opaque      only running the module would tell

class Chef(Cook, Process) ──► lineage: Chef, Cook, Process ──► constructor, `__call__`, methods
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from runner.handlers.arguments import (
    ASYNC_DRIVER,
    HandlerShape,
    Parameter,
    ParameterKind,
    Signature,
    drives_queues,
)
from runner.handlers.inspection.imports import LiveModule, Missing, Opaque, SourceModule, find_module
from runner.handlers.inspection.names import (
    Binding,
    Class,
    Constant,
    Defined,
    Function,
    FunctionNode,
    Imported,
    Live,
    dotted_name,
    look_up,
    look_up_in_scope,
    names_of,
    qualified_name,
    read_names,
)
from runner.handlers.python import runtime_signature
from runner.text import late_pattern

_DOTTED = late_pattern(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def read_signature(target: str, beside: Path) -> Signature | Missing | Opaque:
    """Read what `module:callable` takes. The folder `beside` the workflow comes before the import path."""
    parts = split_target(target)
    if isinstance(parts, Missing):
        return parts
    module = find_module(parts[0], beside)
    if isinstance(module, Missing | Opaque):
        return module
    found = look_up(parts[1], module, beside)
    match found:
        case Missing() | Opaque():
            return found
        case SourceModule() | LiveModule():
            return Missing("callable", f"'{parts[1]}' is a module: it can't be called")
        case Live():
            return _read_live(found, parts[1])
        case Class():
            return read_class(found, beside)
    return _read_function(found, parts[1])


def speaks_of(target: str, attributes: Collection[str], beside: Path) -> bool:
    """Say whether the source of a handler names such an attribute of its worker: `worker.committed`."""
    parts = split_target(target)
    module = parts if isinstance(parts, Missing) else find_module(parts[0], beside)
    if isinstance(parts, Missing) or isinstance(module, Missing | Opaque):
        return False
    found = look_up(parts[1], module, beside)
    named = (each for each in ast.walk(found.node)) if isinstance(found, Function | Class) else ()
    return any(
        isinstance(each, ast.Attribute)
        and each.attr in attributes
        and (dotted_name(each.value) or "").rpartition(".")[2] == "worker"
        for each in named
    )


def split_target(target: str) -> tuple[str, str] | Missing:
    """Split `module:callable` in two, or say how to write it."""
    module, colon, name = target.partition(":")
    is_file = module.endswith(".py")
    if colon and not is_file and _DOTTED.fullmatch(module) and _DOTTED.fullmatch(name):
        return module, name
    message = f"'{target}' is not of the form 'module:callable'"
    guess = _guess(module.strip(), name.strip())
    return Missing("format", message, f"did you mean '{guess}'?" if guess else "such as 'baozi:steam'")


def _guess(module: str, name: str) -> str | None:
    """Guess what was meant by a path, or by dots only."""
    path = module.removesuffix(".py").replace("/", ".").strip(".")
    if not name:
        path, _, name = path.rpartition(".")
    name = name.removesuffix("()")
    return f"{path}:{name}" if _DOTTED.fullmatch(path) and _DOTTED.fullmatch(name) else None


def _read_live(found: Live, name: str) -> Signature | Missing | Opaque:
    if not callable(found.value):
        return Missing("callable", f"'{name}' is a value: it can't be called")
    return runtime_signature(found.value) or Opaque("is written in C and does not say what it takes")


def _read_function(found: Function, name: str) -> Signature | Missing | Opaque:
    node: FunctionNode = found.node
    # First: a decorator may make a plain function of an async one.
    if decorator := changed_by(node, found.module):
        return Opaque(f"is changed by its decorator @{decorator}")
    parameters = read_parameters(node, found.module)
    if found.inside is not None and "staticmethod" not in decorators(node):
        if "classmethod" not in decorators(node):
            return _needs_instance(found.inside.name, name)
        parameters = parameters[1:]
    shape = HandlerShape.GENERATOR if makes_generator(node) else HandlerShape.FUNCTION
    read = Signature(
        shape,
        parameters,
        file=str(found.module.file),
        line=node.lineno,
        is_async=isinstance(node, ast.AsyncFunctionDef),
    )
    if read.is_async and drives_queues(read):
        return Missing(
            "callable", f"'{name}' is an async function, {ASYNC_DRIVER}", "let it take items instead"
        )
    return read


def _needs_instance(owner: str, name: str) -> Missing:
    message = f"'{name}' is a method, which needs an instance of {owner}"
    return Missing(
        "callable", message, f"name the class, '{owner}', and give it a __call__; or make it a staticmethod"
    )


# Classes, with their bases.

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
    lineage = lineage_of(found, beside)
    if isinstance(lineage, Opaque):
        return lineage
    parameters = _constructor(lineage)
    if isinstance(parameters, Missing | Opaque):
        return parameters
    call = _method(lineage, "__call__")
    if isinstance(call, Missing | Opaque):
        return call
    shape = HandlerShape.PROCESS if _ProcessBase in lineage else HandlerShape.CLASS
    methods = _all_methods(lineage)
    is_async = _is_async_method(lineage, "__call__")
    return Signature(shape, parameters, call, methods, str(found.module.file), found.node.lineno, is_async)


def lineage_of(found: Class, beside: Path, depth: int = 0) -> list[Ancestor] | Opaque:
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
        return lineage_of(thing, beside, depth + 1)
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
                signature = runtime_signature(ancestor.value)
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


def _is_async_method(lineage: Iterable[Ancestor], name: str) -> bool:
    """Whether a method is async: that of the nearest class that has it."""
    for ancestor in lineage:
        if isinstance(ancestor, Class) and (own := read_names(ancestor.node.body).get(name)):
            return isinstance(own, Defined) and isinstance(own.node, ast.AsyncFunctionDef)
    return False


def _read_method(binding: Binding, module: SourceModule) -> tuple[Parameter, ...] | Missing | Opaque:
    if not isinstance(binding, Defined) or isinstance(binding.node, ast.ClassDef):
        return Opaque("has a method that only running its module would tell")
    node: FunctionNode = binding.node
    if changed_by(node, module):
        return Opaque("has a method that a decorator changes")
    if isinstance(node, ast.AsyncFunctionDef) and node.name != "__call__":
        return Missing(
            "callable", f"its {node.name} is an async function, which Python calls without awaiting it"
        )
    parameters = read_parameters(node, module)
    return parameters if "staticmethod" in decorators(node) else parameters[1:]


def _all_methods(lineage: Iterable[Ancestor]) -> frozenset[str]:
    """Name the methods that instances have: `close = None` says that there is none, whatever a base has."""
    found: dict[str, bool] = {}
    for ancestor in lineage:
        for name, is_method in _members(ancestor).items():
            found.setdefault(name, is_method)
    return frozenset(name for name, is_method in found.items() if is_method)


def _members(ancestor: Ancestor) -> dict[str, bool]:
    """Name what a class has of its own, each with whether it may be a method."""
    if isinstance(ancestor, Class):
        names = read_names(ancestor.node.body).names
        return {
            name: not all(isinstance(each, Constant) for each in bindings) for name, bindings in names.items()
        }
    if isinstance(ancestor, Live):
        return {name: True for name in dir(ancestor.value) if _live_has(ancestor, name)}
    return dict.fromkeys(ancestor.methods, True)


def _live_has(ancestor: Live, name: str) -> bool:
    return any(name in vars(base) for base in ancestor.value.__mro__ if base is not object)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return "dataclass" in decorators(node) and _flag(node, "init", default=True)


def _flag(node: ast.ClassDef, name: str, default: bool) -> bool:
    """Read a yes-or-no option of a decorator, such as `@dataclass(init=False)`."""
    calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return _constant([keyword for call in calls for keyword in call.keywords], name, default)


def _constant(keywords: Iterable[ast.keyword], name: str, default: bool) -> bool:
    values = (k.value.value for k in keywords if k.arg == name and isinstance(k.value, ast.Constant))
    return bool(next(values, default))


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
        options = _field_options(statement.value) or ()
        if outer == "KW_ONLY":
            keyword_only = True
        elif outer != "ClassVar" and _constant(options, "init", default=True):
            only = _constant(options, "kw_only", default=keyword_only)
            kind = ParameterKind.KEYWORD_ONLY if only else ParameterKind.POSITIONAL
            annotation = read_annotation(inner, found.module)
            yield Parameter(statement.target.id, kind, annotation, not _has_default(statement.value))


def _unwrap(annotation: ast.expr) -> tuple[str, ast.expr]:
    """Return the last part of an annotation's name, and what it annotates: `InitVar[int]` is an int."""
    annotation = _unquoted(annotation) or annotation
    wrapper = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = (dotted_name(wrapper) or "").split(".")[-1]
    inner = annotation.slice if isinstance(annotation, ast.Subscript) and name == "InitVar" else annotation
    return name, inner


def _field_options(value: ast.expr | None) -> list[ast.keyword] | None:
    """Return the options of `field(…)`; None for any other value."""
    if isinstance(value, ast.Call) and (dotted_name(value.func) or "").split(".")[-1] == "field":
        return value.keywords
    return None


def _has_default(value: ast.expr | None) -> bool:
    options = _field_options(value)
    if options is None:
        return value is not None
    return any(option.arg in ("default", "default_factory") for option in options)


# Functions and their parameters.

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
    node = _unquoted(node)
    if node is None or any(_is_own_name(n.id, module) for n in ast.walk(node) if isinstance(n, ast.Name)):
        return None
    return ast.unparse(node)


def _unquoted(annotation: ast.expr | None) -> ast.expr | None:
    """Return what a quoted annotation says; None if that is no expression."""
    if not isinstance(annotation, ast.Constant) or not isinstance(annotation.value, str):
        return annotation
    try:
        return ast.parse(annotation.value, mode="eval").body
    except SyntaxError:
        return None


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

"""What a Python handler takes, read from its source. Nothing of the user's is imported or run.

"baozi:steam" ──► find the module ──► follow the name ──► Signature   its shape and its parameters
                                      through imports     Missing     no such module or callable
                                      and aliases         Opaque      only running the module would tell
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from runner.handlers.classes import read_class
from runner.handlers.functions import changed_by, decorators, makes_generator, read_parameters
from runner.handlers.live import is_async, signature_of
from runner.handlers.lookup import Class, Function, Live, look_up
from runner.handlers.modules import LiveModule, Missing, Opaque, SourceModule, find_module
from runner.handlers.namespace import FunctionNode
from runner.handlers.shape import Parameter, ParameterKind, Shape, Signature

__all__ = [
    "Missing",
    "Opaque",
    "Parameter",
    "ParameterKind",
    "Shape",
    "Signature",
    "read_signature",
    "split_target",
]

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


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
    if is_async(found.value):
        return _async(name)
    return signature_of(found.value) or Opaque("is written in C and does not say what it takes")


def _read_function(found: Function, name: str) -> Signature | Missing | Opaque:
    node: FunctionNode = found.node
    if isinstance(node, ast.AsyncFunctionDef):
        return _async(name)
    if decorator := changed_by(node, found.module):
        return Opaque(f"is changed by its decorator @{decorator}")
    parameters = read_parameters(node, found.module)
    if found.inside is not None and "staticmethod" not in decorators(node):
        if "classmethod" not in decorators(node):
            return _needs_instance(found.inside.name, name)
        parameters = parameters[1:]
    shape = Shape.GENERATOR if makes_generator(node) else Shape.FUNCTION
    return Signature(shape, parameters, file=str(found.module.file), line=node.lineno)


def _async(name: str) -> Missing:
    message = f"'{name}' is an async function, and a worker runs no event loop"
    return Missing("callable", message, "make it a plain function that calls asyncio.run()")


def _needs_instance(owner: str, name: str) -> Missing:
    message = f"'{name}' is a method, which needs an instance of {owner}"
    return Missing(
        "callable", message, f"name the class, '{owner}', and give it a __call__; or make it a staticmethod"
    )

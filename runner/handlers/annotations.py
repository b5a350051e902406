"""Simple annotations against values that a YAML file can hold. Pure; names only, nothing is imported.

"int | None", 3 ──► fits ──► True, False, or None: this is not checked
"Path", "a.txt" ──► adapt ──► Path("a.txt")
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Answer = bool | None
"""True: it fits. False: it does not. None: the annotation is not one of those that are checked."""

_LISTS = frozenset({"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection"})
_FIXED = frozenset({"tuple", "Tuple"})
_SETS = frozenset({"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"})
_MAPPINGS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
_TEXTS = frozenset({"str", "Path", "PurePath", "PathLike", "LiteralString"})
_WRAPPERS = frozenset({"Final", "Annotated", "Required", "ReadOnly"})


def fits(value: object, annotation: str | None) -> Answer:
    """Say whether `value` is what `annotation` asks for; None where that can't be told from names alone."""
    node = _parse(annotation)
    return None if node is None else _fits(value, node)


def adapt(value: object, annotation: str | None) -> object:
    """Turn what YAML can write into what is asked for: a text into a Path, a list into a tuple or a set."""
    if not isinstance(value, str | list):
        return value
    names = _members(_parse(annotation))
    if isinstance(value, str):
        return Path(value) if "Path" in names and "str" not in names else value
    if names & _LISTS:
        return value
    if names & _FIXED:
        return tuple(value)
    if names & _SETS:
        return frozenset(value) if names & {"frozenset", "FrozenSet"} else set(value)
    return value


@lru_cache(maxsize=256)
def _parse(annotation: str | None) -> ast.expr | None:
    try:
        return None if annotation is None else ast.parse(annotation, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _fits(value: object, node: ast.expr) -> Answer:
    match node:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as text):
            return fits(value, text)
        case ast.BinOp(op=ast.BitOr()):
            return _any(value, [node.left, node.right])
        case ast.Subscript():
            return _fits_generic(value, _last_name(node.value), _arguments(node))
    return _fits_name(value, _last_name(node))


def _fits_name(value: object, name: str) -> Answer:
    if name in ("Any", "object"):
        return True
    if name == "None":
        return value is None
    if name in ("int", "float", "bool"):
        return _fits_number(value, name)
    if name in _TEXTS:
        return isinstance(value, str)
    if name in ("Iterable", "Collection", "Sequence"):
        return isinstance(value, list | str) or (name != "Sequence" and isinstance(value, Mapping))
    if name in _LISTS | _FIXED | _SETS:
        return isinstance(value, list)
    return isinstance(value, Mapping) if name in _MAPPINGS else None


def _fits_number(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "bool"
    return isinstance(value, {"int": int, "float": int | float, "bool": bool}[name])


def _fits_generic(value: object, name: str, arguments: list[ast.expr]) -> Answer:
    if name == "Optional":
        return True if value is None else _fits(value, arguments[0])
    if name == "Union":
        return _any(value, arguments)
    if name == "Literal":
        return _literal(value, arguments)
    if name in _WRAPPERS:
        return _fits(value, arguments[0])
    outer = _fits_name(value, name)
    return outer if outer is not True else _fits_inside(value, name, arguments)


def _fits_inside(value: object, name: str, arguments: list[ast.expr]) -> Answer:
    if isinstance(value, Mapping):
        return _all(value.values(), arguments[1]) if len(arguments) == 2 else None
    if not isinstance(value, list):
        return True
    if name not in _FIXED:
        return _all(value, arguments[0])
    if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is ...:
        return _all(value, arguments[0])
    if len(arguments) != len(value):
        return False
    return _worst([_fits(member, one) for member, one in zip(value, arguments, strict=True)])


def _all(values: Any, node: ast.expr) -> Answer:
    return _worst([_fits(member, node) for member in values])


def _worst(answers: list[Answer]) -> Answer:
    if False in answers:
        return False
    return None if None in answers else True


def _any(value: object, nodes: list[ast.expr]) -> Answer:
    answers = [_fits(value, node) for node in nodes]
    if True in answers:
        return True
    return None if None in answers else False


def _literal(value: object, nodes: list[ast.expr]) -> Answer:
    if not all(isinstance(node, ast.Constant | ast.UnaryOp) for node in nodes):
        return None
    allowed = [ast.literal_eval(node) for node in nodes]
    return any(type(value) is type(one) and value == one for one in allowed)


def _arguments(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
    return ""


def _members(node: ast.expr | None) -> frozenset[str]:
    """Name the alternatives of an annotation: those of `Path | None` are Path and None."""
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return _members(node.left) | _members(node.right)
        case ast.Subscript() if _last_name(node.value) in {"Optional", "Union", *_WRAPPERS}:
            return frozenset[str]().union(*map(_members, _arguments(node)))
        case ast.Subscript():
            return frozenset({_last_name(node.value)})
        case ast.expr():
            return frozenset({_last_name(node)})
    return frozenset()

"""Conditions on an item, such as `item.status < 500`: checked with the file, compiled once, asked for each item. Pure.

    "item.status < params.limit" ──parse_condition, check_condition──► tree ──compile_condition──► predicate(item)

The language is that of `if` (evaluate.py), less the status functions, and with `item`: the item itself, and below it
keys of mappings, numbers of lists, and attributes of objects. What an item does not have is null.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from runner.spec.dotted_names import follow
from runner.spec.expressions.ast import Call, EntryFilter, Index, Literal, Node, Not, Operation, Reference
from runner.spec.expressions.check import KnownNames
from runner.spec.expressions.evaluate import ITEM
from runner.spec.expressions.functions import FUNCTIONS
from runner.spec.expressions.values import compare, filter_value, index_value, is_true

_CONTEXTS = (ITEM, "params", "env")
_FUNCTIONS = tuple(name for name, function in FUNCTIONS.items() if function.call is not None)
_NUMBERS = (int, float)
_QUICK: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Value = Callable[[object], object]
"""Returns what a part of a condition is for an item."""


def names_for_items(params: Mapping[str, Any]) -> KnownNames:
    """Return the names that a condition on an item may use."""
    return KnownNames(params=params, contexts=_CONTEXTS, functions=_FUNCTIONS)


def compile_condition(tree: Node, constants: Mapping[str, Any]) -> Callable[[object], bool]:
    """
    Return what says whether a condition holds for an item. `constants` are the other contexts by name.

    What is returned raises what looking at the item does, as a property of the user's own may, and ExpressionError.
    """
    value = _compile(tree, constants)
    return lambda item: is_true(value(item))


def _compile(node: Node, constants: Mapping[str, Any]) -> Value:
    match node:
        case Literal(value=constant):
            return lambda _: constant
        case Reference():
            return _reference(node, constants)
        case Call():
            return _call(node, constants)
        case Index():
            return _index(node, constants)
        case EntryFilter():
            return _filter(node, constants)
        case Not(operand=operand):
            inner = _compile(operand, constants)
            return lambda item: not is_true(inner(item))
        case Operation(operator="&&" | "||"):
            return _logical(node, constants)
        case Operation():
            return _comparison(node, constants)


def _reference(node: Reference, constants: Mapping[str, Any]) -> Value:
    root, *names = node.names
    if root != ITEM:
        found, depth = follow(constants.get(root, {}), names)
        constant = found if depth == len(names) else None
        return lambda _: constant
    if not names:
        return lambda item: item
    first, *others = names

    def look_up(item: object) -> object:
        if type(item) is dict and not others:  # as it mostly is
            return item.get(first)
        found, depth = follow(item, names, attributes=True)
        return found if depth == len(names) else None

    return look_up


def _index(node: Index, constants: Mapping[str, Any]) -> Value:
    target, key = _compile(node.target, constants), _compile(node.key, constants)
    return lambda item: index_value(target(item), key(item))


def _filter(node: EntryFilter, constants: Mapping[str, Any]) -> Value:
    target = _compile(node.target, constants)
    return lambda item: filter_value(target(item))


def _call(node: Call, constants: Mapping[str, Any]) -> Value:
    given = [_compile(argument, constants) for argument in node.arguments]
    function = FUNCTIONS[node.function].call
    assert function is not None
    if len(given) == 2:
        (one, other), of_two = given, function
        return lambda item: of_two(one(item), other(item))
    of_any = function
    return lambda item: of_any(*[value(item) for value in given])


def _logical(node: Operation, constants: Mapping[str, Any]) -> Value:
    left, right = _compile(node.left, constants), _compile(node.right, constants)
    stops_at = node.operator == "||"

    def either(item: object) -> object:
        value = left(item)
        return value if is_true(value) == stops_at else right(item)

    return either


def _comparison(node: Operation, constants: Mapping[str, Any]) -> Value:
    left, right, sign = _compile(node.left, constants), _compile(node.right, constants), node.operator
    quick = _QUICK[sign]

    def holds(item: object) -> object:
        one, other = left(item), right(item)
        if type(one) in _NUMBERS and type(other) in _NUMBERS:
            return quick(one, other)
        return compare(sign, one, other)

    return holds

"""Is a container that a handler adds to a cache? Then nothing is lost with it but time.

    if word not in self.found:              asked for an entry
        self.found[word] = look_up(word)    which a call makes, of nothing but what it is kept under
    return self.found[word]                 and that is read again

Whoever reads it as a whole, or adds something else to it, keeps something of the items: `seen`, the last of each kind.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence

from runner.handlers.inspection.changes import Body
from runner.handlers.inspection.making import assignments

_METHODS = frozenset({"get", "setdefault", "pop", "popitem", "clear", "move_to_end"})
_MOST_STEPS = 5
"""From name to name, to what a value was made of."""


def only_a_cache(key: str, bodies: Sequence[Body], others: Sequence[Body]) -> bool:
    """Say so of the container under a key; `bodies` run for each item, and `others` may use it as well."""
    if any(_is_used_otherwise(key, body) for body in (*bodies, *others)):
        return False
    entries = [_is_made_of(value, place, body) for body in bodies for place, value in _entries(key, body)]
    return bool(entries) and all(entries) and any(_is_read(key, body) for body in bodies)


def _is_used_otherwise(key: str, body: Body) -> bool:
    fine = {id(each) for node in body.nodes for each in _as_in_a_cache(node)}
    return any(
        id(node) not in fine and isinstance(node, ast.Attribute | ast.Name) and body.key(node) == key
        for node in body.nodes
    )


def _as_in_a_cache(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions with which `node` does no more than look up, keep or drop an entry."""
    match node:
        case ast.Subscript(value=held):
            yield held
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[held]):
            yield held
        case ast.Call(func=ast.Attribute(value=held, attr=method)) if method in _METHODS:
            yield held
        case ast.Call(func=ast.Name(id="len" | "iter"), args=[held]):
            yield held


def _is_read(key: str, body: Body) -> bool:
    for node in body.nodes:
        match node:
            case ast.Subscript(value=held, ctx=ast.Load()):
                pass
            case ast.Call(func=ast.Attribute(value=held, attr="get" | "setdefault")):
                pass
            case _:
                continue
        if body.key(held) == key:
            return True
    return False


def _entries(key: str, body: Body) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is kept under what."""
    for node in body.nodes:
        for target, value in assignments(node):
            if isinstance(target, ast.Subscript) and body.key(target.value) == key:
                yield target.slice, value
        match node:
            case ast.Call(func=ast.Attribute(value=held, attr="setdefault"), args=[place, value]):
                if body.key(held) == key:
                    yield place, value


def _is_made_of(value: ast.expr, place: ast.expr, body: Body) -> bool:
    """Say whether a call made `value`, and that of nothing but `place` and what is of no item."""
    # The last is what counts: `found = CACHE.get(word)`, and where that is None, `found = look_up(word)`.
    names = {
        target.id: given
        for node in body.nodes
        for target, given in assignments(node)
        if isinstance(target, ast.Name)
    }
    for _ in range(_MOST_STEPS):
        value = names.get(value.id, value) if isinstance(value, ast.Name) else value
    shown = {ast.dump(place)}
    if isinstance(place, ast.Name) and isinstance(names.get(place.id), ast.Tuple | ast.Attribute):
        place = names[place.id]
        shown.add(ast.dump(place))
    shown |= {ast.dump(each) for each in (place.elts if isinstance(place, ast.Tuple) else ())}
    found, rest = _without(value, shown)
    of_items = any(isinstance(each, ast.Name) and each.id in body.from_items for each in rest)
    return found and isinstance(value, ast.Call) and not of_items


def _without(value: ast.expr, shown: Collection[str]) -> tuple[bool, list[ast.AST]]:
    """Say whether some expressions stand in another one, and list what else does."""
    found, rest, waiting = False, list[ast.AST](), list[ast.AST]([value])
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.expr) and ast.dump(node) in shown:
            found = True
        else:
            rest.append(node)
            waiting += ast.iter_child_nodes(node)
    return found, rest

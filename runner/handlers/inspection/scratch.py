"""What a call makes anew, uses and is done with: an attribute that holds nothing from one call to the next.

    self.file = open(path, "a")        set in each call, whatever the item is
    self.write(item)                   what is called reads it
    self.file.close()                  and closed, where it is something that holds back

Nobody misses it: whoever comes next sets it before it reads it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runner.handlers.inspection.changes import Body
from runner.handlers.inspection.making import assignments

_SOMETIMES = (
    ast.If,
    ast.For,
    ast.While,
    ast.Match,
    ast.ExceptHandler,
    ast.IfExp,
    ast.Lambda,
    ast.FunctionDef,
)


class Scratch(NamedTuple):
    """The keys of what is made anew in each call."""

    set_first: frozenset[str] = frozenset()
    """It is set before anything reads it."""
    closed: frozenset[str] = frozenset()
    """And these are closed: nothing is held back in them either."""


def scratch_of(start: Body, others: Sequence[Body], elsewhere: Sequence[Body]) -> Scratch:
    """Say it; `start` is called with an item, `others` are called by that, `elsewhere` at other times."""
    everywhere = [start, *others]
    read_later = {key for body in elsewhere for key in body.mentioned()}
    alone = _set_always(start) - read_later
    first = (key for key in alone if _is_read(key, everywhere) and _is_set_first(key, start, others))
    closed = (key for body in everywhere for key in _set_always(body) if _is_closed(key, everywhere))
    return Scratch(frozenset(first), frozenset(closed))


def _always(body: Body) -> set[int]:
    """The nodes that run in each call, whatever the item is."""
    sometimes = {
        id(inner)
        for node in body.nodes
        if isinstance(node, _SOMETIMES)
        for inner in ast.walk(node)
        if inner is not node
    }
    return {id(node) for node in body.nodes if id(node) not in sometimes}


def _set_always(body: Body) -> set[str]:
    return {key for key, _ in _settings(body)}


def _settings(body: Body) -> Iterator[tuple[str, ast.AST]]:
    """What is set as a whole in each call, and the statement that does it."""
    always = _always(body)
    for node in body.nodes:
        if id(node) not in always:
            continue
        targets = [target for target, _ in assignments(node)]
        if isinstance(node, ast.With):
            targets = [each.optional_vars for each in node.items if each.optional_vars is not None]
        for target in targets:
            key = body.key(target) if isinstance(target, ast.Attribute) else None
            if key is not None:
                yield key, node


def _is_read(key: str, bodies: Sequence[Body]) -> bool:
    return any(_reads(key, body) for body in bodies)


def _reads(key: str, body: Body) -> list[ast.expr]:
    return [
        node
        for node in body.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and body.key(node) == key
    ]


def _is_set_first(key: str, start: Body, others: Sequence[Body]) -> bool:
    """Say whether nothing can read it before it is set: neither what stands before, nor what is called there."""
    statement = next(node for name, node in _settings(start) if name == key)
    set_at = _end_of(statement.items[-1].context_expr if isinstance(statement, ast.With) else statement)
    if any(_begin_of(node) < set_at for node in _reads(key, start)):
        return False
    read_by_others = any(_reads(key, body) for body in others)
    return not (
        read_by_others and any(_end_of(node) <= set_at for node in start.nodes if _calls_own(node, start))
    )


def _calls_own(node: ast.AST, body: Body) -> bool:
    return isinstance(node, ast.Call) and any(called.call is node for called in body.calls())


def _begin_of(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _end_of(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0) or 0, getattr(node, "end_col_offset", 0) or 0


def _is_closed(key: str, bodies: Sequence[Body]) -> bool:
    """Say whether it is closed in each call."""
    for body in bodies:
        always = _always(body)
        for node in body.nodes:
            match node:
                case ast.Call(func=ast.Attribute(value=held, attr="close")) if id(node) in always:
                    if body.key(held) == key:
                        return True
                case ast.With(items=items) if id(node) in always:
                    names = [each.context_expr for each in items]
                    names += [each.optional_vars for each in items if each.optional_vars is not None]
                    if any(body.key(each) == key for each in names):
                        return True
    return False

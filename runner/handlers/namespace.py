"""What the names of a module or class stand for, read from its statements in order. Runs nothing.

def steam(…)                 Defined     the function or class itself
from kitchen import steam    Imported    module and name, to be looked up there
cook = steam                 Alias       another name of this module, or of a module it imports
buns = 3                     Constant    there, and can't be called
steam = partial(cook, 3)     Built       there, and only running the module would tell
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_CHANGES_NAMES = frozenset({"exec", "globals", "locals", "vars", "setattr"})


class Defined(NamedTuple):
    """A `def`, a `class` or a lambda."""

    node: FunctionNode | ast.ClassDef


class Imported(NamedTuple):
    """`from module import name as …`; without a `name` the module itself. `level` counts the leading dots."""

    module: str
    name: str | None
    level: int = 0


class Alias(NamedTuple):
    """A dotted name, such as `steam` or `kitchen.steam`, given another name."""

    dotted: str


class Constant:
    """A number, a text, a list, a dict."""


class Built:
    """The result of a call or another expression."""


Binding = Defined | Imported | Alias | Constant | Built


@dataclass(slots=True)
class Namespace:
    """All names that some statements bind."""

    names: dict[str, list[Binding]] = field(default_factory=dict)
    """Several bindings where the name depends on a condition."""
    open: bool = False
    """Running the statements may make more names: a star import, `globals()`, a module's `__getattr__`."""

    def get(self, name: str) -> Binding | None:
        """Return what `name` stands for: `Built` if that hangs on a condition, None if nothing binds it."""
        found = self.names.get(name)
        if not found:
            return Built() if self.open else None
        return found[0] if len(found) == 1 else Built()

    def bind(self, name: str, binding: Binding, sure: bool) -> None:
        """Note a binding; a sure one replaces those before it."""
        if sure:
            self.names[name] = [binding]
        else:
            self.names.setdefault(name, []).append(binding)


def read_names(body: Iterable[ast.stmt]) -> Namespace:
    """Read what each name stands for once all of `body` has run."""
    namespace = Namespace()
    _read_block(body, namespace, sure=True)
    return namespace


def dotted_name(node: ast.expr | None) -> str | None:
    """Return `a.b.c` for a chain of names; None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted_name(node.value)):
        return f"{left}.{node.attr}"
    return None


def _read_block(body: Iterable[ast.stmt], into: Namespace, sure: bool) -> None:
    for statement in body:
        _read_statement(statement, into, sure)


def _read_statement(statement: ast.stmt, into: Namespace, sure: bool) -> None:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            _read_definition(statement, into, sure)
        case ast.Import() | ast.ImportFrom():
            _read_import(statement, into, sure)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                _assign(target, value, into, sure)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            _assign(target, value, into, sure)
        case ast.If(test=test):
            _read_if(test, statement, into, sure)
        case ast.Try() | ast.TryStar() | ast.For() | ast.While() | ast.With() | ast.Match():
            _read_compound(statement, into, sure)
        case ast.Expr(value=ast.Call(func=func)):
            into.open |= any(isinstance(n, ast.Name) and n.id in _CHANGES_NAMES for n in ast.walk(func))
        case ast.Delete(targets=targets):
            for name in filter(None, map(dotted_name, targets)):
                into.names.pop(name, None)


def _read_definition(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, into: Namespace, sure: bool
) -> None:
    if any((dotted_name(decorator) or "").split(".")[-1] == "overload" for decorator in node.decorator_list):
        return
    into.bind(node.name, Defined(node), sure)
    into.open |= node.name == "__getattr__"


def _read_import(node: ast.Import | ast.ImportFrom, into: Namespace, sure: bool) -> None:
    for name in node.names:
        if name.name == "*":
            into.open = True
        elif isinstance(node, ast.ImportFrom):
            into.bind(name.asname or name.name, Imported(node.module or "", name.name, node.level), sure)
        else:
            whole = name.name if name.asname else name.name.partition(".")[0]
            into.bind(name.asname or whole, Imported(whole, None), sure)


def _assign(target: ast.expr, value: ast.expr, into: Namespace, sure: bool) -> None:
    if isinstance(target, ast.Name):
        into.bind(target.id, _meaning(value), sure)
    elif isinstance(target, ast.Tuple | ast.List | ast.Starred):
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                into.bind(name.id, Built(), sure)


def _meaning(value: ast.expr) -> Binding:
    if isinstance(value, ast.Lambda):
        return Defined(value)
    if isinstance(value, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.Set):
        return Constant()
    dotted = dotted_name(value)
    return Alias(dotted) if dotted else Built()


def _read_if(test: ast.expr, node: ast.If, into: Namespace, sure: bool) -> None:
    """What is for a type checker alone, or for a script alone, is not there when a worker imports it."""
    condition = dotted_name(test) or ""
    if condition.split(".")[-1] != "TYPE_CHECKING" and not _is_script_guard(test):
        _read_block(node.body, into, sure=False)
        _read_block(node.orelse, into, sure=False)
    else:
        _read_block(node.orelse, into, sure)


def _is_script_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and dotted_name(test.left) == "__name__"


def _read_compound(statement: ast.stmt, into: Namespace, sure: bool) -> None:
    for name, value in ast.iter_fields(statement):
        if name in ("target", "items"):
            for bound in _bound_by(value):
                into.bind(bound, Built(), sure=False)
        # A `with` runs its body whole; any other block may not run, or not to its end.
        _read_block(_statements(value), into, sure and isinstance(statement, ast.With))


def _bound_by(value: object) -> Iterator[str]:
    for part in value if isinstance(value, list) else [value]:
        target = part.optional_vars if isinstance(part, ast.withitem) else part
        for node in ast.walk(target) if isinstance(target, ast.AST) else ():
            if isinstance(node, ast.Name):
                yield node.id


def _statements(value: object) -> Iterator[ast.stmt]:
    for part in value if isinstance(value, list) else ():
        if isinstance(part, ast.stmt):
            yield part
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from part.body

"""What a dotted name stands for, followed from module to module through imports and aliases. In source: runs nothing.

module, "Kitchen.steam" ──► look_up ──► Function, Class   where it is written
                                        Live              an object of the standard library, loaded
                                        SourceModule, LiveModule, Missing or Opaque

def steam(…)                 Defined     the function or class itself
from kitchen import steam    Imported    module and name, to be looked up there
cook = steam                 Alias       another name of this module, or of a module it imports
buns = 3                     Constant    there, and can't be called
steam = partial(cook, 3)     Built       there, and only running the module would tell
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from runner.facts import dataclass
from runner.handlers.inspection.imports import LiveModule, Missing, Opaque, SourceModule, find_module
from runner.spec.suggestions import did_you_mean

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
    """Running the statements may make more names: `globals()`, a module's `__getattr__`."""
    stars: list[Imported] = field(default_factory=list)
    """The modules that all names are taken from: those may make more as well."""

    def get(self, name: str) -> Binding | None:
        """Return what `name` stands for: `Built` if that hangs on a condition, None if nothing binds it."""
        found = self.names.get(name)
        if not found:
            return Built() if self.open or self.stars else None
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
            into.open |= _changes_names(func)
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
        if name.name == "*" and isinstance(node, ast.ImportFrom):
            into.stars.insert(0, Imported(node.module or "", None, node.level))
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
    elif isinstance(target, ast.Subscript):
        into.open |= _changes_names(target.value)


def _changes_names(node: ast.expr) -> bool:
    """Say whether one of the calls that lead to a module's own names stands in it."""
    return any(isinstance(inner, ast.Name) and inner.id in _CHANGES_NAMES for inner in ast.walk(node))


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


_LONGEST_TRAIL = 40


class Function(NamedTuple):
    """A `def` or a lambda, the module it is written in, and the class that it is a member of, if any."""

    module: SourceModule
    node: FunctionNode
    inside: ast.ClassDef | None = None


class Class(NamedTuple):
    """A `class`, and the module it is written in."""

    module: SourceModule
    node: ast.ClassDef


class Live(NamedTuple):
    """An object that is loaded: a builtin, or of the standard library and in C."""

    value: Any


Module = SourceModule | LiveModule
Thing = Module | Function | Class | Live | Missing | Opaque


@lru_cache(maxsize=64)
def names_of(module: SourceModule) -> Namespace:
    """Return what the top-level names of a module stand for."""
    return read_names(module.tree.body)


def bindings_in(module: SourceModule, name: str, beside: Path) -> list[Binding]:
    """Return all that a name of a module may stand for; what a star import brings is imported, by that name."""
    names = names_of(module)
    found = names.names.get(name)
    return found or list(_by_a_star(name, module, beside, (module.name,)))


def binding_in(module: SourceModule, name: str, beside: Path) -> Binding | None:
    """Return what a name of a module stands for, as `Namespace.get` does; star imports are looked into."""
    names = names_of(module)
    if name in names.names or not names.stars:
        return names.get(name)
    found = next(_by_a_star(name, module, beside, (module.name,)), None)
    return found or (Built() if names.open else None)


def _by_a_star(
    name: str, module: SourceModule, beside: Path, trail: tuple[str, ...]
) -> Iterator[Imported | Built]:
    """What star imports bring under a name: `Built` where a module that they name does not tell."""
    for star in names_of(module).stars:
        source = find_module(absolute_name(star, module), beside)
        if isinstance(source, SourceModule) and source.name not in trail:
            names = names_of(source)
            if name in names.names and not name.startswith("_"):
                yield Imported(source.name, name)
                return
            yield from _by_a_star(name, source, beside, (*trail, source.name))
            if names.open or "__all__" in names.names:
                yield Built()
        elif isinstance(source, LiveModule):
            if hasattr(import_module(source.name), name):
                yield Imported(source.name, name)
        elif not isinstance(source, SourceModule):
            yield Built()


def look_up(dotted: str, module: Module, beside: Path) -> Thing:
    """Follow a dotted name from `module`."""
    return _Trail(beside).walk(dotted, module)


def look_up_in_scope(dotted: str, module: SourceModule, beside: Path) -> Thing:
    """Follow a dotted name as code in `module` would: the builtins count too."""
    return _Trail(beside).in_scope(dotted, module)


class _Trail:
    """One search, which gives up where names lead in a circle."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._steps = 0

    def in_scope(self, dotted: str, module: SourceModule) -> Thing:
        head = dotted.partition(".")[0]
        if binding_in(module, head, self._beside) is None and hasattr(builtins, head):
            return self.walk(dotted, LiveModule("builtins"))
        return self.walk(dotted, module)

    def walk(self, dotted: str, start: Thing) -> Thing:
        here = start
        for name in dotted.split("."):
            here = self._member(here, name)
        return here

    def _member(self, here: Thing, name: str) -> Thing:
        self._steps += 1
        if self._steps > _LONGEST_TRAIL:
            return Opaque("has a name that leads back to itself")
        match here:
            case SourceModule():
                return self._member_of_module(here, name)
            case LiveModule():
                return _attribute(import_module(here.name), name, f"module '{here.name}'")
            case Live():
                return _attribute(here.value, name, f"'{getattr(here.value, '__name__', here.value)}'")
            case Class():
                return self._member_of_class(here, name)
            case Function():
                return Missing("callable", f"a function has no '{name}' in it")
        return here

    def _member_of_module(self, module: SourceModule, name: str) -> Thing:
        binding = binding_in(module, name, self._beside)
        if binding is not None:
            return self._follow(binding, module, name)
        if module.file.name == "__init__.py":
            inner = find_module(f"{module.name}.{name}", self._beside)
            if not isinstance(inner, Missing):
                return inner
        return _no_callable(module, name)

    def _member_of_class(self, owner: Class, name: str) -> Thing:
        binding = read_names(owner.node.body).get(name)
        if isinstance(binding, Defined):
            return _definition(binding, owner.module, inside=owner.node)
        if binding is None and not owner.node.bases:
            return Missing("callable", f"class '{owner.node.name}' has no '{name}' in it")
        return Opaque("is a member that its class takes from elsewhere")

    def _follow(self, binding: Binding, module: SourceModule, name: str) -> Thing:
        match binding:
            case Defined():
                return _definition(binding, module)
            case Imported():
                return self._follow_import(binding, module)
            case Alias():
                return self._follow_alias(binding, module)
            case Constant():
                return Missing("callable", f"'{name}' in {module.shown} is a value: it can't be called")
        return Opaque(f"is made by running {module.shown}")

    def _follow_import(self, imported: Imported, module: SourceModule) -> Thing:
        source = find_module(absolute_name(imported, module), self._beside)
        if isinstance(source, Missing):
            # It may be there once the module has run: some add folders to sys.path.
            return Opaque(f"is imported from '{imported.module}', which is not found from here")
        if imported.name is None or isinstance(source, Opaque):
            return source
        return self._member(source, imported.name)

    def _follow_alias(self, alias: Alias, module: SourceModule) -> Thing:
        found = self.in_scope(alias.dotted, module)
        return Opaque(f"is made by running {module.shown}") if isinstance(found, Missing) else found


def absolute_name(imported: Imported, module: SourceModule) -> str:
    """Return the full name of the module that an import in `module` names."""
    if not imported.level:
        return imported.module
    base = module.package.split(".")
    kept = base[: len(base) - imported.level + 1]
    return ".".join([*kept, imported.module] if imported.module else kept)


def qualified_name(dotted: str, module: SourceModule) -> str:
    """Say where a name comes from, by the imports of `module`: `mp.Process` is `multiprocessing.Process`."""
    head, _, rest = dotted.partition(".")
    binding = names_of(module).get(head)
    if not isinstance(binding, Imported):
        return dotted
    start = absolute_name(binding, module)
    return ".".join(part for part in (start, binding.name, rest) if part)


def _definition(
    defined: Defined, module: SourceModule, inside: ast.ClassDef | None = None
) -> Function | Class:
    if isinstance(defined.node, ast.ClassDef):
        return Class(module, defined.node)
    return Function(module, defined.node, inside)


def _no_callable(module: SourceModule, name: str) -> Missing:
    names = names_of(module).names
    public = sorted(known for known in names if not known.startswith("_") and _may_be_called(names[known]))
    return Missing("callable", f"{module.shown} has no '{name}'", did_you_mean(name, public))


def _may_be_called(bindings: list[Binding]) -> bool:
    return any(isinstance(binding, Defined | Alias) for binding in bindings)


def _attribute(owner: Any, name: str, shown: str) -> Thing:
    if hasattr(owner, name):
        return Live(getattr(owner, name))
    public = [known for known in dir(owner) if not known.startswith("_")]
    return Missing("callable", f"{shown} has no '{name}'", did_you_mean(name, public))

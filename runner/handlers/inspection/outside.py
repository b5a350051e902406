"""What stands outside a function and outlives its calls, so that it could keep things there. From source: runs nothing.

    SEEN = set()                      a name of the module, or of another one of the user's
    def store(item, rows=[]): …       the default of a parameter
    def make():                       a variable of the function round it
        n = 0
        def step(item): nonlocal n …

Each has a key, which no attribute of a class could be: `<kitchen>.SEEN`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from runner.handlers.inspection.imports import SourceModule, find_module, is_library
from runner.handlers.inspection.making import (
    OwnGenerator,
    OwnInstance,
    answers_of,
    assignments,
    defaults_of,
    entries_in,
    entry_of,
    first_made,
    first_parameter,
    has_yield,
    is_cached,
    is_container,
    made_by,
    makings,
    parameters_of,
    result_name,
    returned,
)
from runner.handlers.inspection.names import (
    Built,
    Class,
    Defined,
    Function,
    FunctionNode,
    Imported,
    Thing,
    absolute_name,
    bindings_in,
    dotted_name,
    look_up,
    names_of,
)
from runner.handlers.inspection.signatures import lineage_of
from runner.spec.commits import Holder

_LONGEST_TRAIL = 10


class Outside(NamedTuple):
    """One thing that a key stands for."""

    name: str
    holder: Holder
    module: SourceModule | None = None
    """Where it is made."""


class Outsides:
    """All that was met of them, by their keys."""

    def __init__(self, handler: str, beside: Path, made: dict[str, ast.expr]) -> None:
        """`handler` is the module of the handler; `made` is told what they are made with."""
        self._package = handler.partition(".")[0]
        self._beside = beside
        self._made = made
        self._known: dict[str, Outside] = {}
        self._returned: dict[tuple[str, str], tuple[str, bool] | None] = {}

    def known(self, key: str) -> Outside | None:
        """Return what a key stands for; None where it is an attribute of `self`, or an entry of one."""
        whole, bracket, entry = key.partition("[")
        outside = self._known.get(whole)
        return outside and outside._replace(name=f"{outside.name}{bracket}{entry}")

    def module_of(self, key: str) -> SourceModule | None:
        """Return where what stands under a key is made; None for an attribute of `self`."""
        outside = self.known(key)
        return None if outside is None else outside.module

    def is_own(self, module: SourceModule) -> bool:
        """Say whether a module is one of the user's: what libraries keep for whoever calls them is theirs."""
        return self._is_own(module.name)

    def look_up(self, dotted: str, module: SourceModule) -> Thing | None:
        """Follow a dotted name from a module; None where that leads to a library, which is not read."""
        for binding in bindings_in(module, dotted.partition(".")[0], self._beside):
            if isinstance(binding, Imported) and not self._is_own(absolute_name(binding, module)):
                return None
        found = look_up(dotted, module, self._beside)
        ours = not isinstance(found, Function | Class) or self.is_own(found.module)
        return found if ours else None

    def _is_own(self, name: str) -> bool:
        return name.partition(".")[0] == self._package or not is_library(name, self._beside)

    def of_module(self, name: str, module: SourceModule) -> str | SourceModule | None:
        """Return the key of a module's global, or the module that the name stands for; None for what is not known."""
        for _ in range(_LONGEST_TRAIL):
            bindings = bindings_in(module, name, self._beside)
            if not bindings or (name not in names_of(module).names and isinstance(bindings[0], Built)):
                return None
            if not isinstance(bindings[0], Imported):
                return self._noted_global(name, module)
            named = absolute_name(bindings[0], module)
            found = find_module(named, self._beside) if self._is_own(named) else None
            if not isinstance(found, SourceModule):
                return None
            if bindings[0].name is None:
                return found
            name, module = bindings[0].name, found
        return None

    def defaults_of(self, node: FunctionNode, module: SourceModule) -> dict[str, str]:
        """Return the keys of the parameters whose defaults are containers, or made by a call: once, for all calls."""
        found = {}
        for name, value in defaults_of(node):
            if is_container(value) or isinstance(value, ast.Call):
                key = f"<{module.name}, line {node.lineno}>.{name}"
                self._note(key, Outside(name, Holder.DEFAULT), value, module)
                found[name] = key
        return found

    def functions_inside(
        self, node: FunctionNode, module: SourceModule, held_by: Outside
    ) -> Iterator[tuple[FunctionNode, dict[str, str]]]:
        """List the functions that stand in one, with the keys of what that has for them; `held_by` holds it."""
        near = self._variables_of(node, module, held_by)
        for inner in _own_statements(node):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield inner, near
                for deeper, more in self.functions_inside(inner, module, held_by):
                    yield deeper, near | more

    def _variables_of(self, node: FunctionNode, module: SourceModule, held_by: Outside) -> dict[str, str]:
        found = {}
        for statement in _own_statements(node):
            for target, value in assignments(statement):
                if isinstance(target, ast.Name) and target.id not in found:
                    key = f"<{module.name}, line {node.lineno}>.{target.id} of {held_by.name}"
                    self._note(key, held_by, value, module)
                    found[target.id] = key
        return found

    def note_object(self, key: str, value: ast.expr, module: SourceModule) -> None:
        """Note what an object has that is made under a key, where its class is one of the user's."""
        for place, each in enumerate(entries_in(value)):
            entry = f"{key}[{place}]" if place else entry_of(key)
            if self._made.setdefault(entry, each) is each:
                self.note_object(entry, each, module)
        if (found := self.instance_of(value, module)) is not None:
            call, cls = found
            lineage = lineage_of(cls, self._beside)
            answers = answers_of(lineage) if isinstance(lineage, list) else frozenset[str]()
            self._made[key] = OwnInstance(call, answers)
            self._note_members(key, cls)
        elif isinstance(value, ast.Call) and self._makes_generators(value, module):
            self._made[key] = OwnGenerator(value.func, value.args, value.keywords)

    def _makes_generators(self, call: ast.Call, module: SourceModule) -> bool:
        dotted = dotted_name(call.func)
        found = self.look_up(dotted, module) if dotted else None
        return isinstance(found, Function) and has_yield(found.node)

    def returned_by(self, dotted: str, module: SourceModule) -> tuple[str, bool] | None:
        """Return the key of what a function of the user's returns that outlives it; and whether it is all of that."""
        asked = dotted, module.name
        if asked not in self._returned:
            self._returned[asked] = None  # for one that leads back to itself
            self._returned[asked] = self._read_returned(dotted, module)
        return self._returned[asked]

    def _read_returned(self, dotted: str, module: SourceModule) -> tuple[str, bool] | None:
        found = self.look_up(dotted, module)
        value = returned(found.node) if isinstance(found, Function) and found.inside is None else None
        if value is None or not isinstance(found, Function):
            return None
        if is_cached(found.node):
            key = result_name(f"<{found.module.name}>.{dotted}")
            self._note(key, Outside(result_name(dotted), Holder.MODULE), value, found.module)
            return key, True
        held = value
        while isinstance(held, ast.Attribute | ast.Subscript):
            held = held.value
        if not isinstance(held, ast.Name) or held.id in names_inside(found.node):
            return None
        known = self.of_module(held.id, found.module)
        return (known, held is value) if isinstance(known, str) else None

    def elsewhere(self, name: str, module: SourceModule) -> str:
        """Return a key for what somebody else's module has."""
        key = f"<{module.name}>.<{name}>"
        self._note(key, Outside(name, Holder.MODULE), None, module)
        return key

    def instance_of(self, value: ast.expr | None, module: SourceModule) -> tuple[ast.Call, Class] | None:
        """Return the class of the user's that an expression makes an object of, and the call that does."""
        classes = ((each, self.class_of(each.func, module)) for each in makings(value))
        return next(((each, cls) for each, cls in classes if cls is not None), None)

    def class_of(self, called: ast.expr, module: SourceModule) -> Class | None:
        """Return the class of the user's of which a call of what an expression names makes an object."""
        for _ in range(_LONGEST_TRAIL):
            dotted = ast.unparse(called) if isinstance(called, ast.Name | ast.Attribute) else ""
            found = self.look_up(dotted, module) if dotted.replace(".", "").isidentifier() else None
            if isinstance(found, Class):
                return found
            value = returned(found.node) if isinstance(found, Function) else None
            if not isinstance(value, ast.Call) or not isinstance(found, Function):
                return None
            called, module = value.func, found.module
            if found.inside is not None and dotted_name(called) == first_parameter(found.node):
                return Class(module, found.inside)
        return None

    def _noted_global(self, name: str, module: SourceModule) -> str:
        key = f"<{module.name}>.{name}"
        if key not in self._known:
            values = _values_of(module)
            self._note(key, Outside(name, Holder.MODULE), values.get(name), module)
            for part, value in values.items():
                if part.startswith((f"{name}.", f"{name}[")):  # what a function has, or a dict of files
                    self._made[f"<{module.name}>.{part}"] = value
            binding = names_of(module).names[name][0]
            if isinstance(binding, Defined) and isinstance(binding.node, ast.ClassDef):
                self._note_members(key, Class(module, binding.node))
        return key

    def _note(self, key: str, outside: Outside, value: ast.expr | None, module: SourceModule) -> None:
        self._known[key] = outside._replace(module=module)
        if value is not None:
            self._made[key] = value
            self.note_object(key, value, module)

    def _note_members(self, key: str, cls: Class) -> None:
        lineage = lineage_of(cls, self._beside)
        for name, value in made_by(lineage).items() if isinstance(lineage, list) else ():
            self._made.setdefault(f"{key}.{name}", value)


class Scope:
    """The names that one function sees: those round it by their keys, and those of its module."""

    def __init__(self, outsides: Outsides, module: SourceModule, near: Mapping[str, str]) -> None:
        self._outsides = outsides
        self._module = module
        self._near = near

    def key(self, name: str) -> str | None:
        """Return the key of a name that the function does not have itself."""
        if name in self._near:
            return self._near[name]
        found = self._outsides.of_module(name, self._module)
        return found if isinstance(found, str) else None

    def member(self, name: str, attribute: str) -> str | None:
        """Return the key of `name.attribute` where `name` is a module of the user's."""
        module = None if name in self._near else self._outsides.of_module(name, self._module)
        found = self._outsides.of_module(attribute, module) if isinstance(module, SourceModule) else None
        return found if isinstance(found, str) else None

    def returned(self, dotted: str) -> tuple[str, bool] | None:
        """Return the key of what a function returns that outlives it, and whether it is all of that."""
        return None if dotted in self._near else self._outsides.returned_by(dotted, self._module)

    def is_imported(self, name: str) -> bool:
        """Say whether a name of the module's is another module, or of one."""
        return any(isinstance(each, Imported) for each in names_of(self._module).names.get(name, ()))

    def elsewhere(self, name: str) -> str:
        """Return a key for what another's module has, by its name."""
        return self._outsides.elsewhere(name, self._module)


@lru_cache(maxsize=64)
def _values_of(module: SourceModule) -> dict[str, ast.expr]:
    """What each global is first made with: by the module, else by a function that declares it."""
    return first_made(
        (name, value)
        for target, value in (*_set_by_module(module.tree), *_set_by_functions(module.tree))
        if (name := _name_of(target)) is not None
    )


def _name_of(target: ast.expr) -> str | None:
    match target:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return f"{name}.{attribute}"
        case ast.Subscript(value=ast.Name(id=name)):
            return entry_of(name)
    return None


def _set_by_module(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    for statement in _own_statements(tree):
        yield from assignments(statement)


def _set_by_functions(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            inside = list(_own_statements(function))
            declared = {name for each in inside if isinstance(each, ast.Global) for name in each.names}
            for target, value in (pair for each in inside for pair in assignments(each)):
                if not isinstance(target, ast.Name) or target.id in declared:
                    yield target, value


def _own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """All that is in it, but in no function or class of its own."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        inner = waiting.pop(0)
        yield inner
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting[:0] = ast.iter_child_nodes(inner)


def names_inside(node: FunctionNode) -> set[str]:
    """Return the names that a function, or one inside it, has itself: what it assigns, takes, defines or imports."""
    found = parameters_of(node)
    elsewhere = {
        name for inner in _own_statements(node) if isinstance(inner, ast.Nonlocal) for name in inner.names
    }
    for inner in ast.walk(node):
        match inner:
            case ast.Global(names=names):
                elsewhere.update(names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found |= parameters_of(inner) | ({name} if inner is not node else set())
            case ast.Lambda():
                found |= parameters_of(inner)
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.partition(".")[0])
    return found - elsewhere

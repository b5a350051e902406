"""Following a dotted name from a module to what it stands for, through imports and aliases, in source.

module, "Kitchen.steam" ──► look_up ──► Function, Class   where it is written
                                        Live           an object of the standard library, loaded
                                        SourceModule, LiveModule, Missing or Opaque
"""

from __future__ import annotations

import ast
import builtins
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from runner.handlers.modules import LiveModule, Missing, Opaque, SourceModule, find_module
from runner.handlers.namespace import (
    Alias,
    Binding,
    Constant,
    Defined,
    FunctionNode,
    Imported,
    Namespace,
    read_names,
)
from runner.problems import did_you_mean

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
        if names_of(module).get(head) is None and hasattr(builtins, head):
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
        binding = names_of(module).get(name)
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

"""What a Python handler looks like from outside: its shape and its parameters. Facts only.

Made from source by `signature`, which runs nothing, and from the loaded object by `live`, in the worker.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum


class Shape(StrEnum):
    """What kind of callable a handler is."""

    FUNCTION = "function"
    GENERATOR = "generator function"
    CLASS = "class"
    PROCESS = "Process subclass"


class ParameterKind(StrEnum):
    """How a parameter may be given a value."""

    POSITIONAL_ONLY = "positional-only"
    POSITIONAL = "positional"
    KEYWORD_ONLY = "keyword-only"
    VAR_POSITIONAL = "var-positional"
    VAR_KEYWORD = "var-keyword"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a callable."""

    name: str
    kind: ParameterKind = ParameterKind.POSITIONAL
    annotation: str | None = None
    """Source text. None if there is none, or if a name in it has a meaning of its own in the module."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """A handler, as far as its use depends on how it is written."""

    shape: Shape
    parameters: tuple[Parameter, ...]
    """A class's are those of its constructor, without `self`."""
    call: tuple[Parameter, ...] | None = None
    """The parameters of a class's `__call__`, without `self`; None if it has no `__call__`."""
    methods: frozenset[str] = frozenset()
    """The names that a class or its bases define."""
    file: str | None = None
    line: int | None = None

    def without(self, filled: Collection[str]) -> Signature:
        """Return what is left to fill once the parameters of these names are."""
        return replace(self, parameters=tuple(p for p in self.parameters if p.name not in filled))

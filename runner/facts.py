"""`dataclass`, as the standard library has it, for classes that are made in no time.

The standard library writes each method of each dataclass as text and compiles that: a third of what a short command
takes, for all of ours. Here methods are made of what all dataclasses have in common; only `__init__` is written, when
the class is first called, so that a call costs what it costs there. `fields`, `replace` and `asdict` know no
difference, nor do type checkers. What only few classes ask for is left to the standard library.

    @dataclass(frozen=True, slots=True) ──► fields, slots: the standard library's
                                        ├─► repr, eq, hash, frozen: what all have in common
                                        └─► __init__: written at the first call
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen=False, slots=False, eq=True, repr=True, **unusual):
        """Make a class a dataclass. No InitVar."""
        if any(unusual.values()):
            return dataclasses.dataclass(frozen=frozen, slots=slots, eq=eq, repr=repr, **unusual)
        return lambda cls: _made(cls, frozen=frozen, slots=slots, eq=eq, shown=repr)


_unwritten: dict[type, Callable[[], None]] = {}
"""Classes that nobody has called yet, with what writes their `__init__`."""


def write_all() -> None:
    """Write what is not written yet: before processes are forked, of which each would write it for itself."""
    for write in tuple(_unwritten.values()):
        write()


def _made(cls: Any, *, frozen: bool, slots: bool, eq: bool, shown: bool) -> Any:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else its signature would be worked out, for a text
    own = frozenset(vars(cls))
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    known = dataclasses.fields(made)
    if shown and "__repr__" not in own:
        made.__repr__ = _repr
    if eq and "__eq__" not in own:
        made.__eq__, hash_ = _equality([each.name for each in known if each.compare])
        if "__hash__" not in own:
            made.__hash__ = hash_ if frozen else None
    if frozen:
        made.__setattr__, made.__delattr__ = _refusals(made, frozenset(each.name for each in known))
        if slots and "__getstate__" not in own:
            made.__getstate__, made.__setstate__ = _getstate, _setstate
    if "__init__" not in own:
        made.__init__ = _written_later(made, frozen=frozen)
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(
        f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr
    )
    return f"{type(self).__qualname__}({shown})"


def _equality(names: list[str]) -> tuple[Any, Any]:
    values: Callable[[Any], tuple[Any, ...]]
    if len(names) == 1:
        only = attrgetter(names[0])
        values = lambda self: (only(self),)  # noqa: E731
    else:
        values = attrgetter(*names) if names else lambda _: ()

    def equals(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equals, lambda self: hash(values(self))


def _refusals(cls: Any, names: frozenset[str]) -> tuple[Any, Any]:
    def refuse_to_set(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def refuse_to_delete(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return refuse_to_set, refuse_to_delete


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


def _written_later(cls: Any, *, frozen: bool) -> Any:
    def write() -> None:
        _unwritten.pop(cls, None)
        cls.__init__ = _written(cls, frozen=frozen)

    def write_and_call(self: Any, *values: Any, **named: Any) -> None:
        write()
        cls.__init__(self, *values, **named)

    _unwritten[cls] = write
    return write_and_call


def _written(cls: Any, *, frozen: bool) -> Any:
    """Write what the standard library would."""
    known = dataclasses.fields(cls)
    given: dict[str, Any] = {"_set": object.__setattr__, "_factory": _FACTORY}
    positional = [_parameter(each, given) for each in known if each.init and not each.kw_only]
    by_name = [_parameter(each, given) for each in known if each.init and each.kw_only]
    parameters = ["self", *positional, *(["*"] if by_name else []), *by_name]
    put = "_set(self, {0!r}, {1})" if frozen else "self.{0} = {1}"
    body = [put.format(each.name, value) for each, value in _values(known, given)]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"])
    exec(text, given)
    written = given.pop("__init__")
    written.__qualname__ = f"{cls.__qualname__}.__init__"
    return written


_FACTORY = object()


def _parameter(field: dataclasses.Field[Any], given: dict[str, Any]) -> str:
    if field.default is not dataclasses.MISSING:
        given[f"_default_{field.name}"] = field.default
        return f"{field.name}=_default_{field.name}"
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name}=_factory"
    return field.name


def _values(
    known: tuple[dataclasses.Field[Any], ...], given: dict[str, Any]
) -> Iterator[tuple[dataclasses.Field[Any], str]]:
    """Yield each field with what it gets, as it is written."""
    for each in known:
        name = each.name
        if each.default_factory is not dataclasses.MISSING:
            given[f"_make_{name}"] = each.default_factory
            made = f"_make_{name}()"
            yield each, f"{made} if {name} is _factory else {name}" if each.init else made
        elif each.init:
            yield each, name
        elif each.default is not dataclasses.MISSING:
            given[f"_default_{name}"] = each.default
            yield each, f"_default_{name}"

"""Rows of a table, of mappings: the values in the order of the columns, and quickly where a mapping has all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any

from runner.handlers.sinks.forms import FormError, below, plain
from runner.spec.suggestions import did_you_mean

_OR_FLOATS = frozenset({str, int, float, type(None)})
_LISTS = frozenset({list, tuple})


class RowReader:
    """Takes mappings apart, by the names of columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._known = frozenset(names)
        self._all: Callable[[Any], tuple[object, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda item: tuple(item[name] for name in self.names)
        )

    @classmethod
    def of(cls, first: Mapping[str, object]) -> RowReader:
        """Return the reader of what is like the first mapping. Raises `FormError` for one that names nothing."""
        if not first:
            raise FormError(
                "$: an empty mapping names no columns, and they are not known yet; name them in `columns`"
            )
        return cls(tuple(map(str, first)))

    def row(self, item: Mapping[str, object]) -> Sequence[object]:
        """Return the values of a mapping, None for what it lacks. Raises `FormError` for a name that is no column."""
        if len(item) == len(self.names):
            try:
                return self._all(item)
            except KeyError:
                pass
        for key in item:
            if key not in self._known:
                raise FormError(
                    f"{below('$', key)}: there is no such column; {did_you_mean(str(key), self.names)}"
                )
        return [item.get(name) for name in self.names]

    def rows(self, items: Sequence[Any]) -> Sequence[Sequence[Any]] | None:
        """Return the values of many items at once; None where one is no dict, or list, of just what is expected."""
        kinds = set(map(type, items))
        if not (kinds == {dict} or kinds <= _LISTS) or set(map(len, items)) != {len(self.names)}:
            return None
        if kinds != {dict}:
            return items
        try:
            return list(map(self._all, items))
        except KeyError:
            return None


def as_mapping(item: object, what: str = "a row is a mapping or a list") -> Mapping[str, object]:
    """Return a mapping, or the object that is one of its fields, as a mapping. Raises `FormError`."""
    if isinstance(item, Mapping):
        return item
    try:
        found = plain(item)
    except TypeError:
        found = None
    if not isinstance(found, Mapping):
        raise FormError(f"$: {what}, got {type(item).__name__}")
    return found


_floats_in: dict[tuple[type, ...], tuple[int, ...] | None] = {}
"""Of the types of rows seen lately: where numbers with a point are; None where there is something else to look at."""
_MOST_KINDS = 1000


def is_plain(row: Sequence[Any]) -> bool:
    """Say whether all values of a row are texts, whole numbers, finite numbers or None, of no class of their own."""
    kinds = tuple(map(type, row))
    floats = _floats_in[kinds] if kinds in _floats_in else _learn(kinds)
    if floats is None:
        return False
    for at in floats:  # noqa: SIM110 - a generator would take as long as all of the rest
        if row[at] - row[at] != 0:  # as it is for what is not finite
            return False
    return True


def are_plain(rows: Sequence[Sequence[Any]]) -> bool:
    """Say of many rows that have as many values each whether each of them is plain."""
    for column in zip(*rows, strict=True):
        kinds = set(map(type, column))
        if not kinds <= _OR_FLOATS:
            return False
        if float in kinds:
            floats = column if len(kinds) == 1 else [each for each in column if type(each) is float]
            if not isfinite(sum(floats)):  # as it is where one of them is not
                return False
    return True


def _learn(kinds: tuple[type, ...]) -> tuple[int, ...] | None:
    if len(_floats_in) >= _MOST_KINDS:
        _floats_in.clear()
    plain_kinds = _OR_FLOATS.issuperset(kinds)
    found = tuple(at for at, kind in enumerate(kinds) if kind is float) if plain_kinds else None
    _floats_in[kinds] = found
    return found

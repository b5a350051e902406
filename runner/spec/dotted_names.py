"""Names joined by dots, such as `params.speed` or `item.user.id`: how they are written, and the one way to follow them.

texts       `${{ a.b }}`          references.py
conditions  `if: a.b == 'c'`      expressions/
keys        `shard_by: a.b`       ledger/sharding.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.spec.expressions.paths import PATH_PARTS, path_part
from runner.text import late_pattern

NAME = r"[^\W\d][\w-]*"
"""A regular expression for the first name."""
STEP = r"\.[\w-]+"
"""One for a dot and a further name, which may be a number."""

INDEX = r"\[(?:'(?:[^']|'')*'|[0-9]+)\]"
"""One for a name that dots can't join, such as `['a b']`, or a number."""

_ONE_NAME = late_pattern(rf"\[(?:('(?:[^']|'')*')|([0-9]+))\]|{STEP}|{NAME}")
_PLAIN = late_pattern(r"[\w-]+")
_ABSENT = object()


def split_names(written: str) -> tuple[str, ...]:
    """Return the names of what is written as a `NAME` with any number of `STEP` and `INDEX` behind it."""
    return tuple(
        found[1][1:-1].replace("''", "'") if found[1] else found[2] or found[0].lstrip(".")
        for found in _ONE_NAME.finditer(written)
    )


def join_names(names: Iterable[str]) -> str:
    """Return names as one writes them: `params.speed`, `params['a b']`."""
    first, *others = names
    return first + "".join(
        f".{name}" if _PLAIN.fullmatch(name) else "['" + name.replace("'", "''") + "']" for name in others
    )


def follow(value: Any, names: Sequence[str], *, attributes: bool = False) -> tuple[Any, int]:
    """
    Go down from a value by keys of mappings and numbers of lists; with `attributes`, by those of objects too.

    Return what was reached, and how many of the names led there: all of them, or the next one is not there.
    """
    for depth, name in enumerate(names):
        below = _entry(value, name, attributes)
        if below is _ABSENT:
            return value, depth
        value = below
    return value, len(names)


def names_in(value: object) -> list[str]:
    """Return the names that may follow, for whoever says which are known."""
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    return [str(index) for index in range(len(value))] if isinstance(value, list | tuple) else []


def _entry(value: Any, name: str, attributes: bool) -> Any:
    if type(value) is dict or isinstance(value, Mapping):
        return value.get(name, _ABSENT)
    if attributes and name in PATH_PARTS and isinstance(value, str | bytes):
        return path_part(name, os.fsdecode(value))
    if attributes and (found := getattr(value, name, _ABSENT)) is not _ABSENT:
        return found
    is_index = isinstance(value, list | tuple) and name.isascii() and name.isdecimal() and len(name) < 10
    return value[int(name)] if is_index and int(name) < len(value) else _ABSENT

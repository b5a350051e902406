"""What stands for a value of Python's in a file: the one table of forms, for JSON, and for text and cells of a table.

    value                                    in JSON                     as text, in a cell
    ───────────────────────────────────────  ──────────────────────────  ────────────────────────────
    text, whole numbers, true and false      themselves                  themselves; `true`, `false`
    a finite number with a point             itself, all digits          the same
    None                                     null                        `null`; an empty cell
    list, tuple, mapping, dataclass          a list, an object           their JSON
    datetime, date, time                     ISO 8601, as text           the same
    timedelta                                seconds, a number           the same
    Decimal                                  its digits, as text         the same
    Path, UUID                               as text                     the same
    Enum                                     the form of its value       the same
    NumPy scalar, array                      the form of `tolist()`      the same
    ───────────────────────────────────────  ──────────────────────────  ────────────────────────────
    NaN, infinity, bytes, set, all else      none: `FormError`, which names the field

Pure. NumPy is never imported here: who hands in its values has it.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from runner.text import late_pattern, safe_repr

_SURROGATES = late_pattern("[\ud800-\udfff]")
_ODD_SURROGATES = late_pattern("[\ud800-\udc7f\udd00-\udfff]")
_DEEPEST = 200
"""What is nested deeper has most likely itself in it."""
_IDENTIFIER = late_pattern(r"[^\W\d]\w*")


class FormError(ValueError):
    """Something in an item has no form. The message begins with its path, such as `$.a.b[3]`."""


def plain(value: Any) -> object:
    """
    Return what stands for a value that JSON does not know, in types that it does, or one step nearer to them.

    Raises:
        TypeError: nothing does.
    """
    match value:
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case PurePath() | UUID():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
    if isinstance(value, _decimals()):
        return _of_decimal(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _of_numpy(value)
    raise TypeError(f"{_kind(value)} has no form")


def _decimals() -> tuple[type, ...]:
    """Who has a decimal number has imported what makes them."""
    module: Any = sys.modules.get("decimal")
    return () if module is None else (module.Decimal,)


def _of_decimal(value: Any) -> object:
    if value.is_finite():
        return str(value)
    return math.nan if value.is_nan() else float(value)  # what `float` makes of a signalling NaN is an error


def _of_numpy(value: Any) -> object:
    """`datetime64` makes a number of its nanoseconds, where all else becomes what it means."""
    if value.dtype.kind == "M":
        return value.astype(str).tolist()
    if value.dtype.kind == "m":
        return value.astype("timedelta64[us]").tolist()
    found: object = value.tolist()
    if found is value:
        raise TypeError(f"{_kind(value)} has no form")
    return found


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=plain).encode


def as_json(item: object) -> str:
    """Return an item as JSON, on one line. Raises `FormError`."""
    try:
        return _encode(item)
    except (TypeError, ValueError, RecursionError) as error:
        raise FormError(_fault(item) or f"$: {error}") from None


def json_lines(items: Iterable[object]) -> str:
    """Return items as JSON, each on a line that has its end. Raises TypeError, ValueError, RecursionError."""
    return "\n".join(map(_encode, items)) + "\n"


def item_text(value: object) -> str:
    """Return an item, or a part of one, as text. Raises `FormError`."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | int | float | list | tuple | dict) or value is None:
        return as_json(value)
    try:
        return item_text(plain(value))
    except (TypeError, RecursionError):
        raise FormError(_fault(value) or f"$: {_kind(value)} has no form") from None


def in_text(value: object, path: str) -> str:
    """Return a part of an item, which is at `path` in it, as text. Raises `FormError`, which names it."""
    if type(value) is str:
        return value
    try:
        return item_text(value)
    except FormError as error:
        raise FormError(path + str(error).removeprefix("$")) from None


def as_cells(row: Sequence[object], names: tuple[str, ...] = ()) -> Sequence[object]:
    """Return the cells of a row of a table, ready for `csv`. Raises `FormError`, which names the cell."""
    return [_cell(value, index, names) for index, value in enumerate(row)]


def _cell(value: object, index: int, names: tuple[str, ...]) -> object:
    if value is None:
        return ""
    return in_text(value, below("$", names[index]) if index < len(names) else f"$[{index}]")


def json_bytes(text: str) -> bytes:
    """Return text that is JSON in UTF-8. Half characters, as from a file name that is not UTF-8, are escaped."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(_escaped, text).encode()


def text_bytes(text: str) -> bytes:
    """Return text in UTF-8. What was a byte of a file name is that byte again; other half characters are escaped."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _ODD_SURROGATES.sub(_escaped, text).encode("utf-8", "surrogateescape")


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _fault(value: Any, path: str = "$", depth: int = 0) -> str | None:
    """Find the first part of an item that has no form, and say which it is."""
    if depth > _DEEPEST:
        return f"{path}: it is nested more than {_DEEPEST} deep, or has itself in it"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path}: {float(value)} has no form; None would be `null`"
    if value is None or isinstance(value, str | int):
        return None
    if isinstance(value, dict):
        odd = (key for key in value if not isinstance(key, str | int | float | None))
        for key in odd:
            return f"{path}: {_kind(key)} is no key: {safe_repr(key)}; write it as text"
        found = (_fault(each, below(path, key), depth + 1) for key, each in value.items())
        return next((each for each in found if each is not None), None)
    if isinstance(value, list | tuple):
        found = (_fault(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value))
        return next((each for each in found if each is not None), None)
    try:
        return _fault(plain(value), path, depth + 1)
    except TypeError:
        hint = "; decode it first" if isinstance(value, bytes | bytearray | memoryview) else ""
        hint = "; it has no order: make it a list" if isinstance(value, set | frozenset) else hint
        return f"{path}: {_kind(value)} has no form: {safe_repr(value)}{hint}"


def below(path: str, key: object) -> str:
    """Return the path of what a mapping at `path` has under a key."""
    return (
        f"{path}.{key}"
        if isinstance(key, str) and _IDENTIFIER.fullmatch(key)
        else f"{path}[{safe_repr(key)}]"
    )


def _kind(value: object) -> str:
    module, name = type(value).__module__, type(value).__qualname__
    return name if module == "builtins" else f"{module}.{name}"

"""How values in an `if` compare: the rules of GitHub's expressions. Pure.

| | |
|---|---|
| false | `false`, `0`, `''`, `null`; everything else is true |
| `==` | two texts: whatever their case; two lists or maps: the very same; else as numbers |
| `<` | as `==`; what is no number is neither less nor more |
| as a number | `null` and `''` are 0, `true` is 1, a text is what it spells, and all else is no number; there, and
|             | nowhere else, GitHub takes whole numbers beyond 2^53 for their neighbours |

Source: "Evaluate expressions in workflows and actions", GitHub Docs, the sections Literals, Operators, Functions.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NUMBER_MOST_DIGITS = 400
_IN_WORDS = re.compile(r"[-+]?(?!Infinity)[a-zA-Z]")
"""What Python takes for a number in words, such as `inf`, and GitHub does not."""
_WHOLE = re.compile(r"[-+]?[0-9]+")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_true(value: object) -> bool:
    """Say whether a value counts as true. A list or a map does, even an empty one."""
    if is_collection(value):
        return True
    return bool(value) and value == value  # not a number is not true either


def compare(sign: str, left: object, right: object) -> bool:
    """Return what `left sign right` says, where `sign` is one of `==` `!=` `<` `<=` `>` `>=`."""
    if sign == "!=":
        return not compare("==", left, right)
    if isinstance(left, str) and isinstance(right, str):
        return _by_sign(sign, _caseless(left), _caseless(right))
    if is_collection(left) and is_collection(right):
        return sign in ("==", "<=", ">=") and left is right
    return _by_sign(sign, as_number(left), as_number(right))


def _caseless(text: str) -> str:
    """As GitHub compares: each character by its capital, where that is one character and no other letter's."""
    if text.isascii():
        return text.upper()
    return "".join(
        capital if len(capital := each.upper()) == 1 and (each.isascii() or not capital.isascii()) else each
        for each in text
    )


def contains(where: object, what: object) -> bool:
    """Say whether a text holds another, whatever their case, or a list an equal entry, or a map an equal value.

    No text holds a list or a map.
    """
    if isinstance(where, Mapping):
        return any(compare("==", entry, what) for entry in where.values())
    if isinstance(where, Sequence) and not isinstance(where, str):
        return any(compare("==", entry, what) for entry in where)
    return not is_collection(what) and _caseless(as_text(what)) in _caseless(as_text(where))


def starts_with(text: object, beginning: object) -> bool:
    """Say whether a text begins so, whatever its case; a list or a map neither does nor is how anything does."""
    if is_collection(text) or is_collection(beginning):
        return False
    return _caseless(as_text(text)).startswith(_caseless(as_text(beginning)))


def ends_with(text: object, ending: object) -> bool:
    """Say whether a text ends so, whatever its case; a list or a map neither does nor is how anything does."""
    if is_collection(text) or is_collection(ending):
        return False
    return _caseless(as_text(text)).endswith(_caseless(as_text(ending)))


def as_number(value: object) -> float:
    """Return what a value is worth in a comparison of numbers; NaN where it is none.

    Whole numbers stay whole, so that an id of twenty digits equals no other.
    """
    if value is None:
        return 0
    if isinstance(value, bool | int | float):
        return value
    return _spelt(value.strip()) if isinstance(value, str) else math.nan


def as_text(value: object) -> str:
    """Return what a value is in a text: null is nothing, a list or a map is no text."""
    if value is None or is_collection(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def format_value(value: object) -> str:
    """Return a value as a reason shows it: texts in quotes, all of it short."""
    if value is None:
        return "not set"
    text = f"'{value}'" if isinstance(value, str) else as_text(value)
    if is_collection(value):
        text = f"a map of {len(value)}" if isinstance(value, Mapping) else f"a list of {len(value)}"  # type: ignore[arg-type]
    return text if len(text) <= 60 else f"{text[:57]}…'"


def _by_sign(sign: str, left: Any, right: Any) -> bool:
    return bool(left == right) if sign == "==" else _ORDERS[sign](left, right)


def _spelt(text: str) -> float:
    if not text:
        return 0.0
    if len(text) > _NUMBER_MOST_DIGITS or "_" in text or not text.isascii() or _IN_WORDS.match(text):
        return math.nan
    try:
        if text.casefold().startswith(("0x", "0o")):
            return int(text, 0)
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    except ValueError:
        return math.nan


def is_collection(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)

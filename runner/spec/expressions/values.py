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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


class ResultText(str):
    """A result, or a text that names some, which GitHub has another word for: it equals both, and shows ours."""

    github: str
    __slots__ = ("github",)

    def __new__(cls, ours: str, github: str) -> ResultText:
        made = super().__new__(cls, ours)
        made.github = github
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.github


GITHUB_RESULTS: Mapping[str, str] = {
    "passed": "success",
    "allowed": "success",
    "failed": "failure",
    "timed_out": "failure",
}
"""GitHub's words for results that have another here."""


def result_text(result: str) -> str:
    """Return a result as expressions compare it."""
    return ResultText(result, GITHUB_RESULTS[result]) if result in GITHUB_RESULTS else result


def github_spelling(value: Any) -> Any:
    """Return a value with GitHub's words for the results in it."""
    if isinstance(value, ResultText):
        return value.github
    if isinstance(value, Mapping):
        return {key: github_spelling(below) for key, below in value.items()}
    return [github_spelling(below) for below in value] if isinstance(value, list | tuple) else value


class Filtered(list[Any]):
    """What `.*` leads to: a name or `.*` behind it is that of each entry."""


def index_value(value: object, key: object) -> Any:
    """Return the entry of a list or a map, names whatever their case; null where there is none, as in all else."""
    if isinstance(value, Filtered):
        return Filtered(found for each in value if (found := _entry(each, key)) is not _ABSENT)
    found = _entry(value, key)
    return None if found is _ABSENT else found


def filter_value(value: object) -> Any:
    """Return all entries of a list or a map: what `.*` leads to."""
    if isinstance(value, Filtered):
        return Filtered(below for each in value for below in _entries(each))
    return Filtered(_entries(value)) if is_collection(value) else None


_ABSENT = object()


def _entries(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _entry(value: Any, key: object) -> Any:
    if isinstance(value, Mapping):
        return _ABSENT if is_collection(key) else _by_name(value, as_text(key))
    if not isinstance(value, list | tuple):
        return _ABSENT
    number = as_number(key)
    if not 0 <= number < len(value):  # no number is neither
        return _ABSENT
    return value[math.floor(number)]


def _by_name(value: Mapping[Any, Any], name: str) -> Any:
    if name in value:
        return value[name]
    lower = name.lower()
    return next((below for each, below in value.items() if str(each).lower() == lower), _ABSENT)


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
        if sign == "==" and isinstance(left, ResultText) is not isinstance(right, ResultText):
            return any(_caseless(one) == _caseless(other) for one in _words(left) for other in _words(right))
        return _by_sign(sign, _caseless(left), _caseless(right))
    if is_collection(left) and is_collection(right):
        return sign in ("==", "<=", ">=") and left is right
    return _by_sign(sign, as_number(left), as_number(right))


def _words(text: str) -> tuple[str, ...]:
    return (str(text), text.github) if isinstance(text, ResultText) else (text,)


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
    if is_collection(what):
        return False
    parts = [_caseless(each) for each in _words(as_text(what))]
    return any(part in _caseless(each) for each in _words(as_text(where)) for part in parts)


def starts_with(text: object, beginning: object) -> bool:
    """Say whether a text begins so, whatever its case; a list or a map neither does nor is how anything does."""
    if is_collection(text) or is_collection(beginning):
        return False
    part = _caseless(as_text(beginning))
    return any(_caseless(each).startswith(part) for each in _words(as_text(text)))


def ends_with(text: object, ending: object) -> bool:
    """Say whether a text ends so, whatever its case; a list or a map neither does nor is how anything does."""
    if is_collection(text) or is_collection(ending):
        return False
    part = _caseless(as_text(ending))
    return any(_caseless(each).endswith(part) for each in _words(as_text(text)))


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
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return value if isinstance(value, str) else str(value)


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

"""The functions of expressions: what each takes, and what it makes of values. Pure.

| | |
|---|---|
| `contains` `startsWith` `endsWith` | of texts, whatever their case; `contains` of entries of a list as well |
| `format` `join` | one text of several values |
| `fromJSON` `toJSON` | between values and texts |
| `case` | the first value whose condition is true, else the last |
| `basename` `dirname` `stem` `suffix` | of paths |

`success` `failure` `always` `cancelled` ask how things stand, and `hashFiles` looks at a disk: whoever evaluates does
those. Names are the same whatever their case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

from runner.facts import dataclass
from runner.spec.expressions.paths import PATH_FUNCTIONS
from runner.spec.expressions.values import (
    ResultText,
    as_text,
    contains,
    ends_with,
    github_spelling,
    is_collection,
    starts_with,
)
from runner.units import counted

MOST_CHARACTERS_MADE = 1_000_000
"""A text that functions make may be so long: each may double what it is given, and they nest."""
MOST_ARGUMENTS = 255
_PLACE = re.compile(r"\{\{|\}\}|\{([0-9]{1,9})[^{}]*\}|[{}]")


class ExpressionError(ValueError):
    """A value for which an expression has no meaning, such as text for `fromJSON` that is no JSON."""


@dataclass(frozen=True, slots=True)
class ExpressionFunction:
    """What there is to know of a function before it is called."""

    usage: str
    """What its brackets hold, as one writes it."""
    least: int
    most: int
    call: Callable[..., object] | None = None
    """What it makes of its arguments; None where that is no matter of them alone."""

    def takes(self) -> str:
        """Say how many arguments it takes."""
        if self.most == 0:
            return "no arguments"
        if self.least == self.most:
            return counted(self.least, "argument")
        if self.most == MOST_ARGUMENTS:
            return f"{counted(self.least, 'argument')} or more"
        return f"{self.least} or {counted(self.most, 'argument')}"


def _format(template: object, *values: object) -> object:
    """Put values into the places `{0}`, `{1}` of a text; `{{` and `}}` are braces."""
    return _spelt_twice(lambda spelling: _formatted(spelling(template), [*map(spelling, values)]))


def _formatted(template: str, values: list[str]) -> str:
    pieces, done, length = [], 0, 0
    for found in _PLACE.finditer(template):
        pieces.append(template[done : found.start()])
        pieces.append(_in_place(found, template, values))
        length += len(pieces[-1]) + len(pieces[-2])
        _check_length(length, "format")
        done = found.end()
    return "".join([*pieces, template[done:]])


def _in_place(found: re.Match[str], template: str, values: list[str]) -> str:
    if found[0] in ("{{", "}}"):
        return found[0][0]
    if found[1] is None:
        message = f"format() can't read '{found[0]}' in '{_shown(template)}': write {{0}}, or {found[0] * 2}"
        raise ExpressionError(message)
    if int(found[1]) >= len(values):
        message = f"format() has no value for {{{found[1]}}}: it got {counted(len(values), 'value')}"
        raise ExpressionError(message)
    return values[int(found[1])]


def _join(values: object, separator: object = ",") -> object:
    """Return the entries of a list as one text."""
    if not is_collection(values):
        return values if isinstance(values, str) else as_text(values)
    if isinstance(values, Mapping):
        return ""
    between = "," if is_collection(separator) else as_text(separator)

    def joined(spelling: Callable[[object], str]) -> str:
        texts = [spelling(each) for each in values]  # type: ignore[attr-defined]
        _check_length(sum(map(len, texts)) + len(between) * len(texts), "join")
        return between.join(texts)

    return _spelt_twice(joined)


def _spelt_twice(make: Callable[[Callable[[object], str]], str]) -> str:
    """Make a text of others: where one of those is a result, GitHub's word for it goes along."""
    ours, theirs = make(_word), make(lambda value: _word(github_spelling(value)))
    return ours if ours == theirs else ResultText(ours, theirs)


def _word(value: object) -> str:
    """A value within another text; there a list or a map has but the name of its kind, as on GitHub."""
    return ("Object" if isinstance(value, Mapping) else "Array") if is_collection(value) else as_text(value)


def _from_json(text: object) -> object:
    """Return the value that a text of JSON spells."""
    written = as_text(text)
    if not written.strip():
        raise ExpressionError("fromJSON() got an empty text, which is no JSON")
    try:
        return json.loads(written, parse_constant=_no_number)
    except RecursionError:
        raise ExpressionError("fromJSON() got JSON that nests too deep") from None
    except ValueError as error:
        message = f"fromJSON() got '{_shown(written)}', which is no JSON: {error}"
        raise ExpressionError(message) from None


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _to_json(value: object) -> object:
    """Return a value as JSON of several lines, each level two blanks further in."""
    try:
        ours, theirs = _as_json(value), _as_json(github_spelling(value))
    except RecursionError:
        raise ExpressionError("toJSON() got a value that nests too deep") from None
    return ours if ours == theirs else ResultText(ours, theirs)


def _as_json(value: object) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False, indent=2)
    _check_length(len(text), "toJSON")
    return text


def _plain(value: Any) -> Any:
    """Return what JSON knows: a number that is whole without its point, one that is none as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    return value if value is None or isinstance(value, str | int) else str(value)


def _check_length(length: int, function: str) -> None:
    if length > MOST_CHARACTERS_MADE:
        raise ExpressionError(f"{function}() would make a text of over {MOST_CHARACTERS_MADE:,} characters")


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:39]}…"


def _case(*values: object) -> object:
    """Return the value after the first condition that is true, or the last value."""
    for condition, value in zip(values[:-1:2], values[1::2], strict=False):
        if not isinstance(condition, bool):
            raise ExpressionError("case() takes true or false before each value: compare, or write !!")
        if condition:
            return value
    return values[-1]


def _of_path(function: Callable[[str], str], path: object) -> str:
    return function(as_text(path))


STATUS_FUNCTIONS = ("success", "failure", "always", "cancelled")
HASH_FILES = "hashFiles"
TEXT_FUNCTIONS: Mapping[str, Callable[[object, object], bool]] = {
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
}
FUNCTIONS: Mapping[str, ExpressionFunction] = {
    **{name: ExpressionFunction("", 0, 0) for name in STATUS_FUNCTIONS},
    **{name: ExpressionFunction("text, part", 2, 2, call) for name, call in TEXT_FUNCTIONS.items()},
    "format": ExpressionFunction("'{0} {1}', a, b", 1, MOST_ARGUMENTS, _format),
    "join": ExpressionFunction("list, ', '", 1, 2, _join),
    "fromJSON": ExpressionFunction("text", 1, 1, _from_json),
    "toJSON": ExpressionFunction("value", 1, 1, _to_json),
    "case": ExpressionFunction("condition, value, otherwise", 3, MOST_ARGUMENTS, _case),
    HASH_FILES: ExpressionFunction("'**/package.json'", 1, MOST_ARGUMENTS),
    **{
        name: ExpressionFunction("path", 1, 1, partial(_of_path, call))
        for name, call in PATH_FUNCTIONS.items()
    },
}
"""All of them, by the name as it is shown."""
_BY_LOWER = {name.lower(): name for name in FUNCTIONS}


def function_name(written: str) -> str:
    """Return a function's name as it is shown, or what is written where there is none so called."""
    return _BY_LOWER.get(written.lower(), written)

"""Plain data -> YAML, as a person would have written it: what is short on one line, the rest in blocks.

    {"a": [1, 2], "b": "x: y"} ──► a: [1, 2]
                                   b: "x: y"

What `reader.read` makes of it is the data again. Text is quoted where any YAML reader, of 1.1 too, could take it for
something else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath
from runner.spec.source.composer import resolve
from runner.text import cells

WIDTH = 110
"""Columns that a collection on one line may reach."""
_STEP = "  "
_COMMENT_COLUMN = 60
_FIRST = re.compile(r"\w|[/$(]|\.{1,2}[/\w]")
_HIDDEN = r"\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff"
"""What readers of YAML do not take as it is, or a terminal obeys: marks of the direction of text are among it."""
_UNSAFE = re.compile(rf"[\x00-\x1f{_HIDDEN}]|: |:$| #|^ | $")
_UNSAFE_IN_FLOW = re.compile(r"[,\[\]{}]")
_NO_TEXT = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|\.inf|\.nan|[\d.][\d_:.e+ tz-]*|0[xob]\w+")
"""What readers of YAML 1.1 take for no text: numbers and dates are among it."""
_ODD = re.compile(f"[{_HIDDEN}]")
_PRINTABLE_LINES = re.compile(rf"(?:[^\x00-\x08\x0b-\x1f{_HIDDEN}\t\r]*\n)*[^\x00-\x1f{_HIDDEN}]*")


@dataclass(frozen=True, slots=True)
class Written:
    """A scalar as it stands in some file, such as `3.10`, to be written so again."""

    text: str


Comment = Callable[[DataPath], str]
"""Returns what to say behind the value at a path; the empty text is nothing."""


Above = Callable[[DataPath], Sequence[str]]
"""Returns the lines of comment to write above the entry at a path; the empty text is an empty line."""


def _nothing(_: DataPath) -> str:
    return ""


def _no_lines(_: DataPath) -> Sequence[str]:
    return ()


class _Said(NamedTuple):
    """What is said of values: behind them on their lines, and on lines of its own."""

    behind: Comment = _nothing
    above: Above = _no_lines

    def lines(self, path: DataPath, indent: str) -> Iterator[tuple[str, str]]:
        yield from ((f"{indent}# {line}" if line else "", "") for line in self.above(path))

    def is_above_any(self, value: Any, path: DataPath) -> bool:
        """Say whether a line of comment belongs into a value, which then can't stand on one line."""
        return self.above is not _no_lines and any(
            self.above((*path, key)) or self.is_above_any(each, (*path, key)) for key, each in _entries(value)
        )


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def emit(value: Any, comment: Comment = _nothing, above: Above = _no_lines) -> str:
    """Return a document. Values that one comment holds for may share a line, with the comment behind them."""
    lines = [*_block(value, (), "", _Said(comment, above))]
    widths = (cells(line) for line, said in lines if said)
    longest = max((width for width in widths if width <= _COMMENT_COLUMN), default=0)
    padded = ((line + " " * (longest - cells(line)), said) if said else (line, "") for line, said in lines)
    return "".join(f"{line}  # {said}\n" if said else f"{line}\n" for line, said in padded)


def emit_block(value: Any, indent: str) -> list[str]:
    """Return the lines of a collection, or of a text of several lines, each behind `indent`."""
    return [line for line, _ in _block(value, (), indent, _Said())]


def emit_flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{emit_scalar(key, flow=True)}: {emit_flow(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(emit_flow(each) for each in value) + "]"
    return emit_scalar(value, flow=True)


def emit_scalar(value: Any, *, flow: bool = False) -> str:
    """Return a scalar on one line, quoted if it has to be; `flow` says that it stands between brackets."""
    match value:
        case Written():
            return value.text
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case int() | float():
            return repr(value)
    text = str(value)
    return text if _is_plain(text, flow) else _quoted(text)


def _is_plain(text: str, flow: bool) -> bool:
    return (
        _FIRST.match(text) is not None
        and _UNSAFE.search(text) is None
        and (not flow or _UNSAFE_IN_FLOW.search(text) is None)
        and _NO_TEXT.fullmatch(text) is None
        and resolve(text) == text
    )


def _quoted(text: str) -> str:
    if ('"' in text or "\\" in text) and _UNSAFE.sub("", text) == text.replace(": ", "").replace(" #", ""):
        return "'" + text.replace("'", "''") + "'"
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _block(value: Any, path: DataPath, indent: str, said: _Said) -> Iterator[tuple[str, str]]:
    """Yield the lines of a value that is the whole document, or stands below its key, each with what to say of it."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from said.lines((*path, key), indent)
            yield from _entry(f"{indent}{emit_scalar(key)}:", each, (*path, key), indent, said)
    elif isinstance(value, list | tuple) and value:
        for number, each in enumerate(value):
            yield from said.lines((*path, number), indent)
            yield from _listed(each, (*path, number), indent, said)
    else:
        yield f"{indent}{emit_flow(value)}", said.behind(path)


def _entry(head: str, value: Any, path: DataPath, indent: str, said: _Said) -> Iterator[tuple[str, str]]:
    behind = _said_of_all(value, path, said.behind)
    if isinstance(value, str) and "\n" in value.rstrip("\n") and _fits_block(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}", behind[0]
        yield from (
            (f"{indent}{_STEP}{line}".rstrip(" "), "") for line in value.removesuffix("\n").split("\n")
        )
        return
    flow = f"{head} {emit_flow(value)}"
    if not isinstance(value, dict | list | tuple):
        yield f"{head} {emit_scalar(value)}", behind[0]
    elif not value or (
        len(behind) == 1
        and len(flow) <= WIDTH
        and len(path) > 1
        and _depth(value) <= 3
        and not said.is_above_any(value, path)
        and not _has_lines(value)
    ):
        yield flow, behind[0]
    else:
        yield head, ""
        yield from _block(value, path, indent + _STEP, said)


def _listed(value: Any, path: DataPath, indent: str, said: _Said) -> Iterator[tuple[str, str]]:
    behind = _said_of_all(value, path, said.behind)
    flow = f"{indent}- {emit_flow(value)}"
    is_short = len(behind) == 1 and len(flow) <= WIDTH and not said.is_above_any(value, path)
    is_short = is_short and not _has_lines(value)
    if not isinstance(value, dict | list | tuple) or not value or is_short:
        yield flow, behind[0]
        return
    lines = [*_block(value, path, indent + _STEP, said)]
    first, its = lines[0]
    yield f"{indent}- {first.lstrip(' ')}", its
    yield from lines[1:]


def _said_of_all(value: Any, path: DataPath, comment: Comment) -> list[str]:
    """Return the different comments on what is in a value."""
    if isinstance(value, dict) and value:
        found = [said for key, each in value.items() for said in _said_of_all(each, (*path, key), comment)]
    elif isinstance(value, list | tuple) and value:
        found = [said for n, each in enumerate(value) for said in _said_of_all(each, (*path, n), comment)]
    else:
        found = [comment(path)]
    return list(dict.fromkeys(found))


def _depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return (
        1 + max((_depth(each) for each in below), default=0) if isinstance(value, dict | list | tuple) else 0
    )


def _has_lines(value: Any) -> bool:
    """Say whether a value of a mapping in a collection is a text of several lines, which reads best as a block."""
    if isinstance(value, str):
        return "\n" in value.rstrip("\n") and _fits_block(value)
    return any(
        _has_lines(each) and not (isinstance(value, list) and isinstance(each, str))
        for _, each in _entries(value)
    )


def _fits_block(text: str) -> bool:
    """Say whether a text can be written as a literal block that gives it back."""
    return (
        _PRINTABLE_LINES.fullmatch(text) is not None
        and text[0] not in " \n"
        and not text.endswith("\n\n")
        and not any(line.endswith(" ") for line in text.split("\n"))
    )

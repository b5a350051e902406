"""Where things are written: from a path in the data to a line, a column and the text of that line.

    data   {"queues": {"steamer": {"maxsize": 10}}}      plain dicts and lists, what everybody works with
    marks     root ──► queues ──► steamer ──► maxsize     the same tree, each node with its place in a text

Every mark knows its own text, so one tree may be put together from several files and from the command line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, Part, Severity, Span, UseSite

NO_KEY = -1
"""The `key_start` and `key_end` of what has no key: the root and the entries of a list."""

_LINE_BREAK = re.compile("\r\n|[\r\n]")


@dataclass(frozen=True, slots=True)
class Location:
    """A stretch of a line, with the line."""

    file: str
    span: Span
    snippet: str
    used: tuple[UseSite, ...] = ()
    """Where the file is used, if it is a template."""

    def diagnostic(
        self, code: str, message: str, *, help: str | None = None, severity: Severity = Severity.ERROR
    ) -> LocatedDiagnostic:
        """Say what is wrong here."""
        return LocatedDiagnostic(self.file, self.span, code, message, help, self.snippet, severity, self.used)


class Text:
    """A file's text, or an argument of the command line. Finds its lines when first asked, and keeps them."""

    __slots__ = ("_lines", "_starts", "file", "text", "used")

    def __init__(self, file: str, text: str, used: tuple[UseSite, ...] = ()) -> None:
        """`used` says where the file is used, if it is read as a template."""
        self.file = file
        self.text = text
        self.used = used
        self._starts: list[int] = []
        self._lines: dict[int, str] = {}

    def location(self, start: int, end: int) -> Location:
        """Return the place of `text[start:end]`, cut at the end of its first line and never empty."""
        if start >= len(self.text):
            start = max(len(self.text.rstrip()) - 1, 0)
        number = bisect_right(self._line_starts(), start) - 1
        line, first = self._line(number), self._starts[number]
        column = min(start - first, max(len(line) - 1, 0))
        width = max(min(end - first, len(line)) - column, 1)
        return Location(self.file, Span(number + 1, column + 1, width), line, self.used)

    def line_of(self, index: int) -> int:
        """Return the number, from 1, of the line that holds `text[index]`."""
        return bisect_right(self._line_starts(), index)

    def _line_starts(self) -> list[int]:
        if not self._starts:
            self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]
        return self._starts

    def _line(self, number: int) -> str:
        # Kept, so that a thousand problems on one very long line share one copy of it.
        if number not in self._lines:
            following = self._starts[number + 1] if number + 1 < len(self._starts) else len(self.text)
            self._lines[number] = self.text[self._starts[number] : following].rstrip("\r\n")
        return self._lines[number]


class Mark(NamedTuple):
    """Where one value and its key are written, as offsets into a text. A tuple, as a file has very many."""

    text: Text
    start: int
    end: int
    key_start: int = NO_KEY
    key_end: int = NO_KEY
    children: Mapping[str, Mark] | list[Mark] | None = None
    aliased: Mark | None = None
    """For `*name`, the mark of what it stands for; `start` and `end` are those of the `*name` itself."""

    def at_key(self) -> Location:
        """Return the place of the key, or of the value where there is none."""
        if self.key_start != NO_KEY:
            return self.text.location(self.key_start, self.key_end)
        # The whole of a collection may be the whole file: its first character is enough to find it.
        return self.text.location(self.start, self.end if self.children is None else self.start + 1)

    def at_value(self) -> Location:
        """Return the place of a scalar; of a collection, or of a value left out, that of its key."""
        if self.children is None and self.start < self.end:
            return self.text.location(self.start, self.end)
        return self.at_key()

    def written(self) -> tuple[Text, int, int]:
        """Return the text and the offsets of the scalar itself, behind any alias."""
        own = self.aliased or self
        return own.text, own.start, own.end

    def child(self, step: str | int) -> Mark | None:
        """Return the mark one step down, if there is one."""
        if isinstance(self.children, Mapping):
            return self.children.get(step) if isinstance(step, str) else None
        if self.children is None or not isinstance(step, int):
            return None
        return self.children[step] if 0 <= step < len(self.children) else None


class SourceNode(NamedTuple):
    """A value with its mark. What includes and overrides build new sources from."""

    data: Any
    mark: Mark

    def entries(self) -> dict[str, SourceNode]:
        """Return the entries of a mapping; of anything else, none."""
        if not isinstance(self.data, dict) or not isinstance(self.mark.children, Mapping):
            return {}
        return {key: SourceNode(value, self.mark.children[key]) for key, value in self.data.items()}

    def items(self) -> list[SourceNode]:
        """Return the entries of a list; of anything else, none."""
        if not isinstance(self.data, list) or not isinstance(self.mark.children, list):
            return []
        return [SourceNode(value, mark) for value, mark in zip(self.data, self.mark.children, strict=True)]

    def with_items(self, items: list[SourceNode]) -> SourceNode:
        """Return a list that stands where this one does and holds `items`."""
        return SourceNode(
            [node.data for node in items], self.mark._replace(children=[node.mark for node in items])
        )

    def with_entries(self, entries: Mapping[str, SourceNode]) -> SourceNode:
        """Return a mapping that stands where this one does and holds `entries`."""
        children = {key: node.mark for key, node in entries.items()}
        return SourceNode(
            {key: node.data for key, node in entries.items()}, self.mark._replace(children=children)
        )


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """What was read, as plain data, with the place of each key and value. Treat `data` as read-only."""

    file: str
    """As shown to the user: the path as typed."""
    data: Any
    traps: tuple[LocatedDiagnostic, ...]
    """Problems found while reading that did not prevent reading."""
    mark: Mark
    path: Path | None = None
    """Where the file is; None if the text came from elsewhere."""
    included: tuple[Text, ...] = ()
    """The files that came in by `include`."""

    @property
    def root(self) -> SourceNode:
        """The whole, as a node."""
        return SourceNode(self.data, self.mark)

    def with_root(
        self, root: SourceNode, traps: tuple[LocatedDiagnostic, ...] | None = None
    ) -> SourceDocument:
        """Return the source of the same file with other contents, and other traps if given."""
        return replace(self, data=root.data, mark=root.mark, traps=self.traps if traps is None else traps)

    def locate(self, path: DataPath, part: Part = "value") -> Location:
        """Return where `path` is written; of a path that does not exist, the key of its nearest ancestor."""
        mark, found = self._nearest(path)
        return mark.at_value() if found and part == "value" else mark.at_key()

    def diagnostic(
        self,
        path: DataPath,
        code: str,
        message: str,
        *,
        part: Part = "value",
        help: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> LocatedDiagnostic:
        """Say what is wrong at `path`."""
        return self.locate(path, part).diagnostic(code, message, help=help, severity=severity)

    def place(self, diagnostic: Diagnostic) -> LocatedDiagnostic:
        """Return a diagnostic with file, line and column."""
        d = diagnostic
        where = self.locate(d.path, d.part) if d.stretch is None else self.within(d.path, *d.stretch)
        return where.diagnostic(d.code, d.message, help=d.help, severity=d.severity)

    def place_all(self, diagnostics: Iterable[Diagnostic]) -> list[LocatedDiagnostic]:
        """Return diagnostics with file, line and column."""
        return [self.place(diagnostic) for diagnostic in diagnostics]

    def within(self, path: DataPath, start: int, width: int) -> Location:
        """Return where characters `start` to `start + width` of the text at `path` are written.

        Where the text is not written as it reads, by escapes or line folding, the whole scalar is meant.
        """
        mark, found = self._nearest(path)
        value = self._value(path) if found else None
        if not isinstance(value, str) or start + width > len(value):
            return self.locate(path)
        text, first, last = mark.written()
        offset = _offset_as_written(text.text[first:last], value, start, width)
        return mark.at_value() if offset is None else text.location(first + offset, first + offset + width)

    def scalar_text(self, path: DataPath) -> str | None:
        """Return a scalar as it was typed, such as `3.10` for the number 3.1; None for anything else."""
        mark, found = self._nearest(path)
        if not found or mark.children is not None:
            return None
        value = self._value(path)
        text, start, end = mark.written()
        # `!!int "12"` is quoted.
        return value if isinstance(value, str) else text.text[start:end].strip("'\"")

    def _nearest(self, path: DataPath) -> tuple[Mark, bool]:
        mark = self.mark
        for step in path:
            below = mark.child(step)
            if below is None:
                return mark, False
            mark = below
        return mark, True

    def _value(self, path: DataPath) -> Any:
        value = self.data
        for step in path:
            value = value[step]
        return value


def _offset_as_written(written: str, value: str, start: int, width: int) -> int | None:
    """Find `value[start:start + width]` in the scalar as written; None if it can't be told where it is."""
    if written == value:
        return start
    if written[1:-1] == value:  # in quotes, without an escape
        return start + 1
    wanted = value[start : start + width]
    if not wanted or value.count(wanted) != written.count(wanted):
        return None
    offset = -1
    for _ in range(value.count(wanted, 0, start) + 1):
        offset = written.find(wanted, offset + 1)
    return offset

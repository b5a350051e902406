"""CSV files, read row by row: the producer's side of the kind `csv`.

lines ──► csv.reader ──► a row ──► {"name": …, "price": 3}      by the header and `types`
                            └── too few fields, no number, … ──► Malformed, at the line where the row begins
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import Handler, HandlerKind, Malformed, Source, WorkerContext
from runner.handlers.sources.inputs import (
    OF_STDIN,
    PATH_OPTION,
    Range,
    can_resume,
    inputs_of,
    known_inputs,
    ranges,
)
from runner.handlers.sources.lines import ENCODING_OPTION, check_encoding, cuts_lines, decode, line_text
from runner.handlers.sources.reading import (
    COMPRESSION_OPTION,
    Block,
    can_be_cut,
    count_lines,
    input_name,
    read_blocks,
    skip_lines,
    the_one_file,
    why_whole,
)
from runner.spec.model import Role
from runner.spec.plan import InputFile
from runner.spec.suggestions import did_you_mean

_Lines = tuple[list[str], int]
"""Lines of a block, and the index in it of the first."""
_LONGEST_FIELD = 2**31 - 1
_NOBODY = WorkerContext("", "", 0, 0)
"""For what is read beside a worker's own share."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _why_whole(options: Mapping[str, Any]) -> str | None:
    path = the_one_file(options)
    if path not in (None, "-") and options.get("multiline", True):
        return (
            f"'{path}' is one file, and only with `multiline: false` is each line a row that can be cut off"
        )
    return why_whole(options)


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


_TYPES: Mapping[str, tuple[Callable[[str], object], str]] = {
    "text": (str, "text"),
    "integer": (int, "an integer"),
    "number": (float, "a number"),
    "boolean": (_boolean, "true or false"),
}


class _LineFeed:
    """Hands a `csv.reader` the lines of one file, and knows where the row that is being read has begun."""

    def __init__(self, blocks: Iterator[tuple[Block, _Lines | Malformed]], encoding: str) -> None:
        self._blocks = blocks
        self._encoding = encoding
        self._lines: Iterator[str] = iter(())
        self._bad: Malformed | None = None
        """A line that is no text, and is next."""
        self._block: Block | None = None
        self._next: tuple[Block, _Lines | Malformed] | None = None
        self._index = 0
        self._began: tuple[Block, int] | str | None = None
        self._row: list[str | bytes] = []
        self._fault: Malformed | None = None

    def __iter__(self) -> _LineFeed:
        return self

    def __next__(self) -> str:
        while True:
            for line in self._lines:
                self._index += 1
                if self._began is None and self._block is not None:
                    self._began = self._block, self._index
                self._row.append(line)
                return line + "\n"
            if self._bad is not None:
                return self._guessed(self._bad)
            self._advance()

    def _guessed(self, bad: Malformed) -> str:
        """Return something like the line that is no text, so that the row it is in ends where it does."""
        assert isinstance(bad.raw, bytes)
        self._bad, self._fault = None, self._fault or bad
        self._began = self._began or bad.position
        self._row.append(bad.raw)
        return bad.raw.decode(self._encoding, "replace") + "\n"

    def _advance(self) -> None:
        """Go on to the next lines of the same file. Raises StopIteration at its end."""
        if self._next is None:
            self._next = next(self._blocks)
        block, found = self._next
        if self._block is not None and block.range is not self._block.range:
            raise StopIteration
        self._block, self._next = block, None
        if isinstance(found, Malformed):
            self._bad = found
        else:
            self._lines, self._index = iter(found[0]), found[1] - 1

    def next_file(self) -> Range | None:
        """Return whose lines come next; None if there are no more."""
        self._block = None
        try:
            self._advance()
        except StopIteration:
            return None
        return self._block.range if self._block is not None else None

    def begin_row(self) -> None:
        """The next line begins a row."""
        self._began = self._fault = None
        self._row.clear()

    @property
    def is_text(self) -> bool:
        """Whether all lines of the row in hand are."""
        return self._fault is None

    def malformed(self, why: str) -> Malformed:
        """Return the row in hand, as it stands in the file, as one that is wrong."""
        began = self._began
        assert began is not None
        position = began if isinstance(began, str) else began[0].position(began[1])
        if self._fault is not None:
            lines = (each if isinstance(each, bytes) else each.encode(self._encoding) for each in self._row)
            return Malformed(b"\n".join(lines), self._fault.error, position)
        text = "\n".join(map(str, self._row)).removesuffix("\r")
        return Malformed(text, ValueError(f"{position}: {why}"), position)


class CsvRows:
    """Reads a worker's share of CSV files."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        self._options = options
        self._context = context
        self._header: bool | Sequence[str] = options.get("header", True)
        self._types: Mapping[str, str] = options.get("types", {})

    def items(self) -> Iterator[object]:
        """Yield what each row holds, behind what earlier generations of the worker have put."""
        return islice(self._items(), self._context.offset, None)

    def _items(self) -> Iterator[object]:
        csv.field_size_limit(_LONGEST_FIELD)
        # Rows may take several lines, so those that were put can't be counted without being read.
        context = replace(self._context, offset=0)
        feed = self._feed(self._parts(), context)
        while (part := feed.next_file()) is not None:
            yield from self._of_file(part, feed)

    def _feed(self, parts: Iterable[Range], context: WorkerContext) -> _LineFeed:
        encoding, compression = (
            self._options.get("encoding", "utf-8"),
            self._options.get("compression", "auto"),
        )
        blocks = read_blocks(parts, context, compression, count_lines, skip_lines)
        # What ends a line within a field belongs to the field, so it is `csv` that takes it off a row.
        lines = ((block, each) for block in blocks for each in decode(block, encoding, whole=True))
        return _LineFeed(lines, encoding)

    def _parts(self) -> list[Range]:
        inputs = known_inputs(self._options, self._context)
        may_cut = not self._options.get("multiline", True)
        can_be = can_be_cut(self._options.get("compression", "auto"))
        return ranges(inputs, self._context.share, lambda each: may_cut and can_be(each))

    def _of_file(self, part: Range, feed: _LineFeed) -> Iterator[object]:
        names = self._names(part)
        for row in self._rows(feed):
            if names is None and self._header is True:
                names = self._check_names(row, part)
            elif isinstance(row, Malformed) or names is None:
                yield row
            else:
                yield self._item(names, row, feed)

    def _names(self, part: Range) -> list[str] | None:
        """Return the names of the columns, as far as they are known before the first row."""
        if self._header is not True:
            return list(self._header) if self._header else None
        if not part.start:
            return None
        # The share begins behind the header: look for it at the top of the file.
        first = Range(part.file, 0, 1)
        row = next(self._rows(self._feed([first], _NOBODY)), None)
        return self._check_names(row, part) if row is not None else []

    def _check_names(self, row: list[str] | Malformed, part: Range) -> list[str]:
        if isinstance(row, Malformed):
            raise HandlerError(f"{row.error}; this is the header, without which no row has names")
        unknown = [name for name in self._types if name not in row]
        twice = sorted({name for name in row if row.count(name) > 1})
        if unknown or twice:
            what = f"has no column '{unknown[0]}'" if unknown else f"has two columns '{twice[0]}'"
            raise HandlerError(f"{input_name(part.file)}: the header {what}: {', '.join(row)}")
        return row

    def remade(self, text: str, position: str) -> object:
        """Make an item of a row that was kept, by the header that its file has now."""
        file = InputFile(position.rpartition(":")[0], None)
        try:
            row = next(self._reader(f"{line}\n" for line in text.split("\n")), [])
            names = self._names(Range(file, 1))
        except (csv.Error, HandlerError) as error:
            return Malformed(text, ValueError(f"{position}: {error}"), position)
        item = row if names is None else _mapping(names, row, self._types)
        return Malformed(text, ValueError(f"{position}: {item}"), position) if isinstance(item, str) else item

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        quote = self._options.get("quote", '"')
        return csv.reader(
            lines,
            delimiter=self._options.get("delimiter", ","),
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )

    def _rows(self, feed: _LineFeed) -> Iterator[list[str] | Malformed]:
        reader = self._reader(feed)
        while True:
            feed.begin_row()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield feed.malformed(f"not CSV: {error}")
            else:
                if not feed.is_text:
                    yield feed.malformed("")
                elif row:  # an empty line holds nothing
                    yield row

    def _item(self, names: Sequence[str], row: list[str], feed: _LineFeed) -> object:
        item = _mapping(names, row, self._types)
        return feed.malformed(item) if isinstance(item, str) else item


def _mapping(names: Sequence[str], row: Sequence[str], types: Mapping[str, str]) -> dict[str, object] | str:
    """Return a row by the names of its columns, or what is wrong with it."""
    if len(row) != len(names):
        return f"{len(row)} fields, where {len(names)} are expected"
    item: dict[str, object] = dict(zip(names, row, strict=True))
    for name, kind in types.items():
        convert, wanted = _TYPES[kind]
        text = str(item[name])
        try:
            item[name] = None if text == "" and kind != "text" else convert(text)
        except (ValueError, KeyError):
            return f"'{name}': expected {wanted}, got {text!r}"
    return item


def _remake(options: Mapping[str, Any], raw: object, position: str) -> object:
    text = line_text(options, raw, position)
    return text if isinstance(text, Malformed) else CsvRows(options, _NOBODY).remade(text, position)


def _check_types(options: Mapping[str, Any]) -> None:
    """Raise `HandlerError` where `types` are of columns that no row can have."""
    header, types = options.get("header", True), options.get("types", {})
    if types and header is False:
        raise HandlerError(
            "`types` go by the names of columns, and `header: false` gives them none: list them there"
        )
    for name in types if isinstance(header, list) else ():
        if name not in header:
            raise HandlerError(f"`types`: `header` has no column '{name}'; {did_you_mean(name, header)}")


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    _check_types(options)
    check_encoding(options.get("encoding", "utf-8"))
    if not cuts_lines(options.get("encoding", "utf-8")):
        raise HandlerError(f"`csv` can't read {options['encoding']}: convert the file to UTF-8 first")
    return Source(CsvRows(options, context).items)


CSV = HandlerKind(
    name="csv",
    summary=(
        "Make an item of each row of CSV files: a mapping by the names of the columns, or a list where there are none. "
        "Several workers share the files."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": PATH_OPTION,
            "header": {
                "type": ["boolean", "array"],
                "items": {"type": "string"},
                "uniqueItems": True,
                "default": True,
                "title": "true, false, or a list of names",
                "description": (
                    "`true`: the first row of each file has the names of the columns. `false`: it is a row like the "
                    "others, and items are lists. A list: these are the names."
                ),
            },
            "types": {
                "type": "object",
                "additionalProperties": {"enum": list(_TYPES)},
                "default": {},
                "description": (
                    "The types of columns, by name: `integer`, `number`, `boolean` or `text`, which they are without. "
                    "An empty field of the first three is null, and one that is none makes the row an item that fails."
                ),
            },
            "delimiter": {
                "type": "string",
                "pattern": "^.$",
                "title": "one character",
                "default": ",",
                "description": "What is between two fields.",
            },
            "quote": {
                "type": "string",
                "pattern": "^.?$",
                "title": "one character, or none",
                "default": '"',
                "description": "What is round a field with a delimiter or a line end in it; empty for none.",
            },
            "multiline": {
                "type": "boolean",
                "default": True,
                "description": (
                    "Whether a field may have a line end in it. `false` lets several workers share one file; else each "
                    "reads whole files."
                ),
            },
            "encoding": ENCODING_OPTION,
            "compression": COMPRESSION_OPTION,
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run: {csv: {path: orders.csv, types: {price: number}}}
    to: orders
""",
    build=_build,
    unshared=_why_whole,
    inputs=inputs_of,
    rereads=True,
    resumes=can_resume,
    otherwise=OF_STDIN,
    rejects=True,
    remake=_remake,
)

"""Tables as text, written: the consumer's side of the kind `csv`.

item ──► a row of out.csv      a mapping by the names of its columns, a list in its order
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from runner.handlers.kinds import Handler, HandlerKind, WorkerContext
from runner.handlers.outputs import MODE, WriteMode, Writes, write_mode
from runner.handlers.sinks.files import AppendedFile
from runner.handlers.sinks.forms import FormError, as_cells, text_bytes
from runner.handlers.sinks.lines import ON_STDOUT, PATH, LineSink, writes_lines
from runner.handlers.sinks.rows import RowReader, are_plain, as_mapping, is_plain
from runner.spec.model import Role

_OTHERS = (
    "each worker would take the columns from the first item that it gets, which need not be the same",
    "name them under `columns`",
)


class CsvLines:
    """Makes lines of items. The columns are those that the file has, that the options name, or of the first mapping."""

    def __init__(self, options: Mapping[str, Any], columns: Sequence[str], *, has_head: bool) -> None:
        """`columns` are those that are known; `has_head`: the file names them already."""
        self._reader = RowReader(columns)
        self._named = bool(options.get("header", True)) and not has_head
        """Whether they are still to be named in the file."""
        self._writer = _writer_of(options)
        self._line = _line_writer(options)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as far as they are known."""
        return self._reader.names

    def line(self, item: Any) -> str:
        """Return the line of an item; before the first one, that of the names. Raises `FormError`."""
        reader = self._reader
        if type(item) is dict and reader.names:
            row = reader.row(item)
        elif isinstance(item, list | tuple):
            row = self._counted(item)
        else:
            found = as_mapping(item)
            reader = reader if reader.names else RowReader.of(found)
            row = reader.row(found)
        line = self._line(row if is_plain(row) else as_cells(row, reader.names))
        if self._named or reader is not self._reader:
            return self._first(reader, line)
        return line

    def lines(self, items: list[Any]) -> str:
        """Return the lines of many items at once, below the names. Raises ValueError where each is to be looked at."""
        rows = None if self._named else self._reader.rows(items)
        if rows is None or not are_plain(rows):
            raise ValueError
        lines: list[str] = []
        self._writer(SimpleNamespace(write=lines.append)).writerows(rows)
        return "".join(lines)

    def _first(self, reader: RowReader, line: str) -> str:
        self._reader = reader
        if self._named:
            self._named = False
            return self._line(reader.names) + line if reader.names else line
        return line

    def _counted(self, row: Sequence[object]) -> Sequence[object]:
        if self.columns and len(row) != len(self.columns):
            raise FormError(f"$: a row of {len(self.columns)} cells is expected, got {len(row)}")
        return row


def _line_writer(options: Mapping[str, Any]) -> Callable[[Any], str]:
    # What `writerow` returns is what the `write` that it is given returns: here the line itself.
    write: Callable[[Any], Any] = _writer_of(options)(SimpleNamespace(write=str)).writerow
    return write


def _writer_of(options: Mapping[str, Any]) -> Callable[[Any], Any]:
    return partial(csv.writer, delimiter=options.get("delimiter", ","), lineterminator="\n")


def head_of(options: Mapping[str, Any]) -> bytes:
    """Return the line that names the columns, where the options do."""
    if not options.get("columns") or not options.get("header", True):
        return b""
    return text_bytes(_line_writer(options)(options["columns"]))


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    file = AppendedFile(options["path"], context)
    there = _columns_there(file, options)
    columns = file.kept.get("columns") or there or options.get("columns", ())
    rows = CsvLines(options, columns, has_head=bool(file.length))
    return LineSink(file, rows.line, rows.lines).handler(lambda: {"columns": rows.columns})


def _columns_there(file: AppendedFile, options: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns that the file names, which may not be others than those of the options. Raises ValueError."""
    if not options.get("header", True):
        return ()
    line = file.first_line().decode("utf-8", "surrogateescape")
    found = next(csv.reader([line], delimiter=options.get("delimiter", ",")), []) if line else []
    wanted = options.get("columns", found)
    if found and list(wanted) != found:
        raise ValueError(
            f"{file.name}: it has the columns {', '.join(found)}, and `columns` are {', '.join(wanted)}"
        )
    return found


def _writes(options: Mapping[str, Any]) -> Writes:
    found = writes_lines(options, lambda: head_of(options))
    names_itself = options.get("header", True) and not options.get("columns")
    if write_mode(options) is WriteMode.REPLACE and names_itself:
        return replace(found, alone=_OTHERS)
    return found


CSV = HandlerKind(
    name="csv",
    summary="Append each item to a file as a row of a table: a mapping by its names, or a list of cells.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "path": PATH,
            "columns": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "uniqueItems": True,
                "description": (
                    "The columns, in their order. Without it, those that the file names already, else those of the "
                    "first mapping. What a mapping lacks is an empty cell; a name that is no column fails its item."
                ),
            },
            "header": {
                "type": "boolean",
                "default": True,
                "description": "Whether the first line of the file names the columns.",
            },
            "delimiter": {
                "type": "string",
                "pattern": "^.$",
                "title": "one character",
                "default": ",",
                "description": "What stands between two cells.",
            },
            "mode": MODE,
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {csv: {path: results/hits.csv, columns: [minute, path, hits]}}
    from: hits
""",
    build=_build,
    writes=_writes,
    otherwise=ON_STDOUT,
)

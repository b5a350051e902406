"""Columns, written: the consumer's side of the kind `parquet`.

    item ──► columns of many ──► a spool: appended to, cut back to what is done ──► close ──► out.parquet, by rename

A Parquet file is none before its last byte, so nobody could go on with it. The spool has what is done, whoever is
killed; what is made of it in the end can be made again.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from operator import itemgetter
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import MODE, Commits, WriteMode, Writes, write_mode
from runner.handlers.sinks.files import AppendedFile, advised
from runner.handlers.sinks.forms import FormError, as_json, json_bytes, plain
from runner.handlers.sinks.parquet_output import ROWS, ParquetOutput, converted, set_aside, spools_beside
from runner.handlers.sinks.rows import RowReader, as_mapping
from runner.handlers.sources.reading import require
from runner.spec.commits import FlushPolicy
from runner.spec.model import Role
from runner.spec.resume import OverDeath
from runner.text import safe_repr

_LENGTH = struct.Struct("<Q")
_FAMILIES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    bytes: "bytes",
    date: "date",
    time: "time",
    timedelta: "timedelta",
}
"""What goes together in one column."""
_KNOWN = frozenset({*_FAMILIES, type(None)})
_ALIASES: dict[type, str] = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    bytes: "binary",
    date: "date32",
    time: "time64[us]",
    timedelta: "duration[us]",
}
_UNIT = "(s|ms|us|ns)"
_TYPE = (
    r"(bool|u?int(8|16|32|64)|float(16|32|64)|string|large_string|binary|date32|date64|time32\[(s|ms)\]|"
    rf"time64\[(us|ns)\]|timestamp\[{_UNIT}(, ?[A-Za-z0-9_/+:-]+)?\]|duration\[{_UNIT}\]|"
    r"decimal128\([0-9]{1,2}(, ?[0-9]{1,2})?\))"
)
_TYPE_PATTERN = f"^({_TYPE}|list<{_TYPE}>)$"
_REAL = frozenset({int, float, type(None)})
_WIDE = 2**63
_SCALARS: tuple[Any, ...] = (int, float, str, bytes)


class ParquetColumns:
    """Gathers rows as columns. Its items are done when `flush` has put them into the spool."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        """Open the spool. Raises OSError; `HandlerError` where pyarrow is not installed."""
        self._pyarrow = require("pyarrow", "data", "`parquet`")
        self._rows_in_group = options.get("rows", ROWS)
        self._spool = AppendedFile(options["path"], context)
        set_aside(self._spool.path)
        self._declared = declared_types(options.get("columns", {}))
        self._reader = RowReader(self._spool.kept.get("names", tuple(self._declared)))
        self._families: dict[str, str] = dict(self._spool.kept.get("families", {}))
        self._columns: list[list[object]] = [[] for _ in self._reader.names]
        """What came item by item, behind the pieces."""
        self._pieces: list[Any] = []
        """Tables of what is gathered."""
        self._seen: dict[tuple[type, ...], tuple[int, ...]] = {}
        """Types of rows that fit; and where whole numbers are, which may be too big."""

    def call(self, item: Any) -> None:
        """Take a row in. Raises `FormError`."""
        found = item if type(item) is dict else as_mapping(item, "a row is a mapping")
        reader = self._reader if self._reader.names else RowReader.of(found)
        row = reader.row(found)
        kinds = tuple(map(type, row))
        numbers = self._seen.get(kinds)
        if numbers is None or not all([-_WIDE <= row[at] < _WIDE for at in numbers]):  # type: ignore[operator]  # noqa: C419 - quicker
            row = self._looked_at(reader.names, row, kinds)
        self._know(reader)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def _know(self, reader: RowReader) -> None:
        if reader is not self._reader:
            self._reader, self._columns = reader, [[] for _ in reader.names]

    def call_many(self, items: list[Any]) -> bool:
        """Take in all of them; False, and none is in, where one has to be looked at."""
        if set(map(type, items)) != {dict}:
            return False
        if not all(items) or set(map(len, items)) != {len(self._reader.names or items[0])}:
            return False
        reader = self._reader if self._reader.names else RowReader.of(items[0])
        families = dict(self._families)
        try:
            columns = [
                self._column(name, list(map(itemgetter(name), items)), families) for name in reader.names
            ]
        except (KeyError, TypeError, ValueError, OverflowError):  # so are Arrow's own
            return False
        self._know(reader)
        self._families = families
        self._settle()
        self._pieces.append(self._pyarrow.table(columns, names=list(reader.names)))
        return True

    def _column(self, name: str, values: list[Any], families: dict[str, str]) -> Any:
        """Return values of a column as Arrow's. Raises ValueError where each has to be looked at."""
        kinds = frozenset(map(type, values)) - {type(None)}
        declared = self._declared.get(name)
        if declared is not None:
            if self._pyarrow.types.is_integer(declared) and float in kinds:  # it would be cut off
                raise ValueError
            return self._pyarrow.array(values, declared)
        family = {_FAMILIES.get(kind) for kind in kinds}
        if len(family) > 1 or not family <= {families.get(name, *family)}:
            raise ValueError
        families.update((name, each) for each in family if each is not None)
        return self._pyarrow.array(values, _arrow_type(kinds))

    def _looked_at(
        self, names: Sequence[str], row: Sequence[object], kinds: tuple[type, ...]
    ) -> Sequence[object]:
        """Look at each value; where their types say all, not again at rows that have the same."""
        families: dict[str, str] = {}
        cells = [
            self._cell(name, value, families) if name not in self._declared else self._fitted(name, value)
            for name, value in zip(names, row, strict=True)
        ]
        self._families |= families
        if _KNOWN.issuperset(kinds) and not self._declared:
            self._seen[kinds] = tuple(at for at, kind in enumerate(kinds) if kind is int)
        return cells

    def _cell(self, name: str, value: object, families: dict[str, str]) -> object:
        if value is None:
            return None
        family = _FAMILIES.get(type(value))
        if family is None:
            value, family = self._plain(name, value)
        elif type(value) is int and not -_WIDE <= value < _WIDE:
            raise FormError(f"$.{name}: the number has more than 64 bits; write it as text")
        if (known := self._families.get(name, family)) != family:
            raise FormError(f"$.{name}: a {family}, and the column has {known}s; make them alike")
        families[name] = family
        return value

    def _fitted(self, name: str, value: object) -> object:
        """Return a value, or what stands for it, as the declared type of its column takes it. Raises `FormError`."""
        if value is None or self._fits(name, value):
            return value
        form = self._plain(name, value)[0]
        if isinstance(form, float) and form.is_integer() and self._fits(name, int(form)):
            return int(form)
        if form is not None and not self._fits(name, form):
            raise FormError(f"$.{name}: expected {self._declared[name]}, got {safe_repr(value)}")
        return form

    def _fits(self, name: str, value: object) -> bool:
        wanted = self._declared[name]
        if isinstance(value, float) and self._pyarrow.types.is_integer(wanted):  # it would be cut off
            return False
        try:
            self._pyarrow.array([value], wanted)
        except (TypeError, ValueError, OverflowError):  # so are Arrow's own
            return False
        return True

    def _plain(self, name: str, value: object) -> tuple[object, str]:
        """Return a value as Arrow takes it, and what it goes together with."""
        if isinstance(value, datetime):
            return value, "time with a zone" if value.tzinfo else "datetime"
        for kind in _SCALARS:
            if isinstance(value, kind):  # a class of its own
                return kind(value), _FAMILIES[kind]
        if isinstance(value, list | tuple):
            return value, f"list of {self._family_in(name, value)}"
        if isinstance(value, dict):
            return _json(name, value), "text"
        try:
            value = plain(value)
        except TypeError:
            return _json(name, value), "text"  # which says what is wrong
        if value is None:
            return None, self._families.get(name, "text")
        family = _FAMILIES.get(type(value))
        return (value, family) if family is not None else self._plain(name, value)

    def _family_in(self, name: str, values: Sequence[object]) -> str:
        kinds = self._pyarrow.types
        try:
            found = self._pyarrow.array(values).type
        except (self._pyarrow.ArrowException, TypeError, OverflowError) as error:
            raise FormError(f"$.{name}: it can't be a list of one kind: {error}") from None
        while kinds.is_list(found):
            found = found.value_type
        is_number = kinds.is_integer(found) or kinds.is_floating(found) or kinds.is_null(found)
        return "number" if is_number else str(found)

    def flush(self) -> None:
        """Put what was gathered into the spool. Raises OSError."""
        self._settle()
        if not self._pieces:
            return
        arrow = self._pyarrow
        table = arrow.concat_tables(alike(self._pieces)).combine_chunks()
        buffer = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(buffer, table.schema) as stream:
            stream.write_table(table)
        data = buffer.getvalue()
        self._spool.write(b"".join((_LENGTH.pack(len(data)), data)))
        self._spool.sync()
        self._pieces.clear()

    def _settle(self) -> None:
        """Make a piece of what came item by item."""
        if any(self._columns):
            columns = [
                self._array(column, self._declared.get(name))
                for name, column in zip(self._reader.names, self._columns, strict=True)
            ]
            self._pieces.append(self._pyarrow.table(columns, names=list(self._reader.names)))
            self._columns = [[] for _ in columns]

    def _array(self, column: Sequence[Any], declared: Any) -> Any:
        try:
            return self._pyarrow.array(column, declared)
        except UnicodeEncodeError:  # half characters, as from a file name that is not UTF-8
            whole = [json_bytes(each).decode() if isinstance(each, str) else each for each in column]
            return self._pyarrow.array(whole, declared)
        except self._pyarrow.ArrowInvalid:
            if not _REAL.issuperset(map(type, column)):
                raise
            # Numbers with a point among them, and whole ones that are no `double` to the last digit.
            return self._pyarrow.array([None if each is None else float(each) for each in column])

    def capture(self) -> bytes:
        """Return what whoever takes over has to know."""
        return self._spool.capture({"names": self._reader.names, "families": self._families})

    def close(self) -> None:
        """Make the file of what is in the spool; the supervisor puts it in its place."""
        spool, length = self._spool.path, self._spool.length
        self._spool.close()
        if length:
            convert(spool, length, self._rows_in_group, self._declared, self._spool.name)

    def handler(self) -> Mapper:
        """Return it as a handler."""
        return Mapper(self.call, self.close, flush=self.flush, call_many=self.call_many, capture=self.capture)


def _arrow_type(kinds: frozenset[type]) -> Any:
    """Return the type of a column of plain values, which says it sooner than a look at each."""
    pyarrow = require("pyarrow", "data", "`parquet`")
    if kinds == {int, float}:
        return pyarrow.float64()
    if len(kinds) != 1:
        return pyarrow.null()
    return pyarrow.type_for_alias(_ALIASES[next(iter(kinds))])


def declared_types(columns: Mapping[str, str]) -> dict[str, Any]:
    """Return what the option `columns` says as types of Arrow's. Raises `HandlerError` for what is none."""
    return {name: _type_of(name, text) for name, text in columns.items()}


def _type_of(name: str, text: str) -> Any:
    pyarrow = require("pyarrow", "data", "`parquet`")
    within = text[text.find("[") + 1 : -1].split(",", 1)
    try:
        if text.startswith("list<"):
            return pyarrow.list_(_type_of(name, text[5:-1]))
        if text.startswith("decimal128("):
            return pyarrow.decimal128(*map(int, text[11:-1].split(",")))
        if text.startswith("timestamp[") and len(within) == 2:
            return pyarrow.timestamp(within[0], within[1].strip())
        return pyarrow.type_for_alias(text)
    except ValueError as error:
        raise HandlerError(f"`columns`: '{name}': {text}: {error}") from error


def alike(tables: Sequence[Any]) -> Sequence[Any]:
    """Return tables with the types that all of them have room in."""
    schemas = list(dict.fromkeys(table.schema for table in tables))
    if len(schemas) == 1:
        return tables
    pyarrow = require("pyarrow", "data", "`parquet`")
    return _cast(tables, pyarrow.unify_schemas(schemas, promote_options="permissive"))


def _cast(tables: Sequence[Any], schema: Any) -> Sequence[Any]:
    # `safe` would refuse a whole number that is no `double` to the last digit, here where nobody can mend it.
    return [table if table.schema == schema else table.cast(schema, safe=False) for table in tables]


def _json(name: str, value: object) -> str:
    try:
        return as_json(value)
    except FormError as error:
        raise FormError(f"$.{name}{str(error).removeprefix('$')}") from None


def convert(spool: str, length: int, rows: int, declared: Mapping[str, Any], name: str) -> None:
    """Make what becomes file `name` of `length` bytes of a spool, in groups of so many rows. Raises OSError."""
    try:
        _convert(spool, length, rows, declared)
    except OSError as error:  # Arrow names neither the file nor what to do
        raise advised(name, error) from error


def _convert(spool: str, length: int, rows: int, declared: Mapping[str, Any]) -> None:
    pyarrow, parquet = (require(name, "data", "`parquet`") for name in ("pyarrow", "pyarrow.parquet"))
    schemas = list(dict.fromkeys(stream.schema for stream in _streams(spool, length)))
    schemas = schemas or [pyarrow.schema(list(declared.items()))]
    schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
    partial = f"{spool}.partial"
    with parquet.ParquetWriter(partial, schema) as writer:
        gathered: list[Any] = []
        for stream in _streams(spool, length):
            gathered += _cast([stream.read_all()], schema)
            if sum(map(len, gathered)) >= rows:
                writer.write_table(pyarrow.concat_tables(gathered), row_group_size=rows)
                gathered = []
        if gathered:
            writer.write_table(pyarrow.concat_tables(gathered), row_group_size=rows)
    os.replace(partial, converted(spool, length))  # noqa: PTH105


def _streams(spool: str, length: int) -> Iterator[Any]:
    """Yield what was flushed, each as a stream of Arrow's, of which nothing is read before it is asked for."""
    pyarrow = require("pyarrow", "data", "`parquet`")
    if not length:
        return
    with pyarrow.memory_map(spool) as file:
        while file.tell() < length:
            (size,) = _LENGTH.unpack(file.read(_LENGTH.size))
            with pyarrow.ipc.open_stream(file.read_buffer(size)) as stream:
                yield stream


_ALONE = (
    "one Parquet file has one writer",
    "leave out `count`, or end `path` in a slash: then it is a folder, and each worker has a file of its own in it",
)

_NOT_ADDED_TO = (
    "a Parquet file can't be added to",
    "end `path` in a slash: then it is a folder, to which each run adds a file",
)


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return ParquetColumns(options, context).handler()


def _writes(options: Mapping[str, Any]) -> Writes:
    path, mode = options["path"], write_mode(options)
    return Writes(
        Commits(FlushPolicy(items=5000), keeps_state=True),
        path=path,
        alone=None if path.endswith("/") else _ALONE,
        misfit=_NOT_ADDED_TO if mode is WriteMode.APPEND and not path.endswith("/") else None,
        library=("pyarrow", "data"),
        over_death=OverDeath.EXACTLY_ONCE,
        open=lambda opening: ParquetOutput(_in(opening.folder, path), mode, opening, options),
        hides=lambda opening: spools_beside(_in(opening.folder, path), opening.run),
    )


def _in(folder: str, path: str) -> str:
    return os.path.join(folder, path)  # noqa: PTH118 - a slash at the end has a meaning


PARQUET = HandlerKind(
    name="parquet",
    summary="Write each item as a row of a Parquet file, or of a folder of them. Needs `pip install 'mprun[data]'`.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": (
                    "The file; where it ends in a slash, a folder, in which each worker of each run makes a file. A "
                    "relative path starts from the stage's working directory. It is there when the run has ended."
                ),
            },
            "columns": {
                "type": "object",
                "additionalProperties": {
                    "type": "string",
                    "pattern": _TYPE_PATTERN,
                    "title": "a type such as int64, string, timestamp[ms], decimal128(10, 2) or list<string>",
                },
                "minProperties": 1,
                "examples": [{"id": "int64", "at": "timestamp[ms, UTC]", "tags": "list<string>"}],
                "description": (
                    "The columns, in their order, each with its type: `bool`, `int8` to `int64`, `uint8` to `uint64`, "
                    "`float32`, `float64`, `string`, `binary`, `date32`, `timestamp[ms]`, `timestamp[us, UTC]`, "
                    "`duration[ms]`, `decimal128(10, 2)`, `list<string>`. What a mapping lacks is null; what does not "
                    "fit, and a name that is no column, fails its item. Without it, the columns are those of the first "
                    "item, with the types of what they hold."
                ),
            },
            "rows": {
                "type": "integer",
                "minimum": 1,
                "default": ROWS,
                "description": "How many rows a row group has.",
            },
            "mode": {
                **MODE,
                "description": f"{MODE['description']} A file can't be added to, a folder can.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {parquet: {path: results/hits.parquet}}
    from: hits
""",
    build=_build,
    writes=_writes,
)

if __name__ == "__main__":
    convert(
        sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), declared_types(json.loads(sys.argv[4])), sys.argv[5]
    )

"""Rows of a table in SQLite, written: the consumer's side of the kind `sqlite`.

    batch ──► one transaction: the rows, and which items they were made of ──► commit ──► acknowledged
                               └ what is there already is left out

Whoever is killed, before the commit or behind it: what comes again is told apart by its queue and place, so that each
item is there exactly once. These are kept as ranges, in a small table in the same database, while the run lasts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from runner.errors import BatchFailed, HandlerError, OutputFailed
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import (
    MODE,
    REMEDY,
    Commits,
    Opening,
    OutputRefused,
    WriteMode,
    Writes,
    write_mode,
)
from runner.handlers.sinks.forms import FormError, as_json, plain
from runner.handlers.sinks.rows import RowReader, are_plain, as_mapping, is_plain
from runner.spec.commits import BatchSpec
from runner.spec.model import Role

if TYPE_CHECKING:
    import sqlite3

_DONE = "mprun_done"
"""Our own table: which items of which queue are in."""
_PATIENCE = 30.0
"""Seconds to wait for whoever else writes to the database."""
_AS_THEY_ARE = frozenset({int, str, bytes, type(None), bool})
_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_BATCH = BatchSpec(5000)
_PIECE = 250
"""Rows that are looked at together."""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def ranges_of(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return the ranges, each up to its stop, that some places make up."""
    ordered, found = sorted(places), list[list[int]]()
    if ordered and ordered[-1] - ordered[0] == len(ordered) - 1:
        return [(ordered[0], ordered[-1] + 1)]
    for place in ordered:
        if found and found[-1][1] == place:
            found[-1][1] = place + 1
        else:
            found.append([place, place + 1])
    return [(start, stop) for start, stop in found]


class SqliteTable:
    """A worker's hand on a table. Takes lists of items."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        """Connect. Raises `OutputFailed`."""
        self._options = options
        self._context = context
        self._table = (context.prepared or options)["table"]
        self._name = f"{options['path']}, table '{options['table']}'"
        self._connection = _connect((context.prepared or options)["path"])
        self._columns: tuple[str, ...] = ()
        self._reader = RowReader(())
        self._insert = ""

    def write(self, items: Any) -> None:
        """
        Write the rows of a list of items in one transaction, but for those that are in already.

        Raises:
            BatchFailed: some of them are no rows, or break a rule of the table. The others are in.
            OutputFailed: the database can't be written. Nothing of the list is in.
        """
        import sqlite3

        try:
            errors = self._write(items, self._places())
        except sqlite3.Error as error:
            if self._connection.in_transaction:  # a full disk has ended it by itself
                self._connection.rollback()
            raise OutputFailed(f"{self._name}: {error}") from error
        if errors:
            raise BatchFailed(errors)

    def _places(self) -> Sequence[int]:
        try:
            return self._context.places()
        except HandlerError:  # nobody counts them, and nobody hands one out again
            return ()

    def _write(self, items: Sequence[Any], places: Sequence[int]) -> dict[int, BaseException]:
        self._connection.execute("BEGIN IMMEDIATE")
        done = self._done_of(places) if places else set()
        new: Sequence[int] = range(len(items))
        if done:
            new = [index for index, place in enumerate(places) if place not in done]
        errors = self._insert_all(items, new)
        if places:
            is_whole = not done and not errors
            self.note_done(places if is_whole else [places[index] for index in new if index not in errors])
        self._connection.execute("COMMIT")
        return errors

    # Which items are in.

    def _done_of(self, places: Sequence[int]) -> set[int]:
        """Return those of some places that are in already."""
        execute = self._connection.execute
        execute(
            f"CREATE TABLE IF NOT EXISTS {_DONE} "
            "(source TEXT, start INTEGER, stop INTEGER, PRIMARY KEY (source, start)) WITHOUT ROWID"
        )
        query = f"SELECT start, stop FROM {_DONE} WHERE source = ? AND stop > ? AND start <= ?"
        found = execute(query, (self._source, min(places), max(places)))
        return {place for start, stop in found for place in places if start <= place < stop}

    def note_done(self, places: Iterable[int]) -> None:
        """Say in the database, in the transaction that is open, which items are in."""
        execute, source = self._connection.execute, self._source
        for start, stop in ranges_of(places):
            touching = f"FROM {_DONE} WHERE source = ? AND stop >= ? AND start <= ?"
            beside = execute(f"SELECT start, stop {touching}", (source, start, stop)).fetchall()
            execute(f"DELETE {touching}", (source, start, stop))
            whole = min([start, *(a for a, _ in beside)]), max([stop, *(b for _, b in beside)])
            execute(f"INSERT INTO {_DONE} VALUES (?, ?, ?)", (source, *whole))

    @property
    def _source(self) -> str:
        return f"{self._context.source}/{self._options['table']}"

    # Rows.

    def _insert_all(self, items: Sequence[Any], indexes: Sequence[int]) -> dict[int, BaseException]:
        """Insert rows, and return why not, for those that could not be."""
        if len(indexes) == len(items) and self._insert_together(items):
            return {}
        rows: dict[int, Sequence[object]] = {}
        errors: dict[int, BaseException] = {}
        for index in indexes:
            try:
                row = self._row(items[index])
                rows[index] = row if is_plain(row) else self._values(row)
            except FormError as error:
                errors[index] = error
        if rows and not self._insert_many(rows.values()):
            errors |= self._insert_one_by_one(rows.items())
        return errors

    def _insert_together(self, items: Sequence[Any]) -> bool:
        """Insert all of them, if they are what most are: rows of plain values. Else none."""
        if not self._columns:
            with suppress(FormError):  # whoever looks at each says it
                self._row(items[0])
        return bool(self._columns) and self._insert_many(chain.from_iterable(self._plain_rows(items)))

    def _plain_rows(self, items: Sequence[Any]) -> Iterator[Sequence[Sequence[object]]]:
        """Yield rows, some at a time, so that they are in the cache still as they are inserted. Raises `FormError`."""
        for at in range(0, len(items), _PIECE):
            rows = self._reader.rows(items[at : at + _PIECE])
            if rows is None or not are_plain(rows):
                raise FormError("not each is a row of plain values")
            yield rows

    def _insert_many(self, rows: Iterable[Sequence[object]]) -> bool:
        """Insert all of the rows, or none where that can't be had."""
        import sqlite3

        self._connection.execute("SAVEPOINT rows")
        try:
            self._connection.executemany(self._insert, rows)
        except (sqlite3.OperationalError, sqlite3.NotSupportedError):
            raise
        except (sqlite3.Error, OverflowError, UnicodeEncodeError, FormError):
            self._connection.execute("ROLLBACK TO rows")
            return False
        finally:
            if self._connection.in_transaction:  # a full disk has ended it by itself
                self._connection.execute("RELEASE rows")
        return True

    def _insert_one_by_one(self, rows: Iterable[tuple[int, Sequence[object]]]) -> dict[int, BaseException]:
        import sqlite3

        errors: dict[int, BaseException] = {}
        for index, row in rows:
            try:
                self._connection.execute(self._insert, row)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
                errors[index] = self._named(error, row)
        return errors

    def _named(self, error: BaseException, row: Sequence[object]) -> BaseException:
        cells = zip(self._columns, row, strict=True)
        big = (name for name, each in cells if isinstance(each, int) and not -(2**63) <= each < 2**63)
        if isinstance(error, OverflowError) and (name := next(big, None)) is not None:
            return FormError(
                f"$.{name}: the number has more than 64 bits, and SQLite has none such; write it as text"
            )
        return error

    def _row(self, item: Any) -> Sequence[object]:
        """Return the values of an item; the first one makes the table, if there is none. Raises `FormError`."""
        if isinstance(item, list | tuple):
            self._know_columns({}, item)
            if len(item) != len(self._columns):
                raise FormError(f"$: a row of {len(self._columns)} values is expected, got {len(item)}")
            return item
        found = as_mapping(item)
        if not self._columns:
            self._know_columns(found, ())
        return self._reader.row(found)

    def _values(self, row: Sequence[object]) -> Sequence[object]:
        return [_value(value, name) for value, name in zip(row, self._columns, strict=True)]

    def _know_columns(self, first: Mapping[str, object], row: Sequence[object]) -> None:
        if self._columns:
            return
        columns = self._columns_there()
        if not columns:
            self._create(first, row)
            columns = self._columns_there()
        self._columns = columns
        self._reader = RowReader(columns)
        self._insert = self._statement(columns)

    def _columns_there(self) -> tuple[str, ...]:
        query = "SELECT name FROM pragma_table_info(?)"
        return tuple(name for (name,) in self._connection.execute(query, (self._table,)))

    def _create(self, first: Mapping[str, object], row: Sequence[object]) -> None:
        """Make the table: with the columns of the options, else those of the first item."""
        declared = dict(self._options.get("columns", {}))
        if not declared and not first:
            what = f"a list of {len(row)} values" if row else "what is empty"
            raise FormError(f"$: {what} names no columns for a new table; name them in `columns`")
        declared = declared or {str(key): _type_of(_value(each, str(key))) for key, each in first.items()}
        key = self._options.get("key", [])
        if missing := [name for name in key if name not in declared]:
            raise FormError(f"$: `key` names '{missing[0]}', and the first item has no such column")
        primary = [f"PRIMARY KEY ({', '.join(map(_quoted, key))})"] if key else []
        parts = [*(f"{_quoted(name)} {kind}".rstrip() for name, kind in declared.items()), *primary]
        self._connection.execute(f"CREATE TABLE {_quoted(self._table)} ({', '.join(parts)})")

    def _statement(self, columns: Sequence[str]) -> str:
        names, marks = ", ".join(map(_quoted, columns)), ", ".join("?" * len(columns))
        insert = f"INSERT INTO {_quoted(self._table)} ({names}) VALUES ({marks})"
        key = self._options.get("key", [])
        if not key:
            return insert
        others = [_quoted(name) for name in columns if name not in key]
        sets = ", ".join(f"{name} = excluded.{name}" for name in others)
        action = f"UPDATE SET {sets}" if sets else "NOTHING"
        return f"{insert} ON CONFLICT ({', '.join(map(_quoted, key))}) DO {action}"

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


def _value(value: object, name: str) -> object:
    """Return what SQLite is given for a value: as text where JSON has text, JSON for a list or a mapping."""
    while type(value) not in _AS_THEY_ARE:
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, float | list | tuple | dict):
            return _json(value, name)
        if isinstance(value, str | int):  # of a class of its own
            return str.__str__(value) if isinstance(value, str) else int(value)
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        try:
            value = plain(value)
        except TypeError:
            return _json(value, name)
    return value


def _json(value: object, name: str) -> str:
    try:
        return as_json(value)
    except FormError as error:
        raise FormError(f"$.{name}{str(error).removeprefix('$')}") from None


def _type_of(value: object) -> str:
    return _TYPES.get(type(value), "")


def _connect(path: str) -> sqlite3.Connection:
    import sqlite3

    try:
        return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    except sqlite3.Error as error:
        raise OutputFailed(f"{path}: {error}") from error


class TableOutput:
    """The supervisor's hand on a table."""

    def __init__(self, options: Mapping[str, Any], opening: Opening) -> None:
        """See to it that it may be written. Raises `OutputRefused`, OSError."""
        import sqlite3

        self._path = os.path.join(opening.folder, options["path"])  # noqa: PTH118
        self._table, self._run = options["table"], opening.run
        self._replaces = write_mode(options) is WriteMode.REPLACE
        os.makedirs(os.path.dirname(self._path), exist_ok=True)  # noqa: PTH103, PTH120
        self._is_new = not os.path.exists(self._path)  # noqa: PTH110
        try:
            with closing(_connect(self._path)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                is_there = self._is_there(connection, self._table)
                connection.execute("ROLLBACK")
        except (sqlite3.Error, OutputFailed) as error:
            self._remove_made()
            raise OutputRefused(f"{self._path}: {error}") from error
        if is_there and opening.before is None and write_mode(options) is WriteMode.FAIL:
            raise OutputRefused(f"{self._path}: table '{self._table}' is there already; {REMEDY}")
        written = f"{self._table} of run {self._run}" if self._replaces else self._table
        self.prepared = {"path": self._path, "table": written}

    @staticmethod
    def _is_there(connection: sqlite3.Connection, table: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?"
        return connection.execute(query, (table,)).fetchone() is not None

    def kept(self) -> bytes:
        """Return what it takes to open it once more."""
        return b"{}"

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:  # noqa: ARG002 - nothing is kept
        """Put a new table in the place of the old one; forget what it was made of. Raises `OutputRefused`."""
        if stays and not complete:
            return
        import sqlite3

        try:
            with closing(_connect(self._path)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                if self._replaces:
                    self._replace(connection, complete)
                if complete or self._replaces:
                    self._forget(connection)
                connection.execute("COMMIT")
        except (sqlite3.Error, OutputFailed) as error:
            raise OutputRefused(f"{self._path}, table '{self._table}': {error}") from error
        if not complete:
            self._remove_made()

    def _replace(self, connection: sqlite3.Connection, complete: bool) -> None:
        old, new = _quoted(self._table), _quoted(self.prepared["table"])
        if not complete:
            connection.execute(f"DROP TABLE IF EXISTS {new}")
        elif self._is_there(connection, self.prepared["table"]):
            connection.execute(f"DROP TABLE IF EXISTS {old}")
            connection.execute(f"ALTER TABLE {new} RENAME TO {old}")
        elif self._is_there(connection, self._table):  # there was no item
            connection.execute(f"DELETE FROM {old}")

    def _forget(self, connection: sqlite3.Connection) -> None:
        if not self._is_there(connection, _DONE):
            return
        for (source,) in connection.execute(f"SELECT DISTINCT source FROM {_DONE}").fetchall():
            if source.startswith(f"{self._run}/") and source.endswith(f"/{self._table}"):
                connection.execute(f"DELETE FROM {_DONE} WHERE source = ?", (source,))
        if connection.execute(f"SELECT 1 FROM {_DONE}").fetchone() is None:
            connection.execute(f"DROP TABLE {_DONE}")

    def _remove_made(self) -> None:
        """Take away a database that this run has made, and that nothing is in."""
        import sqlite3

        if not self._is_new or not os.path.exists(self._path):  # noqa: PTH110
            return
        with suppress(sqlite3.Error), closing(_connect(self._path)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                os.unlink(self._path)  # noqa: PTH108


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    table = SqliteTable(options, context)
    return Mapper(table.write, table.close)


def _writes(options: Mapping[str, Any]) -> Writes:
    return Writes(
        Commits(batch=_BATCH),
        path=f"{options['path']}, table {options['table']}",
        open=lambda opening: TableOutput(options, opening),
    )


SQLITE = HandlerKind(
    name="sqlite",
    summary="Write each item as a row of a table in an SQLite database, exactly once, many in one transaction.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": (
                    "The database; a relative path starts from the stage's working directory. It is made if need be."
                ),
            },
            "table": {"type": "string", "minLength": 1, "description": "The table."},
            "key": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "uniqueItems": True,
                "description": (
                    "The columns by which a row that is there already is told: it is changed, not added to. A new "
                    "table has them as its primary key; one that is there needs a unique index on them."
                ),
            },
            "columns": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "minProperties": 1,
                "examples": [{"path": "TEXT NOT NULL", "hits": "INTEGER"}],
                "description": (
                    "The columns of a new table, each with what SQL says of it. Without it, they are those of the "
                    "first item, with the types of its values."
                ),
            },
            "mode": MODE,
        },
        "required": ["path", "table"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {sqlite: {path: hits.db, table: hits, key: [minute, path], mode: append}}
    from: hits
""",
    build=_build,
    writes=_writes,
)

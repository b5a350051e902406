"""Rows of a table in SQLite, written: the consumer's side of the kind `sqlite`.

    batch ──► one transaction: the rows, and which items they were made of ──► commit ──► acknowledged
                               └ what is there already is left out

Whoever is killed, before the commit or behind it: what comes again is told apart by its queue and place, so that each
item is there exactly once. `table_notes` keeps these in the same database while the run lasts, and which rows they are
where another runner may have to go on with the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from runner.errors import BatchFailed, HandlerError, OutputFailed
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import MODE, Commits, Writes
from runner.handlers.sinks.forms import FormError, as_json, plain
from runner.handlers.sinks.rows import RowReader, are_plain, as_mapping, is_plain
from runner.handlers.sinks.table_notes import Numbering, TableNotes, connect, quoted
from runner.handlers.sinks.table_output import TableOutput, notes_in
from runner.spec.commits import BatchSpec
from runner.spec.model import Role
from runner.spec.resume import OverDeath

_AS_THEY_ARE = frozenset({int, str, bytes, type(None), bool})
_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_BATCH = BatchSpec(5000)
_PIECE = 250
"""Rows that are looked at together."""


class SqliteTable:
    """A worker's hand on a table. Takes lists of items."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        """Connect. Raises `OutputFailed`."""
        self._options = options
        self._context = context
        prepared = context.prepared or options
        self._table = prepared["table"]
        self._name = f"{options['path']}, table '{options['table']}'"
        self._connection = connect(prepared["path"])
        self._notes = TableNotes(self._connection, f"{context.source}/{options['table']}")
        self._notes_rows = bool(prepared.get("resumable")) and not options.get("key")
        """Whether it is known which rows were made of what, in case they are to be taken back. A key needs none."""
        self._are_counted: bool | None = None
        """Whether each row has the number behind that of the last one; None before the table is known."""
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
        done = self._notes.done_of(places) if places else set()
        new: Sequence[int] = range(len(items))
        if done:
            new = [index for index, place in enumerate(places) if place not in done]
        errors, rows = self._insert_all(items, new)
        if places:
            is_whole = not done and not errors
            self.note_done(
                places if is_whole else [places[index] for index in new if index not in errors], rows
            )
        self._connection.execute("COMMIT")
        return errors

    def note_done(self, places: Sequence[int], rows: Sequence[int]) -> None:
        """Say in the database, in the transaction that is open, which items are in, and in which rows."""
        self._notes.note_done(places)
        if self._notes_rows and rows:
            self._notes.note_rows(places, rows)

    # Rows.

    def _insert_all(
        self, items: Sequence[Any], indexes: Sequence[int]
    ) -> tuple[dict[int, BaseException], Sequence[int]]:
        """Insert rows; return why not, for those that could not be, and the numbers of the others, where they count."""
        if len(indexes) == len(items) and (numbers := self._insert_together(items)) is not None:
            return {}, numbers
        rows: dict[int, Sequence[object]] = {}
        errors: dict[int, BaseException] = {}
        for index in indexes:
            try:
                row = self._row(items[index])
                rows[index] = row if is_plain(row) else self._values(row)
            except FormError as error:
                errors[index] = error
        if not rows:
            return errors, ()
        if (numbers := self._insert_many(rows.values())) is not None:
            return errors, numbers
        failed, numbers = self._insert_one_by_one(rows.items())
        return errors | failed, numbers

    def _insert_together(self, items: Sequence[Any]) -> Sequence[int] | None:
        """Insert all of them, if they are what most are: rows of plain values. Else none, and return None."""
        if not self._columns:
            with suppress(FormError):  # whoever looks at each says it
                self._row(items[0])
        return self._insert_many(chain.from_iterable(self._plain_rows(items))) if self._columns else None

    def _plain_rows(self, items: Sequence[Any]) -> Iterator[Sequence[Sequence[object]]]:
        """Yield rows, some at a time, so that they are in the cache still as they are inserted. Raises `FormError`."""
        for at in range(0, len(items), _PIECE):
            rows = self._reader.rows(items[at : at + _PIECE])
            if rows is None or not are_plain(rows):
                raise FormError("not each is a row of plain values")
            yield rows

    def _insert_many(self, rows: Iterable[Sequence[object]]) -> Sequence[int] | None:
        """Insert all of the rows, and return their numbers, where they count; none, and None, where that can't be."""
        import sqlite3

        if self._notes_rows and not self._count_rows():
            return None
        self._connection.execute("SAVEPOINT rows")
        try:
            first = self._notes.last_row(self._table) + 1 if self._notes_rows else 0
            count = self._connection.executemany(self._insert, rows).rowcount
            if not self._notes_rows:
                return ()
            if self._notes.last_row(self._table) == first + count - 1:
                return range(first, first + count)
            self._are_counted = False  # a trigger inserts into the same table
            self._connection.execute("ROLLBACK TO rows")
        except (sqlite3.OperationalError, sqlite3.NotSupportedError):
            raise
        except (sqlite3.Error, OverflowError, UnicodeEncodeError, FormError):
            self._connection.execute("ROLLBACK TO rows")
        finally:
            if self._connection.in_transaction:  # a full disk has ended it by itself
                self._connection.execute("RELEASE rows")
        return None

    def _count_rows(self) -> bool:
        """Whether rows that are inserted together get numbers one behind the other. Else each is asked for its own."""
        if self._are_counted is None:
            numbered = self._notes.numbering(self._table)
            self._notes_rows = numbered is not Numbering.NONE
            self._are_counted = numbered is not Numbering.BY_VALUE
        return self._are_counted

    def _insert_one_by_one(
        self, rows: Iterable[tuple[int, Sequence[object]]]
    ) -> tuple[dict[int, BaseException], Sequence[int]]:
        import sqlite3

        errors: dict[int, BaseException] = {}
        numbers: list[int] = []
        for index, row in rows:
            try:
                numbers.append(self._connection.execute(self._insert, row).lastrowid or 0)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
                errors[index] = self._named(error, row)
        return errors, numbers if self._notes_rows else ()

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
        primary = [f"PRIMARY KEY ({', '.join(map(quoted, key))})"] if key else []
        parts = [*(f"{quoted(name)} {kind}".rstrip() for name, kind in declared.items()), *primary]
        self._connection.execute(f"CREATE TABLE {quoted(self._table)} ({', '.join(parts)})")

    def _statement(self, columns: Sequence[str]) -> str:
        names, marks = ", ".join(map(quoted, columns)), ", ".join("?" * len(columns))
        insert = f"INSERT INTO {quoted(self._table)} ({names}) VALUES ({marks})"
        key = self._options.get("key", [])
        if not key:
            return insert
        others = [quoted(name) for name in columns if name not in key]
        sets = ", ".join(f"{name} = excluded.{name}" for name in others)
        action = f"UPDATE SET {sets}" if sets else "NOTHING"
        return f"{insert} ON CONFLICT ({', '.join(map(quoted, key))}) DO {action}"

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


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    table = SqliteTable(options, context)
    return Mapper(table.write, table.close)


def _writes(options: Mapping[str, Any]) -> Writes:
    return Writes(
        Commits(batch=_BATCH),
        path=f"{options['path']}, table {options['table']}",
        open=lambda opening: TableOutput(options, opening),
        hides=lambda opening: notes_in(options, opening),
        over_death=OverDeath.BY_NAME if options.get("key") else OverDeath.EXACTLY_ONCE,
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
    otherwise=(("with `key`", {"key": ["x"]}),),
)

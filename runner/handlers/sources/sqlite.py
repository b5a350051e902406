"""Rows of a SQLite database: the producer's side of the kind `sqlite`.

query ──► read-only connection ──► a row ──► {"name": …, "price": 3}
                                       └── one that an earlier generation of the worker has put: left out
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import HandlerError
from runner.handlers.kinds import Handler, HandlerKind, Source, WorkerContext
from runner.spec.model import Role
from runner.spec.suggestions import did_you_mean

if TYPE_CHECKING:
    from sqlite3 import Connection, Cursor

_AT_ONCE = 1024
_PATIENCE = 30.0
"""Seconds to wait for somebody who has the database locked."""


class SqliteRows:
    """Reads what a query gives."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        self._path = options["path"]
        self._query = options.get("query")
        self._table = options.get("table", "")
        self._given = options.get("parameters", ())
        self._counts = options.get("count", True)
        self._context = context

    def items(self) -> Iterator[object]:
        """Yield each row, behind what earlier generations of the worker have put."""
        import sqlite3

        try:
            with closing(
                sqlite3.connect(f"{self._uri()}?mode=ro", uri=True, timeout=_PATIENCE)
            ) as connection:
                yield from self._rows(connection)
        except sqlite3.Error as error:
            raise HandlerError(f"'{self._path}': {error}{self._hint(str(error))}") from error

    def _rows(self, connection: Connection) -> Iterator[object]:
        # One transaction, so that the rows are those that were counted, whoever writes meanwhile.
        connection.execute("BEGIN")
        query, offset = self._query or _all_of(connection, self._table), self._context.offset
        query = query.strip().rstrip(";")
        cursor = connection.execute(query, self._given)
        names = _names_of(cursor)
        total = self._total(connection, query) if self._counts else 0
        at = 0
        while rows := cursor.fetchmany(_AT_ONCE):
            for row in rows[max(0, offset - at) :]:
                yield dict(zip(names, row, strict=True))
            at += len(rows)
            if total:
                self._context.progress(at, total)

    def _total(self, connection: Connection, query: str) -> int:
        (total,) = connection.execute(f"SELECT count(*) FROM ({query})", self._given).fetchone()
        return int(total)

    def _uri(self) -> str:
        path = Path(self._path)
        if not path.exists():
            raise HandlerError(f"there is no file '{self._path}'")
        return path.absolute().as_uri()

    def _hint(self, error: str) -> str:
        """Name the nearest table where one is not there."""
        import sqlite3

        missing = error.removeprefix("no such table: ")
        if missing == error:
            return ""
        with closing(sqlite3.connect(f"{self._uri()}?mode=ro", uri=True)) as connection:
            tables = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
                )
            ]
        return f"; {did_you_mean(missing, tables)}" if tables else "; there is none at all"


def _all_of(connection: Connection, table: str) -> str:
    """Return a query for a table, by rowid; a view has none, and a table made `WITHOUT ROWID` lies by its key."""
    import sqlite3

    query = f"SELECT * FROM {_quoted(table)}"
    try:
        connection.execute(f"{query} ORDER BY rowid LIMIT 0")
    except sqlite3.OperationalError as error:
        if "rowid" in str(error):
            return query
        raise
    return f"{query} ORDER BY rowid"


def _names_of(cursor: Cursor) -> list[str]:
    names = [each[0] for each in cursor.description or ()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise HandlerError(f"the query has two columns '{twice[0]}'; `AS` gives one of them another name")
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    if ("query" in options) == ("table" in options):
        raise HandlerError("`sqlite` reads a `table`, or what a `query` gives: one of them")
    return Source(SqliteRows(options, context).items)


SQLITE = HandlerKind(
    name="sqlite",
    summary=(
        "Make an item of each row that a query to a SQLite database gives: a mapping by the names of the columns. A "
        "killed worker's successor goes on behind it, so the query needs an ORDER BY."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "The database. A relative path starts from the stage's working directory.",
            },
            "table": {
                "type": "string",
                "minLength": 1,
                "description": "The table or view to read, all of it; by rowid where it has any.",
            },
            "query": {
                "type": "string",
                "minLength": 1,
                "description": "The SELECT to ask, with an ORDER BY, instead of a `table`.",
            },
            "parameters": {
                "type": ["array", "object"],
                "description": "What stands for `?` in the query, in order, or for `:name`, by name.",
            },
            "count": {
                "type": "boolean",
                "default": True,
                "description": (
                    "Whether to count the rows first, so that progress is known. `false` for a query that takes long."
                ),
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run:
      sqlite:
        path: shop.db
        query: SELECT item, price FROM orders WHERE price > ? ORDER BY rowid
        parameters: [10]
    to: orders
""",
    build=_build,
    unshared=lambda _options: "each would get all rows of the query",
    resumes=lambda _options: True,
)

"""What a run notes in an SQLite database of the items that are in a table of it: their places, and which rows they are.

    mprun_done   source, start, stop        places in a queue whose rows are in: for whoever takes a worker's place
    mprun_rows   source, start, stop, row   the same of a minute, with the number of the first one's row: for a runner
                                            that goes on with the run, and takes back what its cut does not know of

Places of items that were put after the last cut are given again, to others perhaps. So what was made of those is taken
back. An item that was put before has the place that it had, and is left out if it is in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from runner.errors import OutputFailed

if TYPE_CHECKING:
    import sqlite3

_DONE = "mprun_done"
_ROWS = "mprun_rows"
_PATIENCE = 30.0
"""Seconds to wait for whoever else writes to the database."""
_REMEMBERED = 60.0
"""Seconds for which it is known which rows were made of what. A cut is some ten seconds old, at most."""


class Numbering(Enum):
    """How the rows of a table get their numbers, by which SQLite knows them."""

    COUNTED = auto()
    BY_VALUE = auto()
    """It is a value of the row."""
    NONE = auto()
    """It is a view, or a table without numbers."""


class TableNotes:
    """The notes on one table, of the items of one queue. Each method works in the transaction that is open."""

    def __init__(self, connection: sqlite3.Connection, source: str) -> None:
        """`source` names run, queue and table."""
        self._connection = connection
        self._source = source
        self._forgotten = 0.0

    def done_of(self, places: Sequence[int]) -> set[int]:
        """Return those of some places that are in already."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_DONE} "
            "(source TEXT, start INTEGER, stop INTEGER, PRIMARY KEY (source, start)) WITHOUT ROWID"
        )
        query = f"SELECT start, stop FROM {_DONE} WHERE source = ? AND stop > ? AND start <= ?"
        found = self._connection.execute(query, (self._source, min(places), max(places)))
        return {place for start, stop in found for place in places if start <= place < stop}

    def note_done(self, places: Iterable[int]) -> None:
        """Say which items are in."""
        execute, source = self._connection.execute, self._source
        for start, stop in ranges_of(places):
            touching = f"FROM {_DONE} WHERE source = ? AND stop >= ? AND start <= ?"
            beside = execute(f"SELECT start, stop {touching}", (source, start, stop)).fetchall()
            execute(f"DELETE {touching}", (source, start, stop))
            whole = min([start, *(a for a, _ in beside)]), max([stop, *(b for _, b in beside)])
            execute(f"INSERT INTO {_DONE} VALUES (?, ?, ?)", (source, *whole))

    def note_rows(self, places: Sequence[int], rows: Sequence[int]) -> None:
        """Say which rows some items are, each with its number."""
        now, execute = time.time(), self._connection.execute
        execute(
            f"CREATE TABLE IF NOT EXISTS {_ROWS} "
            "(source TEXT, start INTEGER, stop INTEGER, row INTEGER, at REAL, PRIMARY KEY (source, start)) "
            "WITHOUT ROWID"
        )
        if now > self._forgotten + 1:
            self._forgotten = now
            execute(f"DELETE FROM {_ROWS} WHERE source = ? AND at < ?", (self._source, now - _REMEMBERED))
        noted = ((self._source, start, stop, row, now) for start, stop, row in _steps(places, rows))
        self._connection.executemany(f"INSERT OR REPLACE INTO {_ROWS} VALUES (?, ?, ?, ?, ?)", noted)

    def last_row(self, table: str) -> int:
        """Return the highest number of a row of a table; 0 where it has none."""
        (found,) = self._connection.execute(f"SELECT max(_rowid_) FROM {quoted(table)}").fetchone()
        return found or 0

    def numbering(self, table: str) -> Numbering:
        """Say how its rows get their numbers."""
        import sqlite3

        execute = self._connection.execute
        kind = execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        try:
            execute(f"SELECT _rowid_ FROM {quoted(table)} LIMIT 1")
        except sqlite3.OperationalError:
            return Numbering.NONE
        key = "SELECT 1 FROM pragma_table_info(?) WHERE pk AND upper(type) = 'INTEGER'"
        if kind != ("table",):
            return Numbering.NONE
        return Numbering.BY_VALUE if execute(key, (table,)).fetchone() else Numbering.COUNTED

    def take_back(self, table: str, offered: int, *, rows: bool) -> int:
        """
        Forget items from place `offered` on, with their rows, if it is known which these are to be.

        Return how many of them were in and are not known any more.
        """
        execute, source = self._connection.execute, self._source
        done = f"FROM {_DONE} WHERE source = ? AND stop > ?"
        left = sum(stop - max(start, offered) for start, stop in self._found(f"start, stop {done}", offered))
        if rows:
            for start, stop, row in self._found(
                f"start, stop, row FROM {_ROWS} WHERE source = ? AND stop > ?", offered
            ):
                first = max(start, offered)
                between = row + first - start, row + stop - start - 1
                execute(f"DELETE FROM {quoted(table)} WHERE _rowid_ BETWEEN ? AND ?", between)
                left -= stop - first
        for each in (_DONE, _ROWS):
            if exists(self._connection, each):
                behind = f"{each} SET stop = ? WHERE source = ? AND stop > ?"
                execute(f"DELETE FROM {each} WHERE source = ? AND start >= ?", (source, offered))
                execute(f"UPDATE {behind}", (offered, source, offered))
        return left if rows else 0

    def _found(self, query: str, offered: int) -> list[tuple[int, ...]]:
        table = _ROWS if _ROWS in query else _DONE
        if not exists(self._connection, table):
            return []
        return self._connection.execute(f"SELECT {query}", (self._source, offered)).fetchall()


def _steps(places: Sequence[int], rows: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield ranges of places, each up to its stop, and the row of the first, where one is behind the other in both."""
    if (
        isinstance(rows, range)
        and places
        and places[-1] - places[0] == len(places) - 1
        and _is_counted(places)
    ):
        yield places[0], places[-1] + 1, rows[0]
        return
    at = 0
    for index in range(1, len(places) + 1):
        if index < len(places) and (places[index] - places[at], rows[index] - rows[at]) == (
            index - at,
            index - at,
        ):
            continue
        yield places[at], places[index - 1] + 1, rows[at]
        at = index


def _is_counted(places: Sequence[int]) -> bool:
    return isinstance(places, range) or list(places) == list(range(places[0], places[-1] + 1))


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


def mark(connection: sqlite3.Connection, run: str, table: str) -> None:
    """Note that a run writes a table, in the transaction that is open."""
    notes = TableNotes(connection, _mark(run, table))
    notes.done_of([0])
    connection.execute(f"INSERT OR REPLACE INTO {_DONE} VALUES (?, 0, 0)", (_mark(run, table),))


def is_marked(connection: sqlite3.Connection, run: str, table: str) -> bool:
    """Whether a run has noted that it writes a table, and that has not been forgotten."""
    if not exists(connection, _DONE):
        return False
    query = f"SELECT 1 FROM {_DONE} WHERE source = ?"
    return connection.execute(query, (_mark(run, table),)).fetchone() is not None


def marked_by(connection: sqlite3.Connection, table: str) -> list[str]:
    """Name the runs that have noted that they write a table: they are at it, or have not ended well."""
    if not exists(connection, _DONE):
        return []
    found = connection.execute(f"SELECT DISTINCT source FROM {_DONE}").fetchall()
    return [source.removesuffix(_mark("", table)) for (source,) in found if source.endswith(_mark("", table))]


def is_noted(connection: sqlite3.Connection, table: str, run: str) -> bool:
    """Whether a run has noted anything of a table."""
    return any(
        source.startswith(f"{run}/") and source.endswith(f"/{table}")
        for notes in (_DONE, _ROWS)
        if exists(connection, notes)
        for (source,) in connection.execute(f"SELECT DISTINCT source FROM {notes}")
    )


def forget(connection: sqlite3.Connection, table: str, run: str | None = None) -> None:
    """Forget what a run has noted of a table; without `run` what any has."""
    for notes in (_DONE, _ROWS):
        if not exists(connection, notes):
            continue
        for (source,) in connection.execute(f"SELECT DISTINCT source FROM {notes}").fetchall():
            if source.startswith("" if run is None else f"{run}/") and source.endswith(f"/{table}"):
                connection.execute(f"DELETE FROM {notes} WHERE source = ?", (source,))
        if connection.execute(f"SELECT 1 FROM {notes}").fetchone() is None:
            connection.execute(f"DROP TABLE {notes}")


def _mark(run: str, table: str) -> str:
    """No queue has an empty name."""
    return f"{run}//{table}"


def exists(connection: sqlite3.Connection, table: str) -> bool:
    """Whether there is a table, or a view, of this name."""
    query = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?"
    return connection.execute(query, (table,)).fetchone() is not None


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def connect(path: str) -> sqlite3.Connection:
    """Raises `OutputFailed`."""
    import sqlite3

    try:
        return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    except sqlite3.Error as error:
        raise OutputFailed(f"{path}: {error}") from error

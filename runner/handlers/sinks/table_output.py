"""The supervisor's hand on a table in an SQLite database.

replace        written as `buns of run d5fc` ──► in the end it takes the name and the place of `buns`
resumed        what was put after the last cut is taken back, rows and all, before any worker begins
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.errors import OutputFailed
from runner.handlers.outputs import (
    HiddenOutput,
    KeptOutput,
    Opening,
    OutputRefused,
    WriteMode,
    remedy,
    write_mode,
)
from runner.handlers.sinks.hidden import hidden
from runner.handlers.sinks.holds import refuse_writers, take
from runner.handlers.sinks.table_notes import (
    Numbering,
    TableNotes,
    connect,
    exists,
    forget,
    is_marked,
    mark,
    marked_by,
    quoted,
)

if TYPE_CHECKING:
    import sqlite3


def notes_in(options: Mapping[str, Any], opening: Opening) -> list[HiddenOutput]:
    """Say what may be left in a database, and beside it. See `Writes.hides`."""
    path, table, run = _database(options, opening), options["table"], opening.run
    beside = hidden(_table_beside(path, table), run)
    return [HiddenOutput(path, run, table), HiddenOutput(str(beside), run)]


def _database(options: Mapping[str, Any], opening: Opening) -> str:
    return os.path.join(opening.folder, options["path"])  # noqa: PTH118


def _table_beside(path: str, table: str) -> Path:
    return Path(f"{path}-{quote(table, safe=' ')}")


class TableOutput:
    """Made before the first worker connects, finished after the last."""

    def __init__(self, options: Mapping[str, Any], opening: Opening) -> None:
        """See to it that it may be written. Raises `OutputRefused`, OSError."""
        import sqlite3

        self._path = _database(options, opening)
        self._table, self._run = options["table"], opening.run
        self._mode, self._has_key = write_mode(options), bool(options.get("key"))
        self._is_resumable = opening.resumable
        self._is_placed = False
        self._beside = _table_beside(self._path, self._table)
        """What has the hidden folder beside it by whose lock it is known that a run writes the table."""
        self._lock = -1
        os.makedirs(os.path.dirname(self._path), exist_ok=True)  # noqa: PTH103, PTH120
        self._is_new = not os.path.exists(self._path)  # noqa: PTH110
        self._written: str = f"{self._table} of run {self._run}" if self._replaces else self._table
        self.prepared = {"path": self._path, "table": self._written, "resumable": self._is_resumable}
        try:
            with closing(connect(self._path)) as connection:
                self._begin(connection, opening.before)
        except (sqlite3.Error, OutputFailed, OutputRefused) as error:
            self._let_go(stays=opening.before is not None)
            if isinstance(error, OutputRefused):
                raise
            self._remove_made()
            raise OutputRefused(f"{self._path}: {error}") from error

    @property
    def _replaces(self) -> bool:
        return self._mode is WriteMode.REPLACE

    @property
    def _shares(self) -> bool:
        """Each transaction of one who appends is whole, whoever else appends."""
        return self._mode is WriteMode.APPEND

    @property
    def _shown(self) -> str:
        return f"{self._path}, table '{self._table}'"

    def _begin(self, connection: sqlite3.Connection, before: KeptOutput | None) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if before is None:
            self._prepare(connection)
        else:
            self._go_on(connection, before)
        if self._is_resumable and not self._is_placed:
            mark(connection, self._run, self._table)
        connection.execute("COMMIT")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._refuse_others()
        is_there = exists(connection, self._table)
        if is_there and self._mode is WriteMode.FAIL:
            way = remedy(marked_by(connection, self._table))
            raise OutputRefused(f"{self._path}: table '{self._table}' is there already; {way}")
        if self._mode is WriteMode.FAIL:
            forget(connection, self._table)  # whoever had made it before can't go on without
        self._hold()
        self._refuse_others(removes=True)
        if self._replaces:
            self._drop_abandoned(connection)

    def _hold(self) -> None:
        self._lock = take(hidden(self._beside, self._run), self._shown, shares=self._shares)

    def _refuse_others(self, *, removes: bool = False) -> None:
        refuse_writers(self._beside, self._run, self._shown, shares=self._shares, removes=removes)

    def _drop_abandoned(self, connection: sqlite3.Connection) -> None:
        """Drop what runs that have been killed had written, and nobody has gone on with: none is at work."""
        begins = f"{self._table} of run "
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            if name.startswith(begins):
                connection.execute(f"DROP TABLE {quoted(name)}")
                forget(connection, self._table, name.removeprefix(begins))

    # Another runner had it before.

    def kept(self) -> bytes:
        """Return what it takes to open it once more: that it was open. All else is in the database."""
        return b"{}"

    def _go_on(self, connection: sqlite3.Connection, before: KeptOutput) -> None:
        if not is_marked(connection, self._run, self._table):
            self._is_placed = before.over  # the last runner was killed when all was in its place
            if not self._is_placed:
                raise OutputRefused(
                    f"{self._path}: it does not know that the run had written table '{self._table}': it is another "
                    "database, or another run has written the table since"
                )
            shutil.rmtree(hidden(self._beside, self._run), ignore_errors=True)
            return
        self._hold()
        self._refuse_others()
        table = self._written
        if before.queue is None or not exists(connection, table):
            return
        is_known = not self._has_key and TableNotes(connection, "").numbering(table) is not Numbering.NONE
        notes = TableNotes(connection, f"{self._run}/{before.queue.queue}/{self._table}")
        left = notes.take_back(table, before.queue.offered, rows=is_known)
        if left:
            raise OutputRefused(
                f"{self._path}: which rows of table '{self._table}' were made of {left:,} items that the record does "
                "not know of has been forgotten: it is too old"
            )

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:  # noqa: ARG002 - nothing is kept
        """Put a new table in the place of the old one; forget what it was made of. Raises `OutputRefused`."""
        import sqlite3

        is_whole = self._is_placed
        try:
            if not self._is_placed and (complete or not stays):
                with closing(connect(self._path)) as connection:
                    self._finish(connection, complete=complete)
            is_whole = complete
        except (sqlite3.Error, OutputFailed) as error:
            raise OutputRefused(f"{self._path}, table '{self._table}': {error}") from error
        finally:
            self._let_go(stays=stays and not is_whole)
        if not complete and not stays:
            self._remove_made()

    def _finish(self, connection: sqlite3.Connection, *, complete: bool) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if self._replaces:
            self._replace(connection, complete=complete)
        if complete or self._replaces or self._is_resumable:
            forget(connection, self._table, self._run)
        connection.execute("COMMIT")

    def _let_go(self, *, stays: bool) -> None:
        if self._lock < 0:
            return
        if not stays or not self._replaces:
            shutil.rmtree(hidden(self._beside, self._run), ignore_errors=True)
        os.close(self._lock)

    def _replace(self, connection: sqlite3.Connection, *, complete: bool) -> None:
        old, new = quoted(self._table), quoted(self._written)
        if not complete:
            connection.execute(f"DROP TABLE IF EXISTS {new}")
        elif exists(connection, self._written):
            connection.execute(f"DROP TABLE IF EXISTS {old}")
            connection.execute(f"ALTER TABLE {new} RENAME TO {old}")
        elif exists(connection, self._table):  # there was no item
            connection.execute(f"DELETE FROM {old}")

    def _remove_made(self) -> None:
        """Take away a database that this run has made, and that nothing is in."""
        import sqlite3

        if not self._is_new or not os.path.exists(self._path):  # noqa: PTH110
            return
        with suppress(sqlite3.Error), closing(connect(self._path)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                os.unlink(self._path)  # noqa: PTH108

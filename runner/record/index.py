"""The index of a home: a row for each run that has ended, copied from its own database, so that a list is one file.

Runs do not write to it, so that twenty at once have nothing to wait for: whoever lists runs brings it up to date, and
makes it again where it is missing or damaged. A row counts as long as the database that it was read from is unchanged.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

from runner.record.schema import BUSY
from runner.record.summary import RunSummary

INDEX = "index.db"
_VERSION = 3
_COLUMNS = tuple(field.name for field in fields(RunSummary))


def read_index(file: Path) -> dict[str, tuple[int, RunSummary]]:
    """Return what the index says; nothing where it is not there, damaged, or of another version."""
    if not file.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=BUSY)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                return {}
            rows = connection.execute(f"SELECT stamp, {', '.join(_COLUMNS)} FROM run").fetchall()
    except sqlite3.Error:
        return {}
    return {row[1]: (row[0], RunSummary(*row[1:])) for row in rows}


def update_index(file: Path, fresh: Mapping[str, tuple[int, RunSummary]], gone: Iterable[str]) -> None:
    """Bring the index up to date. It is a copy: where that can't be done nothing is lost."""
    with contextlib.suppress(OSError, sqlite3.Error):
        try:
            _write_index(file, fresh, gone)
        except sqlite3.OperationalError as error:
            if "no such" not in str(error) and "has no column" not in str(error):
                raise  # locked, or on a full disk
            file.unlink()
            _write_index(file, fresh, ())
        except sqlite3.DatabaseError:
            file.unlink()
            _write_index(file, fresh, ())


def _write_index(file: Path, fresh: Mapping[str, tuple[int, RunSummary]], gone: Iterable[str]) -> None:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with (
        contextlib.closing(sqlite3.connect(file, timeout=BUSY, isolation_level=None)) as connection,
        connection,
    ):
        connection.execute("PRAGMA synchronous=OFF")  # it can be made again
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS run (stamp INT, {', '.join(_COLUMNS)}, PRIMARY KEY (id)) WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.executemany("DELETE FROM run WHERE id = ?", [(run,) for run in gone])
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        connection.executemany(
            f"INSERT OR REPLACE INTO run VALUES ({marks})",
            [(stamp, *asdict(summary).values()) for stamp, summary in fresh.values()],
        )

"""The tables of a run's database, `run.db`, and how one is opened: for its one writer, or for any number of readers.

    recorder ── one connection ──► run.db  WAL        readers ── mode=ro ──► the same, and hold up nobody

`account`, `frame`, `parcel`, `writer`, `sink` and `cut`, which going on with a run needs, come with that.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

DATABASE = "run.db"
APPLICATION = 0x6D70726E
"""`mprn`: shows that a database is one of ours."""
VERSION = 1
BUSY = 5.0
"""Seconds that one waits for another who has the database locked."""

TABLES = """
CREATE TABLE fact (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE incarnation (n INTEGER PRIMARY KEY, pid INT, pid_start INT, boot_id TEXT, began REAL, ended REAL,
    outcome TEXT, cut INT);
CREATE TABLE event (id INTEGER PRIMARY KEY, incarnation INT, at REAL, name TEXT, level INT, stage TEXT, worker TEXT,
    fields TEXT);
CREATE TABLE kind (id INTEGER PRIMARY KEY, stage TEXT, print TEXT UNIQUE, error TEXT, traceback TEXT, n INT,
    first REAL, last REAL, minutes BLOB);
CREATE TABLE sample_item (kind INT, item TEXT, at REAL, letter INT);
CREATE TABLE series (name TEXT PRIMARY KEY, start REAL, step REAL, body BLOB) WITHOUT ROWID;
CREATE TABLE job (id TEXT PRIMARY KEY, state TEXT, attempts INT, began REAL, ended REAL, code INT, signal TEXT,
    reason TEXT, outputs TEXT, key TEXT, log TEXT);
CREATE TABLE step (job TEXT, attempt INT, n INT, name TEXT, result TEXT, code INT, seconds REAL,
    PRIMARY KEY (job, attempt, n)) WITHOUT ROWID;
"""


def create(file: Path, *, lasting: bool) -> tuple[sqlite3.Connection, str]:
    """
    Make the database of a run; return its one writing connection, and the journal that it has.

    `lasting`: others may read while it is written, so it has a write-ahead log. That needs shared memory, which some
    file systems, such as NFS, do not have: where the trial fails it is made anew without.

    Raises:
        sqlite3.Error: it can't be written.
    """
    if lasting:
        try:
            return _created(file, "WAL", "NORMAL"), "wal"
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise
            for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
                file.with_name(name).unlink(missing_ok=True)
    # The run is over before anything was written: one transaction, and nobody to wait for a disk.
    return _created(file, "TRUNCATE", "NORMAL" if lasting else "OFF"), "truncate"


def _created(file: Path, journal: str, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY, isolation_level=None)
    try:
        (found,) = connection.execute(f"PRAGMA journal_mode={journal}").fetchone()
        if found.upper() != journal:
            raise sqlite3.OperationalError(f"this file system has no journal of the kind {journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def close(connection: sqlite3.Connection) -> None:
    """Close the writer's connection; leave one plain file behind, if no reader is in the way."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


def open_to_read(file: Path) -> sqlite3.Connection:
    """
    Open a database that may be written meanwhile, or may have come from elsewhere.

    Raises:
        sqlite3.Error: it is not there, is damaged, or is no run's.
    """
    path = str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY)
    try:
        connection.execute(
            "PRAGMA trusted_schema=OFF"
        )  # what an imported one computes calls no function of ours
        connection.row_factory = sqlite3.Row
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION:
            raise sqlite3.DatabaseError("it is no database of a run")
    except BaseException:
        connection.close()
        raise
    return connection

"""The tables of a run's database, `run.db`, and how one is opened: for its one writer, or for any number of readers.

    recorder ── one connection ──► run.db  WAL        readers ── mode=ro ──► the same, and hold up nobody

The tables from `cut` on are what another runner goes on from, and each transaction replaces them by the next cut. Of a
queue all but the frames is one text: whatever is looked at is looked at whole, and 10,000 frames in a row are one pair
of numbers in it, while as rows they would all be written anew whenever one of them is taken.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

DATABASE = "run.db"
BULK = "bulk"
"""The folder of big items, beside it."""
APPLICATION = 0x6D70726E
"""`mprn`: shows that a database is one of ours."""
VERSION = 2
"""2 has what another runner can go on from; one of version 1 is shown, and nobody goes on with it."""
BUSY = 5.0
"""Seconds that one waits for another who has the database locked."""

TIMING = """
CREATE TABLE IF NOT EXISTS timing (stage TEXT PRIMARY KEY, buckets BLOB, slowest TEXT) WITHOUT ROWID;
"""
"""Databases of version 2 that were made before there was this table get it when they are gone on with."""
TABLES = f"""
CREATE TABLE fact (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE incarnation (n INTEGER PRIMARY KEY, pid INT, pid_start INT, boot_id TEXT, began REAL, ended REAL,
    outcome TEXT);
CREATE TABLE event (id INTEGER PRIMARY KEY, incarnation INT, at REAL, name TEXT, level INT, stage TEXT, worker TEXT,
    fields TEXT);
CREATE TABLE kind (id INTEGER PRIMARY KEY, stage TEXT, print TEXT UNIQUE, error TEXT, traceback TEXT, n INT,
    first REAL, last REAL, minutes BLOB, step REAL);
CREATE TABLE sample_item (kind INT, item TEXT, at REAL, letter INT);
CREATE TABLE series (name TEXT PRIMARY KEY, start REAL, step REAL, body BLOB) WITHOUT ROWID;
CREATE TABLE job (id TEXT PRIMARY KEY, state TEXT, attempts INT, began REAL, ended REAL, code INT, signal TEXT,
    reason TEXT, outputs TEXT, key TEXT, lost INT, log TEXT);
CREATE TABLE step (job TEXT, attempt INT, n INT, name TEXT, result TEXT, code INT, seconds REAL,
    PRIMARY KEY (job, attempt, n)) WITHOUT ROWID;
{TIMING}
CREATE TABLE cut (one INTEGER PRIMARY KEY CHECK (one = 1), number INT, at REAL, incarnation INT, unfinished INT,
    in_hand INT, told TEXT);
CREATE TABLE account (queue TEXT PRIMARY KEY, place INT, told TEXT) WITHOUT ROWID;
CREATE TABLE frame (id INTEGER PRIMARY KEY, count INT, size INT, first INT, bulk INT, body BLOB);
CREATE TABLE writer (worker TEXT PRIMARY KEY, place INT, put INT, start INT, mark BLOB, samples BLOB) WITHOUT ROWID;
CREATE TABLE state (kind TEXT, name TEXT, body BLOB, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""
OF_THE_CUT = ("cut", "account", "frame", "writer", "state")
SIGNS_OF_LIFE = (
    "SELECT max(at) AS at FROM event WHERE incarnation = ?",
    "SELECT at FROM cut WHERE incarnation = ?",
)
"""What tells when one incarnation was last heard of, beside its snapshots: one that is quiet has cuts alone."""


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


def reopen(file: Path) -> tuple[sqlite3.Connection, str]:
    """
    Open the database of a run that is gone on with, to write; return the connection, and the journal that it has.

    What its last writer had committed when it was killed is there, and nothing of what it had not.

    Raises:
        sqlite3.Error: it is not there, is damaged, of another version, or can't be written.
    """
    connection = sqlite3.connect(
        f"file:{_quoted(file)}?mode=rw", uri=True, timeout=BUSY, isolation_level=None
    )
    try:
        _require_ours(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, and this mprun writes {VERSION}")
        journal = _lasting_journal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(TIMING)
    except BaseException:
        connection.close()
        raise
    return connection, journal


def _lasting_journal(connection: sqlite3.Connection) -> str:
    try:
        (found,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise
        (found,) = connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
    return str(found)


def _created(file: Path, journal: str, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # what waited may be much, and goes
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
    try:
        return _opened_to_read(file)
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            raise
    # Its writer was killed in a transaction without a write-ahead log: who may write has to take that back first.
    with contextlib.closing(sqlite3.connect(file, timeout=BUSY)) as connection:
        _require_ours(connection)
    return _opened_to_read(file)


def _opened_to_read(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{_quoted(file)}?mode=ro", uri=True, timeout=BUSY)
    try:
        # What an imported one computes calls no function of ours.
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.row_factory = sqlite3.Row
        _require_ours(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_ours(connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if not application and not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise sqlite3.DatabaseError("it is empty: nothing of the run has been written")
    if application != APPLICATION:
        raise sqlite3.DatabaseError("it is no database of a run")


def _quoted(file: Path) -> str:
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

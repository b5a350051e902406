"""Takes away what a run has hidden beside what it wrote, once nobody is to go on with it. What it has written stays.

    .out.csv.d5fc.mprun/                   parts, spools, or only a mark
    pages/.mprun/d5fc/                     files that were being written, and notes of others
    mprun_done, mprun_rows of shop.db      the rows that tell of the run, and the table `buns of run d5fc`

Nothing else is touched, whatever the notes say: a folder has the run's id in its name, and a table too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.handlers.outputs import HiddenOutput
from runner.handlers.sinks.folder_output import PARTIAL
from runner.handlers.sinks.hidden import ENDING, lock_alone, open_folder, second_name
from runner.handlers.sinks.table_notes import exists, forget, is_noted, quoted

if TYPE_CHECKING:
    import sqlite3

_PATIENCE = 1.0
"""Seconds to wait for whoever else writes to a database."""


def is_left(hidden: HiddenOutput) -> bool:
    """Say whether there is something to take away, as far as that can be seen."""
    if not hidden.table:
        return any(each.is_dir() for each in _folders(hidden))
    import sqlite3

    if not Path(hidden.path).is_file():
        return False
    try:
        with closing(_connect(hidden, "ro")) as connection:
            return bool(_written(connection, hidden)) or is_noted(connection, hidden.table, hidden.run)
    except sqlite3.OperationalError:  # somebody else has it, or it can't be read: there may be
        return True
    except sqlite3.Error:
        return False


def take_away(hidden: HiddenOutput) -> None:
    """Take it away, if it is there and nobody is at work in it. Raises OSError."""
    if hidden.table:
        _forget_table(hidden)
        return
    for folder in _folders(hidden):
        _remove_folder(folder)


def _folders(hidden: HiddenOutput) -> list[Path]:
    """Return the folder, with what a kill may have left of its removal; none where it is no such folder."""
    path = Path(hidden.path)
    if path.name == hidden.run and path.parent.name == PARTIAL:
        return [path]
    if path.name.startswith(".") and path.name.endswith(f".{hidden.run}{ENDING}"):
        return [path, second_name(path)]
    return []


def _remove_folder(folder: Path) -> None:
    try:
        lock = open_folder(folder)
    except FileNotFoundError:
        return
    try:
        if lock_alone(lock):
            shutil.rmtree(folder)
    finally:
        os.close(lock)
    if folder.parent.name == PARTIAL:
        with contextlib.suppress(OSError):  # another run has something in it
            folder.parent.rmdir()


def _forget_table(hidden: HiddenOutput) -> None:
    import sqlite3

    if not is_left(hidden):
        return
    try:
        with closing(_connect(hidden, "rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for name in _written(connection, hidden):
                connection.execute(f"DROP TABLE {quoted(name)}")
            forget(connection, hidden.table, hidden.run)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise OSError(f"{hidden.path}: {error}") from error


def _written(connection: sqlite3.Connection, hidden: HiddenOutput) -> list[str]:
    """Return the table that was to take the place of another."""
    name = f"{hidden.table} of run {hidden.run}"
    return [name] if exists(connection, name) else []


def _connect(hidden: HiddenOutput, mode: str) -> sqlite3.Connection:
    import sqlite3

    where = f"file:{quote(hidden.path)}?mode={mode}"
    return sqlite3.connect(where, uri=True, timeout=_PATIENCE, isolation_level=None)

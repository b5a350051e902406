"""Writes cuts into the database of a run: one transaction replaces what has changed, so that the last one is whole.

line ──► ReceivedCut: memory of the supervisor, opened at once ──► CutWriter ──► run.db        committed, or as before
"""

from __future__ import annotations

import json
import mmap
import os
import sqlite3
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.record.writer import RunWriter

_FRAME_COLUMNS = ("number", "count", "size", "first", "bytes")


@dataclass(slots=True)
class ReceivedCut:
    """A cut that the supervisor has told of, and how far it was read."""

    number: int
    at: float
    fsync: bool
    head: Mapping[str, Any]
    view: memoryview
    """What follows the head."""
    done: int = 0

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> ReceivedCut:
        """Open what a line tells of. Raises OSError where that is gone."""
        descriptor = open_memory(line["memory"])
        try:
            view = memoryview(mmap.mmap(descriptor, line["bytes"], prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)
        begin = line["head"]
        return cls(line["number"], line["at"], line["fsync"], json.loads(bytes(view[:begin])), view[begin:])

    def take(self, size: int) -> memoryview:
        """Read on."""
        begin, self.done = self.done, self.done + size
        return self.view[begin : self.done]

    def numbers(self, count: int) -> array[int]:
        """Read so many numbers."""
        found = array("q")
        found.frombytes(self.take(count * found.itemsize))
        return found

    def frames(self) -> tuple[array[int], ...]:
        """Read the columns of the new frames."""
        return tuple(self.numbers(self.head["frames"]) for _ in _FRAME_COLUMNS)


def open_memory(named: tuple[int, int, int]) -> int:
    """Open shared memory of another process of ours. Raises OSError where it is gone."""
    pid, number, inode = named
    descriptor = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    if os.fstat(descriptor).st_ino != inode:
        os.close(descriptor)
        raise FileNotFoundError("the memory that it was in is gone")
    return descriptor


class CutWriter:
    """Keeps the last cut of a run."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer

    def commit(self, cut: ReceivedCut) -> float:
        """
        Replace the last one; return how many seconds that took.

        Raises:
            sqlite3.Error: it can't be written. The last one is there as before.
        """
        began = time.monotonic()
        with self._writer.transaction(fsync=cut.fsync) as connection:
            self._write(connection, cut)
        return time.monotonic() - began

    def _write(self, connection: sqlite3.Connection, cut: ReceivedCut) -> None:
        head = cut.head
        connection.execute(
            "INSERT OR REPLACE INTO cut VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                cut.number,
                cut.at,
                self._writer.incarnation,
                head["unfinished"],
                head["in_hand"],
                json.dumps(head["told"]),
            ),
        )
        numbers, counts, sizes, firsts, lengths = cut.frames()
        gone = cut.numbers(head["gone"])
        _replace_accounts(connection, head["queues"])
        _replace_writers(connection, head["writers"])
        _replace_states(
            connection, head["kept"], [(kind, name, cut.take(size)) for kind, name, size in head["states"]]
        )
        connection.executemany("DELETE FROM frame WHERE id = ?", ((number,) for number in gone))
        connection.executemany(
            "UPDATE frame SET first = ? WHERE id = ?", [(first, number) for number, first in head["places"]]
        )
        bodies = (cut.take(length) for length in lengths)
        connection.executemany(
            "INSERT INTO frame (id, count, size, first, body) VALUES (?, ?, ?, ?, ?)",
            zip(numbers, counts, sizes, firsts, bodies, strict=True),
        )


def _replace_accounts(connection: sqlite3.Connection, queues: list[Any]) -> None:
    _keep_only(connection, "account", "queue", [name for name, _ in queues])
    connection.executemany(
        "INSERT OR REPLACE INTO account VALUES (?, ?, ?)",
        [(name, place, told) for place, (name, told) in enumerate(queues) if told is not None],
    )


def _replace_writers(connection: sqlite3.Connection, writers: list[Any]) -> None:
    _keep_only(connection, "writer", "worker", [worker for worker, *_ in writers])
    connection.executemany(
        "INSERT OR REPLACE INTO writer VALUES (?, ?, ?, ?, ?, ?)",
        [
            (worker, place, told[0], told[1], bytes.fromhex(told[2]), json.dumps(told[3]))
            for place, (worker, *told) in enumerate(writers)
            if told
        ],
    )


def _replace_states(connection: sqlite3.Connection, kept: list[Any], states: list[Any]) -> None:
    there = {(kind, name) for kind, name in connection.execute("SELECT kind, name FROM state")}
    gone = there.difference(map(tuple, kept))
    connection.executemany("DELETE FROM state WHERE kind = ? AND name = ?", gone)
    connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", states)


def _keep_only(connection: sqlite3.Connection, table: str, key: str, names: list[str]) -> None:
    there = {name for (name,) in connection.execute(f"SELECT {key} FROM {table}")}
    connection.executemany(
        f"DELETE FROM {table} WHERE {key} = ?", [(name,) for name in there.difference(names)]
    )

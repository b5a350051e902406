"""Writes cuts into the database of a run: one transaction replaces what has changed, so that the last one is whole.

line ──► ReceivedCut: memory of the supervisor, opened at once ──► CutWriter ──► run.db        committed, or as before
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.facts import dataclass
from runner.ipc.frames import stored_frame
from runner.ipc.shm.arena import read_stored
from runner.record.bulk import BulkFolder
from runner.record.writer import RunWriter

_FRAME_COLUMNS = 5
_CACHE = 16_384
"""KiB. What a transaction writes beyond that is written twice."""
_DISK_SHARE = 4
"""Waiting for the disk costs a run this part of what a processor's time does."""


@dataclass(slots=True)
class ReceivedCut:
    """A cut that the supervisor has told of, and how far it was read."""

    number: int
    at: float
    fsync: bool
    head: Mapping[str, Any]
    view: memoryview
    """What follows the head."""
    arenas: Mapping[int, int]
    """A descriptor of the memory that a new frame lies in, or its big items, by the frame's number."""
    columns: Sequence[array[int]] = ()
    """Of the new frames: number, count, size, first, and the bytes of the body."""
    done: int = 0

    def __post_init__(self) -> None:
        """Read what comes first."""
        self.columns = [self.numbers(self.head["frames"]) for _ in range(_FRAME_COLUMNS)]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> ReceivedCut:
        """Open what a line tells of, also the memory of big items. Raises OSError where that is gone."""
        descriptor = _open_memory(line["memory"])
        try:
            view = memoryview(mmap.mmap(descriptor, line["bytes"], prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)
        head = json.loads(bytes(view[: line["head"]]))
        arenas: dict[int, int] = {}
        for memory, numbers in head["bulk"]:
            arenas |= dict.fromkeys(numbers, _open_memory(memory))
        return cls(line["number"], line["at"], line["fsync"], head, view[line["head"] :], arenas)

    def take(self, size: int) -> memoryview:
        """Read on."""
        begin, self.done = self.done, self.done + size
        return self.view[begin : self.done]

    def numbers(self, count: int) -> array[int]:
        """Read so many numbers."""
        found = array("q")
        found.frombytes(self.take(count * found.itemsize))
        return found

    def close(self) -> None:
        """It is written, or can't be."""
        for descriptor in set(self.arenas.values()):
            os.close(descriptor)


def _open_memory(named: tuple[int, int, int]) -> int:
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
        self._bulk = BulkFolder(writer.folder)
        self._is_first = True

    def commit(self, cut: ReceivedCut) -> float:
        """
        Replace the last one; return how many seconds that has cost.

        Raises:
            sqlite3.Error: it can't be written. The last one is there as before.
            OSError: the same.
        """
        wall, processor = time.monotonic(), time.process_time()
        gone = cut.numbers(cut.head["gone"])
        filled: list[int] = []
        states = [(kind, name, cut.take(size)) for kind, name, size in cut.head.get("states", ())]
        try:
            frames = list(self._frames(cut, filled))
            with self._writer.transaction(fsync=cut.fsync) as connection:
                connection.execute(f"PRAGMA cache_size=-{_CACHE}")
                if (upto := cut.head["upto"]) is not None:
                    connection.execute("DELETE FROM frame WHERE id > ?", (upto,))
                if "ahead" not in cut.head:
                    self._write(connection, cut, states, gone)
                # Behind those that go, whose room they take.
                connection.executemany("INSERT OR REPLACE INTO frame VALUES (?, ?, ?, ?, ?, ?)", frames)
        except BaseException:
            self._bulk.remove(filled)
            raise
        finally:
            cut.close()
        self._bulk.remove(gone)
        if self._is_first:
            self._sweep()
        return max(time.process_time() - processor, (time.monotonic() - wall) / _DISK_SHARE)

    def _frames(self, cut: ReceivedCut, filled: list[int]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the new frames, and fill the files of those with big items, which are then in `filled`."""
        for number, count, size, first, length in zip(*cut.columns, strict=True):
            body: bytes | memoryview = cut.take(length)
            bulk = 0
            if (stored := stored_frame(body)) is not None:
                body = read_stored(cut.arenas[number], stored)
            elif number in cut.arenas:
                bulk = self._bulk.fill(number, body, cut.arenas[number], fsync=cut.fsync)
                filled.append(number)
            yield number, count, size, first, bulk, body

    def _write(
        self,
        connection: sqlite3.Connection,
        cut: ReceivedCut,
        states: list[Any],
        gone: Iterable[int],
    ) -> None:
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
        _replace_accounts(connection, head["queues"])
        _replace_writers(connection, head["writers"])
        _replace_states(connection, head["kept"], states)
        connection.executemany("DELETE FROM frame WHERE id = ?", ((number,) for number in gone))
        connection.executemany(
            "UPDATE frame SET first = ? WHERE id = ?", [(first, number) for number, first in head["places"]]
        )

    def _sweep(self) -> None:
        """Remove what an incarnation has left that was killed in the middle. Raises nothing: the cut is kept."""
        self._is_first = False
        with contextlib.suppress(sqlite3.Error), self._writer.transaction() as connection:
            numbers = [number for (number,) in connection.execute("SELECT id FROM frame WHERE bulk > 0")]
            self._bulk.keep_only(numbers)


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

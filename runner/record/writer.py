"""Writes what is known of a run into its database, a transaction at a time.

RunFold ── what has changed ──► commit ──► run.db          the next incarnation: run.db ──► read_fold ──► RunFold
"""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import __version__
from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.record.fold import JOB_COLUMNS, MOST_EVENTS, RunFold
from runner.record.refold import read_fold
from runner.record.schema import BULK, DATABASE, OF_THE_CUT, SIGNS_OF_LIFE, close, create, reopen
from runner.store.run_lock import boot_id, process_start

_SERIES_EVERY = 5.0
"""Seconds between two writings of all series, each of which is one blob."""
_SPARE = 500
"""Events of a name beyond `MOST_EVENTS` that may gather before the oldest are removed."""
_MOST_CHARACTERS = 2_000_000
"""In the fields of all events of a name."""
_OF_THE_FIRST = ("at", "argv", "pid")
"""Facts that stay what the first incarnation said."""
_OF_THE_END = ("outcome", "exit_code", "reason", "report")


@dataclass(slots=True)
class _Kept:
    """How many events of a name there are, and of how many characters."""

    count: int = 0
    size: int = 0


class RunWriter:
    """The one writer of a run's database."""

    def __init__(
        self, folder: Path, begin: Mapping[str, Any], *, over: bool = False, incarnation: int = 1
    ) -> None:
        """Make the database, or go on with that of a run which was killed. `begin` says what is known of the run.

        `over`: it has ended already. `incarnation`: which of the runner's processes over the same run this one writes
        for; from the second on the database is there.

        Raises:
            sqlite3.Error: it can't be written, or another incarnation has been there first.
        """
        self.folder = folder
        self._file = folder / DATABASE
        self._begin = begin
        self.incarnation = incarnation
        self._series_due = 0.0
        self._events: dict[str, _Kept] = {}
        self._missing = 0
        """Events that came too fast for the recorders of earlier incarnations."""
        self._has_begun = self._syncs = False
        is_new = incarnation == 1
        self._connection, self._journal = (
            create(self._file, lasting=not over) if is_new else reopen(self._file)
        )
        try:
            if is_new:
                with self.transaction():
                    pass
            else:
                self._require_turn()
        except BaseException:
            self._connection.close()
            raise

    def _require_turn(self) -> None:
        (last,) = self._connection.execute("SELECT max(n) FROM incarnation").fetchone()
        if (last or 0) + 1 != self.incarnation:
            raise sqlite3.DatabaseError(
                f"it is that of incarnation {last}: {self.incarnation} has come too late"
            )

    def _say_begun(self) -> None:
        """Say who writes from now on. A run that is gone on with has no end any more, and is counted as it is."""
        self._require_turn()
        begin, facts = self._begin, {**_facts_of(self._begin), "journal": self._journal}
        if self.incarnation > 1:
            found = self._connection.execute("SELECT value FROM fact WHERE key = 'missing'").fetchone()
            self._missing = found[0] if found else 0
            facts = {key: value for key, value in facts.items() if key not in _OF_THE_FIRST}
            self._connection.executemany("DELETE FROM fact WHERE key = ?", [(key,) for key in _OF_THE_END])
            self._end_last_life(self.incarnation - 1)
            counts = self._connection.execute(
                "SELECT name, count(*), sum(length(fields)) FROM event GROUP BY name"
            )
            self._events = {name: _Kept(count, size or 0) for name, count, size in counts}
        self._facts(facts)
        self._connection.execute(
            "INSERT INTO incarnation (n, pid, pid_start, boot_id, began) VALUES (?, ?, ?, ?, ?)",
            (self.incarnation, begin["pid"], process_start(begin["pid"]), boot_id(), begin["at"]),
        )

    def _end_last_life(self, n: int) -> None:
        """Note until when one lived that was killed: its cut and its last snapshot, which tell it, are overwritten."""
        life = "SELECT began FROM incarnation WHERE n = ? AND ended IS NULL"
        progress = "SELECT value FROM fact WHERE key = 'progress'"
        for (began,) in self._connection.execute(life, (n,)).fetchall():
            signs = [self._connection.execute(query, (n,)).fetchone() for query in SIGNS_OF_LIFE]
            ends = [sign[0] for sign in signs if sign is not None and sign[0] is not None]
            for (text,) in self._connection.execute(progress).fetchall():
                snapshot = json.loads(text)
                ends.append(began + snapshot["elapsed"])
                self._facts({"progress": {**snapshot, "elapsed": 0.0}})
            self._connection.execute("UPDATE incarnation SET ended = ? WHERE n = ?", (max([began, *ends]), n))

    def last_fold(self) -> RunFold:
        """Return what was known of the run when it was written last, for the next to go on with."""
        return read_fold(self._connection)

    def commit(self, fold: RunFold, now: float, *, last: bool = False, missing: int = 0) -> None:
        """Write what has changed since the last time. Series are written now and then, and at the `last` time."""
        with self.transaction():
            self._write_events(fold)
            self._write_failures(fold)
            self._write_jobs(fold)
            self._write_timings(fold)
            if fold.progress is not None:
                self._facts({"progress": fold.progress})
            if last or now >= self._series_due:
                self._series_due = now + _SERIES_EVERY
                self._write_series(fold)
            if missing or fold.left_out:
                self._facts({"missing": self._missing + missing, "left_out": fold.left_out})

    def end(self, end: Mapping[str, Any]) -> None:
        """Say what the run came to: from now on it has ended, whoever holds its lock.

        One that is done is not gone on with, and what could have been is forgotten.
        """
        is_done = end.get("outcome") == RunOutcome.DONE
        with self.transaction():
            for table in OF_THE_CUT if is_done else ():
                self._connection.execute(f"DELETE FROM {table}")
            self._facts({key: end.get(key) for key in _OF_THE_END})
            self._connection.execute(
                "UPDATE incarnation SET ended = ?, outcome = ? WHERE n = ?",
                (end["at"], end.get("outcome"), self.incarnation),
            )
        if is_done:
            self._connection.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page
            if (self.folder / BULK).exists():
                from runner.record.bulk import BulkFolder  # most runs have none

                BulkFolder(self.folder).keep_only(())

    @property
    def is_there(self) -> bool:
        """Whether the database is still where it was made."""
        return self._file.exists()

    def close(self) -> None:
        """Leave one file behind. Raises nothing."""
        close(self._connection)

    @contextmanager
    def transaction(self, *, fsync: bool = False) -> Iterator[sqlite3.Connection]:
        """Write some things together, or none of them. `fsync`: from now on each is on the disk when it is done."""
        if (fsync or self._begin.get("fsync")) and not self._syncs:
            self._connection.execute("PRAGMA synchronous=FULL")
            self._syncs = True
        with self._connection:  # commits, or rolls back where SQLite has not done so by itself
            self._connection.execute("BEGIN IMMEDIATE")
            if not self._has_begun:
                self._say_begun()
            yield self._connection
        self._has_begun = True

    def _facts(self, facts: Mapping[str, Any]) -> None:
        rows = [_row(key, value) for key, value in facts.items()]
        self._connection.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", rows)

    def _write_events(self, fold: RunFold) -> None:
        rows, fold.rows = fold.rows, []
        self._connection.executemany(
            "INSERT INTO event (incarnation, at, name, level, stage, worker, fields) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_row(self.incarnation, r.at, r.name, r.level, r.stage, r.worker, r.fields) for r in rows],
        )
        for row in rows:
            kept = self._events.setdefault(row.name, _Kept())
            kept.count, kept.size = kept.count + 1, kept.size + len(row.fields)
        for name, kept in self._events.items():
            if kept.count > MOST_EVENTS + _SPARE or kept.size > _MOST_CHARACTERS:
                fold.left_out += self._drop_oldest(name, kept)

    def _drop_oldest(self, name: str, kept: _Kept) -> int:
        """Remove the oldest events of a name, half of them where these are long; return how many."""
        left = MOST_EVENTS if kept.size <= _MOST_CHARACTERS else min(MOST_EVENTS, kept.count // 2)
        dropped = kept.count - left
        self._connection.execute(
            "DELETE FROM event WHERE name = ? AND id <= "
            "(SELECT id FROM event WHERE name = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (name, name, left),
        )
        (size,) = self._connection.execute(
            "SELECT sum(length(fields)) FROM event WHERE name = ?", (name,)
        ).fetchone()
        kept.count, kept.size = left, size or 0
        return dropped

    def _write_failures(self, fold: RunFold) -> None:
        failures = fold.failures
        changed = [failures.kinds[print_] for print_ in failures.changed]
        failures.changed.clear()
        self._connection.executemany(
            "INSERT OR REPLACE INTO kind VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                _row(
                    *(k.id, k.stage, k.print, k.error, k.traceback, k.n, k.first, k.last),
                    *(k.minutes.encode(), k.minutes.step),
                )
                for k in changed
            ],
        )
        samples, failures.samples = failures.samples, []
        self._connection.executemany(
            "INSERT INTO sample_item VALUES (?, ?, ?, ?)",
            [_row(s.kind, s.item, s.at, int(s.letter)) for s in samples],
        )

    def _write_jobs(self, fold: RunFold) -> None:
        changed = [fold.jobs[job] for job in fold.changed_jobs]
        fold.changed_jobs.clear()
        self._connection.executemany(
            f"INSERT OR REPLACE INTO job ({', '.join(JOB_COLUMNS)}) VALUES ({', '.join('?' * len(JOB_COLUMNS))})",
            [_row(*(getattr(job, column) for column in JOB_COLUMNS)) for job in changed],
        )
        steps, fold.steps = fold.steps, []
        self._connection.executemany(
            "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_row(s.job, s.attempt, s.n, s.name, s.result, s.code, s.seconds) for s in steps],
        )

    def _write_timings(self, fold: RunFold) -> None:
        changed = {stage: fold.timings[stage].total for stage in fold.changed_timings}
        fold.changed_timings.clear()
        self._connection.executemany(
            "INSERT OR REPLACE INTO timing VALUES (?, ?, ?)",
            [_row(stage, *times.encode()) for stage, times in changed.items()],
        )

    def _write_series(self, fold: RunFold) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?)",
            [_row(name, each.start, each.step, each.encode()) for name, each in fold.series.items()],
        )


def _column(value: Any) -> Any:
    """Return what a column can hold: text that is no UTF-8 spelt out, lists and the like as JSON."""
    if value is None or isinstance(value, int | float | bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Within JSON what this spells out is JSON again, and comes back as it was.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _row(*values: Any) -> tuple[Any, ...]:
    return tuple(map(_column, values))


def _facts_of(begin: Mapping[str, Any]) -> dict[str, Any]:
    """Add to what the runner says of the run what can be found out without it."""
    text = begin.get("text") or ""
    own = {
        "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
        "host": socket.gethostname(),
        "modules": {path: _digest(Path(path)) for path in begin.get("modules", ())},
        "versions": {
            "mprun": __version__,
            "python": sys.version.split()[0],
            "sqlite": sqlite3.sqlite_version,
        },
    }
    return {
        key: value for key, value in begin.items() if key not in ("modules", "folder", "incarnation")
    } | own


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

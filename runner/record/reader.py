"""Reads the database of one run, which may be written meanwhile, be damaged, or be of another version of mprun.

run.db ──► RunView ──► facts · incarnations · events · kinds of failures · jobs · times · the report
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runner.errors import MprunError
from runner.events.base import Event
from runner.events.catalogue import KINDS
from runner.events.item_times import ItemTimes
from runner.events.report import Report, ReportBuilder, counted_up, item_seconds
from runner.events.report_reader import read_report
from runner.events.run import QueueCounts, RunFinished, RunOutcome
from runner.facts import dataclass
from runner.record.fold import RunFold
from runner.record.refold import read_fold
from runner.record.schema import DATABASE, SIGNS_OF_LIFE, VERSION, open_to_read
from runner.record.series import Series
from runner.spec.obstacles import Reached
from runner.store.run_lock import read_ended

_JSON_FACTS = frozenset(
    {
        "included",
        "params",
        "overrides",
        "args",
        "argv",
        "jobs",
        "modules",
        "versions",
        "report",
        "progress",
        "obstacles",
    }
)


class RecordDamaged(MprunError):
    """The database of a run is missing or can't be read."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One of the runner's processes over the same run."""

    n: int
    pid: int | None
    pid_start: int | None
    boot_id: str | None
    began: float
    ended: float | None
    """When it ended, or was last heard of; None of the last one where that has not ended."""
    outcome: str | None
    """None where it has not ended, or was killed."""


@dataclass(frozen=True, slots=True)
class LastCut:
    """Where a run can be gone on from."""

    at: float
    unfinished: int
    """Items that wait, those in hand among them."""
    in_hand: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was kept."""

    id: int
    at: float
    name: str
    level: int
    stage: str | None
    worker: str | None
    fields: Mapping[str, Any]


class RunView:
    """A look into one run. Each question is a short transaction, so that the writer's log does not grow for it."""

    def __init__(self, folder: Path) -> None:
        """Open it. Raises RecordDamaged."""
        self.folder = folder
        self.run = folder.name
        try:
            self._connection = open_to_read(folder / DATABASE)
            (self.version,) = self._connection.execute("PRAGMA user_version").fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecordDamaged(f"the record of run '{folder.name}' can't be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Have several questions answered as of one moment. The writer's log grows meanwhile."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):  # nothing was written
                self._connection.execute("ROLLBACK")

    @property
    def note(self) -> str | None:
        """What to say of a database of another version; None of one of this."""
        if self.version == VERSION:
            return None
        return (
            f"the record of run '{self.run}' is of version {self.version}, and this mprun writes {VERSION}: "
            "it is shown as far as it is known"
        )

    def facts(self) -> dict[str, Any]:
        """Return all that is known of the run as a whole; the report from beside it where it has no end itself."""
        known = {row["key"]: _fact(row["key"], row["value"]) for row in self.rows("SELECT * FROM fact")}
        if "outcome" not in known and (report := (read_ended(self.folder) or {}).get("report")):
            known["report"] = report
        return known

    def incarnations(self) -> list[Incarnation]:
        """Return the processes that ran it, in order."""
        names = Incarnation.__slots__
        return [
            Incarnation(**{name: row[name] for name in names})
            for row in self.rows("SELECT * FROM incarnation ORDER BY n")
        ]

    def last_cut(self) -> LastCut | None:
        """Say where the run can be gone on from; None where it can't be."""
        for row in self.rows("SELECT at, unfinished, in_hand FROM cut"):
            return LastCut(*row)
        return None

    def reached(self) -> Reached | None:
        """Say how far the run was at its last cut, without reading the whole of it; None where there is none."""
        for row in self.rows("SELECT told FROM cut"):
            told = _json(row["told"], {})
            queues = self.rows("SELECT queue, told FROM account")
            done = {each["queue"]: _done_in(_json(each["told"], {})) for each in queues}
            return Reached(told.get("ended", ()), told.get("closed", ()), told.get("added", {}), done)
        return None

    def last_moment(self, incarnation: int) -> float | None:
        """Return when the last event or cut of an incarnation was that is known."""
        found = [row["at"] for query in SIGNS_OF_LIFE for row in self.rows(query, (incarnation,))]
        return max((at for at in found if at is not None), default=None)

    def events(self, name: str = "%", worker: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        """Yield the events whose names are like `name`, of one worker or of all, behind the one numbered `after`."""
        rows = self.rows(
            "SELECT id, at, name, level, stage, worker, fields FROM event"
            " WHERE id > ? AND name LIKE ? AND (? IS NULL OR worker = ?) ORDER BY id",
            (after, name, worker, worker),
        )
        yield from map(_stored, rows)

    def event_page(
        self, words: str = "", name: str = "%", *, before: int | None = None, after: int = 0, most: int = 200
    ) -> list[StoredEvent]:
        """
        Return the last `most` events that have some words in them, oldest first, all of them before one and behind one.

        Behind `after` they are the first, where no `before` is given and `after` is.
        """
        is_forward = before is None and after > 0
        like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self.rows(
            "SELECT id, at, name, level, stage, worker, fields FROM event WHERE id > ? AND id < ? AND name LIKE ?"
            " AND (name LIKE ? ESCAPE '\\' OR worker LIKE ? ESCAPE '\\' OR fields LIKE ? ESCAPE '\\')"
            f" ORDER BY id {'ASC' if is_forward else 'DESC'} LIMIT ?",
            (after, before if before is not None else 1 << 62, name, like, like, like, most),
        )
        return [_stored(row) for row in (rows if is_forward else reversed(rows))]

    def fold(self) -> RunFold:
        """Return all that was counted of its events. Raises RecordDamaged."""
        try:
            return read_fold(self._connection)
        except sqlite3.Error as error:
            raise RecordDamaged(f"the record of run '{self.run}' can't be read: {error}") from error

    def kinds(self) -> list[dict[str, Any]]:
        """Return the kinds of failures, the most frequent first, each with its samples."""
        kinds = self.rows(
            "SELECT id, stage, print, error, traceback, n, first, last FROM kind ORDER BY n DESC, id"
        )
        samples = self.rows("SELECT kind, item, at, letter FROM sample_item ORDER BY rowid")
        return [
            {
                **dict(row),
                "samples": [
                    {"item": each["item"], "at": each["at"], "letter": bool(each["letter"])}
                    for each in samples
                    if each["kind"] == row["id"]
                ],
            }
            for row in kinds
        ]

    def jobs(self) -> list[dict[str, Any]]:
        """Return what is known of each job."""
        rows = map(dict, self.rows("SELECT * FROM job ORDER BY began, id"))
        read = ("outputs", "key")
        return [{**row, **{name: _json(row.get(name), None) for name in read}} for row in rows]

    def series(self, name: str) -> Series | None:
        """Return one number over time."""
        for row in self.rows("SELECT start, step, body FROM series WHERE name = ?", (name,)):
            return Series.decode(row["start"], row["step"], row["body"])
        return None

    def all_series(self) -> dict[str, Series]:
        """Return all numbers over time, by name."""
        rows = self.rows("SELECT name, start, step, body FROM series ORDER BY name")
        try:
            return {row["name"]: Series.decode(row["start"], row["step"], row["body"]) for row in rows}
        except ValueError as error:
            raise RecordDamaged(f"the record of run '{self.run}' can't be read: {error}") from error

    def timings(self) -> dict[str, ItemTimes]:
        """Return how long the items of each stage took, over all incarnations."""
        rows = self.rows("SELECT stage, buckets, slowest FROM timing")
        try:
            return {row["stage"]: ItemTimes.decode(row["buckets"], row["slowest"]) for row in rows}
        except ValueError as error:
            raise RecordDamaged(f"the record of run '{self.run}' can't be read: {error}") from error

    def report(self, facts: Mapping[str, Any] | None = None) -> Report:
        """Return the report of the run; of one that has not come to its end what is known, as `broken off`."""
        known = self.facts() if facts is None else facts
        # Where the record has no end the times in it are old, and those of the report are not.
        has_end = "outcome" in known or not known.get("report")
        report, timings = self._report(known), self.timings() if has_end else {}
        stages = (
            replace(stage, **item_seconds(timings[stage.name])) if stage.name in timings else stage
            for stage in report.stages
        )
        return replace(report, stages=tuple(stages))

    def _report(self, known: Mapping[str, Any]) -> Report:
        if isinstance(known.get("report"), dict):
            try:
                return read_report(known["report"])
            except ValueError as error:
                raise RecordDamaged(f"the report of run '{self.run}' can't be read: {error}") from error
        return self._broken_off(known)

    def _broken_off(self, facts: Mapping[str, Any]) -> Report:
        """Fold what was kept of the events, and the last snapshot for what only the end would have told."""
        builder = ReportBuilder()
        lives = self.incarnations()
        last = began = lives[-1].began if lives else 0.0
        for stored in self.events():
            event = as_event(stored, self.run)
            if event is not None:
                builder.observe(event)
                last = stored.at
        progress = facts.get("progress") or {}
        names = QueueCounts.__annotations__
        queues: Any = [{k: q[k] for k in names if k in q} for q in progress.get("queues", ())]
        end = RunFinished(
            outcome=RunOutcome.INTERNAL,
            exitcode=0,
            reason=None,
            seconds=max(last - began, progress.get("elapsed", 0.0)),
            queues=queues,
        )
        builder.observe(end.stamped(last, self.run))
        report = builder.report()
        counts = {each["name"]: each for each in progress.get("stages", ())}
        stages = tuple(
            counted_up(stage, counts[stage.name], report.seconds)
            if stage.name in counts and not (stage.received or stage.sent)
            else stage
            for stage in report.stages
        )
        return replace(report, stages=stages)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all that a query gives; nothing where a database of another version has no such table."""
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if "no such" in str(error):
                return []
            raise RecordDamaged(f"the record of run '{self.run}' can't be read: {error}") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecordDamaged(f"the record of run '{self.run}' can't be read: {error}") from error


def _stored(row: sqlite3.Row) -> StoredEvent:
    known = {key: row[key] for key in ("id", "at", "name", "level", "stage", "worker")}
    return StoredEvent(**known, fields=_json(row["fields"], {}))


def _done_in(account: Mapping[str, Any]) -> int:
    return sum(part.get("done", 0) for part in account.get("partitions", ()))


def as_event(stored: StoredEvent, run: str) -> Event | None:
    """Make an event again; None of a kind, or with fields, that only another version knows."""
    try:
        return KINDS[stored.name](**stored.fields).stamped(stored.at, run)
    except (KeyError, TypeError, ValueError):
        return None


def _fact(key: str, value: Any) -> Any:
    return _json(value, None) if key in _JSON_FACTS else value


def _json(text: Any, otherwise: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return otherwise

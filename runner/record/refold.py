"""Reads back what a fold had become when it was written last, so that the next incarnation of a run goes on with it.

run.db ──► read_fold ──► RunFold: kinds of failures, jobs, series, times, how many of which event there are

So a run that was killed ten times has one count of each failure, and one curve of each number.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

from runner.events.item_times import ItemTimes
from runner.record.failures import FailureKind, FailureKinds
from runner.record.fold import COUNTED, FAILURES, JOB_COLUMNS, JobRow, RunFold, StageTiming, event_key
from runner.record.series import Series


def read_fold(connection: sqlite3.Connection) -> RunFold:
    """Return what was known of a run. Raises `sqlite3.Error`."""
    failures = FailureKinds({kind.print: kind for kind in _kinds(connection)})
    return RunFold(
        jobs={job.id: job for job in _jobs(connection)},
        failures=failures,
        series=_series(connection),
        timings=_timings(connection),
        progress=_progress(connection),
        left_out=_fact(connection, "left_out") or 0,
        of_kind=_events_of_kind(connection, failures),
    )


def _progress(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """Return the last snapshot, which stands until there is another; what that incarnation took says nothing now."""
    found = json.loads(_fact(connection, "progress") or "null")
    return None if found is None else {**found, "elapsed": 0.0}


def _fact(connection: sqlite3.Connection, key: str) -> Any:
    found = connection.execute("SELECT value FROM fact WHERE key = ?", (key,)).fetchone()
    return None if found is None else found[0]


def _kinds(connection: sqlite3.Connection) -> list[FailureKind]:
    sampled = dict(connection.execute("SELECT kind, count(*) FROM sample_item GROUP BY kind"))
    rows = connection.execute(
        "SELECT id, stage, print, error, traceback, n, first, last, minutes, step FROM kind ORDER BY id"
    )
    return [
        FailureKind(
            id_, stage, print_, error, trace, first, last, _decoded(first, step, body), n, sampled.get(id_, 0)
        )
        for id_, stage, print_, error, trace, n, first, last, body, step in rows
    ]


def _jobs(connection: sqlite3.Connection) -> list[JobRow]:
    rows = connection.execute(f"SELECT {', '.join(JOB_COLUMNS)} FROM job ORDER BY rowid")
    jobs = [JobRow(*row) for row in rows]
    for job in jobs:
        job.outputs, job.key = _mapping(job.outputs), _mapping(job.key)
    return jobs


def _mapping(text: Any) -> dict[str, str] | None:
    found = json.loads(text or "null")
    return found if isinstance(found, dict) else None


def _series(connection: sqlite3.Connection) -> dict[str, Series]:
    rows = connection.execute("SELECT name, start, step, body FROM series")
    return {name: _decoded(start, step, body) for name, start, step, body in rows}


def _timings(connection: sqlite3.Connection) -> dict[str, StageTiming]:
    rows = connection.execute("SELECT stage, buckets, slowest FROM timing")
    try:
        return {stage: StageTiming(ItemTimes.decode(buckets, slowest)) for stage, buckets, slowest in rows}
    except ValueError as error:
        raise sqlite3.DatabaseError(f"times of items in it make no sense: {error}") from error


def _decoded(start: float, step: float, body: bytes) -> Series:
    try:
        return Series.decode(start, step, body)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"a series in it makes no sense: {error}") from error


def _events_of_kind(connection: sqlite3.Connection, failures: FailureKinds) -> Counter[str]:
    """Count what is kept of each kind of event that is kept to a number."""
    of_kind = Counter(
        {event_key(name, kind.print): kind.n for name in COUNTED for kind in failures.kinds.values()}
    )
    rows = connection.execute("SELECT name, stage, count(*) FROM event GROUP BY name, stage")
    of_kind.update({event_key(name, stage): n for name, stage, n in rows if name in FAILURES - COUNTED})
    return of_kind

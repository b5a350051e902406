"""What is written of a run's events stays within bounds, the newest of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runner.record.fold import MOST_EVENTS, RunFold
from runner.record.writer import RunWriter


@pytest.mark.parametrize(
    ("length", "least", "most"), [(10, MOST_EVENTS, MOST_EVENTS + 500), (2000, 400, 1200)]
)
@pytest.mark.quick("10-5000-5500")
def test_of_a_kind_of_event_the_newest_are_kept_by_number_and_by_length(
    tmp_path: Path, length: int, least: int, most: int
) -> None:
    writer = RunWriter(tmp_path, {"pid": os.getpid(), "at": 0.0}, over=False)
    fold, all_of_them = RunFold(), 2 * MOST_EVENTS
    for number in range(all_of_them):
        said = {"worker": "neo", "stage": "s", "message": "x" * length, "fields": {"number": number}}
        fold.take("worker.logged", float(number), "info", said)
        fold.take(
            "worker.ready", float(number), "debug", {"worker": "neo", "stage": "s"}
        ) if number < 3 else None
        if number % 100 == 0:
            writer.commit(fold, float(number))
    writer.commit(fold, 0.0, last=True)
    writer.close()

    with closing(sqlite3.connect(tmp_path / "run.db")) as database:
        counts = dict(database.execute("SELECT name, count(*) FROM event GROUP BY name"))
        first, last = database.execute(
            "SELECT min(at), max(at) FROM event WHERE name = 'worker.logged'"
        ).fetchone()
        (left_out,) = database.execute("SELECT value FROM fact WHERE key = 'left_out'").fetchone()
    kept = counts["worker.logged"]
    assert least <= kept <= most
    assert (3, all_of_them - kept) == (counts["worker.ready"], left_out)
    assert (all_of_them - kept, all_of_them - 1) == (first, last)
    assert (tmp_path / "run.db").stat().st_size < 8_000_000


@pytest.mark.parametrize(("begin", "level"), [({}, 1), ({"fsync": False}, 1), ({"fsync": True}, 2)])
def test_with_fsync_every_transaction_is_on_the_disk_when_it_is_done(
    tmp_path: Path, begin: dict[str, bool], level: int
) -> None:
    writer = RunWriter(tmp_path, {"pid": os.getpid(), "at": 0.0, **begin}, over=False)

    with writer.transaction() as connection:
        assert (level,) == connection.execute("PRAGMA synchronous").fetchone()
    writer.close()

"""Rows of a table: made from the first item or a schema, changed by key, each once whatever comes again."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_handlers import built, prepared

from runner.errors import BatchFailed, OutputFailed
from runner.handlers.outputs import OutputRefused
from runner.handlers.sinks.table_notes import ranges_of

_OPEN: list[Table] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        with suppress(Exception):  # what a test has made of its database may be none
            _OPEN.pop().sink.close()


class Table:
    """A database, and a sink at it whose items have places."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.path = folder / "out.db"
        self.options = {"path": str(self.path), "table": "buns", **options}
        self.places: Sequence[int] = ()
        self.sink = built("sqlite", self.options, places=lambda: self.places)
        _OPEN.append(self)

    def write(self, *items: object, first: int = 0) -> None:
        """Hand over a batch, whose items have places from `first` on."""
        self.places = range(first, first + len(items))
        self.sink.call(list(items))

    def rows(self, query: str = "SELECT * FROM buns") -> list[tuple[Any, ...]]:
        """What is there."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()


def test_a_table_is_made_from_the_first_item(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.write({"name": "cha", "n": 1, "price": 4.5, "raw": b"x", "ok": True}, {"n": 2})

    assert [("cha", 1, 4.5, b"x", 1), (None, 2, None, None, None)] == table.rows()
    assert [("name", "TEXT"), ("n", "INTEGER"), ("price", "REAL"), ("raw", "BLOB"), ("ok", "INTEGER")] == (
        table.rows("SELECT name, type FROM pragma_table_info('buns')")
    )


def test_a_table_is_made_from_a_schema(tmp_path: Path) -> None:
    table = Table(tmp_path, columns={"n": "INTEGER NOT NULL", "na me": "TEXT DEFAULT 'x'"})
    table.write([1, "a"], {"n": 2, "na me": "b"})

    assert [(1, "a"), (2, "b")] == table.rows()


def test_values_have_the_forms_of_the_table_of_forms(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.write({"day": date(2024, 2, 29), "path": Path("a/b"), "list": [1, None], "map": {"a": 1}})

    assert [("2024-02-29", "a/b", "[1, null]", '{"a": 1}')] == table.rows()


def test_a_row_of_the_same_key_is_changed(tmp_path: Path) -> None:
    table = Table(tmp_path, key=["name"])
    table.write({"name": "cha", "n": 1}, {"name": "custard", "n": 2})
    table.write({"name": "cha", "n": 3}, first=2)

    assert [("cha", 3), ("custard", 2)] == table.rows()


def test_what_is_in_already_is_left_out(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.write({"n": 0}, {"n": 1}, {"n": 2})
    table.write({"n": 1}, first=1)
    table.write({"n": 2}, {"n": 3}, first=2)

    assert [(0,), (1,), (2,), (3,)] == table.rows()
    assert [("run/queue/buns", 0, 4)] == table.rows("SELECT * FROM mprun_done")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"n": 1, "naem": 2}, r"\$\.naem: there is no such column; did you mean 'name'\?"),
        ({"n": math.nan}, r"\$\.n: nan has no form"),
        ({"n": {1}}, r"\$\.n: set has no form"),
        ({"n": 2**70}, r"\$\.n: the number has more than 64 bits"),
        ({"n": None}, "NOT NULL constraint failed: buns.n"),
        ([1], r"\$: a row of 2 values is expected, got 1"),
        (7, r"\$: a row is a mapping or a list, got int"),
    ],
)
def test_what_is_no_row_fails_alone_and_the_others_are_in(tmp_path: Path, item: object, message: str) -> None:
    table = Table(tmp_path, columns={"n": "INTEGER NOT NULL", "name": "TEXT"})

    with pytest.raises(BatchFailed) as raised:
        table.write({"n": 0}, item, {"n": 2})

    assert [1] == list(raised.value.errors)
    with pytest.raises(Exception, match=message):
        raise raised.value.errors[1]
    assert [(0,), (2,)] == table.rows("SELECT n FROM buns")
    assert [(0, 1), (2, 3)] == table.rows("SELECT start, stop FROM mprun_done")


def test_a_database_that_can_not_be_written_is_no_items_fault(tmp_path: Path) -> None:
    table = Table(tmp_path, columns={"n": "INTEGER"})
    with closing(sqlite3.connect(table.path)) as rows:
        rows.execute("PRAGMA user_version = 1")
    read_only = sqlite3.connect(f"file:{table.path}?mode=ro", uri=True)
    read_only.close()
    table.write({"n": 1})
    with closing(sqlite3.connect(table.path)) as rows:
        rows.execute("DROP TABLE buns")

    with pytest.raises(OutputFailed, match=r"out\.db, table 'buns': no such table: buns"):
        table.write({"n": 2}, first=1)


def test_a_key_without_an_index_is_said(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "out.db")) as rows:
        rows.execute("CREATE TABLE buns (n)")
    table = Table(tmp_path, key=["n"])

    with pytest.raises(OutputFailed, match="ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE"):
        table.write({"n": 1})


def test_nothing_of_ours_stays_in_a_run_that_has_ended_well(tmp_path: Path) -> None:
    output = prepared("sqlite", {"path": "out.db", "table": "buns"}, tmp_path)
    table = Table(tmp_path)
    table.write({"n": 1})
    output.finish(complete=True, states=None)

    assert [("buns",)] == table.rows("SELECT name FROM sqlite_master")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.db").write_text("no database at all, by far", encoding="utf-8")

    with pytest.raises(OutputRefused, match=r"out\.db: file is not a database"):
        prepared("sqlite", {"path": "out.db", "table": "buns"}, tmp_path)


def test_a_refused_run_leaves_no_database(tmp_path: Path) -> None:
    prepared("sqlite", {"path": "out.db", "table": "buns"}, tmp_path).finish(complete=False, states=None)

    assert [] == list(tmp_path.iterdir())


@given(st.sets(st.integers(0, 50)))
def test_ranges_hold_their_places_and_no_others(places: set[int]) -> None:
    ranges = ranges_of(places)

    assert sorted(places) == [place for start, stop in ranges for place in range(start, stop)]
    assert all(before[1] < after[0] for before, after in pairwise(ranges))

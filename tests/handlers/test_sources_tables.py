"""Rows of Parquet files and of SQLite databases as items."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sources import context, items_of, listed

from runner.errors import HandlerError
from runner.spec.plan import InputShare

ORDERS = [{"item": f"bun {number}", "price": number} for number in range(10)]


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (item TEXT, price INTEGER)")
        connection.executemany("INSERT INTO orders VALUES (:item, :price)", ORDERS)
    return str(path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"table": "orders"}, ORDERS),
        (
            {"query": "SELECT item FROM orders WHERE price > ? ORDER BY price;", "parameters": [8]},
            [{"item": "bun 9"}],
        ),
        (
            {"query": "SELECT price p FROM orders WHERE price = :n", "parameters": {"n": 3}, "count": False},
            [{"p": 3}],
        ),
        ({"query": "WITH few AS (SELECT * FROM orders LIMIT 1) SELECT * FROM few"}, ORDERS[:1]),
    ],
)
def test_a_row_is_a_mapping(shop: str, options: dict[str, Any], expected: list[object]) -> None:
    assert expected == items_of("sqlite", {"path": shop, **options})


@pytest.mark.parametrize(
    "made", ["VIEW few AS", "TABLE few (item PRIMARY KEY, price) WITHOUT ROWID; INSERT INTO few"]
)
def test_what_has_no_rowid_is_read_too(shop: str, made: str) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.executescript(f"CREATE {made} SELECT * FROM orders WHERE price < 3")

    assert ORDERS[:3] == items_of("sqlite", {"path": shop, "table": "few"})


@pytest.mark.parametrize("offset", [0, 3, 10, 12])
def test_whoever_takes_a_readers_place_goes_on_with_the_row_that_is_next(shop: str, offset: int) -> None:
    query = {"path": shop, "query": "SELECT * FROM orders ORDER BY price DESC"}

    assert ORDERS[::-1][offset:] == items_of("sqlite", query, context(offset))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "order"}, "shop.db': no such table: order; did you mean 'orders'?"),
        ({"query": "SELEC 1"}, 'near "SELEC": syntax error'),
        ({"query": "SELECT 1 a, 2 a"}, "the query has two columns 'a'"),
        ({"query": "DELETE FROM orders", "count": False}, "attempt to write a readonly database"),
        ({"query": "SELECT ?", "parameters": []}, "The current statement uses 1, and there are 0 supplied"),
        ({}, "reads a `table`, or what a `query` gives: one of them"),
    ],
)
def test_what_can_not_be_asked_is_named(shop: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(HandlerError) as caught:
        items_of("sqlite", {"path": shop, **options})

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "there is no file"), (b"x" * 5000, "file is not a database")]
)
def test_a_database_that_is_none_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "shop.db").write_bytes(content)

    with pytest.raises(HandlerError, match=words):
        items_of("sqlite", {"path": str(tmp_path / "shop.db"), "table": "orders"})


def test_how_many_rows_there_are_is_known_before_the_first(shop: str) -> None:
    told: list[tuple[int, int]] = []

    items_of("sqlite", {"path": shop, "table": "orders"}, context(progress=lambda *each: told.append(each)))

    assert [(10, 10)] == told


def parquet(folder: Path, files: int = 2) -> dict[str, object]:
    """Write files of ten rows, three in a group, and return the options that read them all."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    for number in range(files):
        table = pa.Table.from_pylist([{"file": number, **order} for order in ORDERS])
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=3)
    return {"path": str(folder / "*.parquet")}


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 20])
def test_row_groups_are_shared_and_gone_on_with(tmp_path: Path, workers: int) -> None:
    options = parquet(tmp_path)
    inputs = listed("parquet", options)

    def each(offset: int = 0) -> list[list[object]]:
        shares = [InputShare(at, workers) for at in range(workers)]
        return [items_of("parquet", options, context(offset, share, inputs)) for share in shares]

    whole = each()

    assert [{"file": number, **order} for number in range(2) for order in ORDERS] == [
        r for p in whole for r in p
    ]
    assert all([part[offset:] for part in whole] == each(offset) for offset in (1, 3, 5, 30))


def test_columns_are_chosen_and_a_missing_one_is_named(tmp_path: Path) -> None:
    options = parquet(tmp_path, files=1)

    assert [{"price": n} for n in range(10)] == items_of("parquet", {**options, "columns": ["price"]})
    with pytest.raises(HandlerError, match=r"0\.parquet' has no column 'prise'; did you mean 'price'\?"):
        items_of("parquet", {**options, "columns": ["prise"]})


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    parquet(tmp_path)
    (tmp_path / "bad.parquet").write_text("no")

    with pytest.raises(HandlerError, match=r"bad\.parquet' can't be read as Parquet: "):
        items_of("parquet", {"path": str(tmp_path / "bad.parquet")})


def test_of_two_columns_of_one_name_none_is_left_out_unsaid(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    path = str(tmp_path / "twice.parquet")
    pq.write_table(pa.table([[1], [2], [3]], names=["a", "b", "a"]), path)

    assert [{"b": 2}] == items_of("parquet", {"path": path, "columns": ["b"]})
    for columns in ({}, {"columns": ["a", "b"]}):
        with pytest.raises(HandlerError, match=r"twice\.parquet' has two columns 'a'"):
            items_of("parquet", {"path": path, **columns})


def test_a_value_that_python_has_none_for_is_named_with_its_file_and_column(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    path = str(tmp_path / "times.parquet")
    times = pa.array([10**18, None], pa.duration("s"))
    pq.write_table(pa.table({"n": [1, 2], "took": times}), path)

    with pytest.raises(
        HandlerError, match=r"times\.parquet': column 'took' has what Python has no value for: "
    ):
        items_of("parquet", {"path": path})


def test_how_many_rows_there_are_in_files_is_known_from_their_ends(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    items_of("parquet", parquet(tmp_path), context(progress=lambda *each: told.append(each)))

    assert (20, 20) == told[-1]


@pytest.mark.parametrize(
    ("kind", "module", "name", "words"),
    [
        ("parquet", "pyarrow.parquet", "a.parquet", "`parquet` needs the package 'pyarrow"),
        (
            "lines",
            "zstandard",
            "a.zst",
            "a .zst file needs the package 'zstandard': pip install 'mprun[zstd]'",
        ),
        (
            "lines",
            "fsspec",
            "memory://a",
            "'memory://a' needs the package 'fsspec': pip install 'mprun[fsspec]'",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, module: str, name: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.zst").touch()
    (tmp_path / "a.parquet").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(HandlerError) as caught:
        items_of(kind, {"path": name})

    assert words in str(caught.value)
    assert "pip install 'mprun[" in str(caught.value)


def test_zstandard_is_read(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    whole = zstandard.compress("\n".join(map(str, range(100_000))).encode())
    (tmp_path / "a.zst").write_bytes(whole + zstandard.compress(b"\nnext"))
    (tmp_path / "cut.zst").write_bytes(whole[: len(whole) // 2])

    assert [*map(str, range(100_000)), "next"] == items_of("lines", {"path": str(tmp_path / "a.zst")})
    with pytest.raises(HandlerError, match=r"cut\.zst' is cut short"):
        items_of("lines", {"path": str(tmp_path / "cut.zst")})


def test_a_url_is_read_by_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://lines.txt", "wb") as file:
        file.write(b"a\nb\n")

    assert ["a", "b"] == items_of("lines", {"path": "memory://lines.txt"})
    with pytest.raises(HandlerError, match="'memory://none' can't be opened: "):
        items_of("lines", {"path": "memory://none"})

"""Columns: what goes into one, and what a spool becomes, whoever makes it."""

from __future__ import annotations

import errno
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet  # type: ignore[import-untyped]
from sink_handlers import built, flush, prepared

from runner.handlers.outputs import OutputRefused
from runner.handlers.sinks.forms import FormError
from runner.handlers.sinks.parquet import convert


def written(folder: Path, *batches: list[dict[str, Any]], closes: bool = True, **options: Any) -> list[Any]:
    """Write batches, each in a flush of its own, and read what comes of them."""
    options = {"path": "out", **options}
    output = prepared("parquet", options, folder)
    handler = built("parquet", options, prepared=output.prepared)
    for batch in batches:
        for item in batch:
            handler.call(item)
        flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    if closes:
        handler.close()
    output.finish(complete=True, states={"neo": state})
    found: list[Any] = parquet.read_table(folder / "out").to_pylist()
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (0.5, 0.5),
        ("包", "包"),
        (b"x", b"x"),
        (True, True),
        (date(2024, 2, 29), date(2024, 2, 29)),
        (datetime(2024, 2, 29, 1), datetime(2024, 2, 29, 1)),
        (datetime(2024, 2, 29, 1, tzinfo=UTC), datetime(2024, 2, 29, 1, tzinfo=UTC)),
        (Decimal("0.10"), "0.10"),
        (Path("a/b"), "a/b"),
        ([1, 2], [1, 2]),
        ({"a": 1}, '{"a": 1}'),
        (np.float32(0.5), 0.5),
        (np.array([[1.5], [2.5]]), [[1.5], [2.5]]),
        (None, None),
    ],
    ids=str,
)
def test_values_are_columns_of_their_type(tmp_path: Path, value: object, expected: object) -> None:
    assert [{"a": expected}, {"a": None}] == written(tmp_path, [{"a": value}], [{}])


def test_a_column_that_begins_with_nothing_gets_the_type_of_what_comes(tmp_path: Path) -> None:
    assert [{"a": None}, {"a": 1.0}, {"a": 0.5}] == written(tmp_path, [{"a": None}], [{"a": 1}], [{"a": 0.5}])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"n": "x"}, r"\$\.n: a text, and the column has numbers; make them alike"),
        ({"n": 2**70}, r"\$\.n: the number has more than 64 bits"),
        ({"n": {1}}, r"\$\.n: set has no form"),
        ({"m": 1}, r"\$\.m: there is no such column; known here: n, l"),
        ({"l": [1, "x"]}, r"\$\.l: it can't be a list of one kind"),
        ([1], r"\$: a row is a mapping, got list"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_others_are_written(
    tmp_path: Path, item: Any, message: str
) -> None:
    output = prepared("parquet", {"path": "out"}, tmp_path)
    handler = built("parquet", {"path": "out"}, prepared=output.prepared)
    handler.call({"n": 1, "l": None})
    with pytest.raises(FormError, match=message):
        handler.call(item)
    handler.call({"n": 2, "l": None})
    flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    handler.close()
    output.finish(complete=True, states={"neo": state})

    assert [1, 2] == parquet.read_table(tmp_path / "out").column("n").to_pylist()


def test_a_worker_that_did_not_come_to_its_close_leaves_that_to_another_process(tmp_path: Path) -> None:
    assert [{"a": 1}, {"a": 2}] == written(tmp_path, [{"a": 1}], [{"a": 2}], closes=False)
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


def test_rows_are_in_groups(tmp_path: Path) -> None:
    written(tmp_path, [{"a": n} for n in range(10)], [{"a": n} for n in range(10)], rows=4)

    groups = parquet.ParquetFile(tmp_path / "out").metadata
    assert 4 == max(groups.row_group(index).num_rows for index in range(groups.num_row_groups))


def test_a_run_without_items_leaves_a_file_without_columns(tmp_path: Path) -> None:
    assert [] == written(tmp_path)
    assert [] == parquet.read_table(tmp_path / "out").column_names


COLUMNS = {
    "id": "int16",
    "at": "timestamp[ms, UTC]",
    "price": "decimal128(6, 2)",
    "tags": "list<string>",
    "f": "float32",
}


@pytest.mark.parametrize("together", [True, False])
def test_columns_have_the_types_that_are_declared(tmp_path: Path, together: bool) -> None:
    row = {"tags": ["a"], "at": datetime(2024, 2, 29, tzinfo=UTC), "id": 1, "price": Decimal("1.50")}
    output = prepared("parquet", {"path": "out", "columns": COLUMNS}, tmp_path)
    handler = built("parquet", {"path": "out", "columns": COLUMNS}, prepared=output.prepared)
    full = {**row, "f": 0.5}
    assert handler.call_many is not None
    assert not together or handler.call_many([full, full])
    for each in [] if together else [full, row]:
        handler.call(each)
    flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    handler.close()
    output.finish(complete=True, states={"neo": state})

    found = parquet.read_table(tmp_path / "out")
    assert ["int16", "timestamp[ms, tz=UTC]", "decimal128(6, 2)", "list<element: string>", "float"] == [
        str(each.type) for each in found.schema
    ]
    assert [full, full if together else {**full, "f": None}] == found.select(list(full)).to_pylist()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"id": 2**15}, r"\$\.id: expected int16, got 32768"),
        ({"id": 1.5}, r"\$\.id: expected int16, got 1\.5"),
        ({"id": float("nan")}, r"\$\.id: expected int16, got nan"),
        ({"id": "1"}, r"\$\.id: expected int16, got '1'"),
        ({"at": "soon"}, r"\$\.at: expected timestamp\[ms, tz=UTC\], got 'soon'"),
        ({"price": Decimal("1.234")}, r"\$\.price: expected decimal128\(6, 2\), got Decimal\('1\.234'\)"),
        ({"tags": [1]}, r"\$\.tags: expected list<item: string>, got \[1\]"),
        ({"idd": 1}, r"\$\.idd: there is no such column; did you mean 'id'\?"),
    ],
)
def test_what_a_declared_column_does_not_take_is_refused(tmp_path: Path, item: Any, message: str) -> None:
    output = prepared("parquet", {"path": "out", "columns": COLUMNS}, tmp_path)
    handler = built("parquet", {"path": "out", "columns": COLUMNS}, prepared=output.prepared)
    full = dict.fromkeys(COLUMNS)

    with pytest.raises(FormError, match=message):
        handler.call(item)
    assert handler.call_many is not None
    assert handler.call_many([full])
    assert not handler.call_many([{**full, **item}])


@pytest.mark.parametrize("value", [np.int32(5), 5.0, np.float64(5)])
def test_a_whole_number_is_one_whatever_it_is_called(tmp_path: Path, value: Any) -> None:
    assert [{"n": 5}] == written(tmp_path, [{"n": value}], columns={"n": "int64"})


@pytest.mark.slow
def test_a_run_without_items_leaves_a_file_with_the_columns_that_are_declared(tmp_path: Path) -> None:
    assert [] == written(tmp_path, columns={"n": "int64"})
    (field,) = parquet.read_schema(tmp_path / "out")
    assert ("n", "int64") == (field.name, str(field.type))


def test_whole_numbers_beside_others_are_as_near_as_a_double_gets(tmp_path: Path) -> None:
    big = 2**60 + 1

    assert [{"n": float(big)}, {"n": 0.5}, {"n": float(big)}] == written(
        tmp_path, [{"n": big}], [{"n": 0.5}, {"n": big}]
    )


def test_half_characters_are_escaped(tmp_path: Path) -> None:
    assert [{"n": "\\udcff"}] == written(tmp_path, [{"n": "\udcff"}])


@pytest.mark.parametrize(("path", "made"), [("out", Path.mkdir), ("out/", Path.touch)])
def test_something_else_in_its_place_is_refused(tmp_path: Path, path: str, made: Any) -> None:
    made(tmp_path / "out")

    with pytest.raises(OutputRefused, match="is to be written"):
        prepared("parquet", {"path": path}, tmp_path)


def test_a_run_that_makes_the_file_already_is_told_of(tmp_path: Path) -> None:
    first = prepared("parquet", {"path": "out"}, tmp_path, run="1")

    with pytest.raises(OutputRefused, match="out: another run writes it"):
        prepared("parquet", {"path": "out"}, tmp_path, run="2")
    first.finish(complete=False, states={})
    prepared("parquet", {"path": "out"}, tmp_path, run="2").finish(complete=False, states={})


def test_what_somebody_else_has_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    output = prepared("parquet", {"path": "out"}, tmp_path)
    (tmp_path / "out").write_text("mine")

    with pytest.raises(OutputRefused, match="out: somebody else has made it while the run wrote to it"):
        output.finish(complete=True, states={})

    assert [("out", "mine")] == [(each.name, each.read_text()) for each in tmp_path.iterdir()]


@pytest.mark.parametrize("closes", [True, False])
def test_what_can_not_be_written_in_the_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr("runner.handlers.sinks.parquet._convert", full)
    if closes:
        with pytest.raises(OSError, match=r"^out: no space is left on the device: make room$"):
            written(tmp_path, [{"a": 1}])
    else:
        with pytest.raises(OSError, match=r"^/x/out: no space is left on the device: make room$"):
            convert("spool", 1, 1, {}, "/x/out")

"""Columns: what goes into one, and what a spool becomes, whoever makes it."""

from __future__ import annotations

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


@pytest.mark.parametrize(("path", "made"), [("out", Path.mkdir), ("out/", Path.touch)])
def test_something_else_in_its_place_is_refused(tmp_path: Path, path: str, made: Any) -> None:
    made(tmp_path / "out")

    with pytest.raises(OutputRefused, match="is to be written"):
        prepared("parquet", {"path": path}, tmp_path)

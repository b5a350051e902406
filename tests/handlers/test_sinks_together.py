"""What a sink makes of items that it takes together is what it makes of each; with one that is odd none is in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet  # type: ignore[import-untyped]
from sink_handlers import built, flush, prepared

from runner.errors import BatchFailed
from runner.handlers.sinks.forms import FormError

KINDS = {"text": {}, "jsonl": {}, "csv": {}, "csv of lists": {"columns": ["a", "b"]}, "parquet": {}}

ODD = [float("nan"), float("inf"), 2**70, {1}, date(2024, 2, 29), Decimal("0.1"), [1, 2], b"x", None, True]
CELLS = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.floats(width=16), st.sampled_from(ODD))
ROWS = st.one_of(
    st.fixed_dictionaries({"a": CELLS, "b": CELLS}),
    st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.floats(-9, 9)}),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), CELLS),
    st.lists(CELLS, max_size=3),
    CELLS,
)


def left(folder: Path, kind: str, batches: list[list[Any]], *, together: bool) -> tuple[list[bool], bytes]:
    """Hand batches to a sink: which items it has taken, and what the file is then."""
    options = {"path": "out", **KINDS[kind]}
    output = prepared(kind.split()[0], options, folder)
    handler = built(kind.split()[0], {**options, "path": str(folder / "out")}, prepared=output.prepared)
    taken: list[bool] = []
    for batch in batches:
        if together and batch and handler.call_many is not None and handler.call_many(list(batch)):
            taken += [True] * len(batch)
            continue
        for item in batch:
            try:
                handler.call(item)
            except FormError:
                taken.append(False)
            else:
                taken.append(True)
    flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    handler.close()
    output.finish(complete=True, states={"neo": state})
    if kind == "parquet":
        return taken, repr(parquet.read_table(folder / "out").to_pydict()).encode()
    return taken, (folder / "out").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(ROWS, max_size=4), max_size=4))
@pytest.mark.quick("jsonl")
def test_what_is_taken_together_is_as_if_it_had_come_alone(
    tmp_path_factory: pytest.TempPathFactory, kind: str, batches: list[list[Any]]
) -> None:
    folders = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")

    if kind == "parquet":  # of no row at all another process makes the file, which takes its time
        batches = [*batches, [{"a": None, "b": None}]]
    alone, together = (left(folder, kind, batches, together=folder is folders[1]) for folder in folders)

    assert alone == together


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        ("text", ["a", "b"]),
        ("jsonl", [{"a": [1]}, None]),
        ("csv", [{"a": 1, "b": None}, {"b": 0.5, "a": "x"}]),
        ("csv of lists", [[1, 2], ("x", None)]),
        ("parquet", [{"a": 1, "b": None}, {"a": 0.5, "b": "x"}]),
    ],
)
def test_what_most_items_are_is_taken_together(tmp_path: Path, kind: str, items: list[Any]) -> None:
    handler = built(kind.split()[0], {"path": str(tmp_path / "out"), **KINDS[kind]})
    handler.call(items[0])  # which names the columns

    assert handler.call_many is not None
    assert handler.call_many(items)


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), 2**70, {1}], ids=repr)
def test_one_odd_row_of_many_fails_alone_in_a_table(tmp_path: Path, odd: object) -> None:
    rows = [{"n": n, "x": n / 8} for n in range(600)]
    rows[577]["x"] = odd  # type: ignore[assignment]
    places = iter([range(600)])
    handler = built("sqlite", {"path": str(tmp_path / "out"), "table": "t"}, places=lambda: next(places))

    with pytest.raises(BatchFailed) as caught:
        handler.call(rows)

    handler.close()
    with closing(sqlite3.connect(tmp_path / "out")) as found:
        assert [n for n in range(600) if n != 577] == [
            n for (n,) in found.execute("SELECT n FROM t ORDER BY rowid")
        ]
        assert [(0, 577), (578, 600)] == found.execute("SELECT start, stop FROM mprun_done").fetchall()
    assert [577] == list(caught.value.errors)


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite"])
def test_a_first_item_that_names_no_columns_fails(tmp_path: Path, kind: str) -> None:
    options = {"path": str(tmp_path / "out"), **({"table": "t"} if kind == "sqlite" else {})}
    handler = built(kind, options)

    with pytest.raises((FormError, BatchFailed)) as caught:
        handler.call([{}] if kind == "sqlite" else {})

    error = caught.value.errors[0] if isinstance(caught.value, BatchFailed) else caught.value
    assert "names no columns" in str(error)

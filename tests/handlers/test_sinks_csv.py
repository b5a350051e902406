"""Tables as text: columns, their names, and what is no row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_handlers import built, flush, write

from runner.handlers.sinks.forms import FormError


@dataclass
class Hit:
    path: str
    count: int


@pytest.mark.parametrize(
    ("options", "items", "expected"),
    [
        ({}, [{"a": 1, "b": "x"}, {"b": "y"}], "a,b\n1,x\n,y\n"),
        ({}, [Hit("/", 2)], "path,count\n/,2\n"),
        ({"columns": ["b", "a"]}, [{"a": 1, "b": "x"}], "b,a\nx,1\n"),
        ({"columns": ["a", "b"]}, [[1, True], (None, 0.5)], "a,b\n1,true\n,0.5\n"),
        ({}, [[1, 2], [3]], "1,2\n3\n"),
        ({"header": False}, [{"a": 1}], "1\n"),
        ({"delimiter": "\t"}, [{"a": 'x"y', "b": "1\t2"}], 'a\tb\n"x""y"\t"1\t2"\n'),
        ({}, [{"a": [1, None]}], 'a\n"[1, null]"\n'),
    ],
)
def test_items_become_rows(
    tmp_path: Path, options: dict[str, Any], items: list[object], expected: str
) -> None:
    write("csv", {"path": str(tmp_path / "out"), **options}, items)

    assert expected == (tmp_path / "out").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"pathh": "/"}, r"\$\.pathh: there is no such column; did you mean 'path'\?"),
        ({"path": float("nan")}, r"\$\.path: nan has no form"),
        ([1], r"\$: a row of 2 cells is expected, got 1"),
        ("text", r"\$: a row is a mapping or a list, got str"),
        (3, r"\$: a row is a mapping or a list, got int"),
    ],
)
def test_what_is_no_row_is_refused_and_not_written(tmp_path: Path, item: object, message: str) -> None:
    handler = built("csv", {"path": str(tmp_path / "out"), "columns": ["path", "count"]})
    with pytest.raises(FormError, match=message):
        handler.call(item)

    handler.call(["/", 1])
    flush(handler)

    assert "path,count\n/,1\n" == (tmp_path / "out").read_text(encoding="utf-8")


def test_a_row_that_has_no_form_does_not_name_the_columns(tmp_path: Path) -> None:
    handler = built("csv", {"path": str(tmp_path / "out")})
    with pytest.raises(FormError):
        handler.call({"bad": {1}})

    handler.call({"good": 1})
    flush(handler)

    assert "good\n1\n" == (tmp_path / "out").read_text(encoding="utf-8")


def test_a_file_that_has_its_columns_already_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write("csv", {"path": str(path)}, [{"a": 1, "b": 2}])
    write("csv", {"path": str(path)}, [{"b": 4, "a": 3}])

    assert "a,b\n1,2\n3,4\n" == path.read_text(encoding="utf-8")


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write("csv", {"path": str(path)}, [{"a": 1}])

    with pytest.raises(ValueError, match="it has the columns a, and `columns` are b"):
        built("csv", {"path": str(path), "columns": ["b"]})


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r")) | st.integers().map(str)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_what_is_written_is_what_python_reads(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "out"
    path.unlink(missing_ok=True)
    write("csv", {"path": str(path), "columns": ["a", "b"]}, rows)
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.reader(file))

    assert [["a", "b"], *map(list, rows)] == found

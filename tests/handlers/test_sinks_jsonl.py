"""JSON lines: what a consumer wrote is what a producer reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_handlers import built, flush, write

from runner.handlers.kinds import Source, WorkerContext
from runner.handlers.registry import find_kind
from runner.spec.model import Role

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def read(path: Path) -> list[object]:
    context = WorkerContext("neo", "reader", os.getpid(), os.getppid(), role=Role.PRODUCER)
    handler = find_kind("jsonl").build({"path": str(path)}, context)
    assert isinstance(handler, Source)
    return list(handler.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(items=st.lists(JSON, max_size=5))
def test_what_is_written_is_read_back(tmp_path: Path, items: list[Any]) -> None:
    path = tmp_path / "out.jsonl"
    path.unlink(missing_ok=True)
    write("jsonl", {"path": str(path)}, items)

    assert read(path) == items


def test_text_is_written_as_it_is_read_by_people(tmp_path: Path) -> None:
    write("jsonl", {"path": str(tmp_path / "out.jsonl")}, [{"包": "子"}])

    assert '{"包": "子"}\n'.encode() == (tmp_path / "out.jsonl").read_bytes()


def test_half_characters_are_escaped(tmp_path: Path) -> None:
    write("jsonl", {"path": str(tmp_path / "out.jsonl")}, ["\udc80"])

    assert b'"\\udc80"\n' == (tmp_path / "out.jsonl").read_bytes()


def test_folders_are_made_and_lines_added(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.jsonl"
    for item in (1, 2):
        write("jsonl", {"path": str(path)}, [item])

    assert [1, 2] == read(path)


def test_a_last_line_without_an_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("1\n2", encoding="utf-8")
    write("jsonl", {"path": str(path)}, [3])

    assert [1, 2, 3] == read(path)


@pytest.mark.parametrize("item", [{1, 2}, float("nan"), b"x"], ids=["set", "nan", "bytes"])
def test_what_json_cannot_say_is_refused_and_nothing_is_written(tmp_path: Path, item: object) -> None:
    handler = built("jsonl", {"path": str(tmp_path / "out.jsonl")})

    with pytest.raises(ValueError, match=r"^\$\.a\.b\[3\]: "):
        handler.call({"a": {"b": [0, 1, 2, item]}})

    flush(handler)
    handler.close()
    assert [] == read(tmp_path / "out.jsonl")

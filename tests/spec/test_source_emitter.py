"""Plain data as YAML: what is read again is the same data."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.source.emitter import Written, emit, emit_flow
from runner.spec.source.reader import read_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(TEXTS, each), max_leaves=12)


@given(VALUES)
def test_what_is_written_is_read_again_as_the_same(value: Any) -> None:
    assert {"a": value} == read_text(emit({"a": value}), "x").data
    assert {"a": value} == read_text(f"a: {emit_flow(value)}\n", "x").data


@given(VALUES)
def test_comments_change_nothing(value: Any) -> None:
    text = emit({"a": {"b": value}}, lambda path: f"at {path}".encode("ascii", "replace").decode())

    assert {"a": {"b": value}} == read_text(text, "x").data


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a b", "a: a b\n"),
        ("10m", "a: 10m\n"),
        ("on", 'a: "on"\n'),
        ("2026-11-30", 'a: "2026-11-30"\n'),
        ("0777", 'a: "0777"\n'),
        ("1_000", 'a: "1_000"\n'),
        ("x: y", 'a: "x: y"\n'),
        ('say "hi"', 'a: say "hi"\n'),
        ("- x", 'a: "- x"\n'),
        ("包子 0", "a: 包子 0\n"),
        ("one\ntwo\n", "a: |\n  one\n  two\n"),
        ("one\n\ntwo", "a: |-\n  one\n\n  two\n"),
        (math.inf, "a: .inf\n"),
        (Written("3.10"), "a: 3.10\n"),
        ([], "a: []\n"),
    ],
)
def test_a_value_is_written_as_a_person_would(value: object, written: str) -> None:
    assert written == emit({"a": value})


def test_values_of_one_origin_share_a_line_and_others_have_their_own() -> None:
    text = emit({"a": {"b": {"c": 1, "d": 2}, "e": [1, 2]}}, lambda path: "x" if path[-1] != 1 else "y")

    assert "a:\n  b: {c: 1, d: 2}  # x\n  e:\n    - 1            # x\n    - 2            # y\n" == text


def test_marks_of_the_direction_of_text_are_spelled_out() -> None:
    texts = {"a": ["a\u202eb", "a\u2066b\n\nc" + "d" * 200]}

    written = emit(texts)

    assert written.replace("\n", "").isprintable(), written
    assert texts == read_text(written, "x").data

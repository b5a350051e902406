"""Edits in place: the value is the new one, and all that is not of it stays byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.source.edit import apply_edits, inserted, replaced
from runner.spec.source.emitter import emit
from runner.spec.source.reader import read_text


def edited(text: str, new: Any) -> str:
    """Give `v` of a file another value."""
    return apply_edits(text, replaced(read_text(text, "x").root.entries()["v"], new))


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ("v: 1  # one\n", 2, "v: 2  # one\n"),
        ("v: '1'\n", "2", 'v: "2"\n'),
        ("v: [1, 2,  3]  # c\n", [1, 5, 3], "v: [1, 5,  3]  # c\n"),
        ("v: [1, 2,  3]  # c\n", [1, 2, 3, 4], "v: [1, 2,  3,  4]  # c\n"),
        ("v: [1, 2,  3]  # c\n", [2, 3], "v: [2,  3]  # c\n"),
        ("v: [1, 2]\n", [], "v: []\n"),
        ("v: []  # none\n", [1], "v: [1]  # none\n"),
        ("v: {a: 1,   b: 2}\n", {"a": 1, "b": 3}, "v: {a: 1,   b: 3}\n"),
        ("v: {a: 1,   b: 2}\n", {"a": 1, "b": 2, "c": 3}, "v: {a: 1,   b: 2,   c: 3}\n"),
        ("v: {a: 1,   b: 2}\n", {"b": 2}, "v: {b: 2}\n"),
        (
            "v:\n  - 1   # one\n  # before two\n  - 2   # two\n  - 3\nw: 1\n",
            [1, 7, 3],
            "v:\n  - 1   # one\n  # before two\n  - 7   # two\n  - 3\nw: 1\n",
        ),
        (
            "v:\n  - 1   # one\n  - 2   # two\n  - 3\n\nw: 1\n",
            [1, 3, 4],
            "v:\n  - 1   # one\n  - 3\n  - 4\n\nw: 1\n",
        ),
        ("v:\n- 2  # two\n", [1, 2], "v:\n- 1\n- 2  # two\n"),
        ("v:\n- 2\n- 3", [2, 3, 4], "v:\n- 2\n- 3\n- 4"),
        ("v:\r\n- 2\r\n- 3\r\n", [2, 4], "v:\r\n- 2\r\n- 4\r\n"),
        (
            "v:\n  a: 1  # keep\n  b:\n    - x\n",
            {"a": 1, "b": ["x", "z"], "c": None},
            "v:\n  a: 1  # keep\n  b:\n    - x\n    - z\n  c: null\n",
        ),
        (
            "v: [\n    {a: 1},  # the first\n    {a: 2},  # the second\n  ]\n",
            [{"a": 1}, {"a": 3}],
            "v: [\n    {a: 1},  # the first\n    {a: 3},  # the second\n  ]\n",
        ),
        ("x: &a [1]\nv: *a  # shared\n", [2], "x: &a [1]\nv: [2]  # shared\n"),
        ("v: &a [1]  # c\n", [1, 2], "v: &a [1, 2]  # c\n"),
        ("v: &a {a: 1}  # c\n", {"a": 2, "b": 3}, "v: {a: 2, b: 3}  # c\n"),
        ("v:\n  - 包子: 一  # 注\n", [{"包子": "二"}], "v:\n  - 包子: 二  # 注\n"),
    ],
)
def test_a_value_is_replaced_and_nothing_else(before: str, new: Any, after: str) -> None:
    assert after == edited(before, new)


def test_a_value_that_is_the_same_is_left_as_it_is_written() -> None:
    assert "v: {a: 0x10, b: '1'}\n" == edited("v: {a: 0x10, b: '1'}\n", {"b": "1", "a": 16})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v: {a: 1}  # c\n", "v: {a: 1, k: [1, {b: 2}]}  # c\n"),
        ("v:\n  a: 1  # c\nw: 2\n", "v:\n  a: 1  # c\n  k: [1, {b: 2}]\nw: 2\n"),
        ("v: {}\n", "v: {k: [1, {b: 2}]}\n"),
    ],
)
def test_a_key_is_added_where_it_lacks(before: str, after: str) -> None:
    node = read_text(before, "x").root.entries()["v"]

    assert after == apply_edits(before, inserted(node, "k", [1, {"b": 2}]))


TEXTS = st.sampled_from(["x", "y: z", "a # b", "包子", "two lines"])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from("abcd"), each),
    max_leaves=10,
)


@given(VALUES, VALUES)
def test_any_value_can_take_the_place_of_any_other(old: Any, new: Any) -> None:
    text = "# head\n" + emit(
        {"v": {"k": old}, "tail": 1}, lambda path: "note" if path[-1] != "tail" else "end"
    )
    out = apply_edits(text, replaced(read_text(text, "x").root.entries()["v"].entries()["k"], new))

    assert {"v": {"k": new}, "tail": 1} == read_text(out, "x").data
    assert out.startswith("# head\nv:")
    assert out.endswith("# end\n")

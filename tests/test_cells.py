"""Text in a terminal: cells, straight columns, nothing that a terminal would obey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cells import cells, columns, pad, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("neo", 3), ("包子", 4), ("é", 1), ("e\u0301", 1), ("ｆｕｌｌ", 8), ("≤×", 2), ("한국", 4)],
)
def test_cells_are_counted_as_a_terminal_does(text: str, expected: int) -> None:
    assert cells(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 包子", "plain 包子"),
        ("a\tb", "a    b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u3000b", "a\\u3000b"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("👩\u200d🍳", "👩\u200d🍳"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_spelt_out(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text())
def test_visible_text_never_holds_a_control_character(text: str) -> None:
    shown = visible(text)

    assert [c for c in shown if not c.isprintable() and c not in "\u200c\u200d"] == []


def test_padding_counts_cells_and_not_characters() -> None:
    assert pad("包子", 6) + "|" == "包子  |"


def test_columns_are_straight_with_wide_names() -> None:
    lines = columns([["NAME", "N"], ["包子铺", "1"], ["neo", "22"]])

    assert lines == ["NAME    N", "包子铺  1", "neo     22"]

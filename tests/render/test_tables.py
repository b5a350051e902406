"""Tables on a narrow terminal: another form, and every word that a wide one has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.render.tables import table
from runner.text import cells, columns

ROWS = [
    ["WORKER", "STAGE", "DONE", "HOW IT ENDED"],
    ["neo", "chef", "1234567", "SIGTERM, 500ms after it was asked to end: nothing left to do"],
    ["包子师傅", "eater", "0", "-"],
]


@pytest.mark.parametrize("width", [None, 90])
def test_what_has_room_stands_in_straight_columns(width: int | None) -> None:
    assert columns(ROWS) == table(ROWS, width)


def test_what_only_the_last_column_is_too_wide_for_has_that_on_several_lines() -> None:
    assert [
        "WORKER    STAGE  DONE     HOW IT ENDED",
        "neo       chef   1234567  SIGTERM, 500ms after it",
        "                          was asked to end: nothing",
        "                          left to do",
        "包子师傅  eater  0        -",
    ] == table(ROWS, 52)


def test_what_is_too_wide_for_columns_is_a_block_for_each_row() -> None:
    assert [
        "neo",
        "  STAGE         chef",
        "  DONE          1234567",
        "  HOW IT ENDED  SIGTERM, 500ms after",
        "                it was asked to end:",
        "                nothing left to do",
        "包子师傅",
        "  STAGE         eater",
        "  DONE          0",
    ] == table(ROWS, 36)


_CELLS = st.text(st.sampled_from("ab1包 "), max_size=60).map(lambda text: " ".join(text.split()) or "-")


@given(st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=4), st.integers(20, 120))
def test_no_word_is_ever_lost_and_only_a_word_that_is_too_long_goes_beyond_the_edge(
    rows: list[list[str]], width: int
) -> None:
    shown = table([["ONE", "TWO", "THREE"], *rows], width)

    words = [word for row in rows for cell in row for word in cell.split() if cell != "-"]
    told = "\n".join(shown).split()
    longest = max(map(cells, words), default=0)
    assert all(told.count(word) >= words.count(word) for word in words)
    assert all(cells(line) <= max(width, 9 + longest) for line in shown)

"""Text in a terminal: cells, straight columns, nothing that a terminal would obey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.text import cells, clusters, columns, pad, truncate, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("neo", 3), ("包子", 4), ("é", 1), ("e\u0301", 1), ("ｆｕｌｌ", 8), ("≤×", 2), ("한국", 4)],
)
def test_cells_are_counted_as_a_terminal_does(text: str, expected: int) -> None:
    assert cells(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("👨\u200d👩\u200d👧", 2),
        ("👩🏽\u200d🍳", 2),
        ("🏳\ufe0f\u200d🌈", 2),
        ("❤", 1),
        ("❤\ufe0f", 2),
        ("1\ufe0f\u20e3", 2),
        ("👍🏽", 2),
        ("🇨🇳🇩🇪", 4),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 2),
        ("n\u0303\u0323", 1),
        ("\u1112\u1161\u11ab", 2),
        ("包子👨\u200d🍳!", 7),
        ("می\u200cخواهم", 7),
        ("👨\u200d", 2),
        ("\u200d", 0),
    ],
)
def test_what_is_joined_is_counted_as_one(text: str, expected: int) -> None:
    assert cells(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("neo", ["n", "e", "o"]),
        ("a👨\u200d👩\u200d👧b", ["a", "👨\u200d👩\u200d👧", "b"]),
        ("❤\ufe0fe\u0301包", ["❤\ufe0f", "e\u0301", "包"]),
        ("👍🏽👍", ["👍🏽", "👍"]),
        ("\u0301a", ["\u0301", "a"]),
        ("a\u200d", ["a\u200d"]),
    ],
)
def test_a_cluster_holds_what_is_shown_as_one(text: str, expected: list[str]) -> None:
    assert list(clusters(text)) == expected


JOINED = st.text(alphabet="ae包❤👨👩🏽🇨🇳1⌚\u200d\ufe0f\u0301\u20e3\u200c")


@given(JOINED)
def test_clusters_make_up_the_text_and_its_cells(text: str) -> None:
    found = list(clusters(text))

    assert ("".join(found), sum(map(cells, found))) == (text, cells(text))


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("steamer", 7, "steamer"),
        ("steamer", 6, "steam…"),
        ("包子铺", 6, "包子铺"),
        ("包子铺", 5, "包子…"),
        ("包子铺", 4, "包…"),
        ("a👨\u200d👩\u200d👧bc", 4, "a👨\u200d👩\u200d👧…"),
        ("a👨\u200d👩\u200d👧bc", 3, "a…"),
        ("ee\u0301e", 2, "e…"),
    ],
)
def test_a_long_text_is_cut_and_what_is_joined_stays_whole(text: str, most: int, expected: str) -> None:
    assert truncate(text, most) == expected


@given(JOINED, st.integers(1, 12))
def test_a_cut_text_takes_no_more_cells_than_it_may(text: str, most: int) -> None:
    assert cells(truncate(text, most)) <= most


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


def test_columns_are_straight_with_joined_emoji() -> None:
    lines = columns([["👨\u200d👩\u200d👧", "1"], ["❤\ufe0f!", "2"], ["neo", "3"]])

    assert lines == ["👨\u200d👩\u200d👧   1", "❤\ufe0f!  2", "neo  3"]

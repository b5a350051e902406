"""How values compare: as in the expressions of GitHub, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.values import (
    as_number,
    as_text,
    compare,
    contains,
    ends_with,
    format_value,
    is_true,
    starts_with,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "", None, math.nan])
def test_what_is_false(value: object) -> None:
    assert not is_true(value)


@pytest.mark.parametrize("value", [True, 1, -1, "false", "0", " ", [], {}, [0]])
def test_all_else_is_true(value: object) -> None:
    assert is_true(value)


@pytest.mark.parametrize(
    ("left", "sign", "right", "expected"),
    [
        ("Linux", "==", "linux", True),
        ("a", "<", "B", True),
        ("10", "==", 10, True),
        ("0x10", "==", 16, True),
        ("ten", "==", 10, False),
        ("ten", "!=", 10, True),
        ("ten", "<", 10, False),
        ("ten", ">=", 10, False),
        (None, "==", 0, True),
        (None, "==", "", True),
        (None, "==", False, True),
        (None, "==", "a", False),
        (True, "==", 1, True),
        (True, "==", "true", False),
        ("3.10", "==", "3.1", False),
        (3.1, "==", "3.10", True),
        (2, "<", 10, True),
        ("2", "<", "10", False),
        ([1], "==", [1], False),
        ([1], "==", 1, False),
        (10**400, ">", 1, True),
    ],
)
def test_comparisons(left: object, sign: str, right: object, expected: bool) -> None:
    assert expected == compare(sign, left, right)


def test_a_list_is_equal_to_itself_alone() -> None:
    one: list[int] = [1]

    assert (True, False) == (compare("==", one, one), compare("==", one, [1]))


@given(SCALARS, SCALARS)
def test_equal_and_unequal_are_opposites_and_do_not_mind_the_order(left: object, right: object) -> None:
    assert compare("==", left, right) == compare("==", right, left)
    assert compare("==", left, right) != compare("!=", left, right)


@pytest.mark.parametrize(
    ("where", "what", "expected"),
    [
        ("Hello", "ELL", True),
        ("Hello", "x", False),
        ("Hello", None, True),
        (["a", "B"], "b", True),
        (["ab"], "a", False),
        ([1, 2], "2", True),
        ({"3.11, linux": "yes", "3.12, mac": "no"}, "no", True),
        ({"no": "yes"}, "no", False),
        (None, "a", False),
        ("abc", ["a"], False),
        ("abc", {}, False),
        ("", [], False),
    ],
)
def test_what_contains_what(where: object, what: object, expected: bool) -> None:
    assert expected == contains(where, what)


def test_beginnings_and_ends_do_not_mind_the_case() -> None:
    assert starts_with("Release-1", "release")
    assert ends_with("v1.RC", ".rc")
    assert not starts_with("a", "ab")
    assert starts_with(311, 3)


@pytest.mark.parametrize("holds", [starts_with, ends_with])
def test_a_list_or_a_map_is_neither_a_beginning_nor_an_end_nor_has_one(
    holds: Callable[[object, object], bool],
) -> None:
    assert [False] * 4 == [holds("abc", []), holds("abc", {}), holds([], ""), holds({}, None)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (True, "true"), (3.0, "3"), (3.5, "3.5"), ([1], ""), ("x", "x"), (7, "7")],
)
def test_values_as_text(value: object, expected: str) -> None:
    assert expected == as_text(value)


@pytest.mark.parametrize("text", ["1_000", "one", "٣", "9" * 500, "0xzz", "1 2"])
def test_what_spells_no_number(text: str) -> None:
    assert math.isnan(as_number(text))


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)))
def test_what_is_shown_is_short(value: object) -> None:
    assert len(format_value(value)) <= 60


@pytest.mark.parametrize("left", [2**53 + 1, str(2**53 + 1), f" {2**53 + 1} ", hex(2**53 + 1)])
@pytest.mark.parametrize("right", [2**53, str(2**53), float(2**53), f"{2**53}.0"])
def test_whole_numbers_are_compared_to_the_last_digit(left: object, right: object) -> None:
    if not (isinstance(left, str) and isinstance(right, str)):  # two texts are compared as texts
        assert not compare("==", left, right)
        assert compare(">", left, right)
    assert compare("==", left, 2**53 + 1)


@pytest.mark.parametrize(
    ("sign", "left", "right", "expected"),
    [
        ("<", "a", "[", True),
        ("<", "a", "_", True),
        (">", "A", "[", False),
        ("==", "ß", "ss", False),
        ("==", "\N{LATIN SMALL LIGATURE FI}", "fi", False),
        ("==", "\N{LATIN SMALL LETTER DOTLESS I}", "I", False),
        ("==", "Straße", "STRAßE", True),
        ("==", "é", "É", True),
    ],
)
def test_texts_are_compared_by_their_capitals_letter_by_letter_as_on_github(
    sign: str, left: str, right: str, expected: bool
) -> None:
    assert expected is compare(sign, left, right)


def test_a_letter_begins_no_text_that_begins_with_two_of_which_it_is_one() -> None:
    assert not starts_with("İ_x", "i")
    assert starts_with("É_x", "é")

"""What a scalar without quotes means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.source.composer import resolve


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0xFF", 255),
        ("3.10", 3.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("-.inf", -math.inf),
    ],
)
def test_numbers_truth_and_null_are_read_as_such(plain: str, value: object) -> None:
    found = resolve(plain)

    assert (type(value), value) == (type(found), found)


@pytest.mark.parametrize(
    "plain",
    [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "nULL",
        "tRUE",
        "2024-01-31",
        "2001-12-14t21:59:43.10-05:00",
        "12:30:45",
        "190:20",
        "0777",
        "007.5",
        "1_000",
        "0b1",
        "0x",
        "1.2.3",
        "+",
        "-",
        ".",
        "1e",
        "-x",
        "١٢",
        "=",
        "9" * 5000,
        "9" * 5000 + ".0",
    ],
)
def test_what_readers_disagree_about_stays_text(plain: str) -> None:
    assert plain == resolve(plain)


def test_not_a_number_is_one() -> None:
    assert math.isnan(float(resolve(".NaN") or 0))


@given(st.integers(min_value=-(10**900), max_value=10**900))
def test_integers_are_read_as_python_writes_them(number: int) -> None:
    assert number == resolve(str(number))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_as_python_writes_them(number: float) -> None:
    assert number == resolve(repr(number))


@given(st.text(alphabet="0123456789+-.eExob_infaNn:"))
def test_no_text_makes_it_fail(plain: str) -> None:
    assert isinstance(resolve(plain), str | int | float | None)

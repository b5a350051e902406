"""The one table of forms: what stands for a value of Python's in JSON, in text and in a cell."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.handlers.sinks.forms import (
    FormError,
    as_cells,
    as_json,
    in_text,
    item_text,
    json_bytes,
    text_bytes,
)
from runner.spec.references import compile_template


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 2


class Word(StrEnum):
    A = "a"


@dataclass
class Bun:
    name: str
    price: Decimal


class Pair(NamedTuple):
    left: int
    right: object


FORMS: dict[str, tuple[Any, str, str]] = {
    "text": ("包", '"包"', "包"),
    "whole number": (-3, "-3", "-3"),
    "number": (0.1, "0.1", "0.1"),
    "big number": (1e300, "1e+300", "1e+300"),
    "true": (True, "true", "true"),
    "None": (None, "null", "null"),
    "list": ([1, "a"], '[1, "a"]', '[1, "a"]'),
    "tuple": (Pair(1, None), "[1, null]", "[1, null]"),
    "mapping": (MappingProxyType({"a": 1}), '{"a": 1}', '{"a": 1}'),
    "dataclass": (
        Bun("cha", Decimal("1.50")),
        '{"name": "cha", "price": "1.50"}',
        '{"name": "cha", "price": "1.50"}',
    ),
    "datetime": (
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        '"2024-02-29T12:00:00+00:00"',
        "2024-02-29T12:00:00+00:00",
    ),
    "date": (date(2024, 2, 29), '"2024-02-29"', "2024-02-29"),
    "time": (time(1, 2), '"01:02:00"', "01:02:00"),
    "timedelta": (timedelta(minutes=1), "60.0", "60.0"),
    "Decimal": (Decimal("0.10"), '"0.10"', "0.10"),
    "Path": (Path("a/b"), '"a/b"', "a/b"),
    "UUID": (UUID(int=1), f'"{UUID(int=1)}"', str(UUID(int=1))),
    "Enum": (Colour.RED, '"red"', "red"),
    "IntEnum": (Size.BIG, "2", "2"),
    "StrEnum": (Word.A, '"a"', "a"),
    "numpy integer": (np.int64(7), "7", "7"),
    "numpy float32": (np.float32(0.5), "0.5", "0.5"),
    "numpy float64": (np.float64(0.1), "0.1", "0.1"),
    "numpy bool": (np.bool_(True), "true", "true"),
    "numpy text": (np.str_("a"), '"a"', "a"),
    "numpy datetime": (np.datetime64("2024-02-29T01:02"), '"2024-02-29T01:02"', "2024-02-29T01:02"),
    "numpy timedelta": (np.timedelta64(1500, "ms"), "1.5", "1.5"),
    "numpy array": (np.arange(3), "[0, 1, 2]", "[0, 1, 2]"),
}


@pytest.mark.parametrize(("value", "in_json", "as_words"), FORMS.values(), ids=FORMS)
def test_each_form_is_as_the_table_says(value: object, in_json: str, as_words: str) -> None:
    assert (in_json, as_words) == (as_json(value), item_text(value))


@pytest.mark.parametrize(("value", "as_words"), [(form[0], form[2]) for form in FORMS.values()], ids=FORMS)
def test_a_cell_is_the_text_and_none_is_empty(value: object, as_words: str) -> None:
    (cell,) = as_cells([value])  # type: ignore[misc]

    assert ("" if value is None else as_words) == ("" if cell is None else str(cell))


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"a": {"b": [0, 1, 2, math.nan]}}, "$.a.b[3]: nan has no form; None would be `null`"),
        ([-math.inf], "$[0]: -inf has no form; None would be `null`"),
        (Decimal("NaN"), "$: nan has no form; None would be `null`"),
        ({"x y": np.float32("nan")}, "$['x y']: nan has no form; None would be `null`"),
        ({"a": Odd()}, f"$.a: {__name__}.Odd has no form: <odd>"),
        ({"a": b"x"}, "$.a: bytes has no form: b'x'; decode it first"),
        ({"a": {1}}, "$.a: set has no form: {1}; it has no order: make it a list"),
        (1j, "$: complex has no form: 1j"),
        ({"a": {(1, 2): 3}}, "$.a: tuple is no key: (1, 2); write it as text"),
        (CYCLE, f"${'[0]' * 201}: it is nested more than 200 deep, or has itself in it"),
        (np.array([1.0, math.nan]), "$[1]: nan has no form; None would be `null`"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_has_no_form_is_named_by_its_field(item: object, message: str) -> None:
    with pytest.raises(FormError) as raised:
        as_json(item)

    assert message == str(raised.value)


def test_a_cell_without_a_form_is_named_by_its_column() -> None:
    with pytest.raises(FormError, match=r"^\$\.price: nan has no form"):
        as_cells(["cha", math.nan], ("name", "price"))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.binary(max_size=3)
    | st.complex_numbers()
    | st.builds(Path, st.text(st.characters(exclude_characters="\0"), max_size=5))
    | st.integers(-(2**31), 2**31 - 1).map(np.int32)
    | st.floats(width=32).map(np.float32)
    | st.sampled_from(Colour)
)
ITEMS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)


@given(ITEMS)
def test_an_item_has_a_form_that_is_json_on_one_line_or_an_error_that_names_a_field(item: object) -> None:
    try:
        text = as_json(item)
    except FormError as error:
        assert str(error).startswith("$")
    else:
        assert "\n" not in text
        json.loads(json_bytes(text), parse_constant=pytest.fail)


@given(ITEMS)
def test_whatever_has_a_form_in_json_has_one_as_text_and_in_a_cell(item: object) -> None:
    try:
        as_json(item)
    except FormError:
        with pytest.raises(FormError):
            item_text(item)
    else:
        text_bytes(item_text(item)).decode("utf-8", "surrogateescape")
        as_cells([item])


@given(st.text(st.characters(codec=None)))
def test_bytes_of_a_text_are_those_of_a_file_name_again(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")

    assert raw == text_bytes(raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 2, 29, 1, tzinfo=UTC), "2024-02-29T01:00:00+00:00"),
        (timedelta(seconds=90), "90.0"),
        (Colour.RED, "red"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("x", "x"),
    ],
    ids=str,
)
def test_what_is_put_inside_a_text_has_the_form_that_it_has_alone(value: object, expected: str) -> None:
    fill = compile_template("<${{ item.a.b }}>", in_text)

    assert (f"<{expected}>", expected) == (fill({"a": {"b": value}}), item_text(value))


@pytest.mark.parametrize("value", [math.nan, b"x", object()], ids=lambda each: type(each).__name__)
def test_what_has_no_form_is_not_put_inside_a_text(value: object) -> None:
    fill = compile_template("<${{ item.a.b }}>", in_text)

    with pytest.raises(FormError, match=r"^\$\.a\.b: .* has no form"):
        fill({"a": {"b": value}})

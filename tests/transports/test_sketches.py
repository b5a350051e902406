"""What an item looks like as JSON: itself, or what is described of it, in bounded time."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.transports.sketches import sketch


@dataclass
class Page:
    url: str
    body: object


Row = namedtuple("Row", ["id", "name"])


class Odd:
    def __repr__(self) -> str:
        raise ValueError("no")


class Array:
    """Looks like one of numpy's."""

    dtype = "uint8"
    shape = (2000, 4000)

    def __len__(self) -> int:
        raise AssertionError("nobody looks at its members")


@pytest.mark.parametrize(
    ("item", "value", "is_whole"),
    [
        (None, None, True),
        (True, True, True),
        (-3, -3, True),
        (0.5, 0.5, True),
        ("包子", "包子", True),
        ([1, [2, {"a": None}]], [1, [2, {"a": None}]], True),
        ((1, "b"), [1, "b"], True),
        ({"a": {"b": 1.5}}, {"a": {"b": 1.5}}, True),
        (float("nan"), "nan", False),
        (float("inf"), "inf", False),
        (1 << 5000, "<int of 5001 bits>", False),
        (b"ab", "b'ab'", False),
        ({1: 2}, {"1": 2}, False),
        (OrderedDict(a=1), {"a": 1}, False),
        (Page("u", b"x"), {"url": "u", "body": "b'x'"}, False),
        (Row(1, "neo"), {"id": 1, "name": "neo"}, False),
        (Page, repr(Page), False),
        (Array(), "<Array of uint8, shape (2000, 4000)>", False),
        ({"image": Array()}, {"image": "<Array of uint8, shape (2000, 4000)>"}, False),
        (Odd(), "<Odd, whose repr raised ValueError>", False),
        ([Odd()], ["<Odd, whose repr raised ValueError>"], False),
        (list(range(150)), [*range(100), "… 150 in all"], False),
        ("x" * 5000, "x" * 999 + "…", False),
    ],
)
def test_an_item_is_itself_or_described(item: object, value: Any, is_whole: bool) -> None:
    assert (value, is_whole) == tuple(sketch(item))


def test_a_part_that_raises_when_it_is_asked_for_harms_nobody() -> None:
    page = Page("u", 1)
    del page.url

    assert ("<Page, whose repr raised AttributeError>", False) == tuple(sketch(page))


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "item",
    [
        [{"text": "y" * 900, "n": [1.0] * 200}] * 5000,
        {str(n): "z" * 1000 for n in range(10_000)},
        nested(500),
        ["\N{PILE OF POO}" * 1000] * 1000,
        [[[[[1] * 90] * 90] * 90] * 90],
    ],
    ids=["texts", "keys", "deep", "wide characters", "bushy"],
)
def test_what_is_big_is_cut(item: object) -> None:
    drawn = sketch(item)

    assert not drawn.is_whole
    assert len(json.dumps(drawn.value)) < 64_000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_small_json_is_whole_and_comes_back_as_it_was(item: Any) -> None:
    assert (item, True) == tuple(sketch(item))
    assert item == json.loads(json.dumps(sketch(item).value))


def test_an_array_of_eight_megabytes_takes_no_longer_than_its_description() -> None:
    numpy = pytest.importorskip("numpy")
    image = numpy.zeros((1000, 8000), dtype="uint8")

    began = time.process_time()
    for _ in range(100):
        sketch({"image": image, "name": "a"})

    assert time.process_time() - began < 0.1, "a millisecond each"

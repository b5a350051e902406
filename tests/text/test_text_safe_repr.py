"""Words for items and errors: always short, never an exception."""

from __future__ import annotations

import array
import time
from collections import Counter, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.text import describe_error, describe_value, safe_repr, user_traceback

HERE = Path(__file__).parent
ELSEWHERE = HERE / "no-such-package"
Bun = namedtuple("Bun", "chef number")


@dataclass
class Steamer:
    chef: str
    buns: list[int] = field(default_factory=list)


@dataclass(repr=False)
class Sealed:
    word: str

    def __repr__(self) -> str:
        return "<sealed>"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("not today")


class Torn:
    def __repr__(self) -> str:
        return "half \udc80 a character"


class Tensor:
    dtype, shape = "float32", (1000, 1000)

    def __repr__(self) -> str:
        raise AssertionError("a big array must not be written out")


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("neo的包子0", "'neo的包子0'"),
        (7, "7"),
        (None, "None"),
        ((1, "a"), "(1, 'a')"),
        ({"a": 1.5}, "{'a': 1.5}"),
        (b"\x00", r"b'\x00'"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, … 9 in all]"),
        ({"a": [[[[1]]]]}, "{'a': [[[… 1 in all]]]}"),
        (Counter("aab"), "Counter({'a': 2, 'b': 1})"),
        (deque([1]), "[1]"),
        (Bun("neo", 1), "Bun(('neo', 1))"),
        (Steamer("neo", [1]), "Steamer(chef='neo', buns=[1])"),
        (Sealed("secret"), "<sealed>"),
        (frozenset({1}), "{1}"),
        (Rude(), "<Rude, whose repr raised RuntimeError>"),
        (Torn(), r"half \udc80 a character"),
        (Tensor(), "<Tensor of float32, shape (1000, 1000)>"),
        (1 << 100_000, "<int of 100001 bits>"),
        (array.array("d", [0.0] * 50), "<array of 50 'd'>"),
        (int, "<class 'int'>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_sketch_shows_what_the_item_is(item: object, expected: str) -> None:
    assert safe_repr(item) == expected


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Rude) | st.builds(Torn),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner)
        | st.builds(Steamer, st.text(), inner)
    ),
    max_leaves=30,
)


@given(item=ANYTHING, width=st.integers(min_value=1, max_value=300))
def test_a_sketch_is_one_bounded_printable_line(item: object, width: int) -> None:
    text = safe_repr(item, width)

    assert len(text) <= width
    assert "\n" not in text
    assert text.encode("utf-8")


def test_a_list_that_holds_itself_has_a_sketch() -> None:
    item: list[object] = [1]
    item.append(item)

    assert safe_repr(item) == "[1, [1, [1, [… 2 in all]]]]"


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(range(3_000_000)),
        lambda: {n: n for n in range(1_000_000)},
        lambda: "x" * 50_000_000,
        lambda: bytes(50_000_000),
        lambda: Steamer("neo", [1] * 3_000_000),
    ],
    ids=["list", "dict", "str", "bytes", "dataclass"],
)
def test_a_big_item_is_sketched_from_its_first_parts(make: Callable[[], object]) -> None:
    """
    Writing out any of these takes tens of milliseconds and more; its first parts take microseconds.

    It is made here and not in the table: whatever a test module holds is copied by every fork of every test.
    """
    item = make()

    began = time.process_time()
    for _ in range(10):
        safe_repr(item)
    spent = time.process_time() - began

    assert spent < 0.05


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("bad bun"), "ValueError: bad bun"),
        (ValueError(), "ValueError"),
        (KeyError("bun"), "KeyError: 'bun'"),
        (SilentError(), "SilentError: (its message could not be made)"),
        (ValueError("\udc80"), r"ValueError: \udc80"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_its_type_and_message(error: Exception, expected: str) -> None:
    assert describe_error(error) == expected


def test_a_long_message_loses_its_middle() -> None:
    text = describe_error(ValueError("a" * 5000 + "end"), width=60)

    assert len(text) == 60
    assert text.startswith("ValueError: aaa")
    assert text.endswith("aend")


def _raised(source: str, file: str) -> BaseException:
    try:
        exec(compile(source, file, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError("the source did not raise")


def test_a_traceback_has_the_users_frames_only() -> None:
    error = _raised("def eat():\n    1 / 0\neat()", "/kitchen/baozi.py")

    text = user_traceback(error, own=HERE)

    assert '"/kitchen/baozi.py", line 2, in eat' in text
    assert "test_sketch" not in text
    assert text.endswith("ZeroDivisionError: division by zero")


def test_a_traceback_keeps_the_causes() -> None:
    error = _raised(
        "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('burnt') from e", "/kitchen/a.py"
    )

    text = user_traceback(error, own=HERE)

    assert "ZeroDivisionError" in text
    assert "The above exception was the direct cause" in text
    assert text.endswith("ValueError: burnt")


def test_a_shipped_example_is_the_users_code_though_it_lies_in_the_package() -> None:
    error = _raised("1 / 0", str(HERE / "_shipped" / "workflows" / "baozi.py"))

    assert "baozi.py" in user_traceback(error, own=HERE)


def test_an_endless_traceback_is_bounded() -> None:
    error = _raised("raise ValueError('x' * 100_000)", "/kitchen/a.py")

    assert len(user_traceback(error, own=ELSEWHERE, width=1000)) == 1000


def test_an_error_without_words_has_a_traceback() -> None:
    assert "SilentError" in user_traceback(SilentError(), own=ELSEWHERE)


LONG = "x" * 99


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (3, "the number 3"),
        (3.5, "the number 3.5"),
        ("ten", "the text 'ten'"),
        ("", "an empty text"),
        (LONG, f"the text '{LONG[:39]}…'"),
        ("a\nb\x1b", "the text 'a\ufffdb\ufffd'"),
        ([1], "a list"),
        ([], "an empty list"),
        ({"a": 1}, "a mapping"),
        ({}, "an empty mapping"),
    ],
)
def test_values_are_described(value: object, words: str) -> None:
    assert words == describe_value(value)


def test_a_number_that_python_would_not_write_out_is_just_huge() -> None:
    assert "a huge number" == describe_value(10**20_000)

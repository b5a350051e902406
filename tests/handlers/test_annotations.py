"""Annotations against what a YAML file can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.handlers.annotations import adapt, fits

YES, NO, UNCHECKED = True, False, None


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (None, "x", UNCHECKED),
        ("int", 3, YES),
        ("int", True, NO),
        ("int", 3.0, NO),
        ("int", "three", NO),
        ("float", 3, YES),
        ("float", 3.5, YES),
        ("float", False, NO),
        ("bool", True, YES),
        ("bool", 1, NO),
        ("str", "包子", YES),
        ("str", 3.1, NO),
        ("None", None, YES),
        ("Any", object(), YES),
        ("Path", "a.txt", YES),
        ("pathlib.Path", 3, NO),
        ("list", [1], YES),
        ("list", "abc", NO),
        ("list[int]", [1, 2], YES),
        ("list[int]", [1, "2"], NO),
        ("typing.List[str]", ["a"], YES),
        ("Sequence[str]", ["a"], YES),
        ("Sequence[str]", "abc", YES),
        ("Iterable[int]", 3, NO),
        ("tuple[int, ...]", [1, 2, 3], YES),
        ("tuple[int, str]", [1, "a"], YES),
        ("tuple[int, str]", [1], NO),
        ("set[str]", ["a"], YES),
        ("dict[str, int]", {"a": 1}, YES),
        ("Mapping[str, int]", {"a": "b"}, NO),
        ("dict", [], NO),
        ("int | None", None, YES),
        ("int | None", "x", NO),
        ("Optional[int]", 3, YES),
        ("Union[int, str]", 3.5, NO),
        ("Literal['a', 'b', -1]", "a", YES),
        ("Literal['a', 'b', -1]", -1, YES),
        ("Literal['a']", "c", NO),
        ("Literal[1]", True, NO),
        ("Annotated[int, 'buns']", 3, YES),
        ("'int'", "x", NO),
        ("Bun", "x", UNCHECKED),
        ("int | Bun", "x", UNCHECKED),
        ("list[Bun]", [1], UNCHECKED),
        ("list[Bun]", 3, NO),
        ("np.ndarray", [1], UNCHECKED),
        ("Callable[[int], str]", "x", UNCHECKED),
        ("1 +", "x", UNCHECKED),
    ],
)
def test_a_value_fits_an_annotation_or_not(
    annotation: str | None, value: object, expected: bool | None
) -> None:
    assert fits(value, annotation) is expected


@given(
    annotation=st.text(alphabet="int|[]str, ()None'.", max_size=30),
    value=st.none() | st.integers() | st.text(),
)
def test_no_annotation_raises(annotation: str, value: object) -> None:
    assert fits(value, annotation) in (True, False, None)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("Path", "a.txt", Path("a.txt")),
        ("Path | None", "a.txt", Path("a.txt")),
        ("Optional[pathlib.Path]", "a.txt", Path("a.txt")),
        ("str | Path", "a.txt", "a.txt"),
        ("tuple[int, ...]", [1, 2], (1, 2)),
        ("set[int]", [1, 1], {1}),
        ("frozenset[int]", [1], frozenset({1})),
        ("list[int]", [1], [1]),
        ("str", "a", "a"),
        (None, [1], [1]),
        ("int", 3, 3),
    ],
)
def test_a_value_becomes_what_is_asked_for_where_yaml_cannot_write_it(
    annotation: str | None, value: object, expected: object
) -> None:
    adapted = adapt(value, annotation)

    assert (adapted, type(adapted)) == (expected, type(expected))

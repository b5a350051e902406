"""Matrices: GitHub's rules example by example, the bounds, and numbers that are not what was typed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.matrix import MOST_LEGS, Expansion, Leg, expand, matrix_keys
from runner.spec.diagnostics import Diagnostic, Severity
from runner.spec.source.reader import read_text

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["x", "y", 1, True])


def expanded(matrix: dict[str, Any] | None) -> Expansion:
    return expand("test", matrix, ("m",), lambda _path: None)


def values(matrix: dict[str, Any]) -> list[dict[str, Any]]:
    expansion = expanded(matrix)
    assert () == expansion.diagnostics
    return [dict(leg.values) for leg in expansion.legs]


def ids(matrix: dict[str, Any]) -> list[str]:
    return [leg.id for leg in expanded(matrix).legs]


def finding_of(matrix: dict[str, Any]) -> Diagnostic:
    (diagnostic,) = expanded(matrix).diagnostics
    return diagnostic


def findings_in(yaml: str) -> list[Diagnostic]:
    source = read_text(yaml, "w.yaml")
    return list(expand("test", source.data["m"], ("m",), source.scalar_text).diagnostics)


def test_a_job_without_a_matrix_is_its_own_only_leg() -> None:
    assert Expansion((Leg("test"),)) == expanded(None)


def test_the_first_key_changes_slowest() -> None:
    assert [
        "test (3.11, linux)",
        "test (3.11, mac)",
        "test (3.12, linux)",
        "test (3.12, mac)",
    ] == ids({"python": [3.11, 3.12], "os": ["linux", "mac"]})


def test_values_keep_their_type() -> None:
    (found,) = values({"a": [1], "b": ["1"], "c": [True], "d": [None], "e": [1.5], "f": [[1, 2]]})

    assert {"a": 1, "b": "1", "c": True, "d": None, "e": 1.5, "f": [1, 2]} == found
    assert [int, str, bool] == [type(found[key]) for key in "abc"]


def test_the_example_of_the_documentation_of_github() -> None:
    """Word for word the example of "Expanding or adding matrix configurations", whose six legs it lists."""
    matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }

    assert [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ] == values(matrix)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ({"include": [{"a": 1}, {"a": 2, "b": 3}]}, [{"a": 1}, {"a": 2, "b": 3}]),
        ({"a": [1, 2], "exclude": [{"a": 1}]}, [{"a": 2}]),
        (
            {"a": [1, 2], "b": [3, 4], "exclude": [{"a": 1, "b": 4}]},
            [{"a": 1, "b": 3}, {"a": 2, "b": 3}, {"a": 2, "b": 4}],
        ),
        # Part of the keys takes out every combination that has them.
        ({"a": [1, 2], "b": [3, 4], "exclude": [{"b": 4}]}, [{"a": 1, "b": 3}, {"a": 2, "b": 3}]),
        # What was excluded may be put back, since include comes later.
        ({"a": [1, 2], "exclude": [{"a": 1}], "include": [{"a": 1}]}, [{"a": 2}, {"a": 1}]),
        # A value of the matrix is never changed, one that include added may be.
        ({"a": [1], "include": [{"b": 1}, {"b": 2}]}, [{"a": 1, "b": 2}]),
        ({"a": [1], "include": [{"a": 2, "b": 9}]}, [{"a": 1}, {"a": 2, "b": 9}]),
        # 1 and true are two values, and so are 1 and '1'.
        ({"a": [1, True], "exclude": [{"a": True}]}, [{"a": 1}]),
        ({"a": [1, "x"], "exclude": [{"a": "x"}]}, [{"a": 1}]),
    ],
)
def test_exclude_and_include(matrix: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert expected == values(matrix)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", "a b"),
        ("a\n b", "a b"),
        (True, "true"),
        (None, "null"),
        (3.0, "3.0"),
        ("größe", "größe"),
        ([1, "x"], '[1, "x"]'),
        ({"os": "linux", "n": 2}, "linux, 2"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_a_leg_is_called_by_its_values(value: object, shown: str) -> None:
    (leg,) = expanded({"a": [value]}).legs

    assert (f"test ({shown})", shown) == (leg.id, leg.label)


def test_keys_that_any_leg_may_have() -> None:
    assert ("a", "b", "c") == matrix_keys({"a": [1], "exclude": [], "include": [{"b": 1, "a": 2}, {"c": 1}]})
    assert () == matrix_keys(None)


@pytest.mark.parametrize(
    ("matrix", "code", "path", "words"),
    [
        ({}, "matrix-empty", ("m",), "a list of values"),
        ({"a": [], "b": [1]}, "matrix-empty", ("m", "a"), "give it a value"),
        ({"a": [1], "exclude": [{"a": 1}]}, "matrix-empty", ("m", "exclude"), "exclude less"),
        (
            {"python": [1], "exclude": [{"pyton": 1}]},
            "unknown-matrix-key",
            ("m", "exclude", 0, "pyton"),
            "did you mean 'python'?",
        ),
        ({"a": [1, 2, 1]}, "duplicate-leg", ("m", "a", 2), "take it out"),
        ({"a": [1, "1"]}, "duplicate-leg", ("m", "a", 1), "take it out"),
        ({"a": [1], "include": [{"a": 2}, {"a": 2}]}, "duplicate-leg", ("m",), "tells them apart"),
        ({"a": list(range(MOST_LEGS + 1))}, "matrix-too-large", ("m",), "split the job"),
        ({key: list(range(100)) for key in "abcdefgh"}, "matrix-too-large", ("m",), "fewer values"),
        (
            {"include": [{"a": n} for n in range(MOST_LEGS + 1)]},
            "matrix-too-large",
            ("m",),
            "fewer values",
        ),
    ],
)
def test_a_matrix_that_can_not_be_meant_has_a_finding_and_no_legs(
    matrix: dict[str, Any], code: str, path: tuple[str | int, ...], words: str
) -> None:
    diagnostic = finding_of(matrix)

    assert ((), code, path) == (expanded(matrix).legs, diagnostic.code, diagnostic.path)
    assert words in (diagnostic.help or "")


def test_as_many_legs_as_are_allowed_are_fine() -> None:
    assert MOST_LEGS == len(expanded({"a": list(range(MOST_LEGS))}).legs)


def test_exclude_may_bring_a_matrix_within_its_bound() -> None:
    matrix = {"a": list(range(MOST_LEGS)), "b": [1, 2], "exclude": [{"b": 2}]}

    assert MOST_LEGS == len(expanded(matrix).legs)


def test_an_exclude_of_nothing_is_a_warning_that_names_the_value() -> None:
    expansion = expanded({"os": ["linux", "mac"], "exclude": [{"os": "linus"}]})

    (diagnostic,) = expansion.diagnostics
    assert (Severity.WARNING, "excludes-nothing", ("m", "exclude", 0, "os"), "did you mean 'linux'?") == (
        diagnostic.severity,
        diagnostic.code,
        diagnostic.path,
        diagnostic.help,
    )
    assert 2 == len(expansion.legs)


@pytest.mark.parametrize(
    ("yaml", "path", "words"),
    [
        ("m: {python: [3.9, 3.10]}", ("m", "python", 1), "write '3.10'"),
        ("m: {a: [x], include: [{python: 3.10}]}", ("m", "include", 0, "python"), "write '3.10'"),
        ("m: {a: [x, 1e3]}", ("m", "a", 1), "write '1e3'"),
        ("m: {a: [0x1F]}", ("m", "a", 0), "or 31 if"),
        ("m: {a: [{deep: [1.50]}]}", ("m", "a", 0, "deep", 0), "write '1.50'"),
        ("m: {a: [+1]}", ("m", "a", 0), "write '+1'"),
    ],
)
def test_a_number_that_is_not_what_was_typed_never_passes_silently(
    yaml: str, path: tuple[str | int, ...], words: str
) -> None:
    (diagnostic,) = findings_in(yaml)

    assert ("lossy-number", path) == (diagnostic.code, diagnostic.path)
    assert words in (diagnostic.help or "")


@pytest.mark.parametrize(
    "yaml", ["m: {a: [3.11, 3, -1, 0.5, 3.0]}", "m: {a: ['3.10', true, ~]}", "m: {a: ['${{ params.x }}']}"]
)
def test_a_number_that_is_what_was_typed_is_fine(yaml: str) -> None:
    assert [] == findings_in(yaml)


def test_a_number_that_came_by_a_reference_is_not_judged_by_the_text_of_the_reference() -> None:
    source = read_text("m: {a: ['${{ params.x }}']}", "w.yaml")

    assert () == expand("test", {"a": [3.1]}, ("m",), source.scalar_text).diagnostics


@given(st.dictionaries(NAMES, st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True), min_size=1))
def test_without_include_and_exclude_a_matrix_is_a_product(axes: dict[str, list[int]]) -> None:
    found = values(axes)

    assert math.prod(map(len, axes.values())) == len(found)
    assert len(found) == len({tuple(each.items()) for each in found})
    assert all(list(each) == list(axes) for each in found)


@given(
    axes=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3, unique_by=repr), max_size=2),
    include=st.lists(st.dictionaries(NAMES, VALUES, min_size=1), max_size=4),
    exclude=st.lists(st.dictionaries(NAMES, VALUES, min_size=1), max_size=2),
)
def test_the_rules_hold_for_any_matrix(
    axes: dict[str, list[Any]], include: list[dict[str, Any]], exclude: list[dict[str, Any]]
) -> None:
    expansion = expanded({**axes, "include": include, "exclude": exclude})

    for leg in expansion.legs:
        own = {key: repr(value) for key, value in leg.values.items() if key in axes}
        is_combination = own.keys() == axes.keys() and all(own[k] in map(repr, axes[k]) for k in own)
        assert is_combination or leg.values in include
    found = [set(map(repr, leg.values.items())) for leg in expansion.legs]
    for entry in include if found else ():
        anchored = {key for key in entry if key in axes}
        # What anchors an entry to the matrix, a later entry can't take away.
        assert any({repr((key, entry[key])) for key in anchored} <= each for each in found)
    assert len({leg.id for leg in expansion.legs}) == len(expansion.legs)


def test_a_text_that_looks_like_a_number_excludes_none_and_that_is_said() -> None:
    (diagnostic,) = findings_in("m: {v: [1, 2], exclude: [{v: '2'}]}")

    assert diagnostic.message == "this excludes nothing: 'v' is never the text 2"
    assert diagnostic.help == "write it as the matrix does, where it is the number"

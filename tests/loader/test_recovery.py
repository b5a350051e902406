"""What to go on with where a file is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.recovery import correct_keys, drop_paths, unknown_paths, unusable_paths
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.source.reader import read_text


def test_keys_get_their_right_names_and_keep_their_places() -> None:
    source, diagnostics, renamed = correct_keys(read_text("name: w\nstagse:\n  a: {rnu: 'm:f'}\n", "w.yaml"))

    assert {"name": "w", "stages": {"a": {"run": "m:f"}}} == source.data
    assert [(2, 1), (3, 7)] == [(p.span.line, p.span.column) for p in diagnostics]
    assert {("stages",), ("stages", "a", "run")} == renamed
    assert 3 == source.locate(("stages", "a", "run")).span.line


def test_of_two_keys_for_one_place_the_first_is_taken() -> None:
    source, diagnostics, _ = correct_keys(
        read_text("name: w\nstages: {a: {run: 'm:f', cuont: 2, conut: 3}}\n", "w.yaml")
    )

    assert ({"run": "m:f", "count": 2, "conut": 3}, 1) == (source.data["stages"]["a"], len(diagnostics))


def test_a_key_that_is_there_is_not_overwritten() -> None:
    source, diagnostics, _ = correct_keys(read_text("name: w\nnam: x\nstages: {a: {run: 'm:f'}}\n", "w.yaml"))

    assert ("w", "x", []) == (source.data["name"], source.data["nam"], diagnostics)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], {"a": [1, {"b": 2}], "c": 3}),
        ([("a", 0)], {"a": [{"b": 2}], "c": 3}),
        ([("a", 1, "b"), ("c",)], {"a": [1, {}]}),
        ([("a",), ("a", 1)], {"c": 3}),
        ([("x", "y"), ()], {"a": [1, {"b": 2}], "c": 3}),
    ],
)
def test_paths_are_taken_out_of_a_copy(paths: list[tuple[Any, ...]], expected: Any) -> None:
    data = {"a": [1, {"b": 2}], "c": 3}

    taken = drop_paths(data, paths)

    assert (expected, {"a": [1, {"b": 2}], "c": 3}) == (taken, data)


SPOILS = [
    (Diagnostic(("stages", "a", "to"), "wrong-type", ""), ("stages", "a", "to")),
    (Diagnostic(("stages", "a", "x"), "unknown-key", ""), ("stages", "a", "from")),
    (Diagnostic(("stages", "a"), "missing-key", ""), ("stages", "a", "run")),
    (Diagnostic(("stages",), "wrong-type", ""), ("stages", "b", "to")),
]


@pytest.mark.parametrize(("diagnostic", "path"), SPOILS)
def test_what_is_wrong_is_not_known(diagnostic: Diagnostic, path: tuple[str, ...]) -> None:
    assert not unknown_paths([diagnostic], []).knows(*path)


KEEPS = [
    (Diagnostic((), "missing-key", ""), ("stages",)),
    (Diagnostic(("stages", "a"), "missing-key", ""), ("stages", "a", "to")),
    (Diagnostic(("stages", "-"), "bad-name", ""), ("stages", "-")),
    (Diagnostic(("stages", "a", "count"), "wrong-type", ""), ("stages", "a", "to")),
]


@pytest.mark.parametrize(("diagnostic", "path"), KEEPS)
def test_the_rest_is_known(diagnostic: Diagnostic, path: tuple[str, ...]) -> None:
    assert unknown_paths([diagnostic], []).knows(*path)


def test_unread_references_are_not_known() -> None:
    assert UnknownPaths(frozenset({("stages", "a", "to")})) == unknown_paths([], [("stages", "a", "to")])


def test_a_stage_as_a_whole_stays() -> None:
    diagnostics = [
        Diagnostic(("stages", "a"), "wrong-type", ""),
        Diagnostic(("stages", "a", "to"), "wrong-type", ""),
    ]

    assert [("stages", "a", "to")] == unusable_paths(diagnostics)

"""Walks through graphs of names."""

from __future__ import annotations

import pytest

from runner.spec.graph import depths, find_cycle, reachable

# What stands before each.
DIAMOND = {"publish": ["test", "lint"], "test": ["build"], "lint": ["build"], "build": [], "docs": []}
CYCLES: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "none": (DIAMOND, []),
    "of one": ({"a": ["a"]}, ["a"]),
    "from the first on": ({"c": ["b"], "b": ["a"], "a": ["c"]}, ["a", "b", "c"]),
    "beside others": ({"x": [], "a": ["x", "b"], "b": ["a"]}, ["a", "b"]),
    "not of what is not there": ({"a": ["gone"]}, []),
}


def test_what_can_be_got_to_includes_where_one_starts() -> None:
    assert {"test", "build"} == reachable(["test"], DIAMOND.__getitem__)


def test_a_walk_ends_where_things_go_round() -> None:
    assert {"a", "b"} == reachable(["a"], {"a": ["b"], "b": ["a"]}.__getitem__)


def test_each_stands_one_deeper_than_the_deepest_before_it() -> None:
    assert {"build": 1, "docs": 1, "test": 2, "lint": 2, "publish": 3} == depths(DIAMOND)


@pytest.mark.parametrize(("before", "expected"), CYCLES.values(), ids=CYCLES)
def test_a_circle_begins_with_the_lowest_rank(before: dict[str, list[str]], expected: list[str]) -> None:
    assert expected == find_cycle(before, {name: rank for rank, name in enumerate("abc")})

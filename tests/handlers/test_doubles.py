"""What stands for sources and sinks: nothing is lost, twice, or other than it was."""

from __future__ import annotations

import json
import math
from collections import namedtuple
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from runner.handlers.doubles import as_plain, collect, collected, give
from runner.handlers.kinds import WorkerContext

Pair = namedtuple("Pair", "a b")


@dataclass
class Bun:
    kind: str


class Colour(Enum):
    RED = "red"


class Odd:
    pass


@pytest.mark.parametrize(
    ("item", "plain"),
    [
        ((1, "a", None), [1, "a", None]),
        ({"a": {1, 2}}, {"a": [1, 2]}),
        ({1: 2, ("a", "b"): 3}, {"1": 2, "('a', 'b')": 3}),
        (Bun("pork"), {"kind": "pork"}),
        (Pair(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        (b"x", "b'x'"),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_an_item_is_as_yaml_can_have_it(item: Any, plain: Any) -> None:
    assert plain == as_plain(item)


def test_a_repr_has_no_address() -> None:
    assert f"<{Odd.__module__}.Odd object>" == as_plain(Odd())


def test_items_are_given_from_where_they_were_and_are_others_each_time() -> None:
    items = [{"a": 1}, {"a": 2}]
    given = [*give(items, 1)]

    assert [{"a": 2}] == given
    assert given[0] is not items[1]


def test_what_is_collected_is_there_once_in_the_order_of_its_queue(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for place, item in ((1, "b"), (0, "a"), (1, "b"), (2, "stale"), (2, "c"), (3, "never put again")):
        collect(item, replace(WorkerContext("s-1", "s", 1, 1), places=lambda place=place: [place]), str(path))

    assert ["a", "b", "c"] == collected(path.read_text().splitlines(), put=3)


def test_odd_numbers_and_texts_come_through() -> None:
    items = [math.inf, "二\n\u2028", "\ud800"]
    lines = [json.dumps({"place": n, "item": item}) for n, item in enumerate(items)]

    assert items == collected(lines, put=3)

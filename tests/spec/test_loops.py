"""What goes round: which stages write back, and which queues are over together."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from runner.spec.graph import LoopMap, find_loops


@dataclass(frozen=True)
class Stage:
    name: str
    receives: str | None = None
    writes: tuple[str, ...] = ()


CRAWL = [Stage("seed", None, ("links",)), Stage("fetch", "links", ("links", "pages")), Stage("save", "pages")]
ROUND = [
    Stage("seed", None, ("a",)),
    Stage("one", "a", ("b",)),
    Stage("two", "b", ("c", "out")),
    Stage("three", "c", ("a", "b")),
    Stage("end", "out"),
]


@pytest.mark.parametrize(
    ("stages", "looped", "back", "groups"),
    [
        (CRAWL, [], set(), []),
        (CRAWL, ["links"], {("fetch", "links")}, [{"links"}]),
        (CRAWL, ["pages"], set(), []),
        (ROUND, ["a", "b"], {("three", "a"), ("one", "b"), ("three", "b")}, [{"a", "b", "c"}]),
        (ROUND, ["c"], {("two", "c")}, [{"a", "b", "c"}]),
    ],
)
def test_who_lies_behind_a_queue_and_writes_to_it_writes_back(
    stages: list[Stage], looped: list[str], back: set[tuple[str, str]], groups: list[set[str]]
) -> None:
    loops = find_loops(stages, looped)

    assert (back, groups) == (set(loops.back), [set(group) for group in loops.groups])


def test_what_is_written_back_is_not_on_the_way_forward() -> None:
    loops = find_loops(CRAWL, ["links"])

    assert [("links",), ("pages",), ()] == [loops.forward(stage) for stage in CRAWL]
    assert ({"links"}, frozenset()) == (loops.around("links"), loops.around(None))
    assert (("links", "pages"), frozenset()) == (LoopMap().forward(CRAWL[1]), LoopMap().around("links"))

"""The chain of needs that takes longest."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.critical_path import Timed, critical_path


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], ()),
        ([Timed("lint", 0.0)], ()),
        ([Timed("lint", 1.0), Timed("test", 2.0)], ("test",)),
        (
            [
                Timed("build", 3),
                Timed("test", 9, ["build"]),
                Timed("lint", 2, ["build"]),
                Timed("publish", 1, ["lint", "test"]),
            ],
            ("build", "test", "publish"),
        ),
        (
            [Timed("a", 3), Timed("skipped", 0, ["a"]), Timed("c", 1, ["skipped"]), Timed("d", 2)],
            ("a", "skipped", "c"),
        ),
        ([Timed("b", 1, ["never heard of"])], ("b",)),
    ],
)
def test_it_is_the_chain_that_takes_longest(jobs: list[Timed], expected: tuple[str, ...]) -> None:
    assert expected == critical_path(jobs)


@st.composite
def job_lists(draw: st.DrawFn) -> list[Timed]:
    seconds = draw(st.lists(st.floats(0, 100), max_size=8))
    return [
        Timed(
            str(i),
            each,
            [str(n) for n in draw(st.sets(st.integers(0, i - 1), max_size=3))] if i else [],
        )
        for i, each in enumerate(seconds)
    ]


@given(job_lists())
def test_no_other_chain_takes_longer(jobs: list[Timed]) -> None:
    known = {each.job: each for each in jobs}

    def longest(job: str) -> float:
        return known[job].seconds + max((longest(need) for need in known[job].needs), default=0.0)

    path = critical_path(jobs)

    assert sum(known[job].seconds for job in path) == pytest.approx(max(map(longest, known), default=0.0))
    assert all(before in known[after].needs for before, after in pairwise(path))

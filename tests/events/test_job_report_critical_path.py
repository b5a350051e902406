"""The chain of needs that takes longest."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.job_report import TimedJob, critical_path


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], ()),
        ([TimedJob("lint", 0.0)], ()),
        ([TimedJob("lint", 1.0), TimedJob("test", 2.0)], ("test",)),
        (
            [
                TimedJob("build", 3),
                TimedJob("test", 9, ["build"]),
                TimedJob("lint", 2, ["build"]),
                TimedJob("publish", 1, ["lint", "test"]),
            ],
            ("build", "test", "publish"),
        ),
        (
            [
                TimedJob("a", 3),
                TimedJob("skipped", 0, ["a"]),
                TimedJob("c", 1, ["skipped"]),
                TimedJob("d", 2),
            ],
            ("a", "skipped", "c"),
        ),
        ([TimedJob("b", 1, ["never heard of"])], ("b",)),
    ],
)
def test_it_is_the_chain_that_takes_longest(jobs: list[TimedJob], expected: tuple[str, ...]) -> None:
    assert expected == critical_path(jobs)


@st.composite
def job_lists(draw: st.DrawFn) -> list[TimedJob]:
    seconds = draw(st.lists(st.floats(0, 100), max_size=8))
    return [
        TimedJob(
            str(i),
            each,
            [str(n) for n in draw(st.sets(st.integers(0, i - 1), max_size=3))] if i else [],
        )
        for i, each in enumerate(seconds)
    ]


@given(job_lists())
def test_no_other_chain_takes_longer(jobs: list[TimedJob]) -> None:
    known = {each.job: each for each in jobs}

    def longest(job: str) -> float:
        return known[job].seconds + max((longest(need) for need in known[job].needs), default=0.0)

    path = critical_path(jobs)

    assert sum(known[job].seconds for job in path) == pytest.approx(max(map(longest, known), default=0.0))
    assert all(before in known[after].needs for before, after in pairwise(path))

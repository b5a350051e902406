"""`--job NAME`: just that, with all that it needs."""

from __future__ import annotations

import pytest
from jobs_specs import job

from runner.errors import UsageError
from runner.jobs.plan import select_jobs

JOBS = (
    job("lint"),
    job("build", needs="lint"),
    job("test", needs="build", legs=3),
    job("publish", needs="test lint"),
    job("docs"),
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lint"], ["lint"]),
        (["build"], ["lint", "build"]),
        (["docs", "build"], ["lint", "build", "docs"]),
        (["test"], ["lint", "build", "test (1)", "test (2)", "test (3)"]),
        (["test (2)"], ["lint", "build", "test (2)"]),
        (["test (3)", "test (1)"], ["lint", "build", "test (1)", "test (3)"]),
        (["test (2)", "test"], ["lint", "build", "test (1)", "test (2)", "test (3)"]),
        (["publish"], ["lint", "build", "test (1)", "test (2)", "test (3)", "publish"]),
        ([], []),
    ],
)
def test_a_job_runs_with_all_that_it_needs_in_the_order_of_the_file(
    names: list[str], expected: list[str]
) -> None:
    assert expected == [leg.id for chosen in select_jobs(JOBS, names) for leg in chosen.legs]


def test_no_name_is_listed_twice() -> None:
    with pytest.raises(UsageError) as caught:
        select_jobs(JOBS[:2], ["zzzzzzzz"])

    assert str(caught.value).endswith("known here: lint, build")


@pytest.mark.parametrize(
    ("name", "words"),
    [("tset", "did you mean 'test'"), ("test (4)", "did you mean 'test"), ("", "known here")],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(UsageError, match="there is no job") as caught:
        select_jobs(JOBS, [name])

    assert words in str(caught.value)

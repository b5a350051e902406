"""Which jobs a run has: those named with all that they need, those that run without names, less what is skipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from jobs_specs import job

from runner.errors import UsageError
from runner.jobs.selection import Selection, select_jobs
from runner.spec.jobs.commands import CommandSpec, StepSpec
from runner.spec.jobs.model import JobSpec

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
    ],
)
def test_a_job_runs_with_all_that_it_needs_in_the_order_of_the_file(
    names: list[str], expected: list[str]
) -> None:
    assert expected == [leg.id for chosen in select_jobs(JOBS, Selection(names)) for leg in chosen.legs]


def test_no_name_is_listed_twice() -> None:
    with pytest.raises(UsageError) as caught:
        select_jobs(JOBS[:2], Selection(["zzzzzzzz"]))

    assert str(caught.value).endswith("known here: lint, build")


@pytest.mark.parametrize(
    ("name", "words"),
    [("tset", "did you mean 'test'"), ("test (4)", "did you mean 'test"), ("", "known here")],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(UsageError, match="there is no job") as caught:
        select_jobs(JOBS, Selection([name]))

    assert words in str(caught.value)


WITH_TASKS = (
    job("lint"),
    job("build", manual=True),
    job("test", needs="lint", legs=2),
    job("release", needs="build test", manual=True),
)


def ids(
    selection: Selection, default: tuple[str, ...] = (), jobs: tuple[JobSpec, ...] = WITH_TASKS
) -> list[str]:
    return [leg.id for chosen in select_jobs(jobs, selection, default) for leg in chosen.legs]


@pytest.mark.parametrize(
    ("selection", "default", "expected"),
    [
        (Selection(), (), ["lint", "test (1)", "test (2)"]),
        (Selection(), ("build",), ["build"]),
        (Selection(), ("te*",), ["lint", "test (1)", "test (2)"]),
        (Selection(["release"]), ("lint",), ["lint", "build", "test (1)", "test (2)", "release"]),
        (Selection(["*l*"]), (), ["lint", "build", "test (1)", "test (2)", "release"]),
        (Selection(["test (*2*"]), (), ["lint", "test (2)"]),
        (Selection(only=["release"]), (), ["release"]),
        (Selection(only=["test", "lint"]), (), ["lint", "test (1)", "test (2)"]),
        (Selection(skip=["lint"]), (), ["test (1)", "test (2)"]),
        (Selection(skip=["test (1)"]), (), ["lint", "test (2)"]),
        (Selection(["release"], skip=["test"]), (), ["build", "release"]),
        (Selection(skip=["release"]), (), ["lint", "test (1)", "test (2)"]),
        (Selection(only=["t*"], skip=["*(1)"]), (), ["test (2)"]),
    ],
)
def test_what_runs_is_what_is_named_or_else_the_default_or_else_all_that_is_not_manual(
    selection: Selection, default: tuple[str, ...], expected: list[str]
) -> None:
    assert expected == ids(selection, default)


def test_a_need_that_does_not_run_is_waited_for_by_nobody() -> None:
    [release] = select_jobs(WITH_TASKS, Selection(only=["release"]))

    assert release.needs == ()


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(["tset*"]), "no job is like 'tset\\*'; did you mean 'test'"),
        (Selection(skip=["lnit"]), "there is no job 'lnit'; did you mean 'lint'"),
        (Selection(only=["zz?"]), "known here: lint, build, test"),
        (Selection(["lint"], skip=["*"]), "nothing is left to run"),
    ],
)
def test_what_names_nothing_or_leaves_nothing_is_refused(selection: Selection, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ids(selection)


def test_where_every_job_is_manual_one_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="name what is to run; known here: a"):
        ids(Selection(), jobs=(job("a", manual=True),))


@pytest.mark.parametrize("selection", [Selection(only=["b"]), Selection(skip=["a"])])
@pytest.mark.parametrize(
    "of_leg",
    [
        {"condition": "needs.a.result == 'passed'"},
        {"env": {"X": "${{ needs.a.outputs.v }}"}},
        {"steps": (StepSpec("s", CommandSpec("echo ${{ needs.a.outputs.v }}")),)},
    ],
)
def test_a_job_that_asks_for_what_another_hands_on_does_not_run_without_it(
    selection: Selection, of_leg: dict[str, Any]
) -> None:
    b = job("b", needs="a")
    jobs = (job("a", values=("v",)), replace(b, legs=tuple(replace(leg, **of_leg) for leg in b.legs)))

    with pytest.raises(UsageError, match="job 'b' asks for `needs\\.a`, which does not run"):
        ids(selection, jobs=jobs)

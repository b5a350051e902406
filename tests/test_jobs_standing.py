"""What became of a job, and how things stand for those that need it."""

from __future__ import annotations

import pytest
from jobs_specs import job

from runner.jobs.conditions import Standing
from runner.jobs.standing import Past, as_need, result_of, root_of, standing_of
from runner.spec_jobs import Need, Result


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("", "skipped"),
        ("passed", "passed"),
        ("passed skipped", "passed"),
        ("skipped skipped", "skipped"),
        ("passed allowed", "allowed"),
        ("allowed cancelled", "cancelled"),
        ("cancelled failed passed", "failed"),
        ("timed_out cancelled", "timed_out"),
        ("timed_out failed", "failed"),
    ],
)
def test_a_job_is_what_the_worst_of_its_legs_is(results: str, expected: str) -> None:
    pasts = {str(number): Past(Result(word)) for number, word in enumerate(results.split())}

    assert expected == result_of(pasts)


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (Past(Result.PASSED), Standing("need is done: a passed")),
        (Past(Result.ALLOWED), Standing("need is done: a failed, which it may")),
        (Past(Result.SKIPPED), Standing("need is done: a skipped")),
        (Past(Result.FAILED), Standing("need is done: a failed", ("need 'a' failed",))),
        (Past(Result.TIMED_OUT), Standing("need is done: a timed out", ("need 'a' timed out",))),
        (Past(Result.CANCELLED), Standing("need is done: a cancelled", (), ("need 'a' was cancelled",))),
        (
            Past(Result.SKIPPED, blocked_by="'x' failed"),
            Standing("need is done: a skipped", ("need 'a' did not run, as 'x' failed",)),
        ),
    ],
)
def test_how_things_stand_behind_one_need(past: Past, expected: Standing) -> None:
    assert expected == standing_of([Need("a")], {"a": {"a": past}}, None)


def test_an_optional_need_is_only_waited_for() -> None:
    needs, pasts = [Need("a", optional=True)], {"a": {"a": Past(Result.FAILED)}}

    assert Standing("need is done: a failed") == standing_of(needs, pasts, None)
    assert root_of(needs, pasts) is None


def test_many_needs_are_named_up_to_a_point() -> None:
    pasts = {name: {name: Past(Result.PASSED)} for name in "abcdef"}

    standing = standing_of([Need(name) for name in pasts], pasts, None)

    assert "needs are done: a passed, b passed, c passed, d passed and 2 more" == standing.fine


def test_the_first_failure_is_named_through_all_that_it_kept_from_running() -> None:
    pasts = {"a": {"a": Past(Result.PASSED)}, "b": {"b": Past(Result.SKIPPED, blocked_by="'x' timed out")}}

    assert "'x' timed out" == root_of([Need("a"), Need("b")], pasts)


def test_outputs_of_a_matrix_leave_out_legs_that_wrote_none() -> None:
    spec = job("a", legs=3, values=("v",))
    pasts = {"a (1)": Past(Result.PASSED, {"v": "x"}), "a (3)": Past(Result.FAILED)}

    assert {"v": {"1": "x"}} == as_need(spec, pasts).outputs

"""What became of a job, and how things stand for those that need it."""

from __future__ import annotations

import json

import pytest
from jobs_specs import job

from runner.jobs.outcomes import JobOutcome, need_context, result_of, root_of, status_of
from runner.spec.expressions.evaluate import StatusContext
from runner.spec.jobs.model import NeedSpec
from runner.spec.model import JobResult


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
    outcomes = {str(number): JobOutcome(JobResult(word)) for number, word in enumerate(results.split())}

    assert expected == result_of(outcomes)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (JobOutcome(JobResult.PASSED), StatusContext("need is done: a passed")),
        (JobOutcome(JobResult.ALLOWED), StatusContext("need is done: a failed, which it may")),
        (JobOutcome(JobResult.SKIPPED), StatusContext("need is done: a skipped")),
        (JobOutcome(JobResult.FAILED), StatusContext("need is done: a failed", ("need 'a' failed",))),
        (
            JobOutcome(JobResult.TIMED_OUT),
            StatusContext("need is done: a timed out", ("need 'a' timed out",)),
        ),
        (
            JobOutcome(JobResult.CANCELLED),
            StatusContext("need is done: a cancelled", (), ("need 'a' was cancelled",)),
        ),
        (
            JobOutcome(JobResult.SKIPPED, blocked_by="'x' failed"),
            StatusContext("need is done: a skipped", ("need 'a' did not run, as 'x' failed",)),
        ),
    ],
)
def test_how_things_stand_behind_one_need(outcome: JobOutcome, expected: StatusContext) -> None:
    assert expected == status_of([NeedSpec("a")], {"a": {"a": outcome}}, None)


def test_an_optional_need_is_only_waited_for() -> None:
    needs, outcomes = [NeedSpec("a", optional=True)], {"a": {"a": JobOutcome(JobResult.FAILED)}}

    assert StatusContext("need is done: a failed") == status_of(needs, outcomes, None)
    assert root_of(needs, outcomes) is None


def test_many_needs_are_named_up_to_a_point() -> None:
    outcomes = {name: {name: JobOutcome(JobResult.PASSED)} for name in "abcdef"}

    status = status_of([NeedSpec(name) for name in outcomes], outcomes, None)

    assert "needs are done: a passed, b passed, c passed, d passed and 2 more" == status.success_reason


def test_the_first_failure_is_named_through_all_that_it_kept_from_running() -> None:
    outcomes = {
        "a": {"a": JobOutcome(JobResult.PASSED)},
        "b": {"b": JobOutcome(JobResult.SKIPPED, blocked_by="'x' timed out")},
    }

    assert "'x' timed out" == root_of([NeedSpec("a"), NeedSpec("b")], outcomes)


def test_outputs_of_a_matrix_leave_out_legs_that_wrote_none() -> None:
    spec = job("a", legs=3, values=("v",))
    outcomes = {
        "a (1)": JobOutcome(JobResult.PASSED, outputs={"v": "x"}),
        "a (3)": JobOutcome(JobResult.FAILED),
    }

    assert {"v": {"1": "x"}} == need_context(spec, outcomes)["outputs"]


def test_an_outcome_comes_back_from_its_message_as_it_was() -> None:
    outcome = JobOutcome(JobResult.TIMED_OUT, "too long", None, "SIGTERM", 1.5, {"v": "x"}, for_good=True)

    assert outcome == JobOutcome.from_message(json.loads(json.dumps(outcome.as_message())))

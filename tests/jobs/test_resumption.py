"""What of a past run's jobs is kept and what runs again: a table of decisions, and the graph that goes on there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs_specs import STEP, job

from runner.jobs.graph import FinishLeg, JobGraph, RetryLeg, StartLeg
from runner.jobs.graph import KeepLeg as Kept
from runner.jobs.outcomes import JobOutcome
from runner.jobs.resumption import (
    KeptLeg,
    LegDecision,
    PastLeg,
    RunLeg,
    changed_in,
    decide_legs,
    digests_of,
    past_of,
    with_unrecorded,
)
from runner.spec.jobs.commands import CommandSpec, StepSpec
from runner.spec.jobs.model import AttemptsSpec, JobSpec, NeedSpec
from runner.spec.model import JobResult

CHAIN = (job("build"), job("test", needs="build"), job("ship", needs="test"), job("lint"))
STATES = ("waiting", "running", "retrying", *map(str, JobResult))
GOOD = ("passed", "allowed", "skipped")


def digests(jobs: tuple[JobSpec, ...], params: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
    return {leg.id: digests_of(each, leg, params or {}) for each in jobs for leg in each.legs}


def was(jobs: tuple[JobSpec, ...], **states: str | PastLeg) -> dict[str, PastLeg]:
    """What is known of a past run of `jobs`: a leg that nothing is said of has passed."""
    told = {
        leg.id: states.get(leg.id.replace(" (", "_").rstrip(")"), "passed") for j in jobs for leg in j.legs
    }
    return {
        leg: each
        if isinstance(each, PastLeg)
        else PastLeg(each, int(each != "waiting"), outputs={}, digests=digests(jobs)[leg])
        for leg, each in told.items()
    }


def reasons(decisions: list[LegDecision]) -> dict[str, str]:
    return {each.leg.id: each.reason for each in decisions if isinstance(each, RunLeg)}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, {}),
        ({"lint": "waiting"}, {"lint": "it had not begun"}),
        ({"lint": "running"}, {"lint": "attempt 1 was lost with the runner"}),
        ({"lint": "retrying"}, {"lint": "it was about to be tried again"}),
        ({"lint": "failed"}, {"lint": "it had failed"}),
        ({"lint": "timed_out"}, {"lint": "it had timed out"}),
        ({"lint": "cancelled"}, {"lint": "it had been cancelled"}),
        ({"lint": "splendid"}, {"lint": "what became of it is not known"}),
        ({"lint": "allowed", "build": "skipped"}, {}),
        (
            {"test": "running", "ship": "waiting"},
            {"test": "attempt 1 was lost with the runner", "ship": "it had not begun"},
        ),
        (
            {"build": "failed", "test": "skipped", "ship": "skipped"},
            {
                "build": "it had failed",
                "test": "'build', which it needs, runs",
                "ship": "'test', which it needs, runs",
            },
        ),
        # What `if: always()` had run behind a failure runs again behind what now becomes of it.
        ({"test": "failed"}, {"test": "it had failed", "ship": "'test', which it needs, runs"}),
    ],
)
def test_what_ended_well_stays_and_the_rest_runs_with_all_behind_it(
    states: dict[str, str], expected: dict[str, str]
) -> None:
    assert expected == reasons(decide_legs(CHAIN, was(CHAIN, **states), digests(CHAIN)))


def test_a_job_that_is_new_in_the_file_had_not_begun() -> None:
    past = was(CHAIN[:3])

    assert {"lint": "it had not begun"} == reasons(decide_legs(CHAIN, past, digests(CHAIN)))


def test_what_a_job_needs_stands_before_it_whatever_the_order_of_the_file() -> None:
    jobs = CHAIN[::-1]

    order = [each.leg.id for each in decide_legs(jobs, was(jobs), digests(jobs))]

    assert order.index("build") < order.index("test") < order.index("ship")


OTHER_STEP = StepSpec("false", CommandSpec(("false",)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"steps": (OTHER_STEP,)}, ("steps",)),
        ({"env": {"A": "1"}}, ("env",)),
        ({"inputs": ("*.c",)}, ("inputs",)),
        ({"outputs": ("*.o",)}, ("outputs",)),
        ({"directory": "src"}, ("working-directory",)),
        ({"ensure": (STEP,), "env": {"A": "1"}}, ("ensure", "env")),
        ({"may_fail": True}, ("continue-on-error",)),
        ({"timeout": 5.0}, ()),
        ({"attempts": AttemptsSpec(max=3)}, ()),
    ],
)
@pytest.mark.parametrize("state", ["passed", "running", "failed"])
def test_a_job_that_is_another_now_runs_again_and_says_what_has_changed(
    change: dict[str, Any], expected: tuple[str, ...], state: str
) -> None:
    build = replace(CHAIN[0], legs=(replace(CHAIN[0].legs[0], **change),))
    now = (build, *CHAIN[1:])

    decisions = decide_legs(now, was(CHAIN, build=state), digests(now))

    told = reasons(decisions)
    assert ({"build": expected} if expected else {}) == changed_in(decisions)
    assert (("ship" in told), "lint" in told) == (bool(expected) or state != "passed", False)
    if expected and state == "passed":
        assert f"{' and '.join(expected)} changed" == told["build"]


def test_other_needs_and_other_params_of_a_condition_are_changes() -> None:
    before = (job("a"), job("b"), job("c", needs="a", condition="params.x"), job("d"))
    now = (*before[:2], job("c", needs=(NeedSpec("a", optional=True),), condition="params.x"), before[3])

    decisions = decide_legs(now, was(before), digests(now, {"x": 1}))

    assert {"c": ("needs", "params")} == changed_in(decisions)


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (
            PastLeg("passed", 1, outputs=None, digests={}),
            "what it hands on has a secret in it, or was not kept",
        ),
        (PastLeg("passed", 1, outputs={}, digests=None), "what it was is not known"),
    ],
)
def test_what_is_not_known_well_enough_runs_again(past: PastLeg, expected: str) -> None:
    jobs = (job("a"),)

    assert {"a": expected} == reasons(decide_legs(jobs, {"a": past}, {"a": past.digests or {}}))


def test_of_a_matrix_the_legs_that_ended_well_stay_and_those_behind_it_run() -> None:
    jobs = (job("t", legs=3), job("after", needs="t"))
    past = was(jobs, t_1="passed", t_2="failed", t_3="cancelled", after="skipped")

    assert {
        "t (2)": "it had failed",
        "t (3)": "it had been cancelled",
        "after": "'t', which it needs, runs",
    } == reasons(decide_legs(jobs, past, digests(jobs)))


def test_some_are_run_again_because_somebody_asks_for_it() -> None:
    told = reasons(decide_legs(CHAIN, was(CHAIN), digests(CHAIN), again={"test": "--from test"}))

    assert {"test": "--from test", "ship": "'test', which it needs, runs"} == told


def test_what_was_made_is_asked_after_with_the_outputs_that_are_kept() -> None:
    asked: list[tuple[str, Any]] = []

    def stale(leg: Any, needs: Any) -> str | None:
        asked.append((leg.id, {name: need["outputs"] for name, need in needs.items()}))
        return "input a.c changed" if leg.id == "test" else None

    past = was(CHAIN)
    past["build"] = replace(past["build"], outputs={"version": "1.4"})

    told = reasons(decide_legs(CHAIN, past, digests(CHAIN), stale=stale))

    assert {"test": "input a.c changed", "ship": "'test', which it needs, runs"} == told
    assert {"build": {}, "lint": {}, "test": {"build": {"version": "1.4"}}} == dict(asked)


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (PastLeg("running", 1), (1, 1, True)),
        (PastLeg("running", 2), (2, 1, True)),
        (PastLeg("running", 4, lost=2), (4, 3, True)),
        (PastLeg("retrying", 2, lost=1), (2, 1, False)),
        (PastLeg("failed", 3), (3, 3, False)),
        (PastLeg("cancelled", 1), (1, 1, False)),
        (PastLeg("waiting"), (0, 0, False)),
    ],
)
def test_an_attempt_that_was_lost_with_the_runner_does_not_count(
    past: PastLeg, expected: tuple[int, int, bool]
) -> None:
    jobs = (job("a"),)

    [leg] = decide_legs(jobs, {"a": past}, digests(jobs))

    assert isinstance(leg, RunLeg)
    assert expected == (leg.attempts, leg.lost, leg.was_cut_off)


@pytest.mark.parametrize(
    ("known", "logged", "expected"),
    [
        (None, 1, (1, 1)),  # nothing of it was recorded
        (PastLeg("waiting"), 2, (2, 1)),  # it had failed, and was tried again
        (PastLeg("running", 1), 1, (1, 1)),
        (PastLeg("retrying", 1), 2, (2, 1)),
        (PastLeg("running", 3, lost=2), 4, (4, 3)),
        (PastLeg("failed", 2), 3, (3, 3)),  # it had begun anew, with all its attempts
        (PastLeg("passed", 1, outputs={}, digests={}), 2, (2, 2)),  # a job that it needs had run again
    ],
)
def test_an_attempt_of_which_only_the_log_is_known_was_lost_too_and_keeps_its_number(
    known: PastLeg | None, logged: int, expected: tuple[int, int]
) -> None:
    jobs = (job("a"),)
    past = with_unrecorded({"a": known} if known else {}, {"a": logged})

    [leg] = decide_legs(jobs, past, {"a": past["a"].digests or {}})

    assert isinstance(leg, RunLeg)
    assert (*expected, True) == (leg.attempts, leg.lost, leg.was_cut_off)
    assert f"attempt {logged} was lost with the runner" == leg.reason


def test_what_is_known_better_than_by_its_log_stays_so() -> None:
    past = {"a": PastLeg("passed", 2), "b": PastLeg("skipped")}

    assert past == with_unrecorded(past, {"a": 2})


def test_attempts_are_numbered_on_in_the_same_run_and_anew_in_another() -> None:
    decisions = decide_legs(CHAIN, was(CHAIN, test="running"), digests(CHAIN))

    same, other = past_of("r1", decisions, goes_on=True), past_of("r1", decisions, goes_on=False)

    assert ["build", "lint"] == sorted(same.kept) == sorted(other.kept)
    assert (["ship", "test"], []) == (sorted(same.begun), sorted(other.begun))


@given(st.lists(st.sampled_from(STATES), min_size=6, max_size=6), st.data())
def test_nothing_is_kept_behind_what_runs_and_what_is_kept_ended_well(
    states: list[str], data: st.DataObject
) -> None:
    names = "abcdef"
    needs = [" ".join(data.draw(st.sets(st.sampled_from(names[:n])))) if n else "" for n in range(len(names))]
    jobs = tuple(job(name, needs=need) for name, need in zip(names, needs, strict=True))
    past = was(jobs, **dict(zip(names, states, strict=True)))

    decisions = {each.leg.id: each for each in decide_legs(jobs, past, digests(jobs))}

    assert sorted(names) == sorted(decisions)
    for each in jobs:
        kept = isinstance(decisions[each.name], KeptLeg)
        before = all(isinstance(decisions[need.job], KeptLeg) for need in each.needs)
        assert kept == (before and past[each.name].state in GOOD)


# The graph goes on from there.

PASSED = JobOutcome(JobResult.PASSED, "it exited with code 0", 0)
FAILED = JobOutcome(JobResult.FAILED, "it exited with code 1", 1)


def test_what_is_kept_is_over_before_the_run_begins_and_hands_on_what_it_had() -> None:
    graph = JobGraph((job("a", values=("v",)), job("b", needs="a")), 4)
    graph.keep("a", replace(PASSED, outputs={"v": "1"}), 2)

    graph.begin()

    kept, start = graph.decide()
    assert isinstance(kept, Kept) and ("a", 2) == (kept.leg.id, kept.attempt)
    assert isinstance(start, StartLeg) and ("b", 1) == (start.leg.id, start.attempt)
    assert {"v": "1"} == graph.outputs_for(start.leg)["a"]["outputs"]


def test_a_run_of_which_all_is_kept_is_over() -> None:
    graph = JobGraph((job("a"), job("b", needs="a"), job("t", legs=2, needs="b")), 4)
    for leg in ("t (1)", "a", "t (2)", "b"):
        graph.keep(leg, PASSED, 1)

    graph.begin()

    assert (True, 4) == (graph.over, len(graph.decide()))


def test_a_lost_attempt_costs_none_of_those_that_are_left() -> None:
    graph = JobGraph((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),), 4)
    graph.go_on("a", 2, 1, "attempt 2 was lost with the runner")  # the first one failed
    graph.begin()
    [start] = graph.decide()

    graph.attempt_ended("a", 3, FAILED, 0.0)

    assert isinstance(start, StartLeg)
    assert (3, "it needs nothing; attempt 2 was lost with the runner") == (start.attempt, start.reason)
    [end] = graph.decide()
    assert isinstance(end, FinishLeg) and (JobResult.FAILED, 3) == (end.outcome.result, end.attempt)


def test_one_that_had_attempts_left_has_them_still() -> None:
    graph = JobGraph((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),), 4)
    graph.go_on("a", 5, 5, "it had failed")
    graph.begin()
    graph.decide()

    graph.attempt_ended("a", 6, FAILED, 0.0)

    [retry] = graph.decide()
    assert isinstance(retry, RetryLeg) and 7 == retry.attempt
    assert retry.reason.endswith("it is tried again at once, 1 attempt left")


def test_one_that_is_cancelled_before_it_goes_on_has_not_run() -> None:
    graph = JobGraph((job("a"), job("b", needs="a")), 4)
    graph.go_on("b", 1, 1, "attempt 1 was lost with the runner")
    graph.begin()

    graph.cancel("b", "by hand")

    [*_, end] = graph.decide()
    assert isinstance(end, FinishLeg) and ("b", 0) == (end.leg.id, end.attempt)


# In the background.


def decide(jobs: tuple[JobSpec, ...], past: Mapping[str, PastLeg]) -> list[LegDecision]:
    return decide_legs(jobs, past, digests(jobs))


@pytest.mark.parametrize("state", ["running", "passed", "cancelled", "allowed"])
def test_what_used_one_in_the_background_and_passed_is_kept_whatever_its_end_was(state: str) -> None:
    jobs = (job("db", background=True), job("a", needs="db"), job("b", needs="a"))

    decisions = decide(jobs, was(jobs, db=state, a="passed", b="passed"))

    assert {} == reasons(decisions)


@pytest.mark.parametrize("state", ["running", "passed", "cancelled"])
def test_one_in_the_background_runs_where_something_runs_that_needs_it(state: str) -> None:
    jobs = (
        job("db", background=True),
        job("api", needs="db", background=True),
        job("a", needs="db"),
        job("test", needs="api"),
    )

    decisions = decide(jobs, was(jobs, db=state, api=state, a="passed", test="failed"))

    assert {
        "db": "'api', which needs it, runs",
        "api": "'test', which needs it, runs",
        "test": "it had failed",
    } == reasons(decisions)


def test_one_in_the_background_that_failed_takes_along_all_that_need_it() -> None:
    jobs = (job("db", background=True), job("a", needs="db"))

    assert {"db": "it had failed", "a": "'db', which it needs, runs"} == reasons(
        decide(jobs, was(jobs, db="failed", a="passed"))
    )


def test_one_in_the_background_that_nobody_needs_is_judged_as_any_job_is() -> None:
    jobs = (job("web", background=True), job("lint"))

    assert {"web": "it had been cancelled"} == reasons(
        decide(jobs, was(jobs, web="cancelled", lint="passed"))
    )

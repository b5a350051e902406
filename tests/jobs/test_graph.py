"""The graph: histories replayed by tables, and by Hypothesis through random graphs, endings and stops."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs_plays import CANCELLED, FAILED, PASSED, TIMED_OUT, UP_TO_DATE, Play, play
from jobs_specs import job

from runner.jobs.graph import CancelLeg, FinishLeg, RetryLeg, StartLeg
from runner.jobs.outcomes import JobOutcome
from runner.spec.jobs.model import AttemptsSpec, ConcurrencySpec, JobSpec, NeedSpec
from runner.spec.model import JobResult


def test_a_chain_runs_in_its_order_whatever_the_order_of_the_file() -> None:
    done = play(job("c", needs="b"), job("b", needs="a"), job("a"))

    assert ["a", "b", "c"] == done.started


def test_what_needs_nothing_says_so_and_what_needs_something_says_what_became_of_it() -> None:
    done = play(job("a"), job("b"), job("c", needs="a b"))

    reasons = {d.leg.id: d.reason for d in done.decisions if isinstance(d, StartLeg)}
    assert {
        "a": "it needs nothing",
        "b": "it needs nothing",
        "c": "needs are done: a passed, b passed",
    } == reasons


def test_a_failure_keeps_all_behind_it_from_running_and_names_the_first() -> None:
    done = play(job("a"), job("b", needs="a"), job("c", needs="b"), job("d"), a=[FAILED])

    assert {"a": "failed", "b": "skipped", "c": "skipped", "d": "passed"} == done.results
    assert ("need 'a' failed", "need 'b' did not run, as 'a' failed") == (
        done.reasons["b"],
        done.reasons["c"],
    )


@pytest.mark.parametrize(
    "ending",
    [pytest.param(UP_TO_DATE, id="up to date"), pytest.param(PASSED, id="passed")],
)
def test_a_need_that_had_no_need_to_run_is_no_hindrance(ending: JobOutcome) -> None:
    done = play(job("a"), job("b", needs="a"), a=[ending])

    assert "passed" == done.results["b"]


def test_a_need_that_its_own_condition_skipped_is_no_hindrance() -> None:
    done = play(job("a", condition="false"), job("b", needs="a"), job("c", needs="b"))

    assert {"a": "skipped", "b": "passed", "c": "passed"} == done.results


def test_what_ran_in_spite_of_a_failure_makes_a_fresh_start() -> None:
    """On GitHub a failure far above still stops what comes after an `always()`."""
    done = play(
        job("a"), job("clean", needs="a", condition="always()"), job("after", needs="clean"), a=[FAILED]
    )

    assert {"a": "failed", "clean": "passed", "after": "passed"} == done.results


def test_failure_is_seen_through_those_that_it_kept_from_running() -> None:
    done = play(job("a"), job("b", needs="a"), job("alarm", needs="b", condition="failure()"), a=[FAILED])

    assert {"a": "failed", "b": "skipped", "alarm": "passed"} == done.results


def test_a_job_whose_own_condition_was_false_after_a_failure_does_not_pass_the_failure_on() -> None:
    done = play(job("a"), job("alarm", needs="a", condition="failure()"), job("b", needs="alarm"), a=[PASSED])

    assert {"a": "passed", "alarm": "skipped", "b": "passed"} == done.results


def test_the_result_of_an_optional_need_does_not_matter() -> None:
    done = play(job("a"), job("b", needs=[NeedSpec("a", optional=True)]), a=[FAILED])

    assert {"a": "failed", "b": "passed"} == done.results


def test_a_failure_that_is_allowed_is_a_result_of_its_own() -> None:
    done = play(job("a", may_fail=True), job("b", needs="a"), a=[FAILED])

    assert {"a": "allowed", "b": "passed"} == done.results
    assert "it exited with code 1, which `continue-on-error` allows" == done.reasons["a"]


def test_a_leg_that_fails_cancels_its_siblings_and_nobody_else() -> None:
    run = Play((job("t", legs=3), job("other")), capacity=3)
    assert ["t (1)", "t (2)", "t (3)"] == run.started

    run.end("t (1)", FAILED)

    off = [(d.leg.id, d.running) for d in run.decisions if isinstance(d, CancelLeg)]
    assert [("t (2)", True), ("t (3)", True)] == off
    run.end("t (2)", CANCELLED)
    run.end("t (3)", PASSED)  # it was done before it heard
    run.play()
    assert {"t (1)": "failed", "t (2)": "cancelled", "t (3)": "passed", "other": "passed"} == run.results
    assert "fail-fast: 't (1)' failed" == run.reasons["t (2)"]


def test_a_leg_that_waits_for_room_is_cancelled_at_once() -> None:
    run = Play((job("t", legs=3, max_parallel=1),))

    run.end("t (1)", FAILED)

    assert {"t (1)": "failed", "t (2)": "cancelled", "t (3)": "cancelled"} == run.results
    assert run.graph.over


def test_without_fail_fast_the_other_legs_go_on() -> None:
    done = Play(
        (job("t", legs=3, fail_fast=False), job("after", needs="t")), endings={"t (1)": [FAILED]}
    ).play()

    assert {"t (1)": "failed", "t (2)": "passed", "t (3)": "passed", "after": "skipped"} == done.results


def test_an_allowed_failure_of_a_leg_cancels_nobody() -> None:
    done = Play((job("t", legs=2, may_fail=True),), endings={"t (1)": [FAILED]}).play()

    assert {"t (1)": "allowed", "t (2)": "passed"} == done.results


def test_max_parallel_bounds_the_legs_of_one_job_alone() -> None:
    run = Play((job("t", legs=4, max_parallel=2), job("other")))

    assert ["t (1)", "t (2)", "other"] == run.started
    run.end("t (2)")
    assert ["t (1)", "t (2)", "other", "t (3)"] == run.started


def test_a_group_is_first_come_first_served_and_keeps_no_seat_from_others() -> None:
    group = ConcurrencySpec("port")
    run = Play(
        (job("a", concurrency=group), job("b", concurrency=group), job("c", concurrency=group), job("free")),
        capacity=2,
    )

    assert ["a", "free"] == run.started
    run.end("a")
    run.end("free")
    assert ["a", "free", "b"] == run.started
    run.end("b")
    assert ["a", "free", "b", "c"] == run.started


def test_a_seat_is_filled_as_soon_as_it_is_free() -> None:
    run = Play(tuple(job(name) for name in "abcd"), capacity=2)

    run.end("b")

    assert ["a", "b", "c"] == run.started


def test_an_attempt_that_failed_is_made_again_after_a_wait_that_doubles() -> None:
    attempts = AttemptsSpec(max=3, backoff=1.0)
    run = Play((job("a", attempts=attempts),))

    run.end("a", FAILED)
    assert (1.0, True) == (run.graph.due, not run.running)
    run.wait(1.0)
    run.end("a", FAILED)
    assert 3.0 == run.graph.due
    run.wait(2.0)
    run.end("a", PASSED)

    retries = [(d.attempt, d.delay) for d in run.decisions if isinstance(d, RetryLeg)]
    assert ([(2, 1.0), (3, 2.0)], {"a": "passed"}) == (retries, run.results)


def test_of_several_that_wait_the_soonest_is_due_and_who_is_looked_at_late_begins_all_the_same() -> None:
    run = Play(
        (job("slow", attempts=AttemptsSpec(max=2, backoff=5.0)), job("a", attempts=AttemptsSpec(max=2)))
    )
    run.end("slow", FAILED)
    run.end("a", FAILED)

    assert 1.0 == run.graph.due
    run.wait(7.5)

    assert ["slow", "a", "a", "slow"] == run.started


def test_who_waits_for_another_attempt_gives_the_seat_to_others() -> None:
    run = Play((job("a", attempts=AttemptsSpec(max=2)), job("b")), capacity=1)

    run.end("a", FAILED)

    assert ["a", "b"] == run.started


def test_the_time_of_a_job_runs_from_the_moment_its_first_attempt_begins() -> None:
    run = Play((job("a", timeout=10.0, attempts=AttemptsSpec(max=9, backoff=4.0)),), now=100.0)

    run.wait(5.0)  # until there is a worker
    run.graph.attempt_begun("a", run.now)
    run.end("a", FAILED)
    run.wait(4.0)
    run.graph.attempt_begun("a", run.now)
    run.end("a", FAILED)  # the next wait would end after the job's time

    deadlines = [decision.deadline for decision in run.decisions if isinstance(decision, StartLeg)]
    assert ([math.inf, 115.0], {"a": "failed"}) == (deadlines, run.results)


def test_a_word_about_an_attempt_that_is_over_changes_nothing() -> None:
    run = Play((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),))
    run.end("a", FAILED)
    run.wait(0.0)

    run.graph.attempt_ended("a", 1, PASSED, 0.0)

    assert [] == run.graph.decide()


def test_stopping_calls_off_what_runs_and_what_waits_but_not_what_asks_for_it() -> None:
    jobs = (
        job("a"),
        job("b", needs="a"),
        job("clean", needs="a", condition="always()"),
        job("undo", needs="a", condition="cancelled()"),
        job("alarm", needs="a", condition="failure()"),
    )
    run = Play(jobs)

    run.stop()
    run.end("a", CANCELLED)
    run.play()

    assert {
        "a": "cancelled",
        "b": "cancelled",
        "clean": "passed",
        "undo": "passed",
        "alarm": "cancelled",
    } == run.results


def test_stopping_lets_run_on_what_runs_always() -> None:
    run = Play((job("a", condition="always()"), job("b")))

    run.stop()

    assert ["b"] == [d.leg.id for d in run.decisions if isinstance(d, CancelLeg)]


def test_nothing_is_tried_again_once_the_run_is_being_stopped() -> None:
    run = Play((job("a", attempts=AttemptsSpec(max=9)),))

    run.stop()
    run.end("a", FAILED)

    assert ({"a": "cancelled"}, True) == (run.results, run.graph.over)


def test_a_leg_that_rests_between_attempts_is_called_off_at_once() -> None:
    run = Play((job("a", attempts=AttemptsSpec(max=9)),))
    run.end("a", FAILED)

    run.stop()

    assert ({"a": "cancelled"}, True) == (run.results, run.graph.over)


def test_what_is_broken_off_is_cancelled_all_of_it_once() -> None:
    jobs = (job("a"), job("b", needs="a", condition="always()"), job("done"))
    run = Play(jobs)
    run.end("done")

    run.graph.abort("stopped by SIGTERM")
    run.take()

    assert ({"a": "cancelled", "b": "cancelled", "done": "passed"}, True) == (run.results, run.graph.over)
    assert {"a": 1, "b": 0} == {
        d.leg.id: d.attempt
        for d in run.decisions
        if isinstance(d, FinishLeg) and d.outcome.result == "cancelled"
    }
    assert {"a": "stopped by SIGTERM", "b": "stopped by SIGTERM"} == {
        d.leg.id: d.reason for d in run.decisions if isinstance(d, CancelLeg)
    }


def test_what_was_called_off_before_keeps_its_reason_when_all_is_broken_off() -> None:
    run = Play((job("a"),))
    run.stop("stopped by SIGINT")

    run.graph.abort("its supervisor ends")
    run.take()

    assert ["stopped by SIGINT"] == [d.reason for d in run.decisions if isinstance(d, CancelLeg)]
    assert {"a": "cancelled"} == run.results


def test_a_long_chain_of_jobs_that_are_skipped_is_no_deep_recursion() -> None:
    jobs = [job("j0"), *(job(f"j{n}", needs=f"j{n - 1}") for n in range(1, 1500))]

    done = Play(tuple(jobs), endings={"j0": [FAILED]}).play()

    assert ("need 'j1498' did not run, as 'j0' failed", 1500) == (done.reasons["j1499"], len(done.results))


def test_outputs_are_those_of_the_needs_and_a_matrix_gives_a_map_of_its_legs() -> None:
    jobs = (job("one", values=("v",)), job("many", legs=2, values=("v",)), job("after", needs="one many"))
    run = Play(jobs)
    for leg, value in (("one", "1"), ("many (1)", "a"), ("many (2)", "b")):
        run.end(leg, JobOutcome(JobResult.PASSED, "", 0, outputs={"v": value}))

    needs = run.graph.outputs_for(jobs[2].legs[0])

    assert {"one": {"v": "1"}, "many": {"v": {"1": "a", "2": "b"}}} == {
        name: dict(need["outputs"]) for name, need in needs.items()
    }
    assert ["one", "many (1)", "many (2)"] == run.graph.needs_of(jobs[2].legs[0])


# ── any graph, any endings, a stop at any moment ──

CONDITIONS = ("", "always()", "failure()", "cancelled()", "!cancelled()", "success() || failure()", "false")
ENDINGS = (PASSED, PASSED, FAILED, TIMED_OUT, UP_TO_DATE)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[JobSpec, ...]:
    count = draw(st.integers(1, 8))
    group = st.none() | st.builds(ConcurrencySpec, st.sampled_from(["g", "h"]), st.just(2))
    return tuple(
        job(
            f"j{number}",
            needs=[
                NeedSpec(f"j{other}", draw(st.booleans()))
                for other in sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))
            ]
            if number
            else (),
            legs=draw(st.sampled_from([0, 0, 1, 3])),
            condition=draw(st.sampled_from(CONDITIONS)),
            fail_fast=draw(st.booleans()),
            max_parallel=draw(st.sampled_from([None, 1, 2])),
            may_fail=draw(st.booleans()),
            attempts=AttemptsSpec(max=draw(st.integers(1, 3)), backoff=draw(st.sampled_from([0.0, 1.0]))),
            concurrency=draw(group),
        )
        for number in range(count)
    )


@settings(max_examples=120, deadline=None)
@given(jobs=graphs(), capacity=st.integers(1, 4), data=st.data())
def test_every_leg_comes_to_one_end_and_no_seat_is_free_while_somebody_could_have_it(
    jobs: tuple[JobSpec, ...], capacity: int, data: st.DataObject
) -> None:
    run = Play(jobs, capacity)
    stop_after = data.draw(st.none() | st.integers(0, 6))
    steps = 0
    while not run.graph.over:
        if steps == stop_after:
            run.stop()
            if run.graph.over:
                break
        steps += 1
        if run.running:
            leg = data.draw(st.sampled_from(sorted(run.running)))
            run.end(leg, data.draw(st.sampled_from(ENDINGS)))
        else:
            assert run.graph.due < math.inf, "nothing runs and nothing is due, though legs are left"
            run.wait(run.graph.due - run.now)

    legs = [leg.id for each in jobs for leg in each.legs]
    over = [decision.leg.id for decision in run.decisions if isinstance(decision, FinishLeg)]
    assert sorted(legs) == sorted(over)
    assert run.most <= capacity
    assert {} == run.running


@settings(max_examples=80, deadline=None)
@given(jobs=graphs(), data=st.data())
def test_no_leg_starts_before_all_that_it_needs_is_over_and_none_beyond_its_bounds(
    jobs: tuple[JobSpec, ...], data: st.DataObject
) -> None:
    run = Play(jobs, capacity=100)
    needs = {leg.id: [n.job for n in each.needs] for each in jobs for leg in each.legs}
    legs_of = {each.name: {leg.id for leg in each.legs} for each in jobs}
    while not run.graph.over:
        for each in jobs:
            assert (
                len(legs_of[each.name] & run.running.keys()) <= (each.max_parallel or 100)
                or not each.has_matrix
            )
        in_group = [
            g.concurrency.group for e in jobs for g in e.legs if g.concurrency and g.id in run.running
        ]
        assert all(in_group.count(group) <= 2 for group in in_group)
        for leg in run.running:
            assert all(legs_of[need] <= run.results.keys() for need in needs[leg])
        if run.running:
            leg = data.draw(st.sampled_from(sorted(run.running)))
            run.end(leg, data.draw(st.sampled_from(ENDINGS)))
        else:
            run.wait(run.graph.due - run.now)

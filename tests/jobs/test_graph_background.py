"""Jobs in the background: who waits for them, how long they go on, and that no graph of them ever hangs."""

from __future__ import annotations

import math

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jobs_plays import CANCELLED, FAILED, PASSED, TIMED_OUT, UP_TO_DATE, Play
from jobs_specs import job

from runner.jobs.graph import FinishLeg, StartLeg
from runner.jobs.outcomes import JobOutcome
from runner.spec.jobs.model import AttemptsSpec, ConcurrencySpec, JobSpec, NeedSpec
from runner.spec.model import JobResult

ENDED = JobOutcome(JobResult.PASSED, "it was ended, as nobody needs it any more")
DIED = JobOutcome(JobResult.FAILED, "it exited with code 0: it ended before those that need it", 0)


def test_those_that_need_it_start_when_it_is_ready_and_not_before() -> None:
    run = Play((job("db", background=True), job("api", needs="db")))
    assert ["db"] == run.started

    run.get_ready("db")

    assert ["db", "api"] == run.started
    assert "need is done: db is ready" == [d.reason for d in run.decisions if isinstance(d, StartLeg)][-1]


def test_it_is_ended_when_the_last_that_needs_it_is_over_and_that_is_well() -> None:
    run = Play((job("db", background=True), job("a", needs="db"), job("b", needs="db")))
    run.get_ready("db")

    run.end("a")
    assert [] == run.released
    run.end("b", FAILED)
    assert ["db"] == run.released
    run.end("db", ENDED)

    assert {"db": "passed", "a": "passed", "b": "failed"} == run.results
    assert run.graph.over


def test_one_that_another_in_the_background_needs_is_ended_after_that() -> None:
    run = Play(
        (job("db", background=True), job("api", needs="db", background=True), job("test", needs="api"))
    )
    run.get_ready("db")
    run.get_ready("api")

    run.end("test")
    assert ["api"] == run.released
    run.end("api", ENDED)
    assert ["api", "db"] == run.released


def test_of_a_diamond_the_foot_stays_until_both_sides_are_over() -> None:
    run = Play(
        (
            job("db", background=True),
            job("left", needs="db", background=True),
            job("right", needs="db"),
            job("top", needs="left right"),
        )
    )
    run.get_ready("db")
    run.get_ready("left")
    run.end("right")
    assert [] == run.released
    run.end("top")
    run.end("left", ENDED)

    assert ["left", "db"] == run.released


def test_what_it_hands_on_when_it_is_ready_is_known_to_those_that_need_it() -> None:
    jobs = (job("db", background=True, values=("port",)), job("api", needs="db"))
    run = Play(jobs)

    run.get_ready("db", port="5433")

    assert {"port": "5433"} == dict(run.graph.outputs_for(jobs[1].legs[0])["db"]["outputs"])


def test_every_leg_of_a_matrix_has_to_be_ready() -> None:
    run = Play((job("db", background=True, legs=2), job("api", needs="db")))
    run.get_ready("db (2)")
    assert ["db (1)", "db (2)"] == run.started
    run.get_ready("db (1)")

    assert "api" == run.started[-1]


def test_it_takes_no_slot() -> None:
    run = Play((job("db", background=True), job("cache", background=True), job("a", needs="db cache")), 1)
    run.get_ready("db")
    run.get_ready("cache")

    assert ["db", "cache", "a"] == run.started


def test_one_that_nobody_needs_goes_on_until_all_others_are_over() -> None:
    run = Play((job("web", background=True), job("lint"), job("test")))
    run.get_ready("web")
    run.end("lint")
    assert [] == run.released
    run.end("test")

    assert ["web"] == run.released


def test_one_that_nobody_needs_gets_ready_before_it_is_ended() -> None:
    run = Play((job("web", background=True), job("lint")))
    run.end("lint")
    assert ([], {}) == (run.released, run.cancelled)
    run.get_ready("web")

    assert ["web"] == run.released


def test_where_there_are_no_others_but_what_it_needs_itself_it_goes_on_until_the_run_is_stopped() -> None:
    run = Play((job("build"), job("db", background=True), job("web", needs="build db", background=True)))
    run.get_ready("db")
    run.end("build")
    run.get_ready("web")
    assert [] == run.released

    run.stop()
    assert {"web": "stopped by SIGINT"} == run.cancelled
    run.end("web", CANCELLED)
    assert ["db"] == run.released
    run.end("db", ENDED)

    assert run.graph.over


@pytest.mark.parametrize("ending", [FAILED, DIED, TIMED_OUT])
def test_a_failure_before_it_is_ready_keeps_those_that_need_it_from_running(ending: JobOutcome) -> None:
    run = Play((job("db", background=True), job("api", needs="db"), job("e2e", needs="api")))

    run.end("db", ending)

    assert {"api": "skipped", "e2e": "skipped"} == {k: run.results[k] for k in ("api", "e2e")}
    blocked = {d.leg.id: d.outcome.blocked_by for d in run.decisions if isinstance(d, FinishLeg)}
    assert blocked["e2e"] == blocked["api"] is not None


def test_a_death_after_that_cancels_those_that_run_and_names_itself_as_the_cause() -> None:
    run = Play((job("db", background=True), job("api", needs="db"), job("e2e", needs="api")))
    run.get_ready("db")

    run.end("db", DIED)

    why = "'db', which it needs, failed: it exited with code 0: it ended before those that need it"
    assert {"api": why} == run.cancelled
    run.end("api", CANCELLED)
    assert {"db": "failed", "api": "cancelled", "e2e": "skipped"} == run.results
    assert why == run.reasons["api"]


def test_a_death_skips_those_that_wait_for_a_place_and_spares_those_that_run_whatever_happens() -> None:
    run = Play(
        (
            job("db", background=True),
            job("one", needs="db", condition="always()"),
            job("two", needs="db"),
            job("three", needs=[NeedSpec("db", optional=True)]),
        ),
        1,
    )
    run.get_ready("db")
    assert ["one"] == list(run.running.keys() - {"db"})

    run.end("db", DIED)
    assert {} == run.cancelled
    run.end("one")
    run.end("three")

    assert {"db": "failed", "one": "passed", "two": "skipped", "three": "passed"} == run.results


def test_a_death_that_is_allowed_cancels_nobody() -> None:
    run = Play((job("db", background=True, may_fail=True), job("api", needs="db")))
    run.get_ready("db")
    run.end("db", DIED)
    run.end("api")

    assert {"db": "allowed", "api": "passed"} == run.results


def test_a_death_cancels_through_others_in_the_background() -> None:
    run = Play(
        (job("db", background=True), job("api", needs="db", background=True), job("test", needs="api"))
    )
    run.get_ready("db")
    run.get_ready("api")
    run.end("db", DIED)
    run.end("api", CANCELLED)
    run.end("test", CANCELLED)

    assert {"db": "failed", "api": "cancelled", "test": "cancelled"} == run.results


def test_it_is_tried_again_until_it_is_ready_and_never_after_that() -> None:
    twice = AttemptsSpec(max=3, backoff=0.0)
    run = Play((job("db", background=True, attempts=twice), job("api", needs="db")))
    run.end("db", FAILED)
    run.wait(0)
    assert 2 == run.running["db"]
    run.get_ready("db")

    run.end("db", DIED)

    assert "failed" == run.results["db"]


def test_what_is_told_of_an_attempt_that_is_over_makes_nobody_start() -> None:
    run = Play(
        (job("db", background=True, attempts=AttemptsSpec(max=2, backoff=0.0)), job("api", needs="db"))
    )
    run.end("db", FAILED)
    run.wait(0)

    assert not run.graph.leg_ready("db", 1, {})
    assert run.graph.leg_ready("db", 2, {})


def test_one_that_is_cancelled_takes_along_those_that_need_it() -> None:
    run = Play((job("db", background=True), job("api", needs="db")))
    run.get_ready("db")
    run.cancel("db")
    run.end("db", CANCELLED)
    run.end("api", CANCELLED)

    assert {"db": "cancelled", "api": "cancelled"} == run.results
    assert "'db', which it needs, was cancelled: stopped by `mprun stop`" == run.reasons["api"]


def test_one_whose_only_user_is_cancelled_before_it_is_ready_is_not_waited_for() -> None:
    run = Play((job("db", background=True), job("api", needs="db")))

    run.cancel("api")

    assert "all jobs that need it are over" == run.cancelled["db"]


def test_a_stop_leaves_it_to_those_that_clean_up() -> None:
    run = Play(
        (
            job("db", background=True),
            job("api", needs="db"),
            job("dump", needs="db api", condition="always()"),
        )
    )
    run.get_ready("db")
    run.stop()
    assert {"api": "stopped by SIGINT"} == run.cancelled

    run.end("api", CANCELLED)
    assert "dump" in run.running
    run.end("dump")

    assert ["db"] == run.released


# ── any graph, any endings, a stop or a cancellation at any moment ──

CONDITIONS = ("", "", "always()", "failure()", "cancelled()", "success() || failure()", "false")
ENDINGS = (PASSED, PASSED, FAILED, TIMED_OUT, UP_TO_DATE)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[JobSpec, ...]:
    count = draw(st.integers(1, 8))
    group = st.none() | st.builds(ConcurrencySpec, st.sampled_from(["g", "h"]), st.just(1))
    return tuple(
        job(
            f"j{number}",
            needs=[
                NeedSpec(f"j{other}", draw(st.sampled_from([False, False, True])))
                for other in sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))
            ]
            if number
            else (),
            legs=draw(st.sampled_from([0, 0, 0, 1, 2])),
            condition=draw(st.sampled_from(CONDITIONS)),
            fail_fast=draw(st.booleans()),
            max_parallel=draw(st.sampled_from([None, 1, 2])),
            may_fail=draw(st.booleans()),
            attempts=AttemptsSpec(max=draw(st.integers(1, 2)), backoff=draw(st.sampled_from([0.0, 1.0]))),
            concurrency=draw(group),
            background=draw(st.booleans()),
        )
        for number in range(count)
    )


@settings(max_examples=200, deadline=None)
@given(jobs=graphs(), capacity=st.integers(1, 3), data=st.data())
def test_every_graph_ends_as_long_as_what_runs_in_its_foreground_does(
    jobs: tuple[JobSpec, ...], capacity: int, data: st.DataObject
) -> None:
    """One in the background never ends by itself here, unless it is to fail: only when it is asked to."""
    run = Play(jobs, capacity)
    background = {leg.id for each in jobs for leg in each.legs if leg.background}
    ready: set[tuple[str, int]] = set()
    stop_after, steps = data.draw(st.none() | st.integers(0, 8)), 0
    while not run.graph.over:
        if steps == stop_after:
            run.stop()
        steps += 1
        asked = {*run.released, *run.cancelled}
        getting_ready = [
            leg for leg in run.running if leg in background and (leg, run.running[leg]) not in ready | asked
        ]
        can_move = [
            leg for leg in run.running if leg not in background or leg in asked or leg in getting_ready
        ]
        if can_move:
            leg = data.draw(st.sampled_from(sorted(can_move)))
            if leg in asked:
                run.end(leg, CANCELLED if leg in run.cancelled else ENDED)
            elif leg not in background:
                run.end(leg, data.draw(st.sampled_from(ENDINGS)))
            elif data.draw(st.booleans()):
                ready.add((leg, run.running[leg]))
                run.get_ready(leg)
            else:
                run.end(leg, data.draw(st.sampled_from([FAILED, PASSED, TIMED_OUT])))
        elif run.graph.due < math.inf:
            run.wait(run.graph.due - run.now)
        elif run.running and data.draw(st.booleans()):
            event("one in the background died")
            run.end(data.draw(st.sampled_from(sorted(run.running))), DIED)
        else:
            # Only what nobody needs may be left, with nothing but itself and what it uses: it waits for Ctrl-C.
            event("it goes on until it is stopped")
            assert run.running and run.running.keys() <= background, "nothing can move, though legs are left"
            assert all(status.state in ("running", *map(str, JobResult)) for status in run.graph.status())
            left = {status.job.split()[0] for status in run.graph.status() if status.state == "running"}
            users = {name: {e.name for e in jobs if name in {n.job for n in e.needs}} for name in left}
            assert all(not used_by or used_by & left for used_by in users.values()), "nobody uses it any more"
            run.stop("stopped by SIGINT")
            assert {*run.released, *run.cancelled} & run.running.keys() or run.graph.over

    legs = [leg.id for each in jobs for leg in each.legs]
    over = [decision.leg.id for decision in run.decisions if isinstance(decision, FinishLeg)]
    assert sorted(legs) == sorted(over)
    assert run.most <= capacity
    assert {} == run.running


@settings(max_examples=150, deadline=None)
@given(jobs=graphs(), data=st.data())
def test_nobody_starts_before_what_it_needs_is_ready_and_none_is_released_that_somebody_uses(
    jobs: tuple[JobSpec, ...], data: st.DataObject
) -> None:
    run = Play(jobs, capacity=100)
    legs_of = {each.name: [leg.id for leg in each.legs] for each in jobs}
    background = {leg.id for each in jobs for leg in each.legs if leg.background}
    needs = {leg.id: [n.job for n in each.needs] for each in jobs for leg in each.legs}
    ready: set[str] = set()
    for _ in range(60):
        for leg in run.running:
            assert all(
                other in run.results or other in ready for need in needs[leg] for other in legs_of[need]
            )
            for need in needs[leg]:
                assert not {*legs_of[need]} & {*run.released} - run.results.keys()
        movable = sorted(leg for leg in run.running if leg not in ready or leg in run.released)
        if not movable:
            break
        leg = data.draw(st.sampled_from(movable))
        if leg in background and leg not in ready:
            ready.add(leg)
            run.get_ready(leg)
        else:
            run.end(leg, ENDED if leg in background else data.draw(st.sampled_from([PASSED, PASSED, FAILED])))

"""The numbers of runs: what is told of a state, and of several at once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop_events import finished, item_failed, item_retried, letter, progress, started, timed, watched

from runner.events.item_times import BUCKETS, ItemTimes, begin_of, bucket_of
from runner.events.run import RunProgress
from runner.spec.failures import OnError
from runner.telemetry.contract import BY_NAME, TIME_BOUNDS, Action
from runner.telemetry.samples import Buckets, attempts_failed, bucketed, measure, totals
from runner.watch.event_counts import StageEvents
from runner.watch.state import RunState


def value(states: list[RunState], name: str, *labels: str) -> object:
    return totals(states).get(BY_NAME[name], {}).get(("shop", *labels))


@pytest.mark.parametrize(
    ("seconds", "place"),
    [(1e-6, 0), (0.00095, 0), (0.00115, 1), (0.3, 8), (59.0, 12), (3500.0, 15), (5000.0, 16)],
)
def test_a_time_is_in_the_bucket_whose_bound_it_does_not_reach(seconds: float, place: int) -> None:
    found = bucketed(ItemTimes({bucket_of(int(seconds * 1e9)): 3}))

    assert [3 if each == place else 0 for each in range(len(TIME_BOUNDS) + 1)] == list(found.counts)


@given(st.dictionaries(st.integers(0, BUCKETS - 2), st.integers(1, 1000), max_size=20))
def test_no_time_is_lost_and_the_sum_is_right_to_a_sixteenth(counts: dict[int, int]) -> None:
    found = bucketed(ItemTimes(counts))

    assert sum(found.counts) == sum(counts.values())
    least = sum(items * begin_of(bucket) for bucket, items in counts.items())
    most = sum(items * begin_of(bucket + 1) for bucket, items in counts.items())
    assert least <= found.total <= most or found.total == pytest.approx(least)


@pytest.mark.parametrize(
    ("events", "failed", "expected"),
    [
        (StageEvents(), 0, {}),
        (StageEvents(retried=4), 0, {Action.RETRIED: 4}),
        (StageEvents(failed=Counter({OnError.SKIP: 2})), 2, {Action.SKIPPED: 2}),
        # Some events are missing, or still on their way: workers have counted more.
        (StageEvents(failed=Counter({OnError.SKIP: 2})), 5, {Action.SKIPPED: 5}),
        (StageEvents(), 1, {Action.FAILED: 1}),
        # Items that killed their workers became letters without having failed.
        (StageEvents(dead_lettered=2), 2, {Action.DEAD_LETTERED: 2}),
        (
            StageEvents(failed=Counter({OnError.DEAD_LETTER: 2, OnError.SKIP: 1}), dead_lettered=3),
            4,
            {Action.DEAD_LETTERED: 3, Action.SKIPPED: 1},
        ),
    ],
)
def test_what_became_of_attempts_adds_up_to_what_workers_have_counted(
    events: StageEvents, failed: int, expected: dict[Action, int]
) -> None:
    found = attempts_failed(events, failed)

    assert expected == {action: count for action, count in found.items() if count}
    assert set(Action) == set(found)


def test_nothing_is_told_of_a_run_that_has_not_begun() -> None:
    assert [] == list(measure(RunState()))


def test_a_run_tells_its_phase_and_an_ended_one_its_outcome() -> None:
    assert 1.0 == value([watched(started())], "mprun_run_phase", "running")
    assert 1.0 == value([watched(started(), *finished())], "mprun_run_phase", "done")
    assert 0.0 == value([watched(started(), *finished())], "mprun_run_phase", "running")


def test_a_record_tells_how_old_its_last_cut_is_and_whether_anything_is_missing() -> None:
    kept = watched(started(), _recorded(998.5))
    broken = watched(started(), _recorded(999.0, "the disk is full"))
    names = "mprun_record_cut_age_seconds", "mprun_record_incomplete"

    assert [2.5, 0.0] == [value([kept], name) for name in names]
    assert [2.5, 1.0] == [value([kept, broken], name) for name in names]
    assert [None, 0.0] == [value([watched(started(), progress())], name) for name in names]
    assert [None, 1.0] == [value([_ended(broken)], name) for name in names]


def _recorded(cut_at: float, trouble: str | None = None) -> RunProgress:
    known = progress()
    return RunProgress(
        elapsed=1.0, stages=known.stages, queues=known.queues, cut_at=cut_at, record_trouble=trouble
    )


def _ended(state: RunState) -> RunState:
    for event in finished():
        state.observe(event.stamped(1100.0, state.run))
    return state


def test_an_event_counts_once_whatever_snapshots_say() -> None:
    events = (item_retried(), item_failed(OnError.DEAD_LETTER), letter())
    state = watched(started(), progress(failed=1, retried=1), *events)

    found = [value([state], "mprun_stage_attempts_failed_total", "chef", each) for each in Action]
    assert [1, 0, 0, 1, 0] == found


def test_several_runs_of_one_workflow_are_added_up_and_others_stand_for_themselves() -> None:
    one, two = watched(started(), progress(done=3)), watched(started(), progress(done=4))
    other = watched(started(workflow="mill"), progress(done=5))

    done = totals([one, two, other])[BY_NAME["mprun_stage_items_done_total"]]
    assert {("shop", "chef"): 7, ("shop", "lister"): 0, ("mill", "chef"): 5, ("mill", "lister"): 0} == done


def test_a_run_that_has_ended_keeps_its_counters_up_and_leaves_the_gauges_to_those_that_live() -> None:
    past = watched(started(), timed(3), progress(done=3, alive=2, waiting=5), *finished(done=3))
    now = watched(started(), timed(2), progress(done=1, alive=1, waiting=2))

    assert 4.0 == value([past, now], "mprun_stage_items_done_total", "chef")
    assert 1.0 == value([past, now], "mprun_stage_workers_alive", "chef")
    assert 2.0 == value([past, now], "mprun_queue_items", "orders")
    times = value([past, now], "mprun_item_duration_seconds", "chef")
    assert isinstance(times, Buckets) and 5 == sum(times.counts)


def test_a_run_that_has_ended_alone_is_told_whole_with_nobody_alive() -> None:
    past = watched(started(), progress(done=3, alive=2, waiting=5), *finished(done=3))

    assert 0.0 == value([past], "mprun_stage_workers_alive", "chef")
    assert 10.0 == value([past], "mprun_queue_capacity_items", "orders")

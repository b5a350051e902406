"""What takes too long, decided from looks and a clock handed in: no process, no sleep."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.run import WorkerOutcome
from runner.ipc.status_page import Pulse, Wait
from runner.process.memory import OomMonitor
from runner.spec.model import HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor import timeouts
from runner.supervisor.timeouts import FirstSeen, Standstill, TimeoutMonitor, WorkerSample, interval
from runner.supervisor.workers import WorkerExit
from runner.transports.base import Transport

STAGES = (
    StageSpec("eater", HandlerRef("python", "m:f"), {}, ("eater",), receives="q", timeout=3.0),
    StageSpec("chef", HandlerRef("python", "m:f"), {}, ("chef",), sends="q"),
    StageSpec("cleaner", HandlerRef("python", "m:f"), {}, ("cleaner",)),
)
PLANS = {
    plan.name: plan
    for plan in make_plan(WorkflowSpec("t", Path("t.yaml"), STAGES, (QueueSpec("q"),))).workers
}
EATER = WorkerSample(PLANS["eater"], 7, Pulse(received=4, done=3, mark=11))
CHEF = WorkerSample(PLANS["chef"], 8, Pulse(sent=6))
CLEANER = WorkerSample(PLANS["cleaner"], 9, Pulse())


def but(sample: WorkerSample, **plan: Any) -> WorkerSample:
    """The same worker with another plan."""
    return replace(sample, plan=replace(sample.plan, **plan))


def at(sample: WorkerSample, **pulse: Any) -> WorkerSample:
    """The same worker with another pulse."""
    return replace(sample, pulse=replace(sample.pulse, **pulse))


def test_the_first_look_at_an_item_is_kept_until_another_is_in_hand() -> None:
    first = timeouts.first_seen(None, EATER, 10.0)

    again = timeouts.first_seen(first, EATER, 11.0)
    next_item = timeouts.first_seen(first, at(EATER, received=5, done=4, mark=12), 12.0)

    assert (10.0, 10.0, 12.0) == (first.at, again.at, next_item.at)


def test_a_new_generation_begins_anew_although_it_holds_the_same_item() -> None:
    first = timeouts.first_seen(None, EATER, 10.0)

    assert 12.0 == timeouts.first_seen(first, replace(EATER, pid=99), 12.0).at


def test_what_a_pipe_stage_puts_on_is_part_of_the_same_item() -> None:
    pipe = but(EATER, role=Role.PIPE, sends="r")
    first = timeouts.first_seen(None, pipe, 10.0)

    assert 10.0 == timeouts.first_seen(first, at(pipe, sent=5), 12.0).at


@pytest.mark.parametrize(
    ("pulse", "now", "expected"),
    [
        ({}, 13.0, 3.0),
        ({"waited": 2.5}, 13.0, 0.5),
        ({"waiting": Wait.ROOM, "waiting_since": 11.0}, 13.0, 1.0),
        ({"waited": 0.5, "waiting": Wait.ROOM, "waiting_since": 11.0}, 13.0, 0.5),
    ],
)
def test_only_the_time_at_work_counts(pulse: dict[str, Any], now: float, expected: float) -> None:
    first = FirstSeen(EATER, 10.0)

    assert expected == pytest.approx(timeouts.worked(first, at(EATER, **pulse), now))


def test_a_wait_that_began_before_the_first_look_is_no_work_either() -> None:
    waiting = at(EATER, waiting=Wait.ROOM, waiting_since=8.0)
    first = FirstSeen(waiting, 10.0)

    assert 1.0 == timeouts.worked(first, at(EATER, waited=4.0), 13.0)  # it waited from 8 to 12


@given(
    waits=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=8),
    looks=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
)
def test_however_work_and_waits_follow_each_other_a_worker_is_never_blamed_too_early(
    waits: list[tuple[float, float]], looks: list[int]
) -> None:
    """Looks at any moments: what is counted as work is never more than the work since the first of them."""
    end = sum(work + wait for work, wait in waits) + 1.0
    moments = sorted(look * end / 1000 for look in looks)
    first = None
    for now in moments:
        sample, truly = _at_moment(waits, now)
        first = timeouts.first_seen(first, sample, now)
        _, before = _at_moment(waits, moments[0])

        assert timeouts.worked(first, sample, now) == pytest.approx(truly - before, abs=1e-6)


def _at_moment(waits: list[tuple[float, float]], now: float) -> tuple[WorkerSample, float]:
    """A worker as it is at a moment, and how long it has truly worked until then."""
    clock = worked = waited = 0.0
    for work, wait in waits:
        if now <= clock + work:
            break
        clock, worked = clock + work, worked + work
        if now < clock + wait:
            pulse = {"waited": waited, "waiting": Wait.ROOM, "waiting_since": clock}
            return at(EATER, **pulse), worked
        clock, waited = clock + wait, waited + wait
    return at(EATER, waited=waited), worked + (now - clock)


@pytest.mark.parametrize(
    ("sample", "now", "expected"),
    [
        (EATER, 12.9, False),
        (EATER, 13.0, True),
        (at(EATER, waiting=Wait.ROOM, waiting_since=10.0), 99.0, False),
        (at(EATER, done=4), 99.0, False),
        (but(EATER, timeout=None), 99.0, False),
        (but(CHEF, timeout=2.0), 12.0, True),
        (but(CLEANER, timeout=2.0), 12.0, True),
    ],
)
def test_overdue_is_whoever_is_at_work_for_longer_than_its_stage_allows(
    sample: WorkerSample, now: float, expected: bool
) -> None:
    assert expected == timeouts.is_overdue(FirstSeen(sample, 10.0), sample, now)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [([], 1.0), ([None, 3.0], 0.3), ([0.1, 60.0], 0.05), ([3600.0], 1.0), ([None], 1.0)],
)
def test_looks_are_as_frequent_as_the_shortest_bound_needs(
    bounds: list[float | None], expected: float
) -> None:
    assert expected == pytest.approx(timeouts.interval(bounds))


@pytest.mark.parametrize(
    "samples",
    [
        [at(EATER, done=4), CHEF],
        [EATER, at(CHEF, sent=7)],
        [EATER],
        [EATER, CHEF, CLEANER],
        [replace(EATER, pid=99), CHEF],
    ],
)
def test_anything_that_changes_is_a_movement(samples: list[WorkerSample]) -> None:
    before = timeouts.standstill(None, [EATER, CHEF], 10.0)

    assert 20.0 == timeouts.standstill(before, samples, 20.0).since


def test_waiting_alone_is_no_movement() -> None:
    before = timeouts.standstill(None, [EATER, CHEF], 10.0)
    waiting = [EATER, at(CHEF, waiting=Wait.ROOM, waiting_since=15.0, waited=3.0)]

    assert Standstill(before.motions, 10.0) == timeouts.standstill(before, waiting, 20.0)


HUNGRY = at(EATER, done=4, waiting=Wait.ITEM)
LOCKED_OUT = at(CLEANER, waiting=Wait.LOCK, waiting_since=10.0)


@pytest.mark.parametrize(
    ("samples", "waiting", "expected"),
    [
        ([EATER], {"q": 0}, True),
        ([but(EATER, timeout=None)], {"q": 5}, False),
        ([HUNGRY], {"q": 0}, False),
        ([HUNGRY], {"q": 1}, True),
        ([HUNGRY, CLEANER], {"q": 0}, True),
        ([HUNGRY, but(CLEANER, daemon=True)], {"q": 0}, False),
        ([LOCKED_OUT, LOCKED_OUT], {}, False),
        ([LOCKED_OUT, CLEANER], {}, True),
        ([LOCKED_OUT, but(CLEANER, daemon=True)], {}, True),
        ([at(EATER, waiting=Wait.LOCK)], {"q": 0}, False),
    ],
    ids=[
        *("within its timeout", "at work", "hungry", "a retry is due", "a plain process", "a daemonic one"),
        *("all wait for locks", "one that may hold it", "a daemonic one that may", "a reader waits for it"),
    ],
)
def test_that_nothing_moves_is_in_order_where_something_is_sure_to(
    samples: list[WorkerSample], waiting: dict[str, int], expected: bool
) -> None:
    assert expected == timeouts.is_excused(samples, waiting)


JOINING = at(CHEF, waiting=Wait.JOIN, waiting_since=10.0)
FORGETFUL = at(EATER, waiting=Wait.ITEM, waiting_since=12.0)


@pytest.mark.parametrize(
    ("samples", "since", "now", "expected"),
    [
        ([JOINING, FORGETFUL], 0.0, 72.0, True),
        ([JOINING, FORGETFUL], 0.0, 71.9, False),
        ([JOINING, FORGETFUL], 20.0, 72.0, False),
        ([JOINING, EATER], 0.0, 999.0, False),
        ([CLEANER], 0.0, 999.0, False),
        ([LOCKED_OUT, LOCKED_OUT], 0.0, 70.0, True),
        ([LOCKED_OUT, LOCKED_OUT], 0.0, 69.9, False),
        ([LOCKED_OUT, EATER], 0.0, 999.0, False),
        ([], 0.0, 999.0, False),
    ],
)
def test_all_wait_for_each_other_only_if_each_has_waited_too_long(
    samples: list[WorkerSample], since: float, now: float, expected: bool
) -> None:
    assert expected == timeouts.all_wait(samples, since, now)


BLOCKED = at(CHEF, waiting=Wait.ROOM, waiting_since=10.0)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            [BLOCKED, EATER],
            "worker 'eater' (pid 7) of stage 'eater' has been at work on an item of queue 'q' for 5s",
        ),
        (
            [JOINING, FORGETFUL],
            "worker 'eater' (pid 7) of stage 'eater' waits for more of queue 'q' and has not acknowledged 1 item "
            "(task_done) for 5s",
        ),
        ([CHEF, HUNGRY], "worker 'chef' (pid 8) of stage 'chef' has put nothing on queue 'q' for 5s"),
        (
            [JOINING, HUNGRY],
            "worker 'chef' (pid 8) of stage 'chef' waits in join() for queue 'q' for 5s",
        ),
        (
            [EATER, replace(but(EATER, name="neo"), pid=5)],
            "worker 'eater' (pid 7) of stage 'eater' has been at work on an item of queue 'q' for 5s, "
            "and so does one more",
        ),
        (
            [LOCKED_OUT, but(LOCKED_OUT, name="neo")],
            "worker 'cleaner' (pid 9) of stage 'cleaner' waits for a lock for 5s, and so does one more",
        ),
    ],
)
def test_whoever_holds_the_run_up_is_named_never_one_that_waits_for_room(
    samples: list[WorkerSample], words: str
) -> None:
    seen = {sample.plan.name: FirstSeen(sample, 10.0) for sample in samples}

    blamed = timeouts.blame(seen, samples, 15.0)

    assert blamed is not None
    assert words == blamed.reason


def test_of_two_at_work_the_one_that_has_been_for_longer_is_named() -> None:
    neo = but(EATER, name="neo")
    seen = {"eater": FirstSeen(EATER, 10.0), "neo": FirstSeen(neo, 4.0)}

    blamed = timeouts.blame(seen, [EATER, neo], 15.0)

    assert blamed is not None
    assert ("neo", True) == (blamed.holder, blamed.kill_reason.endswith("for 11s"))


def test_plain_processes_hold_up_no_queue() -> None:
    assert timeouts.blame({"cleaner": FirstSeen(CLEANER, 1.0)}, [CLEANER], 15.0) is None


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (EATER, "was at work on an item of queue 'q'"),
        (at(EATER, done=4), "was at work, with no item in hand"),
        (HUNGRY, "waited for an item of queue 'q'"),
        (CHEF, "was making an item for queue 'q'"),
        (BLOCKED, "waited for room in queue 'q'"),
        (JOINING, "waited in join() for queue 'q'"),
        (CLEANER, "was at work"),
        (LOCKED_OUT, "waited for a lock"),
    ],
)
def test_what_a_worker_does_is_said_in_words(sample: WorkerSample, words: str) -> None:
    assert words == timeouts.doing(sample)


def monitor(transport: str, now: float = 5.0) -> TimeoutMonitor:
    stage = StageSpec("s", HandlerRef("python", "m:f"), workers=("s-1",))
    plan = make_plan(WorkflowSpec("w", Path("w.yaml"), (stage,), transport=transport))
    return TimeoutMonitor(plan, cast("Transport", None), now)


def test_the_first_look_comes_after_one_interval_and_never_under_inline() -> None:
    assert 5.0 + interval([None]) == monitor("leased").next_check
    assert math.inf == monitor("inline").next_check


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (WorkerOutcome.DIED, -signal.SIGKILL, True),
        (WorkerOutcome.DIED, signal.SIGKILL, False),
        (WorkerOutcome.DIED, -signal.SIGTERM, False),
        (WorkerOutcome.STOPPED, -signal.SIGKILL, False),
    ],
)
def test_only_a_kill_that_was_none_of_ours_is_laid_to_a_want_of_memory(
    outcome: WorkerOutcome, code: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OomMonitor, "has_killed", lambda _: True)
    exited = WorkerExit("s-1", 11, code, outcome=outcome, reason="it was killed")

    explained = monitor("leased").explain(exited)

    assert told == ("no memory left" in explained.reason)


@pytest.mark.parametrize(
    ("more", "now", "expected"),
    [
        ({}, 99.0, False),
        ({"closes_since": 10.0}, 12.9, False),
        ({"closes_since": 10.0}, 13.0, True),
        ({"closes_since": 10.0, "finished": True}, 13.0, False),
    ],
    ids=["at work", "within the bound", "at the bound", "done"],
)
def test_a_close_at_the_end_has_a_bound(more: dict[str, Any], now: float, expected: bool) -> None:
    assert expected == timeouts.closes_too_long(replace(EATER, **more), now, 3.0)


def test_who_is_in_its_close_is_blamed_for_that() -> None:
    closing = replace(EATER, closes_since=10.0)

    assert "was in its close()" == timeouts.doing(closing)

"""How a run is brought to an end: each step bounded, the next one harsher."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.supervisor.shutdown import LOCK_LOST_GRACE, TERM_GRACE, Phase, Stop, drain, escalate, fail

RUNNING = Stop()
DRAINING = Stop(Phase.DRAINING, until=15.0)
CLOSING = Stop(Phase.CLOSING, until=7.0)
TERMINATING = Stop(Phase.TERMINATING, until=7.0)
KILLING = Stop(Phase.KILLING)


def asked(stop: Stop) -> Stop:
    return replace(stop, asked=True)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (RUNNING, asked(DRAINING)),
        (asked(DRAINING), asked(KILLING)),
        (asked(CLOSING), asked(KILLING)),
        (asked(TERMINATING), asked(KILLING)),
        (asked(KILLING), asked(KILLING)),
    ],
)
def test_asked_to_stop_a_run_drains_and_asked_again_it_kills(stop: Stop, expected: Stop) -> None:
    assert expected == drain(stop, now=5.0, stop_timeout=10.0)


@pytest.mark.parametrize("stop", [CLOSING, TERMINATING])
def test_a_run_that_ends_by_itself_is_killed_only_when_it_is_asked_twice(stop: Stop) -> None:
    once = drain(stop, now=5.0, stop_timeout=10.0)

    assert asked(stop) == once
    assert asked(KILLING) == drain(once, now=5.0, stop_timeout=10.0)


def test_who_has_asked_is_remembered_through_all_phases() -> None:
    closing = fail(drain(RUNNING, now=1.0, stop_timeout=10.0), now=2.0, close_timeout=3.0)
    terminating = escalate(closing, 5.0, close_timeout=3.0)

    assert [True] * 3 == [each.asked for each in (closing, terminating, escalate(terminating, 99.0, 3.0))]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (RUNNING, Stop(Phase.CLOSING, 5.0 + 3.0)),
        (DRAINING, Stop(Phase.CLOSING, 5.0 + 3.0)),
        (CLOSING, CLOSING),
        (TERMINATING, TERMINATING),
        (KILLING, KILLING),
    ],
)
def test_after_a_failure_all_close_without_draining_and_nothing_is_prolonged(
    stop: Stop, expected: Stop
) -> None:
    assert expected == fail(stop, now=5.0, close_timeout=3.0)


@pytest.mark.parametrize(("close_timeout", "bound"), [(3.0, LOCK_LOST_GRACE), (0.1, 0.1)])
def test_where_a_lock_may_be_lost_the_end_comes_soon(close_timeout: float, bound: float) -> None:
    closing = fail(RUNNING, now=5.0, close_timeout=close_timeout, lock_lost=True)
    terminating = escalate(closing, closing.until, close_timeout)

    assert (Phase.CLOSING, 5.0 + bound) == (closing.phase, closing.until)
    assert (Phase.TERMINATING, closing.until + LOCK_LOST_GRACE) == (terminating.phase, terminating.until)


@pytest.mark.parametrize(
    ("stop", "now", "expected"),
    [
        (RUNNING, 1e9, RUNNING),
        (DRAINING, 14.9, DRAINING),
        (DRAINING, 15.0, Stop(Phase.CLOSING, 15.0 + 5.0)),
        (CLOSING, 6.9, CLOSING),
        (CLOSING, 7.0, Stop(Phase.TERMINATING, 7.0 + TERM_GRACE)),
        (TERMINATING, 6.9, TERMINATING),
        (TERMINATING, 7.0, KILLING),
        (KILLING, 1e9, KILLING),
    ],
)
def test_a_phase_lasts_until_its_time_has_passed(stop: Stop, now: float, expected: Stop) -> None:
    assert expected == escalate(stop, now, close_timeout=5.0)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["drain", "fail", "wait"]), min_size=1))
def test_a_run_only_ever_comes_closer_to_its_end(facts: list[str]) -> None:
    """
    Whatever happens, no phase is left for a milder one, every phase but the first has an end, and waiting alone
    reaches the last.
    """
    moves: dict[str, Callable[[Stop, float], Stop]] = {
        "drain": lambda stop, now: drain(stop, now, stop_timeout=10.0),
        "fail": lambda stop, now: fail(stop, now, close_timeout=5.0),
        "wait": lambda stop, now: escalate(stop, now, close_timeout=5.0),
    }
    history, now = [RUNNING], 0.0
    for fact in facts:
        now += 1.0
        history.append(moves[fact](history[-1], now))

    phases = [stop.phase for stop in history]
    assert sorted(phases) == phases
    assert all(stop.until < math.inf for stop in history if Phase.RUNNING < stop.phase < Phase.KILLING)
    last = history[-1]
    for much_later in (1e6, 2e6, 3e6):
        last = escalate(last, much_later, close_timeout=5.0)
    assert last.phase in (Phase.RUNNING, Phase.KILLING)

"""How a run is brought to an end: each step bounded, the next one harsher."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.stopping import FAILURE_GRACE, TERM_GRACE, Phase, Stop, drain, escalate, fail

RUNNING = Stop()
DRAINING = Stop(Phase.DRAINING, until=15.0)
TERMINATING = Stop(Phase.TERMINATING, until=7.0)
KILLING = Stop(Phase.KILLING)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (RUNNING, DRAINING),
        (DRAINING, KILLING),
        (TERMINATING, KILLING),
        (KILLING, KILLING),
    ],
)
def test_asked_to_stop_a_run_drains_and_asked_again_it_kills(stop: Stop, expected: Stop) -> None:
    assert expected == drain(stop, now=5.0, stop_timeout=10.0)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (RUNNING, Stop(Phase.TERMINATING, 5.0 + FAILURE_GRACE)),
        (DRAINING, Stop(Phase.TERMINATING, 5.0 + FAILURE_GRACE)),
        (TERMINATING, TERMINATING),
        (KILLING, KILLING),
    ],
)
def test_a_failure_ends_the_draining_and_prolongs_nothing(stop: Stop, expected: Stop) -> None:
    assert expected == fail(stop, now=5.0)


@pytest.mark.parametrize(
    ("stop", "now", "expected"),
    [
        (RUNNING, 1e9, RUNNING),
        (DRAINING, 14.9, DRAINING),
        (DRAINING, 15.0, Stop(Phase.TERMINATING, 15.0 + TERM_GRACE)),
        (TERMINATING, 6.9, TERMINATING),
        (TERMINATING, 7.0, KILLING),
        (KILLING, 1e9, KILLING),
    ],
)
def test_a_phase_lasts_until_its_time_has_passed(stop: Stop, now: float, expected: Stop) -> None:
    assert expected == escalate(stop, now)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["drain", "fail", "wait"]), min_size=1))
def test_a_run_only_ever_comes_closer_to_its_end(facts: list[str]) -> None:
    """
    Whatever happens, no phase is left for a milder one, every phase but the first has an end, and waiting alone
    reaches the last.
    """
    moves: dict[str, Callable[[Stop, float], Stop]] = {
        "drain": lambda stop, now: drain(stop, now, stop_timeout=10.0),
        "fail": fail,
        "wait": escalate,
    }
    history, now = [RUNNING], 0.0
    for fact in facts:
        now += 1.0
        history.append(moves[fact](history[-1], now))

    phases = [stop.phase for stop in history]
    assert sorted(phases) == phases
    assert all(stop.until < math.inf for stop in history if stop.phase in (Phase.DRAINING, Phase.TERMINATING))
    last = escalate(escalate(history[-1], 1e6), 2e6)
    assert last.phase in (Phase.RUNNING, Phase.KILLING)

"""Curves: what is drawn of numbers over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.record.series import Series
from runner.render.page.curves import MOST_STEPS, Curve, End, added_up, gains, levels, shares


def counter(values: list[float], step: float = 0.25) -> Series:
    series = Series(0.0, step)
    for place, value in enumerate(values):
        series.add(place * step + 0.01, value)
    return series


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=3000))
def test_a_rate_adds_up_to_what_was_counted_however_long_the_run(gained: list[int]) -> None:
    counted = [float(sum(gained[: place + 1])) for place in range(0, len(gained), 7)]

    curve = gains(counter(counted))

    assert counted[-1] == pytest.approx(curve.area)
    assert len(curve.values) <= MOST_STEPS


def test_what_the_end_tells_is_spread_over_the_time_since_the_last_snapshot() -> None:
    curve = gains(counter([10.0, 60.0]), End(1.0, 100.0))

    assert (40.0, 200.0, 80.0, 80.0) == curve.values
    assert 100 == pytest.approx(curve.area)
    assert 100 == pytest.approx(gains(counter([10.0, 60.0]), End(0.5, 100.0)).area)


def test_a_counter_that_begins_anew_under_another_runner_takes_nothing_away() -> None:
    assert 10 + 5 + 3 + 4 == pytest.approx(gains(counter([10.0, 15.0, 3.0, 7.0])).area)


def test_a_short_run_is_drawn_as_it_was_and_a_longer_one_in_steps_of_half_a_second() -> None:
    assert 0.25 == gains(counter([1.0] * 8)).step
    assert 0.5 == gains(counter([1.0] * 200)).step


def test_a_peak_of_a_queue_is_not_lost_in_a_longer_step() -> None:
    values = [1.0] * 1000
    values[501] = 50.0

    assert 50 == levels(counter(values), most=100).top


def test_curves_are_added_and_divided_step_by_step() -> None:
    assert (3.0, 2.0) == added_up([Curve(1.0, (1.0, 2.0)), Curve(1.0, (2.0,))]).values
    assert (0.5, 0.0, 1.0) == shares(Curve(1.0, (1.0, 1.0, 9.0)), Curve(1.0, (2.0, 0.0, 4.0))).values
    assert () == added_up([]).values

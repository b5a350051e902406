"""Numbers over time in a bounded number of points, of which each is the last that was seen in its step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.record.series import Series

MOMENTS = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 1e6, width=32)), min_size=1, max_size=200).map(
    lambda pairs: sorted(pairs, key=lambda pair: pair[0])
)


@pytest.mark.parametrize(
    ("seen", "step", "expected"),
    [
        ([(0.0, 1), (0.1, 2), (0.3, 3)], 0.25, (2, 3)),
        ([(0.0, 1), (1.0, 2)], 0.25, (1, 1, 1, 1, 2)),
        ([(0.25 * n, n) for n in range(8)], 0.25, (0, 1, 2, 3, 4, 5, 6, 7)),
        ([(0.25 * n, n) for n in range(9)], 0.5, (1, 3, 5, 7, 8)),
        ([(0.0, 1), (100.0, 2)], 16.0, (1, 1, 1, 1, 1, 1, 2)),
    ],
)
def test_the_last_number_of_a_step_stands_for_it_and_pairs_become_one_when_all_are_taken(
    seen: list[tuple[float, float]], step: float, expected: tuple[float, ...]
) -> None:
    series = Series(0.0, most=8)
    for at, value in seen:
        series.add(at, value)

    assert (step, expected) == (series.step, series.values)


@given(MOMENTS)
def test_however_long_it_goes_on_points_are_few_and_true(seen: list[tuple[float, float]]) -> None:
    series = Series(0.0, most=16)
    for at, value in seen:
        series.add(at, value)

    assert len(series.values) <= 16
    for end, value in series.points():
        before = [number for at, number in seen if at < end]
        assert value == (before[-1] if before else seen[0][1])


@given(MOMENTS)
def test_what_is_stored_comes_back_as_near_as_it_is_stored(seen: list[tuple[float, float]]) -> None:
    series = Series(5.0)
    for at, value in seen:
        series.add(5.0 + at, value)

    again = Series.decode(series.start, series.step, series.encode())

    assert series.values == pytest.approx(again.values, rel=1e-6, abs=0.1)


def test_rounding_does_not_add_up() -> None:
    series = Series(0.0)
    for n in range(1200):
        series.add(0.25 * n, 1e9 + n / 3)

    again = Series.decode(0.0, 0.25, series.encode())

    assert series.values[-1] == pytest.approx(again.values[-1], abs=0.01)


def test_what_is_no_series_is_refused() -> None:
    with pytest.raises(ValueError):
        Series.decode(0.0, 1.0, b"nonsense")

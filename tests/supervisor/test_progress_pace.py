"""How often a run tells how far it is: often while something happens, and seldom while nothing does."""

from __future__ import annotations

import pytest

from runner.supervisor.progress_pace import ProgressPace


def of(*, is_watched: bool = False) -> ProgressPace:
    return ProgressPace(0.0, lambda: is_watched)


def told(pace: ProgressPace, seconds: float) -> list[float]:
    """Wait for nothing but the clock, which begins at 0, as a supervisor does; return when it was told."""
    times, now = [], 0.0
    while (now := pace.due) <= seconds:
        if pace.is_due(now, moves=0):
            times.append(now)
    return times


def test_it_is_told_ever_more_seldom_while_nothing_moves() -> None:
    times = told(of(), 60.0)

    pauses = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0] == pauses[:7]
    assert len(times) == 15


def test_it_is_told_as_ever_while_somebody_looks_on() -> None:
    assert 240 == len(told(of(is_watched=True), 60.0))


def test_it_is_told_as_ever_while_items_move() -> None:
    pace = of()

    times = [now for now in (0.25 * step for step in range(1, 9)) if pace.is_due(now, int(now * 4))]

    assert 8 == len(times)


@pytest.mark.parametrize(("since", "expected"), [(0.1, False), (0.25, True), (3.0, True)])
def test_what_moves_after_a_long_quiet_is_told_soon(since: float, expected: bool) -> None:
    pace = of()
    last = told(pace, 60.0)[-1]

    assert expected == pace.is_due(last + since, moves=1)

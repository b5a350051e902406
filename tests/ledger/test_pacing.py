"""The rate of a stage: what is given out keeps the limit over any second, whoever asks, when, and for how much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ledger.pacing import RateLimiter


def begun(limiter: RateLimiter, key: int, wanted: int, now: float, *, together: bool = False) -> list[float]:
    """When the items begin that leave is given for."""
    leave = limiter.reserve(key, wanted, now, together=together)
    return [leave.at + place * limiter.interval for place in range(leave.count)]


@given(
    limit=st.floats(0.1, 5000),
    burst=st.integers(1, 50),
    workers=st.integers(1, 64),
    asks=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 200)), min_size=1, max_size=100),
)
def test_any_second_has_no_more_than_the_limit_and_a_burst(
    limit: float, burst: int, workers: int, asks: list[tuple[float, int]]
) -> None:
    limiter, now, times = RateLimiter(limit, burst, workers), 100.0, list[float]()
    for later, wanted in asks:
        now += later
        times += begun(limiter, 0, wanted, now)
    times.sort()

    assert all(
        each <= limit + burst + 1e-6 for each in (sum(at <= t < at + 1 for t in times) for at in times)
    )


@given(st.lists(st.floats(0, 0.2), min_size=2, max_size=200))
def test_it_gives_out_all_that_the_limit_allows(waits: list[float]) -> None:
    limiter, now, times = RateLimiter(10), 0.0, list[float]()
    for wait in waits:
        now += wait
        times += begun(limiter, 0, 1, now)

    assert all(
        after - before == pytest.approx(0.1) or after >= before + 0.1 for before, after in pairwise(times)
    )
    assert times[-1] <= max(now, 0.1 * (len(times) - 1) + sum(waits)) + 1e-9


def test_after_a_quiet_time_a_burst_begins_at_once() -> None:
    limiter = RateLimiter(10, burst=3)

    assert [5.0, 5.0, 5.0, 5.1, 5.2] == pytest.approx([begun(limiter, 0, 1, 5.0)[0] for _ in range(5)])


def test_each_key_has_the_whole_limit() -> None:
    limiter = RateLimiter(10, by_key=True)

    assert [0.0, 0.0, 0.1, 0.1] == pytest.approx([begun(limiter, key, 1, 0.0)[0] for key in (1, 2, 1, 2)])


def test_a_batch_begins_together_and_holds_up_the_next_for_all_its_items() -> None:
    limiter = RateLimiter(10)

    first, second = (limiter.reserve(0, 32, 0.0, together=True) for _ in range(2))
    assert (0.0, 32, 3.2) == pytest.approx((first.at, first.count, second.at))


def test_quick_items_get_leave_together_but_for_no_more_than_a_fiftieth_of_a_second() -> None:
    assert 200 == RateLimiter(10_000).reserve(0, 1_000_000, 0.0).count
    assert 50 == RateLimiter(10_000, workers=4).reserve(0, 1_000_000, 0.0).count
    assert 1 == RateLimiter(10_000, by_key=True).reserve(0, 1_000_000, 0.0).count


def test_keys_whose_time_is_over_are_forgotten() -> None:
    limiter = RateLimiter(1000, by_key=True)
    for key in range(100_000):
        limiter.reserve(key, 1, float(key))

    assert limiter.known <= 8193

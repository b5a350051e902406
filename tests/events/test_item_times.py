"""How long items took: buckets, percentiles of them, and several workers' put together."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.item_times import BUCKETS, NO_TIMES, WIDEST, ItemTimes, begin_of, bucket_of
from runner.events.run import StageTimed

HOUR = 3600 * 10**9
NANOS = st.integers(0, HOUR)


def times_of(nanos: list[int]) -> ItemTimes:
    return ItemTimes(dict(Counter(map(bucket_of, nanos))))


@given(NANOS)
def test_a_time_lies_in_its_bucket(nanos: int) -> None:
    bucket = bucket_of(nanos)

    assert begin_of(bucket) <= nanos / 1e9 < begin_of(bucket + 1)


def test_buckets_follow_each_other_and_none_is_wider_than_an_eighth() -> None:
    begins = [begin_of(bucket) for bucket in range(BUCKETS)]

    widths = [after / before - 1 for before, after in pairwise(begins[1:])]
    assert [0.0, 1.024e-6] == begins[:2]
    assert WIDEST == pytest.approx(max(widths)) and min(widths) > WIDEST / 2.2
    assert begins[-1] > 3600


def test_what_takes_for_ever_is_in_the_last_bucket() -> None:
    assert BUCKETS - 1 == bucket_of(10**20)


@given(st.lists(NANOS, min_size=1, max_size=300), st.floats(0, 1))
def test_a_percentile_is_the_exact_one_to_a_bucket(nanos: list[int], share: float) -> None:
    exact = sorted(nanos)[max(1, math.ceil(share * len(nanos))) - 1]

    found = times_of(nanos).percentile(share)

    bucket = bucket_of(exact)
    assert found is not None and begin_of(bucket) <= found <= begin_of(bucket + 1)


def test_of_nothing_there_is_no_percentile() -> None:
    assert NO_TIMES.percentile(0.95) is None


@given(st.lists(NANOS), st.lists(NANOS))
def test_several_put_together_are_as_if_one_had_handled_all(some: list[int], others: list[int]) -> None:
    assert times_of(some + others) == ItemTimes.total((times_of(some), times_of(others)))


def test_the_slowest_of_several_is_named() -> None:
    several = [ItemTimes({}, 1.0, "a"), NO_TIMES, ItemTimes({}, 3.0, "b"), ItemTimes({}, 2.0, "c")]

    assert (3.0, "b") == ItemTimes.total(several)[1:]


@pytest.mark.parametrize("times", [NO_TIMES, ItemTimes({0: 7, 130: 2}, 0.5, "'bun'")])
def test_an_event_tells_them_whole(times: ItemTimes) -> None:
    assert times == StageTimed.of("eater", times).times()

"""Keys that were put before: known for good, whatever their number, and over the runner's death."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ledger.sharding import ShardKeyError
from runner.ledger.uniqueness import SeenKeys, key_bits

KEYS = st.lists(st.integers(1, 1 << 64 - 1) | st.integers(1, 50), max_size=400)


@given(KEYS)
def test_a_key_is_new_once(keys: list[int]) -> None:
    seen, known = SeenKeys(most=1000), set[int]()

    assert [key not in known and not known.add(key) for key in keys] == [seen.add(key) for key in keys]
    assert (len(known), len(keys) - len(known)) == (len(seen), seen.duplicates)


def test_another_runner_begins_with_all_of_them_and_full_segments_are_the_same_objects() -> None:
    chance = random.Random(1)
    keys = [chance.getrandbits(64) or 1 for _ in range(20_000)]
    seen = SeenKeys(most=10**6)
    for key in keys:
        seen.add(key)
    before = seen.segments()
    seen.add(keys[0])

    after = SeenKeys(most=10**6)
    after.restore(seen.segments(), seen.duplicates)

    assert (20_000, 1) == (len(after), after.duplicates)
    assert not any(after.add(key) for key in keys)
    assert [True, True] == [old is new for old, new in zip(before[:2], seen.segments()[:2], strict=True)]
    assert 3 == len(before)


def test_no_more_keys_are_remembered_than_are_allowed_and_what_is_known_stays_so() -> None:
    seen = SeenKeys(most=2)

    assert [True, True, False] == [seen.add(key) for key in (1, 2, 1)]
    assert not seen.is_full
    assert ([True, False], True, 2) == ([seen.add(key) for key in (3, 2)], seen.is_full, len(seen))


def test_equal_keys_are_one_and_others_are_not() -> None:
    bits = key_bits("item.url")

    assert bits({"url": 1}) == bits({"url": 1.0}) == bits({"url": True})
    assert len({bits({"url": each}) for each in ("1", 1, b"1", None, "一", ("1", 1), ("1",))}) == 7
    with pytest.raises(ShardKeyError, match=r"unique: item\.url: a dict has no 'url'"):
        bits({})
    with pytest.raises(ShardKeyError, match=r"a key is text, a number or a tuple of these; got a list"):
        bits({"url": []})

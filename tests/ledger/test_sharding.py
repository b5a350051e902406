"""Equal keys have equal shards, in every process; what can't be a key is said to be none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ledger.sharding import Sharding, ShardKeyError, shard_number, sharder


@dataclass
class User:
    id: int


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("item", 7),
        ("user.id", {"user": {"id": 7}}),
        ("item.user.id", {"user": {"id": 7}}),
        ("user.id", {"user": User(7)}),
        ("1", ("x", 7)),
        ("id", {"id": 7.0}),
    ],
)
def test_a_path_leads_from_the_item_to_its_key(path: str, item: object) -> None:
    assert shard_number(7, 1000) == sharder(path, 1000)(item)


@pytest.mark.parametrize(
    ("path", "item", "error"),
    [
        ("user", {"usr": 1}, "shard_by: user: a dict has no 'user'"),
        ("user.id", {"user": 3}, "shard_by: user.id: a int has no 'id'"),
        ("item", {"a": 1}, "got a dict"),
        ("item", object(), "got a object"),
        ("5", (1, 2), "a tuple has no '5'"),
    ],
)
def test_an_item_without_a_key_is_refused(path: str, item: object, error: str) -> None:
    with pytest.raises(ShardKeyError, match=error):
        sharder(path, 3)(item)


def test_shards_are_the_same_in_a_process_with_another_hash_seed() -> None:
    keys = "['neo', 'alex', 3, 2.5, b'x', None, ('a', 1), '\\ud800']"
    code = f"from runner.ledger.sharding import shard_number as s; print([s(k, 97) for k in {keys}])"

    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert (1, True) == (len(seen), all(seen))


_KEYS = st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.booleans(), st.none())


@given(left=_KEYS | st.tuples(_KEYS, _KEYS), right=_KEYS | st.tuples(_KEYS, _KEYS), shards=st.integers(1, 50))
def test_equal_keys_have_equal_shards_within_bounds(left: object, right: object, shards: int) -> None:
    ours, theirs = shard_number(left, shards), shard_number(right, shards)

    assert 0 <= ours < shards
    if left == right:
        assert ours == theirs


@given(st.lists(_KEYS | st.tuples(_KEYS)) | st.lists(st.integers()), st.sampled_from(["item", "user"]))
def test_many_have_the_shards_that_each_has_alone_however_often_it_was_seen(
    keys: list[object], path: str
) -> None:
    items = keys if path == "item" else [{"user": key} for key in keys]
    sharding = Sharding(path, 7)

    together = sharding.split(items)

    expected = [shard_number(key, 7) for key in keys]
    assert expected == [sharding.shard_of(item) for item in items]
    assert together == {
        shard: [item for item, its in zip(items, expected, strict=True) if its == shard] for shard in expected
    }


def test_a_key_of_none_is_no_key_of_a_mapping_that_is_to_be_the_key_itself() -> None:
    with pytest.raises(ShardKeyError, match="got a dict"):
        sharder("item", 3)({None: 5})

"""What is put at once to a queue that must know more of its items than their number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.frames import (
    Part,
    ShardedEntry,
    item_size,
    pack_batch,
    pack_safe_batch,
    pickle_alone,
    unpack,
    unpack_batch,
)
from runner.ipc.shm.handles import BufferHandle, Form


def test_a_handle_counts_what_lies_elsewhere_too() -> None:
    handle = BufferHandle(Form.BYTES, 0, (100_000,)).encode()

    assert len(handle) + 100_032 == item_size(handle)
    assert 3 == item_size(b"abc")


def test_the_parts_say_how_many_and_how_heavy() -> None:
    entries = [
        ShardedEntry(pickle_alone("a"), 1, 5),
        ShardedEntry(pickle_alone("b"), 0, 7),
        ShardedEntry(pickle_alone("c"), 1, 9),
    ]

    parts = list(unpack_batch(pack_batch(entries)))

    assert [(1, 2, 14), (0, 1, 7)] == [(part.shard, part.count, part.size) for part in parts]


@given(st.lists(st.tuples(st.integers(0, 4), st.text()), min_size=1))
def test_each_shard_gets_its_items_in_their_order(items: list[tuple[int, str]]) -> None:
    entries = [ShardedEntry(pickle_alone(text), shard, len(text)) for shard, text in items]

    parts = list(unpack_batch(memoryview(pack_batch(entries))))

    found = {part.shard: list(unpack(part.frame, 0, part.count)) for part in parts}
    assert {shard: [text for other, text in items if other == shard] for shard, _ in items} == found
    assert isinstance(parts[0], Part)


@given(st.dictionaries(st.integers(0, 4), st.lists(st.text() | st.integers() | st.tuples(st.text()))))
def test_so_does_it_where_they_share_a_pickle_which_is_what_they_weigh(
    by_shard: dict[int, list[object]],
) -> None:
    parts = list(unpack_batch(pack_safe_batch(by_shard)))

    found = {part.shard: list(unpack(part.frame, 0, part.count)) for part in parts}
    assert found == {shard: items for shard, items in by_shard.items() if items}
    assert all(part.size == len(part.frame) for part in parts)

"""Big items taken apart and put together again: whole, of the same types, and not copied where that can be helped."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.shm.handles import BIG, BufferHandle, Form, Packed, extent, is_handle, offsets, pack, rebuild

DATA = bytes(range(256)) * (BIG // 256)


class Block:
    """An item that offers its buffer, as an array does."""

    def __init__(self, buffer: Any) -> None:
        self.view = memoryview(buffer)

    def __reduce_ex__(self, protocol: object) -> tuple[type[Block], tuple[pickle.PickleBuffer]]:
        return Block, (pickle.PickleBuffer(self.view),)

    __hash__ = None  # type: ignore[assignment]  # compared by what its buffer holds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.view == other.view


def packed(item: object) -> Packed:
    found = pack(item)
    assert isinstance(found, Packed)
    return found


def carried(item: object) -> object:
    """What becomes of an item that is copied to an arena at 4096 and out of it again."""
    parcel = packed(item)
    handle = BufferHandle.decode(parcel.handle(4096))
    assert (4096, parcel.lengths) == (handle.at, handle.lengths)
    return rebuild(handle, [bytearray(buffer) for buffer in parcel.buffers])


@pytest.mark.parametrize("item", [1, "text", b"x" * (BIG - 100), [1, {"a": b"b"}], Block(b"x" * (BIG - 200))])
def test_a_small_item_is_a_pickle(item: object) -> None:
    found = pack(item)

    assert isinstance(found, bytes)
    assert not is_handle(found)
    assert item == pickle.loads(found)


@pytest.mark.parametrize(
    ("item", "form"),
    [
        (DATA, Form.BYTES),
        (bytearray(DATA), Form.BYTEARRAY),
        (("name", DATA), Form.PICKLE),
        ([DATA, DATA, b"small"], Form.PICKLE),
        ({"path": "a.jpg", "data": DATA}, Form.PICKLE),
        (Block(DATA), Form.PICKLE),
        ({"deep": [Block(DATA), Block(b"small")]}, Form.PICKLE),
        ("包子" * BIG, Form.LONG_PICKLE),
        (list(range(BIG)), Form.LONG_PICKLE),
        (["长" * BIG, Block(DATA)], Form.LONG_PICKLE),
    ],
)
def test_a_big_item_comes_back_as_it_was(item: object, form: Form) -> None:
    found = carried(item)

    assert form is packed(item).form
    assert item == found
    assert type(item) is type(found)


def test_bytes_within_an_item_come_back_as_bytes() -> None:
    found = carried({"data": DATA})

    assert isinstance(found, dict)
    assert bytes is type(found["data"])


@pytest.mark.parametrize("make", [lambda data: data, Block, lambda data: {"deep": [Block(data)]}])
def test_nothing_big_is_copied_when_an_item_is_taken_apart(make: Callable[[bytearray], object]) -> None:
    data = bytearray(DATA)
    found = packed(make(data))
    data[0] = 99

    assert [99] == [buffer[0] for buffer in found.buffers]
    assert len(found.pickle) < 200


def test_a_buffer_that_could_be_written_can_be_written_again() -> None:
    found, read_only = carried(Block(bytearray(DATA))), carried(Block(DATA))

    assert isinstance(found, Block) and isinstance(read_only, Block)
    assert (False, True) == (found.view.readonly, read_only.view.readonly)


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pack([DATA, lambda: None])


@given(st.lists(st.integers(0, 1 << 33), max_size=20))
def test_buffers_in_a_slot_are_aligned_and_do_not_overlap(lengths: list[int]) -> None:
    begins = offsets(lengths)
    ends = [begin + length for begin, length in zip(begins, lengths, strict=True)]

    assert all(begin % 64 == 0 for begin in begins)
    assert all(end <= begin for end, begin in zip(ends, [*begins[1:], extent(lengths)], strict=False))


@given(
    st.sampled_from(Form), st.integers(0, 1 << 62), st.lists(st.integers(0, 1 << 40)), st.binary(max_size=50)
)
def test_a_handle_is_read_as_it_was_written(form: Form, at: int, lengths: list[int], data: bytes) -> None:
    handle = BufferHandle(form, at, tuple(lengths), data)

    assert handle == BufferHandle.decode(handle.encode())

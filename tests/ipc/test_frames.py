"""Frames: what is packed comes out as it was, to the last bit, whichever way it was written."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.frames import cut, is_safe, pack_safe, pack_series, pickle_alone, shares_pickle, unpack

NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers()
TEXTS = st.text(st.characters(exclude_categories=())) | st.binary()
ATOMS = NUMBERS | TEXTS
SAFE = ATOMS | st.lists(ATOMS).map(tuple)


def exactly(item: object) -> object:
    """What tells apart what `==` does not: types, the sign of a zero, one NaN from another."""
    if type(item) is tuple:
        return tuple(map(exactly, item))
    if type(item) is float:
        return struct.pack("<d", item)
    if type(item) is complex:
        return struct.pack("<dd", item.real, item.imag)
    return type(item), item


@given(st.lists(SAFE, min_size=1), st.data())
def test_safe_items_come_out_as_they_were(items: list[object], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(items)))
    stop = data.draw(st.integers(start, len(items)))
    frame = pack_safe(items)

    assert all(map(is_safe, items))
    assert shares_pickle(frame)
    assert [exactly(each) for each in items[start:stop]] == [
        exactly(each) for each in unpack(memoryview(frame), start, stop)
    ]


@given(st.lists(SAFE, min_size=1), st.booleans(), st.data())
def test_one_item_is_cut_out_of_any_frame(items: Sequence[object], alone: bool, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    whole = pack_series([pickle_alone(each) for each in items]) if alone else pack_safe(items)
    frame, at = cut(whole, index)

    assert [exactly(items[index])] == [exactly(each) for each in unpack(frame, at, at + 1)]


def test_items_that_are_the_same_object_are_so_on_the_other_side() -> None:
    name = "neo的包子"
    (first, _), (second, _) = unpack(pack_safe([(name, 1), (name, 2)]), 0, 2)  # type: ignore[misc]

    assert first is second

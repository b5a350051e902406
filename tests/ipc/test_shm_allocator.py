"""Slots of an arena: never two in one place, everything comes back, and no more memory than was agreed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.shm.allocator import EXTENT, PAGE, WARM_MOST, Slot, Slots, rounded

SHARE = 1 << 24
SPAN = 1 << 44
KIB = 1024

# Sizes are taken, and slots given back by their place among those that are busy.
moves = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, SHARE + SHARE // 2)),
        st.tuples(st.just("give back"), st.integers(0, 1000)),
    ),
    max_size=60,
)


@given(moves)
def test_no_two_busy_slots_overlap_and_the_share_holds(moves: list[tuple[str, int]]) -> None:
    slots, busy, paged = Slots(SHARE, SPAN), [], set()
    for move, number in moves:
        if move == "take":
            slot = slots.take(number)
            busy += [slot] if slot is not None else []
            paged |= {slot} - {None}
        elif busy:
            slots.give_back(busy.pop(number % len(busy)))
        paged -= set(slots.evicted())

        assert slots.busy == sum(slot.size for slot in busy)
        assert slots.busy <= SHARE or len(busy) == 1
        # What has pages is never more than the share, or than the one slot that is bigger.
        assert sum(slot.size for slot in paged) == slots.busy + slots.warm <= max(SHARE, slots.busy)
        in_order = sorted(busy, key=lambda slot: slot.at)
        assert all(a.at + a.size <= b.at for a, b in pairwise(in_order))


@given(moves)
def test_once_all_is_given_back_the_whole_share_can_be_had_again(moves: list[tuple[str, int]]) -> None:
    slots, busy = Slots(SHARE, SPAN), []
    for move, number in moves:
        if move == "take" and (slot := slots.take(number)) is not None:
            busy.append(slot)
    for slot in busy:
        slots.give_back(slot)

    assert 0 == slots.busy
    assert slots.take(SHARE) is not None


@given(st.integers(1, 1 << 40))
def test_a_slot_is_whole_pages_and_wastes_at_most_a_quarter(size: int) -> None:
    found = rounded(size)

    assert 0 == found % PAGE
    assert size <= found <= max(size * 1.25 + PAGE, PAGE)
    assert found == rounded(found)


@given(st.lists(st.integers(1, 2 * EXTENT), min_size=1, max_size=40))
def test_a_slot_lies_in_one_extent_or_begins_with_one(sizes: list[int]) -> None:
    slots = Slots(SPAN, SPAN)
    taken = [slot for size in sizes if (slot := slots.take(size)) is not None]

    assert len(sizes) == len(taken)
    assert all(s.at % EXTENT + s.size <= EXTENT or s.at % EXTENT == 0 for s in taken)


def test_the_slot_that_came_back_last_is_taken_first() -> None:
    """Its pages are the likeliest to be in the processor's cache, and none has to be made."""
    slots = Slots(SHARE, SPAN)
    first, second = slots.take(100 * KIB), slots.take(100 * KIB)
    assert first is not None and second is not None
    slots.give_back(first)
    slots.give_back(second)

    assert second == slots.take(100 * KIB)


def test_an_item_bigger_than_the_share_goes_alone() -> None:
    slots = Slots(SHARE, SPAN)
    small = slots.take(100 * KIB)
    assert small is not None

    assert slots.take(2 * SHARE) is None
    slots.give_back(small)
    assert Slot(small.size, 2 * SHARE) == slots.take(2 * SHARE)


def test_free_slots_keep_no_more_than_a_bounded_amount_of_memory() -> None:
    slots = Slots(SPAN, SPAN)
    busy = [slots.take(WARM_MOST // 4) for _ in range(8)]
    for slot in busy:
        assert slot is not None
        slots.give_back(slot)

    assert WARM_MOST == slots.warm
    assert 4 == len(slots.evicted())


@pytest.mark.parametrize("size", [1, PAGE, 64 * KIB])
def test_no_slot_lies_beyond_the_part(size: int) -> None:
    slots = Slots(SHARE, PAGE)

    assert (size <= PAGE) == (slots.take(size) is not None)

"""Places of sources: the one that a successor begins at has no more behind it than is in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.transports.leased.source_places import SourcePlace, SourcePlaces


def test_a_place_that_lies_behind_what_is_in_is_kept_for_later() -> None:
    places = SourcePlaces()
    places.note("reader-1", SourcePlace(0, b"first"), 0)
    places.note("reader-1", SourcePlace(10, b"second"), 4)

    assert b"first" == places.begin("reader-1", 9)
    assert b"first" == places.begin("reader-1", 10)  # what the dead one said of the second is void


def test_a_new_source_begins_at_no_place() -> None:
    assert b"" == SourcePlaces().begin("reader-1", 0)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 5)), st.integers(0, 20))
def test_a_successor_begins_at_the_last_place_that_all_behind_which_is_in(
    steps: list[int], ins: list[int], more: int
) -> None:
    places, start, offset, told = SourcePlaces(), 0, 0, list[int]()
    for step, put in zip(steps, ins, strict=False):
        start += step
        offset = min(start, offset + put)
        places.note("reader-1", SourcePlace(start, str(start).encode()), offset)
        told.append(start)
    offset += more

    found = places.begin("reader-1", offset)

    assert (
        str(max(each for each in told if each <= offset)).encode() == found
        if told and told[0] <= offset
        else True
    )

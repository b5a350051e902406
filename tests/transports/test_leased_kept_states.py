"""States of handlers, and places of sources, that the supervisor keeps for whoever takes the place of a worker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.messages import Fact, StateKept
from runner.transports.leased.kept_states import KeptStates, SourcePlaces


def test_a_successor_gets_the_last_state() -> None:
    states, facts = KeptStates(), list[Fact]()
    states.keep("neo", b"1", 0.0, facts)
    states.keep("neo", b"22", 1.0, facts)

    states.exited("neo", -9, facts, lasts=False)

    assert (b"22", b"") == (states.of("neo"), states.of("alex"))


def test_after_a_worker_that_had_closed_another_begins_anew() -> None:
    states, facts = KeptStates(), list[Fact]()
    for worker in ("neo", "alex"):
        states.keep(worker, b"1", 0.0, facts)
        states.finished(worker)

    states.exited("neo", 0, facts, lasts=False)
    states.exited("alex", -9, facts, lasts=False)  # who knows what its last breath has undone

    assert (b"", b"1") == (states.of("neo"), states.of("alex"))


def test_a_place_in_a_file_is_there_for_whoever_comes_after_one_that_had_closed() -> None:
    states, facts = KeptStates(), list[Fact]()
    states.keep("neo", b"1", 0.0, facts)
    states.finished("neo")

    states.exited("neo", 0, facts, lasts=True)

    assert b"1" == states.of("neo")


def test_states_are_told_of_at_first_then_now_and_then_and_at_the_end() -> None:
    states, facts = KeptStates(), list[Fact]()

    for second in range(12):
        states.keep("neo", b"x" * second, float(second), facts)
    states.exited("neo", 0, facts, lasts=False)

    assert [
        StateKept("neo", 1, 0),
        StateKept("neo", 5, 5),
        StateKept("neo", 5, 10),
        StateKept("neo", 1, 11),
    ] == facts


def test_a_place_that_lies_behind_what_is_in_is_kept_for_later() -> None:
    places = SourcePlaces()
    places.note("reader-1", 0, b"first")
    places.put("reader-1", 9)
    places.note("reader-1", 10, b"second")

    assert (9, b"first") == places.begin("reader-1")
    places.put("reader-1", 1)
    assert (10, b"first") == places.begin("reader-1"), "what the dead one said of the second is void"
    assert (0, b"") == places.begin("reader-2")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))), st.integers(0, 20))
def test_a_successor_begins_at_the_last_place_behind_which_no_more_lies_than_is_in(
    steps: list[tuple[int, int]], more: int
) -> None:
    places, start, offset, noted = SourcePlaces(), 0, 0, [0]
    places.note("reader-1", 0, b"0")
    for step, most in steps:
        start += step
        put = min(most, start - offset)
        places.put("reader-1", put)
        places.note("reader-1", start, str(start).encode())
        offset += put
        noted.append(start)
    places.put("reader-1", more)

    last = max(each for each in noted if each <= offset + more)
    assert (offset + more, str(last).encode()) == places.begin("reader-1")

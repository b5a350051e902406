"""States of handlers, and places of sources, that the supervisor keeps for whoever takes the place of a worker."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runner.ipc.messages import Fact, StateKept
from runner.ipc.stream import SampleMessage
from runner.transports.cut import SampledItem, WriterCut
from runner.transports.kept_states import MOST_SAMPLES, KeptStates, SourcePlaces


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

    assert WriterCut("reader-1", 9, 0, b"first") == places.begin("reader-1")
    places.put("reader-1", 1)
    void = "what the dead one said of the second is void"
    assert WriterCut("reader-1", 10, 0, b"first") == places.begin("reader-1"), void
    assert WriterCut("reader-2", 0) == places.begin("reader-2")


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
    snapshot = places.snapshot()
    begun = places.begin("reader-1")
    assert WriterCut("reader-1", offset + more, last, str(last).encode()) == begun
    assert (begun,) == snapshot


def _sampled(places: SourcePlaces, worker: str) -> list[int]:
    return [item.index for item in places.begin(worker).samples]


def test_an_item_that_was_shown_counts_only_if_it_is_in() -> None:
    places = SourcePlaces()
    for index in (0, 8, 16):
        places.take("lister-1", SampleMessage(index, body=b"%d" % index))
    places.put("lister-1", 16)

    assert WriterCut("lister-1", 16, samples=(SampledItem(0, b"0"), SampledItem(8, b"8"))) == places.begin(
        "lister-1"
    )
    places.put("lister-1", 1)
    assert [0, 8] == _sampled(places, "lister-1"), "the successor shows another"


def test_an_item_that_was_too_big_to_be_pickled_is_kept_as_it_looks() -> None:
    places = SourcePlaces()
    places.take("lister-1", SampleMessage(0, is_pickled=False, body=b"array(\xff"))
    places.put("lister-1", 1)

    assert (SampledItem(0, shown="array(\ufffd"),) == places.begin("lister-1").samples


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=1000))
def test_of_many_items_the_first_and_the_last_are_kept_and_some_between_wherever_there_were_any(
    steps: list[int],
) -> None:
    places, shown = SourcePlaces(), [0]
    for step in steps:
        shown.append(shown[-1] + step)
    for index in shown:
        places.take("lister-1", SampleMessage(index))
    places.put("lister-1", shown[-1] + 1)

    kept = _sampled(places, "lister-1")
    widest = max(after - before for before, after in pairwise(kept))
    assert (kept[0], kept[-1]) == (shown[0], shown[-1])
    assert len(kept) <= MOST_SAMPLES
    assert kept == sorted(set(kept))
    assert widest <= shown[-1] / 8 + max(steps)


def test_another_runner_goes_on_with_the_places_of_the_first() -> None:
    places, next_places = SourcePlaces(), SourcePlaces()
    places.put("reader-1", 9)
    places.note("reader-1", 5, b"fifth")
    places.note("reader-1", 10, b"tenth")
    places.put("lister-1", 3)
    places.take("lister-1", SampleMessage(2, body=b"two"))

    next_places.restore(places.snapshot())

    assert (False, True) == (places.resumed, next_places.resumed)
    assert places.snapshot() == next_places.snapshot()
    assert WriterCut("reader-1", 9, 5, b"fifth") == next_places.begin("reader-1")
    assert WriterCut("lister-1", 3, samples=(SampledItem(2, b"two"),)) == next_places.begin("lister-1")

"""A producer that begins again, without processes: what is left out of what it makes, and how a difference is seen."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import NotRepeated
from runner.handlers.kinds import Malformed
from runner.ipc.frames import Resumed
from runner.text import safe_repr
from runner.transports.cut import SampledItem
from runner.transports.repetition import RepeatedOutbox, Repetition, pass_over, seen_before


class Opaque:
    """An object that says nothing of what is in it."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass(eq=False)
class Shown:
    """An object that can only be told from another by how it looks."""

    number: int


class Sly:
    """An object that raises at being compared."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare")

    __hash__ = None  # type: ignore[assignment]


def pickled(item: object, index: int = 0) -> SampledItem:
    return SampledItem(index, pickle.dumps(item, pickle.HIGHEST_PROTOCOL))


def shown(item: object) -> SampledItem:
    return SampledItem(0, shown=safe_repr(item))


def never() -> bool:
    return False


def lister(offset: int, *samples: SampledItem, start: int = 0, declared: bool = False) -> Repetition:
    return Repetition("lister", start, offset, samples, declared=declared)


ITEMS = st.recursive(
    st.none() | st.integers() | st.text() | st.floats() | st.binary() | st.frozensets(st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(ITEMS, st.booleans())
@example({f"{number:040}": frozenset({"a", "b", "c", str(number)}) for number in range(40)}, False)
def test_an_item_that_is_made_again_is_never_taken_for_another(item: object, is_whole: bool) -> None:
    again = pickle.loads(pickle.dumps(item))

    assert seen_before(pickled(item) if is_whole else shown(item), again) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [("a", "b"), (1, 1.5), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ({1, 2}, {1, 3}), (Shown(1), Shown(2))],
    ids=safe_repr,
)
def test_another_item_is_seen_as_another(before: object, now: object) -> None:
    assert safe_repr(before) == seen_before(pickled(before), now)


@pytest.mark.parametrize(
    ("before", "now"),
    [("a" * 300, "b" * 300), (["x"] * 5000, ["y"] * 5000), (1, None)],
    ids=["texts", "lists", "nothing"],
)
def test_a_big_item_is_told_from_another_by_how_it_looks(before: object, now: object) -> None:
    assert safe_repr(before) == seen_before(shown(before), now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Opaque(1), Opaque(2)),
        (Sly(1), Sly(2)),
        ([Opaque(1)], [Opaque(2)]),
        (1, lambda: 1),
    ],
    ids=["opaque", "sly", "inside", "no pickle"],
)
def test_what_can_not_be_told_apart_counts_as_the_same(before: object, now: object) -> None:
    assert seen_before(pickled(before), now) is None


def test_members_of_a_big_set_may_come_in_another_order() -> None:
    assert seen_before(SampledItem(0, shown="[{'a', 'b', …}]"), [{"b", "a"}]) is None


@given(st.integers(0, 300), st.lists(st.integers(0, 299), unique=True).map(sorted))
def test_what_is_in_is_left_out_and_the_rest_is_there(offset: int, indexes: list[int]) -> None:
    items = iter(range(300))

    assert pass_over(items, lister(offset, *(pickled(i, i) for i in indexes if i < offset)), never)

    assert list(range(offset, 300)) == list(items)


def test_something_else_is_named_with_what_it_was() -> None:
    repeated = lister(5000, pickled("a", 0), pickled("b", 4096))

    with pytest.raises(NotRepeated) as caught:
        pass_over(iter(["a"] * 9000), repeated, never)

    assert str(caught.value).startswith(
        "stage 'lister' gave something else at item 4,096 than before: then 'b', now 'a'; what it gave then is in"
    )


def test_a_stage_that_says_that_it_is_deterministic_is_told_so() -> None:
    with pytest.raises(NotRepeated, match="`deterministic: true` says that it gives the same each time"):
        pass_over(iter("b"), lister(1, pickled("a"), declared=True), never)


@pytest.mark.parametrize("samples", [(), (pickled(2, 2),), (pickled(8, 8),)], ids=["none", "seen", "unseen"])
def test_who_makes_fewer_items_than_are_in_is_found_out(samples: tuple[SampledItem, ...]) -> None:
    with pytest.raises(NotRepeated, match="gave fewer items than before: then 1,000, now 7;"):
        pass_over(iter(range(7)), lister(1000, *samples), never)


def test_who_is_to_end_meanwhile_is_not_blamed() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000_000):
            made.append(number)
            yield number

    assert not pass_over(items(), lister(10_000_000, pickled("no", 9_000_000)), lambda: len(made) > 10)

    assert len(made) < 100_000


def test_an_item_that_is_replayed_is_looked_at_without_its_outputs() -> None:
    assert pass_over(iter([Resumed("a", 3)]), lister(1, pickled("a")), never)


def test_what_is_no_item_now_is_another() -> None:
    malformed = Malformed("x", ValueError("no number"), "a:1")

    with pytest.raises(NotRepeated, match="then 'a', now nothing but an error, no number;"):
        pass_over(iter([malformed]), lister(1, pickled("a")), never)


def test_only_what_it_makes_again_is_compared() -> None:
    items = iter([3, 4, 5])

    assert pass_over(items, lister(5, pickled("other", 2), pickled(4, 4), start=3), never)

    assert [5] == list(items)


class Queue:
    """The end of a queue, as far as it is put to."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - as a queue has it
        self.items.append(item)


def repeated_outbox(repeated: Repetition) -> tuple[RepeatedOutbox, list[object]]:
    queue = Queue()
    return RepeatedOutbox(queue, repeated, lambda: None), queue.items  # type: ignore[arg-type]


def test_what_is_in_is_not_put_again_by_hand() -> None:
    outbox, items = repeated_outbox(lister(2, pickled("a")))

    for item in "abcd":
        outbox.put(item)
    outbox.check_ended()

    assert ["c", "d"] == items


def test_something_else_by_hand_is_said_at_its_put() -> None:
    outbox, items = repeated_outbox(lister(3, pickled("a"), pickled("b", 1)))
    outbox.put("a")

    with pytest.raises(NotRepeated, match="gave something else at item 1 than before: then 'b', now 'x';"):
        outbox.put("x")

    assert [] == items


def test_who_puts_fewer_items_by_hand_is_found_out() -> None:
    outbox, _ = repeated_outbox(lister(3))
    outbox.put("a")

    with pytest.raises(NotRepeated, match="gave fewer items than before: then 3, now 1;"):
        outbox.check_ended()


def test_an_item_that_could_not_be_put_by_hand_does_not_count_now_either() -> None:
    outbox, items = repeated_outbox(lister(2, pickled("a"), pickled("b", 1)))

    outbox.put("a")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        outbox.put(lambda: 1)
    outbox.put("b")
    outbox.put("c")

    assert ["c"] == items

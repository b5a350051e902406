"""What becomes of a batch, whatever the handler makes of it: each item ends once, in its order, and culprits alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from runner.errors import BatchFailed, EndOfStream, MprunError, Stopping
from runner.transports.batches import handle

Handler = Callable[[list[int]], object]


class Hand:
    """A batch of numbers, each its own index, and what is said of them."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.calls: list[tuple[int, int, bool]] = []
        self.ends: list[tuple[int, str | None]] = []
        self.raises: list[tuple[int, bool]] = []

    def call(self, start: int, stop: int, *, split: bool) -> None:
        self.calls.append((start, stop, split))
        self.handler(list(range(start, stop)))

    def raised(self, start: int, stop: int, error: BaseException, *, split: bool) -> None:  # noqa: ARG002
        self.raises.append((stop - start, split))

    def ended(self, start: int, stop: int, failed: Mapping[int, BaseException]) -> None:
        self.ends += [
            (index, str(failed[index]) if index in failed else None) for index in range(start, stop)
        ]

    @property
    def failed(self) -> list[int]:
        return [index for index, error in self.ends if error is not None]


def handled(handler: Handler, size: int) -> Hand:
    hand = Hand(handler)
    handle(hand, size)
    assert list(range(size)) == [index for index, _ in hand.ends], "each item ends once, in order"
    return hand


def fails_on(*bad: int) -> Handler:
    def handler(items: list[int]) -> None:
        if any(item in bad for item in items):
            raise ValueError("bad")

    return handler


def test_a_batch_that_is_handled_is_done() -> None:
    hand = handled(fails_on(), 5)

    assert ([(0, 5, False)], [], []) == (hand.calls, hand.failed, hand.raises)


def test_one_that_raises_is_tried_again_in_halves_until_the_culprit_stands_alone() -> None:
    hand = handled(fails_on(5), 8)

    assert [5] == hand.failed
    assert [(0, 8), (0, 4), (4, 8), (4, 6), (4, 5), (5, 6), (6, 8)] == [call[:2] for call in hand.calls]
    assert [False, *[True] * 6] == [split for *_, split in hand.calls]
    assert [(8, False), (4, True), (2, True)] == hand.raises


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))))
def test_whoever_the_culprits_are_they_fail_and_nobody_else(case: tuple[int, set[int]]) -> None:
    size, bad = case

    assert sorted(bad) == handled(fails_on(*bad), size).failed


@given(
    st.integers(1, 40).flatmap(
        lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), min_size=1))
    )
)
def test_where_the_handler_says_which_have_failed_it_is_called_once(case: tuple[int, set[int]]) -> None:
    size, bad = case

    def handler(items: list[int]) -> None:
        raise BatchFailed({index: ValueError(str(item)) for index, item in enumerate(items) if item in bad})

    hand = handled(handler, size)

    assert (1, sorted(bad)) == (len(hand.calls), hand.failed)
    assert all(error in (None, str(index)) for index, error in hand.ends)


def test_what_it_says_of_a_half_is_meant_by_the_places_in_that_half() -> None:
    def handler(items: list[int]) -> None:
        if len(items) > 4:
            raise ValueError("too many")
        if 6 in items:
            raise BatchFailed({items.index(6): ValueError("six")})

    assert [6] == handled(handler, 8).failed


def test_an_index_beyond_the_batch_fails_each_item_and_is_what_is_told() -> None:
    def handler(_: list[int]) -> None:
        raise BatchFailed({9: ValueError("nine")})

    hand = handled(handler, 3)

    told = "BatchFailed names item 9 of a batch of 1, which are counted from 0"
    assert [(index, told) for index in range(3)] == hand.ends


@pytest.mark.parametrize("signal", [EndOfStream, Stopping, KeyboardInterrupt])
def test_what_ends_the_worker_says_nothing_of_the_batch(signal: type[BaseException]) -> None:
    def handler(_: list[int]) -> None:
        raise signal

    hand = Hand(handler)
    with pytest.raises(signal):
        handle(hand, 3)

    assert [] == hand.ends


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({}, ValueError),
        ({-1: ValueError()}, TypeError),
        ({"a": ValueError()}, TypeError),
        ({0: "bad"}, TypeError),
        ([ValueError()], TypeError),
    ],
    ids=["nothing", "before the first", "a name", "no exception", "a list"],
)
def test_a_batch_fails_by_exceptions_at_indexes(errors: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        BatchFailed(errors)


def test_the_exception_is_of_the_family_and_says_which_have_failed() -> None:
    error = BatchFailed({0: ValueError(), 3: OSError()})

    assert isinstance(error, MprunError)
    assert "2 items of a batch failed: 0, 3" == str(error)
    assert "5 items of a batch failed: 0, 1, 2, …" == str(BatchFailed(dict.fromkeys(range(5), ValueError())))

"""Whose turn it is to be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.turns import Turns


def test_the_oldest_live_one_is_shown_and_stays_until_it_is_done() -> None:
    turns: Turns[str] = Turns()
    turns.begin("a")
    first = turns.current()
    turns.begin("b")
    turns.end("b")

    assert ["a", "a"] == [first, turns.current()]


def test_those_that_have_ended_come_before_those_that_are_live() -> None:
    turns: Turns[str] = Turns()
    for key in "abcd":
        turns.begin(key)
    order = [turns.current()]
    for key in "dca":
        turns.end(key)
    for _ in range(4):
        turns.done()
        order.append(turns.current())
        if order[-1] == "b":
            turns.end("b")

    assert ["a", "d", "c", "b", None] == order


def test_one_that_never_began_can_have_a_turn() -> None:
    turns: Turns[str] = Turns()
    turns.begin("a")
    turns.current()
    turns.end("a line of our own")
    turns.end("a")
    turns.done()

    assert "a line of our own" == turns.current()


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "done"]), st.integers(0, 5))))
def test_each_that_ends_has_exactly_one_turn(acts: list[tuple[str, int]]) -> None:
    turns: Turns[int] = Turns()
    begun: set[int] = set()
    ended: set[int] = set()
    shown: list[int] = []
    for act, key in acts:
        current = turns.current()
        if act == "begin" and key not in begun:
            begun.add(key)
            turns.begin(key)
        elif act == "end" and key in begun - ended:
            ended.add(key)
            turns.end(key)
        elif act == "done" and current in ended:
            shown.append(current)
            turns.done()
    for key in begun - ended:
        turns.current()
        turns.end(key)
    while (current := turns.current()) is not None:
        shown.append(current)
        turns.done()

    assert sorted(begun) == sorted(shown)

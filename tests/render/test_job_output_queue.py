"""Whose turn it is to be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.render.job_output.grouped import OutputQueue


def test_the_oldest_live_one_is_shown_and_stays_until_it_is_done() -> None:
    queue: OutputQueue[str] = OutputQueue()
    queue.begin("a")
    first = queue.current()
    queue.begin("b")
    queue.end("b")

    assert ["a", "a"] == [first, queue.current()]


def test_those_that_have_ended_come_before_those_that_are_live() -> None:
    queue: OutputQueue[str] = OutputQueue()
    for key in "abcd":
        queue.begin(key)
    order = [queue.current()]
    for key in "dca":
        queue.end(key)
    for _ in range(4):
        queue.done()
        order.append(queue.current())
        if order[-1] == "b":
            queue.end("b")

    assert ["a", "d", "c", "b", None] == order


def test_one_that_never_began_can_have_a_turn() -> None:
    queue: OutputQueue[str] = OutputQueue()
    queue.begin("a")
    queue.current()
    queue.end("a line of our own")
    queue.end("a")
    queue.done()

    assert "a line of our own" == queue.current()


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "done"]), st.integers(0, 5))))
def test_each_that_ends_has_exactly_one_turn(acts: list[tuple[str, int]]) -> None:
    queue: OutputQueue[int] = OutputQueue()
    begun: set[int] = set()
    ended: set[int] = set()
    shown: list[int] = []
    for act, key in acts:
        current = queue.current()
        if act == "begin" and key not in begun:
            begun.add(key)
            queue.begin(key)
        elif act == "end" and key in begun - ended:
            ended.add(key)
            queue.end(key)
        elif act == "done" and current in ended:
            shown.append(current)
            queue.done()
    for key in begun - ended:
        queue.current()
        queue.end(key)
    while (current := queue.current()) is not None:
        shown.append(current)
        queue.done()

    assert sorted(begun) == sorted(shown)

"""The end of a queue as a mark: what a handler sees of it, and what the queue behind it hears."""

from __future__ import annotations

import queue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import EndOfStream
from runner.handlers.wrappers import SentinelInbox


class Inbox:
    """A queue's end with some items, and then the end of the stream."""

    def __init__(self, *items: object) -> None:
        self.items = list(items)
        self.calls: list[tuple[object, ...]] = []
        self.owed = 0

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        self.calls.append(("get", block, timeout))
        if not self.items:
            raise EndOfStream
        self.owed += 1
        return self.items.pop(0)

    def task_done(self) -> None:
        if not self.owed:
            raise ValueError("task_done() called too many times")
        self.owed -= 1

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        self.calls.append(("put", item, block, timeout))
        raise queue.Full

    def join(self) -> None:
        self.calls.append(("join",))

    def qsize(self) -> int:
        return len(self.items)

    def empty(self) -> bool:
        return not self.items

    def full(self) -> bool:
        return True


@pytest.mark.parametrize("mark", [None, "end", 0, False])
def test_the_mark_comes_once_after_the_last_item_and_then_the_end(mark: object) -> None:
    inbox = SentinelInbox(Inbox("a", "b"), mark)

    assert ["a", "b", mark] == [inbox.get() for _ in range(3)]
    with pytest.raises(EndOfStream):
        inbox.get()


def test_an_item_that_equals_the_mark_is_an_item() -> None:
    end = Inbox(None, "b")
    inbox = SentinelInbox(end, None)

    assert [None, "b", None] == [inbox.get() for _ in range(3)]
    assert 2 == end.owed


@given(st.integers(0, 5), st.lists(st.sampled_from(["get", "done"])))
def test_task_done_for_the_mark_is_heard_by_nobody_else(items: int, acts: list[str]) -> None:
    """
    Whatever the order of gets and task_dones: what is owed for items is said for items, and the mark owes nothing.
    """
    end = Inbox(*range(items))
    inbox = SentinelInbox(end, None)
    taken = done = 0
    for act in acts:
        if act == "get" and taken <= items:
            inbox.get()
            taken += 1
        elif act == "done" and done < taken:
            inbox.task_done()
            done += 1

    assert min(taken, items) - min(done, items) == end.owed


def test_one_task_done_too_many_is_one_too_many() -> None:
    inbox = SentinelInbox(Inbox(), None)
    inbox.get()
    inbox.task_done()

    with pytest.raises(ValueError, match="task_done\\(\\) called too many times"):
        inbox.task_done()


def test_all_else_is_the_queues_own() -> None:
    end = Inbox("a")
    inbox = SentinelInbox(end, None)

    seen = (inbox.qsize(), inbox.empty(), inbox.full(), inbox.join(), inbox.get(False, 3.0))

    assert (1, False, True, None, "a") == seen
    with pytest.raises(queue.Full):
        inbox.put("b", False)
    assert [("join",), ("get", False, 3.0), ("put", "b", False, None)] == end.calls

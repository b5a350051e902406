"""Batches where queue ends pass one item at a time: what is handed over together, and what is said of each item."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner.errors import EndOfStream
from runner.ipc.frames import UnpackError, load_item
from runner.ipc.status_page import StatusPage
from runner.spec.commits import BatchSpec
from runner.transports.item_batches import ItemBatchLoop

PAUSE = object()
"""In the place of an item: nothing comes for a while."""


class Inbox:
    """Hands out what a test says, and notes what is said of it."""

    def __init__(self, *items: object) -> None:
        self.items = deque(items)
        self.said: list[str] = []

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        if not self.items:
            raise EndOfStream
        item = self.items.popleft()
        if item is PAUSE:
            if timeout is not None:
                raise queue.Empty
            return self.get(block)
        return load_item(item) if isinstance(item, bytes) else item

    def task_done(self) -> None:
        self.said.append("done")

    def give_up(self) -> None:
        self.said.append("dropped")


class Outbox:
    """Keeps what is put."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        self.items.append(item)


@pytest.fixture
def page() -> Iterator[StatusPage]:
    page = StatusPage.private()
    yield page
    page.close()


def run(
    page: StatusPage,
    inbox: Inbox,
    spec: BatchSpec,
    handler: Callable[[list[Any]], object] = lambda _: None,
    outbox: Outbox | None = None,
) -> tuple[list[list[Any]], list[tuple[object, str]]]:
    """Return the lists that the handler got, and the items that failed with what was raised."""
    got: list[list[Any]] = []
    failed: list[tuple[object, str]] = []

    def call(items: list[Any]) -> object:
        got.append(list(items))
        return handler(items)

    def fail(item: object, error: BaseException, **_: Any) -> None:
        failed.append((item, str(error)))

    ends: Any = inbox, outbox
    ItemBatchLoop(*ends, page, spec, lambda *_, **__: None).run(call, fail)
    return got, failed


def test_a_list_is_full_or_ends_where_nothing_comes(page: StatusPage) -> None:
    inbox = Inbox(0, 1, 2, 3, PAUSE, 4, 5)

    got, _ = run(page, inbox, BatchSpec(3))

    assert [[0, 1, 2], [3], [4, 5]] == got
    assert ["done"] * 6 == inbox.said


def test_what_is_too_much_for_a_list_begins_the_next(page: StatusPage) -> None:
    got, _ = run(page, Inbox("a" * 60, "b" * 60, "c", "d" * 500), BatchSpec(9, most_bytes=100))

    assert [["a"], ["b", "c"], ["d"]] == [[item[0] for item in batch] for batch in got]


def test_an_item_that_cannot_be_unpickled_fails_alone(page: StatusPage) -> None:
    bad = b"\x80\x05cnowhere\nat all\n."
    with pytest.raises(UnpackError):
        load_item(bad)

    inbox = Inbox(0, 1, bad, 2)
    got, failed = run(page, inbox, BatchSpec(4))

    assert [[0, 1], [2]] == got
    assert ["done", "done", "dropped", "done"] == inbox.said
    assert ["<an item that can't be unpickled>"] == [repr(item) for item, _ in failed]


def test_what_was_made_before_a_list_failed_is_put_once(page: StatusPage) -> None:
    def handler(items: list[int]) -> Iterator[object]:
        output: list[int] = []
        for item in items:
            if item == 2:
                raise ValueError("two")
            output.append(item)
            yield output

    outbox, inbox = Outbox(), Inbox(0, 1, 2, 3)
    _, failed = run(page, inbox, BatchSpec(4), handler, outbox)

    assert [[0], [0, 1], [3]] == outbox.items
    assert [(2, "two")] == failed
    assert ["done", "done", "dropped", "done"] == inbox.said

"""A handler under a lock: when it holds it, and that it never does while it would wait at a queue."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import pytest

from runner.errors import BatchFailed, HandlerError
from runner.handlers.kinds import Driver, Mapper, Source, Task
from runner.handlers.wrappers import hold_lock


class Recorder:
    """A lock that notes when it is held, in one list with what the handler does."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def acquire(self, *_: object) -> bool:
        self.notes.append("lock")
        return True

    def release(self) -> None:
        self.notes.append("free")

    def locked(self) -> bool:
        return False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@pytest.fixture
def lock() -> Recorder:
    return Recorder()


def test_a_task_is_run_under_it(lock: Recorder) -> None:
    handler = hold_lock(Task(lambda: lock.notes.append("run")), lock)

    assert isinstance(handler, Task)
    handler.call()

    assert ["lock", "run", "free"] == lock.notes


def test_each_item_is_handled_under_it(lock: Recorder) -> None:
    handler = hold_lock(Mapper(lambda item: lock.notes.append(item) or "made"), lock)  # type: ignore[func-returns-value]

    assert isinstance(handler, Mapper)
    assert ["made", "made"] == [handler.call(1), handler.call(2)]

    assert ["lock", 1, "free", "lock", 2, "free"] == lock.notes


def test_what_is_yielded_for_an_item_is_made_under_it_and_put_after(lock: Recorder) -> None:
    def cook(item: object) -> Iterator[object]:
        lock.notes.append("begin")
        yield item
        yield item
        lock.notes.append("end")

    handler = hold_lock(Mapper(cook), lock)
    assert isinstance(handler, Mapper)
    for made in handler.call("bun"):  # type: ignore[attr-defined]
        lock.notes.append(made)

    assert ["lock", "begin", "end", "free", "bun", "bun"] == lock.notes


def test_what_is_yielded_before_some_of_a_batch_are_said_to_have_failed_is_put_all_the_same(
    lock: Recorder,
) -> None:
    def cook(items: list[object]) -> Iterator[object]:
        yield items[0]
        raise BatchFailed({1: ValueError("burnt")})

    handler = hold_lock(Mapper(cook), lock)  # type: ignore[arg-type]
    assert isinstance(handler, Mapper)
    made: list[object] = []
    with pytest.raises(BatchFailed):
        made.extend(handler.call(["bun", "pie"]))  # type: ignore[call-overload]

    assert ["bun"] == made
    assert ["lock", "free"] == lock.notes


def test_each_item_is_made_under_it_and_put_without(lock: Recorder) -> None:
    def steam() -> Iterator[int]:
        for number in range(2):
            lock.notes.append("make")
            yield number
        lock.notes.append("close")

    handler = hold_lock(Source(steam), lock)
    assert isinstance(handler, Source)
    for item in handler.items():
        lock.notes.append(item)

    making = [
        ["lock", "free"],
        ["lock", "make", "free", 0],
        ["lock", "make", "free", 1],
        ["lock", "close", "free"],
    ]
    assert [note for step in making for note in step] == lock.notes


def test_a_maker_that_is_not_asked_on_is_closed(lock: Recorder) -> None:
    closed = []

    def steam() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    handler = hold_lock(Source(steam), lock)
    assert isinstance(handler, Source)
    items = iter(handler.items())
    next(items)
    items.close()  # type: ignore[attr-defined]

    assert ([True], "free") == (closed, lock.notes[-1])


def test_whatever_a_handler_raises_frees_it(lock: Recorder) -> None:
    handler = hold_lock(Mapper(lambda item: 1 / item), lock)  # type: ignore[operator]

    assert isinstance(handler, Mapper)
    with pytest.raises(ZeroDivisionError):
        handler.call(0)

    assert ["lock", "free"] == lock.notes


def test_a_handler_that_drives_its_queue_is_refused(lock: Recorder) -> None:
    with pytest.raises(HandlerError, match="would hold the lock while it waits there"):
        hold_lock(Driver(lambda *_: None), lock)

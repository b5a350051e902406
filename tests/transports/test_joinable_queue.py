"""The queue of `joinable`, with both ends in this process: what travels, who is woken, who has no part in it."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.errors import EndOfStream, NotTheWorker
from runner.ipc.channel import open_channel
from runner.ipc.frames import UnpackError
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.spec.model import Role
from runner.transports.item_tap import ItemTap
from runner.transports.joinable.counted_queue import CountedQueue

NEVER = 3600.0
"""Seconds between two looks at the page, in tests that would fail by never ending."""


class End:
    """A queue as a worker has it, its page, and the bell that the supervisor rings."""

    def __init__(self, *, look: float = 0.02) -> None:
        self.page = StatusPage.private()
        self.receiver, self.sender = open_channel()
        self.queue = CountedQueue(1000, ctx=multiprocessing.get_context("fork"))
        os.set_blocking(self.queue.descriptors()[0], False)
        worker: Any = SimpleNamespace(role=Role.PIPE)
        tap = ItemTap(worker, self.page, self.sender.send)
        self.queue.use_as(worker, self.page, look, self.sender.fileno(), tap)

    def say(self, word: int, value: int) -> None:
        """As the supervisor does: into the page, and then the bell."""
        self.page.words[word] = value
        self.receiver.ring()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()  # which closes the pipe
        self.queue.dispose()
        self.receiver.close()
        self.sender.close()


@pytest.fixture
def made() -> Iterator[Callable[..., End]]:
    """Makes ends, and closes them."""
    ends: list[End] = []

    def make(**more: Any) -> End:
        ends.append(End(**more))
        return ends[-1]

    yield make
    for end in ends:
        end.close()


class Plain:
    """An item of a class."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


ITEMS: list[object] = [
    *(None, True, -1, 1 << 200, 2.5, math.inf, 1j, "neo的包子", "\ud800", b"", b"\0" * 10),
    *((), (1, "a", None), (1, (2,)), [], [b"payload"], [[b"payload"]], {"a": [1]}, {1, 2}, bytearray(b"a")),
    Plain([1]),
]
# What a pipe takes at once, what the standard library writes in one piece, in two, and what fills a pipe.
LENGTHS = [size + more for size in (4092, 16384, 65536) for more in (-9, -8, -7, -6, -5, -4, 0, 1)]


def test_what_is_put_arrives_as_it_was_put(made: Callable[..., End]) -> None:
    end = made()

    for item in ITEMS:
        end.queue.put(item)
    taken = [end.queue.get() for _ in ITEMS]

    assert (ITEMS, [type(item) for item in ITEMS]) == (taken, [type(item) for item in taken])
    assert (len(ITEMS), len(ITEMS)) == (end.page.counts().sent, end.page.counts().received)


@pytest.mark.parametrize("wrap", [bytes, bytearray], ids=["pickled by the feeder", "pickled by put"])
def test_messages_of_every_length_arrive_whole(made: Callable[..., End], wrap: Callable[..., Any]) -> None:
    end = made()
    items = [wrap(os.urandom(length)) for length in (*LENGTHS, 1_000_000)]

    for item in items:
        end.queue.put(item)

    assert items == [end.queue.get() for _ in items]


def test_an_item_is_what_it_was_when_it_was_put_whatever_becomes_of_it(made: Callable[..., End]) -> None:
    end = made()
    item = {"count": 0}

    for count in range(3):
        item["count"] = count
        end.queue.put(item)

    assert [{"count": 0}, {"count": 1}, {"count": 2}] == [end.queue.get() for _ in range(3)]


def test_an_item_that_does_not_pickle_is_refused_at_once_and_is_not_waited_for(
    made: Callable[..., End],
) -> None:
    end = made()

    with pytest.raises(Exception, match="pickle"):
        end.queue.put(lambda: None)

    end.queue.join()
    assert 0 == end.page.counts().sent


def refuse() -> None:
    """What an item that can't be unpickled calls."""
    raise OSError(errno.ENOENT, "not here")


class Unreadable:
    """Pickles, and does not unpickle."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return refuse, ()


def test_an_item_that_does_not_unpickle_has_been_taken_and_can_be_given_up(made: Callable[..., End]) -> None:
    end = made()
    end.queue.put(Unreadable())

    with pytest.raises(UnpackError):
        end.queue.take()
    end.queue.give_up()

    counts = end.page.counts()
    assert (1, 0, 1) == (counts.received, counts.done, counts.failed)
    end.queue.join()


def test_the_item_in_hand_is_shown_until_it_is_done(made: Callable[..., End]) -> None:
    end = made()
    end.queue.put("包子")
    end.queue.put([1, 2])

    shown = []
    for finish in (end.queue.finish, end.queue.task_done):
        end.queue.take()
        shown.append(end.page.item)
        finish()
        shown.append(end.page.item)

    assert ["'包子'", "", "[1, 2]", ""] == shown
    assert 2 == end.page.counts().done


@pytest.mark.parametrize("word", [Word.END, Word.STOP], ids=["end", "stop"])
@pytest.mark.parametrize("readers", [1, 3])
def test_who_waits_for_an_item_is_woken_by_its_bell(
    made: Callable[..., End], word: int, readers: int
) -> None:
    """Also who waits for the lock: whoever is woken gives it back."""
    end, ended = made(look=NEVER), queue.Queue[str]()

    def read() -> None:
        try:
            end.queue.get()
        except EndOfStream:
            ended.put("ended")

    threads = [threading.Thread(target=read, daemon=True) for _ in range(readers)]
    for thread in threads:
        thread.start()
    end.say(word, StopRequest.WAITING)

    assert ["ended"] * readers == [ended.get(timeout=60) for _ in threads]
    for thread in threads:
        thread.join()


def test_what_waits_is_taken_after_the_bell_too(made: Callable[..., End]) -> None:
    end = made(look=NEVER)
    for number in range(3):
        end.queue.put(number)
    end.queue.flush_puts()
    end.say(Word.END, 1)

    taken = [end.queue.get() for _ in range(3)]

    assert [0, 1, 2] == taken
    with pytest.raises(EndOfStream):
        end.queue.get()


def test_who_has_no_bell_any_more_looks_at_its_page_all_the_same(made: Callable[..., End]) -> None:
    end = made(look=0.001)
    end.receiver.close()  # for good readable, and nothing to say
    ended: queue.Queue[str] = queue.Queue()

    def read() -> None:
        ended.put(str(end.queue.get()))
        try:
            end.queue.get()
        except EndOfStream:
            ended.put("ended")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    end.queue.put("包子")
    first = ended.get(timeout=60)
    end.page.words[Word.END] = 1

    assert ("包子", "ended") == (first, ended.get(timeout=60))
    thread.join()


USES: dict[str, Callable[[CountedQueue], object]] = {
    "put": lambda queue: queue.put(1),
    "get": lambda queue: queue.get(),
    "take": lambda queue: queue.take(),
    "task_done": lambda queue: queue.task_done(),
    "finish": lambda queue: queue.finish(),
    "give_up": lambda queue: queue.give_up(),
    "join": lambda queue: queue.join(),
}


@pytest.mark.parametrize("use", USES)
def test_a_fork_of_the_worker_has_no_queue(made: Callable[..., End], use: str) -> None:
    """Nor can it end the item that its worker holds."""
    end = made()
    end.queue.put("first")
    end.queue.put("second")
    end.queue.get()
    end.queue.after_fork()  # as it is called in the fork

    with pytest.raises(NotTheWorker, match="forked"):
        USES[use](end.queue)

    unfinished = cast("Any", vars(end.queue)["_unfinished_tasks"])
    assert (2, 1, 0) == (unfinished.get_value(), end.page.counts().received, end.page.counts().done)

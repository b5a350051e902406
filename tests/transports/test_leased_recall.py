"""What a reader does where items that it holds are recalled: it begins none of them, and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from runner.ipc.frames import pack_safe
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.ipc.stream import (
    AckMessage,
    EndMessage,
    LeaseMessage,
    LeftMessage,
    Message,
    PutMessage,
    SupervisorStream,
    open_stream,
)
from runner.text import safe_repr
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox

BUNS = list(range(100, 110))


class Desk:
    """A reader in this process, and the supervisor's end of its stream."""

    def __init__(self, ours: SupervisorStream, session: WorkerSession, *, pipe: bool) -> None:
        self.ours = ours
        self.page = session.status
        self.words = session.status.words
        session.granted = 1000
        outbox = FrameOutbox(session, stops=False) if pipe else None
        self.loops = FrameLoops(session, FrameInbox(session), outbox)
        self.handled: list[object] = []

    def lease(self, number: int, start: int, stop: int) -> None:
        """Hand over some of the buns."""
        self.ours.send_nowait(LeaseMessage(start, stop, 0, number, 1, body=pack_safe(BUNS)))

    def work(self, on: dict[object, Callable[[], object]], *, seconds: float = 0.0002) -> list[Message]:
        """Have it work to the end of the stream, and do something at some items; return what it said."""

        def handle(item: object) -> object:
            self.handled.append(item)
            if seconds:
                time.sleep(seconds)  # so that it is a slow one
            on.get(item, lambda: None)()
            return item

        self.ours.send_nowait(EndMessage())
        self.loops.consume(handle, no_failure)
        return self.ours.receive_nowait()

    def recall(self, handed: int) -> None:
        """Recall what was handed so far."""
        self.words[Word.RECALLED] = handed


def no_failure(_item: object, error: BaseException, **_: object) -> None:
    raise error


@pytest.fixture(params=[False, True], ids=["consumer", "pipe"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    ours, theirs = open_stream()
    page = StatusPage.shared()
    yield Desk(ours, WorkerSession(theirs, page), pipe=request.param)
    ours.close()
    theirs.close()
    page.close()


def test_what_is_recalled_is_not_begun_and_it_is_said_what_was(desk: Desk) -> None:
    desk.lease(1, 0, 5)
    desk.lease(2, 5, 8)
    desk.lease(3, 8, 10)

    said = desk.work({101: lambda: desk.recall(8)})

    assert [100, 101, 108, 109] == desk.handled
    assert [LeftMessage(2, 8)] == [each for each in said if isinstance(each, LeftMessage)]
    told = [
        (each.lease, each.upto)
        for each in said
        if isinstance(each, AckMessage | PutMessage | LeftMessage) and not isinstance(each, LeftMessage)
    ]
    assert [(1, 2), (3, 10)] == [max(each for each in told if each[0] == lease) for lease in (1, 3)]
    assert {1, 3} == {lease for lease, _ in told}


def test_what_is_left_counts_neither_as_taken_nor_as_done(desk: Desk) -> None:
    desk.lease(1, 0, 5)
    desk.lease(2, 5, 8)

    desk.work({102: lambda: desk.recall(8)})

    assert (3, 3) == (desk.words[Word.RECEIVED], desk.words[Word.DONE])


def test_each_recall_is_answered_once(desk: Desk) -> None:
    desk.lease(1, 0, 4)
    desk.lease(2, 4, 6)
    desk.lease(3, 6, 10)

    said = desk.work({100: lambda: desk.recall(6), 106: lambda: desk.recall(10)})

    assert [100, 106] == desk.handled
    assert [LeftMessage(1, 6), LeftMessage(7, 10)] == [each for each in said if isinstance(each, LeftMessage)]


def test_a_reader_says_what_it_has_begun_before_it_begins_it(desk: Desk) -> None:
    seen: list[tuple[int, int]] = []
    look = {each: lambda: seen.append((desk.words[Word.ENDED], desk.words[Word.BEGUN])) for each in BUNS}
    desk.lease(1, 4, 6)
    desk.lease(2, 0, 2)

    desk.work(look)

    assert [(0, 1), (1, 2), (2, 3), (3, 4)] == seen
    assert desk.words[Word.HEEDS]


def test_quick_items_are_begun_together(desk: Desk) -> None:
    begun: set[int] = set()
    for number in range(40):
        desk.lease(number, 0, 10)

    desk.work({100: lambda: begun.add(desk.words[Word.BEGUN] - desk.words[Word.ENDED])}, seconds=0.0)

    assert 400 == len(desk.handled)
    assert max(begun) == len(BUNS)


def test_whoever_is_asked_to_close_leaves_the_rest_of_its_lease(desk: Desk) -> None:
    desk.lease(1, 0, 5)

    said = desk.work({101: lambda: desk.words.__setitem__(Word.STOP, StopRequest.WAITING)})

    assert [100, 101] == desk.handled
    assert not [each for each in said if isinstance(each, LeftMessage)]


@pytest.mark.parametrize("letters", [1, 30, 300])
def test_each_slow_item_is_named_while_it_is_in_hand_however_long_the_names(desk: Desk, letters: int) -> None:
    texts = [str(number) * letters for number in range(9)]
    names: list[str] = []
    desk.ours.send_nowait(LeaseMessage(0, 9, 0, 1, 1, body=pack_safe(texts)))

    desk.work({text: lambda: names.append(desk.page.item) for text in texts})

    assert [safe_repr(text) for text in texts] == names
    assert "" == desk.page.item

"""The worker's way out under `leased`, without processes: what leaves, in which frames, and what goes by the arena."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.ipc.frames import unpack
from runner.ipc.shm.handles import BIG
from runner.ipc.status_page import StatusPage
from runner.ipc.stream import CreditMessage, Message, PutBigMessage, PutMessage, open_stream
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.big_items import ArenaRegistry, BigItemWriter
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox

PLAN = make_plan(
    WorkflowSpec(
        "late",
        Path("/nowhere/late.yaml"),
        (
            StageSpec("chef", HandlerRef("python", "k:steam"), workers=("neo",), sends="q"),
            StageSpec("eater", HandlerRef("python", "k:eat"), workers=("eater",), receives="q"),
        ),
        (QueueSpec("q"),),
    )
)
SMALL_ONES = 200
"""More than anybody looks at before the items count as small."""


class Bench:
    """An outbox whose supervisor is the test."""

    def __init__(self) -> None:
        self.ours, self._theirs = open_stream()
        self._page = StatusPage.private()
        self._arenas = ArenaRegistry(PLAN)
        (neo,) = (worker for worker in PLAN.workers if worker.name == "neo")
        session = self.session = WorkerSession(self._theirs, self._page)
        self.outbox = FrameOutbox(
            session, stops=True, big_items=BigItemWriter(self._arenas.allocate_region(neo, "q"), session)
        )
        self.ours.send_nowait(CreditMessage(10_000))
        session.take_in()

    def sent(self) -> list[PutMessage]:
        """What has come so far."""
        return [message for message in self.ours.receive_nowait() if isinstance(message, PutMessage)]

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()
        self._page.close()
        self._arenas.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize(
    "late",
    [b"x" * BIG, "汉" * BIG, ["x" * BIG], {"a": bytearray(BIG)}],
    ids=["bytes", "text", "list", "dict"],
)
def test_a_big_item_goes_by_the_arena_however_late_it_comes(bench: Bench, late: object) -> None:
    for number in range(SMALL_ONES):
        bench.outbox.put(number)
    bench.outbox.flush()
    assert {PutMessage} == {type(message) for message in bench.sent()}

    bench.outbox.put(late)
    bench.outbox.flush()

    (frame,) = bench.sent()
    assert (PutBigMessage, 1) == (type(frame), frame.count)
    assert len(frame.body) < BIG


def test_no_frame_holds_more_items_than_the_supervisor_wants_in_one(bench: Bench) -> None:
    bench.ours.send_nowait(CreditMessage(5000, 100))
    bench.session.take_in()
    loops = FrameLoops(bench.session, None, bench.outbox)

    loops.produce(range(3000), lambda *_, **__: None)

    counts = [message.count for message in bench.sent()]
    assert (3000, True) == (sum(counts), max(counts) <= 100)


def test_what_was_put_before_a_late_big_item_leaves_before_it(bench: Bench) -> None:
    for number in range(SMALL_ONES):
        bench.outbox.put(number)
    bench.outbox.put(b"x" * BIG)
    bench.outbox.put("last")
    bench.outbox.flush()

    counts = [message.count for message in bench.sent()]
    assert SMALL_ONES + 2 == sum(counts)


@pytest.mark.parametrize("item", ["包子" * 50, ("包子" * 50, 1), {"name": "包子" * 50}], ids=str)
def test_a_long_frame_lies_in_the_arena_and_a_short_one_travels(bench: Bench, item: object) -> None:
    bench.outbox.put(item)
    bench.outbox.flush()
    bench.outbox.room = 1000  # as after many that came quickly
    for _ in range(500):
        bench.outbox.put(item)
    bench.outbox.flush()

    short, *others = bench.sent()
    assert PutMessage is type(short)
    assert (500, True) == (
        sum(each.count for each in others),
        any(type(each) is PutBigMessage and len(each.body) < 100 for each in others),
    )


@pytest.mark.parametrize(
    "items",
    [
        [{"n": number} for number in range(200)],
        [[number] for number in range(200)],
        [number if number % 100 < 80 else {"n": number} for number in range(200)],
    ],
    ids=["mappings", "lists", "both in turn"],
)
def test_small_items_leave_in_company_whatever_they_are(bench: Bench, items: list[object]) -> None:
    def refuse(item: object, error: BaseException, **_: object) -> None:
        raise AssertionError(item) from error

    FrameLoops(bench.session, None, bench.outbox).produce(iter(items), refuse)

    sent = bench.sent()
    assert items == [item for put in sent for item in unpack(bytes(put.body), 0, put.count)]
    assert len(sent) < len(items) // 5


def test_a_flush_waits_for_what_another_thread_is_sending(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_go_on = threading.Event(), threading.Event()
    send = bench.session.stream.send

    def send_slowly(message: Message) -> None:
        began.set()
        assert may_go_on.wait(30)
        send(message)

    def put_one() -> None:
        bench.outbox.put(1)
        bench.outbox.flush()

    monkeypatch.setattr(bench.session.stream, "send", send_slowly)
    sending = threading.Thread(target=put_one)
    sending.start()
    assert began.wait(30)
    flushing = threading.Thread(target=bench.outbox.flush)
    flushing.start()
    flushing.join(0.05)  # what is not in order would be over by now
    was_over = not flushing.is_alive()
    may_go_on.set()
    sending.join(30)
    flushing.join(30)

    assert (False, 1) == (was_over, sum(each.count for each in bench.sent()))

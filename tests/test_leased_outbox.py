"""The worker's way out under `leased`, without processes: what leaves, in which frames, and what goes by the arena."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.dockets import BIG
from runner.plan import make_plan
from runner.spec import HandlerRef, QueueSpec, StageSpec, WorkflowSpec
from runner.status import StatusPage
from runner.transports.leased_docks import Docks
from runner.transports.leased_freight import Freight
from runner.transports.leased_outbox import FrameOutbox
from runner.transports.leased_stream import Stream
from runner.wire import Kind, Message, open_wire

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
        self.ours, self._theirs = open_wire()
        self._page = StatusPage.private()
        self._docks = Docks(PLAN)
        (neo,) = (worker for worker in PLAN.workers if worker.name == "neo")
        stream = Stream(self._theirs, self._page)
        self.outbox = FrameOutbox(stream, stops=True, freight=Freight(self._docks.berth(neo), stream))
        self.ours.send_nowait(Message(Kind.CREDIT, count=10_000))
        stream.take_in()

    def sent(self) -> list[Message]:
        """What has come so far."""
        return self.ours.receive_nowait()

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()
        self._page.close()
        self._docks.close()


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
    assert {Kind.PUT} == {message.kind for message in bench.sent()}

    bench.outbox.put(late)
    bench.outbox.flush()

    (frame,) = bench.sent()
    assert (Kind.PUT_BIG, 1) == (frame.kind, frame.count)
    assert len(frame.body) < BIG


def test_what_was_put_before_a_late_big_item_leaves_before_it(bench: Bench) -> None:
    for number in range(SMALL_ONES):
        bench.outbox.put(number)
    bench.outbox.put(b"x" * BIG)
    bench.outbox.put("last")
    bench.outbox.flush()

    counts = [message.count for message in bench.sent()]
    assert SMALL_ONES + 2 == sum(counts)

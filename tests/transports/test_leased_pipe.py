"""A pipe stage under `leased`, without processes: what it says of the items that its outputs were made of, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.ipc.frames import pack_series, pickle_alone
from runner.ipc.status_page import StatusPage
from runner.ipc.stream import (
    AckMessage,
    CreditMessage,
    EndMessage,
    LeaseMessage,
    Message,
    PutMessage,
    open_stream,
)
from runner.ledger.leases import LeaseQueue
from runner.ledger.partitioned import Offer, PartitionedQueue, QueueLedger, QueuePolicy, ShardFrame
from runner.ledger.ranges import Frame
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.batch_packer import BatchPolicy
from runner.transports.leased.big_items import ArenaRegistry, BigItemWriter
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox

PLAN = make_plan(
    WorkflowSpec(
        "fill",
        Path("/nowhere/fill.yaml"),
        (
            StageSpec("chef", HandlerRef("python", "k:steam"), workers=("neo",), sends="q"),
            StageSpec("cook", HandlerRef("python", "k:fill"), workers=("alex",), receives="q", sends="r"),
            StageSpec("eater", HandlerRef("python", "k:eat"), workers=("egon",), receives="r"),
        ),
        (QueueSpec("q"), QueueSpec("r")),
    )
)
BATCH = BatchPolicy(shard_by=None, shards=1, max_bytes=None, batch_items=2)


def said_of(
    handler: Callable[[object], object], *, asks: bool, policy: BatchPolicy | None, items: int = 5
) -> list[Message]:
    """Have a worker handle one lease; the supervisor has given leave for single items, and every answer, beforehand."""
    ours, theirs = open_stream()
    page, arenas = StatusPage.private(), ArenaRegistry(PLAN)
    (alex,) = (worker for worker in PLAN.workers if worker.name == "alex")
    session = WorkerSession(theirs, page)
    outbox = FrameOutbox(
        session,
        stops=False,
        asks=asks,
        big_items=BigItemWriter(arenas.allocate_region(alex, "r"), session),
        policy=policy,
    )
    frame = pack_series([pickle_alone(number) for number in range(items)])
    ours.send_nowait(LeaseMessage(0, items, 0, 1, 1, body=frame))
    for _ in range(3 * items):
        ours.send_nowait(CreditMessage(0 if asks else 1))
    ours.send_nowait(EndMessage())

    FrameLoops(session, FrameInbox(session), outbox).consume(handler, refuse)

    said = ours.receive_nowait()
    for each in (ours, theirs, page, arenas):
        each.close()
    return said


def refuse(item: object, error: BaseException, **_: object) -> None:
    raise AssertionError(item) from error


@pytest.mark.parametrize("handler", [str, lambda item: [item]], ids=["text", "list"])
@pytest.mark.parametrize(
    ("asks", "policy"), [(False, None), (True, None), (True, BATCH)], ids=["leave", "asks", "batch"]
)
def test_what_a_pipe_returns_leaves_in_one_message_with_the_word_that_its_item_is_done(
    handler: Callable[[object], object], asks: bool, policy: BatchPolicy | None
) -> None:
    puts = [
        message for message in said_of(handler, asks=asks, policy=policy) if isinstance(message, PutMessage)
    ]

    made = 0
    for put in puts:
        made += put.count
        assert (made, 0, 1) == (put.upto, put.partial, put.lease)
    assert 5 == made


def test_a_generators_outputs_leave_as_they_come_and_each_message_says_how_many_are_in() -> None:
    def two(item: object) -> Iterator[object]:
        yield item
        yield item

    said = said_of(two, asks=True, policy=None, items=2)

    puts = [(put.count, put.upto, put.partial) for put in said if isinstance(put, PutMessage)]
    assert [(1, 0, 1), (1, 0, 2), (1, 1, 1), (1, 1, 2)] == puts
    assert [2] == [ack.upto for ack in said if isinstance(ack, AckMessage)]


def lease_queue() -> LeaseQueue:
    ledger = LeaseQueue("q", None)
    ledger.offer("neo", Frame("buns", 5), 0.0)
    return ledger


def partitioned(policy: QueuePolicy) -> PartitionedQueue:
    ledger = PartitionedQueue("q", policy)
    ledger.offer(Offer("neo", [ShardFrame(0, Frame("buns", 5, 50))], 0.0), 0.0)
    return ledger


LEDGERS: dict[str, Callable[[], QueueLedger]] = {
    "plain": lease_queue,
    "bytes": lambda: partitioned(QueuePolicy(max_bytes=100)),
    "shards": lambda: partitioned(QueuePolicy(readers=("alex",))),
    "in order": lambda: partitioned(QueuePolicy(in_order=True)),
}


@pytest.mark.parametrize("kind", LEDGERS)
@pytest.mark.parametrize(
    ("asks", "policy"), [(False, None), (True, None), (True, BATCH)], ids=["leave", "asks", "batch"]
)
def test_wherever_its_last_death_strikes_what_is_put_is_done_and_nothing_is_both(
    kind: str, asks: bool, policy: BatchPolicy | None
) -> None:
    said = said_of(str, asks=asks, policy=policy)
    for deaths in [(heard, mark) for heard in range(len(said) + 1) for mark in range(5)]:
        ledger, made = LEDGERS[kind](), 0
        ledger.set_demand("alex", 5, 0.0)
        for message in said[: deaths[0]]:
            assert isinstance(message, PutMessage | AckMessage)
            made += message.count if isinstance(message, PutMessage) else 0
            if ledger.leases_of("alex"):
                partial = message.partial if isinstance(message, PutMessage) else 0
                ledger.acked(message.lease, message.upto, 0.0, partial)
        in_hand = any(held.at <= deaths[1] for held in ledger.leases_of("alex"))

        ledger.died(
            "alex",
            {1: range(deaths[1], deaths[1] + 1)} if in_hand else {},
            0.0,
            condemned={1} if in_hand else (),
        )

        account = ledger.account()
        assert (made, 5 - made) == (account.done, account.waiting + account.dead_lettered), deaths

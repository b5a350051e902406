"""What a writer gathers for a queue that must know its items' shards and bytes: whatever they are, and however they are
taken, each shard gets its own, in order, and what never fits fails at its put."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ItemTooBig
from runner.ipc.frames import Part, unpack, unpack_batch
from runner.ipc.status_page import StatusPage
from runner.ipc.stream import CreditMessage, PutMessage, SupervisorStream, open_stream
from runner.ledger.sharding import ShardKeyError, shard_number
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.batch_packer import BatchPacker, BatchPolicy
from runner.transports.leased.big_items import ArenaRegistry, BigItemReader, BigItemWriter
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox

MOST = 2 << 20
PLAN = make_plan(
    WorkflowSpec(
        "gather",
        Path("/nowhere/gather.yaml"),
        (
            StageSpec("chef", HandlerRef("python", "k:steam"), workers=("neo",), sends="q"),
            StageSpec("eater", HandlerRef("python", "k:eat"), workers=("eater",), receives="q"),
        ),
        (QueueSpec("q", max_bytes=MOST),),
    )
)
BIG = b"x" * (1 << 16)
PLAIN, SHARDED = BatchPolicy(None, 1, None, 100), BatchPolicy("item", 3, None, 100)
WEIGHED = BatchPolicy(None, 1, MOST, 100, share_bytes=MOST // 4)
TIGHT = BatchPolicy(None, 1, 100, 100, batch_bytes=25, share_bytes=25)


class Bench:
    """A packer, whoever takes from it, and what was taken."""

    def __init__(self, policy: BatchPolicy, ours: SupervisorStream, session: WorkerSession) -> None:
        self._arenas = ArenaRegistry(PLAN)
        (neo,) = (worker for worker in PLAN.workers if worker.name == "neo")
        region = self._arenas.allocate_region(neo, "q")
        self.session, self.ours = session, ours
        self.big_items = BigItemWriter(region, session)
        self.packer = BatchPacker(policy, self.big_items, threading.Lock(), self.take_all, self.take_all)
        self._reader = BigItemReader(region.file)
        self.parts: list[Part] = []

    def put(self, item: object) -> None:
        """As a loop does: what is quick goes into the list directly, unless each is looked at."""
        if not self.packer.looks and self.packer.quick.take(item):
            self.packer.open_safe().append(item)
        else:
            self.packer.add(item)

    def take(self, count: int) -> None:
        """Take the oldest."""
        if count := min(count, len(self.packer)):
            _, body = self.packer.take(count, may_store=True)
            self.parts += unpack_batch(body)

    def take_all(self) -> None:
        self.take(len(self.packer))

    def items(self, shard: int = 0) -> list[object]:
        """What has come of one shard."""
        return [
            item
            for part in self.parts
            if part.shard == shard
            for item in unpack(part.frame, 0, part.count, self._reader.copy)
        ]

    def close(self) -> None:
        self._arenas.close()


@contextmanager
def bench(policy: BatchPolicy) -> Iterator[Bench]:
    ours, theirs = open_stream()
    page = StatusPage.private()
    found = Bench(policy, ours, WorkerSession(theirs, page))
    try:
        yield found
    finally:
        for each in (ours, theirs, page, found):
            each.close()


_KEYS = st.integers() | st.text() | st.booleans() | st.none() | st.just(1 << 300) | st.just("包" * 9000)
_KEYED = _KEYS | st.tuples(_KEYS) | st.just(BIG)
_ANY = _KEYED | st.dictionaries(st.text(), st.integers()) | st.lists(st.integers()) | st.just([BIG])


@pytest.mark.parametrize(
    ("policy", "items"),
    [(PLAIN, _ANY), (WEIGHED, _ANY), (SHARDED, _KEYED)],
    ids=["plain", "weighed", "sharded"],
)
@given(data=st.data())
def test_each_shard_gets_its_items_in_order_however_they_are_taken(
    policy: BatchPolicy, items: Any, data: st.DataObject
) -> None:
    put: list[object] = []
    steps = data.draw(st.lists(st.tuples(items, st.integers(0, 3))))
    with bench(policy) as desk:
        for item, taken in steps:
            desk.put(item)
            put.append(item)
            desk.take(taken)
        desk.take_all()

        for shard in range(policy.shards):
            expected = [item for item in put if policy.shard_by is None or shard_number(item, 3) == shard]
            assert expected == desk.items(shard)
        assert len(put) == sum(part.count for part in desk.parts)


@given(st.lists(st.integers() | st.text(max_size=30) | st.tuples(st.text(max_size=30))))
def test_of_a_narrow_queue_each_item_weighs_what_it_is_pickled_and_a_batch_no_more_than_its_share(
    items: list[object],
) -> None:
    with bench(TIGHT) as desk:
        for item in items:
            try:
                desk.put(item)
            except ItemTooBig:
                continue
        desk.take_all()

        assert all(part.size <= 25 or part.count == 1 for part in desk.parts)
        assert all(part.size <= 100 for part in desk.parts)


@pytest.mark.parametrize(
    "item",
    ["x" * MOST, 1 << 8 * MOST, ("x" * MOST,), {"a": "x" * MOST}],
    ids=["text", "number", "tuple", "dict"],
)
def test_what_never_fits_fails_at_its_put_in_whichever_company(item: object) -> None:
    with bench(WEIGHED) as desk:
        desk.put(1)
        with pytest.raises(ItemTooBig):
            desk.put(item)
        desk.put("last")
        desk.take_all()

        assert [1, "last"] == desk.items()


@pytest.mark.parametrize(
    ("path", "lacking"),
    [("user", 5), ("user", (1, 2)), ("item", 1j), ("item", 10**5000)],
    ids=["number", "tuple", "complex", "endless"],
)
def test_what_has_no_key_fails_at_its_put_and_leaves_the_others_as_they_are(
    path: str, lacking: object
) -> None:
    with bench(BatchPolicy(path, 1, None, 100)) as desk:
        desk.put(before := {"user": 1} if path == "user" else 1)
        with pytest.raises((ShardKeyError, ValueError)):
            desk.put(lacking)
        desk.take_all()

        assert [before] == desk.items()


def test_one_batch_is_under_way_while_the_next_is_filled_and_the_end_waits_for_all() -> None:
    with bench(PLAIN) as desk:
        outbox = FrameOutbox(desk.session, stops=True, asks=True, big_items=desk.big_items, policy=PLAIN)
        outbox.add(1)
        assert [1] == [put.count for put in desk.ours.receive_nowait() if isinstance(put, PutMessage)]

        flushing = threading.Thread(target=outbox.flush)
        flushing.start()
        desk.ours.send_nowait(CreditMessage(0))
        flushing.join(10)

        assert (False, 1) == (flushing.is_alive(), desk.session.answered)

"""What a producer's outbox shows of its items, without processes: which of them, and how."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.ipc.shm.handles import BIG
from runner.ipc.status_page import StatusPage
from runner.ipc.stream import CreditMessage, PutMessage, SampleMessage, open_stream
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import WorkerPlan, make_plan
from runner.spec.resources import QueueSpec
from runner.text import safe_repr
from runner.transports.leased import samples
from runner.transports.leased.batch_packer import BatchPolicy
from runner.transports.leased.big_items import ArenaRegistry, BigItemWriter
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.samples import MOST_BYTES, ItemSampler
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox

PLAN = make_plan(
    WorkflowSpec(
        "shown",
        Path("/nowhere/shown.yaml"),
        (
            StageSpec("lister", HandlerRef("python", "k:list"), workers=("lister",), sends="q"),
            StageSpec("eater", HandlerRef("python", "k:eat"), workers=("eater",), receives="q"),
        ),
        (QueueSpec("q"),),
    )
)

_ANSWERS = 100
"""More than there are frames."""


class Bench:
    """A producer's loops whose supervisor is the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, self._theirs = open_stream()
        self._page = StatusPage.private()
        self._arenas = ArenaRegistry(PLAN)
        self.now = 100.0
        monkeypatch.setattr(samples, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def shows(
        self, items: Iterable[Any], offset: int = 0, policy: BatchPolicy | None = None
    ) -> list[tuple[int, object]]:
        """Put these; return the indexes of those that were shown, with the items, or with what they look like."""
        (lister,) = (worker for worker in PLAN.workers if worker.name == "lister")
        session = WorkerSession(self._theirs, self._page)
        outbox = self._outbox(lister, session, policy)
        outbox.show_by(ItemSampler(self._theirs, offset))
        for _ in range(_ANSWERS):
            self.ours.send_nowait(CreditMessage(1_000_000))
        session.take_in()
        loops = FrameLoops(session, None, outbox)
        loops.produce(iter(items), lambda *_, **__: None)
        return list(self._shown(offset))

    def _outbox(self, lister: WorkerPlan, session: WorkerSession, policy: BatchPolicy | None) -> FrameOutbox:
        big_items = BigItemWriter(self._arenas.allocate_region(lister, "q"), session)
        return FrameOutbox(session, stops=True, asks=policy is not None, big_items=big_items, policy=policy)

    def _shown(self, offset: int) -> Iterator[tuple[int, object]]:
        put = offset
        for message in self.ours.receive_nowait():
            if isinstance(message, PutMessage):
                put += message.count
            elif isinstance(message, SampleMessage):
                assert message.index < put, "it is shown before it is put"
                body = bytes(message.body)
                yield message.index, pickle.loads(body) if message.is_pickled else body.decode()

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()
        self._page.close()
        self._arenas.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    bench.close()


@pytest.mark.parametrize("make", [int, str, lambda number: {"n": number}], ids=["numbers", "texts", "dicts"])
def test_of_many_items_one_is_shown_in_a_thousand(bench: Bench, make: Any) -> None:
    items = [make(number) for number in range(4000)]

    # However fast they are made: no frame holds more than this.
    shown = dict(bench.shows(items, policy=BatchPolicy(None, 1, None, batch_items=500)))

    assert 0 in shown
    assert {index: items[index] for index in shown} == shown
    assert 1 < len(shown) <= 4


def test_of_few_items_that_come_slowly_each_is_shown(bench: Bench) -> None:
    def slowly() -> Iterator[dict[str, int]]:
        for number in range(5):
            bench.now += 0.06
            time.sleep(0.005)  # a frame is as big as its items come in a millisecond
            yield {"n": number}

    assert [(number, {"n": number}) for number in range(5)] == bench.shows(slowly())


def test_who_goes_on_counts_on(bench: Bench) -> None:
    assert (4096, "a") in bench.shows(["a", "b"], offset=4096)


def test_an_item_that_could_not_be_put_is_counted(bench: Bench) -> None:
    items = [0, lambda: 1, *range(2, 5000)]

    shown = dict(bench.shows(items))

    assert {index: items[index] for index in shown} == shown
    assert len(shown) > 1


@pytest.mark.parametrize(
    "item",
    ["x" * MOST_BYTES, ["x" * MOST_BYTES], b"x" * BIG, {"a": bytearray(BIG)}, list(range(BIG))],
    ids=["text", "list", "big bytes", "big dict", "big list"],
)
@pytest.mark.parametrize("policy", [None, BatchPolicy(None, 1, None, 16)], ids=["frames", "batches"])
def test_of_a_long_item_is_shown_what_it_looks_like(
    bench: Bench, item: object, policy: BatchPolicy | None
) -> None:
    assert [(0, safe_repr(item))] == bench.shows([item], policy=policy)

"""What a producer asks of its run to know what of its items is kept, and how long it waits for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import HandlerError
from runner.handlers.kinds import WorkerContext
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import WorkerPlan, make_plan
from runner.spec.resources import QueueSpec
from runner.transports import committed_items
from runner.transports.base import WorkerEndpoint
from runner.transports.committed_items import CommittedItems


def plan_of(worker: str = "lister", committed: int | None = 0) -> WorkerPlan:
    lister = StageSpec("lister", HandlerRef("python", "h:go"), {}, ("lister",), sends="q")
    eater = StageSpec("eater", HandlerRef("python", "h:eat"), {}, ("eater",), receives="q")
    plan = make_plan(WorkflowSpec("w", Path("w.yaml"), (lister, eater), (QueueSpec("q", 10),), "leased"))
    return replace(next(each for each in plan.workers if each.name == worker), committed=committed)


class Bench:
    """A producer's worker, of which the supervisor and the outbox are played."""

    def __init__(self, put: int = 0, committed: int | None = 0, worker: str = "lister") -> None:
        self.status = StatusPage.private()
        self.said: list[str] = []
        self.put, self.sends = put, 0
        self.when_asked: Callable[[], object] = lambda: None
        loops: Any = None
        endpoint = WorkerEndpoint(loops, None, None, self.status, self._hear, send_made=self._send_made)
        self.make = lambda: CommittedItems(plan_of(worker, committed), endpoint)

    def _hear(self, kind: str, **_payload: Any) -> None:
        self.said.append(kind)
        self.when_asked()

    def _send_made(self) -> int:
        self.sends += 1
        return self.put

    def keep(self, count: int) -> None:
        self.status.words[Word.COMMITTED] = count

    @property
    def awaited(self) -> int:
        return self.status.words[Word.AWAITED]


def test_it_asks_once_and_then_reads_what_was_told() -> None:
    bench = Bench()
    items, found = bench.make(), []
    for count in (0, 3, 8):
        bench.keep(count)
        found.append(items.count())

    assert ([0, 3, 8], ["follows_cuts"]) == (found, bench.said)


def test_it_begins_with_what_was_kept_before_and_never_becomes_less() -> None:
    bench = Bench(committed=40)
    items = bench.make()
    found = [items.count()]
    for count in (7, 50, 49):
        bench.keep(count)
        found.append(items.count())

    assert [40, 40, 50, 50] == found


def test_a_wait_says_for_how_many_and_ends_when_they_are_kept() -> None:
    bench, asked = Bench(put=12), []

    def keep() -> None:
        asked.append(bench.awaited)
        bench.keep(bench.awaited)

    items = bench.make()
    bench.when_asked = keep

    assert [True, True] == [items.wait(None, 60.0), items.wait(9, 60.0)]
    assert ([12], 0) == (asked, bench.awaited)


def test_what_has_gathered_is_sent_ahead_of_a_wait_and_as_long_as_it_lasts() -> None:
    bench = Bench(put=1)

    assert not bench.make().wait(None, 0.1)
    assert bench.sends > 3


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_wait_without_time_only_looks(timeout: float) -> None:
    bench = Bench(put=1)

    assert not bench.make().wait(None, timeout)
    assert bench.awaited == 0


@pytest.mark.parametrize("stop", [StopRequest.PRODUCING, StopRequest.WAITING])
def test_a_wait_outlives_the_stop_of_its_run_by_a_moment_only(
    stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committed_items, "GRACE", 0.05)
    bench = Bench(put=1)
    bench.status.words[Word.STOP] = stop
    began = time.monotonic()

    assert not bench.make().wait(None, 3600.0)
    assert 0.05 <= time.monotonic() - began < 30


def test_of_several_threads_that_wait_the_longest_wait_is_shown_until_the_last_has_ended() -> None:
    bench = Bench()
    items = bench.make()
    threads = [threading.Thread(target=items.wait, args=(count, 60.0)) for count in (5, 9, 7)]
    for thread in threads:
        thread.start()
    while bench.said.count("follows_cuts") < 4:
        time.sleep(0.001)
    shown = bench.awaited
    bench.keep(9)
    for thread in threads:
        thread.join()

    assert (9, 0) == (shown, bench.awaited)


@pytest.mark.parametrize(
    ("worker", "committed", "expected"),
    [("eater", 0, "is a consumer one"), ("lister", None, "`transport: leased`")],
)
def test_where_nobody_could_tell_it_says_what_it_takes(
    worker: str, committed: int | None, expected: str
) -> None:
    with pytest.raises(HandlerError, match=expected):
        Bench(worker=worker, committed=committed).make()


def test_a_handler_that_is_called_by_hand_has_nothing_committed_and_waits_for_nothing() -> None:
    by_hand = WorkerContext("neo", "chef", 1, 1)

    assert (0, False) == (by_hand.committed, by_hand.wait_until_committed())

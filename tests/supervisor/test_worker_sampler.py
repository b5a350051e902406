"""Which workers `run.workers` tells of, and what it says is in their hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from runner.ipc.status_page import Counters, Sighting, Wait
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.worker_sampler import WorkerSampler
from runner.supervisor.workers import RunMetrics, WorkerTable
from runner.transports.base import Transport


class Pages:
    """A transport as far as it is looked at, and a clock."""

    def __init__(self) -> None:
        self.seen: dict[str, Sighting] = {}
        self.looked_at: list[str] = []
        self.now = 1000.0

    def sighting(self, worker: str) -> Sighting:
        self.looked_at.append(worker)
        return self.seen.get(worker, Sighting())


class Watched:
    """Workers of one stage, and what is told of them."""

    def __init__(self, workers: int = 1, *, names_items: bool = True) -> None:
        names = tuple(f"w{n}" for n in range(workers))
        stage = StageSpec("eater", HandlerRef("python", "m:f"), {}, names, receives="q")
        plan = make_plan(WorkflowSpec("t", Path("t.yaml"), (stage,), (QueueSpec("q"),)))
        self.pages, self.table = Pages(), WorkerTable(plan)
        for pid, each in enumerate(self.table.all(), start=11):
            each.started(pid)
        metrics = RunMetrics(plan, cast("Transport", self.pages), self.table, lambda _: 0)
        self.sampler = WorkerSampler(
            metrics, names_items=names_items, clock=lambda: self.pages.now, monotonic=lambda: 50.0
        )

    def tell(self, after: float = 0.25, **seen: Sighting) -> list[Any]:
        self.pages.now += after
        self.pages.seen.update(seen)
        return self.sampler.rows(self.table.alive())


def at_item(n: int, **more: Any) -> Sighting:
    return Sighting(
        **{"received": n, "done": n - 1, "hand": (1, n), "item": f"'{n}'", "at_work": True, **more}
    )


def test_an_item_in_hand_is_told_once_with_the_moment_since_which_it_is() -> None:
    run = Watched()
    (row,) = run.tell(w0=at_item(1, busy=0.1))
    assert ("busy", "'1'", 1000.25, 11, 1) == tuple(
        row[k] for k in ("state", "item", "since", "pid", "generation")
    )
    assert [[], []] == [run.tell(w0=at_item(1, busy=busy)) for busy in (0.35, 0.6)]

    (row,) = run.tell(w0=at_item(1, at_work=False, waiting=Wait.ROOM, busy=0.7, blocked=0.1))
    assert ("blocked", "room", "'1'", 1000.25) == tuple(
        row[k] for k in ("state", "waits_for", "item", "since")
    )

    (row,) = run.tell(w0=at_item(2))
    assert ("'2'", 1001.25) == (row["item"], row["since"])

    (row,) = run.tell(w0=Sighting(received=2, done=2, hand=(1, 3), waiting=Wait.ITEM))
    assert ("starved", None, None) == (row["state"], row["item"], row["since"])


def test_of_several_items_in_hand_the_oldest_tells_since_when() -> None:
    (row,) = Watched().tell(w0=at_item(1, oldest=48.0))

    assert 998.25 == row["since"]


def test_what_a_producer_makes_is_in_hand_since_it_put_the_last_item() -> None:
    run = Watched()
    run.tell(w0=Sighting(sent=1, at_work=True, hand=(0, 0)))
    (row,) = run.tell(w0=Sighting(sent=2, at_work=True, hand=(0, 0)))
    assert [] == run.tell(w0=Sighting(sent=2, at_work=True, hand=(0, 0), busy=9.0))

    assert (1000.5, None) == (row["since"], row["item"])


def test_a_worker_that_stands_still_is_told_of_again_after_a_while() -> None:
    run = Watched()
    assert [1, 0, 1, 0] == [len(run.tell(after, w0=at_item(1))) for after in (0.25, 9.0, 1.5, 9.0)]


def test_another_process_of_the_same_worker_has_another_item_in_hand_and_what_was_done_before_counts() -> (
    None
):
    run = Watched()
    run.tell(w0=at_item(1))
    worker = run.table["w0"]
    worker.earlier = Counters(done=5, busy=3.0)
    worker.started(12)

    (row,) = run.tell(after=1.0, w0=at_item(1))
    assert (1001.25, 12, 2, 5) == tuple(row[k] for k in ("since", "pid", "generation", "done"))


def test_of_many_workers_some_are_told_of_at_a_time_and_each_in_its_turn() -> None:
    workers = 5 * WorkerSampler.MOST_ROWS
    run = Watched(workers)
    told = [run.tell() for _ in range(5)]

    assert [WorkerSampler.MOST_ROWS] * 5 == [len(rows) for rows in told]
    assert workers == len({row["worker"] for rows in told for row in rows})

    run.pages.looked_at.clear()
    assert [] == run.tell()
    assert WorkerSampler.MOST_LOOKED_AT == len(run.pages.looked_at)


def test_requests_of_ours_are_not_shown_as_items() -> None:
    (row,) = Watched(names_items=False).tell(w0=at_item(1))

    assert (None, 1000.25) == (row["item"], row["since"])

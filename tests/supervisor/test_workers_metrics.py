"""What a run has done so far, over all generations of its workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from runner.ipc.status_page import Counters, Pulse, Sighting
from runner.ledger.accounts import Account
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.workers import RunMetrics, WorkerTable
from runner.transports.base import Transport

EATER = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo", "alex"), receives="q")
PLAN = make_plan(WorkflowSpec("t", Path("t.yaml"), (EATER,), (QueueSpec("q"),)))


class Shelf:
    """A transport as far as metrics is taken of it."""

    def __init__(self, **pulses: Pulse) -> None:
        self.pulses = pulses

    def counters(self, worker: str) -> Counters:
        return Counters(done=5 if worker == "neo" else 1)

    def sighting(self, worker: str) -> Sighting:
        return Sighting(done=self.counters(worker).done)

    def pulse(self, worker: str) -> Pulse:
        return self.pulses.get(worker, Pulse())

    def account(self, queue: str) -> Account:
        return Account(queue, 10, put=6, done=6)


def taken(lost: int = 0, **pulses: Pulse) -> tuple[RunMetrics, WorkerTable]:
    workers = WorkerTable(PLAN)
    for pid, record in enumerate(workers.all(), start=11):
        record.started(pid)
    return RunMetrics(PLAN, cast("Transport", Shelf(**pulses)), workers, lambda _: lost), workers


def test_what_earlier_generations_did_still_counts() -> None:
    metrics, workers = taken()
    workers["neo"].earlier = Counters(done=100, failed=2)

    line: dict[str, Any]
    (line,) = metrics.stage_lines()

    assert ("eater", 2, 2, 106, 2) == tuple(
        line[key] for key in ("name", "workers", "alive", "done", "failed")
    )
    assert 105 == metrics.counters(workers["neo"]).done


def test_a_stage_has_read_what_its_workers_have_once_each_has_said_how_much_there_is() -> None:
    neo, alex = Pulse(read=3, to_read=10), Pulse(read=1, to_read=10)
    both, one = taken(neo=neo, alex=alex)[0], taken(neo=neo)
    before = one[0].stage_lines()[0]
    one[1]["alex"].finished = True  # there was nothing for it

    found = [
        (line["read"], line["to_read"]) for line in (both.stage_lines()[0], before, one[0].stage_lines()[0])
    ]
    assert [(4, 20), (None, None), (3, 10)] == found


def test_a_queue_that_was_joined_stays_so() -> None:
    metrics, _workers = taken()
    before = [account.joined for account in metrics.accounts()]
    metrics.note_joined("q")

    assert ([False], [True]) == (before, [account.joined for account in metrics.accounts()])


def test_workers_are_those_that_there_should_be_now_however_the_stage_was_scaled() -> None:
    metrics, workers = taken()
    workers["neo"].retired = True
    for number in (1, 2):
        workers.add(replace(PLAN.workers[0], name=f"eater-{number}")).started(20 + number)

    assert [3] == [line["workers"] for line in metrics.stage_lines()]

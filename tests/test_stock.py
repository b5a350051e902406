"""What a run has done so far, over all generations of its workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from runner.ledger import Account
from runner.plan import make_plan
from runner.roster import Roster
from runner.spec import HandlerRef, QueueSpec, StageSpec, WorkflowSpec
from runner.status import Counters
from runner.stock import Stock
from runner.transports.base import Transport

EATER = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo", "alex"), receives="q")
PLAN = make_plan(WorkflowSpec("t", Path("t.yaml"), (EATER,), (QueueSpec("q"),)))


class Shelf:
    """A transport as far as stock is taken of it."""

    def counters(self, worker: str) -> Counters:
        return Counters(done=5 if worker == "neo" else 1)

    def account(self, queue: str) -> Account:
        return Account(queue, 10, put=6, done=6)


def taken() -> tuple[Stock, Roster]:
    roster = Roster(PLAN)
    for pid, record in enumerate(roster.all(), start=11):
        record.be_born(pid)
    return Stock(PLAN, cast("Transport", Shelf()), roster), roster


def test_what_earlier_generations_did_still_counts() -> None:
    stock, roster = taken()
    roster["neo"].earlier = Counters(done=100, failed=2)

    line: dict[str, Any]
    (line,) = stock.stage_lines()

    assert ("eater", 2, 2, 106, 2) == tuple(
        line[key] for key in ("name", "workers", "alive", "done", "failed")
    )
    assert 105 == stock.counters(roster["neo"]).done


def test_a_queue_that_was_joined_stays_so() -> None:
    stock, _roster = taken()
    before = [account.joined for account in stock.accounts()]
    stock.note_joined("q")

    assert ([False], [True]) == (before, [account.joined for account in stock.accounts()])


def test_workers_are_those_that_there_should_be_now_however_the_stage_was_scaled() -> None:
    stock, roster = taken()
    roster["neo"].retired = True
    for number in (1, 2):
        roster.admit(replace(PLAN.workers[0], name=f"eater-{number}")).be_born(20 + number)

    assert [3] == [line["workers"] for line in stock.stage_lines()]

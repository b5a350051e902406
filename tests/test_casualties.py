"""Items that fail are told of, counted once they failed for good, and kept where they are to be."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from runner.announcer import Announcer
from runner.casualties import Casualties
from runner.events import Bus, Event
from runner.facts import (
    Attempt,
    ItemCleared,
    ItemCondemned,
    ItemFact,
    ItemFailed,
    ItemJudged,
    ItemRedelivered,
    Remains,
)
from runner.ledger import Account
from runner.plan import make_plan
from runner.roster import Record
from runner.spec import HandlerRef, OnError, StageSpec, WorkflowSpec
from runner.verdict import Share

HISTORY = (Attempt(1, "neo", 11, 0.0, "killed by SIGKILL", died=True), Attempt(2, "alex", 12, 0.0, "OSError"))
REMAINS = Remains(b"frame", 0, HISTORY)


class Desk:
    """Casualties with everything round them noted."""

    def __init__(self, on_error: OnError = OnError.DEAD_LETTER, *, full_disk: bool = False) -> None:
        stage = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo",), receives="q", on_error=on_error)
        plan = make_plan(WorkflowSpec("t", Path("t.yaml"), (stage,)))
        self.events: list[Event] = []
        self.kept: list[str] = []
        self.blamed: list[tuple[str, list[int]]] = []
        self.at_fault: list[str] = []
        self.record = Record(plan.workers[0])
        self._full_disk = full_disk
        self.casualties = Casualties(Announcer(Bus("r", observers=[self]), plan), self, self, self._fault)

    def note(self, fact: ItemFact) -> str | None:
        return self.casualties.note(self.record, fact)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def keep(self, *told: Any) -> str:
        if self._full_disk:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept.append(told[3])
        return "letters.jsonl"

    @property
    def behind(self) -> bool:
        return False

    def catch_up(self) -> None:
        """Nothing is ever behind."""

    def suspect(self, pid: int) -> None:
        self.blamed.append(("suspect", [pid]))

    def forgive(self, pids: Iterable[int]) -> None:
        self.blamed.append(("forgive", list(pids)))

    def charge(self, pids: Iterable[int]) -> str | None:
        self.blamed.append(("charge", list(pids)))
        return "the budget is gone"

    def _fault(self, stage: str) -> str | None:
        self.at_fault.append(stage)
        return None

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


def failed(action: str) -> ItemFailed:
    return ItemFailed("neo", "'b'", "ValueError: b", action=action)


@pytest.mark.parametrize(
    ("fact", "events", "count", "kept"),
    [
        (ItemRedelivered("neo", "'b'", 2), ["item.redelivered"], 0, []),
        (ItemJudged("neo", failed("retry"), 1, delay=0.5), ["item.retried"], 0, []),
        (ItemJudged("neo", failed("skip"), 1), ["item.failed", "item.dropped"], 1, []),
        (failed("skip"), ["item.failed", "item.dropped"], 1, []),
        (
            ItemJudged("neo", failed("dead_letter"), 2, remains=REMAINS),
            ["item.failed", "item.dead_lettered"],
            1,
            ["'b'"],
        ),
        (failed("dead_letter"), ["item.failed", "item.dead_lettered"], 1, ["'b'"]),
        (ItemCondemned("neo", "'b'", REMAINS), ["item.dead_lettered"], 1, ["'b'"]),
    ],
)
def test_each_fact_is_told_and_only_what_is_final_counts(
    fact: ItemFact, events: list[str], count: int, kept: list[str]
) -> None:
    desk = Desk()

    reason = desk.note(fact)

    assert (None, events, count, kept) == (reason, desk.names, desk.casualties.count, desk.kept)


def test_a_failure_that_ends_the_run_says_whose_it_is() -> None:
    desk = Desk(OnError.FAIL)

    reason = desk.note(failed("fail"))

    assert "worker 'neo' failed on item 'b': ValueError: b" == reason
    assert "ValueError: b" == desk.record.failure


def test_an_item_is_blamed_for_the_deaths_it_was_in_hand_at_and_for_no_other() -> None:
    desk = Desk(OnError.FAIL)

    reason = desk.note(ItemCondemned("neo", "'b'", REMAINS))

    assert [("forgive", [11])] == desk.blamed
    assert (
        "item 'b' was in hand when workers died: 'neo' (pid 11) killed by SIGKILL, 'alex' (pid 12) OSError"
        == reason
    )


def test_a_death_is_the_items_until_the_item_goes_through_and_then_its_stages() -> None:
    desk = Desk()

    reasons = [desk.note(ItemRedelivered("neo", "'b'", 2)), desk.note(ItemCleared("alex", HISTORY[:1]))]

    assert [None, "worker 'neo' (pid 11) killed by SIGKILL; the budget is gone"] == reasons
    assert [("suspect", [desk.record.pid]), ("charge", [11])] == desk.blamed


def test_a_stage_is_asked_after_only_where_the_item_does_not_end_the_run_by_itself() -> None:
    keeping, failing = Desk(OnError.DEAD_LETTER), Desk(OnError.FAIL)
    for desk in (keeping, failing):
        desk.note(ItemCondemned("neo", "'b'", REMAINS))

    assert (["eater"], []) == (keeping.at_fault, failing.at_fault)


def test_what_failed_is_counted_by_the_queue_it_was_in() -> None:
    desk = Desk()
    desk.note(failed("skip"))
    desk.note(failed("skip"))

    accounts = [Account("q", 10, put=7), Account("r", 10, put=5)]
    assert [Share("q", 2, 7), Share("r", 0, 5)] == desk.casualties.shares(accounts)


def test_a_full_disk_takes_the_letter_and_lets_the_work_go_on() -> None:
    desk = Desk(full_disk=True)

    reason = desk.note(ItemJudged("neo", failed("dead_letter"), 2, remains=REMAINS))

    told = desk.events[-1].fields
    assert (None, None, "No space left on device") == (reason, told["letter"], told["trouble"])

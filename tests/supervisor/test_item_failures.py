"""Items that fail are told of, counted once they failed for good, and kept where they are to be."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from runner.events.base import Event
from runner.events.bus import Bus
from runner.ipc.messages import (
    DeliveryAttempt,
    FailedItem,
    ItemCleared,
    ItemCondemned,
    ItemFact,
    ItemFailure,
    ItemJudged,
    ItemReturned,
    RetryAction,
)
from runner.ledger.accounts import Account
from runner.spec.failures import OnError
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import WorkerPlan, make_plan
from runner.supervisor.item_failures import DeadLetterWriter, ItemFailures
from runner.supervisor.outcome import Share
from runner.supervisor.workers import WorkerState

HISTORY = (
    DeliveryAttempt(1, "neo", 11, 0.0, "killed by SIGKILL", died=True),
    DeliveryAttempt(2, "alex", 12, 0.0, "OSError"),
)
REMAINS = FailedItem(b"frame", 0, HISTORY)


class Harness:
    """ItemFailures with everything round them noted."""

    def __init__(self, on_error: OnError = OnError.DEAD_LETTER, *, full_disk: bool = False) -> None:
        stage = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo",), receives="q", on_error=on_error)
        plan = make_plan(WorkflowSpec("t", Path("t.yaml"), (stage,)))
        self.events: list[Event] = []
        self.kept: list[str] = []
        self.paid: list[tuple[str, list[int]]] = []
        self.crash_loops: list[str] = []
        self.worker = WorkerState(plan.workers[0])
        self._full_disk = full_disk
        self.failures = ItemFailures(Bus("r", observers=[self]).publish, DeadLetterWriter(self), self, self)

    def note(self, fact: ItemFact) -> str | None:
        return self.failures.note(self.worker, fact)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    # The store.

    def keep(self, worker: WorkerPlan, failure: ItemFailure, failed_item: FailedItem) -> str:  # noqa: ARG002
        if self._full_disk:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept.append(failure.item)
        return "letters.jsonl"

    # The restart budget.

    def mark_item_in_hand(self, pid: int) -> None:
        self.paid.append(("mark_item_in_hand", [pid]))

    def exempt(self, pids: Iterable[int]) -> None:
        self.paid.append(("exempt", list(pids)))

    def count_deaths(self, pids: Iterable[int], now: float) -> str | None:
        assert now <= time.monotonic()
        self.paid.append(("count_deaths", list(pids)))
        return "the budget is gone"

    # The crash-loop detector.

    def condemned(self, stage: str) -> str | None:
        self.crash_loops.append(stage)
        return None

    @property
    def names(self) -> list[str]:
        return [event.kind for event in self.events]


def failed(action: str) -> ItemFailure:
    what = RetryAction.RETRY if action == RetryAction.RETRY else OnError(action)
    return ItemFailure("neo", "'b'", "ValueError: b", action=what)


@pytest.mark.parametrize(
    ("fact", "events", "count", "kept"),
    [
        (ItemReturned("neo", "'b'", 2), ["item.redelivered"], 0, []),
        (ItemJudged("neo", failed("retry"), 1, delay=0.5), ["item.retried"], 0, []),
        (ItemJudged("neo", failed("skip"), 1), ["item.failed", "item.dropped"], 1, []),
        (failed("skip"), ["item.failed", "item.dropped"], 1, []),
        (
            ItemJudged("neo", failed("dead_letter"), 2, failed_item=REMAINS),
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
    harness = Harness()

    reason = harness.note(fact)

    [share] = harness.failures.shares([Account("q", 10)])
    assert (None, events, count, kept) == (reason, harness.names, share.failed, harness.kept)


def test_a_failure_that_ends_the_run_says_whose_it_is() -> None:
    harness = Harness(OnError.FAIL)

    reason = harness.note(failed("fail"))

    assert "worker 'neo' failed on item 'b': ValueError: b" == reason
    assert "ValueError: b" == harness.worker.failure


def test_an_item_is_blamed_for_the_deaths_it_was_in_hand_at_and_for_no_other() -> None:
    harness = Harness(OnError.FAIL)

    reason = harness.note(ItemCondemned("neo", "'b'", REMAINS))

    assert [("exempt", [11])] == harness.paid
    assert (
        "item 'b' was in hand when workers died: 'neo' (pid 11) killed by SIGKILL, 'alex' (pid 12) OSError"
        == reason
    )


def test_a_death_is_the_items_until_the_item_goes_through_and_then_its_stages() -> None:
    harness = Harness()

    reasons = [harness.note(ItemReturned("neo", "'b'", 2)), harness.note(ItemCleared("alex", HISTORY[:1]))]

    assert [None, "worker 'neo' (pid 11) killed by SIGKILL; the budget is gone"] == reasons
    assert [("mark_item_in_hand", [harness.worker.pid]), ("count_deaths", [11])] == harness.paid


def test_a_stage_is_asked_after_only_where_the_item_does_not_end_the_run_by_itself() -> None:
    keeping, failing = Harness(OnError.DEAD_LETTER), Harness(OnError.FAIL)
    for harness in (keeping, failing):
        harness.note(ItemCondemned("neo", "'b'", REMAINS))

    assert (["eater"], []) == (keeping.crash_loops, failing.crash_loops)


def test_what_failed_is_counted_by_the_queue_it_was_in() -> None:
    harness = Harness()
    harness.note(failed("skip"))
    harness.note(failed("skip"))

    accounts = [Account("q", 10, put=7), Account("r", 10, put=5)]
    assert [Share("q", 2, 7), Share("r", 0, 5)] == harness.failures.shares(accounts)


def test_a_full_disk_takes_the_letter_and_lets_the_work_go_on() -> None:
    harness = Harness(full_disk=True)

    reason = harness.note(ItemJudged("neo", failed("dead_letter"), 2, failed_item=REMAINS))

    told = vars(harness.events[-1])
    assert (None, None, "No space left on device") == (reason, told["letter"], told["trouble"])

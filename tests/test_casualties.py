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
from runner.facts import Attempt, ItemCondemned, ItemFact, ItemFailed, ItemJudged, ItemRedelivered, Remains
from runner.plan import make_plan
from runner.roster import Record
from runner.spec import HandlerRef, OnError, StageSpec, WorkflowSpec

HISTORY = (Attempt(1, "neo", 11, 0.0, "killed by SIGKILL", died=True), Attempt(2, "alex", 12, 0.0, "OSError"))
REMAINS = Remains(b"frame", 0, HISTORY)


class Desk:
    """Casualties with everything round them noted."""

    def __init__(self, on_error: OnError = OnError.DEAD_LETTER, *, full_disk: bool = False) -> None:
        stage = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo",), receives="q", on_error=on_error)
        plan = make_plan(WorkflowSpec("t", Path("t.yaml"), (stage,)))
        self.events: list[Event] = []
        self.kept: list[str] = []
        self.forgiven: list[tuple[str, list[int]]] = []
        self.record = Record(plan.workers[0])
        self._full_disk = full_disk
        self.casualties = Casualties(Announcer(Bus("r", observers=[self]), plan), self, self._forgive)

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

    def _forgive(self, stage: str, pids: Iterable[int]) -> None:
        self.forgiven.append((stage, list(pids)))

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

    assert [("eater", [11])] == desk.forgiven
    assert (
        "item 'b' was in hand when workers died: 'neo' (pid 11) killed by SIGKILL, 'alex' (pid 12) OSError"
        == reason
    )


def test_a_full_disk_takes_the_letter_and_not_the_run() -> None:
    desk = Desk(full_disk=True)

    reason = desk.note(ItemJudged("neo", failed("dead_letter"), 2, remains=REMAINS))

    told = desk.events[-1].fields
    assert (None, None, "No space left on device") == (reason, told["letter"], told["trouble"])

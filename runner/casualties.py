"""Items that fail, and items in hand when a worker dies: each is told of, and those that failed for good are counted.

fact of a transport ──► Casualties ──► events
                            │   └────► dead letters, to a file
                            └── why the run must end, or None
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from runner.announcer import Announcer
from runner.facts import (
    Attempt,
    ItemCondemned,
    ItemFact,
    ItemFailed,
    ItemJudged,
    ItemRedelivered,
    ItemsDropped,
    QueueOverflowed,
    Remains,
)
from runner.roster import Record
from runner.spec import OnError


class Letters(Protocol):
    """Where items are kept that failed for good."""

    def keep(
        self,
        stage: str,
        queue: str | None,
        worker: str,
        item: str,
        error: str,
        traceback: str,
        remains: Remains,
    ) -> str:
        """Keep one; return where. Raises OSError if it can't be written."""


class Casualties:
    """Hears all facts about items that did not simply get done."""

    def __init__(
        self, announce: Announcer, letters: Letters | None, forgive: Callable[[str, Iterable[int]], None]
    ) -> None:
        """`forgive` is told the stage and the processes whose deaths an item is to blame for."""
        self._announce = announce
        self._letters = letters
        self._forgive = forgive
        self.count = 0
        """Items that failed for good."""

    def note(self, record: Record, fact: ItemFact) -> str | None:
        """Take in a fact; return why the run must end for it, or None."""
        match fact:
            case ItemRedelivered():
                self._announce.item_redelivered(record, fact)
            case ItemJudged(delay=float()):
                self._announce.item_retried(record, fact)
            case ItemJudged():
                return self._failed(record, fact.failure, fact.remains)
            case ItemFailed():
                return self._failed(record, fact, None)
            case ItemCondemned():
                return self._condemned(record, fact)
            case ItemsDropped():
                self._announce.items_dropped(fact)
            case QueueOverflowed():
                where = f"queue '{fact.queue}', which is full ({fact.bounds}) and has `when_full: fail`"
                return f"worker '{record.plan.name}' put an item on {where}"
        return None

    def _failed(self, record: Record, failure: ItemFailed, remains: Remains | None) -> str | None:
        self.count += 1
        self._announce.item_failed(record, failure)
        if failure.action == OnError.DEAD_LETTER:
            self._keep(
                record, failure.item, failure.error, failure.traceback, remains or Remains(None, 0, ())
            )
        if failure.action != OnError.FAIL:
            return None
        record.failure = failure.error
        return f"worker '{record.plan.name}' failed on item {failure.item}: {failure.error}"

    def _condemned(self, record: Record, fact: ItemCondemned) -> str | None:
        attempts = fact.remains.attempts
        self.count += 1
        self._forgive(record.plan.stage, [attempt.pid for attempt in attempts if attempt.died])
        error = record.failure or record.condemned or f"worker '{record.plan.name}' {attempts[-1].ended}"
        self._keep(record, fact.item, error, record.traceback, fact.remains)
        if record.plan.on_error is not OnError.FAIL:
            return None
        return f"item {fact.item} was in hand when workers died: {_listed(attempts)}"

    def _keep(self, record: Record, item: str, error: str, traceback: str, remains: Remains) -> None:
        plan, kept, trouble = record.plan, None, ""
        if self._letters is not None:
            try:
                kept = self._letters.keep(
                    plan.stage, plan.receives, plan.name, item, error, traceback, remains
                )
            except OSError as failure:  # a full disk takes the letter, not the run
                trouble = failure.strerror or str(failure)
        attempts = max(1, len(remains.attempts))
        self._announce.item_dead_lettered(record, item, error, attempts, kept, trouble)


def _listed(attempts: Iterable[Attempt]) -> str:
    return ", ".join(f"'{each.worker}' (pid {each.pid}) {each.ended}" for each in attempts)

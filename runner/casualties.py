"""Items that fail, and items in hand when a worker dies: each is told of, and those that failed for good are counted.

fact of a transport ──► Casualties ──► events
                            │   └────► dead letters, to a file
                            └── why the run must end, or None
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from runner.announcer import Announcer
from runner.facts import (
    Attempt,
    ItemCleared,
    ItemCondemned,
    ItemFact,
    ItemFailed,
    ItemJudged,
    ItemRedelivered,
    ItemsDropped,
    QueueOverflowed,
    Remains,
)
from runner.ledger import Account
from runner.plan import WorkerPlan
from runner.roster import Record
from runner.safekeeping import Letters, Safekeeping
from runner.spec import OnError
from runner.verdict import Share


class Blame(Protocol):
    """Who pays for the deaths of workers that had an item in hand. Processes are told by their ids."""

    def suspect(self, pid: int) -> None:
        """The item pays for a death that is about to be told, as long as nothing else is known."""

    def forgive(self, pids: Iterable[int]) -> None:
        """The item was to blame for these deaths, and is a dead letter now."""

    def charge(self, pids: Iterable[int]) -> str | None:
        """The item has gone through: the stage pays. Return why the run must end for it, or None."""


class Casualties:
    """Hears all facts about items that did not simply get done."""

    def __init__(
        self,
        announce: Announcer,
        letters: Letters | None,
        blame: Blame,
        at_fault: Callable[[str], str | None],
    ) -> None:
        """`at_fault` is told the stage of each item that killed its workers; it returns why the run must end for it."""
        self._announce = announce
        self.letters = Safekeeping(letters)
        self._blame = blame
        self._at_fault = at_fault
        self._failures: Counter[str] = Counter()
        """Items that failed for good, by the queue that they were in or were put on."""
        self._never_in: Counter[str] = Counter()
        """Those of them that never were in that queue."""

    @property
    def count(self) -> int:
        """Items that failed for good."""
        return self._failures.total()

    def shares(self, accounts: Iterable[Account]) -> list[Share]:
        """Return how many items of each queue failed, and of how many."""
        return [
            Share(each.queue, self._failures[each.queue], each.put + self._never_in[each.queue])
            for each in accounts
        ]

    def note(self, record: Record, fact: ItemFact) -> str | None:
        """Take in a fact; return why the run must end for it, or None."""
        match fact:
            case ItemRedelivered():
                self._blame.suspect(record.pid)
                self._announce.item_redelivered(record, fact)
            case ItemJudged(delay=float()):
                self._announce.item_retried(record, fact)
            case ItemJudged():
                return self._failed(record, fact.failure, fact.remains)
            case ItemFailed():
                return self._failed(record, fact, None)
            case ItemCondemned():
                return self._condemned(record, fact)
            case ItemCleared(deaths=deaths):
                over = self._blame.charge(death.pid for death in deaths)
                return over and f"worker {_listed(deaths[-1:])}; {over}"
            case ItemsDropped():
                self._announce.items_dropped(fact)
            case QueueOverflowed():
                where = f"queue '{fact.queue}', which is full ({fact.bounds}) and has `when_full: fail`"
                return f"worker '{record.plan.name}' put an item on {where}"
        return None

    def _failed(self, record: Record, failure: ItemFailed, remains: Remains | None) -> str | None:
        self._count(record.plan)
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
        self._count(record.plan)
        self._blame.forgive([attempt.pid for attempt in attempts if attempt.died])
        error = record.failure or record.condemned or f"worker '{record.plan.name}' {attempts[-1].ended}"
        self._keep(record, fact.item, error, record.traceback, fact.remains)
        if record.plan.on_error is not OnError.FAIL:
            return self._at_fault(record.plan.stage)
        return f"item {fact.item} was in hand when workers died: {_listed(attempts)}"

    def _keep(self, record: Record, item: str, error: str, traceback: str, remains: Remains) -> None:
        kept, trouble = self.letters.keep(record.plan, item, error, traceback, remains)
        attempts = max(1, len(remains.attempts))
        self._announce.item_dead_lettered(record, item, error, attempts, kept, trouble)

    def _count(self, plan: WorkerPlan) -> None:
        queue = plan.receives or plan.sends or ""
        self._failures[queue] += 1
        self._never_in[queue] += plan.receives is None


def _listed(attempts: Iterable[Attempt]) -> str:
    return ", ".join(f"'{each.worker}' (pid {each.pid}) {each.ended}" for each in attempts)

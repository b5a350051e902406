"""Items that fail, and items in hand when a worker dies: each is published, counted if it failed for good, and kept.

    fact of a transport ──► ItemFailures ──► events
                               │   │   └──► DeadLetterWriter ──┬── written at once
                               │   │                           └── behind ──► catch_up, a step each turn of the loop
                               │   └──────► RestartBudget      who pays for deaths with an item in hand
                               └── why the run must end, or None

A death with an item in hand costs the item an attempt and its stage nothing. So a handler that dies of everything would
go on until the last item, although nothing good can come of it any more. `CrashLoopDetector` (pure) finds it:

    condemned ▯ condemned ▯ condemned    nothing done in between ──► says why the run must end
    condemned ▯ done done ▯ condemned    each for itself         ──► dead letters, as many as there are
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from runner.events.bus import Publish
from runner.events.run import (
    FailedBatch,
    ItemDeadLettered,
    ItemDropped,
    ItemFailed,
    ItemRedelivered,
    ItemRetried,
)
from runner.facts import dataclass
from runner.ipc.messages import (
    BatchFailure,
    DeliveryAttempt,
    FailedItem,
    ItemCleared,
    ItemCondemned,
    ItemFact,
    ItemFailure,
    ItemJudged,
    ItemReturned,
    ItemsDropped,
    KeysExhausted,
    QueueOverflowed,
)
from runner.ledger.accounts import Account
from runner.spec.failures import OnError
from runner.spec.plan import Plan, WorkerPlan
from runner.store.dead_letters import DeadLetterStore
from runner.supervisor import outcome
from runner.supervisor.outcome import Cause, Share
from runner.supervisor.restart import RestartBudget
from runner.supervisor.workers import WorkerState
from runner.transports.error_items import failed_in_making


class DeadLetterWriter:
    """Writes dead letters, and counts those that are lost on the way."""

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store
        self._lost: Counter[str] = Counter()
        """How many, by the queue that they were in or were to be put on."""
        self._trouble = ""
        self._behind: deque[tuple[str, Callable[[str | None, str | None], None]]] = deque()
        """Whom to tell of each that is still being written, oldest first."""

    def keep(
        self,
        worker: WorkerPlan,
        failure: ItemFailure,
        failed_item: FailedItem,
        told: Callable[[str | None, str | None], None],
    ) -> None:
        """Keep an item that failed in `worker`; say, once that is known, where it is or what the trouble was."""
        queue = worker.counted_in or ""
        try:
            kept = self._store.keep(worker, failure, failed_item)
        except OSError as error:  # a full disk takes the letter; the rest of the work is still worth doing
            told(None, self._lose(queue, error))
            return
        if failed_item.bulk is None:
            told(kept, None)
        else:
            self._behind.append((queue, told))

    @property
    def behind(self) -> bool:
        """Whether letters are still to be written."""
        return self._store.behind

    def catch_up(self) -> None:
        """Write a little more of them; at once where there is nothing to write."""
        if self._store.behind:
            queue, told = self._behind[0]
            try:
                kept, trouble = self._store.catch_up(), None
            except OSError as error:
                kept, trouble = None, self._lose(queue, error)
            if kept is not None or trouble is not None:
                self._behind.popleft()
                told(kept, trouble)

    def lost(self) -> Cause | None:
        """Write what is left, and say why the run has failed if a letter could not be kept. Blocks meanwhile."""
        while self.behind:
            self.catch_up()
        return outcome.letters_lost(self._lost.total(), self._trouble) if self._lost else None

    def lost_of(self, queue: str) -> int:
        """How many of the letters of this queue could not be written, up to now."""
        return self._lost[queue]

    def all_lost(self) -> dict[str, int]:
        """How many of each queue could not be written, where any could not."""
        return dict(self._lost)

    def resume(self, lost: Mapping[str, int]) -> None:
        """So many could not be written under earlier runners."""
        self._lost.update(lost)
        self._trouble = self._trouble or "they could not be written under an earlier runner"

    def _lose(self, queue: str, error: OSError) -> str:
        self._lost[queue] += 1
        self._trouble = error.strerror or str(error)
        return self._trouble


class ItemFailures:
    """Takes in all facts about items that did not simply get done."""

    def __init__(
        self,
        publish: Publish,
        letters: DeadLetterWriter,
        budget: RestartBudget,
        crash_loops: CrashLoopDetector,
    ) -> None:
        self._publish = publish
        self._letters = letters
        self._budget = budget
        self._crash_loops = crash_loops
        self._failures: Counter[str] = Counter()
        """Items that failed for good, by the queue that they were in or were put on."""
        self._fatal: Counter[str] = Counter()
        """Of these, the ones that have ended the run: whoever goes on with it tries them once more."""

    def shares(self, accounts: Iterable[Account]) -> list[Share]:
        """Return how many items of each queue failed, and of how many."""
        return [Share(each.queue, self._failures[each.queue], each.put) for each in accounts]

    @property
    def failed(self) -> Mapping[str, int]:
        """How many items of each queue failed for good, but for those that ended the run."""
        return self._failures - self._fatal

    def resume(self, failed: Mapping[str, int]) -> None:
        """So many had failed under earlier runners."""
        self._failures.update(failed)

    def note(self, worker: WorkerState, fact: ItemFact) -> str | None:
        """Take in a fact; return why the run must end for it, or None."""
        match fact:
            case ItemReturned():
                self._budget.mark_item_in_hand(worker.pid)
                self._publish(ItemRedelivered(**worker.reader_labels(), item=fact.item, attempt=fact.attempt))
            case BatchFailure():
                if fact.died:
                    self._budget.mark_item_in_hand(worker.pid)
                self._publish(
                    FailedBatch(
                        **worker.reader_labels(),
                        items=fact.items,
                        error=fact.error,
                        traceback=fact.traceback,
                        died=fact.died,
                    )
                )
            case ItemJudged(delay=float(delay)):
                self._publish_retried(worker, fact.failure, fact.attempt, delay)
            case ItemJudged():
                return self._fail(worker, fact.failure, fact.failed_item)
            case ItemFailure():
                return self._fail(worker, fact, None)
            case ItemCondemned():
                return self._dead_letter(worker, fact)
            case ItemCleared(deaths=deaths):
                over = self._budget.count_deaths((death.pid for death in deaths), time.monotonic())
                return over and f"worker {_join_attempts(deaths[-1:])}; {over}"
            case ItemsDropped():
                self._publish(ItemDropped(queue=fact.queue, count=fact.count, reason=fact.reason))
            case QueueOverflowed():
                where = f"queue '{fact.queue}', which is full ({fact.bounds}) and has `when_full: fail`"
                return f"worker '{worker.plan.name}' put an item on {where}"
            case KeysExhausted():
                return f"queue '{fact.queue}' has seen {fact.keys:,} different keys, as many as `unique.most` allows"
        return None

    def _fail(self, worker: WorkerState, failure: ItemFailure, failed_item: FailedItem | None) -> str | None:
        # Where an attempt is left the ledger has said so, as `ItemJudged`: nothing else is tried again.
        action = failure.action if isinstance(failure.action, OnError) else worker.plan.on_error
        if action is not OnError.ROUTE:  # whoever reads it deals with it
            self._count(worker.plan)
        if action is OnError.FAIL and worker.plan.receives is not None:
            self._fatal[worker.plan.receives] += 1
        self._publish_failed(worker, failure, action)
        if action is OnError.DEAD_LETTER:
            self._keep(worker, failure, failed_item or failed_in_making(failure))
        if action is not OnError.FAIL:
            return None
        worker.failure = failure.error
        return f"worker '{worker.plan.name}' failed on item {failure.item}: {failure.error}"

    def _publish_retried(self, worker: WorkerState, failure: ItemFailure, attempt: int, delay: float) -> None:
        self._publish(
            ItemRetried(
                **worker.reader_labels(),
                item=failure.item,
                error=failure.error,
                traceback=failure.traceback,
                attempt=attempt,
                delay=delay,
            )
        )

    def _publish_failed(self, worker: WorkerState, failure: ItemFailure, action: OnError) -> None:
        self._publish(
            ItemFailed(
                **worker.queue_labels(),
                item=failure.item,
                error=failure.error,
                traceback=failure.traceback,
                action=action,
                position=failure.position or None,
            )
        )
        queue = worker.plan.counted_in
        if queue is not None and action is not OnError.DEAD_LETTER:
            self._publish(ItemDropped(queue=queue, count=1, reason=failure.error))

    def _dead_letter(self, worker: WorkerState, fact: ItemCondemned) -> str | None:
        attempts = fact.failed_item.attempts
        self._budget.exempt([attempt.pid for attempt in attempts if attempt.died])
        error = worker.failure or worker.kill_reason or f"worker '{worker.plan.name}' {attempts[-1].ended}"
        failure = ItemFailure(worker.plan.name, fact.item, error, worker.traceback)
        if worker.plan.on_error is OnError.ROUTE:
            self._publish_failed(worker, failure, OnError.ROUTE)
        else:
            self._count(worker.plan)
            self._keep(worker, failure, fact.failed_item)
        if worker.plan.on_error is not OnError.FAIL:
            return self._crash_loops.condemned(worker.plan.stage)
        return f"item {fact.item} was in hand when workers died: {_join_attempts(attempts)}"

    def _keep(self, worker: WorkerState, failure: ItemFailure, failed_item: FailedItem) -> None:
        labels = worker.queue_labels()

        def told(kept: str | None, trouble: str | None) -> None:
            self._publish(
                ItemDeadLettered(
                    **labels,
                    item=failure.item,
                    error=failure.error,
                    attempts=max(1, len(failed_item.attempts)),
                    position=failure.position or None,
                    letter=kept,
                    trouble=trouble,
                )
            )

        self._letters.keep(worker.plan, failure, failed_item, told)

    def _count(self, plan: WorkerPlan) -> None:
        queue = plan.counted_in or ""
        self._failures[queue] += 1


def _join_attempts(attempts: Iterable[DeliveryAttempt]) -> str:
    return ", ".join(f"'{each.worker}' (pid {each.pid}) {each.ended}" for each in attempts)


@dataclass(frozen=True, slots=True)
class _Streak:
    """Items of one stage that were condemned in a row."""

    items: int = 0
    done: int = 0
    """Items that its queue had done when the last of them was condemned."""


class CrashLoopDetector:
    """Counts, for each stage, the items in a row that killed their workers."""

    def __init__(self, plan: Plan, account: Callable[[str], Account], is_lost: Callable[[], bool]) -> None:
        """`is_lost` says whether the run has too many failures already."""
        self._stages = {stage.name: stage for stage in plan.stages}
        self._account = account
        self._is_lost = is_lost
        self._streaks: dict[str, _Streak] = {}

    def condemned(self, name: str) -> str | None:
        """One more item of a stage was condemned: return why the run must end for it, or None.

        Where the errors so far are within `limits.max_errors`, the user wants all of them, however many.
        """
        stage = self._stages[name]
        assert stage.receives is not None
        before, done = self._streaks.get(name, _Streak()), self._account(stage.receives).done
        items = before.items + 1 if done == before.done else 1
        self._streaks[name] = _Streak(items, done)
        # The first item of each worker may be a header that all of them trip over.
        if items <= max(stage.workers[0].restart.max, len(stage.workers)) or not self._is_lost():
            return None
        return (
            f"{items} items in a row killed their workers, and none went through: "
            "the handler itself seems to be at fault"
        )

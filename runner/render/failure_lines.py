"""The lines of a log on items that fail: the first of a kind in full, then every ten seconds how many more. Pure.

    5,103 × item.failed, of one kind ──► the first ── 10 s ──► failures.repeated: 3,514 more like it ── 10 s ──► …

What makes a kind is what makes it in the record of the run. Time is that of the events, so that a log which is written
again from the record is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field

from runner.events.base import LEVELS, Event
from runner.events.run import (
    FailedBatch,
    FailuresRepeated,
    ItemDeadLettered,
    ItemFailed,
    ItemRedelivered,
    ItemRetried,
)
from runner.facts import dataclass
from runner.record.failures import MOST_KINDS, OTHERS, fingerprint
from runner.spec.failures import OnError
from runner.units import rough_duration

EVERY = 10.0
"""Seconds between two lines on failures of one kind."""
OF_ITEMS = (ItemFailed, ItemRetried, ItemRedelivered, ItemDeadLettered, FailedBatch)
_COUNTED_AS = {
    "item.failed": "failed",
    "item.dead_lettered": "dead_lettered",
    "item.retried": "retried",
    "batch.failed": "retried",
    "item.redelivered": "redelivered",
}

ItemTrouble = ItemFailed | ItemRetried | ItemRedelivered | ItemDeadLettered | FailedBatch


@dataclass(slots=True)
class _Told:
    """What has been said of one kind."""

    error: str
    at: float
    """When something was said of it last."""
    in_full: set[str] = field(default_factory=set)
    """The events of which the first was shown."""
    counts: Counter[str] = field(default_factory=Counter)
    """Those that came since, by what they count as."""
    last: ItemTrouble | None = None
    level: str = "debug"

    def count(self, event: ItemTrouble) -> None:
        self.counts[_COUNTED_AS[event.kind]] += 1
        self.last = event if self.last is None or not isinstance(event, FailedBatch) else self.last
        self.level = max(self.level, event.level, key=LEVELS.__getitem__)

    def take(self, at: float) -> FailuresRepeated | None:
        """Return the line on what was counted, and begin anew."""
        last, counts = self.last, self.counts
        if last is None:
            return None
        line = FailuresRepeated(
            stage=last.stage,
            worker=last.worker,
            error=self.error,
            seconds=round(at - self.at, 1),
            item=None if isinstance(last, FailedBatch) else last.item,
            position=getattr(last, "position", None),
            level=self.level,
            **{name: counts[name] for name in dict.fromkeys(_COUNTED_AS.values())},
        )
        self.at, self.counts, self.last, self.level = at, Counter(), None, "debug"
        return line.stamped(at, last.run)


class FailureThrottle:
    """Decides what is told of items that fail. Of a kind as much is kept as one line needs."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Told] = {}
        self._of_worker: dict[str, tuple[str, str, str]] = {}
        """The last item that failed in each worker, of what, and of which kind: its letter is of the same."""

    def add(self, event: ItemTrouble) -> Iterator[Event]:
        """Yield what is to be told at an event of an item: itself, unless its like has been."""
        print_ = self._kind_of(event)
        kind = self._kinds.get(print_)
        if kind is None:
            kind = self._kinds[print_] = _Told(_error_of(event), event.at)
        ends_the_run = isinstance(event, ItemFailed) and event.action is OnError.FAIL
        if ends_the_run or event.kind not in kind.in_full:
            kind.in_full.add(event.kind)
            yield event
        else:
            kind.count(event)

    def due(self, at: float) -> Iterator[FailuresRepeated]:
        """Yield a line for each kind of which ten seconds were told nothing and there is something to tell."""
        yield from self._take(at, EVERY)

    def rest(self, at: float) -> Iterator[FailuresRepeated]:
        """Yield what has been counted and not told: the log ends."""
        yield from self._take(at, 0.0)

    def _take(self, at: float, after: float) -> Iterator[FailuresRepeated]:
        for kind in self._kinds.values():
            if kind.last is not None and at - kind.at >= after and (line := kind.take(at)) is not None:
                yield line

    def _kind_of(self, event: ItemTrouble) -> str:
        error = _error_of(event)
        if isinstance(event, ItemDeadLettered):
            item, failed_of, known = self._of_worker.get(event.worker, ("", "", ""))
            if (item, failed_of) == (event.item, error):
                return known
        print_ = fingerprint(event.stage, error, getattr(event, "traceback", ""))
        if print_ not in self._kinds and len(self._kinds) >= MOST_KINDS:
            print_ = OTHERS
        if isinstance(event, ItemFailed):
            self._of_worker[event.worker] = event.item, error, print_
        return print_


def _error_of(event: ItemTrouble) -> str:
    return "its worker died" if isinstance(event, ItemRedelivered) else event.error


def repeated_text(event: FailuresRepeated) -> str:
    """Say how many more there were, for people."""
    counts = (
        (event.failed, "failed"),
        (event.dead_lettered, "became dead letters"),
        (event.retried, "tried again"),
        (event.redelivered, "handed out again"),
    )
    (most, what), *others = [each for each in counts if each[0]]
    first = "" if what == "failed" else f", {what}"
    # That what failed is kept as letters is said by the first of them, and at the end of the run.
    beside = [f"{n:,} {how}" for n, how in others if how != "became dead letters"]
    last = [] if event.item is None else [f"last item {event.item}"]
    within = f"in the last {rough_duration(event.seconds).replace('.0s', 's')}"
    return ", ".join([f"{most:,} more like it {within}{first}", *beside, *last])

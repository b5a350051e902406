"""What `run.workers` tells: a row for each worker of whom there is something new. Looks at pages, changes nothing.

    alive workers, in turn ──► look at some ──► something has moved ──► a row; at most 64 of them at a time

A worker that goes on with what it was at has no row: whoever watches counts on by themselves. So it costs the same
whether anybody watches or not, and next to nothing while nothing moves. Of 64 workers or fewer each is looked at four
times a second, of a thousand each in one or two seconds: since when an item is in hand is not known more exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from runner.events.run import WorkerCounts
from runner.facts import dataclass
from runner.ipc.status_page import Sighting, Wait
from runner.supervisor.workers import RunMetrics, WorkerState

_WAITS: Final = {
    Wait.ITEM: "item",
    Wait.ROOM: "room",
    Wait.JOIN: "join",
    Wait.LOCK: "lock",
    Wait.RATE: "rate",
}


@dataclass(slots=True)
class _Seen:
    """What was last seen of a process."""

    pid: int
    sighting: Sighting
    since: float
    told: float


class WorkerSampler:
    """Remembers what it has told of each worker."""

    MOST_ROWS: Final = 64
    MOST_LOOKED_AT: Final = 256
    TELL_AGAIN: Final = 10.0
    """Seconds after which a worker is told of again that has not moved: a row may have been lost on its way."""

    def __init__(
        self,
        metrics: RunMetrics,
        *,
        names_items: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`names_items`: whether items are the user's, and not requests of ours."""
        self._metrics = metrics
        self._names_items = names_items
        self._clock = clock
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._next = 0

    def rows(self, alive: Sequence[WorkerState]) -> list[WorkerCounts]:
        """Return a row for each of those who are looked at this time and have moved since the last."""
        rows: list[WorkerCounts] = []
        now = self._clock()
        first, looked_at = self._next, 0
        for place in range(min(len(alive), self.MOST_LOOKED_AT)):
            worker = alive[(first + place) % len(alive)]
            looked_at += 1
            if (row := self._look_at(worker, now)) is not None:
                rows.append(row)
                if len(rows) == self.MOST_ROWS:
                    break
        self._next = (first + looked_at) % max(len(alive), 1)
        return rows

    def _look_at(self, worker: WorkerState, now: float) -> WorkerCounts | None:
        name = worker.plan.name
        sighting, seen = self._metrics.sighting(worker), self._seen.get(name)
        is_same_process = seen is not None and seen.pid == worker.pid
        stands = seen is not None and is_same_process and _moved(seen.sighting) == _moved(sighting)
        if seen is not None and stands and now - seen.told < self.TELL_AGAIN:
            return None
        is_same_item = is_same_process and seen is not None and _item(seen.sighting) == _item(sighting)
        since = seen.since if seen is not None and is_same_item else now
        self._seen[name] = _Seen(worker.pid, sighting, since, now)
        return self._row(worker, sighting, since, now)

    def _row(self, worker: WorkerState, sighting: Sighting, since: float, now: float) -> WorkerCounts:
        has_one = _has_one_in_hand(sighting)
        if sighting.oldest is not None:
            since = now - (self._monotonic() - sighting.oldest)
        return {
            "worker": worker.plan.name,
            "stage": worker.plan.stage,
            "pid": worker.pid,
            "generation": worker.generation,
            "state": _state(sighting),
            "waits_for": _WAITS.get(sighting.waiting),
            "received": sighting.received,
            "sent": sighting.sent,
            "done": sighting.done,
            "failed": sighting.failed,
            "retried": sighting.retried,
            "busy": round(sighting.busy, 6),
            "starved": round(sighting.starved, 6),
            "blocked": round(sighting.blocked, 6),
            "item": (sighting.item or None) if has_one and self._names_items else None,
            "since": round(since, 3) if has_one else None,
        }


def _item(sighting: Sighting) -> tuple[int, ...]:
    """Tell the item in hand from others: where none is taken, the one that is being made."""
    return (*sighting.hand, 0 if sighting.received else sighting.sent)


def _moved(sighting: Sighting) -> tuple[object, ...]:
    """Return what is another once there is something to tell; not the time that passes."""
    return (
        *(sighting.hand, sighting.sent, sighting.failed, sighting.retried),
        *(sighting.at_work, sighting.waiting, sighting.oldest),
    )


def _state(sighting: Sighting) -> str:
    if sighting.waiting is Wait.ITEM:
        return "starved"
    if sighting.waiting is not Wait.NOTHING:
        return "blocked"
    return "busy" if sighting.at_work else "idle"


def _has_one_in_hand(sighting: Sighting) -> bool:
    """Say whether it is at an item, one that it makes itself among them. One that waits for an item has none."""
    if sighting.waiting is Wait.ITEM:
        return False
    is_taken = sighting.received > sighting.done + sighting.failed + sighting.retried
    return bool(sighting.item) or is_taken or sighting.at_work

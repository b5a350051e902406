"""How often a thing has happened at each stage that events alone tell of, and no snapshot counts. Pure.

item.failed · item.retried · item.redelivered · batch.failed · worker.exited ──► EventCounts ──► StageEvents
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from enum import StrEnum

from runner.events.base import Event
from runner.events.run import (
    FailedBatch,
    ItemDeadLettered,
    ItemFailed,
    ItemRedelivered,
    ItemRetried,
    WorkerExited,
    WorkerOutcome,
    WorkerTerminating,
)
from runner.facts import dataclass
from runner.spec.failures import OnError


class RestartReason(StrEnum):
    """Why a process got a successor."""

    SIGNAL = "signal"
    """Something killed it."""
    EXIT = "exit"
    """It left with an exit code that says that it failed."""
    TIMEOUT = "timeout"
    """It took too long, and mprun killed it."""
    FINISHED = "finished"
    """It ended in order, and `restart` is `always`."""


def _none_yet() -> Counter[RestartReason]:
    return Counter(dict.fromkeys(RestartReason, 0))


@dataclass(slots=True)
class StageEvents:
    """What has happened at one stage."""

    failed: Counter[OnError] = field(default_factory=Counter)
    """Items that its handler raised on for good, by what became of them."""
    dead_lettered: int = 0
    """Items that became dead letters, those that killed their workers among them, or were to."""
    retried: int = 0
    """Items that its handler raised on and that are tried again."""
    redelivered: int = 0
    """Items that were handed out again since the worker that had them died."""
    restarts: Counter[RestartReason] = field(default_factory=_none_yet)


@dataclass(slots=True)
class EventCounts:
    """The stages at which anything has happened."""

    stages: dict[str, StageEvents] = field(default_factory=dict)
    _overdue: set[str] = field(default_factory=set)
    """Workers that are being killed for taking too long."""

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case ItemFailed():
                self.of(event.stage).failed[event.action] += 1
            case ItemDeadLettered():
                self.of(event.stage).dead_lettered += 1
            case ItemRetried():
                self.of(event.stage).retried += 1
            case ItemRedelivered():
                self.of(event.stage).redelivered += 1
            case FailedBatch(died=True):
                self.of(event.stage).redelivered += event.items
            case WorkerTerminating(signal="SIGKILL"):
                self._overdue.add(event.worker)
            case WorkerExited():
                if event.restarting:
                    self.of(event.stage).restarts[self._reason(event)] += 1
                self._overdue.discard(event.worker)

    def of(self, stage: str) -> StageEvents:
        """Return what has happened at a stage."""
        return self.stages.setdefault(stage, StageEvents())

    def _reason(self, event: WorkerExited) -> RestartReason:
        if event.worker in self._overdue:
            return RestartReason.TIMEOUT
        if event.signal is not None:
            return RestartReason.SIGNAL
        return RestartReason.EXIT if event.outcome is WorkerOutcome.DIED else RestartReason.FINISHED

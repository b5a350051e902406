"""What is told of a run by `notify`, and when: decided from its events. Pure: no process, no clock of its own.

events ──► NotificationRules ──► first_failure · stalled      as it happens
                            └──► failed · finished            once nothing more of the run is to come
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runner.events.base import Event
from runner.events.jobs import JobFinished, JobSilent
from runner.events.run import (
    ItemDeadLettered,
    ItemFailed,
    QueueCounts,
    RunFinished,
    RunProgress,
    RunRefused,
    RunStarted,
    WorkerExited,
    WorkerOutcome,
)
from runner.facts import dataclass
from runner.spec.notify import NotifyOn, NotifySpec
from runner.units import format_duration, rough_duration

MOST_KINDS_TOLD = 5
_LONGEST = 4096
"""Characters of a variable of the environment."""
VARIABLES = {
    "event": "MPRUN_EVENT",
    "text": "MPRUN_TEXT",
    "run": "MPRUN_RUN_ID",
    "workflow": "MPRUN_WORKFLOW",
    "file": "MPRUN_FILE",
    "host": "MPRUN_HOST",
    "outcome": "MPRUN_OUTCOME",
    "exit_code": "MPRUN_EXIT_CODE",
    "reason": "MPRUN_REASON",
    "seconds": "MPRUN_SECONDS",
    "done": "MPRUN_DONE",
    "failed": "MPRUN_FAILED",
    "dead_letters": "MPRUN_DEAD_LETTERS",
    "stage": "MPRUN_STAGE",
    "item": "MPRUN_ITEM",
    "error": "MPRUN_ERROR",
}
"""The variables that facts are in; `MPRUN_RUN` is another: it marks what belongs to a run, and ends with it."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Something to be told, and to whom."""

    entries: tuple[int, ...]
    """The places in the list of those who want to be told."""
    facts: Mapping[str, Any]


@dataclass(slots=True)
class StallDetector:
    """Says when nothing has moved for so long while there is work; again only after something has."""

    after: float
    _signature: tuple[int, ...] | None = None
    _since: float = 0.0
    _is_told: bool = False

    def observe(self, snapshot: RunProgress) -> bool:
        """Take note of a snapshot; return whether the run is found to have stalled by it."""
        signature = _movement(snapshot)
        if signature != self._signature:
            self._signature, self._since, self._is_told = signature, snapshot.elapsed, False
            return False
        has_work = any(queue["put"] > _gone(queue) for queue in snapshot.queues)
        if self._is_told or not has_work or snapshot.elapsed - self._since < self.after:
            return False
        self._is_told = True
        return True


def _gone(queue: QueueCounts) -> int:
    kept = queue["dropped"] + queue["duplicates"] + queue["dead_lettered"] + queue["lost"]
    return queue["done"] + kept


_MOVES: tuple[Literal["alive", "received", "sent", "done", "failed", "retried"], ...] = (
    "alive",
    "received",
    "sent",
    "done",
    "failed",
    "retried",
)


def _movement(snapshot: RunProgress) -> tuple[int, ...]:
    """Return what is another once anything was put, taken, done or given up, or a worker has come or gone."""
    of_queues = [queue[name] for queue in snapshot.queues for name in ("put", "waiting", "leased", "done")]
    lost = [_gone(queue) for queue in snapshot.queues]
    of_stages = [
        stage[name] for stage in snapshot.stages for name in ("received", "sent", "done", "failed", "retried")
    ]
    return (*of_queues, *lost, *of_stages, *(stage["alive"] for stage in snapshot.stages))


@dataclass(slots=True)
class NotificationRules:
    """Who is told what of one run."""

    entries: Sequence[NotifySpec]
    kinds: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    """The kinds of failures so far, the most frequent first, as the record has them."""
    _started: RunStarted | None = None
    _began: float = 0.0
    _progress: RunProgress | None = None
    _end: RunFinished | RunRefused | None = None
    _jobs: dict[str, str] = field(default_factory=dict)
    _has_failed: bool = False
    _stalls: dict[float, StallDetector] = field(default_factory=dict)

    def observe(self, event: Event) -> Iterator[Notification]:
        """Take note of one event; yield what is to be told at once."""
        match event:
            case RunStarted():
                self._started, self._began = event, event.at
            case RunProgress():
                self._progress = event
                yield from self._stalled(event)
            case RunFinished() | RunRefused():
                self._end = event
            case JobSilent():
                facts = {
                    "reason": f"job '{event.job}' has printed nothing for {rough_duration(event.seconds)}"
                }
                yield from self._tell(NotifyOn.STALLED, event.at, facts, [*range(len(self.entries))])
            case JobFinished():
                self._jobs[event.job] = event.result.value
                if event.result.is_failure:
                    yield from self._first_failure(event.at, stage=event.job, error=event.reason)
            case ItemFailed() | ItemDeadLettered():
                yield from self._first_failure(
                    event.at, stage=event.stage, item=event.item, error=event.error
                )
            case WorkerExited(outcome=WorkerOutcome.DIED):
                items = ", ".join(event.items) or None
                yield from self._first_failure(event.at, stage=event.stage, item=items, error=event.reason)

    def ended(self, at: float, seen: Mapping[str, Any] | None = None) -> Iterator[Notification]:
        """
        Yield what is to be told once nothing more is to come; of a run that has not said its end, that it was killed.

        `seen` are the facts as they were when its runner was last heard of, where whoever asks has nothing else.
        """
        facts = {**self.facts(at), **(seen or {}), "at": _iso(at), **self._outcome()}
        is_good = facts["exit_code"] == 0
        for event, entries in self._of_end(is_good=is_good):
            yield Notification(entries, with_text({**facts, "event": event.value}))

    def _of_end(self, *, is_good: bool) -> Iterator[tuple[NotifyOn, tuple[int, ...]]]:
        wanted = [(place, entry.on) for place, entry in enumerate(self.entries)]
        failed = () if is_good else tuple(place for place, on in wanted if NotifyOn.FAILED in on)
        finished = tuple(place for place, on in wanted if NotifyOn.FINISHED in on and place not in failed)
        for event, places in ((NotifyOn.FAILED, failed), (NotifyOn.FINISHED, finished)):
            if places:
                yield event, places

    def _outcome(self) -> dict[str, Any]:
        end = self._end
        if isinstance(end, RunRefused):
            return {"outcome": "refused", "exit_code": end.exitcode, "reason": end.error}
        if end is None:
            return {"outcome": "killed", "exit_code": None, "reason": "its runner was killed"}
        seconds = round(end.seconds, 3)
        return {
            "outcome": end.outcome.value,
            "exit_code": end.exitcode,
            "reason": end.reason,
            "seconds": seconds,
        }

    def _stalled(self, snapshot: RunProgress) -> Iterator[Notification]:
        wanted = [n for n, entry in enumerate(self.entries) if NotifyOn.STALLED in entry.on]
        for after in dict.fromkeys(self.entries[n].stalled_after for n in wanted):
            detector = self._stalls.setdefault(after, StallDetector(after))
            if detector.observe(snapshot):
                reason = f"nothing was put, taken or done for {format_duration(after)}, and there is work"
                places = [n for n in wanted if self.entries[n].stalled_after == after]
                yield from self._tell(NotifyOn.STALLED, snapshot.at, {"reason": reason}, places)

    def _first_failure(self, at: float, **facts: str | None) -> Iterator[Notification]:
        if not self._has_failed:
            self._has_failed = True
            yield from self._tell(NotifyOn.FIRST_FAILURE, at, facts, range(len(self.entries)))

    def _tell(
        self, event: NotifyOn, at: float, more: Mapping[str, Any], places: Sequence[int]
    ) -> Iterator[Notification]:
        entries = tuple(place for place in places if event in self.entries[place].on)
        if entries:
            yield Notification(entries, with_text({**self.facts(at), **more, "event": event.value}))

    def facts(self, at: float) -> dict[str, Any]:
        """Return what is known of the run at a moment."""
        begun = self._started
        counts = _job_counts(self._jobs) if begun is not None and begun.jobs else self._item_counts()
        return {
            "event": None,
            "run": None if begun is None else begun.run,
            "workflow": None if begun is None else begun.workflow,
            "file": None if begun is None else str(Path(begun.file).absolute()),
            "host": socket.gethostname(),
            "cwd": str(Path.cwd()),
            "began": None if begun is None else _iso(self._began),
            "at": _iso(at),
            "seconds": None if begun is None else round(max(at - self._began, 0.0), 3),
            "outcome": "running",
            "exit_code": None,
            "reason": None,
            **counts,
            "stage": None,
            "item": None,
            "error": None,
            "failures": [_kind(kind) for kind in self.kinds()[:MOST_KINDS_TOLD]],
        }

    def _item_counts(self) -> dict[str, int]:
        stages = () if self._started is None else self._started.stages
        passed_on = {stage.get("from") for stage in stages if stage.get("targets")}
        queues: Sequence[QueueCounts] = ()
        if isinstance(self._end, RunFinished):
            queues = self._end.queues
        elif self._progress is not None:
            queues = self._progress.queues
        return {
            "done": sum(queue["done"] for queue in queues if queue["name"] not in passed_on),
            "failed": sum(queue["dropped"] + queue["dead_lettered"] + queue["lost"] for queue in queues),
            "dead_letters": sum(queue["dead_lettered"] for queue in queues),
        }


def _job_counts(results: Mapping[str, str]) -> dict[str, int]:
    words = list(results.values())
    return {
        "done": sum(word in ("passed", "allowed") for word in words),
        "failed": sum(word in ("failed", "timed_out") for word in words),
        "dead_letters": 0,
    }


def _kind(kind: Mapping[str, Any]) -> dict[str, Any]:
    items = [each["item"] for each in kind["samples"][:MOST_KINDS_TOLD]]
    return {"count": kind["n"], "stage": kind["stage"], "error": kind["error"], "items": items}


def with_text(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add one line that says what there is to say, for chats and titles."""
    return {"event": facts["event"], "text": _line(facts), **{k: v for k, v in facts.items() if k != "event"}}


_VERBS = {
    "done": "is done after",
    "failed": "failed after",
    "timeout": "timed out after",
    "interrupted": "was interrupted after",
    "internal": "ended by a fault in mprun after",
    "killed": "was killed after",
}


def _line(facts: Mapping[str, Any]) -> str:
    who, reason = facts["workflow"] or "mprun", facts["reason"] or facts["error"]
    if facts["event"] == NotifyOn.FIRST_FAILURE:
        return f"{who}: the first failure, in {facts['stage']}: {reason}"
    if facts["event"] == NotifyOn.STALLED:
        return f"{who} has stalled: {reason}"
    if facts["outcome"] == "refused":
        return f"{who} could not be run: {reason}"
    said = f"{who} {_VERBS.get(facts['outcome'], 'ended after')} {rough_duration(facts['seconds'] or 0.0)}"
    return said if reason is None else f"{said}: {reason}"


def environment(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return facts as variables; what is not known is empty, and what is long is cut."""
    return {
        variable: "" if facts.get(name) is None else str(facts[name]).replace("\0", "")[:_LONGEST]
        for name, variable in VARIABLES.items()
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

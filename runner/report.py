"""The report: what a run came to, folded from its events. Tables, `--report FILE` and tests read these facts.

    run.started · worker.spawned · item.failed · worker.exited · run.finished ──► ReportBuilder ──► Report

The facts declare their own meaning, and `report_schema` is made from that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from runner.bottleneck import find_bottleneck
from runner.errors import ExitCode
from runner.events import COUNTERS, Event
from runner.problems import did_you_mean
from runner.report_lines import Failure, QueueLine, StageLine, closed_schema, means

if TYPE_CHECKING:
    from runner.jobs.story import Story, StoryBuilder

MOST_FAILURES = 100
"""Failures a report keeps; the rest are counted. Memory must not grow with the length of the input."""
OUTCOMES = ("done", "failed", "timeout", "interrupted", "internal")


_Line = TypeVar("_Line", StageLine, QueueLine)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    run: str = means("The run's id.")
    workflow: str = means("The workflow's name.")
    file: str = means("The workflow file.")
    transport: str = means("How queues and workers existed.")
    outcome: str = means("done, failed, timeout, interrupted or internal.")
    exit_code: int = means("What the shell is told.")
    reason: str | None = means("The root cause where it is not done.")
    started_at: float = means("When, in seconds since the epoch; ISO 8601 in UTC as JSON.")
    seconds: float = means("How long it took.")
    stages: tuple[StageLine, ...] = means("One line a stage.")
    queues: tuple[QueueLine, ...] = means("One line a queue.")
    failures: tuple[Failure, ...] = means("The first failures.")
    more_failures: int = means("How many failures there were beyond those listed.")
    bottleneck: str | None = means("What held the run back and what to change; null if nothing stands out.")
    jobs: Story | None = means("What became of the jobs; null for a workflow of stages.", None)

    @property
    def balanced(self) -> bool:
        """Whether put == done + dropped + dead-lettered + waiting + leased, for every queue."""
        return all(queue.balanced for queue in self.queues)

    @property
    def root_cause(self) -> Failure | None:
        """The failure that ended the run, or else the first there was."""
        return next((f for f in self.failures if f.fatal), self.failures[0] if self.failures else None)

    def stage(self, name: str) -> StageLine:
        """Return one stage's line. Raises KeyError, with the nearest name, if there is no such stage."""
        return _named("stage", name, {stage.name: stage for stage in self.stages})

    def queue(self, name: str) -> QueueLine:
        """Return one queue's accounts. Raises KeyError, with the nearest name, if there is no such queue."""
        return _named("queue", name, {queue.name: queue for queue in self.queues})

    def as_dict(self) -> dict[str, Any]:
        """Return what `--report FILE` holds; it meets `report_schema()`."""
        started_at = datetime.fromtimestamp(self.started_at, UTC).isoformat(timespec="milliseconds")
        own = {"started_at": started_at.replace("+00:00", "Z"), "balanced": self.balanced}
        return {key: _as_json(value) for key, value in asdict(self).items()} | own


@dataclass(slots=True)
class _StageTally:
    declared: Mapping[str, Any]
    first: float | None = None
    last: float | None = None
    counters: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    retried: int = 0
    dead_lettered: int = 0
    alive: set[str] = field(default_factory=set)
    most_workers: int = 0
    """Alive at a time: a stage may be scaled while it runs."""

    def lived(self, at: float) -> None:
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)


class ReportBuilder:
    """An observer that keeps the sums. `report()` may be asked for at any time, also when a run broke off."""

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or os.cpu_count() or 1
        self._started: Event | None = None
        self._finished: Event | None = None
        self._latest = 0.0
        self._stages: dict[str, _StageTally] = {}
        self._failures: list[Failure] = []
        self._more_failures = 0
        self._story: StoryBuilder | None = None

    def observe(self, event: Event) -> None:
        """Take note of one event. Costs microseconds and keeps a bounded amount."""
        self._latest = event.at
        note = _NOTES.get(event.name)
        if note is not None:
            note(self, event)
        if self._story is not None:
            self._story.observe(event)

    def close(self) -> None:
        """Nothing to flush."""

    def report(self) -> Report:
        """Fold what was seen so far."""
        begun = self._started.fields if self._started else {}
        end = self._finished.fields if self._finished else self._broken_off()
        stages = tuple(_stage_line(tally, end["seconds"]) for tally in self._stages.values())
        queues = tuple(_queue_line(account) for account in end["queues"])
        return Report(
            run=self._started.run if self._started else "",
            workflow=begun.get("workflow", ""),
            file=begun.get("file", ""),
            transport=begun.get("transport", ""),
            outcome=end["outcome"],
            exit_code=end["exitcode"],
            reason=end["reason"],
            started_at=self._started.at if self._started else self._latest,
            seconds=round(end["seconds"], 6),
            stages=stages,
            queues=queues,
            failures=tuple(self._failures),
            more_failures=self._more_failures,
            bottleneck=self._bottleneck(stages, queues, end),
            jobs=self._story.story() if self._story is not None else None,
        )

    def _broken_off(self) -> Mapping[str, Any]:
        started = self._started.at if self._started else self._latest
        return {
            "outcome": "internal",
            "exitcode": int(ExitCode.INTERNAL),
            "reason": "the record of the run breaks off before its end",
            "seconds": max(self._latest - started, 0.0),
            "queues": [],
        }

    def _bottleneck(
        self, stages: Sequence[StageLine], queues: Sequence[QueueLine], end: Mapping[str, Any]
    ) -> str | None:
        inline = self._started is not None and self._started.fields["transport"] == "inline"
        if end["outcome"] in ("failed", "internal") or inline:
            return None  # a run cut short says little about balance, and one process has nothing to balance
        return find_bottleneck(stages, queues, seconds=end["seconds"], cores=self._cores)

    def _note_started(self, event: Event) -> None:
        self._started = event
        self._stages = {stage["name"]: _StageTally(stage) for stage in event.fields["stages"]}
        if "jobs" in event.fields:
            from runner.jobs.story import StoryBuilder  # a run of stages starts without it

            self._story = StoryBuilder()

    def _note_spawned(self, event: Event) -> None:
        tally = self._tally(event)
        tally.lived(event.at)
        tally.alive.add(event.fields["worker"])
        tally.most_workers = max(tally.most_workers, len(tally.alive))

    def _note_exited(self, event: Event) -> None:
        tally = self._tally(event)
        tally.lived(event.at)
        tally.alive.discard(event.fields["worker"])
        for name in COUNTERS:
            tally.counters[name] += event.fields[name]
        if event.fields["outcome"] == "died" and not self._has_said_why(event.fields["worker"]):
            self._keep(_died(event.fields))

    def _note_failed(self, event: Event) -> None:
        self._keep(_failed(event.fields))

    def _note_tried_again(self, event: Event) -> None:
        self._tally(event).retried += 1

    def _note_dead_lettered(self, event: Event) -> None:
        self._tally(event).dead_lettered += 1

    def _note_finished(self, event: Event) -> None:
        self._finished = event

    def _tally(self, event: Event) -> _StageTally:
        # A history may start late, as a file of events that was cut does.
        stage = event.fields["stage"]
        return self._stages.setdefault(stage, _StageTally({"name": stage, "role": "plain", "workers": 0}))

    def _has_said_why(self, worker: str) -> bool:
        # The item that a worker ended for is the failure; its end is not a second one.
        return any(failure.fatal and failure.worker == worker for failure in self._failures)

    def _keep(self, failure: Failure) -> None:
        if len(self._failures) < MOST_FAILURES:
            self._failures.append(failure)
            return
        self._more_failures += 1
        if failure.fatal and not any(kept.fatal for kept in self._failures):
            self._failures[-1] = failure  # a thousand skipped items must not hide the one that ended the run


_NOTES: Mapping[str, Callable[[ReportBuilder, Event], None]] = {
    "run.started": ReportBuilder._note_started,
    "worker.spawned": ReportBuilder._note_spawned,
    "worker.exited": ReportBuilder._note_exited,
    "item.failed": ReportBuilder._note_failed,
    "item.retried": ReportBuilder._note_tried_again,
    "item.redelivered": ReportBuilder._note_tried_again,
    "item.dead_lettered": ReportBuilder._note_dead_lettered,
    "run.finished": ReportBuilder._note_finished,
}


def fold(events: Iterable[Event], *, cores: int = 1) -> Report:
    """Return the report of a history of events."""
    builder = ReportBuilder(cores)
    for event in events:
        builder.observe(event)
    return builder.report()


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `--report FILE` holds."""
    from runner.jobs.story import story_schema

    schema = closed_schema(Report)
    own: dict[str, Any] = {
        "outcome": {"enum": list(OUTCOMES)},
        "started_at": {"type": "string", "format": "date-time"},
        "stages": {"type": "array", "items": closed_schema(StageLine)},
        "queues": {"type": "array", "items": closed_schema(QueueLine)},
        "failures": {"type": "array", "items": closed_schema(Failure), "maxItems": MOST_FAILURES},
        "jobs": story_schema() | {"type": ["object", "null"]},
    }
    for name, shape in own.items():
        schema["properties"][name] = shape | {"description": schema["properties"][name]["description"]}
    schema["properties"]["balanced"] = {"type": "boolean", "description": "Whether the ledger adds up."}
    schema["required"].append("balanced")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mprun report", **schema}


def _stage_line(tally: _StageTally, seconds: float) -> StageLine:
    declared, counters = tally.declared, tally.counters
    life = (tally.last or 0.0) - (tally.first or 0.0)
    passed = counters["sent" if declared["role"] == "producer" else "done"]
    workers = max(declared["workers"], tally.most_workers)
    return StageLine(
        name=declared["name"],
        role=declared["role"],
        workers=workers,
        receives=declared.get("from"),
        sends=declared.get("to"),
        received=int(counters["received"]),
        sent=int(counters["sent"]),
        done=int(counters["done"]),
        failed=int(counters["failed"]),
        retried=tally.retried,
        dead_lettered=tally.dead_lettered,
        items_per_second=round(passed / life, 3) if life > 0 else 0.0,
        busy=round(min(counters["busy"] / (workers * seconds), 1.0), 4) if workers and seconds > 0 else 0.0,
        busy_seconds=round(counters["busy"], 6),
        starved_seconds=round(counters["starved"], 6),
        blocked_seconds=round(counters["blocked"], 6),
    )


def _queue_line(account: Mapping[str, Any]) -> QueueLine:
    # A file of events may be older than a field.
    return QueueLine(**{f.name: account[f.name] for f in fields(QueueLine) if f.name in account})


def _died(exited: Mapping[str, Any]) -> Failure:
    return Failure(
        kind="worker",
        worker=exited["worker"],
        stage=exited["stage"],
        queue=None,
        item=", ".join(exited.get("items", ())) or None,
        error=exited["reason"],
        traceback=exited.get("traceback") or None,
        fatal=not exited.get("restarting", False),
    )


def _failed(item: Mapping[str, Any]) -> Failure:
    return Failure(
        kind="item",
        worker=item["worker"],
        stage=item["stage"],
        queue=item["queue"],
        item=item["item"],
        error=item["error"],
        traceback=item.get("traceback") or None,
        fatal=item["action"] == "fail",
    )


def _as_json(value: Any) -> Any:
    """Turn tuples into lists, however deep."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, tuple) else value


def _named(what: str, name: str, known: Mapping[str, _Line]) -> _Line:
    if name not in known:
        raise KeyError(
            f"the run has no {what} '{name}'; {did_you_mean(name, known) or f'it has no {what} at all'}"
        )
    return known[name]

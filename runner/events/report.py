"""The report: what a run came to, folded from its events, and which stage held it back.

    run.started · worker.spawned · item.failed · worker.exited · run.finished ──► ReportBuilder ──► Report

Tables, `--report FILE` and tests read these facts. They declare their own meaning, and `report_schema` is made from it.

The stage that holds the run back is the one to change. What identifies it is the shortest time in which a pool
could have done its work, busy seconds / workers: no run is quicker than its slowest pool. Full queues before it and
starved workers behind it are the evidence shown; they prove nothing alone, since a queue may also be full because a
stage further down is slow.

    chef 7.2 s / 3 workers = 2.4 s      eater 9 s / 2 workers = 4.5 s of a run of 5.8 s ──► eater, 4 workers
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import ExitCode
from runner.events.base import Event
from runner.events.item_times import NO_TIMES, ItemTimes
from runner.events.report_fields import Failure, QueueLine, StageLine, closed_schema, means
from runner.events.run import (
    FailedBatch,
    ItemDeadLettered,
    ItemFailed,
    ItemRedelivered,
    ItemRetried,
    RunFinished,
    RunOutcome,
    RunStarted,
    StageTimed,
    StateCheckpointed,
    WorkerEvent,
    WorkerExited,
    WorkerOutcome,
    WorkerSpawned,
)
from runner.facts import dataclass
from runner.spec.failures import OnError
from runner.spec.suggestions import did_you_mean

if TYPE_CHECKING:
    from runner.events.job_report import JobReport, JobReportBuilder
    from runner.events.run import QueueCounts, StageCounts, StageDeclared

MOST_FAILURES = 100
"""Failures a report keeps; the rest are counted. Memory must not grow with the length of the input."""
COUNTERS = ("received", "sent", "done", "failed", "busy", "starved", "blocked")
"""The fields of `worker.exited` that are summed up by stage."""


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
    jobs: JobReport | None = means("What became of the jobs; null for a workflow of stages.", None)
    resumable: bool = means("Whether `mprun resume` would have gone on with it at once when it ended.", False)

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

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        from runner.events.report_view import report_text

        return report_text(self)

    def _repr_html_(self) -> str:
        from runner.events.report_view import report_html

        return report_html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's
        printer.text(str(self))

    def as_dict(self) -> dict[str, Any]:
        """Return what `--report FILE` holds; it meets `report_schema()`."""
        started_at = datetime.fromtimestamp(self.started_at, UTC).isoformat(timespec="milliseconds")
        own = {"started_at": started_at.replace("+00:00", "Z"), "balanced": self.balanced}
        return {key: _as_json(value) for key, value in asdict(self).items()} | own


@dataclass(slots=True)
class _StageTally:
    declared: StageDeclared
    first: float | None = None
    last: float | None = None
    counters: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    dead_lettered: int = 0
    lost: int = 0
    checkpoints: int = 0
    times: ItemTimes = NO_TIMES
    alive: set[str] = field(default_factory=set)
    most_workers: int = 0
    """Alive at a time: a stage may be scaled while it runs."""

    def lived(self, at: float) -> None:
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)

    def spawned(self, event: WorkerSpawned) -> None:
        self.lived(event.at)
        self.alive.add(event.worker)
        self.most_workers = max(self.most_workers, len(self.alive))

    def exited(self, event: WorkerExited) -> None:
        self.lived(event.at)
        self.alive.discard(event.worker)
        self.counters.update({name: getattr(event, name) for name in COUNTERS})


class ReportBuilder:
    """An observer that keeps the sums. `report()` may be asked for at any time, also when a run broke off."""

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or os.cpu_count() or 1
        self._started: RunStarted | None = None
        self._finished: RunFinished | None = None
        self._latest = 0.0
        self._stages: dict[str, _StageTally] = {}
        self._failures: list[Failure] = []
        self._more_failures = 0
        self._job_report: JobReportBuilder | None = None

    def observe(self, event: Event) -> None:
        """Take note of one event. Costs microseconds and keeps a bounded amount."""
        self._latest = event.at
        match event:
            case RunStarted():
                self._begin(event)
            case WorkerSpawned():
                self._tally(event).spawned(event)
            case WorkerExited():
                self._tally(event).exited(event)
                if event.outcome is WorkerOutcome.DIED and not self._has_said_why(event.worker):
                    self._keep(_died(event))
            case ItemFailed():
                self._keep(_failed(event))
            case ItemRetried() | ItemRedelivered():
                self._tally(event).retried += 1
            case FailedBatch(died=True):
                self._tally(event).retried += event.items
            case ItemDeadLettered():
                self._tally(event).dead_lettered += event.trouble is None
                self._tally(event).lost += event.trouble is not None
            case StateCheckpointed():
                self._tally(event).checkpoints += event.count
            case StageTimed():
                self._tally(event).times = event.times()
            case RunFinished():
                self._finished = event
        if self._job_report is not None:
            self._job_report.observe(event)

    def close(self) -> None:
        """Nothing to flush."""

    def report(self) -> Report:
        """Fold what was seen so far."""
        begun, end = self._started or _NEVER_STARTED, self._finished or self._broken_off()
        stages = tuple(_stage_line(tally, end.seconds) for tally in self._stages.values())
        queues = tuple(account_line(account) for account in end.queues)
        return Report(
            run=begun.run,
            workflow=begun.workflow,
            file=begun.file,
            transport=begun.transport,
            outcome=end.outcome,
            exit_code=end.exitcode,
            reason=end.reason,
            started_at=self._began,
            seconds=round(end.seconds, 6),
            stages=stages,
            queues=queues,
            failures=tuple(self._failures),
            more_failures=self._more_failures,
            bottleneck=self._bottleneck(stages, queues, end),
            jobs=self._job_report.report() if self._job_report is not None else None,
            resumable=end.resumable,
        )

    @property
    def _began(self) -> float:
        return self._started.at if self._started is not None else self._latest

    def _broken_off(self) -> RunFinished:
        return RunFinished(
            outcome=RunOutcome.INTERNAL,
            exitcode=int(ExitCode.INTERNAL),
            reason="the record of the run breaks off before its end",
            seconds=max(self._latest - self._began, 0.0),
            queues=[],
        )

    def _bottleneck(
        self, stages: Sequence[StageLine], queues: Sequence[QueueLine], end: RunFinished
    ) -> str | None:
        inline = self._started is not None and self._started.transport == "inline"
        if end.outcome in (RunOutcome.FAILED, RunOutcome.INTERNAL) or inline:
            return None  # a run cut short says little about balance, and one process has nothing to balance
        return find_bottleneck(stages, queues, seconds=end.seconds, cores=self._cores)

    def _begin(self, event: RunStarted) -> None:
        self._started = event
        self._stages = {stage["name"]: _StageTally(stage) for stage in event.stages}
        if event.jobs is not None:
            from runner.events.job_report import JobReportBuilder  # a run of stages starts without it

            self._job_report = JobReportBuilder()

    def _tally(self, event: WorkerEvent | StageTimed) -> _StageTally:
        # A history may start late, as a file of events that was cut does.
        if event.stage not in self._stages:
            self._stages[event.stage] = _StageTally(
                {
                    "name": event.stage,
                    "role": "plain",
                    "workers": 0,
                    "daemon": False,
                    "from": None,
                    "to": None,
                    "targets": [],
                    "total": None,
                }
            )
        return self._stages[event.stage]

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


_NEVER_STARTED = RunStarted(workflow="", file="", transport="", pid=0, stages=[], queues=[]).stamped(0.0, "")


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `--report FILE` holds."""
    from runner.events.job_report import job_report_schema

    schema = closed_schema(Report)
    own: dict[str, Any] = {
        "outcome": {"enum": list(RunOutcome)},
        "started_at": {"type": "string", "format": "date-time"},
        "stages": {"type": "array", "items": closed_schema(StageLine)},
        "queues": {"type": "array", "items": closed_schema(QueueLine)},
        "failures": {"type": "array", "items": closed_schema(Failure), "maxItems": MOST_FAILURES},
        "jobs": job_report_schema() | {"type": ["object", "null"]},
    }
    for name, shape in own.items():
        schema["properties"][name] = shape | {"description": schema["properties"][name]["description"]}
    schema["properties"]["balanced"] = {"type": "boolean", "description": "Whether the ledger adds up."}
    schema["required"].append("balanced")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mprun report", **schema}


def item_seconds(times: ItemTimes) -> dict[str, Any]:
    """Return what the line of a stage tells of how long its items took."""
    shares = {"p50_seconds": 0.5, "p95_seconds": 0.95}
    found = {name: times.percentile(share) for name, share in shares.items()}
    seconds = {**found, "slowest_seconds": times.slowest or None}
    rounded = {name: None if each is None else round(each, 7) for name, each in seconds.items()}
    return {**rounded, "slowest_item": times.slowest_item or None}


def _stage_line(tally: _StageTally, seconds: float) -> StageLine:
    declared, counters = tally.declared, tally.counters
    life = (tally.last or 0.0) - (tally.first or 0.0)
    passed = counters["sent" if declared["role"] == "producer" else "done"]
    workers = max(declared["workers"], tally.most_workers)
    return StageLine(
        name=declared["name"],
        role=declared["role"],
        workers=workers,
        receives=declared["from"],
        sends=declared["to"],
        targets=tuple(declared.get("targets", ())),
        received=int(counters["received"]),
        sent=int(counters["sent"]),
        done=int(counters["done"]),
        failed=int(counters["failed"]),
        retried=tally.retried,
        dead_lettered=tally.dead_lettered,
        lost=tally.lost,
        checkpoints=tally.checkpoints,
        items_per_second=round(passed / life, 3) if life > 0 else 0.0,
        busy=round(min(counters["busy"] / (workers * seconds), 1.0), 4) if workers and seconds > 0 else 0.0,
        busy_seconds=round(counters["busy"], 6),
        starved_seconds=round(counters["starved"], 6),
        blocked_seconds=round(counters["blocked"], 6),
        **item_seconds(tally.times),
    )


def account_line(account: QueueCounts) -> QueueLine:
    """Return the line of a queue, as the ledger has it, at the end or before."""
    known: dict[str, Any] = {name: value for name, value in account.items() if name not in ("bytes", "size")}
    return QueueLine(**known)


def counted_up(line: StageLine, counts: StageCounts, seconds: float) -> StageLine:
    """Give a stage whose workers have not said their last word what they had counted at a snapshot."""
    words: Mapping[str, Any] = counts
    passed = counts["sent" if line.role == "producer" else "done"]
    workers = max(line.workers, counts["alive"])
    whole = workers * seconds
    return replace(
        line,
        **{name: words[name] for name in ("received", "sent", "done", "failed")},
        workers=workers,
        items_per_second=round(passed / seconds, 3) if seconds > 0 else 0.0,
        busy=round(min(counts["busy"] / whole, 1.0), 4) if whole > 0 else 0.0,
        busy_seconds=round(counts["busy"], 6),
        starved_seconds=round(counts["starved"], 6),
        blocked_seconds=round(counts["blocked"], 6),
    )


def _died(event: WorkerExited) -> Failure:
    return Failure(
        kind="worker",
        worker=event.worker,
        stage=event.stage,
        item=", ".join(event.items) or None,
        error=event.reason,
        traceback=event.traceback or None,
        fatal=not event.restarting,
    )


def _failed(event: ItemFailed) -> Failure:
    return Failure(
        kind="item",
        worker=event.worker,
        stage=event.stage,
        queue=event.queue,
        item=event.item,
        error=event.error,
        traceback=event.traceback or None,
        fatal=event.action is OnError.FAIL,
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


# What holds a run back.

SHORTEST_RUN = 0.5
"""Seconds. In less, starting the processes weighs more than their work."""
DOMINANT_SHARE = 0.7
"""Of the run that the slowest pool must be busy; below it, other waits explain the run better."""
CLEAR_LEAD = 0.85
"""The next pool may need at most this much of the slowest pool's time; above it the two are level."""
WORTH_SAYING = 0.1
"""Of the run that a queue is full or a stage waits, to be named as evidence."""
BELIEVABLE_GROWTH = 4
"""Times the workers there are, or the cores if they are more: a higher count is arithmetic, not advice."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The stage that holds a run back, and what bears witness to it."""

    stage: StageLine
    second: StageLine
    """The one that would hold it back next."""
    seconds: float
    evidence: Evidence | None
    stages: Sequence[StageLine]

    def afterwards(self, cores: int) -> str:
        """Say it of what is over, with advice for the next time."""
        advice = _advice(self.stage, self.second, self.stages, cores)
        return f"{_verdict(self.stage, self.seconds)}{_while(self)}; {advice}"

    def while_it_runs(self) -> str:
        """Say it in few words of now: `parser holds it back: busy 96%, 'pages' full 70%`."""
        busy = f"{self.stage.name} holds it back: busy {_percent(_pool_seconds(self.stage) / self.seconds)}"
        if self.evidence is None:
            return busy
        return f"{busy}, {self.evidence.who} {self.evidence.now} {_percent(self.evidence.seconds / self.seconds)}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What waited since the bottleneck was slow, or was full, and for how long."""

    seconds: float
    who: str
    was: str
    now: str


def find_bottleneck(
    stages: Sequence[StageLine], queues: Sequence[QueueLine], *, seconds: float, cores: int
) -> str | None:
    """Name the stage that held a run of `seconds` back; None if the run was too short or none stands out."""
    found = weigh_stages(stages, queues, seconds=seconds)
    return None if found is None else found.afterwards(cores)


def weigh_stages(
    stages: Sequence[StageLine], queues: Sequence[QueueLine], *, seconds: float
) -> Bottleneck | None:
    """Find the stage that held back what went on in `seconds`; None if that was too short or none stands out."""
    ranked = sorted(stages, key=_pool_seconds, reverse=True)
    if seconds < SHORTEST_RUN or len(ranked) < 2 or not _dominates(ranked[0], ranked[1], seconds):
        return None
    return Bottleneck(ranked[0], ranked[1], seconds, _evidence(ranked[0], stages, queues, seconds), stages)


def _pool_seconds(stage: StageLine) -> float:
    return stage.busy_seconds / max(stage.workers, 1)


def _dominates(slowest: StageLine, second: StageLine, seconds: float) -> bool:
    has_work_to_share = slowest.receives is None or slowest.received >= 2 * slowest.workers
    return (
        _pool_seconds(slowest) >= DOMINANT_SHARE * seconds
        and _pool_seconds(second) <= CLEAR_LEAD * _pool_seconds(slowest)
        and has_work_to_share
    )


def _verdict(stage: StageLine, seconds: float) -> str:
    whose = "its one worker was" if stage.workers == 1 else f"its {stage.workers} workers were"
    return (
        f"{stage.name} is the bottleneck: {whose} busy {_percent(_pool_seconds(stage) / seconds)} of the time"
    )


def _while(found: Bottleneck) -> str:
    told = found.evidence
    return (
        "" if told is None else f" while {told.who} {told.was} {_percent(told.seconds / found.seconds)} of it"
    )


def _evidence(
    slowest: StageLine, stages: Sequence[StageLine], queues: Sequence[QueueLine], seconds: float
) -> Evidence | None:
    inbox, outboxes = slowest.receives, slowest.outputs
    all_of_it = [
        Evidence(q.full_seconds, f"'{q.name}'", "was full", "full") for q in queues if q.name == inbox
    ]
    all_of_it += [
        Evidence(
            stage.blocked_seconds / max(stage.workers, 1), stage.name, "waited for room", "waits for room"
        )
        for stage in stages
        if inbox in stage.outputs
    ]
    all_of_it += [
        Evidence(
            stage.starved_seconds / max(stage.workers, 1), stage.name, "waited for items", "waits for items"
        )
        for stage in stages
        if stage.receives in outboxes
    ]
    return next((each for each in all_of_it if each.seconds >= WORTH_SAYING * seconds), None)


def _advice(slowest: StageLine, second: StageLine, stages: Sequence[StageLine], cores: int) -> str:
    count = _count_to_be_level(slowest, second, cores)
    hint = "" if count is None else f" (count: {count} is what {_pace_of(second, slowest, stages)})"
    if slowest.receives is None:
        # Another worker of a producer makes items of its own: more work, not the same work in less time.
        return f"make it quicker, or split its work among more workers{hint}"
    workers = sum(stage.workers for stage in stages) - slowest.workers + (count or slowest.workers + 1)
    if workers > cores:
        return (
            f"more of them would help, unless they compute: {_workers(workers)} share {_cores(cores)}{hint}"
        )
    return f"more of them would help{hint}"


def _count_to_be_level(slowest: StageLine, second: StageLine, cores: int) -> int | None:
    most = max(BELIEVABLE_GROWTH * slowest.workers, cores)
    if _pool_seconds(second) * most < slowest.busy_seconds:
        return None
    return math.ceil(slowest.busy_seconds / _pool_seconds(second))


def _pace_of(other: StageLine, slowest: StageLine, stages: Sequence[StageLine]) -> str:
    if _feeds(other, slowest, stages):
        return f"{other.name} can feed"
    if _feeds(slowest, other, stages):
        return f"{other.name} can keep up with"
    return f"brings it level with {other.name}"


def _feeds(upper: StageLine, lower: StageLine, stages: Sequence[StageLine]) -> bool:
    reached: set[str] = set()
    queues = set(upper.outputs)
    while queues:
        readers = [stage for stage in stages if stage.receives in queues and stage.name not in reached]
        reached |= {stage.name for stage in readers}
        queues = {queue for stage in readers for queue in stage.outputs}
    return lower.name in reached


def _percent(share: float) -> str:
    return f"{min(share, 1.0):.0%}"


def _workers(count: int) -> str:
    return f"{count} workers would"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"

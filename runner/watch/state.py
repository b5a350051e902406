"""A run as it is known at a moment: the fold of its events from which all that watches is drawn. Pure.

    events, as they come ───────────────┐
    hello of a run under way + events ──┼──► RunState ──► top · page · metrics · dashboard
    the record of one that is over ─────┘

What is counted at each event is little; all that is derived is worked out when somebody asks for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from runner.events.base import LEVELS, Event
from runner.events.item_times import ItemTimes
from runner.events.report import (
    Bottleneck,
    Report,
    ReportBuilder,
    account_line,
    counted_up,
    find_bottleneck,
    weigh_stages,
)
from runner.events.run import (
    EventsDropped,
    ItemEvent,
    RunFinished,
    RunOutcome,
    RunProgress,
    RunResumed,
    RunStarted,
    RunStopping,
    StageCounts,
    WorkerLogged,
)
from runner.facts import dataclass
from runner.record.failures import FailureKind, SampleItem
from runner.record.fold import RunFold
from runner.record.series import Series
from runner.watch.eta import Eta, EtaModel
from runner.watch.event_counts import EventCounts, StageEvents
from runner.watch.jobs import JobRows, WatchedJob
from runner.watch.recent import BALANCE_WINDOW, Recent
from runner.watch.stages import WatchedQueue, WatchedStage, queues_now, stages_now
from runner.watch.workers import WatchedWorker, WorkerRows

MOST_RECENT = 200
"""Notable events that are kept, the newest ones."""
_OFTEN = (ItemEvent, RunProgress, WorkerLogged)
"""What is told of each item, or as often as somebody likes, is not notable by itself: kinds of failures tell of it."""


class RunPhase(StrEnum):
    """How far a run is."""

    STARTING = "starting"
    """Nothing is known of its workers yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"
    KILLED = "killed"
    """Its runner is gone, and has said nothing of an end."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it is to come."""
        return self in (RunPhase.ENDED, RunPhase.KILLED)


@dataclass(frozen=True, slots=True)
class KindOfFailure:
    """What went wrong in the same place in the same way, with some of the items it befell."""

    kind: FailureKind
    samples: tuple[SampleItem, ...]


@dataclass(slots=True)
class RunState:
    """What is known so far. `observe` may be called at any time; whatever is given out does not change any more."""

    run: str = ""
    phase: RunPhase = RunPhase.STARTING
    began: float = 0.0
    """When its first runner did, in seconds since the epoch."""
    told: float = 0.0
    """The moment of the last event."""
    ended: float | None = None
    """When it ended; of a killed run, when it was last heard of."""
    stop_reason: str | None = None
    """Why it was asked to stop, or has to."""
    incarnation: int = 1
    """Which of its runners this one is."""
    said: float = 0.0
    """When a handler said something last."""
    missed: int = 0
    """Events that came too fast for whoever keeps this."""
    started: RunStarted | None = None
    resumed: RunResumed | None = None
    finished: RunFinished | None = None
    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_RECENT))
    """What befell the run and its workers and jobs, oldest first; failures of items are in `failures`."""
    _fold: RunFold = field(default_factory=lambda: RunFold(keeps_rows=False))
    _report: ReportBuilder = field(default_factory=ReportBuilder)
    _snapshots: Recent[RunProgress] = field(default_factory=lambda: Recent(BALANCE_WINDOW))
    _workers: WorkerRows = field(default_factory=WorkerRows)
    _jobs: JobRows = field(default_factory=JobRows)
    _eta: EtaModel = field(default_factory=EtaModel)
    _counts: EventCounts = field(default_factory=EventCounts)
    _samples: list[SampleItem] = field(default_factory=list)
    _known_report: Report | None = None
    """Of a run that is known by its record alone."""

    @classmethod
    def of_record(cls, fold: RunFold, report: Report, samples: Sequence[SampleItem]) -> RunState:
        """Begin with what is kept of a run that is over; then `observe` what is kept of its events."""
        return cls(_fold=fold, _samples=list(samples), _known_report=report)

    # As events come.

    def observe(self, event: Event) -> None:
        """Take note of one event, in the order in which they were published."""
        self.told = event.at
        match event:
            case RunStarted():
                self._begin(event)
            case RunResumed():
                self.resumed, self.incarnation = event, event.incarnation
            case RunStopping():
                self.phase, self.stop_reason = RunPhase.STOPPING, event.reason
            case RunFinished():
                self.phase, self.finished, self.ended = RunPhase.ENDED, event, event.at
            case EventsDropped(count=count):
                self.missed += count
            case RunProgress():
                self._snapshots.add(event.elapsed, event)
            case WorkerLogged():
                self.said = event.at
            case EventsDropped():
                self.missed += event.count
            case _ if self.phase is RunPhase.STARTING:
                self.phase = RunPhase.RUNNING
        if self._known_report is None:  # else all that is counted is known
            self._fold.take(event.kind, event.at, event.level, vars(event))
        self._report.observe(event)
        self._workers.observe(event)
        self._jobs.observe(event)
        self._eta.observe(event)
        self._counts.observe(event)
        if not isinstance(event, _OFTEN) and LEVELS[event.level] > LEVELS["debug"]:
            self.recent.append(event)

    def _begin(self, event: RunStarted) -> None:
        self.run, self.started, self.phase = event.run, event, RunPhase.STARTING
        self.began = self.began or event.at
        self.finished, self.ended, self.stop_reason = None, None, None

    def was_killed(self, at: float | None = None) -> None:
        """Note that its runner is gone, and said nothing of an end; `at` is when it was last heard of."""
        if self.finished is None:
            self.phase, self.ended = RunPhase.KILLED, self.told if at is None else at

    # The run as a whole.

    @property
    def workflow(self) -> str:
        """The workflow's name; empty as long as that is not known."""
        return "" if self.started is None else self.started.workflow

    @property
    def file(self) -> str:
        """The workflow's file."""
        return "" if self.started is None else self.started.file

    @property
    def transport(self) -> str:
        """How its queues and workers exist."""
        return "" if self.started is None else self.started.transport

    @property
    def pid(self) -> int | None:
        """The runner's process."""
        return None if self.started is None else self.started.pid

    @property
    def has_jobs(self) -> bool:
        """Whether it is a workflow of jobs."""
        return self.started is not None and self.started.jobs is not None

    @property
    def outcome(self) -> RunOutcome | None:
        """What it came to; None as long as it has not ended, and of a killed run."""
        return None if self.finished is None else self.finished.outcome

    @property
    def exit_code(self) -> int | None:
        """What the shell was told."""
        return None if self.finished is None else self.finished.exitcode

    @property
    def reason(self) -> str | None:
        """The root cause, where it has ended and is not done."""
        return None if self.finished is None else self.finished.reason

    @property
    def resumable(self) -> bool:
        """Whether another runner could go on with it at once, as its end tells."""
        return self.finished is not None and self.finished.resumable

    @property
    def elapsed(self) -> float:
        """Seconds that this runner of it had worked at the last word of it. For a clock add `now - told`."""
        if self.finished is not None:
            return self.finished.seconds
        last = self._snapshots.last
        since = 0.0 if self.started is None else max(self.told - self.started.at, 0.0)
        return max(since, 0.0 if last is None else last.elapsed)

    @property
    def cut_at(self) -> float | None:
        """When the last cut was taken that is known to be kept; None where there is none."""
        return None if (last := self._snapshots.last) is None else last.cut_at

    @property
    def record_trouble(self) -> str | None:
        """What is missing in its record, at the last word of it; None if nothing is, or no record is wanted."""
        return None if (last := self._snapshots.last) is None else last.record_trouble

    # What it is made of.

    def stages(self) -> tuple[WatchedStage, ...]:
        """Return the stages, in the order in which data flows."""
        declared = () if self.started is None else self.started.stages
        return stages_now(declared, self._snapshots, self.times())

    def queues(self) -> tuple[WatchedQueue, ...]:
        """Return the queues, in the order in which data comes to them."""
        if self.started is None:
            return ()
        return queues_now(self.started.stages, self.started.queues, self._snapshots)

    def workers(self, now: float | None = None) -> tuple[WatchedWorker, ...]:
        """Return all workers that there were, by stages, as they are at `now`; without it, at the last event."""
        flow = {} if self.started is None else {s["name"]: n for n, s in enumerate(self.started.stages)}
        found = self._workers.now(self.told if now is None or self.phase.is_over else now)
        return tuple(sorted(found, key=lambda worker: flow.get(worker.stage, len(flow))))

    def jobs(self) -> tuple[WatchedJob, ...]:
        """Return the jobs that were begun or decided on, in that order."""
        return tuple(self._jobs.now(self.report().jobs))

    def failures(self) -> tuple[KindOfFailure, ...]:
        """Return the kinds of failures, the most frequent first."""
        self._take_samples()
        samples: dict[int, list[SampleItem]] = {}
        for sample in self._samples:
            samples.setdefault(sample.kind, []).append(sample)
        kinds = sorted(self._fold.failures.kinds.values(), key=lambda kind: (-kind.n, kind.id))
        return tuple(KindOfFailure(replace(kind), tuple(samples.get(kind.id, ()))) for kind in kinds)

    def _take_samples(self) -> None:
        self._samples += self._fold.failures.samples
        self._fold.failures.samples.clear()

    def events_of(self, stage: str) -> StageEvents:
        """Return how often things have happened at a stage that only events tell of."""
        return self._counts.of(stage)

    def times(self) -> Mapping[str, ItemTimes]:
        """Return by stage how long items took, as far as it was told."""
        return {stage: timing.total for stage, timing in self._fold.timings.items()}

    def series(self, name: str) -> Series | None:
        """Return one number over time, such as `stage/parser/done` or `queue/pages/size`; None if there is none."""
        return self._fold.series.get(name)

    def series_names(self) -> Sequence[str]:
        """Name what there is over time."""
        return tuple(self._fold.series)

    # What follows from it.

    def bottleneck(self) -> str | None:
        """Say which stage holds the run back now, with advice; None if none stands out, or it is over."""
        found = self.held_back_by()
        return None if found is None else found.afterwards(os.cpu_count() or 1)

    def held_back_by(self) -> Bottleneck | None:
        """Find the stage that holds the run back now, over the last seconds; None if none stands out, or it is over."""
        last, before = self._snapshots.last, self._snapshots.before(BALANCE_WINDOW)
        if last is None or before is None or self.phase.is_over or self._is_in_one_process:
            return None
        seconds = last.elapsed - before.what.elapsed
        old = {each["name"]: each for each in before.what.stages}
        full = {each["name"]: each["full_seconds"] for each in before.what.queues}
        lines = {line.name: line for line in self._report.report().stages}
        stages = [
            counted_up(lines[each["name"]], _gained(each, old.get(each["name"])), seconds)
            for each in last.stages
            if each["name"] in lines
        ]
        queues = [
            replace(line, full_seconds=line.full_seconds - full.get(line.name, 0.0))
            for line in map(account_line, last.queues)
        ]
        return weigh_stages(stages, queues, seconds=seconds)

    @property
    def _is_in_one_process(self) -> bool:
        return self.transport == "inline"

    def eta(self) -> Eta | None:
        """Say how much of it is done and when the rest will be; None where its total is not known."""
        return self._eta.estimate()

    def report(self) -> Report:
        """Return the report: of a run that goes on, or was killed, as far as it came, with the outcome `internal`."""
        if self._known_report is not None:
            return self._known_report
        report, last = self._report.report(), self._snapshots.last
        if self.finished is not None or last is None:
            return report
        counts = {each["name"]: each for each in last.stages}
        stages = tuple(
            counted_up(line, counts[line.name], self.elapsed) if line.name in counts else line
            for line in report.stages
        )
        queues = tuple(map(account_line, last.queues))
        cores = os.cpu_count() or 1
        bottleneck = find_bottleneck(stages, queues, seconds=self.elapsed, cores=cores)
        return replace(
            report,
            exit_code=0,
            reason=None,
            seconds=round(self.elapsed, 6),
            stages=stages,
            queues=queues,
            bottleneck=None if self._is_in_one_process else bottleneck,
        )


def _gained(new: StageCounts, old: StageCounts | None) -> StageCounts:
    """Return what a stage has counted between two snapshots."""
    if old is None:
        return new
    words = ("received", "sent", "done", "failed", "retried", "busy", "starved", "blocked")
    known: Mapping[str, Any] = old
    gained: Any = {**new, **{word: value - known[word] for word, value in new.items() if word in words}}
    counts: StageCounts = gained
    return counts

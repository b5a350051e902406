"""What the record keeps of a run's events: rows that only grow to a bound, sums, series. Pure: no database, no clock.

[kind, at, run, level, fields] ──► RunFold ──┬─► rows of `event`: what befell workers and jobs, words of handlers
                                             ├─► kinds of failures with samples; beyond 100 a kind counts only
                                             ├─► jobs and their steps
                                             ├─► how long items took, by stage: the last word stands
                                             └─► series, from the snapshots, which are not kept themselves
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any, NamedTuple

from runner.events.base import Event
from runner.events.item_times import NO_TIMES, ItemTimes
from runner.events.run import StageTimed
from runner.facts import dataclass
from runner.record.failures import MOST_SAMPLES, FailureKinds
from runner.record.series import Series

MOST_EVENTS = 5000
"""Of one name; the oldest go first."""
MOST_SERIES = 1000
MOST_WORKER_SERIES = 64
"""Workers whose own numbers are kept over time, those that came first; beyond that a stage tells enough."""
_LONGEST_TEXT = 8 * 1024
"""Characters of one field of an event."""
FAILURES = frozenset(
    {"item.failed", "item.retried", "item.dead_lettered", "item.redelivered", "batch.failed"}
)
"""Of these the first 100 a kind are kept."""
COUNTED = frozenset({"item.failed", "item.dead_lettered", "worker.exited"})
"""What makes a kind of failure; of `worker.exited` where it died."""
_NOT_KEPT = frozenset({"run.progress", "run.workers", "stage.timed", "job.printed"})
_STAGE_SERIES = ("received", "sent", "done", "failed", "busy", "alive")
_QUEUE_SERIES = ("size", "put", "done")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


# A tuple: this is imported beside a run that may be short, and some dataclasses take as long to make as sqlite3.
class EventRow(NamedTuple):
    """One event that is kept."""

    at: float
    name: str
    level: int
    stage: str | None
    worker: str | None
    fields: str


@dataclass(slots=True)
class JobRow:
    """What is known of a job, by the columns of its table."""

    id: str
    state: str = "waiting"
    attempts: int = 0
    began: float | None = None
    ended: float | None = None
    code: int | None = None
    signal: str | None = None
    reason: str = ""
    log: str | None = None
    outputs: Mapping[str, str] | None = None
    """What it hands on; None until it is over, and where a secret is in it."""
    key: Mapping[str, str] | None = None
    """Digests of what it was when it ran."""
    lost: int = 0
    """Of its attempts, those that count for nothing."""


JOB_COLUMNS = tuple(field.name for field in fields(JobRow))


class BusyWorker(NamedTuple):
    """How long a worker had been busy when it was told of last, and whether it has been since."""

    at: float
    busy: float
    goes_on: bool

    def up_to(self, at: float) -> float:
        """Return how long it has been busy at a later moment."""
        return self.busy + (max(at - self.at, 0.0) if self.goes_on else 0.0)


class StepRow(NamedTuple):
    """A step that has ended."""

    job: str
    attempt: int
    n: int
    name: str
    result: str
    code: int | None
    seconds: float


@dataclass(slots=True)
class StageTiming:
    """How long the items of a stage took."""

    before: ItemTimes = NO_TIMES
    """In earlier incarnations."""
    now: ItemTimes = NO_TIMES
    """In this one, as far as it was told."""

    @property
    def total(self) -> ItemTimes:
        """Over all of them."""
        return ItemTimes.total((self.before, self.now))


@dataclass(slots=True)
class RunFold:
    """What is known so far. Whoever writes it down takes `rows`, `steps` and what has changed, and empties them."""

    rows: list[EventRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    jobs: dict[str, JobRow] = field(default_factory=dict)
    changed_jobs: set[str] = field(default_factory=set)
    failures: FailureKinds = field(default_factory=FailureKinds)
    series: dict[str, Series] = field(default_factory=dict)
    timings: dict[str, StageTiming] = field(default_factory=dict)
    changed_timings: set[str] = field(default_factory=set)
    progress: Mapping[str, Any] | None = None
    """The fields of the last snapshot."""
    began: float | None = None
    keeps_rows: bool = True
    """Whether somebody takes `rows` and `steps`; else there are none."""
    left_out: int = 0
    """Events that were not kept since there were too many like them."""
    of_kind: Counter[str] = field(default_factory=Counter)
    """How often each kind of event has come that is kept to a number; `event_key` says which is which."""
    _busy: dict[str, BusyWorker] = field(default_factory=dict)
    _last_failed: dict[str | None, tuple[Any, ...]] = field(default_factory=dict)
    """The last item that failed in each worker, and of what: its dead letter, or the worker's end, is not another."""

    def take(self, name: str, at: float, level: str, fields: dict[str, Any]) -> None:
        """Take note of one event."""
        if self.began is None:
            self.began = at
        if name == "run.progress":
            self._progress(at, fields)
        elif name == "run.workers":
            self._note_workers(at, fields["workers"])
        elif name == "worker.exited" and fields.get("worker") in self._busy:
            self._busy[fields["worker"]] = BusyWorker(
                at, self._busy[fields["worker"]].up_to(at), goes_on=False
            )
        elif name == "stage.timed":
            self.changed_timings.add(fields["stage"])
            timing = self.timings.setdefault(fields["stage"], StageTiming())
            timing.now = StageTimed(**fields).times()
        elif name.startswith(("job.", "step.")):
            self._job(name, at, fields)
        if name in _NOT_KEPT or (name in FAILURES and self._is_one_too_many(name, at, fields)):
            return
        if name == "worker.exited" and fields.get("outcome") == "died":
            self._note_death(at, fields)
        if not self.keeps_rows:
            return
        text = json.dumps({key: _bounded(value) for key, value in fields.items()}, ensure_ascii=False)
        row = EventRow(at, name, _LEVELS.get(level, 20), fields.get("stage"), fields.get("worker"), text)
        self.rows.append(row)

    def _note_death(self, at: float, fields: dict[str, Any]) -> None:
        """Count a death, but that of a worker that has ended with its item: the item is what failed, and is counted."""
        item = ", ".join(fields.get("items", ())) or None
        failed, error = self._last_failed.pop(fields.get("worker"), (None, None))
        # It holds the item no more where this was dropped before its process was gone.
        if error is None or error != fields.get("reason") or item not in (None, failed):
            self.failures.note(at, {"item": item, **fields})

    def _is_one_too_many(self, name: str, at: float, fields: dict[str, Any]) -> bool:
        """Count a failure, and say whether enough like it are kept."""
        kind = ""
        worker, what = fields.get("worker"), (fields.get("item"), fields.get("error"))
        is_its_letter = name == "item.dead_lettered" and what == self._last_failed.get(worker)
        if name in COUNTED and not is_its_letter:
            letter = name == "item.dead_lettered"
            kind = self.failures.note(at, fields, letter=letter).print
        if name == "item.failed":
            self._last_failed[worker] = what
        key = event_key(name, kind or fields.get("stage"))
        self.of_kind[key] += 1
        if self.of_kind[key] <= MOST_SAMPLES:
            return False
        self.left_out += 1
        return True

    def _progress(self, at: float, fields: dict[str, Any]) -> None:
        self.progress = fields
        for stage in fields["stages"]:
            self._add_all(f"stage/{stage['name']}", at, stage, _STAGE_SERIES)
        for queue in fields["queues"]:
            self._add_all(f"queue/{queue['name']}", at, queue, _QUEUE_SERIES)

        for worker, told in self._busy.items():
            self._add(f"worker/{worker}/busy", at, told.up_to(at))

    def _note_workers(self, at: float, workers: Sequence[Mapping[str, Any]]) -> None:
        for each in workers:
            if each["worker"] in self._busy or len(self._busy) < MOST_WORKER_SERIES:
                self._busy[each["worker"]] = BusyWorker(at, each["busy"], each["state"] == "busy")

    def _add_all(self, prefix: str, at: float, counts: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            self._add(f"{prefix}/{name}", at, float(counts.get(name) or 0))

    def _add(self, key: str, at: float, value: float) -> None:
        if key not in self.series:
            if len(self.series) >= MOST_SERIES:
                return
            self.series[key] = Series(self.began or at)
        self.series[key].add(at, value)

    def take_note(self, note: Mapping[str, Any]) -> None:
        """Take note of what is to be known of a job beside its events."""
        job = self.jobs.setdefault(note["id"], JobRow(note["id"]))
        self.changed_jobs.add(job.id)
        job.key, job.outputs = note["key"], note.get("outputs")
        job.lost = note.get("lost", job.lost)

    def _job(self, name: str, at: float, fields: dict[str, Any]) -> None:
        job = self.jobs.setdefault(fields["job"], JobRow(fields["job"]))
        self.changed_jobs.add(job.id)
        job.reason = fields.get("reason") or job.reason
        job.log = fields.get("log") or job.log
        match name:
            case "job.started":
                # What a runner that is gone had begun begins anew; between attempts of this one the time goes on.
                state_before = job.state
                job.state, job.attempts = "running", fields["attempt"]
                job.code = job.signal = job.ended = None
                job.began = at if state_before != "retrying" or job.began is None else job.began
            case "job.retried":
                job.state = "retrying"
            case "job.skipped":
                job.state, job.ended = "skipped", at
            case "job.kept":
                job.state, job.attempts = str(fields["result"]), fields["attempt"]
                job.began, job.ended = fields["ended"] - fields["duration"], fields["ended"]
                job.code, job.signal = fields["exitcode"], None
            case "job.cancelled":
                job.state = job.state if job.state == "running" else "cancelled"
            case "job.finished":
                job.state, job.ended = str(fields["result"]), at
                job.code, job.signal = fields.get("exitcode"), fields.get("signal")
            case "step.finished" if self.keeps_rows:
                self.steps.append(
                    StepRow(
                        job.id,
                        job.attempts,
                        fields["step"],
                        fields["name"],
                        str(fields["result"]),
                        fields.get("exitcode"),
                        fields["duration"],
                    )
                )


class FailureObserver:
    """Keeps the kinds of failures of a run beside it, for its end, as far as they go."""

    def __init__(self) -> None:
        self._fold = RunFold(keeps_rows=False)

    def observe(self, event: Event) -> None:
        """Take note of one event; of what is no failure it costs next to nothing."""
        if event.kind in COUNTED:
            self._fold.take(event.kind, event.at, event.level, vars(event))

    def close(self) -> None:
        """Nothing to flush."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the kinds, as `RunView.kinds` does."""
        return self._fold.failures.rows()


def event_key(name: str, kind: str | None) -> str:
    """Name a kind of event: what happened, and to which kind of failure or at which stage."""
    return f"{name}\0{kind}"


def _bounded(value: object) -> object:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}… ({len(value):,} characters)"
    return value

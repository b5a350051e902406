"""A run of the past as trace events, which Perfetto and Chrome's own viewer show on a line of time. Pure.

    events of the record ──┬──► slices: lives of workers, attempts of jobs and their steps
                           └──► instants: deaths, restarts, failures, what handlers said
    series of the record ─────► counters: items that wait, items a second, workers that are busy

Each stage is a "process" of the viewer and each worker a "thread" of it; the jobs are one process with a thread each.
A run that was killed ends when it was last heard of, and so does whatever was still going on then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, NamedTuple

from runner.facts import dataclass
from runner.record.reader import StoredEvent
from runner.record.series import Series

TraceEvent = dict[str, Any]

_RUN: Final = 1
"""The process of the viewer that stands for the run as a whole, and its thread."""
_FAILURES: Final = frozenset(
    {"item.failed", "item.dead_lettered", "item.retried", "item.redelivered", "batch.failed"}
)
_OF_WORKERS: Final = frozenset({"worker.closing", "worker.terminating", "worker.stacks", "worker.restarted"})
_OF_RUN: Final = frozenset(
    {
        "run.resumed",
        "run.stopping",
        "run.finished",
        "stage.finished",
        "queue.joined",
        "item.dropped",
        "server.listening",
    }
)
_BEFORE_THE_END: Final = 1.0
"""Microseconds before the end of a slice at which an arrow leaves it: at the end itself it is outside."""


class TracedRun(NamedTuple):
    """What is known of a run. Moments in seconds since the epoch."""

    run: str
    workflow: str
    began: float
    ended: float
    """Or when it was last heard of."""
    events: Iterable[StoredEvent]
    series: Mapping[str, Series]


class Track(NamedTuple):
    """A line of the viewer."""

    pid: int
    tid: int

    def place(self) -> dict[str, int]:
        """What an event on it says of where it is."""
        return {"pid": self.pid, "tid": self.tid}


def trace_events(traced: TracedRun) -> list[TraceEvent]:
    """Return what tells the run: names first, then all else in the order of time, in microseconds since it began."""
    tracks = _Tracks(f"{traced.workflow} ({traced.run})")
    fold = _TraceFold(traced.began, tracks)
    for stored in traced.events:
        fold.take(stored)
    fold.end(max(traced.ended, fold.last))
    happened = [*fold.shown, *_counters(traced)]
    happened.sort(key=lambda each: (each["ts"], -each.get("dur", 0.0)))  # what holds others comes before them
    return [*tracks.names(), *happened]


@dataclass(slots=True)
class _Tracks:
    """Gives each stage and each worker a number, in the order in which they come."""

    run: str
    processes: dict[str, int] = field(default_factory=dict)
    threads: dict[tuple[int, str], Track] = field(default_factory=dict)

    def of(self, process: str, thread: str) -> Track:
        pid = self.processes.setdefault(process, _RUN + 1 + len(self.processes))
        known = sum(1 for each, _ in self.threads if each == pid) if (pid, thread) not in self.threads else 0
        return self.threads.setdefault((pid, thread), Track(pid, known + 1))

    def names(self) -> Iterator[TraceEvent]:
        """Name them all, and say in which order they stand."""
        yield from _named("process", Track(_RUN, 0), f"run {self.run}", 0)
        yield from _named("thread", Track(_RUN, _RUN), "run", 0)
        for place, (process, pid) in enumerate(self.processes.items(), 1):
            yield from _named("process", Track(pid, 0), process, place)
        for (_, thread), track in self.threads.items():
            yield from _named("thread", track, thread, track.tid)


def _named(what: str, track: Track, name: str, place: int) -> Iterator[TraceEvent]:
    head = {"ph": "M", "ts": 0.0, "pid": track.pid, "tid": track.tid}
    yield {**head, "name": f"{what}_name", "args": {"name": name}}
    yield {**head, "name": f"{what}_sort_index", "args": {"sort_index": place}}


@dataclass(slots=True)
class _TraceFold:
    """Takes the events of a record in their order."""

    began: float
    tracks: _Tracks
    shown: list[TraceEvent] = field(default_factory=list)
    last: float = 0.0
    """When the last event was."""
    _open: dict[tuple[str, ...], TraceEvent] = field(default_factory=dict)
    """The slices whose end is not known yet, by what they are; what is within another comes after it."""
    _ended_jobs: dict[str, tuple[Track, float]] = field(default_factory=dict)
    _arrows: int = 0

    def take(self, stored: StoredEvent) -> None:
        """Take note of one event. Of one that another version has kept what is missing is passed over."""
        name, at, fields = stored.name, stored.at, stored.fields
        before, self.last = self.last, max(self.last, at)
        kind, _, what = name.partition(".")
        if name == "run.started":
            self.end(before)  # what its predecessor had begun has ended with that
            self._run_started(at, fields)
        elif name in _OF_RUN:
            self._instant(name, "run", Track(_RUN, _RUN), at, fields)
        elif kind == "worker":
            self._worker(what, at, fields)
        elif name in _FAILURES:
            self._instant(name, "failure", self._of_worker(fields), at, fields)
        elif kind == "job":
            self._job(what, at, fields)
        elif kind in ("step", "service"):
            self._within_job(name, at, fields)

    def end(self, at: float) -> None:
        """The run is over, or nothing more is known of it."""
        for key in reversed(list(self._open)):
            self._close(key, at, {"cut short": True})

    def _run_started(self, at: float, fields: Mapping[str, Any]) -> None:
        for stage in fields.get("stages", ()):  # in the order in which data flows
            self.tracks.processes.setdefault(f"stage {stage['name']}", _RUN + 1 + len(self.tracks.processes))
        self._begin(("run",), "run", "run", Track(_RUN, _RUN), at, {"pid": fields.get("pid")})

    # Workers.

    def _of_worker(self, fields: Mapping[str, Any]) -> Track:
        return self.tracks.of(f"stage {fields.get('stage')}", str(fields.get("worker")))

    def _worker(self, what: str, at: float, fields: Mapping[str, Any]) -> None:
        worker, track = str(fields.get("worker")), self._of_worker(fields)
        life, birth = ("worker", worker), ("worker", worker, "birth")
        match what:
            case "spawned":
                generation = fields.get("generation", 1)
                name = worker if generation == 1 else f"{worker} ({generation})"
                args = {"pid": fields.get("pid"), "generation": generation}
                self._begin(life, name, "worker", track, at, args)
                self._begin(birth, "starting", "worker", track, at, {})
            case "ready":
                self._close(birth, at, {})
            case "exited":
                self._close(birth, at, {})
                if life not in self._open:  # its birth is too long ago to be kept
                    self._begin(life, worker, "worker", track, self.began, {})
                self._close(life, at, _known(fields, without=("worker", "stage", "traceback")))
                if fields.get("outcome") == "died":
                    how = fields.get("signal") or f"exit code {fields.get('exitcode')}"
                    self._instant(f"died: {how}", "death", track, at, fields)
            case "logged":
                self._instant(str(fields.get("message")), "log", track, at, fields)
            case _ if f"worker.{what}" in _OF_WORKERS:
                self._instant(what, "worker", track, at, fields)

    # Jobs.

    def _of_job(self, fields: Mapping[str, Any]) -> Track:
        return self.tracks.of("jobs", str(fields.get("job")))

    def _job(self, what: str, at: float, fields: Mapping[str, Any]) -> None:
        job, track = str(fields.get("job")), self._of_job(fields)
        match what:
            case "started":
                self._end_job(job, at, {})
                attempt = fields.get("attempt", 1)
                name = job if attempt == 1 else f"{job} ({attempt})"
                self._begin(("job", job), name, "job", track, at, _known(fields, without=("job",)))
                self._arrows_from(fields.get("needs") or (), track, at)
            case "retried" | "finished":
                self._end_job(job, at, _known(fields, without=("job", "log", "command")))
                self._ended_jobs[job] = track, at
                if fields.get("result") in ("failed", "timed_out"):
                    self._instant(f"{fields['result']}", "failure", track, at, fields)
            case "skipped" | "kept" | "cancelled" | "silent":
                self._instant(what, "job", track, at, fields)

    def _end_job(self, job: str, at: float, args: Mapping[str, Any]) -> None:
        for key in [key for key in self._open if key[:2] == ("step", job)]:
            self._close(key, at, {})
        self._close(("job", job), at, args)

    def _within_job(self, name: str, at: float, fields: Mapping[str, Any]) -> None:
        job, track = str(fields.get("job")), self._of_job(fields)
        key = ("step", job, str(fields.get("step")))
        match name:
            case "step.started":
                self._begin(key, str(fields.get("name")), "step", track, at, {})
            case "step.finished":
                self._close(key, at, _known(fields, without=("job", "name")))
            case "service.ready" | "service.exited":
                self._instant(
                    f"{fields.get('service')}: {name.partition('.')[2]}", "service", track, at, fields
                )

    def _arrows_from(self, needs: Sequence[str], track: Track, at: float) -> None:
        """Lead from the end of each job that was waited for to the beginning of this one."""
        for need in needs:
            if need in self._ended_jobs:
                source, ended = self._ended_jobs[need]
                self._arrows += 1
                common = {"name": "needs", "cat": "needs", "id": self._arrows}
                leaves = max(self._since(ended) - _BEFORE_THE_END, 0.0)
                self.shown.append({**common, "ph": "s", "ts": leaves, **source.place()})
                self.shown.append({**common, "ph": "f", "bp": "e", "ts": self._since(at), **track.place()})

    # What is written.

    def _begin(
        self, key: tuple[str, ...], name: str, category: str, track: Track, at: float, args: Mapping[str, Any]
    ) -> None:
        """Begin a slice; of two that are alike in time the one that was begun first holds the other."""
        self._close(key, at, {})
        begun = {"name": name, "cat": category, "ph": "X", "ts": self._since(at), "dur": 0.0}
        self._open[key] = {**begun, **track.place(), "args": dict(args)}
        self.shown.append(self._open[key])

    def _close(self, key: tuple[str, ...], at: float, args: Mapping[str, Any]) -> None:
        begun = self._open.pop(key, None)
        if begun is not None:
            begun["dur"] = max(round(self._since(at) - begun["ts"], 3), 0.0)
            begun["args"] |= args

    def _instant(self, name: str, category: str, track: Track, at: float, fields: Mapping[str, Any]) -> None:
        self.shown.append(
            {
                "name": name,
                "cat": category,
                "ph": "i",
                "s": "t",
                "ts": self._since(at),
                **track.place(),
                "args": _known(fields),
            }
        )

    def _since(self, at: float) -> float:
        return round(max(at - self.began, 0.0) * 1e6, 3)


def _known(fields: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    return {
        key: value for key, value in fields.items() if value not in (None, "", [], ()) and key not in without
    }


def _counters(traced: TracedRun) -> Iterator[TraceEvent]:
    """Draw the series: a number where it changes, and the one before it where it had stood for a while."""
    for name, series in traced.series.items():
        of, _, rest = name.partition("/")
        what, _, number = rest.rpartition("/")
        match of, number:
            case "queue", "size":
                yield from _counter(f"queue {what}", "items", traced.began, series.points())
            case "stage", "busy":
                yield from _counter(f"{what}: busy workers", "workers", traced.began, _rates(series))
            case "stage", "alive":
                yield from _counter(f"{what}: workers", "workers", traced.began, series.points())
            case "stage", ("done" | "sent") if _is_passing(traced.series, what, number):
                yield from _counter(f"{what}: items/s", "items/s", traced.began, _rates(series))


def _is_passing(series: Mapping[str, Series], stage: str, number: str) -> bool:
    """A stage passes on what it has done; one that takes no items, what it has sent."""
    done = series.get(f"stage/{stage}/done")
    return (number == "done") == (done is not None and any(done.values))


def _rates(series: Series) -> Iterator[tuple[float, float]]:
    before = 0.0
    for at, value in series.points():
        yield at, max(value - before, 0.0) / series.step
        before = value


def _counter(
    name: str, unit: str, began: float, points: Iterable[tuple[float, float]]
) -> Iterator[TraceEvent]:
    """A point of a series is of the end of its step, so it is drawn from there on."""
    shown: float | None = None
    for at, value in points:
        rounded = round(value, 3)
        if rounded != shown:
            ts = round(max(at - began, 0.0) * 1e6, 3)
            yield {"name": name, "ph": "C", "ts": ts, "pid": _RUN, "tid": 0, "args": {unit: rounded}}
        shown = rounded


def trace_text(traced: TracedRun) -> Iterator[str]:
    """Yield the lines of a file of trace events: one JSON document."""
    about = {"run": traced.run, "workflow": traced.workflow, "began": traced.began}
    yield f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(about)}, "traceEvents": [\n'
    events = trace_events(traced)
    for place, event in enumerate(events, 1):
        yield json.dumps(event) + (",\n" if place < len(events) else "\n")
    yield "]}\n"

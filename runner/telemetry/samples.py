"""The numbers of runs, as the contract declares them: the last known state in, samples out. Pure.

RunState ──► measure ──► Sample(declaration, labels, value) ──► totals of several runs ──► prometheus.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from runner import __version__
from runner.events.item_times import BUCKETS, ItemTimes, begin_of
from runner.events.report import Report
from runner.events.report_fields import QueueLine, StageLine
from runner.telemetry.contract import (
    ACTION_OF,
    BY_NAME,
    JOB_STATES,
    PHASES,
    RUNNING,
    STOPPING,
    TIME_BOUNDS,
    WAITING,
    WORKER_STATES,
    Action,
    MetricDeclaration,
    MetricType,
)
from runner.watch.event_counts import StageEvents
from runner.watch.jobs import WatchedJob
from runner.watch.stages import WatchedQueue, WatchedStage
from runner.watch.state import RunPhase, RunState


class Buckets(NamedTuple):
    """The value of a histogram."""

    counts: tuple[int, ...]
    """Items by bucket, not added up: one for each of `TIME_BOUNDS`, and one for what took longer."""
    total: float
    """Seconds of all of them."""


class Sample(NamedTuple):
    """One number of one metric; `labels` are the values of `MetricDeclaration.all_labels`, in order."""

    declaration: MetricDeclaration
    labels: tuple[str, ...]
    value: float | Buckets


def measure(state: RunState) -> Iterator[Sample]:
    """Yield all that a run tells of itself; nothing of one that has not begun."""
    if state.started is None:
        return
    workflow, report = state.workflow, state.report()
    lines = {line.name: line for line in report.stages}
    for name, labels, value in (
        *_of_run(state),
        *(each for stage in state.stages() for each in _of_stage(state, stage, lines[stage.name])),
        *(each for queue in state.queues() for each in _of_queue(queue, report)),
        *_of_jobs(state, report),
    ):
        yield Sample(BY_NAME[name], (workflow, *labels), value)


Named = tuple[str, tuple[str, ...], float | Buckets]
"""A metric's name, the values of its own labels, and the number."""


def _of_run(state: RunState) -> Iterator[Named]:
    yield "mprun_run_info", (state.run, state.file, __version__, state.transport), 1.0
    yield "mprun_run_start_time_seconds", (), state.began
    now = phase_of(state)
    for phase in PHASES:
        yield "mprun_run_phase", (phase,), float(phase == now)
    if state.cut_at is not None and not state.phase.is_over:
        yield "mprun_record_cut_age_seconds", (), max(state.told - state.cut_at, 0.0)
    yield "mprun_record_incomplete", (), float(state.record_trouble is not None)
    yield "mprun_events_dropped_total", (), float(state.missed)


def phase_of(state: RunState) -> str:
    """Return which of `PHASES` a run is in."""
    if state.outcome is not None:
        return state.outcome.value
    return STOPPING if state.phase is RunPhase.STOPPING else RUNNING


def _of_stage(state: RunState, stage: WatchedStage, line: StageLine) -> Iterator[Named]:
    name = (stage.name,)
    alive = 0 if state.phase.is_over else stage.alive
    yield "mprun_stage_workers", name, float(stage.workers)
    yield "mprun_stage_workers_alive", name, float(alive)
    yield "mprun_stage_items_received_total", name, float(line.received)
    yield "mprun_stage_items_sent_total", name, float(line.sent)
    yield "mprun_stage_items_done_total", name, float(line.done)
    events = state.events_of(stage.name)
    for action, attempts in attempts_failed(events, line.failed).items():
        yield "mprun_stage_attempts_failed_total", (*name, action.value), float(attempts)
    yield "mprun_stage_items_redelivered_total", name, float(events.redelivered)
    for reason, restarts in events.restarts.items():
        yield "mprun_stage_restarts_total", (*name, reason.value), float(restarts)
    spent = (line.busy_seconds, line.starved_seconds, line.blocked_seconds)
    for word, seconds in zip(WORKER_STATES, spent, strict=True):
        yield "mprun_stage_worker_seconds_total", (*name, word), seconds
    if stage.times.counts:
        yield "mprun_item_duration_seconds", name, bucketed(stage.times)


def attempts_failed(events: StageEvents, failed: int) -> dict[Action, int]:
    """Return attempts by what became of them, of which so many failed for good.

    Workers have counted how many, and events say what became of each: where some of these were missed, or are still on
    their way, the rest is taken to have gone where most have.
    """
    found = dict.fromkeys(Action, 0)
    found |= {ACTION_OF[on_error]: count for on_error, count in events.failed.items()}
    found[Action.DEAD_LETTERED] = max(found[Action.DEAD_LETTERED], events.dead_lettered)
    usual = max(list(Action)[1:], key=lambda action: found[action])
    found[usual] += max(failed - sum(found.values()), 0)
    return {**found, Action.RETRIED: events.retried}


def bucketed(times: ItemTimes) -> Buckets:
    """Put the times of items into the buckets of the contract: each by the middle of what is known of it."""
    counts, total = Counter[int](), 0.0
    for bucket, items in times.counts.items():
        counts[_PLACES[bucket]] += items
        total += items * _MIDDLES[bucket]
    return Buckets(tuple(counts[place] for place in range(len(TIME_BOUNDS) + 1)), total)


_MIDDLES: Final = tuple((begin_of(bucket) + begin_of(bucket + 1)) / 2 for bucket in range(BUCKETS))
_PLACES: Final = tuple(sum(bound < middle for bound in TIME_BOUNDS) for middle in _MIDDLES)


def _of_queue(queue: WatchedQueue, report: Report) -> Iterator[Named]:
    name = (queue.name,)
    line = next((each for each in report.queues if each.name == queue.name), QueueLine(queue.name))
    account = queue.account
    yield "mprun_queue_items", name, float(line.waiting)
    if queue.maxsize is not None:
        yield "mprun_queue_capacity_items", name, float(queue.maxsize)
    if queue.max_bytes is not None and account is not None:
        yield "mprun_queue_bytes", name, float(account["bytes"])
        yield "mprun_queue_capacity_bytes", name, float(queue.max_bytes)
    yield "mprun_queue_put_total", name, float(line.put)
    yield "mprun_queue_done_total", name, float(line.done)
    yield "mprun_queue_dropped_total", name, float(line.dropped)
    yield "mprun_queue_dead_lettered_total", name, float(line.dead_lettered)
    yield "mprun_queue_full_seconds_total", name, line.full_seconds


def _of_jobs(state: RunState, report: Report) -> Iterator[Named]:
    if report.jobs is None:
        return
    states = Counter(job.state.value for job in report.jobs.jobs) + Counter({WAITING: report.jobs.unreached})
    for word in JOB_STATES:
        yield "mprun_jobs", (word,), float(states[word])
    for job in state.jobs():
        if job.is_over and _has_run(job):
            yield "mprun_job_duration_seconds", (job.name,), job.line.seconds


def _has_run(job: WatchedJob) -> bool:
    return job.attempts > 0 and job.line.kept_from is None


def totals(
    states: Iterable[RunState],
) -> Mapping[MetricDeclaration, Mapping[tuple[str, ...], float | Buckets]]:
    """Return all metrics of several runs, by labels; the numbers of those that run the same workflow are added up.

    What has ended counts too, so that counters don't fall: but for its gauges, where a run of the same workflow lives.
    """
    known = list(states)
    alive = {state.workflow for state in known if not state.phase.is_over}
    found: dict[MetricDeclaration, dict[tuple[str, ...], Any]] = {each: {} for each in BY_NAME.values()}
    for state in known:
        is_past = state.phase.is_over and state.workflow in alive
        for declaration, labels, value in measure(state):
            if is_past and declaration.type in (MetricType.GAUGE, MetricType.INFO):
                continue
            of_metric = found[declaration]
            before = of_metric.get(labels)
            of_metric[labels] = value if before is None else _added(declaration, before, value)
    return {declaration: of_metric for declaration, of_metric in found.items() if of_metric}


_NOT_ADDED: Final[Mapping[str, Callable[[float, float], float]]] = {
    "mprun_run_start_time_seconds": min,
    "mprun_record_cut_age_seconds": max,
}
"""Of several runs of a workflow: the first that began, and the one that would lose most."""


def _added(declaration: MetricDeclaration, before: Any, value: Any) -> Any:
    if isinstance(before, Buckets):
        counts = tuple(a + b for a, b in zip(before.counts, value.counts, strict=True))
        return Buckets(counts, before.total + value.total)
    if declaration.name in _NOT_ADDED:
        return _NOT_ADDED[declaration.name](before, value)
    return before + value

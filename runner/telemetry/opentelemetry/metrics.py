"""The metrics of a run as OpenTelemetry has them: the last known state in, one batch of data out.

They are not recorded one by one: what workers have counted is there, and is said once each interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from runner.events.job_report import FAILURES, JobReport, JobState
from runner.telemetry.contract import TIME_BOUNDS
from runner.telemetry.samples import Buckets, bucketed
from runner.telemetry.semantic_conventions import (
    CONSUMED,
    EXECUTING,
    FINALIZING,
    PIPELINE_ACTIVE,
    PIPELINE_DURATION,
    PIPELINE_ERRORS,
    PROCESS_DURATION,
    RESULT_OF_RUN,
    SCHEMA_URL,
    SENT,
    SYSTEM,
    WORKER_COUNT,
    Attribute,
    Instrument,
)
from runner.watch.state import RunState

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_NANOS = 1_000_000_000
Point = tuple[Mapping[Attribute, str], float | Buckets]
"""Attributes, and the number that they have."""


def metrics_data(state: RunState, resource: Resource, scope: InstrumentationScope, now: float) -> MetricsData:
    """Return what a run tells at a moment, in seconds since the epoch."""
    began = int(state.began * _NANOS)
    metrics = [
        _metric(instrument, points, began, int(now * _NANOS))
        for instrument, points in measured(state).items()
        if points
    ]
    of_scope = ScopeMetrics(scope, metrics, SCHEMA_URL)
    return MetricsData([ResourceMetrics(resource, [of_scope], SCHEMA_URL)])


def measured(state: RunState) -> Mapping[Instrument, Sequence[Point]]:
    """Return the numbers of a run: of one of stages as of messaging, of one of jobs as of a pipeline."""
    if state.started is None:
        return {}
    report = state.report()
    if report.jobs is not None:
        return _of_jobs(state, report.jobs)
    received = {line.name: line.received for line in report.stages}
    stages = [stage for stage in state.stages() if stage.source is not None]
    return {
        CONSUMED: [
            (_attributes("receive", stage.source, stage.name), received[stage.name]) for stage in stages
        ],
        SENT: [(_attributes("send", queue.name), queue.put) for queue in report.queues],
        PROCESS_DURATION: [
            (_attributes("process", stage.source, stage.name), bucketed(stage.times))
            for stage in stages
            if stage.times.counts
        ],
    }


def _attributes(operation: str, queue: str | None, stage: str | None = None) -> Mapping[Attribute, str]:
    found = {Attribute.SYSTEM: SYSTEM, Attribute.OPERATION: operation, Attribute.DESTINATION: queue or ""}
    return found if stage is None else {**found, Attribute.CONSUMER_GROUP: stage}


def _of_jobs(state: RunState, jobs: JobReport) -> Mapping[Instrument, Sequence[Point]]:
    pipeline = {Attribute.PIPELINE: state.workflow}
    is_over = state.outcome is not None
    failed = Counter(line.state for line in jobs.jobs if line.state in FAILURES)
    alive = 0 if state.phase.is_over else sum(stage.alive for stage in state.stages())
    busy = min(len(jobs.of(JobState.RUNNING)), alive)
    found: dict[Instrument, Sequence[Point]] = {
        PIPELINE_ACTIVE: [({**pipeline, Attribute.PIPELINE_STATE: EXECUTING}, 0 if is_over else 1)],
        PIPELINE_ERRORS: [({**pipeline, Attribute.ERROR_TYPE: kind.value}, n) for kind, n in failed.items()],
        WORKER_COUNT: [
            ({Attribute.WORKER_STATE: "busy"}, busy),
            ({Attribute.WORKER_STATE: "available"}, alive - busy),
        ],
    }
    if state.outcome is not None:
        result = RESULT_OF_RUN[state.outcome]
        ended = {**pipeline, Attribute.PIPELINE_STATE: FINALIZING, Attribute.PIPELINE_RESULT: result}
        found[PIPELINE_DURATION] = [(ended, _one_time(state.elapsed))]
    return found


def _one_time(seconds: float) -> Buckets:
    place = sum(bound < seconds for bound in TIME_BOUNDS)
    return Buckets(tuple(int(each == place) for each in range(len(TIME_BOUNDS) + 1)), seconds)


def _metric(instrument: Instrument, points: Sequence[Point], began: int, now: int) -> Metric:
    data: Sum | Histogram
    if instrument.kind == "histogram":
        data = Histogram(list(_histogram(points, began, now)), _CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(_plain(attributes), began, now, value) for attributes, value in _numbers(points)
        ]
        data = Sum(numbers, _CUMULATIVE, is_monotonic=instrument.kind == "counter")
    return Metric(instrument.name, instrument.help, instrument.unit, data)


def _numbers(points: Sequence[Point]) -> Iterator[tuple[Mapping[Attribute, str], float]]:
    for attributes, value in points:
        assert not isinstance(value, Buckets)
        yield attributes, value


def _histogram(points: Sequence[Point], began: int, now: int) -> Iterator[HistogramDataPoint]:
    unknown: Any = None  # nothing is said of the least and the most: in OTLP they may be left out
    for attributes, value in points:
        assert isinstance(value, Buckets)
        yield HistogramDataPoint(
            attributes=_plain(attributes),
            start_time_unix_nano=began,
            time_unix_nano=now,
            count=sum(value.counts),
            sum=value.total,
            bucket_counts=list(value.counts),
            explicit_bounds=list(TIME_BOUNDS),
            min=unknown,
            max=unknown,
        )


def _plain(attributes: Mapping[Attribute, str]) -> dict[str, str]:
    return {key.value: value for key, value in attributes.items()}

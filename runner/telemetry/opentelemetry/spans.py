"""The spans of a run, made of its events: of the run, its workers, the attempts of its jobs and their steps.

    run ──┬──► worker ──► items that failed on it: of each attempt one, linked to the attempt before
          └──► job ──► step

Times are those of the events, so that it does not matter when these arrive. Of failures so many a second get a span of
their own; the rest is a number at the span of their worker.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from runner.events.base import Event
from runner.events.job_report import FAILURES, JobState
from runner.events.jobs import JobFinished, JobRetried, JobStarted, StepFinished, StepStarted
from runner.events.run import (
    ItemDeadLettered,
    ItemFailed,
    ItemRetried,
    RunFinished,
    RunStarted,
    RunStopping,
    WorkerExited,
    WorkerOutcome,
    WorkerReady,
    WorkerRestarted,
    WorkerSpawned,
    WorkerTerminating,
)
from runner.events.trace_context import TraceContext
from runner.telemetry.semantic_conventions import (
    RESULT_OF_JOB,
    RESULT_OF_RUN,
    SCHEMA_URL,
    SYSTEM,
    Attribute,
)

MOST_ITEMS: Final = 20
"""Spans of failed items that begin within one second."""
_REMEMBERED: Final = 1000
"""Items whose last attempt is known, so that the next one can be linked to it."""

Attributes = Mapping[Attribute, Any]


class PlannedIds(RandomIdGenerator):
    """Gives spans the ids that were promised for them; others get any."""

    def __init__(self, context: TraceContext) -> None:
        self._trace = int(context.trace, 16)
        self.next: str | None = None
        """The id of the span that begins next; None for one that nobody knows yet."""

    def generate_trace_id(self) -> int:
        """Return that of the run: there is no other trace."""
        return self._trace

    def generate_span_id(self) -> int:
        """Return the id of a span that begins."""
        planned, self.next = self.next, None
        return int(planned, 16) if planned is not None else int(super().generate_span_id())


class RunSpans:
    """Begins and ends spans as events tell."""

    def __init__(
        self, provider: TracerProvider, ids: PlannedIds, context: TraceContext, version: str
    ) -> None:
        """`ids` is what `provider` asks for ids."""
        self._tracer = provider.get_tracer(SYSTEM, version, schema_url=SCHEMA_URL)
        self._ids, self._context = ids, context
        self._open: dict[tuple[str, ...], Span] = {}
        """What goes on, by what it is; what is within another comes after it."""
        self._attempts: OrderedDict[tuple[str, str], tuple[SpanContext, str]] = OrderedDict()
        """The last attempt of items that failed, and what became of it, by stage and item."""
        self._of_jobs = False
        self._left_out: dict[tuple[str, ...], int] = {}
        self._second, self._in_second = 0, 0

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case RunStarted():
                self._run_started(event)
            case RunStopping(reason=reason):
                self._note(("run",), "stopping", event.at, {"reason": reason})
            case RunFinished():
                self._run_finished(event)
            case WorkerSpawned() | WorkerReady() | WorkerTerminating() | WorkerRestarted() | WorkerExited():
                self._worker(event)
            case ItemFailed() | ItemRetried() | ItemDeadLettered():
                self._item(event)
            case JobStarted() | JobRetried() | JobFinished():
                self._job(event)
            case StepStarted() | StepFinished():
                self._step(event)

    def end(self, at: float, why: str) -> None:
        """End whatever still goes on: nobody will tell of its end any more."""
        for key in reversed(list(self._open)):
            self._end(key, at, {}, why)

    # The run.

    def _run_started(self, event: RunStarted) -> None:
        self._of_jobs = event.jobs is not None
        of_jobs = {Attribute.PIPELINE: event.workflow, Attribute.PIPELINE_RUN: event.run}
        attributes = {Attribute.RUN: event.run, Attribute.WORKFLOW: event.workflow}
        self._begin(
            ("run",),
            f"run {event.workflow}",
            event.at,
            {**attributes, **(of_jobs if self._of_jobs else {})},
            context=self._of_caller(),
            span=self._context.span,
        )

    def _of_caller(self) -> Context:
        if self._context.parent is None:
            return Context()
        caller = SpanContext(
            trace_id=int(self._context.trace, 16),
            span_id=int(self._context.parent, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(self._context.flags, 16)),
            trace_state=TraceState.from_header([self._context.state] if self._context.state else []),
        )
        return trace.set_span_in_context(NonRecordingSpan(caller), Context())

    def _run_finished(self, event: RunFinished) -> None:
        attributes = {Attribute.OUTCOME: event.outcome.value, Attribute.EXIT_CODE: event.exitcode}
        if self._of_jobs:
            attributes[Attribute.PIPELINE_RESULT] = RESULT_OF_RUN[event.outcome]
        self._end(("run",), event.at, attributes, event.reason if event.exitcode else None)

    # Workers, and items that fail on them.

    def _worker(
        self, event: WorkerSpawned | WorkerReady | WorkerTerminating | WorkerRestarted | WorkerExited
    ) -> None:
        key = ("worker", event.worker)
        match event:
            case WorkerSpawned():
                attributes: Attributes = {
                    Attribute.STAGE: event.stage,
                    Attribute.WORKER: event.worker,
                    Attribute.GENERATION: event.generation,
                    Attribute.PID: event.pid,
                }
                self._begin(key, f"worker {event.worker}", event.at, attributes)
            case WorkerExited():
                left_out = self._left_out.pop(key, 0)
                more = {Attribute.LEFT_OUT: left_out} if left_out else {}
                code = {} if event.exitcode is None else {Attribute.EXIT_CODE: event.exitcode}
                died = event.outcome is WorkerOutcome.DIED
                self._end(key, event.at, {**more, **code}, event.reason if died else None)
            case WorkerRestarted():
                self._note(
                    ("run",), "worker restarted", event.at, {"worker": event.worker, "reason": event.reason}
                )
            case WorkerTerminating():
                self._note(key, "terminating", event.at, {"signal": event.signal, "reason": event.reason})
            case WorkerReady():
                self._note(key, "ready", event.at, {})

    def _item(self, event: ItemFailed | ItemRetried | ItemDeadLettered) -> None:
        key, action = ("worker", event.worker), _what_becomes_of(event)
        before, became = self._attempts.get((event.stage, event.item), (None, ""))
        if isinstance(event, ItemDeadLettered) and became == action:
            return  # the attempt of which this is the letter
        if self._is_one_too_many(event.at):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        kind, _, message = event.error.partition(": ")
        attributes: dict[Attribute, Any] = {
            Attribute.SYSTEM: SYSTEM,
            Attribute.OPERATION: "process",
            Attribute.OPERATION_TYPE: "process",
            Attribute.CONSUMER_GROUP: event.stage,
            Attribute.ITEM: event.item,
            Attribute.ERROR_TYPE: kind,
            Attribute.ACTION: action,
        }
        if event.queue is not None:
            attributes[Attribute.DESTINATION] = event.queue
        span = self._started(
            f"process {event.queue or event.stage}",
            event.at,
            attributes,
            self._within(key),
            kind=SpanKind.CONSUMER if event.queue is not None else SpanKind.INTERNAL,
            links=[Link(before)] if before is not None else [],
        )
        told = {Attribute.EXCEPTION_TYPE: kind, Attribute.EXCEPTION_MESSAGE: message}
        if traceback := getattr(event, "traceback", ""):
            told[Attribute.EXCEPTION_STACKTRACE] = traceback
        span.add_event("exception", _plain(told), timestamp=_nanos(event.at))
        span.set_status(Status(StatusCode.ERROR, event.error))
        span.end(_nanos(event.at))
        self._attempts[event.stage, event.item] = span.get_span_context(), action
        self._attempts.move_to_end((event.stage, event.item))
        while len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)

    def _is_one_too_many(self, at: float) -> bool:
        if int(at) != self._second:
            self._second, self._in_second = int(at), 0
        self._in_second += 1
        return self._in_second > MOST_ITEMS

    # Jobs.

    def _job(self, event: JobStarted | JobRetried | JobFinished) -> None:
        key = ("job", event.job)
        match event:
            case JobStarted():
                span = self._context.of_job(event.job, event.attempt)
                attributes = {
                    Attribute.TASK: event.job,
                    Attribute.TASK_RUN: span,
                    Attribute.ATTEMPT: event.attempt,
                }
                self._begin(key, event.job, event.at, attributes, span=span)
            case JobRetried():
                self._end_job(key, event.at, JobState.FAILED, event.reason)
            case JobFinished():
                self._end_job(key, event.at, event.result.value, event.reason)

    def _end_job(self, key: tuple[str, ...], at: float, result: str, reason: str) -> None:
        for step in [each for each in self._open if each[:2] == ("step", key[1])]:
            self._end(step, at, {}, None)
        is_bad = result in FAILURES or result == JobState.CANCELLED
        self._end(key, at, {Attribute.TASK_RESULT: RESULT_OF_JOB[result]}, reason if is_bad else None)

    def _step(self, event: StepStarted | StepFinished) -> None:
        key = ("step", event.job, str(event.step))
        if isinstance(event, StepStarted):
            attributes = {Attribute.TASK: event.name}
            self._begin(key, event.name, event.at, attributes, context=self._within(("job", event.job)))
            return
        code = {} if event.exitcode is None else {Attribute.EXIT_CODE: event.exitcode}
        result = {Attribute.TASK_RESULT: RESULT_OF_JOB[event.result.value]}
        is_bad = event.result.value in FAILURES
        self._end(key, event.at, {**code, **result}, (event.reason or "it failed") if is_bad else None)

    # Spans.

    def _within(self, key: tuple[str, ...]) -> Context:
        """Where what is within another begins; below the run, where that other is not known."""
        parent = self._open.get(key) or self._open.get(("run",))
        return Context() if parent is None else trace.set_span_in_context(parent, Context())

    def _begin(
        self,
        key: tuple[str, ...],
        name: str,
        at: float,
        attributes: Attributes,
        *,
        context: Context | None = None,
        span: str | None = None,
    ) -> None:
        self._end(key, at, {}, None)
        where = self._within(("run",)) if context is None else context
        self._open[key] = self._started(name, at, attributes, where, planned=span)

    def _started(
        self,
        name: str,
        at: float,
        attributes: Attributes,
        where: Context,
        *,
        planned: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: list[Link] | None = None,
    ) -> Span:
        self._ids.next = planned
        span: Span = self._tracer.start_span(
            name, where, kind, _plain(attributes), links=links or [], start_time=_nanos(at)
        )
        return span

    def _end(self, key: tuple[str, ...], at: float, attributes: Attributes, trouble: str | None) -> None:
        span = self._open.pop(key, None)
        if span is None:
            return
        span.set_attributes(_plain(attributes))
        if trouble is not None:
            span.set_status(Status(StatusCode.ERROR, trouble))
        span.end(_nanos(at))

    def _note(self, key: tuple[str, ...], what: str, at: float, attributes: Mapping[str, str]) -> None:
        if key in self._open:
            self._open[key].add_event(what, attributes, timestamp=_nanos(at))


def _what_becomes_of(event: ItemFailed | ItemRetried | ItemDeadLettered) -> str:
    match event:
        case ItemFailed(action=action):
            return action.value
        case ItemRetried():
            return "retry"
        case _:
            return "dead_letter"


def _plain(attributes: Attributes) -> dict[str, Any]:
    return {key.value: value for key, value in attributes.items()}


def _nanos(at: float) -> int:
    return int(at * 1_000_000_000)

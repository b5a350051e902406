"""Sends what a run tells to a collector of OpenTelemetry, by OTLP over HTTP. Lives in the observer process.

    events ──┬──► RunSpans ──► in batches
             └──► RunState ──► metrics_data, each interval and at the end

Where to, how often and how much is said by the usual variables of the environment, `OTEL_*`. A collector that can't be
reached costs the run nothing: whatever can't be sent is left out, and that is said once, at the end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from runner import __version__
from runner.events.base import Event
from runner.events.run import RunStarted
from runner.events.trace_context import TraceContext
from runner.telemetry.destination import TelemetryLost
from runner.telemetry.opentelemetry.metrics import metrics_data
from runner.telemetry.opentelemetry.spans import PlannedIds, RunSpans
from runner.telemetry.semantic_conventions import SCHEMA_URL, SYSTEM, Attribute
from runner.watch.state import RunState

_FLUSH_TIMEOUT: Final = 2_500
"""Milliseconds after the end of a run in which the rest is sent, unless the environment gives it more."""
_INTERVAL: Final = 60_000
"""Milliseconds between two batches of metrics."""
_SHORTEST: Final = 100
_NONE: Final = "none"


class OpenTelemetryObserver:
    """Follows a run, and sends."""

    def __init__(self, context: TraceContext, environ: Mapping[str, str] = os.environ) -> None:
        self._context, self._environ = context, environ
        self._state, self._lock = RunState(), threading.Lock()
        self._troubles = _Troubles()
        self._spans: RunSpans | None = None
        self._provider: TracerProvider | None = None
        self._metrics: _MetricsSender | None = None

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        with self._lock:
            self._state.observe(event)
        if isinstance(event, RunStarted) and self._spans is None:
            self._begin(event)
        if self._spans is not None:
            self._spans.observe(event)

    def close(self) -> None:
        """Send the rest, as far as it goes within the time for that.

        Raises:
            TelemetryLost: not all of it went.
        """
        if self._spans is not None:
            self._spans.end(self._state.told, "the runner was killed")
        flushing = threading.Thread(target=self._flush, daemon=True)
        flushing.start()
        flushing.join(_seconds(self._environ, "OTEL_BSP_EXPORT_TIMEOUT", _FLUSH_TIMEOUT))
        if flushing.is_alive():
            self._troubles.note("it takes too long")
        if self._troubles.first is not None:
            raise TelemetryLost(f"OpenTelemetry did not get all of the run: {self._troubles.first}")

    def _begin(self, event: RunStarted) -> None:
        resource = _resource(event)
        if self._environ.get("OTEL_TRACES_EXPORTER") != _NONE:
            ids = PlannedIds(self._context)
            self._provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self._spans = RunSpans(self._provider, ids, self._context, __version__)
        if self._environ.get("OTEL_METRICS_EXPORTER") != _NONE:
            self._metrics = _MetricsSender(
                self, resource, _seconds(self._environ, "OTEL_METRIC_EXPORT_INTERVAL", _INTERVAL)
            )

    def _flush(self) -> None:
        both = [each.shutdown for each in (self._provider, self._metrics) if each is not None]
        sending = [threading.Thread(target=self.try_to, args=(each,), daemon=True) for each in both]
        for each in sending:
            each.start()
        for each in sending:
            each.join()

    def try_to(self, send: Callable[[], object]) -> None:
        """Send something; what the library does not catch itself is a complaint like others."""
        try:
            send()
        except Exception as error:
            self._troubles.note(f"{type(error).__name__}: {error}")

    def metrics(self, resource: Resource, scope: InstrumentationScope) -> Any:
        """Return what is to be sent of metrics now; None as long as there is nothing."""
        with self._lock:
            if self._state.started is None:
                return None
            now = self._state.ended or time.time()
            return metrics_data(self._state, resource, scope, now)


class _MetricsSender:
    """Sends metrics each interval, and at the end."""

    def __init__(self, observer: OpenTelemetryObserver, resource: Resource, interval: float) -> None:
        self._observer, self._resource, self._interval = observer, resource, interval
        self._scope = InstrumentationScope(SYSTEM, __version__, SCHEMA_URL)
        self._exporter = OTLPMetricExporter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_now_and_then, daemon=True, name="otel-metrics")
        self._thread.start()

    def _send_now_and_then(self) -> None:
        while not self._over.wait(self._interval):
            self._observer.try_to(self._send)

    def _send(self) -> None:
        if (data := self._observer.metrics(self._resource, self._scope)) is not None:
            self._exporter.export(data)

    def shutdown(self) -> None:
        """Send what there is at the end."""
        self._over.set()
        self._send()


class _Troubles(logging.Handler):
    """Keeps the first of what the libraries complain of, and what they say nowhere else: the log is the run's."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: str | None = None
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of one complaint."""
        self.note(record.getMessage())

    def note(self, trouble: str) -> None:
        """Keep it, if it is the first."""
        self.first = self.first or trouble.partition("\n")[0]


def _resource(event: RunStarted) -> Resource:
    """What the environment says of the service goes before what a run says of itself."""
    said = Resource.create()
    own = {"service.namespace": SYSTEM, "service.version": __version__, Attribute.RUN.value: event.run}
    known = dict(said.attributes)
    if str(known.get("service.name", "unknown_service")).startswith("unknown_service"):
        own["service.name"] = event.workflow
    return said.merge(Resource({key: own[key] for key in own if key == "service.name" or key not in known}))


def _seconds(environ: Mapping[str, str], variable: str, otherwise: int) -> float:
    """Read a variable that says milliseconds; one that is none, or too few, is passed over as the libraries do."""
    try:
        return max(int(environ.get(variable, otherwise)), _SHORTEST) / 1000
    except ValueError:
        return otherwise / 1000

"""A collector of OpenTelemetry on loopback that keeps what it gets: OTLP, protobuf, over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """Takes in whatever is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Any] = []
        self.content_types: set[str] = set()

    @property
    def endpoint(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` has to be."""
        return f"http://127.0.0.1:{self.server_port}"

    def resources(self) -> list[dict[str, Any]]:
        """The attributes of whatever has sent something."""
        return [_plain(each.resource.attributes) for each in (*self._of_spans(), *self._of_metrics())]

    def _of_spans(self) -> list[Any]:
        found = [each for each in self.requests if isinstance(each, ExportTraceServiceRequest)]
        return [each for request in found for each in request.resource_spans]

    def _of_metrics(self) -> list[Any]:
        found = [each for each in self.requests if isinstance(each, ExportMetricsServiceRequest)]
        return [each for request in found for each in request.resource_metrics]

    def schemas(self) -> set[str]:
        """The versions of the conventions that names are said to be of."""
        spans = (scope.schema_url for each in self._of_spans() for scope in each.scope_spans)
        return {*spans, *(scope.schema_url for each in self._of_metrics() for scope in each.scope_metrics)}

    def spans(self) -> list[dict[str, Any]]:
        """All spans, in the order in which they began, those that began first and end last before others."""
        found = [
            {
                "name": span.name,
                "trace": span.trace_id.hex(),
                "span": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "kind": span.kind,
                "begin": span.start_time_unix_nano,
                "end": span.end_time_unix_nano,
                "attributes": _plain(span.attributes),
                "links": [link.span_id.hex() for link in span.links],
                "events": {event.name: _plain(event.attributes) for event in span.events},
                "status": (span.status.code, span.status.message),
            }
            for each in self._of_spans()
            for scope in each.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda each: (each["begin"], -each["end"]))

    def metrics(self) -> dict[str, Any]:
        """The last that was said of each metric, by name."""
        return {
            metric.name: metric
            for each in self._of_metrics()
            for scope in each.scope_metrics
            for metric in scope.metrics
        }


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Keep it, and say that all is well."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kinds = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
        self.server.content_types.add(self.headers["Content-Type"])
        self.server.requests.append(kinds[self.path].FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def points(metric: Any) -> list[tuple[dict[str, Any], float]]:
    """The attributes of each point of a metric, and its number; of a histogram how many it has counted."""
    data = getattr(metric, metric.WhichOneof("data"))
    return [
        (
            _plain(point.attributes),
            point.count if hasattr(point, "bucket_counts") else point.as_double or point.as_int,
        )
        for point in data.data_points
    ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen for the time of a block."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join(10)

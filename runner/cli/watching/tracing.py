"""The option `--otel`: whether what it asks for can be done, and where the run stands in a trace of others.

--otel, MPRUN_OTEL=1 ──► TraceContext, below $TRACEPARENT ──┬──► the observer process, which sends
                                                            └──► $TRACEPARENT of all that the run starts
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.util import find_spec

from runner.errors import UsageError
from runner.events.trace_context import TRACEPARENT, TRACESTATE, TraceContext

_PROTOCOL = "http/protobuf"
_PROTOCOLS = (
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)
_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
_PACKAGES = {
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
}


def open_trace(environ: MutableMapping[str, str]) -> TraceContext | None:
    """
    Begin the run's span below the caller's, and tell whoever the run starts; None where the environment forbids it.

    Raises:
        UsageError: a library is missing, or the environment asks for what mprun can't do.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    for module, package in _PACKAGES.items():
        if not _is_there(module):
            raise UsageError(
                f"--otel needs the package '{package}', which is not installed: pip install 'mprun[otel]'"
            )
    for variable in _PROTOCOLS:
        if environ.get(variable, _PROTOCOL) != _PROTOCOL:
            raise UsageError(
                f"--otel: {variable} is '{environ[variable]}', and mprun speaks {_PROTOCOL} alone, which collectors "
                "take on port 4318"
            )
    for variable in _EXPORTERS:
        if (asked := environ.get(variable, "otlp")) not in ("otlp", "none"):
            raise UsageError(f"--otel: expected otlp or none in {variable}, got '{asked}'")
    context = TraceContext.below(environ.get(TRACEPARENT), environ.get(TRACESTATE))
    environ[TRACEPARENT] = context.traceparent
    return context


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False

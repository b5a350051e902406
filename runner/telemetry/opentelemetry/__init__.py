"""What is sent to a collector of OpenTelemetry: the only place that knows its libraries."""

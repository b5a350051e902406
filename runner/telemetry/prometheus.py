"""Metrics in the formats of Prometheus: the one place that knows its library.

states of runs ──► RunCollector ──► exposition(accept) ──► text, or OpenMetrics for who asks for it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from runner.telemetry.contract import TIME_BOUNDS, WORKFLOW, MetricDeclaration, MetricType
from runner.telemetry.samples import Buckets, totals
from runner.watch.state import RunState

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

_BOUNDS = (*(repr(bound) for bound in TIME_BOUNDS), "+Inf")


class RunCollector:
    """A collector, as the library calls it: makes metrics of what is known when it is asked, and keeps none itself."""

    def __init__(self, states: Callable[[], Iterable[RunState]]) -> None:
        """`states` returns those of all runs to be told of, which nobody changes meanwhile."""
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that has a number, in the order of the contract."""
        for declaration, numbers in totals(self._states()).items():
            yield _family(declaration, numbers.items())


def exposition(states: Iterable[RunState], accept: str | None = None) -> tuple[str, bytes]:
    """Return the type of content that is asked for by the header `Accept`, and the metrics of these runs as that.

    Of several runs of one workflow the numbers are added up; hand in those that have ended too, so that what only grows
    does not fall.
    """
    try:
        encode, content_type = choose_encoder(accept or "")
    except (TypeError, ValueError):  # a version that is none: whoever asks has what everybody reads
        encode, content_type = choose_encoder("")
    return content_type, encode(cast("Collector", RunCollector(lambda: states)))


def _family(
    declaration: MetricDeclaration, numbers: Iterable[tuple[tuple[str, ...], float | Buckets]]
) -> Metric:
    name, text, labels, unit = (
        declaration.family,
        declaration.help,
        declaration.all_labels,
        declaration.unit,
    )
    match declaration.type:
        case MetricType.INFO:
            info = InfoMetricFamily(name, text, labels=(WORKFLOW,))
            for values, _ in numbers:
                info.add_metric(values[:1], dict(zip(labels[1:], values[1:], strict=True)))
            return info
        case MetricType.HISTOGRAM:
            histogram = HistogramMetricFamily(name, text, labels=labels, unit=unit)
            for values, number in numbers:
                assert isinstance(number, Buckets)
                buckets = list(zip(_BOUNDS, accumulate(number.counts), strict=True))
                histogram.add_metric(values, buckets, number.total)
            return histogram
        case MetricType.COUNTER:
            family: CounterMetricFamily | GaugeMetricFamily = CounterMetricFamily(
                name, text, labels=labels, unit=unit
            )
        case _:
            family = GaugeMetricFamily(name, text, labels=labels, unit=unit)
    for values, number in numbers:
        assert not isinstance(number, Buckets)
        family.add_metric(values, number)
    return family

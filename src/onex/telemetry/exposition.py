"""Measurements as text for Prometheus, in its own format or as OpenMetrics with exemplars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Exemplar as FamilyExemplar
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from onex.telemetry.measurements import Distribution, Exemplar, Labels, Measurements
from onex.telemetry.metric_catalog import METRICS, Metric, MetricKind

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
"""What a header Accept says to get OpenMetrics."""


class _Exported(Collector):
    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            numbers = self._measurements.numbers.get(metric.name, {})
            distributions = self._measurements.distributions.get(metric.name, {})
            if not numbers and not distributions:
                continue
            if metric.kind is MetricKind.HISTOGRAM:
                yield _histogram(metric, distributions, self._measurements.exemplars)
                continue
            kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for labels, value in numbers.items():
                family.add_metric(labels, value)
            yield family


def _histogram(
    metric: Metric,
    distributions: dict[Labels, Distribution],
    exemplars: dict[tuple[str, Labels, int], Exemplar],
) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(_bound, metric.buckets), "+Inf"]
    for labels, found in distributions.items():
        below = 0.0
        buckets: list[tuple[str, float] | tuple[str, float, FamilyExemplar]] = []
        for place, (bound, count) in enumerate(zip(bounds, found.counts, strict=True)):
            below += count
            exemplar = exemplars.get((metric.name, labels, place))
            if exemplar is None:
                buckets.append((bound, below))
                continue
            told = FamilyExemplar(
                {"request_id": exemplar.request_id}, exemplar.value, exemplar.time
            )
            buckets.append((bound, below, told))
        family.add_metric(labels, buckets, found.sum)
    return family


def _bound(value: float) -> str:
    return repr(value)


def export(measurements: Measurements, accept: str = "") -> tuple[bytes, str]:
    """The text of measurements, and its media type, as a header Accept asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exported(measurements))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def exported_names(metrics: Iterable[Metric] = METRICS) -> frozenset[str]:
    """The names of all samples that may be exported."""
    found: set[str] = set()
    for metric in metrics:
        if metric.kind is MetricKind.HISTOGRAM:
            found |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            found.add(metric.name)
    return frozenset(found)

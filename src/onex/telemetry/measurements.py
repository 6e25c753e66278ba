"""Measurements: values of metrics in memory, which can be added to those of other processes."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onex.telemetry.metric_catalog import MAXIMUM_VALUES, METRICS, OTHER, Metric, MetricKind

Labels = tuple[str, ...]


@dataclass(slots=True)
class Distribution:
    """The values of a histogram: how many fell into each bucket, and their sum.

    The last bucket is the one without an upper bound.
    """

    counts: list[int]
    sum: float = 0.0

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    def quantile(self, share: float, buckets: Sequence[float]) -> float | None:
        """An estimate of a quantile, linear within its bucket; None without values.

        As ``histogram_quantile`` of Prometheus: beyond the last bound it is that bound.
        """
        total = self.total
        if not total:
            return None
        rank, below = share * total, 0
        for place, count in enumerate(self.counts[:-1]):
            if count and below + count >= rank:
                low = buckets[place - 1] if place else 0.0
                return low + (buckets[place] - low) * (rank - below) / count
            below += count
        return buckets[-1]


class Exemplar(NamedTuple):
    """One measured value, the request that it belongs to, and when that was (Unix time)."""

    request_id: str
    value: float
    time: float


@dataclass(slots=True)
class Measurements:
    """Counts, sizes and distributions by metric and labels. All threads may use one object."""

    numbers: dict[str, dict[Labels, float]] = field(default_factory=dict)
    distributions: dict[str, dict[Labels, Distribution]] = field(default_factory=dict)
    exemplars: dict[tuple[str, Labels, int], Exemplar] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __bool__(self) -> bool:
        return bool(self.numbers or self.distributions)

    def count(self, metric: Metric, labels: Labels = (), amount: float = 1.0) -> None:
        """Add to a counter."""
        with self._lock:
            values = self.numbers.setdefault(metric.name, {})
            values[labels] = values.get(labels, 0.0) + amount

    def set(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Set a gauge."""
        with self._lock:
            self.numbers.setdefault(metric.name, {})[labels] = value

    def observe(
        self, metric: Metric, value: float, labels: Labels = (), request_id: str | None = None
    ) -> None:
        """Add a value to a histogram, and keep it as an example of its bucket for a request."""
        place = bisect_left(metric.buckets, value)
        with self._lock:
            values = self.distributions.setdefault(metric.name, {})
            found = values.get(labels)
            if found is None:
                found = values[labels] = Distribution([0] * (len(metric.buckets) + 1))
            found.counts[place] += 1
            found.sum += value
            if request_id is not None:
                exemplar = Exemplar(request_id, value, time.time())
                self.exemplars[metric.name, labels, place] = exemplar

    def without_names(self) -> Measurements:
        """The same with ``other`` for each label that comes from users, and without examples."""
        return BoundedLabels(maximum=0).bounded(self)

    def take(self) -> Measurements:
        """All values there are, which are forgotten here; exemplars stay."""
        with self._lock:
            taken = Measurements(self.numbers, self.distributions)
            self.numbers, self.distributions = {}, {}
        return taken

    def copy(self) -> Measurements:
        """The values of this moment, which nobody changes any more."""
        with self._lock:
            return Measurements(
                {name: dict(values) for name, values in self.numbers.items()},
                {
                    name: {k: Distribution(list(v.counts), v.sum) for k, v in values.items()}
                    for name, values in self.distributions.items()
                },
                dict(self.exemplars),
            )

    def add(self, other: Measurements) -> None:
        """Add the values of others: gauges take the place of those here, the rest is summed.

        Nobody else changes the others meanwhile.
        """
        with self._lock:
            for metric in METRICS:
                for labels, value in other.numbers.get(metric.name, {}).items():
                    values = self.numbers.setdefault(metric.name, {})
                    before = values.get(labels, 0.0) if metric.kind is MetricKind.COUNTER else 0.0
                    values[labels] = before + value
                for labels, found in other.distributions.get(metric.name, {}).items():
                    mine = self.distributions.setdefault(metric.name, {})
                    known = mine.get(labels)
                    if known is None:
                        mine[labels] = Distribution(list(found.counts), found.sum)
                        continue
                    known.counts = [a + b for a, b in zip(known.counts, found.counts, strict=True)]
                    known.sum += found.sum


class BoundedLabels:
    """Keeps the values of each bounded label to the first ``MAXIMUM_VALUES`` that came."""

    def __init__(self, maximum: int = MAXIMUM_VALUES) -> None:
        self._maximum = maximum
        self._known: dict[tuple[str, int], set[str]] = {}

    def note(self, metric: Metric, labels: Labels) -> None:
        """Count the values of labels that are kept already among the first."""
        for place in _bounded_places(metric):
            self._known.setdefault((metric.name, place), set()).add(labels[place])

    def bound(self, metric: Metric, labels: Labels) -> Labels:
        """The labels with ``other`` for each value beyond the first."""
        found = list(labels)
        for place in _bounded_places(metric):
            known = self._known.setdefault((metric.name, place), set())
            if labels[place] in known:
                continue
            if len(known - {OTHER}) >= self._maximum:
                found[place] = OTHER
            else:
                known.add(labels[place])
        return tuple(found)

    def bounded(self, measurements: Measurements) -> Measurements:
        """The same measurements with bounded labels; those that fall together are summed.

        Gauges beyond the first are left out, since no sum of them means anything.
        """
        result = Measurements()
        for metric, labels, value in values_of(measurements):
            one = Measurements()
            bound = self.bound(metric, labels)
            if metric.kind is MetricKind.GAUGE and bound != labels:
                continue
            if isinstance(value, Distribution):
                one.distributions[metric.name] = {bound: value}
            else:
                one.numbers[metric.name] = {bound: value}
            result.add(one)
        return result


def _bounded_places(metric: Metric) -> Iterator[int]:
    return (metric.labels.index(label) for label in metric.bounded)


def values_of(measurements: Measurements) -> Iterator[tuple[Metric, Labels, float | Distribution]]:
    """Every value with its metric and its labels, in the order of the catalogue."""
    for metric in METRICS:
        yield from (
            (metric, labels, value)
            for labels, value in measurements.numbers.get(metric.name, {}).items()
        )
        yield from (
            (metric, labels, found)
            for labels, found in measurements.distributions.get(metric.name, {}).items()
        )

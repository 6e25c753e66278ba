"""Measurements: sums of processes, bounded labels, quantiles, and the text that is exported."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from onex.history.kept_measurements import KeptMeasurements
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.exposition import OPENMETRICS, export
from onex.telemetry.measurements import BoundedLabels, Distribution, Measurements, values_of
from onex.telemetry.metric_catalog import MAXIMUM_VALUES, METRICS, OTHER, MetricKind
from onex.telemetry.registry_metrics import RegistryMetrics

texts = st.text(max_size=8)
seconds = st.floats(0, 1e5, allow_nan=False)


@st.composite
def measured(draw: st.DrawFn) -> Measurements:
    found = Measurements()
    for node, value in draw(st.lists(st.tuples(texts, seconds), max_size=12)):
        found.count(catalog.RUNS, (node, "succeeded"))
        found.observe(catalog.RUN_SECONDS, value, (node,))
        found.set(catalog.NODES_DISCOVERED, value, (node,))
    return found


def as_numbers(found: Measurements) -> dict[object, object]:
    return {
        (metric.name, labels): (tuple(value.counts), pytest.approx(value.sum))
        if isinstance(value, Distribution)
        else pytest.approx(value)
        for metric, labels, value in values_of(found)
    }


def test_the_specified_metrics_have_its_names_and_labels() -> None:
    specified = {
        "registry_discovery_duration_seconds": ("source",),
        "registry_nodes_discovered": ("source",),
        "registry_version_resolution_duration_seconds": ("node", "cache_hit"),
    }
    known = {metric.name: metric.labels for metric in METRICS}
    assert {name: known[name] for name in specified} == specified
    assert all(name.startswith(("onex_", "registry_")) for name in known)


@given(measured(), measured(), measured())
def test_the_order_in_which_processes_end_does_not_matter_for_sums(
    one: Measurements, two: Measurements, three: Measurements
) -> None:
    def total(*parts: Measurements) -> dict[object, object]:
        found = Measurements()
        for part in parts:
            found.add(part)
        found.numbers.pop(catalog.NODES_DISCOVERED.name, None)
        return as_numbers(found)

    assert total(one, two, three) == total(three, one, two)


@given(parts=st.lists(measured(), max_size=4))
def test_what_is_kept_is_what_was_added(parts: list[Measurements], tmp_path_factory) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    expected = Measurements()
    for part in parts:
        expected.add(part)
        assert KeptMeasurements(home).add(part)
    assert as_numbers(KeptMeasurements(home).read()) == as_numbers(expected)


def test_measurements_make_no_folder_and_cost_no_error(tmp_path: Path) -> None:
    found = Measurements()
    found.count(catalog.RUNS, ("a", "failed"))
    assert not KeptMeasurements(tmp_path / "none").add(found)
    assert not (tmp_path / "none").exists()
    (tmp_path / "history.db").write_bytes(b"this is no database" * 100)
    assert not KeptMeasurements(tmp_path).add(found)


def test_labels_are_bounded_in_all_processes_together(tmp_path: Path) -> None:
    for process in range(3):
        found = Measurements()
        for number in range(MAXIMUM_VALUES - 10):
            found.count(catalog.RUNS, (f"workflow-{process}-{number}", "succeeded"))
        KeptMeasurements(tmp_path).add(found)
    kept = KeptMeasurements(tmp_path).read().numbers[catalog.RUNS.name]
    assert len(kept) == MAXIMUM_VALUES + 1
    assert kept[OTHER, "succeeded"] == 3 * (MAXIMUM_VALUES - 10) - MAXIMUM_VALUES


@given(st.lists(texts, max_size=20), st.integers(0, 5))
def test_a_label_never_has_more_values_than_it_may(names: list[str], maximum: int) -> None:
    bounds = BoundedLabels(maximum)
    seen = Counter(bounds.bound(catalog.RUN_SECONDS, (name,))[0] for name in names)
    assert len(seen.keys() - {OTHER}) <= maximum
    assert sum(seen.values()) == len(names)


def test_without_names_nothing_that_users_named_is_left() -> None:
    found = Measurements()
    found.observe(catalog.CALL_SECONDS, 1.0, ("tool://secret.one",))
    found.observe(catalog.CALL_SECONDS, 2.0, ("tool://secret.two",))
    found.set(catalog.NODES_DISCOVERED, 3, ("/home/ada/nodes",))
    told = export(found.without_names())[0].decode()
    assert "secret" not in told
    assert "ada" not in told
    assert 'onex_step_duration_seconds_count{node="other"} 2.0' in told


@given(measured())
def test_both_formats_are_read_back_by_their_parsers(found: Measurements) -> None:
    text = export(found)[0].decode()
    read = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text)
        for sample in family.samples
    }
    for labels, value in found.numbers.get(catalog.RUNS.name, {}).items():
        assert read["onex_runs_total", (("status", labels[1]), ("workflow", labels[0]))] == value
    for labels, distribution in found.distributions.get(catalog.RUN_SECONDS.name, {}).items():
        key = (("le", "+Inf"), ("workflow", labels[0]))
        assert read["onex_run_duration_seconds_bucket", key] == distribution.total
    opened = export(found, OPENMETRICS)[0].decode()
    assert {f.name for f in open_families(opened)} <= {
        m.name.removesuffix("_total") for m in METRICS
    }


def test_a_histogram_names_a_request_of_its_bucket() -> None:
    metrics = RegistryMetrics()
    metrics.record_http_request("GET", "/api", 200, 0.004, "one")
    metrics.record_http_request("GET", "/api", 200, 0.3, "two")
    opened = export(metrics.measurements, OPENMETRICS)[0].decode()
    told = {
        sample.labels["le"]: sample.exemplar
        for family in open_families(opened)
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {le: (e.labels, e.value) for le, e in told.items()} == {
        "0.005": ({"request_id": "one"}, 0.004),
        "0.5": ({"request_id": "two"}, 0.3),
    }


@given(st.lists(st.floats(1e-5, 900), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles_are_right_to_the_bucket(values: list[float], share: float) -> None:
    found = Measurements()
    for value in values:
        found.observe(catalog.CALL_SECONDS, value, ("n",))
    distribution = found.distributions[catalog.CALL_SECONDS.name]["n",]
    estimate = distribution.quantile(share, catalog.CALL_SECONDS.buckets)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    bounds = (0.0, *catalog.CALL_SECONDS.buckets)
    upper = next(bound for bound in bounds if bound >= exact)
    lower = bounds[bounds.index(upper) - 1]
    assert estimate is not None
    assert lower <= estimate <= upper * (1 + 1e-9)


def test_buckets_ascend() -> None:
    for metric in METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM)
        assert set(metric.bounded) <= set(metric.labels)


def test_threads_lose_nothing() -> None:
    found, kept = Measurements(), Measurements()

    def work() -> None:
        for _ in range(2_000):
            found.count(catalog.RUNS, ("w", "failed"))
            found.observe(catalog.RUN_SECONDS, 0.1, ("w",))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        kept.add(found.take())
    kept.add(found.take())
    assert kept.numbers[catalog.RUNS.name]["w", "failed"] == 8_000
    assert kept.distributions[catalog.RUN_SECONDS.name]["w",].total == 8_000

"""The metrics that onex exports: names, labels and buckets.

The first three are those of the specification (Monitoring and Observability).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

OTHER = "other"
"""The value of a label that stands for all beyond the first ``MAXIMUM_VALUES``."""

MAXIMUM_VALUES = 100


class MetricKind(StrEnum):
    """The types of metrics, as Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    ``bounded`` are the labels whose values come from users, and are limited to the first
    ``MAXIMUM_VALUES``. ``buckets`` are the upper bounds of a histogram, in ascending order,
    without the infinite one.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _steps(first: float, last: float) -> tuple[float, ...]:
    """The bounds 1, 2, 5, 10, ... times a power of ten, from the first to the last."""
    decades = range(round(math.log10(first)), round(math.log10(last)) + 1)
    bounds = [float(f"{factor}e{decade}") for decade in decades for factor in (1, 2, 5)]
    return tuple(bound for bound in bounds if bound <= last)


_FAST = _steps(1e-5, 1.0)
_CALLS = _steps(1e-4, 1_000.0)


def _counter(name: str, help_: str, *labels: str, bounded: Sequence[str] = ()) -> Metric:
    return Metric(name, MetricKind.COUNTER, help_, labels, tuple(bounded))


def _gauge(name: str, help_: str, *labels: str, bounded: Sequence[str] = ()) -> Metric:
    return Metric(name, MetricKind.GAUGE, help_, labels, tuple(bounded))


def _histogram(
    name: str,
    help_: str,
    *labels: str,
    bounded: Sequence[str] = (),
    buckets: tuple[float, ...] = _CALLS,
) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, help_, labels, tuple(bounded), buckets)


DISCOVERY_SECONDS = _histogram(
    "registry_discovery_duration_seconds",
    "How long scans of a source took.",
    "source",
    bounded=["source"],
)
NODES_DISCOVERED = _gauge(
    "registry_nodes_discovered",
    "How many manifests the last scan of a source found.",
    "source",
    bounded=["source"],
)
RESOLUTION_SECONDS = _histogram(
    "registry_version_resolution_duration_seconds",
    "How long it took to choose the versions for a node and all it needs.",
    "node",
    "cache_hit",
    bounded=["node"],
    buckets=_FAST,
)
HTTP_SECONDS = _histogram(
    "onex_http_request_duration_seconds",
    "How long requests took, until the last byte of the answer was handed over.",
    "method",
    "route",
    "status",
    buckets=_steps(1e-4, 100.0),
)
CACHE_LEVELS = ("l1", "l2", "l3")

CACHE_REQUESTS = _counter(
    "onex_cache_requests_total", "Questions to a level of the cache.", "level", "outcome"
)
RUNS = _counter("onex_runs_total", "Runs that ended.", "workflow", "status", bounded=["workflow"])
RUN_SECONDS = _histogram(
    "onex_run_duration_seconds", "How long runs took.", "workflow", bounded=["workflow"]
)
RUNS_IN_PROGRESS = _gauge("onex_runs_in_progress", "Runs that are running now.")
CALLS = _counter(
    "onex_steps_total",
    "Calls of nodes that ended; a step of a fan-out makes one for each item.",
    "node",
    "status",
    "cached",
    bounded=["node"],
)
CALL_SECONDS = _histogram(
    "onex_step_duration_seconds",
    "How long calls of a node took that were executed.",
    "node",
    bounded=["node"],
)
CALLS_IN_PROGRESS = _gauge("onex_steps_in_progress", "Calls of nodes that are executed now.")
QUEUE_DEPTH = _gauge("onex_queue_depth", "Steps of running runs that have not ended or started.")
LOAD_SECONDS = _histogram(
    "onex_node_load_duration_seconds",
    "How long it took to verify and unpack the files of a node.",
    "node",
    bounded=["node"],
    buckets=_steps(1e-4, 10.0),
)
SANDBOX_DENIALS = _counter(
    "onex_sandbox_denials_total",
    "Calls that failed since confinement forbade something.",
    "node",
    "kind",
    bounded=["node"],
)
LIMITS_EXCEEDED = _counter(
    "onex_limits_exceeded_total",
    "Calls that were ended since they went beyond a limit.",
    "node",
    "limit",
    bounded=["node"],
)
NODE_VERSIONS = _gauge("onex_node_versions", "Node versions in the registry.")
LOG_SERIAL = _gauge("onex_index_serial", "The last entry of the registry's log.")
METADATA_EXPIRY = _gauge(
    "onex_index_expiry_timestamp_seconds",
    "When signed metadata of the index expires (Unix time).",
    "role",
)
REMOTE_AGE = _gauge(
    "onex_remote_age_seconds",
    "How long ago a remote was visited; the lag of what is known of it.",
    "remote",
    bounded=["remote"],
)
REMOTE_SERIAL = _gauge(
    "onex_remote_serial",
    "The entry of a remote's log up to which it is known.",
    "remote",
    bounded=["remote"],
)
AUDIT_REFUSALS = _counter(
    "onex_audit_refusals_total", "Actions that were refused, by the log.", "action",
    bounded=["action"],
)  # fmt: skip
DISK_FREE = _gauge("onex_disk_free_bytes", "Free space where the registry's state is.")
BUILD_INFO = _gauge("onex_build_info", "Always 1; says what runs.", "version", "python")

METRICS: tuple[Metric, ...] = (
    DISCOVERY_SECONDS,
    NODES_DISCOVERED,
    RESOLUTION_SECONDS,
    HTTP_SECONDS,
    CACHE_REQUESTS,
    RUNS,
    RUN_SECONDS,
    RUNS_IN_PROGRESS,
    CALLS,
    CALL_SECONDS,
    CALLS_IN_PROGRESS,
    QUEUE_DEPTH,
    LOAD_SECONDS,
    SANDBOX_DENIALS,
    LIMITS_EXCEEDED,
    NODE_VERSIONS,
    LOG_SERIAL,
    METADATA_EXPIRY,
    REMOTE_AGE,
    REMOTE_SERIAL,
    AUDIT_REFUSALS,
    DISK_FREE,
    BUILD_INFO,
)

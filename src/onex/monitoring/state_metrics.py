"""Metrics of the state of a registry, which are read when somebody asks for them."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterable
from datetime import datetime
from importlib import metadata
from pathlib import Path

from onex.registry import Registry
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.measurements import BoundedLabels, Measurements
from onex.trust.index_layout import SIGNED_DAILY


def measure(registry: Registry) -> Measurements:
    """Everything that is known of a registry: what its processes measured, and its state now.

    Raises:
        StorageError: its database, or its history, cannot be read.
    """
    registry.keep_measurements()
    with registry.telemetry.keeping:
        found = registry.measurements.read()
        # What could not be kept, or was measured just now.
        here = registry.telemetry.metrics.measurements.copy()
    found.add(here)
    found.add(_state(registry))
    bounded = BoundedLabels().bounded(found)
    bounded.exemplars.update(here.exemplars)
    return bounded


def _state(registry: Registry) -> Measurements:
    found = Measurements()
    storage = registry.storage
    found.set(catalog.NODE_VERSIONS, storage.count())
    found.set(catalog.LOG_SERIAL, storage.serial())
    for action, count in storage.refusals().items():
        found.count(catalog.AUDIT_REFUSALS, (action,), count)
    for report in registry.caches.reports():
        if report.name in catalog.CACHE_LEVELS:
            hits, misses = report.statistics.hits, report.statistics.misses
            found.count(catalog.CACHE_REQUESTS, (report.name, "hit"), hits)
            found.count(catalog.CACHE_REQUESTS, (report.name, "miss"), misses)
    for role, moment in signed_until(registry):
        found.set(catalog.METADATA_EXPIRY, moment.timestamp(), (role,))
    for remote in registry.remotes.declared:
        known = registry.sources.remote_nodes.known(remote)
        if known.age_seconds is not None and known.serial is not None:
            found.set(catalog.REMOTE_AGE, known.age_seconds, (remote.name,))
            found.set(catalog.REMOTE_SERIAL, known.serial, (remote.name,))
    running = registry.history.journal.in_progress()
    found.set(catalog.RUNS_IN_PROGRESS, len(running))
    found.set(catalog.CALLS_IN_PROGRESS, sum(len(run.calls) for run in running))
    found.set(catalog.QUEUE_DEPTH, sum(run.waiting for run in running))
    found.set(catalog.DISK_FREE, shutil.disk_usage(existing(registry.configuration.home)).free)
    versions = (metadata.version("onex-registry"), platform.python_version())
    found.set(catalog.BUILD_INFO, 1, versions)
    return found


def signed_until(registry: Registry) -> Iterable[tuple[str, datetime]]:
    """Until when each role of a signed index is good; nothing if the index is not signed."""
    for role in SIGNED_DAILY:
        content = registry.storage.signed_metadata(role)
        if content is not None:
            yield role, datetime.fromisoformat(json.loads(content)["signed"]["expires"])


def existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))

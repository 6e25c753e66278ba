"""KeptMeasurements: what all processes that use a folder measured, in its ``history.db``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from onex.domain.errors import StorageError
from onex.storage.sql.connection import SqlConnection
from onex.storage.sqlite.connection import SqliteConnection
from onex.telemetry.measurements import (
    BoundedLabels,
    Distribution,
    Labels,
    Measurements,
    values_of,
)
from onex.telemetry.metric_catalog import METRICS, Metric, MetricKind

LOGGER = logging.getLogger("onex.telemetry")

HISTORY_FILE = "history.db"

_ADD = (
    "INSERT INTO measurements (metric, labels, part, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = value + excluded.value"
)
_SET = "INSERT OR REPLACE INTO measurements (metric, labels, part, value) VALUES (?, ?, ?, ?)"
_METRICS = {metric.name: metric for metric in METRICS}
_SUM = "sum"


class KeptMeasurements:
    """Adds what was measured to what is kept. One object serves one thread."""

    def __init__(self, home: Path) -> None:
        """``home`` is the folder of a registry's state."""
        self._home = home
        self._path = home / HISTORY_FILE

    def add(self, measurements: Measurements) -> bool:
        """Add measurements; returns whether they are kept.

        A registry that has no folder yet gets none for them.
        """
        if not measurements:
            return True
        if not self._home.is_dir():
            return False
        try:
            with (
                closing(SqliteConnection(self._path, "history")) as connection,
                connection.transaction(),
            ):
                add_measurements(connection, measurements)
        except StorageError as error:
            # What was measured is worth no failure of what was done.
            LOGGER.info("measurements are not kept: %s", error.message)
            return False
        return True

    def read(self) -> Measurements:
        """All that is kept.

        Raises:
            StorageError: the file cannot be read.
        """
        with closing(SqliteConnection(self._path, "history")) as connection:
            return read_measurements(connection)


def add_measurements(connection: SqlConnection, measurements: Measurements) -> None:
    """Add measurements to the table, within a transaction of the caller; raises StorageError."""
    bounds = _known_labels(connection)
    added: list[tuple[str, str, str, float]] = []
    put: list[tuple[str, str, str, float]] = []
    for metric, labels, value in values_of(bounds.bounded(measurements)):
        rows = [(metric.name, json.dumps(labels), part, number) for part, number in _parts(value)]
        (put if metric.kind is MetricKind.GAUGE else added).extend(rows)
    connection.run_many(_ADD, added)
    connection.run_many(_SET, put)


def read_measurements(connection: SqlConnection) -> Measurements:
    """All measurements of the table, without those of metrics that are gone."""
    found = Measurements()
    rows = connection.rows("SELECT metric, labels, part, value FROM measurements")
    for name, labels, part, value in rows:
        metric = _METRICS.get(name)
        if metric is None:
            continue
        key: Labels = tuple(json.loads(labels))
        if not part:
            found.numbers.setdefault(name, {})[key] = value
            continue
        values = found.distributions.setdefault(name, {})
        known = values.setdefault(key, Distribution([0] * (len(metric.buckets) + 1)))
        if part == _SUM:
            known.sum = value
        else:
            known.counts[int(part)] = int(value)
    return found


def _parts(value: float | Distribution) -> Iterator[tuple[str, float]]:
    """The rows of one value: what they hold, and a number."""
    if not isinstance(value, Distribution):
        yield "", value
        return
    yield _SUM, value.sum
    yield from ((str(place), float(n)) for place, n in enumerate(value.counts) if n)


def _known_labels(connection: SqlConnection) -> BoundedLabels:
    bounds = BoundedLabels()
    rows = connection.rows("SELECT DISTINCT metric, labels FROM measurements")
    for name, labels in rows:
        metric: Metric | None = _METRICS.get(name)
        if metric is not None and metric.bounded:
            bounds.note(metric, tuple(json.loads(labels)))
    return bounds

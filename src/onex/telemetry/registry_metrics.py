"""RegistryMetrics: what parts of the registry measure (specification: Registry Metrics)."""

from __future__ import annotations

import contextlib
from collections import deque

from onex.telemetry import metric_catalog as catalog
from onex.telemetry.measurements import Measurements


class RegistryMetrics:
    """Turns what happened into measurements, which are kept until somebody takes them."""

    def __init__(self) -> None:
        self._measurements = Measurements()
        self._requests: deque[tuple[str, str, int, float, str]] = deque()

    @property
    def measurements(self) -> Measurements:
        """All that was measured and not taken yet."""
        with contextlib.suppress(IndexError):
            while True:
                method, route, status, duration, request_id = self._requests.popleft()
                labels = (method, route, str(status))
                self._measurements.observe(catalog.HTTP_SECONDS, duration, labels, request_id)
        return self._measurements

    def record_discovery_operation(self, source: str, duration: float, nodes_found: int) -> None:
        """A scan of a source ended; ``duration`` is in seconds."""
        self.measurements.observe(catalog.DISCOVERY_SECONDS, duration, (source,))
        self.measurements.set(catalog.NODES_DISCOVERED, nodes_found, (source,))

    def record_version_resolution(
        self,
        node_name: str,
        duration: float,
        cache_hit: bool,  # noqa: FBT001 - as in the specification
    ) -> None:
        """Versions were chosen for a node; ``duration`` is in seconds."""
        labels = (node_name, str(cache_hit).lower())
        self.measurements.observe(catalog.RESOLUTION_SECONDS, duration, labels)

    def record_node_load(self, node: str, duration: float) -> None:
        """The files of a node were verified and unpacked; ``duration`` is in seconds."""
        self.measurements.observe(catalog.LOAD_SECONDS, duration, (node,))

    def record_http_request(
        self, method: str, route: str, status: int, duration: float, request_id: str
    ) -> None:
        """A request was answered; ``duration`` is in seconds."""
        # Sorted in later: here each microsecond is one of every request.
        self._requests.append((method, route, status, duration, request_id))

"""Readiness: the health checks of a server, run no more often than they change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from onex.monitoring.health_checks import health_checks
from onex.registry import Registry
from onex.telemetry.health_check import HealthReport

KEPT_SECONDS = 2.0
"""How long what was found is good for others who ask."""


class Readiness:
    """One object serves all threads."""

    def __init__(self, open_registry: Callable[[], Registry]) -> None:
        """``open_registry`` opens the registry with its remotes, which are not asked."""
        self._checks = health_checks(open_registry)
        self._lock = threading.Lock()
        self._found: HealthReport | None = None
        self._looked = 0.0

    def report(self) -> HealthReport:
        """What the checks found just now."""
        with self._lock:
            if self._found is None or time.monotonic() - self._looked > KEPT_SECONDS:
                self._found = self._checks.run()
                self._looked = time.monotonic()
            return self._found

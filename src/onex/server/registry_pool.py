"""RegistryPool: a registry for each thread that answers requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from onex.registry import Registry
from onex.telemetry.telemetry import Telemetry

STATISTICS_SECONDS = 5.0
"""How long a thread keeps the statistics of its caches to itself while it is busy."""


class RegistryPool:
    """Opens a registry for each thread that asks; one object serves all of a process."""

    def __init__(
        self,
        home: Path,
        start: Path,
        environment: Mapping[str, str],
        telemetry: Telemetry,
        *,
        shows_places: bool = False,
    ) -> None:
        """``shows_places`` is true if whoever asks may know where files are on this machine."""
        self._shows_places = shows_places
        self._telemetry = telemetry
        self._home = home
        self._start = start
        self._environment = dict(environment)
        self._local = threading.local()

    def open(self) -> Registry:
        """A registry of its own for whoever asks, who closes it.

        It knows no remotes, so that no request to it becomes one to somebody else.
        """
        registry = self.open_with_remotes()
        found = registry.configuration
        local = tuple(source for source in found.sources if source not in found.remotes)
        registry.configuration = replace(found, sources=local)
        registry.shows_places = self._shows_places
        return registry

    def open_with_remotes(self) -> Registry:
        """As ``open``, with the remotes: what is known of them can be told without asking them."""
        return Registry.open(
            self._home,
            start=self._start,
            environment=self._environment,
            telemetry=self._telemetry,
        )

    def here(self) -> Registry:
        """The registry of this thread."""
        registry = getattr(self._local, "registry", None)
        if not isinstance(registry, Registry):
            registry = self._local.registry = self.open()
            self._local.kept = time.monotonic()
        elif time.monotonic() - self._local.kept > STATISTICS_SECONDS:
            # Only the thread that counted can hand over what it counted.
            registry.caches.keep_statistics()
            self._local.kept = time.monotonic()
        return registry

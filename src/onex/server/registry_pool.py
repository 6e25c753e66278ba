"""RegistryPool: a registry for each thread that answers requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from onex.registry import Registry


class RegistryPool:
    """Opens a registry for each thread that asks; one object serves all of a process."""

    def __init__(self, home: Path, start: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._start = start
        self._environment = dict(environment)
        self._local = threading.local()

    def open(self, actor: str | None = None) -> Registry:
        """A registry of its own for whoever asks, who closes it."""
        return Registry.open(
            self._home, start=self._start, environment=self._environment, actor=actor
        )

    def here(self) -> Registry:
        """The registry of this thread."""
        registry = getattr(self._local, "registry", None)
        if not isinstance(registry, Registry):
            registry = self._local.registry = self.open()
        return registry

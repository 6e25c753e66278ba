"""RegistryPool: a registry for each thread that answers requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from onex.registry import Registry


class RegistryPool:
    """Opens a registry for each thread that asks; one object serves all of a process."""

    def __init__(self, home: Path, start: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._start = start
        self._environment = dict(environment)
        self._local = threading.local()

    def open(self) -> Registry:
        """A registry of its own for whoever asks, who closes it.

        It knows no remotes, so that no request to it becomes one to somebody else.
        """
        registry = Registry.open(self._home, start=self._start, environment=self._environment)
        found = registry.configuration
        local = tuple(source for source in found.sources if source not in found.remotes)
        registry.configuration = replace(found, sources=local)
        return registry

    def here(self) -> Registry:
        """The registry of this thread."""
        registry = getattr(self._local, "registry", None)
        if not isinstance(registry, Registry):
            registry = self._local.registry = self.open()
        return registry

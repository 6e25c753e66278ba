"""Facets: how many nodes have each value of each label."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from onex.domain.access_control import HiddenNamespaces
from onex.domain.metadata import RegisteredNode
from onex.registry import Registry

FACETS = ("type", "lifecycle", "trust", "capability", "permission", "tag")
MAXIMUM_KEPT = 16

Counts = Mapping[str, Mapping[str, int]]


def counts_of(nodes: Iterable[RegisteredNode]) -> Counts:
    """The counts of some nodes."""
    found: dict[str, Counter[str]] = {name: Counter() for name in (*FACETS, "source")}
    for node in nodes:
        metadata = node.metadata
        found["type"][metadata.node.type] += 1
        found["lifecycle"][metadata.lifecycle.value] += 1
        found["trust"][node.trust.value] += 1
        found["capability"].update(dict.fromkeys(metadata.capabilities, 1))
        found["permission"].update(dict.fromkeys(map(str, metadata.requests), 1))
        found["tag"].update(dict.fromkeys(metadata.tags, 1))
        found["source"].update(dict.fromkeys((origin.source for origin in node.origins), 1))
    return found


class Facets:
    """The counts of a whole registry, which take a while to find in a large one.

    Whoever asks gets those of a moment ago while they are counted anew. One object serves all
    threads.
    """

    def __init__(self, open_registry: Callable[[], Registry]) -> None:
        """``open_registry`` opens it for the thread that counts."""
        self._open = open_registry
        self._known: dict[HiddenNamespaces, tuple[int, Counts]] = {}
        self._counting: set[HiddenNamespaces] = set()
        self._lock = threading.Lock()

    def of(self, registry: Registry, hidden: HiddenNamespaces) -> Counts:
        """The counts without the nodes in hidden namespaces."""
        serial = registry.storage.serial()
        known = self._known.get(hidden)
        if known is None:
            known = serial, registry.storage.facets(FACETS, hidden)
            self._keep(hidden, *known)
        elif known[0] != serial:
            self._count_again(hidden)
        return known[1]

    def begin(self, hidden: HiddenNamespaces) -> None:
        """Count in the background what most will ask for."""
        self._count_again(hidden)

    def _keep(self, hidden: HiddenNamespaces, serial: int, counts: Counts) -> None:
        with self._lock:
            if len(self._known) >= MAXIMUM_KEPT and hidden not in self._known:
                self._known.pop(next(iter(self._known)))
            self._known[hidden] = (serial, counts)

    def _count_again(self, hidden: HiddenNamespaces) -> None:
        with self._lock:
            if hidden in self._counting:
                return
            self._counting.add(hidden)

        def count() -> None:
            try:
                with self._open() as registry:
                    serial = registry.storage.serial()
                    self._keep(hidden, serial, registry.storage.facets(FACETS, hidden))
            finally:
                with self._lock:
                    self._counting.discard(hidden)

        threading.Thread(target=count, name="onex-facets", daemon=True).start()

"""VisibleCatalog: the registered nodes that one reader may see, for the resolver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onex.domain.access_control import HiddenNamespaces
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId
from onex.resolver.impact import Impact
from onex.storage.backend import StorageBackend

CLOSE_NAMES = 200


class VisibleCatalog:
    """A NodeCatalog without the nodes in some namespaces."""

    def __init__(self, storage: StorageBackend, hidden: HiddenNamespaces) -> None:
        self._storage = storage
        self._hidden = hidden

    def shows(self, node: NodeId) -> bool:
        """Whether the reader may see a node."""
        return not self._hidden.hides(node.namespace)

    def impacts(self, entries: Iterable[Impact]) -> list[Impact]:
        """What the reader may know of what a version would do to others."""
        return [
            self._visible(entry) for entry in entries if self.shows(NodeId.parse(entry.dependent))
        ]

    def _visible(self, entry: Impact) -> Impact:
        """An entry as it would be if the nodes that the reader may not see were not there."""
        named = {change.node for change in entry.changes}
        for fact in entry.facts:
            named |= {name for name in (fact.dependent, fact.needed) if name is not None}
        if all(self.shows(NodeId.parse(name)) for name in named):
            return entry
        return Impact(entry.dependent, "unresolved", (), "it needs nodes that are not there")

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        return self._storage.versions(node) if self.shows(node) else ()

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        return [node for node in self._storage.find_nodes(name) if self.shows(node)]

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        # More, since those that are hidden must not take the places of others.
        found = self._storage.close_names(name, CLOSE_NAMES if self._hidden else count)
        return [node for node in found if self.shows(node)][:count]

    def count(self) -> int:
        return self._storage.count()

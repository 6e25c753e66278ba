"""VisibleCatalog: the registered nodes that one reader may see, for the resolver."""

from __future__ import annotations

from collections.abc import Sequence

from onex.domain.access_control import covers
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId
from onex.storage.backend import StorageBackend


class VisibleCatalog:
    """A NodeCatalog without the nodes in some namespaces."""

    def __init__(self, storage: StorageBackend, hidden: Sequence[str]) -> None:
        self._storage = storage
        self._hidden = hidden

    def shows(self, node: NodeId) -> bool:
        """Whether the reader may see a node."""
        return not any(covers(pattern, node.namespace) for pattern in self._hidden)

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        return self._storage.versions(node) if self.shows(node) else ()

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        return [node for node in self._storage.find_nodes(name) if self.shows(node)]

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        return [node for node in self._storage.close_names(name, count) if self.shows(node)]

    def count(self) -> int:
        return self._storage.count()

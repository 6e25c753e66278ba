"""LogTree: the Merkle tree of a registry's own log, which follows it."""

from __future__ import annotations

from onex.domain.log_leaf import leaf_of
from onex.domain.merkle import MerkleTree
from onex.storage.backend import StorageBackend


class LogTree:
    """The tree of one log, kept in memory. One object serves one thread."""

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage
        self._tree = MerkleTree()

    def current(self) -> MerkleTree:
        """The tree of the log as it is now."""
        for event in self._storage.events(len(self._tree)):
            self._tree.append(leaf_of(event))
        return self._tree

"""LogTree: the Merkle tree of a registry's own log, which follows it."""

from __future__ import annotations

from itertools import islice

from onex.domain.event import GENESIS_HASH
from onex.domain.log_leaf import leaf_of
from onex.domain.merkle import MerkleTree
from onex.storage.backend import StorageBackend


class LogTree:
    """The tree of one log, kept in memory. One object serves one thread."""

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage
        self._tree = MerkleTree()
        self._last_hash = GENESIS_HASH

    def current(self) -> MerkleTree:
        """The tree of the log as it is now."""
        if len(self._tree):
            last = next(islice(self._storage.events(len(self._tree) - 1), 1), None)
            if last is None or last.hash != self._last_hash:
                # A transaction in which it was read was taken back, or a backup was restored.
                self._tree, self._last_hash = MerkleTree(), GENESIS_HASH
        for event in self._storage.events(len(self._tree)):
            self._tree.append(leaf_of(event))
            self._last_hash = event.hash
        return self._tree

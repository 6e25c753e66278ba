"""LogReader: follows the log of a remote, and proves that what the remote shows is in it.

Source: RFC 9162. The last head that was seen is remembered; a remote whose log does not go on from
there shows different histories to different readers, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onex.domain.log_leaf import release_leaf, statement_leaf
from onex.domain.merkle import (
    TILE_WIDTH,
    TiledTree,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
)
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.trust_errors import LogForkError
from onex.local_machine import locked, replace_file
from onex.remote.index_line import IndexLine
from onex.remote.tree import LOG_HEAD_PATH, MAXIMUM_TILE_BYTES, Tree, read_file, tile_path
from onex.trust.log_head import SignedHead
from onex.trust.signed_index import SignedIndex

MAXIMUM_HEAD_BYTES = 16 * 1024
HEAD_FILE = "log-head.json"
TILES_AT_ONCE = 50


class LogReader:
    """Reads the log of one remote whose index is signed."""

    def __init__(self, tree: Tree, signed: SignedIndex, folder: Path, registry: str) -> None:
        """Prepare; nothing is read yet.

        Args:
            tree: the remote's.
            signed: what is signed of it, by whose keys heads are signed too.
            folder: where the last head is remembered.
            registry: the identity of the registry.
        """
        self._tree = tree
        self._signed = signed
        self._file = folder / HEAD_FILE
        self._registry = registry
        self._tiles = TiledTree(self._tile)
        self._head: SignedHead | None = None

    def refresh(self) -> None:
        """Take over the head that the remote shows now.

        Raises:
            LogForkError: it is not signed, or the log did not grow from the head seen before.
            SourceError: the remote cannot be read.
        """
        # Another process must not put an older head in the place of a newer one.
        with locked(self._file.parent):
            content = read_file(self._tree, LOG_HEAD_PATH, MAXIMUM_HEAD_BYTES)
            if content is None:
                raise self._refused("shows no head of its log")
            head = self._genuine(content)
            # Tiles at the end of the log have grown since.
            self._tiles = TiledTree(self._tile)
            known = remembered_head(self._file.parent)
            if known is not None and known.envelope != head.envelope:
                self._require_growth(known, head)
            self._head = head
            replace_file(self._file, content)

    def expect(self, serials: Iterable[int]) -> None:
        """Read at once what proofs of these entries need first; raises as ``refresh``."""
        indexes = sorted({(serial - 1) // TILE_WIDTH for serial in serials if serial > 0})
        for start in range(0, len(indexes), TILES_AT_ONCE):
            some = indexes[start : start + TILES_AT_ONCE]
            paths = [tile_path(0, index) for index in some]
            answers = self._tree.read(paths, MAXIMUM_TILE_BYTES)
            for index, answer in zip(some, answers, strict=True):
                if isinstance(answer, bytes):
                    self._tiles.keep(0, index, answer)

    def prove_owners(self, owners: NamespaceOwners) -> None:
        """Prove that every statement about owners is in the log as the remote shows it.

        Raises as ``prove``.
        """
        self._require_head(owners.links[-1].serial)
        for link in owners.links:
            name, payload = owners.namespace, link.envelope.payload
            leaf = statement_leaf(link.serial, link.entry, name, payload, link.time)
            self._require_included(leaf, link.serial, f"the owners of {name}")

    def prove(self, line: IndexLine) -> int:
        """Prove that a release is in the log as the index shows it; returns the size of the head.

        Raises:
            LogForkError: it is not.
            SourceError: the remote cannot be read.
        """
        version = line.metadata.node_version
        head = self._require_head(max([line.released, *(one.serial for one in line.statements)]))
        attached = [one for one in line.statements if one.serial == line.released]
        if len(attached) > 1 or any(one.time != line.published_at for one in attached):
            raise self._refused(f"shows {version} otherwise than its log has it")
        leaf = release_leaf(
            line.released,
            line.entry,
            str(version),
            line.digest,
            line.place.sha256,
            line.published_at,
            attached[0].envelope.payload if attached else None,
        )
        self._require_included(leaf, line.released, str(version))
        for one in line.statements:
            if one not in attached:
                payload = one.envelope.payload
                leaf = statement_leaf(one.serial, one.entry, str(version), payload, one.time)
                self._require_included(leaf, one.serial, str(version))
        return head.size

    def _require_head(self, serial: int) -> SignedHead:
        """A head that has an entry, if there is one."""
        if self._head is None or self._head.size < serial:
            self.refresh()
        if self._head is None:
            raise self._refused("shows no head of its log")
        return self._head

    def _require_included(self, leaf: bytes, serial: int, name: str) -> None:
        """Raise LogForkError unless a leaf is an entry of the log."""
        head = self._require_head(0)
        if not 0 < serial <= head.size:
            raise self._refused(f"shows {name} as an entry that its log does not have")
        try:
            proof = inclusion_proof(self._tiles.subtree, serial - 1, head.size)
        except IndexError as error:
            raise self._refused("lacks a part of the tree of its log") from error
        if not is_included(leaf, serial - 1, head.size, proof, bytes.fromhex(head.root)):
            raise self._refused(f"shows {name} otherwise than its log has it")

    def _genuine(self, content: bytes) -> SignedHead:
        try:
            head = SignedHead.parse(content)
        except ValueError as error:
            raise self._refused(f"shows a head of its log that is none: {error}") from error
        if not head.is_signed_by_any(self._signed.online_keys()):
            raise self._refused("shows a head of its log that its registry did not sign")
        if head.registry != self._registry:
            raise self._refused("shows the head of another registry's log")
        return head

    def _require_growth(self, known: SignedHead, head: SignedHead) -> None:
        if head.size < known.size:
            raise self._refused(
                f"shows a log of {head.size} entries, and it had {known.size} before"
            )
        try:
            proof = consistency_proof(self._tiles.subtree, known.size, head.size)
        except IndexError as error:
            raise self._refused("lacks a part of the tree of its log") from error
        roots = (bytes.fromhex(known.root), bytes.fromhex(head.root))
        if not is_consistent(known.size, head.size, proof, *roots):
            raise self._refused(
                f"shows another history than it did: its log of {head.size} entries does not begin"
                f" with the {known.size} that were seen"
            )

    def _tile(self, level: int, index: int) -> bytes:
        return read_file(self._tree, tile_path(level, index), MAXIMUM_TILE_BYTES) or b""

    def _refused(self, reason: str) -> LogForkError:
        return LogForkError(
            f"{self._tree.place} {reason}",
            hint="ask those who run it, and other users, what they see; if it was set back to a"
            " backup, take it as another registry: onex remote remove, and add it again",
        )


def remembered_head(folder: Path) -> SignedHead | None:
    """The head that was seen last, where it is remembered; None if none was.

    Raises:
        LogForkError: there is one that cannot be read.
    """
    try:
        return SignedHead.parse((folder / HEAD_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LogForkError(
            f"the head of the log that was seen last cannot be read: {error}",
            hint=f"remove {folder / HEAD_FILE} to go on without what was seen before",
        ) from error

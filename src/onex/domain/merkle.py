"""The Merkle tree of a log, with proofs that an entry is in it, and that it only ever grew.

Source: RFC 9162 (Certificate Transparency 2.0), section 2.1. Pure functions over hashes: who has
the whole log gives the hashes of complete subtrees, who has a part asks for those that a proof
needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

Subtree = Callable[[int, int], bytes]
"""Gives the hash of a complete subtree: of the ``index``-th that has 2**``level`` entries."""


def leaf_hash(content: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(subtree: Subtree, size: int) -> bytes:
    """The root of the first ``size`` entries."""
    return _hash_of(subtree, 0, size) if size else EMPTY_ROOT


def inclusion_proof(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """The proof that the entry at ``index`` is among the first ``size`` (section 2.1.3.1)."""
    return _path(subtree, index, 0, size)


def consistency_proof(subtree: Subtree, before: int, size: int) -> list[bytes]:
    """The proof that the first ``size`` entries begin with the first ``before`` (2.1.4.1)."""
    if before in (0, size):
        return []
    return _subproof(subtree, before, 0, size, is_whole=True)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows a leaf at an index of the tree with a root (section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = node_hash(hash_, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        position, last = position >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(
    before: int, size: int, proof: Sequence[bytes], root_before: bytes, root: bytes
) -> bool:
    """Whether a proof shows that a tree grew from another (section 2.1.4.2)."""
    if before == 0:
        return not proof
    if before > size:
        return False
    if before == size:
        return not proof and root_before == root
    hashes = list(proof)
    if before & (before - 1) == 0:
        hashes.insert(0, root_before)
    if not hashes:
        return False
    position, last = before - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, hash_)
        position, last = position >> 1, last >> 1
    return last == 0 and first == root_before and second == root


def _hash_of(subtree: Subtree, start: int, end: int) -> bytes:
    """The hash of the entries from ``start`` to ``end``, which begin at a whole subtree."""
    count = end - start
    level = count.bit_length() - 1
    if count == 1 << level:
        return subtree(level, start >> level)
    middle = start + (1 << level)
    return node_hash(_hash_of(subtree, start, middle), _hash_of(subtree, middle, end))


def _split(start: int, end: int) -> int:
    """Where a tree is divided: after the largest power of two entries below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _path(subtree: Subtree, index: int, start: int, end: int) -> list[bytes]:
    if end - start <= 1:
        return []
    middle = _split(start, end)
    if index < middle:
        return [*_path(subtree, index, start, middle), _hash_of(subtree, middle, end)]
    return [*_path(subtree, index, middle, end), _hash_of(subtree, start, middle)]


def _subproof(
    subtree: Subtree, before: int, start: int, end: int, *, is_whole: bool
) -> list[bytes]:
    if before == end:
        return [] if is_whole else [_hash_of(subtree, start, end)]
    middle = _split(start, end)
    if before <= middle:
        rest = _subproof(subtree, before, start, middle, is_whole=is_whole)
        return [*rest, _hash_of(subtree, middle, end)]
    rest = _subproof(subtree, before, middle, end, is_whole=False)
    return [*rest, _hash_of(subtree, start, middle)]


class MerkleTree:
    """The tree of a whole log, which grows; hashes of complete subtrees are kept."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[]]

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add the hash of an entry."""
        level, found = 0, leaf
        while True:
            hashes = self._levels[level]
            hashes.append(found)
            if len(hashes) & 1:
                return
            found = node_hash(hashes[-2], hashes[-1])
            level += 1
            if level == len(self._levels):
                self._levels.append([])

    def subtree(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """The root of the first entries, of all by default."""
        return root_of(self.subtree, len(self) if size is None else size)

    def tile(self, level: int, index: int) -> bytes | None:
        """The hashes of up to 256 complete subtrees of 256**``level`` entries; None for none."""
        depth = level * TILE_HEIGHT
        if depth >= len(self._levels):
            return None
        start = index * TILE_WIDTH
        return b"".join(self._levels[depth][start : start + TILE_WIDTH]) or None


class TiledTree:
    """The hashes of complete subtrees, from tiles that are read as they are needed."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        """``read`` gives a tile by its level and index, in which nothing is believed."""
        self._read = read
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    def subtree(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree; raises IndexError if its tile is too short."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index = (index << height) // TILE_WIDTH
        hashes = self._tile(tile_level, tile_index)
        return hashes[height][index - ((tile_index * TILE_WIDTH) >> height)]

    def keep(self, level: int, index: int, content: bytes) -> None:
        """Take over a tile that was read together with others."""
        if (level, index) not in self._tiles:
            self._tile(level, index, content)

    def _tile(self, level: int, index: int, content: bytes | None = None) -> list[list[bytes]]:
        known = self._tiles.get((level, index))
        if known is None:
            if content is None:
                content = self._read(level, index)
            row = [content[start : start + 32] for start in range(0, len(content) // 32 * 32, 32)]
            known = [row]
            while len(row) > 1:
                row = [node_hash(*row[i : i + 2]) for i in range(0, len(row) - 1, 2)]
                known.append(row)
            self._tiles[level, index] = known
        return known

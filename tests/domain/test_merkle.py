"""The Merkle tree of RFC 9162, against its recursive definition and against forged proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.merkle import (
    EMPTY_ROOT,
    MerkleTree,
    TiledTree,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
)


def defined(leaves: list[bytes]) -> bytes:
    """The definition of section 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


def grown(size: int) -> tuple[MerkleTree, list[bytes]]:
    tree, leaves = MerkleTree(), [leaf_hash(str(n).encode()) for n in range(size)]
    for leaf in leaves:
        tree.append(leaf)
    return tree, leaves


# From RFC 6962's and RFC 9162's reference implementations: the eight entries of their test vectors.
VECTORS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def test_roots_are_those_of_the_test_vectors() -> None:
    tree = MerkleTree()
    assert tree.root() == EMPTY_ROOT
    for count, entry in enumerate(VECTORS, 1):
        tree.append(leaf_hash(bytes.fromhex(entry)))
        if count in ROOTS:
            assert tree.root().hex() == ROOTS[count]


@given(st.integers(1, 70), st.data())
def test_every_entry_has_a_proof_that_holds_for_it_alone(size: int, data: st.DataObject) -> None:
    tree, leaves = grown(size)
    root = tree.root()
    assert root == defined(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(tree.subtree, index, size)
    assert is_included(leaves[index], index, size, proof, root)
    for other in {0, size - 1, index ^ 1, index + 1, -1, size} - {index}:
        assert not is_included(leaves[index], other, size, proof, root)
    assert not is_included(leaf_hash(b"other"), index, size, proof, root)
    assert not is_included(leaves[index], index, size, [*proof, root], root)
    if proof:
        assert not is_included(leaves[index], index, size, proof[:-1], root)


@given(st.integers(1, 70), st.data())
def test_a_tree_that_grew_is_consistent_and_no_other_is(size: int, data: st.DataObject) -> None:
    tree, _ = grown(size)
    before = data.draw(st.integers(1, size))
    proof = consistency_proof(tree.subtree, before, size)
    old, new = tree.root(before), tree.root()
    assert is_consistent(before, size, proof, old, new)
    forged = hashlib.sha256(b"forged").digest()
    assert not is_consistent(before, size, proof, forged, new)
    assert not is_consistent(before, size, proof, old, forged)
    assert not is_consistent(before, size, [*proof, forged], old, new)
    assert not is_consistent(size + 1, size, proof, old, new)
    if proof:
        assert not is_consistent(before, size, proof[:-1], old, new)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600, 70_000])
def test_tiles_have_all_that_proofs_need(size: int) -> None:
    tree, leaves = grown(size)

    def read(level: int, index: int) -> bytes:
        found = tree.tile(level, index)
        assert found is not None
        assert len(found) <= 256 * 32
        return found

    tiled = TiledTree(read)
    for index in {0, size // 2, size - 1}:
        proof = inclusion_proof(tiled.subtree, index, size)
        assert is_included(leaves[index], index, size, proof, tree.root())
    for before in {1, size // 3 or 1, size}:
        proof = consistency_proof(tiled.subtree, before, size)
        assert is_consistent(before, size, proof, tree.root(before), tree.root())
    assert tree.tile(0, size // 256 + 1) is None
    assert tree.tile(9, 0) is None

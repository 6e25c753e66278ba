"""The digest of a node: one hash over the canonical list of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

DIGEST_PREFIX = "sha256:"


class FileEntry(NamedTuple):
    """One file of a node: its path with ``/`` from the node's folder, its size and its hash."""

    path: str
    size_bytes: int
    sha256: str


def digest_of_files(files: Iterable[FileEntry]) -> str:
    """The digest of a node.

    It depends on paths and contents alone, so packing the same files in another
    way or order gives the same digest.
    """
    digest = hashlib.sha256()
    for entry in sorted(files):
        digest.update(
            f"{entry.size_bytes} {entry.sha256} {entry.path}\0".encode("utf-8", "surrogateescape")
        )
    return DIGEST_PREFIX + digest.hexdigest()

"""The digest of a node: one hash over the canonical list of its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

DIGEST_PREFIX = "sha256:"
_HASH_CHARACTERS = 16
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class FileEntry(NamedTuple):
    """One file of a node: its path with ``/`` from the node's folder, its size and its hash."""

    path: str
    size_bytes: int
    sha256: str


def is_digest(text: str) -> bool:
    """Whether a text is the digest of a node."""
    return _DIGEST.fullmatch(text) is not None


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


def write_listing(files: Iterable[FileEntry]) -> str:
    """The files in one text, each with the start of its hash.

    It says which files changed, not that none did: that is what the digest is for.
    """
    return "\n".join(f"{entry.sha256[:_HASH_CHARACTERS]} {_on_a_line(entry)}" for entry in files)


def differences(
    listing: str, files: Iterable[FileEntry], contents: Mapping[str, bytes]
) -> list[str]:
    """How files differ from a listing: ``changed a.py``, ``new b.py``, ``gone c.py``, sorted.

    ``contents`` are the files' bytes by their paths: a file whose lines end in another way, as
    version control may make them, is told as that.
    """
    known = {line[_HASH_CHARACTERS + 1 :]: line[:_HASH_CHARACTERS] for line in listing.split("\n")}
    present = {_on_a_line(entry): entry for entry in files}
    found = [f"gone {path}" for path in known if path not in present]
    for path, entry in present.items():
        hash_ = known.get(path)
        if hash_ is None:
            found.append(f"new {path}")
        elif not entry.sha256.startswith(hash_):
            only_ends = hash_ in _hashes_by_line_ends(contents[entry.path])
            found.append(f"changed {path}" + " (only the ends of its lines)" * only_ends)
    return sorted(found, key=lambda text: text.partition(" ")[2])


def _hashes_by_line_ends(content: bytes) -> set[str]:
    """The starts of the hashes that a file would have with the lines of Unix and of Windows."""
    unix = content.replace(b"\r\n", b"\n")
    both = (unix, unix.replace(b"\n", b"\r\n"))
    return {hashlib.sha256(one).hexdigest()[:_HASH_CHARACTERS] for one in both}


def _on_a_line(entry: FileEntry) -> str:
    """The path of a file, with the ends of lines that it may hold written as escapes."""
    return entry.path.replace("\\", "\\\\").replace("\n", "\\n")

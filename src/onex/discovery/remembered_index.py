"""RememberedIndex: what visits to a remote left of its index.

It is kept where a walk keeps the folders it saw: a record for each file of the index that was
read, and one for the visit itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from onex.domain.reference import NodeId
from onex.remote.tree import CONFIG_PATH, name_of_path, node_of_path
from onex.storage.scan_memory import FolderSnapshot

_NEWER = "?"
"""Stands for the versions of a node all of whose lines are too new for this program."""


@dataclass(frozen=True, slots=True)
class LastVisit:
    """When a remote was visited, which registry it was, and how far its log was read.

    ``signed`` is the version of what was signed by which its files were checked, ``basis`` is what
    its versions were judged by.
    """

    registry: str
    serial: int
    time: datetime
    signed: int = 0
    basis: str = ""

    @property
    def age_seconds(self) -> float:
        """How long ago it was, in seconds; 0 if the clock went back since."""
        return max(0.0, (datetime.now(UTC) - self.time).total_seconds())

    def to_record(self) -> FolderSnapshot:
        """The record of the visit."""
        time = self.time.isoformat(timespec="seconds")
        signed, registry = str(self.signed).encode(), self.registry.encode()
        basis = self.basis.encode()
        return FolderSnapshot(CONFIG_PATH, signed, basis, str(self.serial), time, registry)


class RememberedIndex:
    """Reads the records of a remote, by the paths of the files in its index."""

    def __init__(self, records: Mapping[str, FolderSnapshot]) -> None:
        self._records = records

    def last_visit(self) -> LastVisit | None:
        """The last visit that was answered; None if there was none."""
        record = self._records.get(CONFIG_PATH)
        if record is None:
            return None
        time = datetime.fromisoformat(record.folders)
        signed = int(record.stamp or b"0")
        registry, basis = record.fingerprint.decode(), record.rules.decode()
        return LastVisit(registry, int(record.files), time, signed, basis)

    def __contains__(self, path: str) -> bool:
        """Whether a file was asked for."""
        return path in self._records

    def is_current(self, path: str) -> bool:
        """Whether a file was read, and nothing asks for it to be read again."""
        record = self._records.get(path)
        return record is not None and bool(record.fingerprint)

    def signed_state(self, path: str) -> str:
        """The signed state by which a file was checked last."""
        record = self._records.get(path)
        return "" if record is None else record.folders

    def digest(self, path: str) -> str | None:
        """The SHA-256 of a file as it was read last, in hexadecimal; None if it was not there."""
        record = self._records.get(path)
        if record is None or record.fingerprint in (b"", _hash(b"")):
            return None
        return record.fingerprint.hex()

    def checked_again(self, path: str, signed: str) -> FolderSnapshot:
        """The record of a file that is still as it was, by another signed state."""
        return self._records[path]._replace(folders=signed)

    def supplies(self, path: str) -> bool:
        """Whether a file was there, with a version or a name in it."""
        record = self._records.get(path)
        return record is not None and bool(record.files)

    def places(self, path: str) -> dict[str, str]:
        """The places of the versions in the index file of a node, by their numbers."""
        record = self._records.get(path)
        if record is None or record.files in ("", _NEWER):
            return {}
        pairs = (line.partition(" ") for line in record.files.split("\n"))
        return {version: place for version, _, place in pairs}

    def nodes_of(self, path: str) -> list[NodeId]:
        """The nodes that a file of names leads to; none if it is no file of names."""
        record = self._records.get(path) if name_of_path(path) is not None else None
        lines = [] if record is None else record.files.split("\n")
        return [NodeId.parse(line) for line in lines if line]

    def supplied_nodes(self) -> list[NodeId]:
        """The nodes that the remote supplies, as far as is known."""
        found = (node_of_path(path) for path, record in self._records.items() if record.files)
        return [node for node in found if node is not None]

    def read_again(self, path: str) -> FolderSnapshot:
        """The record of a file that the next visit must read, whatever the feed says."""
        before = self._records.get(path) or FolderSnapshot(path, b"", b"", "", "", b"")
        return before._replace(fingerprint=b"")


def record_of_names(path: str, content: bytes, nodes: Iterable[NodeId]) -> FolderSnapshot:
    """The record of a file of names; it was not there if ``content`` is empty."""
    return FolderSnapshot(path, b"", b"", "\n".join(map(str, nodes)), "", _hash(content))


def record_of_owners(path: str, content: bytes, signed: str = "") -> FolderSnapshot:
    """The record of the file of a namespace's owners; it was not there if ``content`` is empty."""
    return FolderSnapshot(path, b"", b"", "", signed, _hash(content))


def record_of_node(
    path: str,
    content: bytes,
    places: Mapping[str, str],
    *,
    has_newer: bool,
    is_whole: bool,
    signed: str = "",
) -> FolderSnapshot:
    """The record of the index file of a node.

    Args:
        path: that of the file.
        content: its bytes; empty if it was not there.
        places: those of the versions that are known of the node, by their numbers.
        has_newer: whether it has lines that are too new for this program.
        is_whole: whether all other lines could be used; if not, it is read again.
        signed: the signed state that it was checked by, empty without one.
    """
    listed = "\n".join(f"{version} {place}" for version, place in places.items())
    fingerprint = _hash(content) if is_whole else b""
    versions = listed or (_NEWER if has_newer else "")
    return FolderSnapshot(path, b"", b"", versions, signed, fingerprint)


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()

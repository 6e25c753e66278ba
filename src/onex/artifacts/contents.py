"""ArtifactContents: where a shared store keeps contents of artifacts, as copies that never change.

Each copy has a name of its own, which no other writer takes. So nothing is ever replaced, a copy
that is being read is whole, and one that is removed takes nothing from those who wrote another.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from onex.domain.digest import DIGEST_PREFIX

HOUR, DAY = 3600.0, 24 * 3600.0

FRESH_SECONDS = 5 * DAY
"""A copy that is younger may be relied on by whoever is about to record its artifact."""
RECORDED_WITHIN_SECONDS = DAY
"""How long after that the artifact is in the history at the latest."""
CLOCK_SECONDS = HOUR
"""How far the clock of a machine may be from that of the world."""
GRACE_SECONDS = FRESH_SECONDS + RECORDED_WITHIN_SECONDS + 2 * CLOCK_SECONDS
"""How old a copy must be before it is removed."""

_NAME = re.compile(r"(?P<hex>[0-9a-f]{64})/(?P<ms>[0-9]{1,15})-(?P<size>[0-9]{1,15})-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RemovedArtifacts:
    """What was removed: the digests of artifacts, and the bytes of their files."""

    digests: frozenset[str] = frozenset()
    size_bytes: int = 0

    def __add__(self, other: RemovedArtifacts) -> RemovedArtifacts:
        return RemovedArtifacts(self.digests | other.digests, self.size_bytes + other.size_bytes)


class CopyGoneError(Exception):
    """A copy is not there any more."""


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """One copy of the content of an artifact.

    ``written_at`` is the Unix time of its writer, ``mark`` what tells it from all other copies.
    """

    digest: str
    written_at: float
    size_bytes: int
    mark: str

    @classmethod
    def new(cls, digest: str, size_bytes: int, now: float) -> StoredCopy:
        """A copy that is about to be written."""
        return cls(digest, round(now, 3), size_bytes, uuid.uuid4().hex)

    @classmethod
    def parse(cls, name: str) -> StoredCopy | None:
        """Read what ``name`` gives; None for any other text."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        written_at, size = int(found["ms"]) / 1000, int(found["size"])
        return cls(DIGEST_PREFIX + found["hex"], written_at, size, name.rpartition("-")[2])

    @property
    def name(self) -> str:
        """The path of the copy below those of all artifacts."""
        written = f"{self.written_at * 1000:.0f}-{self.size_bytes}-{self.mark}"
        return f"{self.digest.removeprefix(DIGEST_PREFIX)}/{written}"

    def is_fresh(self, now: float) -> bool:
        """Whether whoever is about to record the artifact may rely on this copy."""
        return now - self.written_at < FRESH_SECONDS


def folder_of(digest: str) -> str:
    """The path of the folder for an artifact, below that for all of them."""
    hexadecimal = digest.removeprefix(DIGEST_PREFIX)
    return f"{hexadecimal[:2]}/{hexadecimal}"


class ArtifactContents(Protocol):
    """The copies of one history. One object serves many threads.

    All methods raise ArtifactsUnavailableError if the store cannot be used, now or at all.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        ...

    def copies(self, digest: str | None = None) -> Iterator[StoredCopy]:
        """The copies of an artifact, or of all of them; in any order."""
        ...

    def write(self, copy: StoredCopy, content: Path) -> None:
        """Store a copy, which is seen whole or not at all; to be given up and begun anew."""
        ...

    def read(self, copy: StoredCopy) -> Iterator[bytes]:
        """The content of a copy, piece by piece; raises CopyGoneError."""
        ...

    def remove(self, copy: StoredCopy) -> None:
        """Remove a copy; nothing happens if it is not there."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def removable(
    copies: Iterable[StoredCopy], kept: Collection[str], now: float
) -> Iterator[tuple[StoredCopy, StoredCopy | None]]:
    """Which copies may be removed, without harm to whoever is about to record an artifact.

    With each comes the copy that stays of its artifact, None if that is not recorded.

    Args:
        copies: those that were listed.
        kept: the digests that are recorded, read after the list was made.
        now: the Unix time of this machine, read before the list was made.
    """
    newest: dict[str, StoredCopy] = {}
    old: list[StoredCopy] = []
    for copy in copies:
        known = newest.setdefault(copy.digest, copy)
        if known.written_at < copy.written_at:
            newest[copy.digest] = copy
        if now - copy.written_at > GRACE_SECONDS:
            old.append(copy)
    for copy in old:
        stays = newest[copy.digest] if copy.digest in kept else None
        if stays is not copy:
            yield copy, stays

"""ArchivePlace: where the files of a published node version are, by the digest of their archive.

It takes the place of a path in the origin of a node that has no folder on this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PUBLISHED_SOURCE = "published"
"""The source of what was published to a registry itself, whose versions never change."""

ARCHIVE_PREFIX = "archive:"

_PLACE = re.compile(
    r"archive:(?P<sha256>[0-9a-f]{64}):(?P<size>[1-9][0-9]{0,11})/(?P<manifest>[^/\x00-\x1f\x7f]{1,255})"
)


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """The SHA-256 of an archive in hexadecimal, its size, and the name of the manifest in it."""

    sha256: str
    size_bytes: int
    manifest: str

    @classmethod
    def parse(cls, text: str) -> ArchivePlace | None:
        """Read what ``str`` wrote; None for any other text, such as the path of a file."""
        match = _PLACE.fullmatch(text)
        if match is None:
            return None
        return cls(match["sha256"], int(match["size"]), match["manifest"])

    def __str__(self) -> str:
        return f"archive:{self.sha256}:{self.size_bytes}/{self.manifest}"

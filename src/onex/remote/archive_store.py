"""ArchiveStore: archives in a folder, by their digests, for all projects of one user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import FileNotWrittenError
from onex.local_machine import make_folder, replace_file
from onex.remote.tree import blob_path

UNUSED_DAYS = 30
TOUCH_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class CollectedArchives:
    """How many archives garbage collection removed, and how many bytes they had."""

    removed: int
    removed_bytes: int
    kept: int


class ArchiveStore:
    """Keeps archives in the tree that ``blob_path`` gives; what is damaged counts as not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, sha256: str) -> Path:
        """Where an archive is, or would be."""
        return self.folder / blob_path(sha256)

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether an archive of this size is there; whether it is whole, ``read`` says."""
        try:
            return self.path_of(sha256).stat().st_size == size_bytes
        except OSError:
            return False

    def read(self, sha256: str) -> bytes | None:
        """An archive, checked against its digest; None if it is not there whole."""
        path = self.path_of(sha256)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            return None
        # Garbage collection goes by when an archive was used last.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > TOUCH_SECONDS:
                os.utime(path)
        return content

    def put(self, sha256: str, archive: bytes) -> None:
        """Keep an archive, on the disk when this returns.

        Raises:
            FileNotWrittenError: it could not be written.
        """
        path = self.path_of(sha256)
        if self.has(sha256, len(archive)) and self.read(sha256) is not None:
            return
        try:
            make_folder(path.parent)
        except OSError as error:
            raise FileNotWrittenError(
                f"the folder {path.parent} cannot be made: {error.strerror}",
                hint="check the folder's permissions and free space",
            ) from error
        replace_file(path, archive)

    def collect(self, unused_days: float = UNUSED_DAYS) -> CollectedArchives:
        """Remove the archives that nobody used for some days; they can be fetched again."""
        limit = time.time() - unused_days * 86_400
        removed = removed_bytes = kept = 0
        for path in self._archives():
            try:
                status = path.stat()
                if status.st_mtime >= limit:
                    kept += 1
                    continue
                path.unlink()
            except FileNotFoundError:
                continue
            removed += 1
            removed_bytes += status.st_size
        return CollectedArchives(removed, removed_bytes, kept)

    def _archives(self) -> Iterator[Path]:
        yield from (path for path in self.folder.glob("blobs/sha256/*/*") if path.is_file())

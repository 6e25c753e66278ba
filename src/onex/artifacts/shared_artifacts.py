"""SharedArtifacts: contents of artifacts that several machines use, each checked by its digest."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from onex.artifacts.contents import (
    ArtifactContents,
    CopyGoneError,
    RemovedArtifacts,
    StoredCopy,
    removable,
)
from onex.domain.digest import DIGEST_PREFIX

LOGGER = logging.getLogger("onex.artifacts")


class SharedArtifacts:
    """The rules by which machines share artifacts, whatever keeps the contents.

    Whoever is about to record an artifact calls ``keep`` first, so that a young copy is there; and
    only old copies of artifacts that nobody recorded are removed. See ``contents.removable``.
    """

    def __init__(self, contents: ArtifactContents, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives the Unix time."""
        self._contents = contents
        self._clock = clock
        self._damaged: set[str] = set()
        self._whole: dict[str, bool] = {}

    def close(self) -> None:
        """Release what the store needs."""
        self._contents.close()

    def keep(self, digest: str, size_bytes: int, content: Path) -> None:
        """Have a young copy of an artifact in the store; raises ArtifactsUnavailableError."""
        now = self._clock()
        if not any(copy.is_fresh(now) for copy in self._copies(digest)):
            self._contents.write(StoredCopy.new(digest, size_bytes, now), content)

    def has(self, digest: str) -> bool:
        """Whether the store has an artifact; raises ArtifactsUnavailableError."""
        return any(True for _ in self._copies(digest))

    def fetch(self, digest: str, target: BinaryIO) -> bool:
        """Write the content of an artifact to a file.

        Args:
            digest: which artifact.
            target: what is written to.

        Returns:
            Whether there was a whole copy; if not, what was written is of no use.

        Raises:
            ArtifactsUnavailableError: the store cannot be used.
            OSError: the file cannot be written.
        """
        for copy in sorted(self._copies(digest), key=lambda c: -c.written_at):
            target.seek(0)
            target.truncate()
            try:
                if self._is_read(copy, target):
                    return True
            except CopyGoneError:
                continue
            # What is damaged is not relied on by those who store the same content next.
            self._damaged.add(copy.name)
            LOGGER.warning("the copy %s in %s is damaged", copy.name, self._contents.place)
        return False

    def remove_others(self, kept: Callable[[], Collection[str]]) -> RemovedArtifacts:
        """Remove old copies of artifacts that are not recorded, and all but one of the others.

        Args:
            kept: gives the digests that are recorded; asked after the copies are listed.

        Raises:
            ArtifactsUnavailableError: the store cannot be used; some may be removed.
        """
        # First: a copy that grows old while this works may have been relied on meanwhile.
        now = self._clock()
        copies = list(self._contents.copies())
        removed: list[StoredCopy] = []
        for copy, stays in removable(copies, kept(), now):
            if stays is None or self._is_whole(stays):
                self._contents.remove(copy)
                removed.append(copy)
        digests = frozenset(copy.digest for copy in removed)
        return RemovedArtifacts(digests, sum(copy.size_bytes for copy in removed))

    def _is_whole(self, copy: StoredCopy) -> bool:
        """Whether a copy is what its digest says; each is read once."""
        if copy.name not in self._whole:
            try:
                with Path(os.devnull).open("wb") as nowhere:
                    self._whole[copy.name] = self._is_read(copy, nowhere)
            except CopyGoneError:
                self._whole[copy.name] = False
        return self._whole[copy.name]

    def _copies(self, digest: str) -> Iterator[StoredCopy]:
        # A store may answer with anything, also with copies of something else.
        for copy in self._contents.copies(digest):
            if copy.digest == digest and copy.name not in self._damaged:
                yield copy

    def _is_read(self, copy: StoredCopy, target: BinaryIO) -> bool:
        found, size = hashlib.sha256(), 0
        for piece in self._contents.read(copy):
            size += len(piece)
            if size > copy.size_bytes:
                return False
            found.update(piece)
            target.write(piece)
        return DIGEST_PREFIX + found.hexdigest() == copy.digest

"""Artifacts: files that nodes hand over, kept by content and passed on as read-only paths."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from onex.artifacts.file_content import CHUNK_BYTES, NotAFileError, content_digest
from onex.artifacts.records import COLLECTIONS
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import InvalidResultError
from onex.domain.json_value import JsonObject, JsonValue, as_text
from onex.local_machine import open_below
from onex.worker.context import ARTIFACT_KEY
from onex.worker.node_code import MAXIMUM_RESULT_DEPTH

MAXIMUM_ARTIFACT_BYTES = 1024 * 1024 * 1024

GRACE_SECONDS = 3600.0
"""How long an artifact that nothing refers to stays: a run that lasts may be about to."""


@dataclass(frozen=True, slots=True)
class RemovedArtifacts:
    """What was removed from the store."""

    count: int
    size_bytes: int


class ArtifactStore:
    """A folder of files by digest.

    In results an artifact is a mapping of ``$artifact`` (its digest), ``name``,
    ``size_bytes`` and ``path``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, output: JsonValue, workdir: str | Path, depth: int = 1) -> JsonValue:
        """Store every file that a result hands over and put its record in its place.

        Raises:
            InvalidResultError: a file does not lie in the execution's own folder, or the
                result is nested too deeply.
        """
        if not isinstance(output, COLLECTIONS):
            return output
        if depth > MAXIMUM_RESULT_DEPTH:
            raise InvalidResultError(
                f"the result is nested more than {MAXIMUM_RESULT_DEPTH} levels deep",
                hint="hand deep structures over as artifacts",
            )
        if isinstance(output, dict):
            if ARTIFACT_KEY in output:
                return self._store(output[ARTIFACT_KEY], workdir)
            return {key: self.take(member, workdir, depth + 1) for key, member in output.items()}
        return [self.take(member, workdir, depth + 1) for member in output]

    def _store(self, written: JsonValue, workdir: str | Path) -> JsonValue:
        found = _file_below(Path(workdir), written) if isinstance(written, str) else None
        if found is None:
            raise InvalidResultError(
                f"the artifact {written!r} is not a file of this execution",
                hint="write it below context.workdir and return context.artifact(path)",
            )
        name, content = found
        size = os.fstat(content.fileno()).st_size
        if size > MAXIMUM_ARTIFACT_BYTES:
            raise InvalidResultError(
                f"the artifact {name} has {size} bytes, more than an artifact may have",
                hint="split it",
            )
        try:
            with content:
                digest, size = self._keep(content, name)
        except OSError as error:
            raise InvalidResultError(
                f"the artifact {name} cannot be stored: {error.strerror}",
                hint=f"check the space and the permissions of {self._folder}",
            ) from error
        target = self._path(digest, name)
        return {
            ARTIFACT_KEY: digest,
            "name": name,
            "size_bytes": size,
            "path": str(target),
        }

    def _keep(self, content: BinaryIO, name: str) -> tuple[str, int]:
        """Copy a file to where its content says; returns its digest and size.

        What is hashed is what is stored, whatever still writes to the file. Each writer has a
        draft of its own: others may store the same content.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4().hex}"
        try:
            digest, size = _copied(content, draft)
            target = self._path(digest, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Also if one is there: it may be damaged, and a new one is not removed as left over.
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return digest, size

    def has_content(self, record: JsonObject) -> bool:
        """Whether the artifact of a record is stored, with the content that its digest says."""
        digest, path = as_text(record[ARTIFACT_KEY]), Path(as_text(record["path"]))
        try:
            return path.stat().st_size == record["size_bytes"] and content_digest(path) == digest
        except (OSError, NotAFileError):
            return False

    def path_of(self, digest: str, name: str) -> Path:
        """Where the artifact of a digest is, under a name."""
        return self._path(digest, name)

    def _path(self, digest: str, name: str) -> Path:
        hexadecimal = digest.removeprefix(DIGEST_PREFIX)
        return self._folder / hexadecimal[:2] / hexadecimal / name

    def remove_others(
        self, kept: Collection[str], grace_seconds: float = GRACE_SECONDS
    ) -> RemovedArtifacts:
        """Remove the artifacts that are not among the given digests and not new."""
        newest = time.time() - grace_seconds
        count = size = 0
        for draft in self._folder.glob(".*"):
            # What a process that was killed was about to store.
            if draft.is_file() and draft.stat().st_mtime <= newest:
                draft.unlink(missing_ok=True)
        for place in self._folder.glob("??/*"):
            if DIGEST_PREFIX + place.name in kept:
                continue
            files = [(file, file.stat()) for file in place.iterdir()]
            if any(status.st_mtime > newest for _, status in files):
                continue
            for file, status in files:
                file.unlink()
                size += status.st_size
            place.rmdir()
            count += 1
        return RemovedArtifacts(count, size)


def _file_below(folder: Path, written: str) -> tuple[str, BinaryIO] | None:
    """The name and the content of the file that a node names, if it is one below a folder.

    The node may still run, and put links in the place of whatever lies below its folder or of the
    folder itself. So names are looked up from above, where it cannot write, and no link is
    followed.
    """
    base = folder.parent.parent
    try:
        above = base.resolve()
        own = PurePath(folder.parent.name, folder.name)
        path = PurePath(os.path.normpath(above / own / written))
        for known in (folder, above / own):
            if path.is_relative_to(known) and path != known:
                descriptor = open_below(above, own / path.relative_to(known))
                return path.name, os.fdopen(descriptor, "rb")
    except (OSError, ValueError, RuntimeError):
        return None
    return None


def _copied(source: BinaryIO, target: Path) -> tuple[str, int]:
    """Copy a file and have the copy written to the disk; returns its digest and size."""
    found, size = hashlib.sha256(), 0
    with target.open("xb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
            if size > MAXIMUM_ARTIFACT_BYTES:
                raise OSError(errno.EFBIG, "it grows without end")
            copy.write(chunk)
        copy.flush()
        os.fchmod(copy.fileno(), 0o444)
        os.fsync(copy.fileno())
    return DIGEST_PREFIX + found.hexdigest(), size

"""ArtifactStore: files that nodes hand over, kept by content and passed on as read-only paths."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from onex.artifacts.contents import RemovedArtifacts, folder_of
from onex.artifacts.file_content import CHUNK_BYTES, NotAFileError, content_digest
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.artifact_records import (
    COLLECTIONS,
    artifacts_in,
    is_artifact,
    marked_in,
    with_records,
)
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import FileNotWrittenError, InvalidResultError
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue, as_text
from onex.local_machine import locked, open_below
from onex.remote.deadline_calls import call_beside
from onex.worker.node_code import MAXIMUM_RESULT_DEPTH

MAXIMUM_ARTIFACT_BYTES = 1024 * 1024 * 1024

GRACE_SECONDS = 3600.0
"""How long an artifact that nothing refers to stays: a run that lasts may be about to."""


class ArtifactStore:
    """A folder of files by digest, and the store that other machines share, if there is one.

    In results an artifact is a mapping of ``$artifact`` (its digest), ``name``,
    ``size_bytes`` and ``path``, which is that on the machine that recorded it.
    """

    def __init__(self, folder: Path, shared: SharedArtifacts | None = None) -> None:
        self._folder = folder
        self._shared = shared

    def shared_by(self, shared: SharedArtifacts) -> ArtifactStore:
        """The same folder with another shared store, which somebody else closes."""
        return ArtifactStore(self._folder, shared)

    @property
    def is_shared(self) -> bool:
        """Whether artifacts of other machines can be had."""
        return self._shared is not None

    def close(self) -> None:
        """Release what the shared store needs."""
        if self._shared is not None:
            self._shared.close()

    def take(self, output: JsonValue, workdir: str | Path, depth: int = 1) -> JsonValue:
        """Store every file that a result hands over and put its record in its place.

        Other machines have them when ``share`` was called.

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

    def share(self, output: JsonValue) -> None:
        """Have the artifacts that were taken from a result in the shared store, if there is one.

        Raises:
            ArtifactsUnavailableError: the shared store cannot be used.
        """
        if self._shared is None:
            return
        for record in artifacts_in(output):
            path = Path(as_text(record["path"]))
            self._shared.keep(as_text(record[ARTIFACT_KEY]), path.stat().st_size, path)

    def stored(self, output: JsonValue, *, fetches: bool) -> JsonValue:
        """A result whose artifacts another machine stored, with their records as they are here.

        Args:
            output: the result.
            fetches: whether the files must be here, too.

        Raises:
            InvalidResultError: what is marked as an artifact is none that was stored.
            ArtifactsUnavailableError: the shared store cannot be used.
            FileNotWrittenError: a file cannot be written.
        """

        def here(record: JsonObject) -> JsonObject:
            digest, name = as_text(record[ARTIFACT_KEY]), as_text(record["name"])
            if fetches and self.fetch(digest, name) is None:
                raise InvalidResultError(
                    f"the artifact {name} is not in the store", hint="run the step again"
                )
            return {**record, "path": str(self.path_of(digest, name))}

        marked = next((m for m in marked_in(output) if not is_artifact(m)), None)
        if marked is not None:
            raise InvalidResultError(
                f"the artifact {marked[ARTIFACT_KEY]!r} is not one that was stored",
                hint="return context.artifact(path)",
            )
        return with_records(output, here) if any(artifacts_in(output)) else output

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
        return {
            ARTIFACT_KEY: digest,
            "name": name,
            "size_bytes": size,
            "path": str(self.path_of(digest, name)),
        }

    def _keep(self, content: BinaryIO, name: str) -> tuple[str, int]:
        """Copy a file to where its content says; returns its digest and size.

        What is hashed is what is stored, whatever still writes to the file. Each writer has a
        draft of its own: others may store the same content.
        """
        with self._draft() as draft:
            with draft.open("xb") as copy:
                digest, size = _copied(content, copy)
            self._adopt(draft, self.path_of(digest, name))
        return digest, size

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """The path of a file that is about to be stored; it is gone after the block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4().hex}"
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def _adopt(self, draft: Path, target: Path) -> None:
        """Put a file in its place, also if one is there, which may be damaged."""
        draft.chmod(0o444)
        with locked(self._folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)

    def has_content(self, record: JsonObject) -> bool:
        """Whether the artifact of a record can be had, without fetching it.

        Raises:
            ArtifactsUnavailableError: the shared store cannot be used.
        """
        digest, name = as_text(record[ARTIFACT_KEY]), as_text(record["name"])
        if _is_whole(self.path_of(digest, name), digest):
            return True
        return self.has_shared(digest)

    def has_shared(self, digest: str) -> bool:
        """Whether the shared store has an artifact; raises ArtifactsUnavailableError."""
        return self._shared is not None and self._shared.has(digest)

    def bring(
        self, record: JsonObject, go_on: Callable[[], None] = lambda: None
    ) -> JsonObject | None:
        """Have the artifact of a record here, with the content that its digest says.

        Whoever is about to record it may rely on it being there, and in the shared store.

        Args:
            record: the record, perhaps of another machine.
            go_on: called again and again until it is here; what it raises ends the waiting.

        Returns:
            The record as it is on this machine; None if the artifact cannot be had.

        Raises:
            ArtifactsUnavailableError: the shared store cannot be used.
            FileNotWrittenError: the file cannot be written.
        """
        if self._shared is None:
            return self._bring(record)
        # A store that hangs must not hold up the thread that has everything else to do.
        return call_beside(lambda: self._bring(record), go_on)

    def _bring(self, record: JsonObject) -> JsonObject | None:
        digest = as_text(record[ARTIFACT_KEY])
        path = self.fetch(digest, as_text(record["name"]))
        if path is None:
            return None
        if self._shared is not None:
            self._shared.keep(digest, path.stat().st_size, path)
        return {**record, "path": str(path)}

    def fetch(self, digest: str, name: str) -> Path | None:
        """The file of an artifact under a name, from the shared store if it is not here.

        None if there is none; raises as ``bring``.
        """
        path = self.path_of(digest, name)
        if self._renewed(path, digest):
            return path
        if self._shared is None:
            return None
        try:
            with self._draft() as draft:
                with draft.open("xb") as file:
                    if not self._shared.fetch(digest, file):
                        return None
                    file.flush()
                    os.fsync(file.fileno())
                self._adopt(draft, path)
        except OSError as error:
            raise FileNotWrittenError(
                f"the artifact {path.name} cannot be stored here: {error.strerror or error}",
                hint=f"check the space and the permissions of {self._folder}",
            ) from error
        return path

    def _renewed(self, path: Path, digest: str) -> bool:
        """Whether a file is here as it was; it counts as new from now on."""
        if not _is_whole(path, digest):
            return False
        try:
            with locked(self._folder):
                os.utime(path)
        except FileNotFoundError:
            return False
        except OSError:
            # It is somebody else's, who alone can remove it.
            return True
        return True

    def path_of(self, digest: str, name: str) -> Path:
        """Where the artifact of a digest is on this machine, under a name."""
        # It may be the name on another machine, and must not lead out of the store.
        name = PurePath(name.replace("\0", "")).name
        name = "artifact" if name in {"", ".."} else name
        return self._folder / folder_of(digest) / name

    def remove_others(
        self, kept: Callable[[], Collection[str]], grace_seconds: float = GRACE_SECONDS
    ) -> RemovedArtifacts:
        """Remove the artifacts that are not recorded and not new, here and in the shared store.

        Args:
            kept: gives the digests that are recorded; asked after it is seen what there is.
            grace_seconds: how long ago an artifact must have been stored or used here.

        Raises:
            ArtifactsUnavailableError: the shared store cannot be used; what is here is removed.
        """
        newest = time.time() - grace_seconds
        for draft in self._folder.glob(".*"):
            # What a process that was killed was about to store.
            if draft.is_file() and draft.stat().st_mtime <= newest:
                draft.unlink(missing_ok=True)
        places = list(self._folder.glob("??/*"))
        recorded = kept() if places else ()
        others = [place for place in places if DIGEST_PREFIX + place.name not in recorded]
        removed = RemovedArtifacts()
        for place in others:
            removed += self._remove_old(place, newest)
        return removed if self._shared is None else removed + self._shared.remove_others(kept)

    def _remove_old(self, place: Path, newest: float) -> RemovedArtifacts:
        """Remove an artifact under all of its names, unless it is new."""
        # A run that is about to record it again makes it new under the same lock.
        with locked(self._folder):
            try:
                files = [(file, file.stat()) for file in place.iterdir()]
                if any(status.st_mtime > newest for _, status in files):
                    return RemovedArtifacts()
                for file, _ in files:
                    file.unlink()
                place.rmdir()
            except FileNotFoundError:
                # Another process removes what is left over, too.
                return RemovedArtifacts()
        size = sum(status.st_size for _, status in files)
        return RemovedArtifacts(frozenset([DIGEST_PREFIX + place.name]), size)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return content_digest(path) == digest
    except (OSError, NotAFileError):
        return False


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


def _copied(source: BinaryIO, copy: BinaryIO) -> tuple[str, int]:
    """Copy a file and have the copy written to the disk; returns its digest and size."""
    found, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        found.update(chunk)
        size += len(chunk)
        if size > MAXIMUM_ARTIFACT_BYTES:
            raise OSError(errno.EFBIG, "it grows without end")
        copy.write(chunk)
    copy.flush()
    os.fsync(copy.fileno())
    return DIGEST_PREFIX + found.hexdigest(), size

"""FolderContents: a shared store of artifacts in a folder, which may lie on a network share.

Nothing rests on times that a file server sets, on locks, or on the order of its renames: a copy is
written beside the others and then given its name, which nobody else will use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from onex.artifacts.contents import DAY, CopyGoneError, StoredCopy, folder_of
from onex.artifacts.file_content import CHUNK_BYTES
from onex.domain.errors import ArtifactsUnavailableError
from onex.local_machine import make_folder

MARK_FILE = "onex-artifacts"
"""In the root of every store, so that a share that is not mounted is not taken for an empty one."""

_ATTEMPTS = 5


class FolderContents:
    """Copies below ``root/GROUP/sha256/``."""

    def __init__(self, root: Path, group: str, seen: Path | None = None) -> None:
        """Nothing is asked of the folder yet.

        Args:
            root: where the store is.
            group: keeps histories apart that share it.
            seen: a folder of this machine's own, where it notes which stores it has seen; one that
                it has not is made. None if the store must be there.
        """
        self._root = root
        self._seen = seen
        self._preparing = threading.Lock()
        self._folder = root / group / "sha256"
        self.place = str(root)

    def close(self) -> None:
        """Do nothing: files are open while they are used."""

    def copies(self, digest: str | None = None) -> Iterator[StoredCopy]:
        self._require_mark()
        pattern = "??/*" if digest is None else folder_of(digest)
        for folder in self._folder.glob(pattern):
            try:
                names = os.listdir(folder)  # noqa: PTH208 - names alone
            except OSError:
                # Removed meanwhile.
                continue
            for name in names:
                copy = StoredCopy.parse(f"{folder.name}/{name}")
                if copy is not None:
                    yield copy

    def write(self, copy: StoredCopy, content: Path) -> None:
        self._require_mark()
        draft = self.draft_of(copy)
        try:
            make_folder(self._folder)
            with content.open("rb") as source, draft.open("xb") as target:
                shutil.copyfileobj(source, target, CHUNK_BYTES)
                target.flush()
                os.fsync(target.fileno())
            self.publish(copy, draft)
        except OSError as error:
            raise self._unavailable("cannot be written", error) from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def draft_of(self, copy: StoredCopy) -> Path:
        """Where a copy is written before it gets its name; what is left is removed some day."""
        return self._folder / f".{copy.mark}"

    def publish(self, copy: StoredCopy, draft: Path) -> None:
        """Give a file of the store's own file system the name of a copy; raises OSError."""
        target = self.path_of(copy)
        for attempt in range(_ATTEMPTS):
            try:
                make_folder(target.parent)
                draft.rename(target)
                break
            except FileNotFoundError:
                # The answer to an earlier rename was lost, or the folder was removed as empty.
                if _has_size(target, copy.size_bytes):
                    break
                if attempt == _ATTEMPTS - 1 or not draft.exists():
                    raise
        if not _has_size(target, copy.size_bytes):
            target.unlink(missing_ok=True)
            raise OSError(f"the copy does not have {copy.size_bytes} bytes")

    def read(self, copy: StoredCopy) -> Iterator[bytes]:
        try:
            with self.path_of(copy).open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except FileNotFoundError as error:
            self._require_mark()
            raise CopyGoneError from error
        except OSError as error:
            if error.errno == errno.ESTALE:
                # Another machine removed it while it was read here, by NFS.
                raise CopyGoneError from error
            raise self._unavailable("cannot be read", error) from error

    def has(self, copy: StoredCopy) -> bool:
        """Whether a copy is there."""
        return self.path_of(copy).is_file()

    def path_of(self, copy: StoredCopy) -> Path:
        """Where the file of a copy is, if it is there."""
        return self._folder / folder_of(copy.digest) / copy.name.partition("/")[2]

    def remove(self, copy: StoredCopy) -> None:
        path = self.path_of(copy)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable("cannot be written", error) from error
        # Others may be about to write a copy there, and make the folder anew then.
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        """Remove what writers that were killed left behind, long ago by the server's own clock."""
        probe = self._folder / f".{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            probe.touch()
            now = probe.stat().st_mtime
            for draft in self._folder.glob(".*"):
                if draft == probe or now - draft.stat().st_mtime > 2 * DAY:
                    draft.unlink(missing_ok=True)

    def _require_mark(self) -> None:
        with self._preparing:
            if self._seen is not None:
                prepare_folder(self._root, self._seen)
                self._seen = None
        try:
            (self._root / MARK_FILE).stat()
        except OSError as error:
            raise self._unavailable("is not there, or is not mounted", error) from error

    def _unavailable(self, what: str, error: OSError) -> ArtifactsUnavailableError:
        reason = error.strerror or str(error)
        return ArtifactsUnavailableError(
            f"the store of artifacts {self._root} {what}: {reason}",
            hint="check that the share is mounted, its permissions and free space; a folder whose"
            f" file {MARK_FILE} is missing is not the store",
        )


def prepare_folder(root: Path, seen: Path) -> None:
    """Make a folder a store of artifacts, if it never was one as far as this machine knows.

    Args:
        root: the folder.
        seen: a folder of this machine's own, where it notes which stores it has seen.

    Raises:
        ArtifactsUnavailableError: the folder was a store and is none now, or cannot be made one.
    """
    mark = root / MARK_FILE
    note = seen / f"{uuid.uuid5(uuid.NAMESPACE_URL, root.absolute().as_uri()).hex}.seen"
    try:
        if not mark.exists():
            if note.exists():
                raise ArtifactsUnavailableError(
                    f"the store of artifacts {root} is not there, or is not mounted",
                    hint=f"mount it; if it is gone for good, remove {note} to begin a new one",
                )
            make_folder(root)
            mark.write_text(f"artifacts of onex, since {time.strftime('%Y-%m-%d')}\n")
        if not note.exists():
            make_folder(seen)
            note.touch()
    except OSError as error:
        raise ArtifactsUnavailableError(
            f"the folder {root} cannot be made a store of artifacts: {error.strerror or error}",
            hint="check that the share is mounted, its permissions and free space",
        ) from error


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False

"""FolderTree: the tree of a registry in a folder, such as one on a share or a stick."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from onex.domain.remote_errors import RemoteProtocolError, RemoteUnavailableError
from onex.local_machine import open_below
from onex.remote.tree import (
    CHANGES_PATH,
    MAXIMUM_CHANGES_BYTES,
    Change,
    FileAnswer,
    Progress,
    blob_path,
    read_changes,
    read_file,
)


class FolderTree:
    """Reads the tree in a folder; no link in it is followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        return str(self._folder)

    def allow(self, seconds: float) -> None:
        """Files are there, or not."""

    def at_least(self, serial: int) -> None:
        """Files are read as they are."""

    def read(self, paths: Sequence[str], maximum_bytes: int) -> list[FileAnswer]:
        if not self._folder.is_dir():
            raise RemoteUnavailableError(
                f"{self._folder} is not there", hint="mount the share, or put the stick in"
            )
        return [self._read(path, maximum_bytes) for path in paths]

    def changes(self, since: int) -> list[Change]:
        return read_changes(read_file(self, CHANGES_PATH, MAXIMUM_CHANGES_BYTES) or b"", since)

    def blob(self, sha256: str, size_bytes: int, told: Progress) -> bytes:
        content = read_file(self, blob_path(sha256), size_bytes)
        if content is None or len(content) != size_bytes:
            raise RemoteProtocolError(
                f"{self._folder} lacks the archive {sha256[:16]}..., or has not all of it",
                hint="copy the folder anew: onex remote mirror",
            )
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RemoteProtocolError(
                f"the archive {sha256[:16]}... in {self._folder} is damaged",
                hint="copy the folder anew: onex remote mirror",
            )
        told(len(content))
        return content

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, path: str, maximum_bytes: int) -> FileAnswer:
        try:
            with os.fdopen(open_below(self._folder, PurePosixPath(path)), "rb") as file:
                content = file.read(maximum_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            # Also a link in the place of a file or of a folder, which is not followed.
            return RemoteProtocolError(
                f"{self._folder / path} cannot be read: {error.strerror}",
                hint="check the folder; no link in it is followed",
            )
        if len(content) > maximum_bytes:
            return RemoteProtocolError(
                f"{self._folder / path} has more than {maximum_bytes} bytes",
                hint="tell those who run the registry",
            )
        return content

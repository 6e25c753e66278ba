"""Digests of the content of files and folders."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from onex.domain.digest import DIGEST_PREFIX

CHUNK_BYTES = 1024 * 1024


class NotAFileError(Exception):
    """A path leads to something that is neither a file nor a folder; the message says to what."""


def require_file_or_folder(path: Path) -> None:
    """Refuse what cannot be read from its start to its end, a pipe say.

    Raises:
        NotAFileError: the path leads to such a thing.
        OSError: nothing is there, or it may not be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise NotAFileError(f"{path} is {_kind(mode)}, neither a file nor a folder")


def content_digest(path: Path, go_on: Callable[[], None] = lambda: None) -> str:
    """The digest of a file's content, or of a folder's tree: names, contents and links.

    Args:
        path: the file or folder.
        go_on: called between pieces of work; what it raises ends the work.

    Raises:
        NotAFileError: the path leads to something else.
        OSError: something cannot be read.
    """
    require_file_or_folder(path)
    return f"{DIGEST_PREFIX}{_digest(path, go_on).hexdigest()}"


def _digest(path: Path, go_on: Callable[[], None]) -> hashlib._Hash:
    found = hashlib.sha256()
    if path.is_dir():
        for name, entry in _entries(path, ""):
            go_on()
            found.update(os.fsencode(name) + b"\0")
            if entry.is_symlink():
                found.update(b"link\0" + os.fsencode(Path(entry.path).readlink()) + b"\0")
                if entry.is_dir():
                    found.update(_linked_folder(path, Path(entry.path), go_on))
            if entry.is_file():
                found.update(b"file\0" + _digest(Path(entry.path), go_on).digest())
            else:
                found.update(b"other\0")
        return found
    # Between the look at the path and this, something that blocks may have taken its place.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFileError(f"{path} is {_kind(mode)}, not a file")
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
            go_on()
    return found


def _linked_folder(folder: Path, link: Path, go_on: Callable[[], None]) -> bytes:
    """The digest of the folder that a link leads to; a constant if it contains the link."""
    target = link.resolve()
    if folder.resolve().is_relative_to(target) or target.is_relative_to(folder.resolve()):
        return b"within\0"
    return b"folder\0" + _digest(target, go_on).digest()


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield f"{prefix}{entry.name}", entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), f"{prefix}{entry.name}/")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"

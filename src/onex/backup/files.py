"""Files of a backup: walked, copied and told apart, each on the disk when it was written."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import FileNotWrittenError
from onex.domain.json_value import JsonValue
from onex.local_machine import create_file, make_folder

CHUNK_BYTES = 1024 * 1024

_TOP = PurePosixPath()


@contextmanager
def refusals_told(place: Path, hint: str) -> Iterator[None]:
    """Raise FileNotWrittenError for what the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise FileNotWrittenError(
            f"{error.filename or place}: {error.strerror or error}", hint=hint
        ) from error


def files_below(root: Path, inner: PurePosixPath = _TOP) -> Iterator[PurePosixPath]:
    """The files below a folder; raises OSError for what is neither a file nor a folder."""
    try:
        entries = sorted(os.scandir(root / inner), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(root, inner / entry.name)
        elif entry.is_file():
            yield inner / entry.name
        elif os.path.lexists(entry.path):
            raise OSError(None, "it is neither a file nor a folder", entry.path)


def _open(path: Path) -> BinaryIO:
    """A regular file, open for reading; raises OSError for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def content_of(path: Path) -> bytes | None:
    """What a file holds; None if there is none."""
    try:
        with _open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def copy_file(source: Path, target: Path, *, keeps_time: bool) -> None:
    """Copy a file, with its mode and the group of the folder that it comes to."""
    try:
        opened = _open(source)
    except FileNotFoundError:
        # It was removed after it was listed, so nothing refers to it.
        return
    make_folder(target.parent)
    draft = target.with_name(f".{uuid.uuid4().hex}")
    try:
        create_file(draft)
        with opened, draft.open("r+b") as copy:
            status = os.fstat(opened.fileno())
            os.fchmod(copy.fileno(), 0o600)
            while chunk := opened.read(CHUNK_BYTES):
                copy.write(chunk)
            copy.flush()
            if keeps_time:
                os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            os.fsync(copy.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


def write_file(file: Path, content: bytes) -> None:
    """Write a file that is not there yet; raises OSError."""
    with file.open("xb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digests_below(folder: Path) -> dict[str, JsonValue]:
    """What tells each file below a folder from any other, by its path."""
    found: dict[str, JsonValue] = {}
    for inner in files_below(folder):
        if (folder / inner).is_symlink():
            raise OSError(None, "it is a link", str(folder / inner))
        digest, size = digest_and_size(folder / inner)
        found[str(inner)] = {"digest": digest, "size_bytes": size}
    return found


def digest_and_size(path: Path) -> tuple[str, int]:
    """The digest of a file and its size in bytes; raises OSError."""
    found, size = hashlib.sha256(), 0
    with _open(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
    return DIGEST_PREFIX + found.hexdigest(), size

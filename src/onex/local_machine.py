"""What onex needs of the machine it runs on: files that are replaced whole, folders, the user."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onex.domain.errors import FileNotWrittenError, Location

NEW_FILE_MODE = 0o666
MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def user_name() -> str:
    """The name of the user, or their number if the machine has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def machine_name() -> str:
    """The identity of this machine: that of its system, or its host name.

    The identity must not be shown as it is (machine-id(5)).
    """
    for file in MACHINE_ID_FILES:
        with contextlib.suppress(OSError, ValueError):
            identity = Path(file).read_text(encoding="ascii").strip()
            if len(identity) == 32:
                return identity
    return platform.node()


def owner_of(path: Path) -> str:
    """The name of the user to whom a file belongs, or the number if it has no name.

    Raises:
        OSError: there is no such file, or it may not be looked at.
    """
    number = path.lstat().st_uid
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"uid-{number}"


def replace_text(path: Path, text: str) -> None:
    """Replace a text file whole; lines end as they did before (CRLF or LF).

    Raises:
        FileNotWrittenError: the file could not be written; what was there is there still.
    """
    with contextlib.suppress(OSError):
        if b"\r\n" in path.read_bytes():
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    replace_file(path, text.encode("utf-8"))


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file whole: readers see what was there before, or all of the new content.

    The file keeps its mode and, if possible, its owner; a link stays a link.

    Raises:
        FileNotWrittenError: the file could not be written; what was there is there still.
    """
    try:
        target = Path(os.path.realpath(path))
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                _take_after(file.fileno(), target)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileNotWrittenError(
            f"{path} could not be written: {error.strerror or error}",
            hint="what was there is unchanged; check the folder's permissions and free space",
            location=Location(str(path)),
        ) from error


def create_file(path: Path) -> None:
    """Make an empty file if there is none, with the mode that umask gives and the folder's group.

    Raises:
        OSError: it cannot be made.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, flags, NEW_FILE_MODE)
        try:
            _share_with_group(descriptor, path.parent)
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, with the group of the folder they are made in.

    Raises:
        OSError: one cannot be made.
    """
    missing = [path]
    while not missing[-1].parent.exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                _share_with_group(descriptor, folder.parent)
            finally:
                os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, read-only folders too, as far as permissions allow."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(place).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder meanwhile."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take_after(descriptor: int, target: Path) -> None:
    """Give a new file the mode and owner of the one it replaces, or of a new one."""
    if not hasattr(os, "fchmod"):
        return
    try:
        status = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_FILE_MODE & ~_umask())
        _share_with_group(descriptor, target.parent)
        return
    with contextlib.suppress(OSError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _share_with_group(descriptor: int, folder: Path) -> None:
    """Give a new file the group of its folder, if this user may."""
    if hasattr(os, "fchown"):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, -1, folder.stat().st_gid)


def _umask() -> int:
    """The umask of this process; there is no way to ask for it without setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

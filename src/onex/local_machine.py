"""What onex needs of the machine it runs on: files that are replaced whole, folders, the user."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import platform
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

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


_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, read-only folders too, as far as permissions allow.

    No link is followed, and folders may be nested deeper than a path can say: each is moved to the
    top before it is looked into.
    """
    if os.name != "posix":
        shutil.rmtree(folder, ignore_errors=True)
        return
    if folder.is_symlink():
        folder.unlink()
        return
    try:
        _open_up(folder)
        root = os.open(folder, _FOLDER_FLAGS)
    except OSError:
        return
    try:
        pending = [""]
        while pending:
            name = pending.pop()
            pending += _empty(root, name)
            if name:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _empty(root: int, name: str) -> list[str]:
    """Remove the files of a folder in ``root``, and move the folders in it to ``root``."""
    moved: list[str] = []
    try:
        if name:
            _open_up(name, root)
        descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=root) if name else os.dup(root)
    except OSError:
        return moved
    try:
        for entry in os.listdir(descriptor):  # noqa: PTH208 - by a descriptor
            try:
                os.unlink(entry, dir_fd=descriptor)
            except OSError:
                draft = f".removed-{uuid.uuid4().hex}"
                with contextlib.suppress(OSError):
                    _open_up(entry, descriptor)
                    os.rename(entry, draft, src_dir_fd=descriptor, dst_dir_fd=root)
                    moved.append(draft)
    except OSError:
        return moved
    finally:
        os.close(descriptor)
    return moved


def _open_up(folder: str | Path, parent: int | None = None) -> None:
    """Let the owner of a folder into it; a link in its place is not followed."""
    if not hasattr(os, "O_PATH"):
        os.chmod(folder, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        with contextlib.suppress(OSError):
            Path(f"/proc/self/fd/{descriptor}").chmod(0o700)
    finally:
        os.close(descriptor)


def open_below(folder: Path, inner: PurePath) -> int:
    """Open a regular file below a folder for reading, without following any link below it.

    Raises:
        OSError: it is not there, is no regular file, or a link leads to it.
    """
    descriptor = os.open(folder, _FOLDER_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))
    try:
        *above, name = inner.parts
        for part in above:
            deeper = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return file


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder or file meanwhile."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder for its owner alone, which is gone after the block.

    Those that processes of this user left which were killed are removed first: nobody holds their
    locks.

    Raises:
        OSError: it cannot be made.
    """
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError, ImportError), _locked_at_once(left):
            remove_tree(left)
    name = uuid.uuid4().hex
    # It gets the name by which others find it when it is locked.
    draft, folder = parent / f".made-{name}", parent / f"{prefix}{name}"
    draft.mkdir(mode=0o700)
    try:
        with locked(draft):
            draft.rename(folder)
            yield folder
    finally:
        remove_tree(draft)
        remove_tree(folder)


@contextmanager
def _locked_at_once(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; raises OSError if another has it, or it is another user's."""
    import fcntl

    descriptor = os.open(folder, _FOLDER_FLAGS)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "another user's", str(folder))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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

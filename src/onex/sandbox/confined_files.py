"""Files that the host opens and changes for a confined process, below places that it may use."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable, Sequence

from onex.domain.path_text import is_within
from onex.sandbox.system_calls import Kernel

_BENEATH, _NO_MAGIC_LINKS, _NO_LINKS = 0x08, 0x02, 0x04
_OPEN_HOW = struct.Struct("=QQQ")
_READING_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOCTTY
PERMISSION_BITS = 0o777


def place_of(path: str, places: Iterable[str]) -> str | None:
    """Of some files and folders, the one that a path is, or lies below; None if in none."""
    return next((place for place in places if is_within(path, place)), None)


def open_beneath(kernel: Kernel, place: str, path: str, flags: int, mode: int = 0) -> int:
    """Open a file that is a place or lies below it, and nothing that links lead to elsewhere.

    Raises:
        OSError: it cannot be opened, as for the user of this process.
    """
    inner = os.path.relpath(path, place)
    # A file has no folder of its own to stay beneath.
    is_file = inner == "." and not stat.S_ISDIR(os.lstat(place).st_mode)
    root, name = os.path.split(place) if is_file else (place, inner)
    # The place is a real path, unless somebody put a link into it since.
    folder = open_without_links(kernel, root, os.O_PATH | os.O_DIRECTORY)
    try:
        resolve = _BENEATH | _NO_MAGIC_LINKS | (_NO_LINKS if is_file else 0)
        how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
        return kernel.call("openat2", folder, ctypes.c_char_p(os.fsencode(name)), how, len(how))
    finally:
        os.close(folder)


def open_without_links(kernel: Kernel, path: str, flags: int) -> int:
    """Open an absolute path no part of which is a link; raises OSError, ELOOP if one is."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, _NO_LINKS | _NO_MAGIC_LINKS)
    return kernel.call("openat2", -100, ctypes.c_char_p(os.fsencode(path)), how, len(how))


def open_for_reading(
    kernel: Kernel, place: str, path: str, flags: int, hidden: Sequence[str]
) -> int:
    """Open a file or folder that was handed over to be read.

    Raises:
        OSError: EACCES if more than reading is asked for, if it is neither file nor folder, or if
            it is below a hidden folder that the place only contains.
    """
    if flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Opening a pipe would wait for its other end.
    descriptor = open_beneath(kernel, place, path, flags & _READING_FLAGS | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    real = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - in every call
    is_hidden = place_of(real, hidden) is not None and place_of(place, hidden) is None
    if is_hidden or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        os.close(descriptor)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    os.set_blocking(descriptor, True)
    return descriptor


def change_mode(kernel: Kernel, place: str, path: str, mode: int) -> None:
    """Change who may read and write a file, but never as whom it runs; raises OSError."""
    descriptor = open_beneath(kernel, place, path, os.O_PATH)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode & PERMISSION_BITS)  # noqa: PTH101
    finally:
        os.close(descriptor)


def change_times(
    kernel: Kernel, place: str, path: str, times: tuple[int, int] | None, *, follow: bool
) -> None:
    """Set the times of access and of change, in nanoseconds; None for now; raises OSError."""
    flags = os.O_PATH | (0 if follow else os.O_NOFOLLOW)
    descriptor = open_beneath(kernel, place, path, flags)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            return
        own = f"/proc/self/fd/{descriptor}"
        os.utime(own) if times is None else os.utime(own, ns=times)
    finally:
        os.close(descriptor)

"""Landlock: which files a process and all that it starts may touch (landlock(7)).

Every version of the interface from 1 on is used as far as the kernel offers it. What an older
kernel does not govern, ``seccomp_filter`` refuses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from enum import IntFlag
from typing import ClassVar

from onex.sandbox.confined_files import open_without_links
from onex.sandbox.system_calls import Kernel

NEWEST_KNOWN_VERSION = 7
_VERSION_FLAG = 1
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP)
_PATH_BENEATH = 1


class Access(IntFlag):
    """Rights to files, as ``linux/landlock.h`` has them."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_SINCE = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}
NETWORK_VERSION = 4
SCOPE_VERSION = 6

READ = Access.READ_FILE | Access.READ_DIR
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SYM
    | Access.MAKE_FIFO
    | Access.REFER
)
_OF_FILES = (
    Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
)


class _RulesetAttributes(ctypes.Structure):
    _fields_: ClassVar = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneathAttributes(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_: ClassVar = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def landlock_version(kernel: Kernel) -> int:
    """The version of the interface that the kernel offers; 0 if it offers none."""
    try:
        return kernel.call("landlock_create_ruleset", 0, 0, _VERSION_FLAG)
    except OSError:
        return 0


class Ruleset:
    """Rules that are gathered, and then put on the calling thread for good."""

    def __init__(self, kernel: Kernel, version: int) -> None:
        """Begin with rules that allow nothing; raises OSError if the kernel refuses."""
        self._kernel = kernel
        self._handled = Access(0)
        for access in Access:
            if version >= _SINCE.get(access, 1):
                self._handled |= access
        attributes = _RulesetAttributes(
            self._handled,
            # Binding and connecting by TCP.
            3 if version >= NETWORK_VERSION else 0,
            # Abstract sockets, and signals, of processes outside.
            3 if version >= SCOPE_VERSION else 0,
        )
        fields = 3 if version >= SCOPE_VERSION else 2 if version >= NETWORK_VERSION else 1
        self._descriptor = kernel.call(
            "landlock_create_ruleset", ctypes.byref(attributes), 8 * fields, 0
        )

    def allow(self, paths: Iterable[str], access: Access, *, real: bool = False) -> None:
        """Allow access to files, and to all that is below folders.

        Paths that are not there are left out; so are ``real`` ones into which somebody put a
        link.
        """
        for path in paths:
            try:
                if real:
                    descriptor = open_without_links(self._kernel, path, os.O_PATH)
                else:
                    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
                continue
            try:
                self._allow(descriptor, access)
            finally:
                os.close(descriptor)

    def _allow(self, descriptor: int, access: Access) -> None:
        allowed = access & self._handled
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= _OF_FILES
        rule = _PathBeneathAttributes(allowed, descriptor)
        self._kernel.call(
            "landlock_add_rule", self._descriptor, _PATH_BENEATH, ctypes.byref(rule), 0
        )

    def enforce(self) -> None:
        """Restrict this thread, and all that it starts from now on; needs no_new_privs."""
        self._kernel.call("landlock_restrict_self", self._descriptor, 0)
        os.close(self._descriptor)

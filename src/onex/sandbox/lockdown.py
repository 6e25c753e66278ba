"""Lockdown: takes from the calling process, for good, all that its rules do not give.

Runs in the process that is to be confined, before any code of the node, and in this order:
session and parent, descriptors, limits, no_new_privs, capabilities, Landlock, seccomp. Every
step must succeed.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from typing import ClassVar

from onex.domain.path_text import is_within
from onex.sandbox import landlock, seccomp_filter
from onex.sandbox.rules import (
    OWN_PROCESS_FILES,
    PROGRAM_LOADERS,
    SYSTEM_DEVICES,
    SYSTEM_FILES,
    SandboxRules,
)
from onex.sandbox.system_calls import Kernel

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES = 1, 4, 38
_DROP_BOUNDING, _AMBIENT, _CLEAR_ALL_AMBIENT = 24, 47, 4
_CAPABILITY_VERSION = 0x2008_0522
_SET_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 8, 32
_SPARE_ADDRESS_SPACE = 2 * 1024**3
"""Address space is reserved far beyond what is used: by stacks of threads, say."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What confines a process: the version of Landlock, and whether the host answers calls."""

    landlock_version: int
    listens: bool


class LockdownError(Exception):
    """A step failed, so the process must not go on."""


class _Program(ctypes.Structure):
    _fields_: ClassVar = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


class _CapabilityHeader(ctypes.Structure):
    _fields_: ClassVar = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def lock_down(
    rules: SandboxRules, folders: tuple[str, ...], channel: socket.socket, parent: int
) -> Applied:
    """Confine this process, which has one thread.

    Args:
        rules: what it may do.
        folders: its working folders, which it may write to.
        channel: where the listener for calls that the host decides is sent.
        parent: the process at whose end this one ends too.

    Raises:
        LockdownError: a step failed; the process is confined in part only and must end.
    """
    try:
        kernel = Kernel()
        version = min(landlock.landlock_version(kernel), landlock.NEWEST_KNOWN_VERSION)
        if version < 1:
            raise LockdownError("the kernel has no Landlock")
        kernel.control(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            raise LockdownError("the parent is gone")
        # The host reads paths and addresses from this process's memory.
        kernel.control(_SET_DUMPABLE, 1)
        _set_limits(rules)
        kernel.control(_SET_NO_NEW_PRIVILEGES, 1)
        _drop_capabilities(kernel)
        _restrict_files(kernel, version, rules, folders)
        return Applied(version, _filter_calls(kernel, version, rules, channel))
    except OSError as error:
        raise LockdownError(str(error)) from error


def _set_limits(rules: SandboxRules) -> None:
    limits = rules.limits
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_AS, limits.memory + _SPARE_ADDRESS_SPACE),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 64 * 1024),
    ):
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def _drop_capabilities(kernel: Kernel) -> None:
    # Neither root nor an executed file can bring them back.
    kernel.control(_AMBIENT, _CLEAR_ALL_AMBIENT)
    header = _CapabilityHeader(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    kernel.call("capget", ctypes.byref(header), sets)
    if sets[0] & 1 << 8:
        # CAP_SETPCAP, without which nothing can be dropped and nothing is to be dropped.
        for capability in range(64):
            with contextlib.suppress(OSError):
                kernel.control(_DROP_BOUNDING, capability)
    kernel.call("capset", ctypes.byref(header), (ctypes.c_uint32 * 6)())


def _restrict_files(
    kernel: Kernel, version: int, rules: SandboxRules, folders: tuple[str, ...]
) -> None:
    ruleset = landlock.Ruleset(kernel, version)
    python = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path)
    searched = [path for path in python if path and not _leads_to(path, rules.hidden)]
    # Not all of it: the state of the network is there, too.
    own = [f"/proc/{os.getpid()}/{name}" for name in OWN_PROCESS_FILES]
    ruleset.allow((*SYSTEM_FILES, *searched, *own), landlock.READ)
    ruleset.allow(rules.read, landlock.READ, real=True)
    ruleset.allow(SYSTEM_DEVICES, landlock.Access.READ_FILE | landlock.Access.WRITE_FILE)
    ruleset.allow((*rules.write, *folders), landlock.WRITE, real=True)
    if rules.execute:
        executable = landlock.Access.EXECUTE | landlock.Access.READ_FILE
        ruleset.allow((*rules.execute, *PROGRAM_LOADERS), executable)
    ruleset.enforce()


def _leads_to(path: str, hidden: tuple[str, ...]) -> bool:
    """Whether reading a folder would show one that is to stay hidden."""
    real = os.path.realpath(path)
    return any(is_within(folder, real) for folder in hidden)


def _filter_calls(
    kernel: Kernel, version: int, rules: SandboxRules, channel: socket.socket
) -> bool:
    """Put the filter on; returns whether the host listens for calls that it decides."""
    # Without the second flag (Linux 5.19), signals interrupt calls that wait for the host.
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER, 0):
        listens = flags != 0
        options = seccomp_filter.FilterOptions(
            architecture=kernel.architecture,
            landlock_version=version,
            process_id=os.getpid(),
            listens=listens,
            starts_processes=rules.starts_processes,
            executes=bool(rules.execute),
            connects=bool(rules.hosts),
            asks_for_files=rules.asks_for_files,
        )
        calls = seccomp_filter.allowed_calls(options)
        code = seccomp_filter.assemble(calls, kernel.architecture)
        program = _Program(len(code) // 8, code)
        try:
            listener = kernel.call("seccomp", _SET_FILTER, flags, ctypes.byref(program))
        except OSError:
            if not listens:
                raise
            # Or somebody around this process listens already, of whom there is one at most.
            continue
        if listens:
            channel.sendmsg([b"L"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed(listener))])
            os.close(listener)
        return listens
    raise AssertionError("the loop returns or raises")


def _packed(descriptor: int) -> bytes:
    return array.array("i", [descriptor]).tobytes()

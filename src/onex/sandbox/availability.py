"""Whether this machine can confine the processes of nodes."""

from __future__ import annotations

import os
import sys

_GET_ACTION_AVAILABLE = 2
_KILL_PROCESS = 0x8000_0000


def offered() -> str:
    """What confines nodes here, in words."""
    from onex.sandbox.landlock import NEWEST_KNOWN_VERSION, SCOPE_VERSION, landlock_version
    from onex.sandbox.system_calls import Kernel

    version = landlock_version(Kernel())
    known = min(version, NEWEST_KNOWN_VERSION)
    parts = [f"Landlock {version}" + (f" (used as {known})" if known < version else "")]
    if version < SCOPE_VERSION:
        parts.append("seccomp in place of what this Landlock does not govern")
    return ", ".join((*parts, "a list of allowed system calls"))


def can_take_sockets() -> bool:
    """Whether the host can connect the sockets of nodes: containers often forbid how."""
    from onex.sandbox.system_calls import Kernel

    try:
        process = os.pidfd_open(os.getpid())
        try:
            os.close(Kernel().call("pidfd_getfd", process, process, 0))
        finally:
            os.close(process)
    except OSError:
        return False
    return True


def why_not_strict() -> str | None:
    """Why strict isolation cannot be had here, in words; None if it can."""
    if sys.platform != "linux":
        return f"{sys.platform} has neither Landlock nor seccomp"
    # Other systems have none of what these modules name.
    import ctypes

    from onex.sandbox.landlock import landlock_version
    from onex.sandbox.system_calls import Kernel, machine

    if machine() is None:
        return "the system calls of this processor are not known to onex"
    kernel = Kernel()
    if landlock_version(kernel) < 1:
        return "the kernel has no Landlock, or it is switched off (see lsm= of its command line)"
    action = ctypes.c_uint32(_KILL_PROCESS)
    try:
        kernel.call("seccomp", _GET_ACTION_AVAILABLE, 0, ctypes.byref(action))
    except OSError:
        return "the kernel has no seccomp filters"
    return None

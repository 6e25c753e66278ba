"""Calls of a confined process that wait for the host's answer (seccomp_unotify(2))."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import struct
import threading
from dataclasses import dataclass

_RECEIVE, _SEND, _IS_VALID, _ADD = 0xC050_2100, 0xC018_2101, 0x4008_2102, 0x4018_2103
_CONTINUE = 1
_ADD_AND_SEND = 2
_REQUEST = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_DESCRIPTOR = struct.Struct("=QIIII")
_THREAD_GROUP = re.compile(rb"^Tgid:\t(\d+)$", re.MULTILINE)

MAXIMUM_TEXT_BYTES = 4096
"""As long as a path may be (PATH_MAX)."""


class CallGoneError(Exception):
    """The call is not waiting any more: its process was killed, or the thread interrupted."""


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A system call that waits: its number, arguments, and the thread that makes it."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


class Listener:
    """Takes the calls of one process and of all that it started, and answers them."""

    def __init__(self, descriptor: int) -> None:
        """``descriptor`` is that of the filter; it can be waited for, and read if a call waits."""
        self.descriptor = descriptor
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Answer nothing any more; calls that wait fail with ENOSYS."""
        with self._lock:
            self._is_closed = True
            os.close(self.descriptor)

    def receive(self) -> WaitingCall | None:
        """The next call; None if it is gone by now."""
        waiting = select.poll()
        waiting.register(self.descriptor, select.POLLIN)
        if not any(events & select.POLLIN for _, events in waiting.poll(0)):
            # Receiving would wait.
            return None
        buffer = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, buffer, True)  # noqa: FBT003 - as fcntl has it
        except OSError:
            return None
        identifier, thread, _, number, _, _, *arguments = _REQUEST.unpack(buffer)
        return WaitingCall(identifier, thread, number, tuple(arguments))

    def require(self, call: WaitingCall) -> None:
        """Make sure that what was read of a process is of the one that made the call.

        Raises:
            CallGoneError: the call does not wait any more; the number may be another process's.
        """
        try:
            fcntl.ioctl(self.descriptor, _IS_VALID, struct.pack("=Q", call.id))
        except OSError as error:
            raise CallGoneError from error

    def text(self, call: WaitingCall, address: int) -> bytes:
        """The text at an address of the caller, up to its NUL; raises CallGoneError, OSError."""
        return self.memory(call, address, MAXIMUM_TEXT_BYTES).partition(b"\0")[0]

    def memory(self, call: WaitingCall, address: int, size: int) -> bytes:
        """Bytes of the caller's memory, fewer at the end of it; raises CallGoneError, OSError."""
        descriptor = os.open(f"/proc/{call.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.pread(descriptor, size, address)
        except OverflowError as error:
            raise OSError(errno.EFAULT, "no address") from error
        finally:
            os.close(descriptor)
        self.require(call)
        return found

    def process_of(self, call: WaitingCall) -> int:
        """The process of the thread that makes a call; raises CallGoneError, OSError."""
        with open(f"/proc/{call.thread}/status", "rb") as file:  # noqa: PTH123 - in every call
            match = _THREAD_GROUP.search(file.read())
        self.require(call)
        if match is None:
            raise CallGoneError
        return int(match[1])

    def proceed(self, call: WaitingCall) -> None:
        """Let the kernel make the call, under all its other rules."""
        self._send(_ANSWER.pack(call.id, 0, 0, _CONTINUE))

    def succeed(self, call: WaitingCall) -> None:
        """Answer in the kernel's place that the call succeeded."""
        self._send(_ANSWER.pack(call.id, 0, 0, 0))

    def fail(self, call: WaitingCall, error: int) -> None:
        """Answer with an error, such as EPERM."""
        self._send(_ANSWER.pack(call.id, 0, -error, 0))

    def give(self, call: WaitingCall, descriptor: int, *, close_on_exec: bool) -> None:
        """Answer with a descriptor of the host, which the caller gets under a number of its own.

        Raises:
            OSError: the caller has as many open files as it may.
        """
        flags = os.O_CLOEXEC if close_on_exec else 0
        request = _DESCRIPTOR.pack(call.id, _ADD_AND_SEND, descriptor, 0, flags)
        with self._lock:
            if not self._is_closed:
                fcntl.ioctl(self.descriptor, _ADD, request)

    def _send(self, answer: bytes) -> None:
        # By several threads, and after the end of the process its number may be another's.
        with self._lock, contextlib.suppress(OSError):
            if not self._is_closed:
                fcntl.ioctl(self.descriptor, _SEND, answer)

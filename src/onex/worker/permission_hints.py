"""PermissionHints: which permission a node seems to lack, judging by what it tried last.

Only a hint for people: it runs in the node's own process, which may do with it what it likes.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LONGEST_CHAIN = 10
_CHANGES = frozenset(
    ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate")
)
_PROGRAMS = frozenset(("subprocess.Popen", "os.exec", "os.posix_spawn"))
_FILES = frozenset(("open", "os.listdir", "os.scandir", *_CHANGES, *_PROGRAMS))
_TELLING = _FILES | {"os.fork", "socket.__new__", "socket.connect", "socket.getaddrinfo"}
_KEPT = 100


class PermissionHints:
    """Follows what the interpreter tells of what a node does (PEP 578)."""

    def __init__(self) -> None:
        """From now on; this cannot be ended."""
        self._recent: deque[tuple[str, tuple[object, ...]]] = deque(maxlen=_KEPT)
        sys.addaudithook(self._note)

    def missing(self, error: BaseException | None) -> str | None:
        """The permission, or the limit, whose lack may have led to an error; None if none did."""
        for _ in range(_LONGEST_CHAIN):
            if isinstance(error, PermissionError | socket.gaierror):
                return self._needed(error.filename)
            if isinstance(error, BlockingIOError):
                return "limits:processes"
            if isinstance(error, MemoryError):
                return "limits:memory"
            if isinstance(error, RuntimeError) and "start new thread" in str(error):
                return "limits:threads"
            if error is None:
                return None
            error = error.__cause__ or error.__context__
        return None

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        # In the way of everything that the node does, so that nothing is worked out here.
        if event in _TELLING:
            self._recent.append((event, arguments))

    def _needed(self, filename: object) -> str | None:
        """The permission for what was tried last: with a file, if an error names that."""
        for event, arguments in reversed(self._recent):
            is_of_file = event in _FILES
            if is_of_file is (filename is not None) and (not is_of_file or filename in arguments):
                return _needed(event, arguments)
        return None


def _needed(event: str, arguments: tuple[object, ...]) -> str | None:
    """The permission for what the interpreter told of."""
    if event == "os.fork":
        return "limits:processes"
    if event == "socket.__new__":
        return "network.connect:HOST"
    first = arguments[0] if arguments else None
    if event == "socket.connect":
        target = arguments[1]
        if isinstance(target, tuple) and len(target) > 1:
            return f"network.connect:{target[0]}:{target[1]}"
        return None
    if not isinstance(first, str):
        return None
    if event == "socket.getaddrinfo":
        port = arguments[1]
        return f"network.connect:{first}" + (f":{port}" if port else "")
    if event in _PROGRAMS:
        return f"process.execute:{first}"
    path = os.path.abspath(first)  # noqa: PTH100 - links are not followed
    if event == "open":
        flags = arguments[2]
        is_writing = isinstance(flags, int) and flags & _WRITING
        return f"file.{'write' if is_writing else 'read'}:{path}"
    if event in _CHANGES:
        return f"file.write:{path.rpartition('/')[0]}/**"
    return f"file.read:{path.rstrip('/')}/**"

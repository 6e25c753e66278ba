"""What the processes of a session use, as ``/proc`` shows it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STATE, _SESSION, _THREADS, _RESIDENT = 0, 3, 17, 21
_FIRST_TICKS = 11
"""Of its own in user and system mode, then of those that it started and asked for their end."""


@dataclass(slots=True)
class Usage:
    """What one or several processes use at a moment."""

    processes: int = 0
    threads: int = 0
    memory_bytes: int = 0
    cpu_seconds: float = 0.0


def usage_of(session: int, *, alone: bool) -> Usage:
    """What a session uses; ``alone`` if it has one process, so that no other is looked at."""
    usage = Usage()
    found = _status_of(str(session)) if alone else None
    for status in ([found] if found else []) if alone else _in_session(session):
        usage.processes += 1
        usage.threads += int(status[_THREADS])
        usage.memory_bytes += int(status[_RESIDENT]) * _PAGE_BYTES
        ticks = sum(map(int, status[_FIRST_TICKS : _FIRST_TICKS + 4]))
        usage.cpu_seconds += ticks / _TICKS_PER_SECOND
    return usage


def _in_session(session: int) -> Iterator[list[bytes]]:
    wanted = str(session).encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 - twenty times a second
        if name.isdigit() and (status := _status_of(name)) and status[_SESSION] == wanted:
            yield status


def _status_of(name: str) -> list[bytes] | None:
    """The fields of ``/proc/PID/stat`` after the name; None if the process ended."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    # One at its end counts as long as nobody asked how it ended; other threads of it may go on.
    return None if fields[_STATE] == b"X" else fields


def size_of_tree(folder: str, enough: int) -> int:
    """Bytes that files below a folder take, at least a block for each; counts up to ``enough``.

    What cannot be looked into, or is too deep to be named, counts as more than enough.
    """
    total, pending = 0, [folder]
    while pending and total <= enough:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        total += max(status.st_blocks * 512, 512)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return enough + 1
    return total


def size_of_unlinked(session: int) -> int:
    """Bytes of the files that a process has open and that have no name any more."""
    total, seen, folder = 0, set(), f"/proc/{session}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - by the number of the process
            with contextlib.suppress(OSError):
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116
                key = (status.st_dev, status.st_ino)
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and key not in seen:
                    seen.add(key)
                    total += status.st_blocks * 512
    return total

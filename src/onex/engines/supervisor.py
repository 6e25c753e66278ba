"""Supervisor: ends what nodes started when the process that runs them is gone, however it ended.

Run as a script it reads from standard input which groups of processes there are, each by its
mark: ``+MARK`` before one starts, ``=MARK PID`` when it has, ``-MARK`` when it is gone. The
input ends with the host; what is left then is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

ROUNDS = 10

if __name__ != "__main__":
    import subprocess
    import threading


def kill_marked(marks: set[bytes]) -> None:
    """End every process with one of the marks in its environment, as ``/proc`` shows it.

    Again, as long as some of them may have forked meanwhile.
    """
    for _ in range(ROUNDS):
        found = _marked(marks)
        if not found:
            return
        for process_id in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process_id, signal.SIGKILL)


def _marked(marks: set[bytes]) -> list[int]:
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would hold up the start
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    environment = file.read()
            except OSError:
                continue
            if not marks.isdisjoint(environment.split(b"\0")):
                found.append(int(name))
    return found


def _watch() -> None:
    """Follow the host to its end, and end what it left."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[bytes, int] = {}
    for line in sys.stdin.buffer:
        mark, _, process_id = line[1:].strip().partition(b" ")
        if line.startswith(b"-"):
            groups.pop(mark, None)
        else:
            groups[mark] = int(process_id or 0)
    for process_id in groups.values():
        if process_id:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process_id, signal.SIGKILL)
    if groups and sys.platform == "linux":
        kill_marked(set(groups))


if __name__ == "__main__":
    _watch()
else:

    class Supervisor:
        """The host's side: a process that starts with the first group."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._process: subprocess.Popen[bytes] | None = None

        def expect(self, mark: str) -> None:
            """A group is about to start."""
            self._tell(f"+{mark}\n")

        def note_start(self, mark: str, process_id: int) -> None:
            """A group has started, with this process at its head."""
            self._tell(f"={mark} {process_id}\n")

        def note_end(self, mark: str) -> None:
            """A group is gone."""
            self._tell(f"-{mark}\n")

        def close(self) -> None:
            """Let the process go, once nothing is left to look after."""
            with self._lock:
                process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                process.wait()

        def _tell(self, line: str) -> None:
            with self._lock, contextlib.suppress(OSError):
                if self._process is None:
                    self._process = subprocess.Popen(
                        [sys.executable, "-I", "-S", __file__],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        cwd="/",
                        start_new_session=True,
                        bufsize=0,
                    )
                if self._process.stdin is not None:
                    self._process.stdin.write(line.encode())

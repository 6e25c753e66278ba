"""What inline nodes print and log, told apart by the thread in which each call runs."""

from __future__ import annotations

import sys
import threading
from typing import TextIO, cast

from onex.execution.redaction import LogTail


class OutputCapture:
    """While installed, what a thread prints goes to the log of its call, if it has one."""

    def __init__(self) -> None:
        self._current = threading.local()
        self._streams = (
            _Stream(sys.stdout, self._current),
            _Stream(sys.stderr, self._current),
        )

    def install(self) -> None:
        """Put the streams in the place of the process's own."""
        sys.stdout, sys.stderr = (cast("TextIO", stream) for stream in self._streams)

    def remove(self) -> None:
        """Put the process's own streams back, unless somebody else has changed them since."""
        out, err = self._streams
        if sys.stdout is cast("TextIO", out):
            sys.stdout = out.original
        if sys.stderr is cast("TextIO", err):
            sys.stderr = err.original

    def begin(self, log: LogTail) -> None:
        """From now on this thread prints to a log."""
        self._current.log = log

    def end(self) -> None:
        """From now on this thread prints as before."""
        self._current.log = None


class _Stream:
    def __init__(self, original: TextIO, current: threading.local) -> None:
        self.original = original
        self._current = current

    def write(self, text: str) -> int:
        log: LogTail | None = getattr(self._current, "log", None)
        if log is None:
            return self.original.write(text)
        log.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.original, name)

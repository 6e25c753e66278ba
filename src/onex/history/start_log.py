"""StartLog: which calls of a run have started, noted by the threads that start them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from onex.domain.errors import StorageError


class StartLog(Protocol):
    """Notes the starts of one run; every method raises StorageError if the storage fails."""

    def note(self, call_id: str) -> None:
        """A call starts now; several threads may say so at once.

        If this raises, the call must not start.
        """
        ...

    def close(self) -> None:
        """Note nothing more."""
        ...

    def remove(self) -> None:
        """Forget the starts: the ends of all these calls are recorded."""
        ...


class FileStartLog:
    """The starts of one run in a file.

    A line appended to a file is there when the process is killed, and costs a few microseconds in
    the thread that makes the call; a transaction in the history would hold up the one thread that
    may write there.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises StorageError."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._error(error) from error

    def note(self, call_id: str) -> None:
        line = f"{call_id}\t{time.time():.3f}\n".encode()
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise self._error(error) from error
        if written < len(line):
            raise StorageError(f"{self._path} cannot be written", hint="free space on the disk")

    def _error(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self._path} cannot be written: {error.strerror}",
            hint="check that the folder can be written and the disk has space",
        )

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def write_starts(path: Path, call_ids: Iterable[str]) -> None:
    """Put these calls in the place of those that a log names; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text("".join(f"{call_id}\n" for call_id in call_ids), encoding="utf-8")
    draft.replace(path)


def read_starts(path: Path) -> dict[str, float | None]:
    """The calls that a log names, and when they started (Unix time; None if it does not say).

    There are none if there is no log.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return {}
    # What follows the last end of a line was cut off, and so had not started.
    texts = (line.decode("utf-8", "replace").partition("\t") for line in lines[:-1])
    return {call_id: _moment(started) for call_id, _, started in texts}


def _moment(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""ProcessHolder: runs of one machine, each held by a process as long as that process exists."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from onex.domain.result import RunStatus
from onex.history.live_log import mark_of_file
from onex.history.run_holder import Assignment
from onex.history.start_log import FileStartLog, read_starts, write_starts
from onex.storage.sql.connection import SqlConnection


class ProcessHolder:
    """Knows the processes of runs by their numbers, and the starts of calls from files."""

    nobody = (Assignment("process_id", "?", 0), Assignment("process_started", "?", ""))
    shown = "process_id || ' ' || process_started"

    def __init__(self, connection: SqlConnection, folder: Path) -> None:
        """``folder`` holds the starts of each run that did not end."""
        self._connection = connection
        self._folder = folder

    def close(self) -> None:
        """There is nothing but files."""

    def is_live(self, shown: str) -> bool:
        process_id, _, started = shown.partition(" ")
        return is_running(int(process_id), started)

    def take(self, run_id: str) -> Sequence[Assignment]:
        mine = os.getpid()
        return (
            Assignment("process_id", "?", mine),
            Assignment("process_started", "?", start_of_process(mine)),
        )

    def require(self, run_id: str) -> None:
        """Nobody takes over a run whose process exists."""

    def held(self, run_id: str, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        # Who wants the run to end sends a signal, which the run itself waits for.
        return nullcontext()

    def interrupt(self, run_id: str) -> bool:
        rows = self._connection.rows(
            "SELECT process_id, process_started FROM runs WHERE run_id = ? AND status = ?",
            (run_id, RunStatus.RUNNING.value),
        )
        if not rows or not rows[0][1] or not is_running(*rows[0]):
            return False
        try:
            os.kill(rows[0][0], signal.SIGINT)
        except OSError:
            return False
        return True

    def start_log(self, run_id: str, repeatable: Container[str]) -> FileStartLog:
        return FileStartLog(self._file(run_id))

    def note_ended(self, run_id: str, call_ids: Iterable[str]) -> None:
        """That a call ended is in the history."""

    def starts(self, run_id: str) -> Mapping[str, float | None]:
        return read_starts(self._file(run_id))

    def keep_starts(self, run_id: str, call_ids: Collection[str]) -> None:
        if call_ids:
            write_starts(self._file(run_id), call_ids)
        else:
            self._file(run_id).unlink(missing_ok=True)

    def mark_of_starts(self, run_id: str) -> str:
        return mark_of_file(self._file(run_id))

    def _file(self, run_id: str) -> Path:
        return self._folder / run_id


def start_of_process(process_id: int) -> str:
    """When a process started, in a form that only serves to compare; empty if unknown."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in brackets may hold spaces; the start is the 22nd field (proc(5)).
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_running(process_id: int, started: str) -> bool:
    """Whether a process exists; true if the system cannot tell.

    Args:
        process_id: its number.
        started: what ``start_of_process`` said of it, or nothing.
    """
    if os.name != "posix":
        return True
    if not process_id:
        # Zero would mean this process's own group.
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if _has_ended(process_id):
        return False
    now = start_of_process(process_id)
    return not started or not now or started == now


def _has_ended(process_id: int) -> bool:
    """Whether a process ended and only waits for the one that started it to notice."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return False

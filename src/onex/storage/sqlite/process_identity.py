"""Whether the process that wrote something still runs, though numbers of processes return."""

from __future__ import annotations

import os
from pathlib import Path


def start_of_process(process_id: int) -> str:
    """When a process started, in a form that only serves to compare; empty where unknown."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in brackets may hold spaces; the start is the 22nd field (proc(5)).
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_running(process_id: int, started: str) -> bool:
    """Whether a process exists; where that cannot be asked safely, it is taken to exist.

    Args:
        process_id: its number.
        started: what ``start_of_process`` said of it, or nothing.
    """
    if os.name != "posix":
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    now = start_of_process(process_id)
    return not started or not now or started == now

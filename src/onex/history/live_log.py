"""LiveLog: what the calls of a run print, for those who watch it before it is recorded.

It is not part of the history: it may be lost with the run, whose journal then has the whole logs.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

MAXIMUM_CALLS = 50
MAXIMUM_CHARACTERS = 8_000


class LiveLog:
    """The tails of what calls printed, in one file that is replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[str, str] = {}

    def write(self, logs: Mapping[str, str]) -> None:
        """Take the place of what was there; a file that cannot be written costs nothing else."""
        some = {
            call_id: text[-MAXIMUM_CHARACTERS:]
            for call_id, text in list(logs.items())[-MAXIMUM_CALLS:]
            if text
        }
        if some == self._written:
            return
        self._written = some
        draft = self._path.with_name(f".{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                json.dump(some, file)
            draft.replace(self._path)

    def close(self) -> None:
        """Forget it all: the run is over."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_live_logs(path: Path) -> dict[str, str]:
    """What calls printed until now; nothing if nothing is written there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def added_to(before: str, now: str) -> str:
    """What a tail of a text has beyond an earlier tail of it."""
    if now.startswith(before):
        return now[len(before) :]
    # The beginning was cut off meanwhile: go on after the end of what was told.
    end = before[-200:]
    place = now.rfind(end)
    return now[place + len(end) :] if place >= 0 else now


def mark_of_file(path: Path) -> str:
    """What tells one content of a file from another that came before it."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}.{status.st_mtime_ns}"

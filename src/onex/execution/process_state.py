"""ProcessState: what a call may change in its worker process, and what is put back after it."""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # as the standard library has it
import contextlib
import os
import sys
import threading
from pathlib import Path

_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGCHLD, _signal.SIGPIPE)


class ProcessState:
    """Environment, search path, umask and working folder as they were before any call.

    Imported inside workers: ``_locale`` and ``_signal`` are there already, while the modules
    over them would hold up the start.
    """

    def __init__(self, folder: Path) -> None:
        """``folder`` is where the process stands between calls."""
        self._folder = folder
        os.chdir(folder)
        self._environment = dict(os.environ)
        self._path = list(sys.path)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._unchangeable = self._observed()

    def is_lost(self) -> bool:
        """Whether a call changed what cannot be put back: locale, signals, threads that go on."""
        return self._observed() != self._unchangeable

    def put_back(self) -> None:
        """Undo what the last call changed."""
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        os.umask(self._umask)
        if sys.path != self._path:
            sys.path[:] = self._path
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)

    def _observed(self) -> tuple[object, ...]:
        return (
            _locale.setlocale(_locale.LC_ALL, None),
            threading.active_count(),
            *(_signal.getsignal(number) for number in _SIGNALS),
        )

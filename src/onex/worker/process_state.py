"""ProcessState: what a call may change in its worker process, and what is put back after it."""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # as the standard library has it
import _thread
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_SIGNALS = tuple(_signal.valid_signals())


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
        self._variables = dict(_variables())
        self._path = list(sys.path)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._unchangeable = self._observed()

    def is_lost(self) -> bool:
        """Whether a call changed what cannot be put back.

        That is the locale, signals, and threads and processes that go on.
        """
        return self._observed() != self._unchangeable or _has_children()

    def put_back(self) -> None:
        """Undo what the last call changed."""
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        os.umask(self._umask)
        if sys.path != self._path:
            sys.path[:] = self._path
        if _variables() != self._variables:
            os.environ.clear()
            os.environ.update(self._environment)

    def _observed(self) -> tuple[object, ...]:
        return (
            _locale.setlocale(_locale.LC_ALL, None),
            _thread._count(),
            _signal.getitimer(_signal.ITIMER_REAL)[0] > 0,
            frozenset(_signal.pthread_sigmask(_signal.SIG_BLOCK, [])),
            *(_signal.getsignal(number) for number in _SIGNALS),
        )


def _variables() -> Mapping[bytes, bytes]:
    """The environment as the system has it: decoding all of it takes longer than a short call."""
    found: Mapping[bytes, bytes] = vars(os.environ)["_data"]
    return found


def _has_children() -> bool:
    """Whether there are processes that a call started; whoever waits for them still can."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

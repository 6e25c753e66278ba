"""Cancellation: the wish that a run ends, which any thread may have at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancellation:
    """Asks for the end of the run that it is handed to, before that begins or while it lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_requested = False
        self._cancel: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask for the end of the run; it ends as one that was cancelled. Any thread may ask."""
        with self._lock:
            self._is_requested = True
            cancel = self._cancel
        if cancel is not None:
            cancel()

    @contextmanager
    def attached(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Within the block ``cancel`` is called, once or more, if the end is asked for."""
        with self._lock:
            self._cancel = cancel
            is_requested = self._is_requested
        if is_requested:
            cancel()
        try:
            yield
        finally:
            with self._lock:
                self._cancel = None

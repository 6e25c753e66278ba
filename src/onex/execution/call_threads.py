"""CallThreads: a fixed number of threads, each taking the next piece of work when it is free.

``concurrent.futures`` would do, at 20 us a call for futures and locks that a run
does not need: its results come back through a queue of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")


class CallThreads(Generic[Work]):
    """Executes work in threads that start when they are first needed."""

    def __init__(self, number: int, execute: Callable[[Work], None]) -> None:
        """``execute`` must not raise."""
        self._number = number
        self._execute = execute
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Work) -> None:
        """Queue work; it is taken in the order in which it was queued."""
        self._work.put(work)
        if len(self._threads) < self._number:
            thread = threading.Thread(target=self._serve, name="onex-call", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Wait until all that was queued is done and the threads have ended."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            self._execute(work)

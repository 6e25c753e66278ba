"""RegistryThreads: a few threads with a registry each, which an event loop asks."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio

from onex.domain.agent_errors import ServerBusyError
from onex.registry import Registry

Answer = TypeVar("Answer")
_Job = Callable[[Callable[[], Registry]], None]


class RegistryThreads:
    """Asks registries in threads of their own, each of which serves one question at a time."""

    def __init__(
        self, open_registry: Callable[[], Registry], *, threads: int, waiting: int = 256
    ) -> None:
        """At most ``waiting`` questions wait while all ``threads`` are busy; more are refused."""
        self._open = open_registry
        self._maximum = threads
        self._waiting = waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open_jobs = 0
        self._is_closing = False

    async def ask(
        self,
        question: Callable[[Registry], Answer],
        on_cancel: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Ask a registry.

        Whoever is cancelled meanwhile waits for the end all the same, so that nothing is left at
        work; ``on_cancel`` is called first.

        Raises what the question raises, and ServerBusyError if too many wait.
        """
        if self._open_jobs >= self._maximum + self._waiting:
            raise ServerBusyError(
                f"{self._open_jobs} calls wait already", hint="wait for some of them to end"
            )
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()

        def job(registry_here: Callable[[], Registry]) -> None:
            try:
                self._require_open()
                answer = question(registry_here())
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                tell = partial(answered.set_exception, error)
            else:
                tell = partial(answered.set_result, answer)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        self._open_jobs += 1
        if self._open_jobs > len(self._threads) and len(self._threads) < self._maximum:
            thread = threading.Thread(target=self._work, name="onex-mcp")
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)
        try:
            return await asyncio.shield(answered)
        except asyncio.CancelledError:
            on_cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([answered])
            # Nobody is told any more.
            answered.exception()
            raise
        finally:
            self._open_jobs -= 1

    def _require_open(self) -> None:
        if self._is_closing:
            raise ServerBusyError("the server ends", hint="begin another session")

    def close(self) -> None:
        """End the threads when what they do has ended, and close their registries.

        What still waits is refused.
        """
        self._is_closing = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        opened: list[Registry] = []

        def registry_here() -> Registry:
            if not opened:
                opened.append(self._open())
            return opened[0]

        while (job := self._jobs.get()) is not None:
            job(registry_here)
        for registry in opened:
            registry.close()

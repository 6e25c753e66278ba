"""Measuring: hands what a process of the server measures to those who ask any of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import anyio.to_thread

from onex.monitoring.state_metrics import measure
from onex.registry import Registry
from onex.telemetry.exposition import export
from onex.telemetry.telemetry import Telemetry

KEEP_SECONDS = 1.0
"""How old the measurements of another process can be in an answer."""


class Measuring:
    """Adds the measurements of this process to those that are kept, from time to time."""

    def __init__(self, open_registry: Callable[[], Registry], telemetry: Telemetry) -> None:
        self._open = open_registry
        self._telemetry = telemetry
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Keep what is measured from now on; to be called in the event loop."""
        self._keeping = asyncio.create_task(self._keep_on())

    async def end(self) -> None:
        """Keep what was measured last."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await anyio.to_thread.run_sync(self._keep)
        self._telemetry.tracer.close()

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            if self._telemetry.metrics.measurements:
                await anyio.to_thread.run_sync(self._keep)

    def _keep(self) -> None:
        with self._open() as registry:
            registry.keep_measurements()

    def text(self, accept: str, *, with_names: bool) -> tuple[bytes, str]:
        """All measurements as text, and its media type.

        Args:
            accept: which text, as in the header of a request.
            with_names: whether names of nodes, sources and workflows may stand in it.

        Raises:
            StorageError: what is kept cannot be read.
        """
        with self._open() as registry:
            found = measure(registry)
        return export(found if with_names else found.without_names(), accept)

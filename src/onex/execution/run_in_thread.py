"""A run in a thread of its own, whose events an asynchronous program iterates over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from onex.domain.grant import RunAccess
from onex.domain.result import RunResult
from onex.execution.cancellation import Cancellation
from onex.execution.events import Observer, RunEnded, RunEvent
from onex.execution.options import RunKeywords
from onex.manifests.override import Override


class AsyncRunKeywords(RunKeywords, total=False):
    """The keywords of ``Registry.arun`` and ``run_events``; they mean what they mean to ``run``."""

    lock: str | os.PathLike[str] | None
    overrides: Sequence[Override]
    access: RunAccess | None


Run = Callable[[Observer, Cancellation], RunResult]
"""Runs something to its end in the calling thread."""


async def events_of(run: Run) -> AsyncGenerator[RunEvent]:
    """The events of a run as they happen; the last one is RunEnded.

    Whoever stops iterating, or is cancelled, cancels the run, and waits for its end, so that no
    node is left at work. Raises what ``run`` raises.
    """
    loop, cancellation = asyncio.get_running_loop(), Cancellation()
    queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()

    def put(event: RunEvent | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, event)

    def work() -> RunResult:
        try:
            return run(put, cancellation)
        finally:
            put(None)

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await working
    finally:
        if not working.done():
            cancellation.request()
            await _ended(working)


async def _ended(working: asyncio.Future[RunResult]) -> None:
    """Wait for a thread, which nothing can end early, whatever is asked meanwhile."""
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            continue
    if not working.cancelled():
        working.exception()


async def result_of(run: Run, observer: Observer) -> RunResult:
    """The result of a run, whose events ``observer`` is told of; otherwise as ``events_of``."""
    ended: RunResult | None = None
    async with aclosing(events_of(run)) as events:
        async for event in events:
            observer(event)
            if isinstance(event, RunEnded):
                ended = event.result
    if ended is None:
        raise AssertionError("a run that raised nothing gave a result")
    return ended

"""A run in a thread of its own, whose events an asynchronous program iterates over."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from threading import Thread

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
    ended: asyncio.Future[RunResult] = loop.create_future()

    def tell(told: Callable[[], object]) -> None:
        """Hand something to the loop; if that is closed nobody wants the run any more."""
        try:
            loop.call_soon_threadsafe(told)
        except RuntimeError:
            cancellation.request()

    def work() -> None:
        try:
            result = run(lambda event: tell(partial(queue.put_nowait, event)), cancellation)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            tell(partial(ended.set_exception, error))
        else:
            tell(partial(ended.set_result, result))
        tell(partial(queue.put_nowait, None))

    # Not a thread of the loop's pool, which others need while a run lasts.
    thread = Thread(target=copy_context().run, args=(work,), name="onex-run")
    thread.start()
    try:
        while (event := await queue.get()) is not None:
            yield event
        ended.result()
    finally:
        cancellation.request()
        await _settled(ended)
        thread.join()


async def _settled(ended: asyncio.Future[RunResult]) -> None:
    """Wait for the end of a run, whatever is asked meanwhile: nothing can bring it about."""
    while not ended.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([ended])
    # Whoever stopped listening is not told a second time.
    ended.exception()


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

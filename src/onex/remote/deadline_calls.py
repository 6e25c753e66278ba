"""Calls that run at once, and that are left to themselves if they take too long."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

LOOK_SECONDS = 0.02

Result = TypeVar("Result")


class _Outcome(Generic[Result]):
    """What one call gave: a result, an exception, or nothing yet."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        # What a call is part of goes along to the thread that makes it.
        self._context = contextvars.copy_context()
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error

    def result(self) -> Result:
        """What the call returned; raises what it raised, or TimeoutError if it has not ended."""
        if self._error is not None:
            raise self._error
        if not self._results:
            raise TimeoutError
        return self._results[0]


def call_all(
    calls: Sequence[Callable[[], Result]], workers: int, limit_seconds: float
) -> list[Result]:
    """The results of calls, in their order, made by some threads at once.

    A peer that sends a byte now and then keeps a call busy for ever, and no time limit of a
    socket ends that. So the threads do not hold up the end of the process.

    Raises:
        TimeoutError: not all calls ended in time.
        Exception: what the first call in order that failed raised.
    """
    outcomes = [_Outcome(call) for call in calls]
    pending: queue.SimpleQueue[_Outcome[Result]] = queue.SimpleQueue()
    for outcome in outcomes:
        pending.put(outcome)

    def work() -> None:
        while time.monotonic() < end:
            try:
                outcome = pending.get_nowait()
            except queue.Empty:
                return
            outcome.run()

    end = time.monotonic() + limit_seconds
    threads = [
        threading.Thread(target=work, name="onex-remote", daemon=True)
        for _ in range(min(workers, len(calls)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [outcome.result() for outcome in outcomes]


def call_beside(call: Callable[[], Result], go_on: Callable[[], None]) -> Result:
    """The result of a call that is made in another thread, while this one goes on.

    Args:
        call: what may take long, or for ever.
        go_on: called here until the call has ended; what it raises leaves the call to itself.

    Raises:
        Exception: what the call raised, or ``go_on``.
    """
    outcome, ended = _Outcome(call), threading.Event()

    def work() -> None:
        outcome.run()
        ended.set()

    threading.Thread(target=work, name="onex-beside", daemon=True).start()
    while not ended.wait(LOOK_SECONDS):
        go_on()
    return outcome.result()

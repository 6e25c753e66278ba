"""Cancellation: the wish that a run ends, which any thread, or a signal, may have at any time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A terminal that is closed; Windows has no such signal.
_CLOSED_TERMINAL = tuple({getattr(signal, "SIGHUP", signal.SIGTERM)} - {signal.SIGTERM})


class Cancellation:
    """Asks for the end of the runs that it is handed to, before they begin or while they last."""

    def __init__(self) -> None:
        # Re-entrant, since a signal handler may ask while this thread holds it.
        self._lock = threading.RLock()
        self._is_requested = False
        self._attached: list[Callable[[], None]] = []

    @property
    def is_requested(self) -> bool:
        """Whether the end was asked for."""
        return self._is_requested

    def request(self) -> None:
        """Ask for the end; a run ends as one that was cancelled. Any thread may ask."""
        with self._lock:
            self._is_requested = True
            cancels = list(self._attached)
        for cancel in cancels:
            cancel()

    @contextmanager
    def attached(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Within the block ``cancel`` is called, once or more, if the end is asked for."""
        with self._lock:
            self._attached.append(cancel)
            is_requested = self._is_requested
        if is_requested:
            cancel()
        try:
            yield
        finally:
            with self._lock:
                self._attached.remove(cancel)


class SignalCancellation(Cancellation):
    """One that asks for the end when a signal comes, for whoever wants the result all the same.

    Used as a context manager; see ``signals_handled_by``.
    """

    @contextmanager
    def listening(self) -> Iterator[SignalCancellation]:
        """Within the block a signal asks for the end, and does nothing else."""
        with signals_handled_by(lambda number: self.request()):
            yield self


@contextmanager
def signals_passed_on(cancellation: Cancellation) -> Iterator[None]:
    """Within the block a signal asks for the end; after it the signal does what it does else.

    So a run is recorded as cancelled before Ctrl-C raises KeyboardInterrupt, or SIGTERM ends the
    process. A SignalCancellation sees to signals itself, which stay as they are then.
    """
    if isinstance(cancellation, SignalCancellation):
        yield
        return
    came: list[int] = []

    def note(number: int) -> None:
        came.append(number)
        cancellation.request()

    with signals_handled_by(note):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def signals_handled_by(request: Callable[[int], None]) -> Iterator[None]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP calls ``request`` with its number.

    A second one does what it would do without the block, so that a user can
    leave a run that does not end.

    Python delivers signals to the main thread alone; in any other thread the
    block leaves them as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, *_CLOSED_TERMINAL)
    before = {number: signal.getsignal(number) for number in numbers}
    # What was started to outlive its terminal (nohup) does so.
    before = {
        number: handler
        for number, handler in before.items()
        if not (number in _CLOSED_TERMINAL and handler is signal.SIG_IGN)
    }

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, *_: object) -> None:
        restore()
        request(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()

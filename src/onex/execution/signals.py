"""Ctrl-C and termination as requests, so that a run can end in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CLOSED_TERMINAL = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


@contextmanager
def signals_handled_by(request: Callable[[], None]) -> Iterator[None]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP calls ``request``.

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

    def handle(*_: object) -> None:
        restore()
        request()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()

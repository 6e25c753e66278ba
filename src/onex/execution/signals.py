"""Ctrl-C and termination as requests, so that a run can end in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals_handled_by(request: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM call ``request`` in place of what they do otherwise.

    Python delivers signals to the main thread alone; in any other thread the
    block leaves them as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: request())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

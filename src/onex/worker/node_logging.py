"""The logger that a node gets. A module of its own, as most nodes never ask for one."""

from __future__ import annotations

import logging
from collections.abc import Callable


class _ForwardingHandler(logging.Handler):
    def __init__(self, forward: Callable[[str, str], None]) -> None:
        super().__init__()
        self._forward = forward

    def emit(self, record: logging.LogRecord) -> None:
        self._forward(record.levelname, self.format(record))


def make_logger(forward: Callable[[str, str], None]) -> logging.Logger:
    """A logger that hands level and message of every record on."""
    logger = logging.Logger("onex.node", logging.DEBUG)
    logger.addHandler(_ForwardingHandler(forward))
    return logger

"""CallEvents: what happens in a run, as notifications of the protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext

from onex.agents.publisher_text import clean_text
from onex.agents.session import Session
from onex.execution.events import (
    Logged,
    Progressed,
    RetryScheduled,
    RunEvent,
    RunStarted,
    StepEnded,
    Warned,
)

_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_MAXIMUM_LINE = 2_000
_MAXIMUM_LINES = 200
_RECORD = re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): (?P<text>.*)")
_LEVEL_OF: Mapping[str, types.LoggingLevel] = {
    "DEBUG": "debug",
    "INFO": "info",
    "WARNING": "warning",
    "ERROR": "error",
    "CRITICAL": "critical",
}
_MAXIMUM_MESSAGE = 200


class CallEvents:
    """Tells the client of one call how far it is, and what its nodes say."""

    def __init__(self, ctx: ServerRequestContext[Any, Any], session: Session) -> None:
        self._ctx = ctx
        self._session = session
        self._steps = 1
        self._ended = 0
        self._fraction = -1.0

    async def tell(self, event: RunEvent) -> None:
        """Tell of an event, if the client wants to know of such."""
        match event:
            case RunStarted():
                self._steps = max(1, len(event.steps))
            case Progressed():
                await self._progress(event.fraction, event.message)
            case StepEnded():
                self._ended += 1
                if self._ended < self._steps:
                    await self._progress(0.0, f"{event.step_id} {event.result.status}")
            case Logged():
                await self._lines(event.text, event.step_id)
            case Warned():
                await self._log("warning", event.message, "run")
            case RetryScheduled():
                await self._log("warning", event.message, event.step_id)
            case _:
                return

    async def _progress(self, fraction: float, message: str) -> None:
        whole = (self._ended + min(1.0, max(0.0, fraction))) / self._steps
        # The protocol wants progress to grow.
        if whole > self._fraction:
            self._fraction = whole
            said = clean_text(message, _MAXIMUM_MESSAGE) or None
            await self._ctx.session.report_progress(whole, 1.0, said)

    async def _lines(self, text: str, logger: str) -> None:
        """What a node printed and logged, line by line."""
        lines = text.splitlines()
        for line in lines[:_MAXIMUM_LINES]:
            found = _RECORD.match(line)
            level = _LEVEL_OF[found["level"]] if found else "info"
            await self._log(level, found["text"] if found else line, logger)
        if len(lines) > _MAXIMUM_LINES:
            await self._log("info", f"... and {len(lines) - _MAXIMUM_LINES} more lines", logger)

    async def _log(self, level: types.LoggingLevel, text: str, logger: str) -> None:
        if _LEVELS.index(level) < _LEVELS.index(self._session.log_level):
            return
        line = clean_text(text, _MAXIMUM_LINE, keeps_lines=True)
        if line and self._session.take_if_left(len(line.encode("utf-8", "replace"))):
            await self._ctx.session.send_log_message(level, line, logger, self._ctx.request_id)

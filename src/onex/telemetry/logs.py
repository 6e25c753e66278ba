"""Logs: records of onex as lines for people or as JSON, with what they belong to."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from onex.domain.errors import UsageError

FORMAT_VARIABLE, LEVEL_VARIABLE = "ONEX_LOG", "ONEX_LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error")
FIELDS = "onex_fields"
"""The attribute of a record that holds further values: ``extra={FIELDS: {...}}``."""

CORRELATION: ContextVar[str] = ContextVar("onex_correlation", default="")
"""The run and call, or the request, that a thread or a task works for."""


class LogFormat(StrEnum):
    """How log records are written."""

    HUMAN = "human"
    JSON = "json"


def log_fields(correlation_id: str = "", **fields: str | float | None) -> dict[str, object]:
    """The ``extra`` of a log record: what it belongs to, and values beside its message."""
    return {FIELDS: ({"correlation_id": correlation_id} if correlation_id else {}) | fields}


def wanted_logs(
    environment: Mapping[str, str], default: LogFormat | None = None
) -> tuple[LogFormat, int] | None:
    """The format and the level of logs that an environment asks for; None if it asks for none.

    Raises:
        UsageError: it asks for what there is not.
    """
    text = environment.get(FORMAT_VARIABLE) or (default.value if default else "")
    level = environment.get(LEVEL_VARIABLE) or ("warning" if default else "info")
    if not text:
        return None
    if text not in list(LogFormat):
        raise UsageError(f"{FORMAT_VARIABLE} is {text!r}", hint="write human or json")
    if level not in LEVELS:
        raise UsageError(f"{LEVEL_VARIABLE} is {level!r}", hint=f"write {', '.join(LEVELS)}")
    return LogFormat(text), logging.getLevelNamesMapping()[level.upper()]


def write_logs(wanted: tuple[LogFormat, int] | None, stream: TextIO | None = None) -> None:
    """Write the records of onex to a stream from now on, by default standard error."""
    if wanted is None:
        return
    kind, level = wanted
    handler = logging.StreamHandler(stream or sys.stderr)
    formats = {LogFormat.HUMAN: _HumanFormatter, LogFormat.JSON: _JsonFormatter}
    handler.setFormatter(formats[kind]())
    logger = logging.getLogger("onex")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _current_context() -> str | None:
    """The context of the current span, which there is only if OpenTelemetry was imported."""
    if "onex.telemetry.otel" not in sys.modules:
        return None
    from onex.telemetry.otel import current_context

    return current_context()


class _Formatter(logging.Formatter):
    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        found: dict[str, object] = dict(getattr(record, FIELDS, {}))
        correlation = found.pop("correlation_id", "") or CORRELATION.get()
        traceparent = found.pop("traceparent", None) or _current_context()
        if correlation:
            found["correlation_id"] = correlation
        if isinstance(traceparent, str):
            _, found["trace_id"], found["span_id"], _ = traceparent.split("-")
        return {name: value for name, value in found.items() if value is not None}


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields(record),
        }
        if record.exc_info:
            body["exception"] = self.formatException(record.exc_info)
        return json.dumps(body, default=str)


class _HumanFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(f" {name}={_shown(value)}" for name, value in self._fields(record).items())
        line = f"{time} {record.levelname:<7} {record.name}: {_shown(record.getMessage())}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    """A value on one line, since what came from elsewhere must not look like another record."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")

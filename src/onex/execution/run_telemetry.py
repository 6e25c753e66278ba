"""RunTelemetry: measurements, spans, log records and live logs of one run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from onex.domain.errors import LimitExceededError, OnexError
from onex.domain.result import CallFailure, NodeExecutionResult, RunResult, StepStatus
from onex.domain.workflow import step_of
from onex.engines.redaction import LogTail
from onex.execution.events import (
    CallEnded,
    Logged,
    Observer,
    RetryScheduled,
    RunEvent,
    StepEnded,
)
from onex.execution.run_actions import Entry
from onex.history.live_log import LiveLog, added_to
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.logs import log_fields
from onex.telemetry.measurements import Measurements
from onex.telemetry.telemetry import Telemetry
from onex.telemetry.tracing import EndedSpan

MEASUREMENTS_SECONDS = 0.25
"""How long measurements of a run wait for others that are stored with them."""

LIVE_LOG_SECONDS = 0.5
"""How often it is shown what calls print that run."""

LOGGER = logging.getLogger("onex.run")

_FAILED = (StepStatus.FAILED, StepStatus.CANCELLED)


class RunTelemetry:
    """Told of what happens in a run by its loop; costs next to nothing if nobody listens."""

    def __init__(self, run_id: str, workflow: str, telemetry: Telemetry, live_log: LiveLog) -> None:
        """``live_log`` shows what calls print before they end."""
        self.run_id = run_id
        self._live_log = live_log
        self._printing: dict[str, LogTail] = {}
        self._told = self._began = time.perf_counter()
        self._told_logs: dict[str, str] = {}
        self._observer: Observer = lambda event: None
        self._workflow = workflow
        self._tracer = telemetry.tracer
        self._parent = telemetry.tracer.current()
        self._measured = Measurements()
        self._calls: dict[tuple[str, str, bool], list[float]] = {}
        self._taken = time.perf_counter()
        self._contexts: dict[str, tuple[str, int]] = {}

    def started(self, call_id: str) -> str | None:
        """An attempt starts; returns the context of its span, None if nobody traces."""
        context = self._tracer.child(self._parent)
        if context is not None:
            self._contexts[call_id] = (context, time.time_ns())
        return context

    def printing(self, call_id: str, log: LogTail) -> None:
        """A call prints to a log from now on."""
        self._printing[call_id] = log

    def tell_logs(self, now: float, until: float) -> float:
        """Show what calls print, in a loop that would wait; returns when to do it again.

        Calls that end at once are recorded at once, and need no showing before.
        """
        if not self._printing:
            return until
        if now - self._told >= LIVE_LOG_SECONDS:
            self._told = now
            logs = {name: log.settled_text() for name, log in list(self._printing.items())}
            self._live_log.write(logs)
            for call_id, text in logs.items():
                self._tell_log(call_id, text, now - self._began)
        return min(until, now + LIVE_LOG_SECONDS)

    def _tell_log(self, call_id: str, text: str, seconds: float) -> None:
        """Tell what a call printed since the last time."""
        added = added_to(self._told_logs.get(call_id, ""), text)
        if added:
            self._told_logs[call_id] = text
            self._observer(Logged(step_of(call_id), seconds, call_id, added))

    def close(self) -> None:
        """Nothing of the run is shown as it happens any more."""
        self._live_log.close()

    def failed(self, node: str, failure: CallFailure) -> None:
        """An attempt ended in a failure, before it is decided whether it is made again."""
        kind = _denied(failure.error)
        if kind is not None:
            self._measured.count(catalog.SANDBOX_DENIALS, (_unversioned(node), kind))
        if isinstance(failure.error, LimitExceededError):
            limit = str(failure.error.details.get("limit", ""))
            self._measured.count(catalog.LIMITS_EXCEEDED, (_unversioned(node), limit))

    def ended(self, step: str, node: str, call_id: str, error: OnexError | None) -> None:
        """An attempt ended."""
        self._printing.pop(call_id, None)
        found = self._contexts.pop(call_id, None)
        if found is None or self._parent is None:
            return
        context, started = found
        attributes = {
            "onex.run": self.run_id,
            "onex.step": step,
            "onex.call": call_id,
            "onex.node": node,
        }
        code = None if error is None else error.code
        self._tracer.ended(
            EndedSpan("onex.step", context, self._parent, started, time.time_ns(), attributes, code)
        )

    def recorded(self, entries: Iterable[Entry]) -> None:
        """Calls and steps were recorded."""
        for entry in entries:
            if not entry.is_call:
                continue
            result = entry.result
            key = (result.node, result.status.value, result.cached)
            times = self._calls.get(key)
            if times is None:
                times = self._calls[key] = []
            times.append(result.seconds)

    def take_measurements(self, *, at_once: bool = False) -> Measurements | None:
        """What was measured since the last time; None if that is only a moment ago."""
        now = time.perf_counter()
        if not at_once and now - self._taken < MEASUREMENTS_SECONDS:
            return None
        self._taken = now
        for (node, status, is_cached), times in self._calls.items():
            name = _unversioned(node)
            labels = (name, status, str(is_cached).lower())
            self._measured.count(catalog.CALLS, labels, len(times))
            if not is_cached and status in (StepStatus.SUCCEEDED, StepStatus.FAILED):
                for seconds in times:
                    self._measured.observe(catalog.CALL_SECONDS, seconds, (name,))
        self._calls.clear()
        return self._measured.take()

    def finished(self, result: RunResult) -> Measurements | None:
        """The run ended; returns what is left of its measurements."""
        self._measured.count(catalog.RUNS, (self._workflow, result.status.value))
        self._measured.observe(catalog.RUN_SECONDS, result.seconds, (self._workflow,))
        LOGGER.info(
            "run of %s %s", self._workflow, result.status.value,
            extra=log_fields(self.run_id, seconds=round(result.seconds, 6)),
        )  # fmt: skip
        return self.take_measurements(at_once=True)

    def observed_by(self, observer: Observer) -> Observer:
        """An observer that is told what calls print too, and writes log records if wanted."""
        self._observer = observer
        is_logging = LOGGER.isEnabledFor(logging.INFO)
        if is_logging:
            LOGGER.info("run of %s began", self._workflow, extra=log_fields(self.run_id))

        def observe(event: RunEvent) -> None:
            if isinstance(event, CallEnded | StepEnded):
                result = event.result
                if result.log and not result.cached:
                    self._tell_log(result.step_id, result.log, event.seconds)
                self._told_logs.pop(result.step_id, None)
            observer(event)
            if not is_logging:
                return
            if isinstance(event, CallEnded | StepEnded):
                self._log_end(event.result)
            elif isinstance(event, RetryScheduled):
                fields = log_fields(f"{self.run_id}/{event.step_id}")
                LOGGER.warning("%s", event.message, extra=fields)

        return observe

    def _log_end(self, result: NodeExecutionResult) -> None:
        error = None if result.error is None else f"{result.error.code}: {result.error.message}"
        LOGGER.log(
            logging.WARNING if result.status in _FAILED else logging.INFO,
            "%s %s%s",
            result.node,
            result.status.value,
            " from the cache" if result.cached else "",
            extra=log_fields(
                f"{self.run_id}/{result.step_id}", seconds=round(result.seconds, 6), error=error
            ),
        )


def _unversioned(node: str) -> str:
    return node.partition("@")[0]


def _denied(error: OnexError) -> str | None:
    """The kind of permission whose lack is behind a failure; None if it is no such failure."""
    missing = error.details.get("missing")
    return missing.partition(":")[0] if isinstance(missing, str) else None

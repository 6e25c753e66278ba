"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import logging
import threading
import time

from onex.domain.errors import RunCancelledError, StepTimeoutError
from onex.domain.result import IsolationLevel
from onex.execution.context import ExecutionContext
from onex.execution.engine import CallFailedError, CallOutcome, NodeCall, code_failure
from onex.execution.node_code import NodeCodeError, NodeFunction, call, load_function


class InlineEngine:
    """Executes calls in the asking thread.

    Nothing can end a running call from outside: a result that comes after the
    time limit is discarded, and cancelling waits for calls that are running.
    """

    isolation = IsolationLevel.INLINE

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: dict[str, NodeFunction] = {}
        self._is_cancelled = threading.Event()

    def execute(self, call_: NodeCall) -> CallOutcome:
        if self._is_cancelled.is_set():
            raise CallFailedError(RunCancelledError("the run was cancelled", hint="start it again"))
        log = _ListHandler()
        logger = logging.Logger("onex.node", logging.DEBUG)
        logger.addHandler(log)
        context = ExecutionContext(call_.context, logger, call_.on_progress)
        started = time.monotonic()
        try:
            function = self._function(call_)
            output = call(function, call_.node.file, context, call_.inputs)
        except NodeCodeError as error:
            failure = code_failure(error.kind, error.message)
            raise CallFailedError(failure, error.detail, log.text()) from error
        if time.monotonic() - started > call_.timeout_seconds:
            raise CallFailedError(
                StepTimeoutError(
                    f"the node returned after its limit of {call_.timeout_seconds:g} s",
                    hint="run it with --isolation process, where it is killed in time",
                ),
                log=log.text(),
            )
        return CallOutcome(output, log.text())

    def _function(self, call_: NodeCall) -> NodeFunction:
        with self._lock:
            function = self._functions.get(call_.node.digest)
            if function is None:
                function = load_function(call_.node.file, call_.node.callable_name)
                self._functions[call_.node.digest] = function
            return function

    def cancel(self) -> None:
        self._is_cancelled.set()

    def close(self) -> None:
        self._functions.clear()


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.levelname}: {self.format(record)}\n")

    def text(self) -> str:
        return "".join(self._lines)

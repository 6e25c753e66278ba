"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from onex.domain.errors import RunCancelledError, StepTimeoutError
from onex.domain.result import IsolationLevel
from onex.execution.context import ExecutionContext
from onex.execution.engine import (
    MAXIMUM_LOG_BYTES,
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    code_failure,
)
from onex.execution.node_code import NodeCode, NodeCodeError


class InlineEngine:
    """Executes calls in the asking thread.

    Nothing can end a running call from outside: a result that comes after the
    time limit is discarded, and cancelling waits for calls that are running.
    """

    isolation = IsolationLevel.INLINE

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._code: dict[str, NodeCode] = {}
        self._is_cancelled = threading.Event()

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        """Do nothing: importing here would hold up the calls that run."""

    def execute(self, call: NodeCall) -> CallOutcome:
        if self._is_cancelled.is_set():
            raise CallFailedError(RunCancelledError("the run was cancelled", hint="start it again"))
        log = _Log()
        context = ExecutionContext(call.context, log.logger, call.on_progress)
        started = time.monotonic()
        try:
            code = self._code.get(call.node.digest) or self._load(call.node)
            output = code.call(context, call.inputs)
        except NodeCodeError as error:
            failure = code_failure(error.kind, error.message)
            raise CallFailedError(failure, error.detail, log.text()) from error
        if time.monotonic() - started > call.timeout_seconds:
            raise CallFailedError(
                StepTimeoutError(
                    f"the node returned after its limit of {call.timeout_seconds:g} s",
                    hint="run it with --isolation process, where it is killed in time",
                ),
                log=log.text(),
            )
        return CallOutcome(output, log.text())

    def _load(self, node: LoadedNode) -> NodeCode:
        with self._lock:
            code = self._code.get(node.digest)
            if code is None:
                code = NodeCode(node.file, node.callable_name)
                self._code[node.digest] = code
            return code

    def cancel(self) -> None:
        self._is_cancelled.set()

    def close(self) -> None:
        self._code.clear()


class _Log:
    """What one call logs; most calls log nothing, so that the logger is made when asked for."""

    def __init__(self) -> None:
        self._handler: _ListHandler | None = None

    def logger(self) -> logging.Logger:
        if self._handler is None:
            self._handler = _ListHandler()
        logger = logging.Logger("onex.node", logging.DEBUG)
        logger.addHandler(self._handler)
        return logger

    def text(self) -> str:
        return "" if self._handler is None else "".join(self._handler.lines)[-MAXIMUM_LOG_BYTES:]


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname}: {self.format(record)}\n")

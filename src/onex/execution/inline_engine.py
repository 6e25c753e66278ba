"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial

from onex.domain.errors import StepTimeoutError
from onex.domain.result import IsolationLevel
from onex.execution.context import ExecutionContext
from onex.execution.engine import (
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    cancelled_call,
    code_failure,
)
from onex.execution.inline_output import OutputCapture
from onex.execution.node_code import NodeCode, NodeCodeError
from onex.execution.node_modules import import_among_others
from onex.execution.redaction import LogTail


class InlineEngine:
    """Executes calls in the asking thread.

    What they print goes to their logs. Nothing can end a running call from outside: a
    result that comes after the time limit is discarded, and cancelling waits for calls that
    are running.
    """

    isolation = IsolationLevel.INLINE

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._code: dict[str, NodeCode] = {}
        self._is_cancelled = threading.Event()
        self._capture = OutputCapture()
        self._capture.install()

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        """Do nothing: importing here would hold up the calls that run."""

    def execute(self, call: NodeCall) -> CallOutcome:
        if self._is_cancelled.is_set():
            raise cancelled_call()
        log = LogTail(call.redaction)
        context = ExecutionContext(call.context, call.node.folder, log.record, call.on_progress)
        started = time.monotonic()
        self._capture.begin(log)
        try:
            code = self._code.get(call.node.digest) or self._load(call.node)
            output = code.call(context, call.inputs)
        except NodeCodeError as error:
            failure = code_failure(error.kind, error.message)
            raise CallFailedError(failure, error.detail, log.text()) from error
        finally:
            self._capture.end()
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
                load = partial(import_among_others, node.file, node.folder)
                code = NodeCode(node.file, load, node.callable_name)
                self._code[node.digest] = code
            return code

    def cancel(self) -> None:
        self._is_cancelled.set()

    def close(self) -> None:
        self._capture.remove()
        self._code.clear()

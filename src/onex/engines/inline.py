"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import TextIO, cast

from onex.domain.errors import StepTimeoutError
from onex.domain.result import IsolationLevel
from onex.engines.engine import (
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    cancelled_call,
    code_failure,
)
from onex.engines.redaction import LogTail
from onex.worker.context import ExecutionContext
from onex.worker.node_code import NodeCode, NodeCodeError
from onex.worker.node_modules import import_among_others


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


class OutputCapture:
    """While installed, what a thread prints goes to the log of its call, if it has one."""

    def __init__(self) -> None:
        self._current = threading.local()
        self._streams = (
            _Stream(sys.stdout, self._current),
            _Stream(sys.stderr, self._current),
        )

    def install(self) -> None:
        """Put the streams in the place of the process's own."""
        sys.stdout, sys.stderr = (cast("TextIO", stream) for stream in self._streams)

    def remove(self) -> None:
        """Put the process's own streams back, unless somebody else has changed them since."""
        out, err = self._streams
        if sys.stdout is cast("TextIO", out):
            sys.stdout = out.original
        if sys.stderr is cast("TextIO", err):
            sys.stderr = err.original

    def begin(self, log: LogTail) -> None:
        """From now on this thread prints to a log."""
        self._current.log = log

    def end(self) -> None:
        """From now on this thread prints as before."""
        self._current.log = None


class _Stream:
    def __init__(self, original: TextIO, current: threading.local) -> None:
        self.original = original
        self._current = current

    def write(self, text: str) -> int:
        log: LogTail | None = getattr(self._current, "log", None)
        if log is None:
            return self.original.write(text)
        log.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.original, name)

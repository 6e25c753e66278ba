"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import queue
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TextIO, cast

from onex.domain.errors import InternalError, OnexError
from onex.domain.result import CallFailure, CallOutcome, IsolationLevel
from onex.engines.engine import CallEnd, LoadedNode, NodeCall, cancelled_call, code_failure
from onex.engines.reactor import Reactor
from onex.engines.redaction import LogTail
from onex.worker.context import ExecutionContext
from onex.worker.node_code import NodeCode, NodeCodeError
from onex.worker.node_modules import import_among_others

SHORT_SECONDS = 0.0002
"""A call that is shorter takes less than handing it over to a thread and back."""

TRIED_SECONDS = 0.005
TRIED_AFTER_CALLS = 16


@dataclass(slots=True)
class _Pace:
    """Whether the calls of a node are so short that the asking thread should make them.

    That is tried after a number of calls that took little time in other threads, where they may
    have waited for each other. If it was wrong, it is tried again after twice as many.
    """

    short: bool = False
    calls: int = 0
    tried_after: int = TRIED_AFTER_CALLS

    def note(self, seconds: float) -> None:
        """Take how long a call took."""
        if self.short:
            if seconds >= SHORT_SECONDS:
                self.short, self.calls, self.tried_after = False, 0, self.tried_after * 2
            return
        self.calls = self.calls + 1 if seconds < TRIED_SECONDS else 0
        self.short = self.calls >= self.tried_after


class InlineEngine:
    """Executes calls in threads, and those that are alone or short in the asking thread.

    What they print goes to their logs. Nothing can end a running call from outside: stopping and
    cancelling wait for it.
    """

    isolation = IsolationLevel.INLINE

    def __init__(self, jobs: int, reactor: Reactor) -> None:
        self._jobs = jobs
        self._reactor = reactor
        self._lock = threading.Lock()
        self._code: dict[str, NodeCode] = {}
        self._is_cancelled = threading.Event()
        self._calls: queue.SimpleQueue[NodeCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._paces: dict[str, _Pace] = {}
        self._capture = OutputCapture()
        self._capture.install()

    def preload(self, node: LoadedNode) -> None:
        """Do nothing: importing here would hold up the calls that run."""

    def start(self, call: NodeCall) -> None:
        if call.alone or self._pace_of(call.node).short:
            self._execute(call)()
            return
        self._calls.put(call)
        if len(self._threads) < self._jobs:
            thread = threading.Thread(target=self._serve, name="onex-call", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, call_id: str) -> None:
        """Do nothing: a thread cannot be ended."""

    def cancel(self) -> None:
        self._is_cancelled.set()

    def close(self) -> None:
        self.cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._capture.remove()
        self._code.clear()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            self._reactor.post(self._execute(call))

    def _execute(self, call: NodeCall) -> partial[None]:
        """Execute a call in this thread; returns what tells its end."""
        started = time.perf_counter()
        if self._is_cancelled.is_set():
            return partial(call.on_end, cancelled_call(), started, started, is_made=False)
        try:
            call.on_start(call.id)
        except OnexError as error:
            return partial(call.on_end, CallFailure(error), started, started)
        end = self._end_of(call)
        ended = time.perf_counter()
        self._pace_of(call.node).note(ended - started)
        return partial(call.on_end, end, started, ended)

    def _pace_of(self, node: LoadedNode) -> _Pace:
        pace = self._paces.get(node.digest)
        if pace is None:
            pace = self._paces[node.digest] = _Pace()
        return pace

    def _end_of(self, call: NodeCall) -> CallEnd:
        log = LogTail(call.redaction)
        context = ExecutionContext(call.context, call.node.folder, log.record, call.on_progress)
        self._capture.begin(log)
        try:
            code = self._code.get(call.node.digest) or self._load(call.node)
            output = code.call(context, call.inputs)
        except NodeCodeError as error:
            return CallFailure(code_failure(error.kind, error.message), error.detail, log.text())
        except Exception as error:  # noqa: BLE001 - without an end the run would wait for ever
            message = f"{type(error).__name__}: {error}"
            return CallFailure(InternalError(message, hint="please report this"), log=log.text())
        finally:
            self._capture.end()
        return CallOutcome(output, log.text())

    def _load(self, node: LoadedNode) -> NodeCode:
        with self._lock:
            code = self._code.get(node.digest)
            if code is None:
                load = partial(import_among_others, node.file, node.folder)
                code = NodeCode(node.file, load, node.callable_name)
                self._code[node.digest] = code
            return code


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

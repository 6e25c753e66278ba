"""InlineEngine: the node in the host's own process, for code that the user trusts by choice."""

from __future__ import annotations

import queue
import sys
import threading
import time
from functools import partial
from typing import TextIO, cast

from onex.domain.errors import InternalError, OnexError
from onex.domain.result import CallEnd, CallFailure, CallOutcome, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call, code_failure
from onex.engines.reactor import Reactor
from onex.engines.redaction import LogTail
from onex.worker.context import ExecutionContext
from onex.worker.node_code import NodeCode, NodeCodeError
from onex.worker.node_modules import import_among_others


class InlineEngine:
    """Executes calls in threads, and one that is alone in the asking thread.

    What they print goes to their logs. Nothing can end a running call from outside: stopping and
    cancelling wait for it.
    """

    isolation = IsolationLevel.INLINE
    times_calls = False

    def __init__(self, jobs: int, reactor: Reactor) -> None:
        self._jobs = jobs
        self._reactor = reactor
        self._lock = threading.Lock()
        self._code: dict[str, NodeCode] = {}
        self._is_cancelled = threading.Event()
        self._calls: queue.SimpleQueue[NodeCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._capture = OutputCapture()
        self._capture.install()

    def preload(self, node: LoadedNode) -> None:
        """Do nothing: importing here would hold up the calls that run."""

    def start(self, call: NodeCall) -> None:
        if call.alone:
            # Changing threads takes longer than a short call.
            self._execute(call)()
            return
        self._calls.put(call)
        if len(self._threads) < self._jobs:
            thread = threading.Thread(target=self._serve, name="onex-call", daemon=True)
            thread.start()
            self._threads.append(thread)

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
        return partial(call.on_end, end, started, time.perf_counter())

    def _end_of(self, call: NodeCall) -> CallEnd:
        log = LogTail(call.redaction)
        call.on_log(log)
        context = ExecutionContext(call.context, call.node.folder, log.record, call.on_progress)
        self._capture.begin(log)
        try:
            code = self._code.get(call.node.digest) or self._load(call.node)
            output = code.call(context, call.inputs)
        except NodeCodeError as error:
            if isinstance(error.__cause__, KeyboardInterrupt) and _is_main_thread():
                # It was meant for the run, whoever had the thread.
                raise error.__cause__ from None
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


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class OutputCapture:
    """While installed, what a thread prints goes to the log of its call, if it has one.

    Several may be installed at once; they share the streams, which go with the last of them.
    """

    def install(self) -> None:
        """Put capturing streams in the place of the process's own."""
        with _INSTALLING:
            self._out, self._err = _capturing(sys.stdout), _capturing(sys.stderr)
            sys.stdout, sys.stderr = (cast("TextIO", s) for s in (self._out, self._err))

    def remove(self) -> None:
        """Put the process's own streams back, unless somebody else has changed them since."""
        with _INSTALLING:
            for stream in (self._out, self._err):
                stream.users -= 1
            if not self._out.users and sys.stdout is cast("TextIO", self._out):
                sys.stdout = self._out.original
            if not self._err.users and sys.stderr is cast("TextIO", self._err):
                sys.stderr = self._err.original

    def begin(self, log: LogTail) -> None:
        """From now on this thread prints to a log."""
        self._out.current.log = self._err.current.log = log

    def end(self) -> None:
        """From now on this thread prints as before."""
        self._out.current.log = self._err.current.log = None


class _Stream:
    def __init__(self, original: TextIO) -> None:
        self.original = original
        self.current = threading.local()
        self.users = 0

    def write(self, text: str) -> int:
        log: LogTail | None = getattr(self.current, "log", None)
        if log is None:
            return self.original.write(text)
        log.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.original, name)


# The streams belong to the process, whichever runs share it.
_INSTALLING = threading.Lock()


def _capturing(stream: TextIO) -> _Stream:
    """The stream as one that captures, the same for all who use it at once."""
    found = stream if isinstance(stream, _Stream) else _Stream(stream)
    found.users += 1
    return found

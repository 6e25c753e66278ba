"""ProcessEngine: each node in a separate process, kept warm for the next call.

A separate process protects the host from crashes, hangs and leaks of memory. It
is not a security boundary: the node may do whatever the user may.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from onex.domain.errors import (
    ExecutionError,
    InvalidResultError,
    NodeRaisedError,
    RunCancelledError,
    StepTimeoutError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonObject, as_object, as_optional_text, as_text
from onex.domain.result import IsolationLevel
from onex.execution import frames, worker
from onex.execution.engine import (
    MAXIMUM_LOG_BYTES,
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    code_failure,
)
from onex.execution.process_group import ProcessGroup

LOG_WAIT_SECONDS = 1.0
PIPE_BYTES = 64 * 1024
IDLE_WORKERS_PER_JOB = 2
CALLS_PER_WORKER = 1_000
"""A worker is replaced after so many calls, so that what a node leaks stays bounded."""
MAXIMUM_WAITING_MESSAGES = 1_000


class ProcessEngine:
    """Executes calls in warm worker processes, one node digest to a process."""

    isolation = IsolationLevel.PROCESS

    def __init__(self, jobs: int) -> None:
        self._maximum_idle = jobs * IDLE_WORKERS_PER_JOB
        self._lock = threading.Lock()
        self._idle: deque[_Worker] = deque()
        self._busy: set[_Worker] = set()
        self._is_cancelled = False

    def execute(self, call: NodeCall) -> CallOutcome:
        process = self._acquire(call.node)
        try:
            outcome = process.execute(call)
        except CallFailedError as failure:
            is_usable = isinstance(failure.error, NodeRaisedError | InvalidResultError)
            self._release(process, is_usable=is_usable and process.group.is_alive)
            if self._is_cancelled and not is_usable:
                raise CallFailedError(
                    RunCancelledError("the run was cancelled", hint="start it again"),
                    log=failure.log,
                ) from failure
            raise
        except BaseException:
            self._release(process, is_usable=False)
            raise
        self._release(process, is_usable=True)
        return outcome

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        for node in nodes:
            with self._lock:
                is_full = len(self._idle) + len(self._busy) >= self._maximum_idle
                if self._is_cancelled or is_full:
                    return
                if any(w.digest == node.digest for w in (*self._idle, *self._busy)):
                    continue
                with contextlib.suppress(CallFailedError):
                    self._idle.appendleft(_Worker(node))

    def _acquire(self, node: LoadedNode) -> _Worker:
        with self._lock:
            if self._is_cancelled:
                raise CallFailedError(
                    RunCancelledError("the run was cancelled", hint="start it again")
                )
            found = next((w for w in reversed(self._idle) if w.digest == node.digest), None)
            if found is not None:
                self._idle.remove(found)
            else:
                found = _Worker(node)
            self._busy.add(found)
            return found

    def _release(self, process: _Worker, *, is_usable: bool) -> None:
        surplus = []
        with self._lock:
            self._busy.discard(process)
            if is_usable and not self._is_cancelled and process.calls < CALLS_PER_WORKER:
                self._idle.append(process)
                while len(self._idle) > self._maximum_idle:
                    surplus.append(self._idle.popleft())
            else:
                surplus.append(process)
        for worker_process in surplus:
            worker_process.group.kill()

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            workers = [*self._busy, *self._idle]
            self._idle.clear()
        for process in workers:
            process.group.kill()

    def close(self) -> None:
        self.cancel()


class _Worker:
    """One worker process and the threads that read from it."""

    def __init__(self, node: LoadedNode) -> None:
        """Raises CallFailedError where the process cannot be started."""
        self.digest = node.digest
        self.calls = 0
        package_folder = Path(worker.__file__).parents[2]
        self.group = ProcessGroup(
            [
                *(sys.executable, "-I", "-X", "utf8", worker.__file__, str(package_folder)),
                *(str(node.file), node.callable_name),
            ],
            node.file.parent,
            node.variables,
        )
        self._messages: queue.SimpleQueue[JsonObject | Exception | None] = queue.SimpleQueue()
        self._log = _BoundedLog()
        threading.Thread(target=self._read_printed, daemon=True).start()
        threading.Thread(target=self._read_messages, daemon=True).start()

    def _read_messages(self) -> None:
        stream = self.group.stdout
        message: JsonObject | Exception | None
        while True:
            try:
                message = frames.read(stream)
            except (frames.FrameError, OSError, ValueError) as error:
                message = error
            while self._messages.qsize() > MAXIMUM_WAITING_MESSAGES and self.group.is_alive:
                # The node waits then, since its pipe is full.
                time.sleep(0.001)
            self._messages.put(message)
            if not isinstance(message, dict):
                return

    def _read_printed(self) -> None:
        stream = self.group.stderr
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), PIPE_BYTES):
                self._log.write(chunk.decode("utf-8", "replace"))
        self._log.end()

    def execute(self, call: NodeCall) -> CallOutcome:
        deadline = time.monotonic() + call.timeout_seconds
        self.calls += 1
        mark = self._log.begin()
        message: JsonObject = {
            "inputs": call.inputs,
            "context": call.context.to_json(),
            "mark": mark,
        }
        try:
            request = frames.encode(message)
        except frames.FrameError as error:
            raise CallFailedError(
                ExecutionError(
                    f"the inputs cannot be sent: {error}", hint="pass big values as artifacts"
                )
            ) from error
        stdin = self.group.stdin
        if len(request) <= PIPE_BYTES:
            _send(stdin, request)
        else:
            # Such a write blocks until the worker reads, which one that hangs never does.
            threading.Thread(target=_send, args=(stdin, request), daemon=True).start()
        while True:
            try:
                reply = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.group.kill()
                raise CallFailedError(
                    StepTimeoutError(
                        f"the node did not return within {call.timeout_seconds:g} s and was killed",
                        hint="set a longer timeout on the step, or give the node less to do",
                    ),
                    log=self._log.text(),
                ) from None
            if not isinstance(reply, dict):
                raise self._death(reply)
            if ("result" in reply or "error" in reply) and reply.get("mark") != mark:
                raise self._death("it answered a call that was not made")
            if "result" in reply:
                return CallOutcome(reply["result"], self._log.text())
            if "error" in reply:
                raise self._failure(as_object(reply["error"]))
            self._note(reply, call)

    def _note(self, message: JsonObject, call: NodeCall) -> None:
        if "log" in message:
            entry = as_object(message["log"])
            self._log.write(f"{entry.get('level')}: {entry.get('message')}\n")
        elif "progress" in message:
            entry = as_object(message["progress"])
            fraction = entry.get("fraction")
            if isinstance(fraction, int | float):
                call.on_progress(float(fraction), str(entry.get("message") or ""))

    def _failure(self, error: JsonObject) -> CallFailedError:
        message = as_text(error.get("message"))
        detail = as_optional_text(error.get("detail"))
        failure = code_failure(str(error.get("kind")), message)
        return CallFailedError(failure, detail, self._log.text())

    def _death(self, reason: object) -> CallFailedError:
        self.group.kill()
        if reason is not None:
            failure = WorkerDiedError(
                f"the worker process broke the protocol: {reason}",
                hint="the node must not write to its parent's descriptors",
            )
        else:
            failure = WorkerDiedError(
                "the node's process ended before it returned: " + self.group.end_text(),
                hint="look at the step's log; a killed process may have run out of memory",
            )
        return CallFailedError(failure, log=self._log.text())


class _BoundedLog:
    """The last part of what a node wrote, whatever it writes.

    What is printed comes through a pipe of its own, so a result may overtake it.
    The worker therefore ends each call's output with a mark that only the host
    knew before, and ``text`` waits for that mark.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._mark = ""
        self._is_complete = threading.Event()

    def begin(self) -> str:
        """Forget earlier calls, and return the mark that will end what follows."""
        with self._lock:
            if self._mark:
                self._text = ""
            self._mark = f"\0{uuid.uuid4().hex}\0"
            self._is_complete.clear()
            return self._mark

    def write(self, text: str) -> None:
        with self._lock:
            self._text += text
            start = max(0, len(self._text) - len(text) - len(self._mark))
            if self._mark and self._text.find(self._mark, start) >= 0:
                self._text = self._text.replace(self._mark, "")
                self._is_complete.set()
            self._text = self._text[-MAXIMUM_LOG_BYTES:]

    def end(self) -> None:
        """Nothing more will be written."""
        self._is_complete.set()

    def text(self) -> str:
        """What was written, after waiting for the rest of it for a moment."""
        self._is_complete.wait(LOG_WAIT_SECONDS)
        with self._lock:
            return self._text


def _send(stream: IO[bytes], request: bytes) -> None:
    # A broken pipe shows as the end of the worker's messages, with its exit code.
    with contextlib.suppress(OSError, ValueError):
        stream.write(request)
        stream.flush()

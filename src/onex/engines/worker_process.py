"""WorkerProcess: the host's side of one worker process.

The thread that asks for a call also carries it out: it waits for the worker's
messages, for what the node prints, and for the deadline at once. Nothing else
runs for a worker, so that a call costs no more than two changes of process.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import time
import uuid
from pathlib import Path

from onex.domain.errors import ExecutionError, StepTimeoutError, WorkerDiedError
from onex.domain.json_value import JsonObject, as_object, as_optional_text, as_text
from onex.engines.engine import (
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    code_failure,
)
from onex.engines.process_group import ProcessGroup
from onex.engines.redaction import NOTHING_HIDDEN, LogTail
from onex.engines.supervisor import Supervisor
from onex.worker import main as worker
from onex.worker import protocol

CHUNK_BYTES = 256 * 1024
DYING_SECONDS = 1.0
"""How long a process may take to end after its channel was closed, as it is when it ends."""

LOOK_SECONDS = 0.5
"""How long a worker that has died may go unnoticed, when what it started holds its pipes open."""


class WorkerProcess:
    """One worker process, which serves one call at a time."""

    def __init__(self, node: LoadedNode, supervisor: Supervisor) -> None:
        """Raises CallFailedError where the process cannot be started."""
        self.digest = node.digest
        self.calls = 0
        self.is_spent = False
        package_folder = Path(worker.__file__).parents[2]
        # The worker ends when our end of this pipe is closed, as it is by our death.
        lifeline, self._life = os.pipe()
        try:
            self.group = ProcessGroup(
                [
                    *(sys.executable, "-I", "-X", "utf8", worker.__file__, str(package_folder)),
                    *(str(node.folder), str(node.file), node.callable_name, str(lifeline)),
                ],
                node.folder,
                node.variables,
                supervisor,
                inherited=[lifeline],
            )
        except CallFailedError:
            os.close(self._life)
            raise
        finally:
            os.close(lifeline)
        self._input = self.group.stdin.fileno()
        self._output = self.group.stdout.fileno()
        self._printed = self.group.stderr.fileno()
        for descriptor in (self._input, self._output, self._printed):
            os.set_blocking(descriptor, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._printed, selectors.EVENT_READ)
        self._frames = protocol.FrameBuffer()
        self._unsent = memoryview(b"")
        self._log = LogTail(NOTHING_HIDDEN)
        self._is_closed = False

    def execute(self, call: NodeCall) -> CallOutcome:
        """Make one call; raises CallFailedError, after which the worker may not be usable."""
        deadline = time.monotonic() + call.timeout_seconds
        self.calls += 1
        if self.calls > 1:
            # What was printed while nothing ran belongs to no call; before the first one it
            # comes from importing the node.
            self._drain_printed()
            self._log = LogTail(call.redaction)
        else:
            self._log.hide(call.redaction)
        mark = uuid.uuid4().hex
        message: JsonObject = {
            "inputs": call.inputs,
            "context": call.context.to_json(),
            "mark": mark,
        }
        try:
            self._send(protocol.encode(message))
        except protocol.FrameError as error:
            raise CallFailedError(
                ExecutionError(
                    f"the inputs cannot be sent: {error}", hint="pass big values as artifacts"
                )
            ) from error
        while (outcome := self._next_reply(call, mark)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self.close()
                raise CallFailedError(
                    StepTimeoutError(
                        f"the node did not return within {call.timeout_seconds:g} s and was killed",
                        hint="set a longer timeout on the step, or give the node less to do",
                    ),
                    log=self._text(),
                )
            self._wait(min(left, LOOK_SECONDS))
        return outcome

    def _next_reply(self, call: NodeCall, mark: str) -> CallOutcome | None:
        """The outcome, if it is among the messages that have come in."""
        while True:
            try:
                message = self._frames.take()
            except protocol.FrameError as error:
                raise self._death(str(error)) from error
            if message is None:
                return None
            if "result" in message or "error" in message:
                if message.get("mark") != mark:
                    raise self._death("it answered a call that was not made")
                self._drain_printed()
                self.is_spent = message.get("is_spent") is not False
                if "result" in message:
                    return CallOutcome(message["result"], self._text())
                raise self._failure(as_object(message["error"]))
            self._note(message, call)

    def _send(self, request: bytes) -> None:
        """Write a request as far as it goes now; the rest follows while we wait."""
        self._unsent = memoryview(request)
        self._write()
        if self._unsent:
            self._selector.register(self._input, selectors.EVENT_WRITE)

    def _write(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            # A broken pipe shows as the end of the worker's messages, with its exit code.
            self._unsent = self._unsent[:0]

    def _wait(self, seconds: float) -> None:
        """Wait for something to happen, and take it in; raises CallFailedError at the end."""
        ready = self._selector.select(seconds)
        descriptors = [key.fd for key, _ in ready]
        if self._input in descriptors:
            self._write()
            if not self._unsent:
                self._selector.unregister(self._input)
        if self._printed in descriptors and self._read_printed() == 0:
            self._selector.unregister(self._printed)
        if self._output in descriptors:
            data = os.read(self._output, CHUNK_BYTES)
            if not data:
                reason = None if self._frames.is_empty else "the stream ends within a frame"
                raise self._death(reason)
            self._frames.feed(data)
        elif not ready and not self.group.is_alive:
            raise self._death(None)

    def _read_printed(self) -> int | None:
        """Take in what was printed; how much, 0 at the end of it, None where there is no more."""
        try:
            data = os.read(self._printed, CHUNK_BYTES)
        except (BlockingIOError, OSError):
            return None
        self._log.write(data)
        return len(data)

    def _drain_printed(self) -> None:
        """Take in what was printed before a message came: it is in the pipe by then."""
        left = CHUNK_BYTES
        while left > 0 and (size := self._read_printed()):
            left -= size

    def _note(self, message: JsonObject, call: NodeCall) -> None:
        if "log" in message:
            entry = as_object(message["log"])
            self._log.record(str(entry.get("level")), str(entry.get("message")))
        elif "progress" in message:
            entry = as_object(message["progress"])
            fraction = entry.get("fraction")
            if isinstance(fraction, int | float):
                call.on_progress(float(fraction), str(entry.get("message") or ""))

    def _failure(self, error: JsonObject) -> CallFailedError:
        message = as_text(error.get("message"))
        detail = as_optional_text(error.get("detail"))
        return CallFailedError(code_failure(str(error.get("kind")), message), detail, self._text())

    def _death(self, reason: str | None) -> CallFailedError:
        self._drain_printed()
        if reason is None and not self.group.ends_within(DYING_SECONDS):
            reason = "it ended its channel and went on"
        self.close()
        if reason is not None:
            failure = WorkerDiedError(
                f"the worker process broke the protocol: {reason}",
                hint="the node must not write to its parent's descriptors",
            )
        else:
            failure = WorkerDiedError(
                f"the node's process ended before it returned: {self.group.end_text()}",
                hint="look at the step's log; a killed process may have run out of memory",
            )
        return CallFailedError(failure, log=self._text())

    def _text(self) -> str:
        return self._log.text()

    def close(self) -> None:
        """End the process and let go of it; nobody else may be using it."""
        self.group.kill()
        if self._is_closed:
            return
        self._is_closed = True
        self._selector.close()
        os.close(self._life)
        for stream in (self.group.stdin, self.group.stdout, self.group.stderr):
            with contextlib.suppress(OSError):
                stream.close()

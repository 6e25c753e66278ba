"""WorkerProcess: the host's side of one worker process.

Nothing here waits: the reactor tells when there is something to read or room to write, so one
thread serves all workers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from onex.domain.errors import ExecutionError, OnexError, WorkerDiedError
from onex.domain.json_value import JsonObject, as_object, as_optional_text, as_text
from onex.domain.result import CallEnd, CallFailure, CallOutcome
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call, code_failure, lacking
from onex.engines.process_group import ProcessGroup
from onex.engines.reactor import Reactor
from onex.engines.redaction import NOTHING_HIDDEN, LogTail
from onex.worker import protocol

if TYPE_CHECKING:
    from onex.engines.confinement import Confinement

CHUNK_BYTES = 256 * 1024
DYING_SECONDS = 1.0
"""How long a process may take to end after its channel was closed, as it is when it ends."""

_NO_BYTES = bytes(4)
_END_CHECK_SECONDS = 0.005

OnWorkerEnd: TypeAlias = "Callable[[WorkerProcess, NodeCall, CallEnd], None]"


class WorkerProcess:
    """One worker process, which serves one call at a time."""

    def __init__(
        self,
        node: LoadedNode,
        group: ProcessGroup,
        reactor: Reactor,
        on_end: OnWorkerEnd,
        *,
        life: int | None = None,
        confinement: Confinement | None = None,
    ) -> None:
        """Serve calls by a process that is loading its node.

        Args:
            node: what it serves.
            group: the process.
            reactor: waits for it.
            on_end: told of the end of each call, while ``started`` still says when it began.
            life: a descriptor at whose end the process ends; None if it has another parent.
            confinement: the host's part in what confines it; None if nothing does.
        """
        self.node = node
        self.calls = 0
        self.is_spent = False
        self.is_closed = False
        self.started = 0.0
        self.group = group
        self._reactor = reactor
        self._on_end = on_end
        self._life = life
        self._confinement = confinement
        self._call: NodeCall | None = None
        self._mark = self._former_mark = ""
        self._frames = protocol.FrameBuffer()
        self._unsent = memoryview(b"")
        self._log = LogTail(NOTHING_HIDDEN)
        self._give_up_at = 0.0
        self._input = self.group.stdin.fileno()
        self._output = self.group.stdout.fileno()
        self._printed = self.group.stderr.fileno()
        for descriptor in (self._input, self._output, self._printed):
            os.set_blocking(descriptor, False)
        reactor.watch(self._output, self._on_output)
        reactor.watch(self._printed, self._on_printed)

    def start(self, call: NodeCall) -> None:
        """Begin a call; the worker must not be serving another one."""
        self.calls += 1
        self._call = call
        self.started = time.perf_counter()
        if self._confinement is not None:
            self._confinement.begin(call, self._refuse)
        if self.calls > 1:
            # What was printed while nothing ran belongs to no call; before the first one it
            # comes from importing the node.
            self._drain_printed()
            self._log = LogTail(call.redaction)
        else:
            self._log.hide(call.redaction)
        call.on_log(self._log)
        # Nobody can answer a call in advance.
        self._former_mark, self._mark = self._mark, os.urandom(12).hex()
        message: JsonObject = {
            "inputs": call.inputs,
            "context": call.context.to_json(),
            "mark": self._mark,
        }
        try:
            self._unsent = memoryview(protocol.encode(message))
        except protocol.FrameError as error:
            reason = ExecutionError(
                f"the inputs cannot be sent: {error}", hint="pass big values as artifacts"
            )
            self._end(CallFailure(reason))
            return
        self._write()
        if self._unsent:
            self._reactor.watch_writing(self._input, self._on_writable)

    def look(self) -> None:
        """See whether a process died whose pipes are held open by what it started."""
        if self._call is not None and not self.group.is_alive:
            self._on_output()
            if self._call is not None:
                self._die(None)

    def stop(self) -> None:
        """End the process, and with it the call that it serves."""
        if self.is_closed:
            return
        self._drain_printed()
        self.close()
        self._end(cancelled_call(self._log.text()))

    def close(self) -> None:
        """End the process and let go of it."""
        if self.is_closed:
            return
        self.group.kill()
        self.is_closed = True
        self._reactor.clear_timer(self)
        for descriptor in (self._input, self._output, self._printed):
            self._reactor.unwatch(descriptor)
        if self._life is not None:
            os.close(self._life)
        if self._confinement is not None:
            self._confinement.close()
        for stream in (self.group.stdin, self.group.stdout, self.group.stderr):
            with contextlib.suppress(OSError):
                stream.close()

    def _refuse(self, error: OnexError) -> None:
        """End the process, which could not be confined or went beyond a limit."""
        self._drain_printed()
        self.close()
        self._end(CallFailure(error, log=self._log.text()))

    def _end(self, end: CallEnd) -> None:
        call, self._call = self._call, None
        if call is not None:
            if self._confinement is not None:
                self._confinement.end()
            self._on_end(self, call, end)

    def _on_writable(self) -> None:
        self._write()
        if not self._unsent:
            self._reactor.unwatch(self._input)

    def _write(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            # A broken pipe shows as the end of the worker's messages, with its exit code.
            self._unsent = self._unsent[:0]

    def _on_output(self) -> None:
        try:
            data = os.read(self._output, CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._reactor.unwatch(self._output)
            if not self._frames.is_empty:
                self._die("the stream ends within a frame")
                return
            self._give_up_at = time.perf_counter() + DYING_SECONDS
            self._await_end()
            return
        self._frames.feed(data)
        try:
            while not self.is_closed and (message := self._frames.take()) is not None:
                self._take(message)
        except protocol.FrameError as error:
            self._die(str(error))

    def _await_end(self) -> None:
        """The channel is closed: the process is at its end, or it must not be trusted."""
        now = time.perf_counter()
        if not self.group.is_alive:
            self._die(None)
        elif now >= self._give_up_at:
            self._die("it ended its channel and went on")
        else:
            self._reactor.set_timer(self, now + _END_CHECK_SECONDS, self._await_end)

    def _take(self, message: JsonObject) -> None:
        if "result" in message or "error" in message:
            if message.get("mark") == self._former_mark:
                # A second answer to the call before harms nobody.
                return
            if self._call is None or message.get("mark") != self._mark:
                self._die("it answered a call that was not made")
                return
            self._drain_printed()
            if self._confinement is not None and not self._confinement.is_certain():
                if not self.is_closed:
                    self._die("it answered before it was confined")
                return
            self.is_spent = message.get("is_spent") is not False
            try:
                end = self._read_end(message)
            except (TypeError, ValueError):
                self._die("its answer has another form than agreed")
                return
            self._end(end)
        elif self._call is not None:
            try:
                self._note(message, self._call)
            except (TypeError, ValueError, OverflowError):
                self._die("a message has another form than agreed")

    def _note(self, message: JsonObject, call: NodeCall) -> None:
        if "log" in message:
            entry = as_object(message["log"])
            text = str(entry.get("message"))
            self._log.record(str(entry.get("level")), text)
            if self._confinement is not None:
                self._confinement.count_output(len(text))
        elif "progress" in message:
            entry = as_object(message["progress"])
            fraction = entry.get("fraction")
            if isinstance(fraction, int | float):
                call.on_progress(float(fraction), str(entry.get("message") or ""))

    def _read_end(self, answer: JsonObject) -> CallEnd:
        if "result" in answer:
            return CallOutcome(answer["result"], self._log.text())
        error = as_object(answer["error"])
        message = as_text(error.get("message"))
        detail = as_optional_text(error.get("detail"))
        failure = code_failure(str(error.get("kind")), message)
        missing = as_optional_text(error.get("missing"))
        hint = lacking(missing)
        if hint is not None and self._confinement is not None:
            failure.hint = hint
            failure.details["missing"] = missing
        return CallFailure(failure, detail, self._log.text())

    def _on_printed(self) -> None:
        if self._read_printed() == 0:
            self._reactor.unwatch(self._printed)

    def _read_printed(self) -> int | None:
        """Read what was printed; returns its size, 0 at the end, None if nothing is there now."""
        try:
            data = os.read(self._printed, CHUNK_BYTES)
        except (BlockingIOError, OSError):
            return None
        self._log.write(data)
        if self._confinement is not None:
            self._confinement.count_output(len(data))
        return len(data)

    def _drain_printed(self) -> None:
        """Read what was printed before a message came, which is in the pipe already."""
        left = CHUNK_BYTES
        while left > 0 and _has_unread(self._printed) and (size := self._read_printed()):
            left -= size

    def _die(self, reason: str | None) -> None:
        """Give the worker up: its process ended, or it broke the protocol for a reason."""
        self._drain_printed()
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
        self._end(CallFailure(failure, log=self._log.text()))


def _has_unread(descriptor: int) -> bool:
    """Whether something waits in a pipe; asking is faster than reading nothing."""
    return fcntl.ioctl(descriptor, termios.FIONREAD, _NO_BYTES) != _NO_BYTES

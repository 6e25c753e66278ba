"""ProgramEngine: nodes that are programs, with JSON on standard input and on standard output."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from onex.domain.errors import (
    InvalidResultError,
    IsolationUnavailableError,
    NodeRaisedError,
    OnexError,
    WorkerDiedError,
)
from onex.domain.result import CallEnd, CallFailure, CallOutcome, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call
from onex.engines.process_group import ProcessGroup
from onex.engines.reactor import Reactor
from onex.engines.redaction import LogTail
from onex.engines.running_processes import RunningProcesses
from onex.engines.supervisor import Supervisor
from onex.worker.context import SECRET_PREFIX
from onex.worker.protocol import MAXIMUM_FRAME_BYTES, parse_json

if TYPE_CHECKING:
    from onex.engines.confinement import ConfinedProcesses, Confinement

CHUNK_BYTES = 256 * 1024
MAXIMUM_DRAINED_BYTES = 4 * CHUNK_BYTES
_END_CHECK_SECONDS = 0.002
LIVENESS_CHECK_SECONDS = 0.25
"""How long a program that ended may go unnoticed, if what it started holds its output open."""


class ProgramEngine:
    """Starts the program anew for every call, in the call's own working folder.

    The inputs come in as one JSON object. In its environment are ``ONEX_CORRELATION_ID``,
    ``ONEX_WORKDIR``, ``ONEX_NODE_DIR``, ``ONEX_CONFIG`` (JSON) and ``ONEX_SECRET_*`` (those
    granted). What it prints to standard error is its log.
    """

    times_calls = False

    def __init__(
        self, reactor: Reactor, supervisor: Supervisor, confined: ConfinedProcesses | None = None
    ) -> None:
        """Programs are confined by ``confined``; they may do whatever the user may without it.

        Raises:
            IsolationUnavailableError: the system has no POSIX processes.
        """
        self.isolation = IsolationLevel.PROCESS if confined is None else IsolationLevel.STRICT
        if os.name != "posix":
            raise IsolationUnavailableError(
                "nodes that are programs need a POSIX system", hint="write the node in Python"
            )
        self._reactor = reactor
        self._supervisor = supervisor
        self._confined = confined
        self._running = RunningProcesses[_Program](reactor, LIVENESS_CHECK_SECONDS)
        self._is_cancelled = False

    def preload(self, node: LoadedNode) -> None:
        """Do nothing: a program is started for its call."""

    def start(self, call: NodeCall) -> None:
        if self._is_cancelled:
            call.fail(cancelled_call().error, is_made=False)
            return
        try:
            call.on_start(call.id)
            group, confinement = self._start(call)
        except OnexError as error:
            call.fail(error)
            return
        program = _Program(call, group, confinement, self._reactor, self._ended)
        self._running.add(call.id, program)
        program.begin()

    def stop(self, call_id: str) -> None:
        self._running.stop(call_id)

    def cancel(self) -> None:
        self._is_cancelled = True
        self._running.stop_all()

    def close(self) -> None:
        self.cancel()
        self._running.close()

    def _start(self, call: NodeCall) -> tuple[ProcessGroup, Confinement | None]:
        command, variables = [str(call.node.file)], _variables(call)
        if self._confined is not None:
            return self._confined.start("program", command, call, warm=False, variables=variables)
        workdir = Path(call.context.workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        own = {**call.node.variables, **variables}
        return ProcessGroup.of_command(command, workdir, own, self._supervisor), None

    def _ended(self, program: _Program, call: NodeCall, end: CallEnd) -> None:
        self._running.remove(call.id)
        call.on_end(end, program.started, time.perf_counter())


class _Program:
    """One execution of a program."""

    def __init__(
        self,
        call: NodeCall,
        group: ProcessGroup,
        confinement: Confinement | None,
        reactor: Reactor,
        on_end: Callable[[_Program, NodeCall, CallEnd], None],
    ) -> None:
        self.started = time.perf_counter()
        self.group = group
        self._confinement = confinement
        self._call = call
        self._reactor = reactor
        self._on_end = on_end
        self._unsent = memoryview(json.dumps(call.inputs).encode())
        self._output = bytearray()
        self._log = LogTail(call.redaction)
        call.on_log(self._log)

    def begin(self) -> None:
        """Hand the inputs over, and follow what it prints."""
        if self._confinement is not None:
            self._confinement.begin(self._call, self._refuse)
        for stream in (self.group.stdin, self.group.stdout, self.group.stderr):
            os.set_blocking(stream.fileno(), False)
        self._reactor.watch(self.group.stdout.fileno(), self._on_output)
        self._reactor.watch(self.group.stderr.fileno(), self._on_printed)
        self._reactor.watch_writing(self.group.stdin.fileno(), self._on_writable)

    def look(self) -> None:
        """End what a program left behind that ended itself; the end of its output follows."""
        if not self.group.is_alive:
            self.group.kill()

    def stop(self) -> None:
        """End the program, and with it the call."""
        self.group.kill()
        self._end(cancelled_call)

    def _refuse(self, error: OnexError) -> None:
        """End a program that could not be confined, or went beyond a limit."""
        self.group.kill()
        self._end(lambda log: CallFailure(error, log=log))

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self.group.stdin.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            # A program need not read its inputs.
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._close(self.group.stdin)

    def _on_output(self) -> None:
        data = _read(self.group.stdout)
        if data is None:
            return
        if not data:
            self._close(self.group.stdout)
            self._await_end()
            return
        self._output += data
        self._count(data)
        if len(self._output) > MAXIMUM_FRAME_BYTES:
            self.group.kill()
            error = InvalidResultError(
                f"the program printed more than {MAXIMUM_FRAME_BYTES // 1024**2} MiB",
                hint="hand big values over as artifacts",
            )
            self._end(lambda log: CallFailure(error, log=log))

    def _on_printed(self) -> None:
        data = _read(self.group.stderr)
        if data:
            self._log.write(data)
            self._count(data)
        elif data is not None:
            self._close(self.group.stderr)

    def _count(self, data: bytes) -> None:
        if self._confinement is not None:
            self._confinement.count_output(len(data))

    def _await_end(self) -> None:
        """Everything is printed; the exit code follows when the program ends."""
        if self.group.is_alive:
            moment = time.perf_counter() + _END_CHECK_SECONDS
            self._reactor.set_timer(self, moment, self._await_end)
            return
        # Whatever it left behind holds the pipes open.
        self.group.kill()
        if self._confinement is not None and not self._confinement.is_certain():
            # The reason is told already.
            return
        self._end(self._result)

    def _result(self, log: str) -> CallEnd:
        code = self.group.exit_code
        if code is None:
            error: OnexError = WorkerDiedError(
                "how the program ended cannot be known: this process ignores SIGCHLD",
                hint="set the signal back to its default where onex is started from",
            )
        elif code < 0:
            hint = "look at the step's log; a killed process may have run out of memory"
            error = WorkerDiedError(f"the program was {self.group.end_text()}", hint=hint)
        elif code > 0:
            last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
            message = f"the program failed with {self.group.end_text()}"
            message += f": {last}" if last else ""
            error = NodeRaisedError(message[:1000], hint="onex runs show gives what it printed")
        else:
            try:
                return CallOutcome(parse_json(bytes(self._output)), log)
            except ValueError as problem:
                error = InvalidResultError(
                    f"what the program printed is not JSON: {problem}",
                    hint="print one JSON value to standard output, and messages to standard error",
                )
        return CallFailure(error, log=log)

    def _end(self, result: Callable[[str], CallEnd]) -> None:
        """Release the program, whose processes are gone, and report its result."""
        left = MAXIMUM_DRAINED_BYTES
        while left > 0 and not self.group.stderr.closed and (data := _read(self.group.stderr)):
            self._log.write(data)
            left -= len(data)
        self._reactor.clear_timer(self)
        if self._confinement is not None:
            self._confinement.close()
        for stream in (self.group.stdin, self.group.stdout, self.group.stderr):
            self._close(stream)
        self._on_end(self, self._call, result(self._log.text()))

    def _close(self, stream: IO[bytes]) -> None:
        if stream.closed:
            return
        self._reactor.unwatch(stream.fileno())
        try:
            stream.close()
        except OSError:
            # What was not taken of the inputs is lost with the program.
            return


def _variables(call: NodeCall) -> dict[str, str]:
    context = call.context
    return {
        "ONEX_CORRELATION_ID": context.correlation_id,
        "ONEX_WORKDIR": context.workdir,
        "ONEX_NODE_DIR": str(call.node.folder),
        "ONEX_CONFIG": json.dumps(context.config),
        **({} if context.traceparent is None else {"TRACEPARENT": context.traceparent}),
        **{SECRET_PREFIX + name: value for name, value in context.secrets.items()},
    }


def _read(stream: IO[bytes]) -> bytes | None:
    """What can be read now, nothing at the end; None if there is nothing yet."""
    try:
        return os.read(stream.fileno(), CHUNK_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""

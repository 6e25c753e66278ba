"""ProgramEngine: nodes that are programs, with JSON on standard input and on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from onex.domain.errors import (
    InvalidResultError,
    NodeRaisedError,
    StepTimeoutError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonValue
from onex.domain.result import IsolationLevel
from onex.engines.engine import (
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    cancelled_call,
)
from onex.engines.process_group import ProcessGroup
from onex.engines.redaction import LogTail
from onex.engines.supervisor import Supervisor
from onex.worker.context import SECRET_PREFIX
from onex.worker.protocol import MAXIMUM_FRAME_BYTES, parse_json


class ProgramEngine:
    """Starts the program anew for every call, in the call's own working folder.

    The inputs come in as one JSON object. In its environment are ``ONEX_CORRELATION_ID``,
    ``ONEX_WORKDIR``, ``ONEX_NODE_DIR``, ``ONEX_CONFIG`` (JSON) and ``ONEX_SECRET_*`` (those
    granted). What it prints to standard error is its log.
    """

    isolation = IsolationLevel.PROCESS

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._running: set[ProcessGroup] = set()
        self._is_cancelled = False

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        """Do nothing: a program is started for its call."""

    def execute(self, call: NodeCall) -> CallOutcome:
        context = call.context
        workdir = Path(context.workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        variables = {
            **call.node.variables,
            "ONEX_CORRELATION_ID": context.correlation_id,
            "ONEX_WORKDIR": context.workdir,
            "ONEX_NODE_DIR": str(call.node.folder),
            "ONEX_CONFIG": json.dumps(context.config),
            **{SECRET_PREFIX + name: value for name, value in context.secrets.items()},
        }
        with self._lock:
            if self._is_cancelled:
                raise cancelled_call()
            group = ProcessGroup([str(call.node.file)], workdir, variables, self._supervisor)
            self._running.add(group)
        try:
            return self._communicate(group, call)
        finally:
            group.kill()
            with self._lock:
                self._running.discard(group)

    def _communicate(self, group: ProcessGroup, call: NodeCall) -> CallOutcome:
        output, printed = _Whole(group), LogTail(call.redaction)
        reading, logging = _Reader(group.stdout, output.write), _Reader(group.stderr, printed.write)
        request = json.dumps(call.inputs).encode()
        threading.Thread(target=_send, args=(group.stdin, request), daemon=True).start()
        deadline = time.monotonic() + call.timeout_seconds
        try:
            code = group.wait(call.timeout_seconds)
            is_whole = reading.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            code, is_whole = None, False
        # Whatever it left behind holds the pipes open.
        group.kill()
        logging.wait(1.0)
        text = printed.text()
        if output.is_full:
            raise CallFailedError(
                InvalidResultError(
                    f"the program printed more than {MAXIMUM_FRAME_BYTES // 1024**2} MiB",
                    hint="hand big values over as artifacts",
                ),
                log=text,
            )
        if self._is_cancelled:
            raise cancelled_call(text)
        if not is_whole:
            raise CallFailedError(
                StepTimeoutError(
                    f"the program did not end within {call.timeout_seconds:g} s and was killed",
                    hint="set a longer timeout on the step, or give the node less to do",
                ),
                log=text,
            )
        if code is None:
            raise CallFailedError(
                WorkerDiedError(
                    "how the program ended cannot be known: this process ignores SIGCHLD",
                    hint="set the signal back to its default where onex is started from",
                ),
                log=text,
            )
        if code:
            raise self._failure(group, code, text)
        return CallOutcome(_parse(bytes(output.content), text), text)

    def _failure(self, group: ProcessGroup, code: int, log: str) -> CallFailedError:
        if code < 0:
            hint = "look at the step's log; a killed process may have run out of memory"
            return CallFailedError(
                WorkerDiedError(f"the program was {group.end_text()}", hint=hint), log=log
            )
        last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
        message = f"the program failed with {group.end_text()}" + (f": {last}" if last else "")
        return CallFailedError(
            NodeRaisedError(message[:1000], hint="onex runs show gives what it printed"), log=log
        )

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            running = list(self._running)
        for group in running:
            group.kill()

    def close(self) -> None:
        self.cancel()


def _parse(content: bytes, log: str) -> JsonValue:
    try:
        return parse_json(content)
    except ValueError as error:
        raise CallFailedError(
            InvalidResultError(
                f"what the program printed is not JSON: {error}",
                hint="print one JSON value to standard output, and messages to standard error",
            ),
            log=log,
        ) from error


class _Whole:
    """All that a program prints as its result, up to what a result may have."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self.content = bytearray()
        self.is_full = False

    def write(self, data: bytes) -> None:
        self.content += data
        if len(self.content) > MAXIMUM_FRAME_BYTES and not self.is_full:
            self.is_full = True
            self._group.kill()


class _Reader:
    """Reads a pipe to its end in a thread."""

    def __init__(self, stream: IO[bytes], take: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._take = take
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), 64 * 1024):
                self._take(chunk)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether the stream came to its end in time."""
        self._thread.join(max(0.0, timeout_seconds))
        return not self._thread.is_alive()


def _send(stream: IO[bytes], request: bytes) -> None:
    # A program need not read its inputs.
    with contextlib.suppress(OSError, ValueError):
        stream.write(request)
        stream.close()

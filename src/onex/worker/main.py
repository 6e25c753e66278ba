"""The worker process: loads one node and calls it as often as the host asks.

Started as a script with the folder of the ``onex`` package, the node's folder, its file, its
callable and a descriptor that closes with the host as arguments. Frames come in
on standard input and go out on what was standard output; the node itself sees an
empty input, and whatever it prints goes to the log.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

import contextlib
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from onex.domain.json_value import JsonObject, as_object, as_text
from onex.worker import protocol
from onex.worker.context import ContextSpec, ExecutionContext
from onex.worker.node_code import NodeCode, NodeCodeError
from onex.worker.node_modules import import_in_own_process
from onex.worker.process_state import ProcessState

if TYPE_CHECKING:
    from onex.worker.permission_hints import PermissionHints


class _Channel:
    """Frames to and from the host. Several threads of the node may write at once."""

    def __init__(self) -> None:
        # The node must not reach the protocol through file descriptors 0 and 1.
        self._input: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._output: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def receive(self) -> JsonObject:
        """Read the next call; the process ends if none will come."""
        try:
            message = protocol.read(self._input)
        except protocol.FrameError:
            os._exit(3)
        if message is None:
            os._exit(0)
        return message

    def send(self, message: JsonObject) -> None:
        data = memoryview(protocol.encode(message))
        with self._lock:
            while data:
                data = data[self._output.write(data) :]


def _end_with_host(lifeline: int) -> None:
    """End the process at once, whatever the node does, when the host is gone."""
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os._exit(0)


def main() -> None:
    """Serve the node that is named on the command line."""
    lifeline = int(sys.argv[5])
    threading.Thread(target=_end_with_host, args=(lifeline,), daemon=True).start()
    serve(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])


def serve(
    folder: Path, file: Path, callable_name: str, hints: PermissionHints | None = None
) -> NoReturn:
    """Load a node, and serve calls until the host closes the channel.

    Args:
        folder: where its files are.
        file: its code.
        callable_name: what to call in it.
        hints: tells which permission it seems to lack; None if it is not confined.
    """
    channel = _Channel()
    process_id = os.getpid()
    try:
        loaded: NodeCode | NodeCodeError = NodeCode(
            file, partial(import_in_own_process, file, folder), callable_name
        )
    except NodeCodeError as error:
        loaded = error
    state = ProcessState(folder)
    while True:
        request = channel.receive()
        mark = as_text(request["mark"])
        reply = _answer(loaded, request, channel, folder, hints)
        if os.getpid() != process_id:
            # The node forked, and this is the copy: the call is the original's to answer.
            os._exit(0)
        _flush()
        end: JsonObject = {"mark": mark, "is_spent": state.is_lost()}
        try:
            channel.send({**reply, **end})
        except protocol.FrameError as error:
            channel.send({**_failure("result", str(error)), **end})
        state.put_back()


def _answer(
    loaded: NodeCode | NodeCodeError,
    request: JsonObject,
    channel: _Channel,
    folder: Path,
    hints: PermissionHints | None,
) -> JsonObject:
    try:
        if isinstance(loaded, NodeCodeError):
            raise loaded
        spec = ContextSpec.from_json(as_object(request["context"]))
        try:
            os.chdir(spec.workdir)
        except FileNotFoundError:
            Path(spec.workdir).mkdir(parents=True, exist_ok=True)
            os.chdir(spec.workdir)
        if spec.traceparent is not None:
            # Where libraries that trace look for what they belong to.
            os.environ["TRACEPARENT"] = spec.traceparent
        context = ExecutionContext(
            spec,
            folder,
            lambda level, message: channel.send({"log": {"level": level, "message": message}}),
            lambda fraction, message: channel.send(
                {"progress": {"fraction": fraction, "message": message}}
            ),
        )
        return {"result": loaded.call(context, as_object(request["inputs"]))}
    except NodeCodeError as error:
        missing = hints.missing(error.__cause__) if hints is not None else None
        return _failure(error.kind, error.message, error.detail, missing)


def _failure(
    kind: str, message: str, detail: str | None = None, missing: str | None = None
) -> JsonObject:
    return {"error": {"kind": kind, "message": message, "detail": detail, "missing": missing}}


def _flush() -> None:
    """Flush the standard streams, which the node may have closed."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()

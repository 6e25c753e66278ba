"""The zygote: a process that has imported Python and the worker once, and forks confined ones.

Started as a script with the folder of the ``onex`` package and the descriptor of a socket as
arguments. It serves one request after the other: ``fork`` makes a process, locks it down and runs
a node or a program in it; ``reap`` waits for one that was killed or ended. It ends with the host,
and everything that it forked ends with it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

import array
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import NoReturn

from onex.domain.json_value import JsonObject, JsonValue, as_object, as_text, as_texts
from onex.sandbox.lockdown import lock_down
from onex.sandbox.rules import SandboxRules
from onex.worker import main as worker
from onex.worker import protocol
from onex.worker.name_lookup import ask_host_for_names
from onex.worker.permission_hints import PermissionHints

CHANNEL = 3
"""The descriptor by which a new process tells the host how it is confined."""

_DESCRIPTORS = 4
_LENGTH_BYTES = 4


def send(peer: socket.socket, message: JsonObject, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message, and descriptors with it."""
    data = protocol.encode(message)
    passed = array.array("i", descriptors).tobytes()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)] if descriptors else []
    sent = peer.sendmsg([data], rights)
    if sent < len(data):
        peer.sendall(data[sent:])


def receive(peer: socket.socket) -> tuple[JsonObject, list[int]] | None:
    """The next message, with the descriptors that came with it; None at the end."""
    data, rights, _, _ = peer.recvmsg(
        _LENGTH_BYTES, socket.CMSG_SPACE(4 * _DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        return None
    passed = array.array("i")
    for level, kind, body in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            passed.frombytes(body)
    buffer = protocol.FrameBuffer()
    buffer.feed(data)
    while (message := buffer.take()) is None:
        more = peer.recv(64 * 1024)
        if not more:
            raise protocol.FrameError("the stream ends within a frame")
        buffer.feed(more)
    return message, list(passed)


def serve(host: socket.socket) -> None:
    """Serve requests until the host is gone."""
    children: set[int] = set()
    while (received := receive(host)) is not None:
        request, descriptors = received
        if "fork" in request:
            try:
                process_id = _fork(host, descriptors)
                children.add(process_id)
                handle = os.pidfd_open(process_id)
            except OSError as error:
                send(host, {"error": error.strerror or str(error)})
                continue
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            send(host, {"process": process_id}, (handle,))
            os.close(handle)
        else:
            process_id = int(str(request["reap"]))
            # What is left of its session, as long as nobody else can have its number.
            _end_session(process_id)
            _, status = os.waitpid(process_id, 0)
            children.discard(process_id)
            send(host, {"code": os.waitstatus_to_exitcode(status)})
    for process_id in children:
        _end_session(process_id)


def _end_session(process_id: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process_id, signal.SIGKILL)


def _fork(host: socket.socket, descriptors: list[int]) -> int:
    parent = os.getpid()
    process_id = os.fork()
    if process_id:
        return process_id
    try:
        host.detach()
        _become(descriptors, parent)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the zygote's loop
        reason = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            os.write(2, f"{reason}\n".encode())
        with contextlib.suppress(OSError):
            # Closed already if it was confined.
            os.write(CHANNEL, protocol.encode({"failed": reason}))
    os._exit(127)


def _become(descriptors: list[int], parent: int) -> NoReturn:
    """Turn this new process into that of a node.

    What it is to run, and the variables that it is given, come by its own channel: the zygote
    never has them, whose memory every later process gets a copy of.
    """
    os.setsid()
    _take_descriptors(descriptors)
    channel = socket.socket(fileno=CHANNEL)
    received = receive(channel)
    if received is None:
        os._exit(127)
    request = received[0]
    _reset_signals(is_python=request["kind"] != "program")
    variables = {name: as_text(v) for name, v in as_object(request["variables"]).items()}
    os.environ.clear()
    os.environ.update(variables)
    os.umask(0o077)
    folders = as_texts(request["folders"])
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(as_text(request["folder"]))
    rules = SandboxRules.from_json(as_object(request["rules"]))
    if request["kind"] != "program":
        _prepare_python(rules)
    applied = lock_down(rules, folders, channel, parent)
    confined: dict[str, JsonValue] = {
        "landlock": applied.landlock_version,
        "listens": applied.listens,
    }
    channel.sendall(protocol.encode({"confined": confined}))
    channel.close()
    command = as_texts(request["command"])
    if request["kind"] == "program":
        os.execve(command[0], command, variables)  # noqa: S606 - a file, by its path
    worker.serve(Path(command[0]), Path(command[1]), command[2], PermissionHints())


def _prepare_python(rules: SandboxRules) -> None:
    if rules.hosts:
        ask_host_for_names()
    if rules.starts_processes and sys.version_info >= (3, 14):
        # Other ways to start processes need sockets in the file system.
        import multiprocessing

        multiprocessing.set_start_method("fork")


def _reset_signals(*, is_python: bool) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler if is_python else signal.SIG_DFL)
    if not is_python:
        # Python ignores it, and what is executed would too.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _take_descriptors(descriptors: list[int]) -> None:
    """Have the given descriptors as 0, 1, 2 and CHANNEL, and no others."""
    # Moved out of the way first, since one may have the number of another's place.
    moved = [os.dup(descriptor) for descriptor in descriptors]
    high = [os.dup2(found, 64 + place) for place, found in enumerate(moved)]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=place != CHANNEL)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))


def main() -> None:
    """Serve the host whose socket is named on the command line."""
    # How processes ended is to be known, whatever the host does.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A key pressed in the host's terminal is the host's to answer.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[2])))


if __name__ == "__main__":
    main()

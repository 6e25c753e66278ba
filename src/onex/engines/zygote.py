"""Zygote: the host's side of the process that forks confined ones."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from onex.domain.errors import WorkerDiedError
from onex.domain.json_value import JsonObject
from onex.engines.process_group import ProcessGroup
from onex.engines.supervisor import Supervisor
from onex.sandbox import zygote
from onex.sandbox.rules import SandboxRules
from onex.worker import protocol

_KILLED = -9


@dataclass(frozen=True, slots=True)
class ConfinedStart:
    """What a new process is to run, and within which rules.

    ``kind`` is ``python`` or ``program``; ``command`` is for Python the node's folder, file and
    callable, for a program its file and arguments. ``folders`` are its own, and are made if they
    are not there; it starts in ``folder``.
    """

    kind: str
    command: Sequence[str]
    folder: str
    folders: tuple[str, ...]
    rules: SandboxRules
    variables: Mapping[str, str]

    def to_json(self) -> JsonObject:
        """The request as the zygote reads it."""
        return {
            "kind": self.kind,
            "command": tuple(self.command),
            "folder": self.folder,
            "folders": self.folders,
            "rules": self.rules.to_json(),
            "variables": dict(self.variables),
        }


class Zygote:
    """A process that is started with the first fork."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._group: ProcessGroup | None = None
        self._peer: socket.socket | None = None

    def start(self) -> None:
        """Start the process, if it does not run; raises WorkerDiedError if that fails."""
        if self._peer is not None:
            return
        own, other = _socket_pair()
        package_folder = Path(zygote.__file__).parents[2]
        try:
            self._group = ProcessGroup.of_command(
                [
                    *(sys.executable, "-I", "-X", "utf8", zygote.__file__, str(package_folder)),
                    str(other.fileno()),
                ],
                Path("/"),
                {},
                self._supervisor,
                inherited=[other.fileno()],
            )
        except BaseException:
            own.close()
            raise
        finally:
            other.close()
        self._peer = own

    def fork(self, start: ConfinedStart) -> tuple[ProcessGroup, socket.socket]:
        """Fork a confined process; returns it, and where it tells how it is confined.

        Raises:
            WorkerDiedError: that failed.
        """
        self.start()
        channel, other = _socket_pair()

        def fork(_mark: str) -> ForkedProcess:
            with contextlib.ExitStack() as kept, contextlib.ExitStack() as handed_over:
                pipes = []
                for _ in range(3):
                    ends = os.pipe()
                    pipes.append(ends)
                    for end in ends:
                        kept.callback(os.close, end)
                (input_end, stdin), (stdout, output_end), (stderr, error_end) = pipes
                theirs = (input_end, output_end, error_end)
                reply, handles = self._ask({"fork": True}, (*theirs, other.fileno()))
                for handle in handles:
                    kept.callback(os.close, handle)
                if len(handles) != 1:
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                zygote.send(channel, start.to_json())
                kept.pop_all()
                for end in theirs:
                    handed_over.callback(os.close, end)
            return ForkedProcess(
                int(str(reply["process"])),
                handles[0],
                self,
                stdin=os.fdopen(stdin, "wb", 0),
                stdout=os.fdopen(stdout, "rb", 0),
                stderr=os.fdopen(stderr, "rb", 0),
            )

        try:
            return ProcessGroup(fork, self._supervisor, closed=True), channel
        except BaseException:
            channel.close()
            raise
        finally:
            other.close()

    def reap(self, process_id: int) -> int:
        """How a process ended that is at its end, or was killed; waits until it is gone."""
        try:
            reply, _ = self._ask({"reap": process_id})
        except OSError:
            # With the zygote all that it forked is killed.
            return _KILLED
        return int(str(reply["code"]))

    def close(self) -> None:
        """End the process, and with it all that it forked."""
        peer, group, self._peer, self._group = self._peer, self._group, None, None
        if peer is not None:
            peer.close()
        if group is not None:
            group.kill()
            for stream in (group.stdin, group.stdout, group.stderr):
                with contextlib.suppress(OSError):
                    stream.close()

    def _ask(
        self, request: JsonObject, descriptors: tuple[int, ...] = ()
    ) -> tuple[JsonObject, list[int]]:
        if self._peer is None:
            raise OSError("the zygote is not there")
        try:
            zygote.send(self._peer, request, descriptors)
            received = zygote.receive(self._peer)
        except (protocol.FrameError, OSError) as error:
            self.close()
            raise OSError(f"the zygote cannot be reached: {error}") from error
        if received is None:
            # The next fork starts another one.
            self.close()
            raise OSError("the zygote ended")
        if "error" in received[0]:
            raise OSError(str(received[0]["error"]))
        return received


class ForkedProcess:
    """A process that a zygote forked, as ``HeadProcess`` has it."""

    def __init__(
        self,
        process_id: int,
        handle: int,
        zygote: Zygote,
        *,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        """``handle`` is a descriptor of the process, which stays its own whatever its number."""
        self.pid = process_id
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.stderr: IO[bytes] | None = stderr
        self.returncode: int | None = None
        self._handle = handle
        self._zygote = zygote

    def poll(self) -> int | None:
        return self._end(0) if self.returncode is None else self.returncode

    def wait(self) -> int:
        while (code := self._end(None) if self.returncode is None else self.returncode) is None:
            continue
        return code

    def _end(self, timeout_milliseconds: int | None) -> int | None:
        waiting = select.poll()
        waiting.register(self._handle, select.POLLIN)
        if not waiting.poll(timeout_milliseconds):
            return None
        self.returncode = self._zygote.reap(self.pid)
        os.close(self._handle)
        return self.returncode


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    try:
        return socket.socketpair()
    except OSError as error:
        raise WorkerDiedError(
            f"the process could not be started: {error.strerror}",
            hint="check the limit on open files",
        ) from error

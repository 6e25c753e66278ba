"""Starting processes of nodes, and ending each with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from onex.domain.errors import WorkerDiedError
from onex.execution.engine import CallFailedError

# What a node may need of the environment to find programs, write text and make temporary files.
_PASSED_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "HOME",
    "SYSTEMROOT",
)
_MARK = "NODE_PROCESS_GROUP"
_ROUNDS = 10


class ProcessGroup:
    """A process in a session of its own, whose descendants all carry a mark.

    One that leaves the session keeps the mark in its environment, so that it is
    found and ended too where ``/proc`` tells of it (Linux).
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        *,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start a program in a folder, with these variables beside the few it always gets.

        Args:
            command: the program and its arguments.
            folder: its working folder.
            variables: further variables of its environment.
            inherited: descriptors that it keeps beside the standard ones.

        Raises:
            CallFailedError: it cannot be started.
        """
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        passed = {k: os.environ[k] for k in _PASSED_ENVIRONMENT if k in os.environ}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**passed, **variables, name: value},
                cwd=folder,
                start_new_session=True,
                pass_fds=inherited,
            )
        except OSError as error:
            raise CallFailedError(
                WorkerDiedError(
                    f"the process could not be started: {error.strerror}",
                    hint="check the program, and the limits on processes and memory",
                )
            ) from error

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def stdin(self) -> IO[bytes]:
        return _require(self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return _require(self._process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        return _require(self._process.stderr)

    def ends_within(self, seconds: float) -> bool:
        """Whether the process is at its end, or comes to it in that time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait(self, timeout_seconds: float | None = None) -> int:
        """The exit code; raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_seconds)

    def end_text(self) -> str:
        """How the process ended, in words."""
        code = self._process.returncode
        if code is not None and code < 0:
            try:
                return f"killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"killed by signal {-code}"
        return f"exit code {code}"

    def kill(self) -> None:
        """End the process and all it started, and wait until it is gone."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        if sys.platform == "linux":
            self._kill_marked()

    def _kill_marked(self) -> None:
        """End what left the session; again, as long as some of it may have forked meanwhile."""
        for _ in range(_ROUNDS):
            found = _marked(self._mark.encode())
            if not found:
                return
            for process_id in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process_id, signal.SIGKILL)


def _marked(mark: bytes) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                environment = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if mark in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


def _require(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the process was started with pipes")
    return stream

"""Starting processes of nodes, and ending each with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from onex.domain.errors import WorkerDiedError
from onex.engines.supervisor import Supervisor, kill_marked

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


class HeadProcess(Protocol):
    """The process at the head of a group: what ``subprocess.Popen`` is, and what a zygote forks."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def returncode(self) -> int | None:
        """How it ended, as ``subprocess.Popen`` has it; None as long as nobody asked."""
        ...

    def poll(self) -> int | None:
        """See whether it ended; returns how."""
        ...

    def wait(self) -> int:
        """Wait until it ends; returns how."""
        ...


class ProcessGroup:
    """A process in a session of its own, with all that it starts.

    What may leave the session carries a mark in its environment, so that it is found in ``/proc``
    and ended too (Linux). Nothing leaves a session that is ``closed``.
    """

    def __init__(
        self,
        start: Callable[[str], HeadProcess],
        supervisor: Supervisor,
        *,
        closed: bool = False,
    ) -> None:
        """Start a process.

        Args:
            start: starts it; is given the mark, as ``NAME=VALUE``.
            supervisor: ends the group if this process ends without doing so.
            closed: whether the kernel keeps all that it starts in its session.

        Raises:
            WorkerDiedError: it cannot be started.
        """
        self.is_gone = False
        self.is_closed_session = closed
        self.mark = f"{_MARK}={uuid.uuid4().hex}"
        self._supervisor = supervisor
        supervisor.expect(self.mark)
        # Otherwise the system forgets how the process ended before anybody asked.
        self._is_end_known = closed or signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN
        try:
            self._process = start(self.mark)
        except OSError as error:
            supervisor.note_end(self.mark)
            raise WorkerDiedError(
                f"the process could not be started: {error.strerror or error}",
                hint="check the program, and the limits on processes and memory",
            ) from error
        supervisor.note_start(self.mark, self._process.pid)

    @classmethod
    def of_command(
        cls,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        supervisor: Supervisor,
        *,
        inherited: Sequence[int] = (),
    ) -> ProcessGroup:
        """Start a program in a folder, with these variables beside the few it always gets.

        Args:
            command: the program and its arguments.
            folder: its working folder.
            variables: further variables of its environment.
            supervisor: ends the group if this process ends without doing so.
            inherited: descriptors that it keeps beside the standard ones.

        Raises:
            WorkerDiedError: it cannot be started.
        """

        def start(mark: str) -> HeadProcess:
            name, _, value = mark.partition("=")
            passed = {k: os.environ[k] for k in _PASSED_ENVIRONMENT if k in os.environ}
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Python that a node starts must not write beside the verified files.
                env={"PYTHONDONTWRITEBYTECODE": "1", **passed, **variables, name: value},
                cwd=folder,
                start_new_session=True,
                pass_fds=inherited,
            )

        return cls(start, supervisor)

    @property
    def process_id(self) -> int:
        """The process at the head, whose number is that of the session too."""
        return self._process.pid

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

    @property
    def exit_code(self) -> int | None:
        """The exit code of a process that ended, None if it cannot be known."""
        return self._process.returncode if self._is_end_known else None

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
        kill_groups([self])

    def signal_end(self) -> None:
        """Send SIGKILL to the session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                # It was forked so recently that it has no session of its own yet.
                os.kill(self._process.pid, signal.SIGKILL)

    def wait_for_end(self) -> None:
        """Wait until the process is at its end."""
        self._process.wait()

    def note_gone(self) -> None:
        """Mark the group as gone."""
        self.is_gone = True
        self._supervisor.note_end(self.mark)


def kill_groups(groups: Collection[ProcessGroup]) -> None:
    """End the processes of several groups and all they started, and wait until they are gone."""
    # Never twice: the number of a process that is gone may be another one's by now.
    there = [group for group in groups if not group.is_gone]
    for group in there:
        group.signal_end()
    for group in there:
        group.wait_for_end()
    marks = {group.mark.encode() for group in there if not group.is_closed_session}
    if marks and sys.platform == "linux":
        # What left the sessions.
        kill_marked(marks)
    for group in there:
        group.note_gone()


def _require(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the process was started with pipes")
    return stream

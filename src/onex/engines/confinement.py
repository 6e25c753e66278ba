"""Confinement: the host's part in what confines one process, and ConfinedProcesses, which start.

The process says how the kernel confines it before any code of the node runs; the host answers the
calls that need a decision, and watches the limits that the kernel does not.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onex.domain.errors import LimitExceededError, OnexError, SandboxError, WorkerDiedError
from onex.domain.json_value import as_object
from onex.engines.engine import NodeCall
from onex.engines.process_group import ProcessGroup
from onex.engines.reactor import Reactor
from onex.engines.supervisor import Supervisor
from onex.engines.work_folders import SHARED_SUFFIX
from onex.engines.zygote import ConfinedStart, Zygote
from onex.local_machine import make_folder
from onex.sandbox.host_decisions import CallPlaces, HostDecisions
from onex.sandbox.network_broker import NetworkBroker
from onex.sandbox.notification import Listener
from onex.sandbox.processes import Usage, size_of_tree, size_of_unlinked, usage_of
from onex.sandbox.rules import SandboxRules
from onex.worker import protocol

WATCH_SECONDS = 0.05
_CHUNK_BYTES = 4096

Refuse = Callable[[OnexError], None]


class Confinement:
    """What the host does for, and against, one confined process."""

    def __init__(
        self,
        group: ProcessGroup,
        channel: socket.socket,
        rules: SandboxRules,
        places: CallPlaces,
        confined: ConfinedProcesses,
    ) -> None:
        """``channel`` is where the process says how it is confined."""
        self.places = places
        self._group = group
        self._channel = channel
        self._rules = rules
        self._confined = confined
        self._reactor = confined.reactor
        self._frames = protocol.FrameBuffer()
        self._decisions: HostDecisions | None = None
        self._refuse: Refuse | None = None
        self._failure: OnexError | None = None
        self._is_certain = False
        self._cpu_before: float | None = None
        self._calls = self._printed = 0
        self._measured_at = self._measuring_seconds = 0.0
        channel.settimeout(0)
        self._reactor.watch(channel.fileno(), self._on_told)

    def begin(self, call: NodeCall, refuse: Refuse) -> None:
        """A call begins; ``refuse`` is called if it must not go on."""
        self.places.read = call.readable
        self.places.correlation_id = call.context.correlation_id
        self._refuse = refuse
        self._calls += 1
        self._printed = 0
        self._cpu_before = None
        self._measured_at = time.perf_counter()
        self._set_timer()
        if self._failure is not None:
            failure = self._failure
            self._reactor.post(lambda: refuse(failure))

    def end(self) -> None:
        """The call is at its end, and what was handed over to it is not there any more."""
        self.places.read = ()
        self._refuse = None
        self._reactor.clear_timer(self)

    def close(self) -> None:
        """Answer and watch nothing any more; the process is gone."""
        self._reactor.clear_timer(self)
        self._close_channel()
        if self._decisions is not None:
            self._reactor.unwatch(self._decisions.listener.descriptor)
            self._decisions.close()
            self._decisions = None

    def is_certain(self) -> bool:
        """Whether the process said that it is confined."""
        if not self._is_certain:
            self._on_told()
        return self._is_certain

    def count_output(self, size: int) -> None:
        """Count bytes that the call printed against its limit."""
        before, limit = self._printed, self._rules.limits.output
        self._printed += size
        if before <= limit < self._printed:
            number = self._calls
            # Whoever reads it is not done reading.
            self._reactor.post(lambda: self._break_off_output(number))

    def _break_off_output(self, number: int) -> None:
        if number == self._calls:
            self._break_off("output", self._printed, self._rules.limits.output)

    def _on_told(self) -> None:
        try:
            while not self._is_certain and self._channel.fileno() >= 0:
                self._read_told()
        except BlockingIOError:
            return
        except (protocol.FrameError, OSError, ValueError, TypeError) as error:
            self._close_channel()
            self._fail(
                SandboxError(
                    f"the node's process could not be confined: {error}",
                    hint="onex doctor says what this machine offers",
                )
            )

    def _read_told(self) -> None:
        """Take in what the process says; raises FrameError if it is not confined."""
        data, rights, _, _ = self._channel.recvmsg(
            _CHUNK_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        for _, _, body in rights:
            self._listen(array.array("i", body)[0])
            # The byte that carried the descriptor.
            data = data[1:]
        if not data and not rights:
            raise protocol.FrameError("it ended before it was confined")
        self._frames.feed(data)
        if (message := self._frames.take()) is None:
            return
        if "confined" not in message:
            raise protocol.FrameError(str(message.get("failed")))
        listens = as_object(message["confined"]).get("listens") is True
        if self._rules.hosts and not listens:
            raise protocol.FrameError("connections need the host's answers")
        self._is_certain = True
        self._close_channel()

    def _listen(self, descriptor: int) -> None:
        self._decisions = HostDecisions(
            Listener(descriptor), self._rules, self.places, self._confined.broker
        )
        self._reactor.watch(descriptor, self._answer)

    def _answer(self) -> None:
        if self._decisions is not None:
            self._decisions.answer_next()

    def _close_channel(self) -> None:
        if self._channel.fileno() >= 0:
            self._reactor.unwatch(self._channel.fileno())
            self._channel.close()

    def _fail(self, error: OnexError) -> None:
        self._failure = error
        if self._refuse is not None:
            self._refuse(error)

    def _set_timer(self) -> None:
        self._reactor.set_timer(self, time.perf_counter() + WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """Compare what the call uses with its limits."""
        limits, usage = self._rules.limits, self._usage()
        if self._cpu_before is None:
            # A process that serves one call used it all for that call.
            self._cpu_before = usage.cpu_seconds if self._calls > 1 else 0.0
        for name, value, limit in (
            ("memory", usage.memory_bytes, limits.memory),
            ("cpu", int(usage.cpu_seconds - self._cpu_before), limits.cpu),
            # The process itself is one of them, and those that were executed are granted.
            ("processes", usage.processes, self._rules.most_processes),
            ("threads", usage.threads, limits.threads),
            ("written", self._written(), limits.written),
        ):
            if value > limit:
                self._break_off(name, value, limit)
                return
        self._set_timer()

    def _usage(self) -> Usage:
        return usage_of(self._group.process_id, alone=not self._rules.starts_processes)

    def _written(self) -> int:
        """What is in the working folders, measured seldom enough to cost a tenth of the time."""
        now = time.perf_counter()
        if now - self._measured_at < 10 * self._measuring_seconds:
            return 0
        enough = self._rules.limits.written
        # The first is its own; what it may write to elsewhere is as large as it is.
        folders = (self.places.write[0], self.places.shared)
        total = sum(size_of_tree(folder, enough) for folder in folders)
        total += size_of_unlinked(self._group.process_id)
        self._measured_at = time.perf_counter()
        self._measuring_seconds = self._measured_at - now
        return total

    def _break_off(self, name: str, value: int, limit: int) -> None:
        self._fail(LimitExceededError.of(name, value, limit))


class ConfinedProcesses:
    """Starts confined processes, and shares among them what a run has once."""

    def __init__(self, reactor: Reactor, supervisor: Supervisor) -> None:
        self.reactor = reactor
        self.broker = NetworkBroker()
        self.zygote = Zygote(supervisor)

    def close(self) -> None:
        """End the zygote, and everything that it forked."""
        self.zygote.close()

    def start(
        self,
        kind: str,
        command: Sequence[str],
        call: NodeCall,
        *,
        warm: bool,
        variables: Mapping[str, str] | None = None,
    ) -> tuple[ProcessGroup, Confinement]:
        """Start a process for a call.

        Args:
            kind: ``python`` or ``program``.
            command: as ``ConfinedStart`` has it.
            call: what it serves first.
            warm: whether it serves other calls of the node too.
            variables: of its environment, beside those of the node.

        Raises:
            WorkerDiedError: it cannot be started.
        """
        rules, folder = call.node.rules, call.context.workdir
        rules = replace(rules, read=(str(call.node.folder), *rules.read))
        if warm:
            # The folders of all calls of the node that share a process in this run.
            folder = str(Path(folder).parent)
        else:
            rules = replace(
                rules,
                read=(*rules.read, *call.readable, *call.writable),
                write=(*rules.write, *call.writable),
                asks_for_files=bool(rules.hosts),
            )
        folder = _own_folder(Path(folder), Path(call.context.workdir).parents[1])
        for path in (*rules.made, *call.writable):
            _make_file(path)
        environment = {
            **_passed(),
            **rules.environment(folder, call.node.variables),
            **(variables or {}),
        }
        start = ConfinedStart(kind, command, folder, (folder,), rules, environment)
        group, channel = self.zygote.fork(start)
        places = CallPlaces(write=(folder, *rules.write), shared=folder + SHARED_SUFFIX)
        return group, Confinement(group, channel, rules, places, self)


def _own_folder(folder: Path, above: Path) -> str:
    """Make a folder below one that nodes cannot write to; returns its real path.

    Raises:
        WorkerDiedError: a node put a link in its place, or it cannot be made.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise WorkerDiedError(
            f"the working folder {folder} cannot be made: {error.strerror}",
            hint="check the space and the permissions of the registry's folder",
        ) from error
    real = os.path.realpath(folder)
    if real != os.path.join(os.path.realpath(above), folder.relative_to(above)):  # noqa: PTH118
        raise WorkerDiedError(
            f"there is a link in the place of the working folder {folder}",
            hint="another call of the same node put it there",
        )
    return real


def _make_file(path: str) -> None:
    """Make an empty file that may be written to, if nothing is there; in vain without a folder."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _passed() -> dict[str, str]:
    """What every process is told of language and time."""
    return {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}

"""Probes: whether an isolation level does here what it says, found by trying."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import WorkerDiedError
from onex.domain.json_value import JsonObject, JsonValue, as_object, as_texts
from onex.domain.result import CallEnd, CallFailure, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall
from onex.engines.reactor import Reactor
from onex.engines.selection import EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.worker.context import ContextSpec

LIMIT_SECONDS = 20.0
_PROCESS = "import os\ndef execute(context):\n    return os.getpid()\n"
_FORBIDDEN = """
import ctypes, os, socket
library = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
TRIED = {
    "reading files of the user": lambda outside: open(outside).close(),
    "changing files of the user": lambda outside: open(outside, "a").close(),
    "making files elsewhere": lambda outside: os.mkdir(outside + ".made"),
    "changing modes of files": lambda outside: os.chmod(outside, 0o777),
    "signalling other processes": lambda outside: os.kill(os.getppid(), 0),
    "reading other processes": lambda outside: open(f"/proc/{os.getppid()}/environ").close(),
    "connecting": lambda outside: socket.create_connection(("127.0.0.1", 9), 1),
    "sending datagrams": lambda outside: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "local sockets": lambda outside: socket.socket(socket.AF_UNIX),
    "starting processes": lambda outside: os.fork() or os._exit(0),
    "running programs": lambda outside: os.execve("/bin/true", ["true"], {}),
    "namespaces": lambda outside: checked(library.unshare(0x10000000)),
    "tracing": lambda outside: checked(library.ptrace(16, os.getppid(), 0, 0)),
}
def execute(context, *, outside):
    stopped, possible = [], []
    for name, attempt in TRIED.items():
        try:
            attempt(outside)
        except PermissionError:
            stopped.append(name)
        except OSError:
            possible.append(name)
        else:
            possible.append(name)
    open("own", "w").close()
    try:
        os.chmod("own", 0o600)
    except PermissionError:
        return {"stopped": stopped, "possible": possible, "answered": False}
    return {"stopped": stopped, "possible": possible, "answered": True}
"""


@dataclass(frozen=True, slots=True)
class ProbedConfinement:
    """What came of attempts by a node without permissions.

    ``stopped`` are those in vain; ``possible`` are those that worked, though they must not;
    ``is_answered`` says whether the host answers calls that need a decision.
    """

    stopped: tuple[str, ...]
    possible: tuple[str, ...]
    is_answered: bool


def process_of_node(level: IsolationLevel) -> JsonValue:
    """The process in which a node runs at an isolation level.

    Raises:
        OnexError: it does not run at that level.
    """
    process_id = _run(_PROCESS, level, {})
    if level is not IsolationLevel.INLINE and process_id == os.getpid():
        raise AssertionError("the node ran in this process")
    return process_id


def refused_to_node(level: IsolationLevel) -> ProbedConfinement:
    """What a node without permissions can do, found by trying.

    Raises:
        OnexError: it does not run at that level.
    """
    with tempfile.NamedTemporaryFile() as outside:
        found = as_object(_run(_FORBIDDEN, level, {"outside": outside.name}))
    return ProbedConfinement(
        as_texts(found["stopped"]), as_texts(found["possible"]), found["answered"] is True
    )


def _run(code: str, level: IsolationLevel, inputs: JsonObject) -> JsonValue:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        file = folder / "node.py"
        file.write_text(code, encoding="utf-8")
        node = LoadedNode(
            identity="probe",
            digest="probe",
            kind="python",
            folder=folder,
            file=file,
            callable_name="execute",
            origin=folder,
        )
        supervisor, reactor = Supervisor(), Reactor()
        engines = Engines(EngineHost(1, reactor, supervisor))
        ends: list[CallEnd] = []

        def on_end(end: CallEnd, *_: float, **__: bool) -> None:
            ends.append(end)

        until = time.perf_counter() + LIMIT_SECONDS
        try:
            engine = engines.engine_for(node.kind, level)
            context = ContextSpec("probe", f"{folder}/calls/1")
            engine.start(NodeCall("probe", node, inputs, context, on_end))
            while not ends and time.perf_counter() < until:
                reactor.wait(until)
        finally:
            engines.close()
            supervisor.close()
            reactor.close()
    if not ends:
        raise WorkerDiedError(f"no end came within {LIMIT_SECONDS:g} s", hint="try again")
    end = ends[0]
    if isinstance(end, CallFailure):
        raise end.error
    return end.output

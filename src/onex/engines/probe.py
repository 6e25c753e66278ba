"""A probe: whether an isolation level does here what it says."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from onex.domain.json_value import JsonValue
from onex.domain.result import CallEnd, CallFailure, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall
from onex.engines.reactor import Reactor
from onex.engines.selection import EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.worker.context import ContextSpec

LIMIT_SECONDS = 20.0
_CODE = "import os\ndef execute(context):\n    return os.getpid()\n"


def process_of_node(level: IsolationLevel) -> JsonValue:
    """The process in which a node runs at an isolation level.

    Raises:
        OnexError: it does not run at that level.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "node.py"
        file.write_text(_CODE, encoding="utf-8")
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
            engine.start(NodeCall("probe", node, {}, ContextSpec("probe", name), on_end))
            while not ends and time.perf_counter() < until:
                reactor.wait(until)
        finally:
            engines.close()
            supervisor.close()
            reactor.close()
    end = ends[0]
    if isinstance(end, CallFailure):
        raise end.error
    if level is not IsolationLevel.INLINE and end.output == os.getpid():
        raise AssertionError("the node ran in this process")
    return end.output

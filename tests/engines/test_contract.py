"""The contract of engines, for each that is built in: ends, failures, logs, stopping, cancelling."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from pathlib import Path

import pytest

from onex.domain.errors import NodeRaisedError, RunCancelledError
from onex.domain.result import CallFailure, CallOutcome, IsolationLevel
from onex.engines.engine import Engine, LoadedNode, NodeCall
from onex.engines.reactor import Reactor
from onex.engines.redaction import Redaction
from onex.engines.selection import EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.sandbox.granted_rules import programs_of
from onex.sandbox.rules import SandboxRules
from onex.worker.context import ContextSpec

PYTHON = (
    "import time\n"
    "def execute(context, *, do, value=None):\n"
    "    print('a word that is hidden')\n"
    "    if do == 'fail':\n        raise ValueError(value)\n"
    "    if do == 'wait':\n        time.sleep(600)\n"
    "    if do == 'nap':\n        time.sleep(0.3)\n"
    "    return value\n"
)
PROGRAM = (
    "#!/usr/bin/env python3\nimport json, sys\nfrom node import execute\n"
    "inputs = json.load(sys.stdin)\nout, sys.stdout = sys.stdout, sys.stderr\n"
    "json.dump(execute(None, **inputs), out)\n"
)
ENGINES = {
    "strict": ("python", IsolationLevel.STRICT),
    "strict program": ("cli", IsolationLevel.STRICT),
    "process": ("python", IsolationLevel.PROCESS),
    "inline": ("python", IsolationLevel.INLINE),
    "program": ("cli", IsolationLevel.PROCESS),
}


class Host:
    """An engine with its reactor, and the ends that it told."""

    def __init__(self, folder: Path, name: str) -> None:
        (folder / "node.py").write_text(PYTHON)
        program = folder / "program"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        kind, level = ENGINES[name]
        file = program if kind == "cli" else folder / "node.py"
        rules = SandboxRules(execute=tuple(programs_of(str(file))) if kind == "cli" else ())
        self.node = LoadedNode("n", name, kind, folder, file, "execute", folder, rules=rules)
        self.folder = folder
        self.reactor, self.supervisor = Reactor(), Supervisor()
        self.engines = Engines(EngineHost(2, self.reactor, self.supervisor))
        self.level = level
        self.ends: dict[str, tuple[object, float, float, bool]] = {}
        self.threads: set[int] = set()
        self.started: list[str] = []

    @cached_property
    def engine(self) -> Engine:
        # In the test itself: what inline calls print is told apart by the streams of that time.
        return self.engines.engine_for(self.node.kind, self.level)

    def start(self, name: str, *, alone: bool = False, **inputs: object) -> None:
        def on_end(end, started: float, ended: float, /, *, is_made: bool = True) -> None:
            assert name not in self.ends, "an end is told once"
            self.threads.add(threading.get_ident())
            self.ends[name] = (end, started, ended, is_made)

        workdir = self.folder / "work" / name
        self.engine.start(NodeCall(
            id=name, node=self.node, inputs=inputs, context=ContextSpec(name, str(workdir)),
            on_end=on_end, on_start=self.started.append, redaction=Redaction({"S": "hidden"}),
            alone=alone,
        ))  # fmt: skip

    def wait(self, *names: str) -> None:
        until = time.perf_counter() + 60
        while not self.ends.keys() >= set(names):
            assert time.perf_counter() < until, "an end is missing"
            self.reactor.wait(until)

    def close(self) -> None:
        self.engines.close()
        self.supervisor.close()
        self.reactor.close()


@pytest.fixture(params=ENGINES)
def host(request, tmp_path: Path):
    made = Host(tmp_path, request.param)
    yield made
    made.close()


def test_each_call_has_one_end_in_the_thread_that_waits(host: Host) -> None:
    names = [f"c{n}" for n in range(6)]
    for position in range(0, 6, 2):
        for name in names[position : position + 2]:
            host.start(name, do="give", value=[name, {"a": 1.5}])
        host.wait(*names[position : position + 2])
    for name in names:
        end, started, ended, is_made = host.ends[name]
        assert isinstance(end, CallOutcome)
        assert end.output == [name, {"a": 1.5}]
        assert end.log == "a word that is [secret S]\n"
        assert is_made
        assert started <= ended
    assert host.threads == {threading.get_ident()}
    assert sorted(host.started) == names


def test_a_failure_is_told_with_its_log_and_the_next_call_works(host: Host) -> None:
    host.start("bad", do="fail", value="no way")
    host.wait("bad")
    end = host.ends["bad"][0]
    assert isinstance(end, CallFailure)
    assert isinstance(end.error, NodeRaisedError)
    assert "no way" in end.error.message
    assert "a word that is [secret S]" in end.log
    host.start("good", do="give", value=1)
    host.wait("good")
    assert host.ends["good"][0] == CallOutcome(1, "a word that is [secret S]\n")


def test_a_call_that_is_alone_may_end_before_the_start_returns(host: Host) -> None:
    host.start("a", alone=True, do="give", value=2)
    host.wait("a")
    assert host.ends["a"][0].output == 2


def test_stopping_ends_one_call_and_leaves_the_other(host: Host) -> None:
    if host.node.kind == "python" and host.engine.isolation is IsolationLevel.INLINE:
        # A thread cannot be ended: stopping does nothing, and the call goes on.
        host.start("other", do="nap", value=3)
        host.engine.stop("other")
        host.wait("other")
        assert host.ends["other"][0].output == 3
        return
    host.start("long", do="wait")
    host.start("other", do="nap", value=3)
    host.engine.stop("long")
    host.engine.stop("nobody")
    host.wait("long", "other")
    assert isinstance(host.ends["long"][0].error, RunCancelledError)
    assert host.ends["other"][0].output == 3


def test_cancelling_ends_all_and_begins_no_other(host: Host) -> None:
    host.start("a", do="nap" if host.engine.isolation is IsolationLevel.INLINE else "wait", value=1)
    host.engine.cancel()
    host.start("b", do="give", value=1)
    host.wait("a", "b")
    end, _, _, is_made = host.ends["b"]
    assert isinstance(end.error, RunCancelledError)
    assert not is_made
    assert "b" not in host.started

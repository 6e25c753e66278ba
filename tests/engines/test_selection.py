"""Which engine executes a node: for each node of a plan, by level, also one of a third party."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from onex.domain.errors import IsolationUnavailableError
from onex.domain.grant import RunAccess
from onex.domain.reference import NodeRef
from onex.domain.result import CallOutcome, IsolationLevel
from onex.domain.workflow import Step, Workflow
from onex.engines.engine import LoadedNode, NodeCall
from onex.engines.process import ProcessEngine
from onex.engines.reactor import Reactor
from onex.engines.selection import EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.engines.worker_process import WorkerProcess
from onex.trust.access import NodeAccess
from onex.worker.context import ContextSpec
from tests.conftest import Project

PID = "import os\ndef execute(context):\n    return [os.getpid(), context.check_permission('file.read', '/etc/x')]\n"
ECHO_ENGINE = '''
import time
from onex.domain.result import CallOutcome, IsolationLevel

class EchoEngine:
    """Answers at the next turn of the reactor, from where a thread or a socket would."""

    isolation = IsolationLevel.STRICT

    def __init__(self, host):
        self.host = host

    def preload(self, node):
        pass

    def start(self, call):
        call.on_start(call.id)
        now = time.perf_counter()
        outcome = CallOutcome({"echo": dict(call.inputs), "node": call.node.identity}, "logged\\n")
        self.host.reactor.post(lambda: call.on_end(outcome, now, now))

    def stop(self, call_id):
        pass

    def cancel(self):
        pass

    def close(self):
        pass
'''


def workflow(*names: str) -> Workflow:
    return Workflow("w", {name: Step(name, NodeRef.parse(name)) for name in names})


def test_each_node_runs_at_its_own_level_with_its_own_permissions(project: Project) -> None:
    project.add("a", PID, capabilities=["file.read:/etc/x"])
    project.add("b", PID, capabilities=["file.read:/etc/x"])
    with project.registry() as registry:
        registry.scan([project.nodes])
        plan = registry.plan(workflow("a", "b"), {})
        a, b = plan.nodes["a"], plan.nodes["b"]
        here = replace(a, access=replace(a.access, isolation=IsolationLevel.INLINE))
        kept = replace(
            b,
            access=NodeAccess(
                IsolationLevel.PROCESS, (), is_trusted=True, validation=a.access.validation
            ),
        )
        plan = replace(plan, nodes={"a": here, "b": kept})
        result = registry.run(plan)
        assert result.success
        (a_pid, a_may), (b_pid, b_may) = (result.steps[name].output for name in "ab")
        assert a_pid == os.getpid() != b_pid
        assert (a_may, b_may) == (True, False)
        assert [result.steps[n].isolation for n in "ab"] == ["inline", "process"]
        recorded = registry.history.run(result.run_id).plan["steps"]
        assert [recorded[n]["isolation"] for n in "ab"] == ["inline", "process"]
        assert [recorded[n]["permissions"] for n in "ab"] == [["file.read:/etc/x"], []]


def test_steps_of_one_node_have_each_their_own_permissions(project: Project) -> None:
    project.add("a", PID, capabilities=["file.read:/etc/x"])
    steps = {name: Step(name, NodeRef.parse("a")) for name in "xy"}
    with project.registry() as registry:
        registry.scan([project.nodes])
        plan = registry.plan(Workflow("w", steps), {})
        y = plan.nodes["y"]
        less = replace(y, access=replace(y.access, permissions=()))
        plan = replace(plan, nodes={"x": plan.nodes["x"], "y": less})
        assert [s["permissions"] for s in plan.to_json()["steps"].values()] == [
            ["file.read:/etc/x"],
            [],
        ]
        result = registry.run(plan)
        assert [result.steps[n].output[1] for n in "xy"] == [True, False]


def test_the_level_of_the_project_holds_unless_the_user_says_another(project: Project) -> None:
    project.add("a", PID)
    project.write("onex.toml", '[policy]\nisolation = "inline"\n')
    with project.registry() as registry:
        registry.scan([project.nodes])
        plan = registry.plan(workflow("a"), {})
        assert registry.run(plan).steps["a"].isolation is IsolationLevel.INLINE
        access = RunAccess(IsolationLevel.PROCESS)
        other = registry.run(registry.plan(workflow("a"), {}, access=access))
        assert other.steps["a"].isolation is IsolationLevel.PROCESS


def test_a_third_party_adds_an_engine_by_an_entry_point(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    reactor, supervisor = Reactor(), Supervisor()
    engines = Engines(EngineHost(1, reactor, supervisor))
    with pytest.raises(IsolationUnavailableError):
        engines.engine_for("wasm", IsolationLevel.STRICT)
    site = project.root / "site"
    project.write("site/echo_engine_of_tests.py", ECHO_ENGINE)
    info = "site/echo_engine-1.0.dist-info"
    project.write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: echo-engine\nVersion: 1.0\n")
    # It takes the place of no engine that is built in.
    project.write(
        f"{info}/entry_points.txt",
        "[onex.engines]\n"
        "wasm.strict = echo_engine_of_tests:EchoEngine\n"
        "python.strict = echo_engine_of_tests:EchoEngine\n",
    )
    monkeypatch.syspath_prepend(str(site))
    ends: list[object] = []
    try:
        assert isinstance(engines.engine_for("python", IsolationLevel.STRICT), ProcessEngine)
        node = LoadedNode("n", "d", "wasm", site, site / "n.wasm", "execute", site)
        context = ContextSpec("n", str(project.root / "work"))
        call = NodeCall("n", node, {"x": 1}, context, lambda end, *_, **__: ends.append(end))
        engines.engine_for("wasm", IsolationLevel.STRICT).start(call)
        while not ends:
            reactor.wait()
    finally:
        engines.close()
        supervisor.close()
        reactor.close()
        sys.modules.pop("echo_engine_of_tests", None)
    assert ends == [CallOutcome({"echo": {"x": 1}, "node": "n"}, "logged\n")]


def test_five_calls_lie_between_the_facade_and_a_worker(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", PID)
    stacks: list[list[str]] = []
    begin = WorkerProcess.start

    def start(worker: WorkerProcess, call) -> None:
        stacks.append([
            f.name for f in traceback.extract_stack() if "onex" in Path(f.filename).parts
        ])  # fmt: skip
        begin(worker, call)

    monkeypatch.setattr(WorkerProcess, "start", start)
    with project.registry() as registry:
        registry.scan([project.nodes])
        assert registry.run(registry.plan(workflow("a"), {})).success
    (stack,) = stacks
    public = [name for name in stack if not name.startswith("_")]
    # Registry, ExecutionOrchestrator, the prepared run, RunLoop and ProcessEngine.
    assert public == ["run", "execute_workflow", "to_end", "run", "start"], stack

"""Runs with real worker processes: results, failures of every kind, caching, history."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from onex.domain.errors import (
    DigestMismatchError,
    NodeLoadError,
    WorkflowInputError,
)
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult, RunStatus, StepStatus
from onex.domain.workflow import Step, Workflow
from tests.conftest import Project

HANG = "import time\ndef execute(context):\n    time.sleep(600)\n"

FAILURES = {
    "raises": ("def execute(context):\n    raise ValueError('boom')\n", "EXE001", "ValueError: boom"),
    "exits": ("def execute(context):\n    raise SystemExit(3)\n", "EXE001", "SystemExit: 3"),
    "set": ("def execute(context):\n    return {'a': [1, {2}]}\n", "EXE002", "the result.a[1] is of type set"),
    "nan": ("def execute(context):\n    return float('nan')\n", "EXE002", "nan"),
    "number as key": ("def execute(context):\n    return {1: 2}\n", "EXE002", "key of type int"),
    "too deep": (
        "def execute(context):\n    x = []\n    for _ in range(5000):\n        x = [x]\n    return x\n",
        "EXE002", "nested",
    ),
    "too large": ("def execute(context):\n    return 'x' * (70 * 1024 * 1024)\n", "EXE002", "MiB"),
    "hangs": (HANG, "EXE003", "within 1 s"),
    "kills itself": ("import os\ndef execute(context):\n    os.kill(os.getpid(), 9)\n", "EXE004", "SIGKILL"),
    "leaves": ("import os\ndef execute(context):\n    os._exit(7)\n", "EXE004", "exit code 7"),
    "closes its pipes": (
        "import os, time\ndef execute(context):\n    os.closerange(0, 256)\n    time.sleep(600)\n",
        "EXE004", "ended",
    ),
    "does not import": ("import nothing_of_this_name\n", "EXE006", "nothing_of_this_name"),
    "has no callable": ("x = 1\n", "EXE006", "no callable 'execute'"),
    "takes other inputs": ("def execute(context, *, needed):\n    return 1\n", "EXE001", "needed"),
}  # fmt: skip


def run(project: Project, workflow: Workflow, **options) -> RunResult:
    inputs, isolation = options.pop("inputs", {}), options.pop("isolation", None)
    access = RunAccess(None if isolation is None else IsolationLevel(isolation))
    with project.registry() as registry:
        registry.scan([project.nodes])
        return registry.run(registry.plan(workflow, inputs, access=access), **options)


def step(name: str, node: str | None = None, **fields) -> Step:
    return Step(name, NodeRef.parse(node or name), **fields)


def workflow(*steps: Step, outputs: dict[str, JsonValue] | None = None, **fields) -> Workflow:
    return Workflow("test", {s.id: s for s in steps}, outputs=outputs or {}, **fields)


def processes_of(folder: Path) -> list[int]:
    """The processes that run below a folder, by their command lines and working folders."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
            except OSError:
                continue
            if str(folder).encode() in told and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_has_its_code_and_the_rest_goes_on(project: Project, name: str) -> None:
    code, error_code, message = FAILURES[name]
    project.add("bad", code)
    project.add("good")
    result = run(
        project,
        workflow(
            step("bad", timeout_seconds=1.0 if name == "hangs" else 30.0),
            step("after", "good", arguments={"x": "${{ steps.bad }}"}),
            step("good", arguments={"n": 1}),
            outputs={"good": "${{ steps.good.n }}", "bad": "${{ steps.bad }}"},
        ),
        fail_fast=False,
    )
    error = result.steps["bad"].error
    assert error is not None
    assert error.code == error_code
    assert message in error.message
    assert error.hint
    assert result.status is RunStatus.FAILED
    assert result.steps["after"].status is StepStatus.SKIPPED
    assert result.outputs == {"good": 1}
    assert processes_of(project.home) == []


def test_fail_fast_ends_what_runs_at_once(project: Project) -> None:
    project.add(
        "bad", "import time\ndef execute(context):\n    time.sleep(0.3)\n    raise ValueError\n"
    )
    project.add("slow", HANG)
    started = time.monotonic()
    result = run(
        project,
        workflow(step("slow"), step("bad"), step("after", "bad", explicit_needs=("slow",))),
        jobs=2,
    )
    assert time.monotonic() - started < 60
    assert [s.status.value for s in result.steps.values()] == ["cancelled", "failed", "cancelled"]
    assert processes_of(project.home) == []


@pytest.mark.unconfined
def test_independent_steps_run_at_the_same_time(project: Project) -> None:
    """Each of two steps waits for a file that the other one writes."""
    code = (
        "import time, pathlib\n"
        "def execute(context, *, mine, other):\n"
        "    pathlib.Path(mine).touch()\n"
        "    while not pathlib.Path(other).exists():\n"
        "        time.sleep(0.01)\n"
    )
    project.add("meet", code)
    a, b = str(project.root / "a"), str(project.root / "b")
    result = run(
        project,
        workflow(
            step("x", "meet", arguments={"mine": a, "other": b}, timeout_seconds=20),
            step("y", "meet", arguments={"mine": b, "other": a}, timeout_seconds=20),
        ),
        jobs=2,
    )
    assert result.success


@pytest.mark.slow
def test_ten_thousand_calls_of_one_step(project: Project) -> None:
    project.add("inc", "def execute(context, *, n):\n    return n + 1\n", idempotent=True)
    flow = workflow(
        step("each", "inc", arguments={"n": "${{ item }}"}, foreach=list(range(10_000))),
        outputs={"all": "${{ steps.each }}"},
    )
    for cached in (0, 10_000):
        result = run(project, flow, isolation=IsolationLevel.INLINE)
        assert result.outputs == {"all": list(range(1, 10_001))}
        assert sum(s.cached for name, s in result.steps.items() if "[" in name) == cached


def test_the_worker_is_warm_for_the_second_call(project: Project) -> None:
    project.add("pid", "import os\ndef execute(context, *, n):\n    return os.getpid()\n")
    result = run(
        project,
        workflow(
            step("each", "pid", arguments={"n": "${{ item }}"}, foreach=[1, 2, 3, 4]),
            outputs={"pids": "${{ steps.each }}"},
        ),
        jobs=1,
    )
    pids = result.outputs["pids"]
    assert len(set(pids)) == 1
    assert os.getpid() not in pids


def test_what_a_node_prints_and_logs_is_kept_and_cannot_disturb(project: Project) -> None:
    code = (
        "import sys, os\n"
        "def execute(context):\n"
        "    print('on stdout')\n"
        "    sys.stderr.write('on stderr\\n')\n"
        "    os.write(1, b'\\x00\\x00\\x00\\x05{\"re')\n"
        "    context.get_logger().info('logged %s', 1)\n"
        "    context.progress(0.5, 'half')\n"
        "    return {'stdin': sys.stdin.read()}\n"
    )
    project.add("loud", code)
    events = []
    result = run(project, workflow(step("loud")), observer=events.append)
    assert result.success
    assert result.steps["loud"].output == {"stdin": ""}
    log = result.steps["loud"].log
    assert "on stdout" in log
    assert "on stderr" in log
    assert "INFO: logged 1" in log
    assert [(e.fraction, e.message) for e in events if e.kind == "progress"] == [(0.5, "half")]


def test_a_flood_of_output_is_bounded(project: Project) -> None:
    project.add(
        "flood",
        "def execute(context):\n    for _ in range(200000):\n        print('x' * 100)\n    return 1\n",
    )
    result = run(project, workflow(step("flood")))
    assert result.success
    assert len(result.steps["flood"].log) <= 64 * 1024


def test_the_host_environment_does_not_reach_the_node(project: Project) -> None:
    os.environ["ONEX_SECRET_TEST"] = "hidden"
    try:
        project.add("env", "import os\ndef execute(context):\n    return sorted(os.environ)\n")
        result = run(project, workflow(step("env")))
    finally:
        del os.environ["ONEX_SECRET_TEST"]
    assert not [name for name in result.steps["env"].output if name.startswith("ONEX")]


def test_secrets_reach_only_nodes_that_were_granted_them(project: Project) -> None:
    code = "def execute(context):\n    return context.get_secret('KEY')[::-1]\n"
    project.environment["ONEX_SECRET_KEY"] = "terces"
    project.add("granted", code, capabilities=["secret.access:KEY"])
    project.add("other", code)
    result = run(project, workflow(step("granted"), step("other")), fail_fast=False)
    assert result.steps["granted"].output == "secret"
    assert "KEY is not available" in result.steps["other"].error.message


def test_context_gives_config_permissions_and_correlation(project: Project) -> None:
    code = (
        "def execute(context):\n"
        "    return [context.get_config('colour'), context.get_config('none', 3),\n"
        "            context.check_permission('file.read', '/data/x'),\n"
        "            context.check_permission('file.read', '/etc/x'), context.get_correlation_id()]\n"
    )
    project.add("ask", code, capabilities=["file.read:/data/**"])
    project.write("onex.toml", '[config]\ncolour = "red"\n')
    result = run(project, workflow(step("ask")))
    assert result.steps["ask"].output == ["red", 3, True, False, f"{result.run_id}/ask"]


@pytest.mark.parametrize("parameter", ["args", "inputs"])
def test_a_node_may_take_its_inputs_as_one_mapping(project: Project, parameter: str) -> None:
    project.add("raw", f"def execute(context, {parameter}):\n    return {parameter}\n")
    result = run(project, workflow(step("raw", arguments={"a": 1})))
    assert result.steps["raw"].output == {"a": 1}


def test_artifacts_reach_later_steps_as_read_only_paths(project: Project) -> None:
    project.add(
        "write",
        "def execute(context):\n    (context.workdir / 'o.txt').write_text('hello')\n"
        "    return {'file': context.artifact('o.txt')}\n",
    )
    project.add(
        "read",
        "import os, pathlib\ndef execute(context, *, path):\n"
        "    return [pathlib.Path(path).read_text(), oct(os.stat(path).st_mode & 0o777)]\n",
    )
    result = run(
        project,
        workflow(step("write"), step("read", arguments={"path": "${{ steps.write.file }}"})),
    )
    assert result.steps["read"].output == ["hello", "0o444"]
    stored = result.steps["write"].output["file"]
    assert stored["size_bytes"] == 5
    assert Path(stored["path"]).read_text() == "hello"
    assert not (project.home / "runs" / result.run_id).exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../../registry.db"])
def test_a_node_cannot_hand_over_files_that_are_not_its_own(project: Project, path: str) -> None:
    project.add("steal", f"def execute(context):\n    return {{'$artifact': {path!r}}}\n")
    result = run(project, workflow(step("steal")))
    assert result.steps["steal"].error.code == "EXE002"


def test_results_of_idempotent_nodes_are_taken_from_the_cache(project: Project) -> None:
    code = "import os\ndef execute(context, *, n=0):\n    return os.getpid()\n"
    project.add("pure", code, idempotent=True)
    project.add("impure", code)
    flow = workflow(step("pure"), step("impure"), step("off", "pure", use_cache=False))
    first, second = run(project, flow), run(project, flow)
    assert not any(s.cached for s in first.steps.values())
    assert {name: s.cached for name, s in second.steps.items()} == {
        "pure": True, "impure": False, "off": False,
    }  # fmt: skip
    assert second.steps["pure"].output == first.steps["pure"].output
    assert second.steps["pure"].isolation is None
    assert "not marked idempotent" in second.steps["impure"].cache_note
    assert not run(project, flow, use_cache=False).steps["pure"].cached


def test_the_cache_knows_code_inputs_and_file_contents(project: Project) -> None:
    code = "def execute(context, *, path, n=0):\n    return [open(path).read(), n]\n"
    fields = {
        "idempotent": True,
        "inputs": {"path": {"type": "string", "format": "path"}, "n": {"default": 0}},
    }
    project.add("read", code, **fields)
    data = project.write("data.txt", "one")

    def cached(n: int = 0) -> bool:
        flow = workflow(step("read", arguments={"path": str(data), "n": n}))
        return run(project, flow).steps["read"].cached

    assert not cached()
    assert cached()
    assert not cached(n=1)
    data.write_text("two")
    assert not cached()
    data.write_text("one")
    assert cached()
    project.add("read", code + "# changed\n", **fields)
    assert not cached()


def test_a_cached_result_whose_artifact_is_gone_is_made_again(project: Project) -> None:
    project.add(
        "write",
        "def execute(context):\n    (context.workdir / 'o').write_text('x')\n    return context.artifact('o')\n",
        idempotent=True,
    )
    first = run(project, workflow(step("write")))
    Path(first.steps["write"].output["path"]).unlink()
    second = run(project, workflow(step("write")))
    assert not second.steps["write"].cached
    assert Path(second.steps["write"].output["path"]).exists()


def test_inputs_and_results_are_checked_against_the_manifest(project: Project) -> None:
    schemas = {"inputs": {"n": {"type": "integer"}}, "outputs": {"r": {"type": "string"}}}
    project.add("typed", "def execute(context, *, n):\n    return {'r': n}\n", **schemas)
    project.add("echo")
    wrong_input = run(
        project,
        workflow(
            step("echo", arguments={"n": "x"}),
            step("typed", arguments={"n": "${{ steps.echo.n }}"}),
        ),
    ).steps["typed"]
    assert (wrong_input.error.code, wrong_input.attempts) == ("EXE008", 0)
    assert "n" in wrong_input.error.message
    wrong_output = run(project, workflow(step("typed", arguments={"n": 1}))).steps["typed"]
    assert wrong_output.error.code == "EXE008"
    assert "the result does not match the manifest: r: 1" in wrong_output.error.message
    assert wrong_output.attempts == 1


def test_workflow_inputs_have_defaults_and_schemas(project: Project) -> None:
    project.add("echo")
    flow = workflow(
        step("echo", arguments={"a": "${{ inputs.a }}", "text": "a is ${{ inputs.a }}"}),
        inputs={"a": {"type": "integer", "default": 5}, "b": {"required": False}},
    )
    assert run(project, flow).steps["echo"].output == {"a": 5, "text": "a is 5"}
    assert run(project, flow, inputs={"a": 7}).steps["echo"].output["a"] == 7
    for wrong in ({"a": "x"}, {"c": 1}):
        with pytest.raises(WorkflowInputError):
            run(project, flow, inputs=wrong)


def test_files_that_changed_since_the_scan_are_refused(project: Project) -> None:
    manifest = project.add("a")
    project.scan()
    (manifest.parent / "node.py").write_text("def execute(context):\n    return 'other'\n")
    with project.registry() as registry:
        plan = registry.plan(workflow(step("a")), {})
        with pytest.raises(DigestMismatchError) as caught:
            registry.run(plan)
    assert caught.value.code == "SEC002"


def test_a_tampered_copy_is_replaced_before_it_runs(project: Project) -> None:
    project.add("a", "def execute(context):\n    return 'good'\n")
    run(project, workflow(step("a")))
    (copy,) = (project.home / "nodes").glob("*/node.py")
    copy.chmod(0o644)
    copy.write_text("def execute(context):\n    return 'evil'\n")
    assert run(project, workflow(step("a"))).steps["a"].output == "good"


def test_a_node_without_python_code_cannot_be_loaded(project: Project) -> None:
    project.add("tool", entrypoint="cli@bin/tool")
    with pytest.raises(NodeLoadError):
        run(project, workflow(step("tool")))


def test_inline_runs_here_and_says_so(project: Project) -> None:
    project.add(
        "pid",
        "import os\ndef execute(context):\n    context.get_logger().warning('hi')\n    return os.getpid()\n",
    )
    result = run(project, workflow(step("pid")), isolation=IsolationLevel.INLINE)
    assert result.steps["pid"].output == os.getpid()
    assert result.steps["pid"].isolation is IsolationLevel.INLINE
    assert result.steps["pid"].log == "WARNING: hi\n"


def test_history_keeps_runs_steps_outputs_and_errors(project: Project) -> None:
    project.add("good", "def execute(context):\n    print('note')\n    return [1]\n")
    project.add("bad", "def execute(context):\n    raise ValueError('boom')\n")
    result = run(project, workflow(step("good"), step("bad")), fail_fast=False)
    with project.registry() as registry:
        (listed,) = registry.history.runs(10)
        record = registry.history.run(result.run_id[:-4]).to_json()
    assert (listed.run_id, listed.status) == (result.run_id, "failed")
    assert record["steps"]["good"]["output"] == [1]
    assert record["steps"]["good"]["log"] == "note\n"
    assert record["steps"]["bad"]["error"]["code"] == "EXE001"
    assert "raise ValueError('boom')" in record["steps"]["bad"]["error"]["detail"]
    assert record["plan"]["steps"]["good"]["digest"].startswith("sha256:")


def test_a_run_in_another_thread_leaves_signals_alone(project: Project) -> None:
    project.add("a")
    results = []
    thread = threading.Thread(target=lambda: results.append(run(project, workflow(step("a")))))
    thread.start()
    thread.join()
    assert results[0].success

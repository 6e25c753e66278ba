"""What one thread that waits for everything must not get wrong: late looks, long waits, odd starts."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest

from onex.domain.errors import NodeNotFoundError, UsageError
from onex.domain.reference import NodeRef
from onex.domain.workflow import Step, Workflow
from tests.conftest import Project
from tests.execution.test_run import run, step, workflow

SLEEP = "import time\ndef execute(context, *, seconds=0.0):\n    time.sleep(seconds)\n    return seconds\n"


def sleeping(name: str, seconds: float, **fields: object) -> Step:
    return Step(name, NodeRef.parse("sleep"), {"seconds": seconds}, **fields)


def test_a_call_that_returned_in_time_is_no_timeout_though_nobody_looked(project: Project) -> None:
    project.add("sleep", SLEEP)

    def observer(event) -> None:
        # Whoever watches holds the loop up for longer than the other call may take.
        if event.kind == "step_ended" and event.step_id == "first":
            time.sleep(2.5)

    flow = Workflow("w", {
        "first": sleeping("first", 0.0),
        "other": sleeping("other", 0.5, timeout_seconds=1.5),
    }, fail_fast=False)  # fmt: skip
    result = run(project, flow, observer=observer, jobs=2)
    assert result.success, result.steps["other"].error


def test_limits_of_weeks_and_of_no_end_are_limits(project: Project) -> None:
    project.add("sleep", SLEEP)
    project.add("tool", "#!/bin/sh\necho 1\n", entrypoint={"type": "cli", "target": "node.py"})
    (project.nodes / "tool-1.0.0" / "node.py").chmod(0o755)
    for limit in (3e6, 1e300):
        steps = {
            "a": sleeping("a", 0.0, timeout_seconds=limit),
            "b": Step("b", NodeRef.parse("tool"), timeout_seconds=limit),
        }
        assert run(project, Workflow("w", steps, timeout_seconds=limit)).success
        inline = {"a": steps["a"], "c": replace(steps["a"], id="c")}
        assert run(
            project, Workflow("w", inline, timeout_seconds=limit), isolation="inline"
        ).success


def test_a_program_that_cannot_be_started_fails_alone(project: Project) -> None:
    project.add("sleep", SLEEP)
    entrypoint = {"type": "cli", "target": "node.py"}
    project.add(
        "tool", "#!/bin/sh\necho 1\n", entrypoint=entrypoint, capabilities=["secret.access:S"]
    )
    (project.nodes / "tool-1.0.0" / "node.py").chmod(0o755)
    project.environment["ONEX_SECRET_S"] = "held\0back"
    flow = Workflow("w", {
        "tool": Step("tool", NodeRef.parse("tool")), "other": sleeping("other", 0.3),
    }, fail_fast=False)  # fmt: skip
    result = run(project, flow)
    assert (result.steps["tool"].status, result.steps["other"].status) == ("failed", "succeeded")
    assert "null byte" in result.steps["tool"].error.message


def test_a_result_whose_own_methods_end_the_thread_is_a_failure(project: Project) -> None:
    code = (
        "import sys\nclass Odd(dict):\n    def items(self):\n        sys.exit(3)\n"
        "def execute(context):\n    return Odd(a=1)\n"
    )
    project.add("odd", code)
    for isolation in ("inline", "process"):
        flow = workflow(step("a", "odd"), step("b", "odd"))
        result = run(project, flow, isolation=isolation, jobs=2, fail_fast=False)
        assert {s.error.code for s in result.steps.values()} == {"EXE001"}


def test_progress_comes_between_the_start_and_the_end_of_its_step(project: Project) -> None:
    project.add("tell", "def execute(context):\n    context.progress(0.5, 'half')\n    return 1\n")
    project.scan()
    names = "abcde"
    project.workflow({
        n: {"node": "tell", **({"needs": [names[i - 1]]} if i else {})} for i, n in enumerate(names)
    })  # fmt: skip
    for isolation in ("process", "inline"):
        done = project.onex(
            "run", "test.workflow.yaml", "--events", "-", "--jobs", "1", "--isolation", isolation
        )
        events = [json.loads(line) for line in done.stdout.splitlines()]
        kinds = [(e["event"], e["step"]) for e in events if "step" in e]
        assert kinds == [
            (kind, name) for name in names for kind in ("step_started", "progress", "step_ended")
        ]


def test_artifacts_that_wait_to_be_stored_take_room(project: Project) -> None:
    project.add("give", (
        "import os\ndef execute(context, *, n):\n    path = context.workdir / 'f'\n"
        "    path.write_bytes(os.urandom(4_000_000))\n    return context.artifact(path)\n"
    ))  # fmt: skip
    most = 0

    def observer(event) -> None:
        nonlocal most
        most = max(most, sum(1 for _ in (project.home / "runs").glob("*/*/f")))

    many = Step("give", NodeRef.parse("give"), {"n": "${{ item }}"}, foreach=list(range(20)))
    assert run(project, Workflow("w", {"give": many}), jobs=2, observer=observer).success
    # Two at work or being stored, and no more than two that have just returned.
    assert most <= 4


def test_limits_hold_while_files_are_read(project: Project) -> None:
    project.add("sleep", SLEEP)
    project.add(
        "read", "def execute(context, *, file, after):\n    return 1\n", idempotent=True,
        inputs={"file": {"type": "string", "format": "path"}, "after": {}},
    )  # fmt: skip
    big = project.root / "big"
    with big.open("wb") as file:
        # Its digest takes longer than the limit of the other call.
        file.truncate(700_000_000)
    flow = Workflow("w", {
        "late": sleeping("late", 600.0, timeout_seconds=0.3),
        "first": sleeping("first", 0.0),
        "read": Step("read", NodeRef.parse("read"), {"file": str(big), "after": "${{ steps.first }}"}),
        # As much waits for the late call as for the first one, so that it starts before it.
        "never": Step("never", NodeRef.parse("sleep"), {"seconds": "${{ steps.late }}"}),
    }, fail_fast=False)  # fmt: skip
    steps = run(project, flow, jobs=3).steps
    assert (steps["late"].error.code, steps["read"].status) == ("EXE003", "succeeded")
    assert steps["late"].started_seconds + steps["late"].seconds < steps["read"].started_seconds


def test_keywords_and_jobs_that_mean_nothing_are_refused(project: Project) -> None:
    project.add("sleep", SLEEP)
    flow = Workflow("w", {"a": sleeping("a", 0.0)})
    with pytest.raises(TypeError, match="use_cach"):
        run(project, flow, use_cach=False)
    with pytest.raises(UsageError, match="-1 jobs"):
        run(project, flow, jobs=-1)


def test_a_plan_scans_again_after_one_that_failed(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "n"\npath = "nodes"\n')
    with project.registry() as registry:
        with pytest.raises(NodeNotFoundError):
            registry.plan(workflow(step("later")), {})
        project.add("later")
        assert registry.run(registry.plan(workflow(step("later")), {})).success


def test_a_run_goes_on_at_the_level_it_had(project: Project) -> None:
    code = "import os\ndef execute(context, *, folder):\n    assert os.path.exists(folder + '/ok')\n    return os.getpid()\n"
    project.add("ask", code)
    flow = Workflow("w", {"a": Step("a", NodeRef.parse("ask"), {"folder": str(project.root)})})
    result = run(project, flow, isolation="inline")
    assert not result.success
    (project.root / "ok").touch()
    with project.registry() as registry:
        resumed = registry.resume(result.run_id)
    assert (resumed.steps["a"].output, resumed.steps["a"].isolation) == (os.getpid(), "inline")

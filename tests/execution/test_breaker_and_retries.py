"""Retries and the rest that a node is given: neither stands in the way of the other."""

from __future__ import annotations

import pytest

from tests.conftest import CommandResult, Project

pytestmark = pytest.mark.unconfined


def run(project: Project, *arguments: str) -> CommandResult:
    project.scan()
    return project.onex_here("run", "test.workflow.yaml", *arguments, "--format", "json")


@pytest.mark.slow
def test_every_attempt_of_a_crashing_call_is_made(project: Project) -> None:
    count = project.root / "count"
    count.mkdir()
    project.add(
        "crash",
        f"import os\ndef execute(context):\n"
        f"    made = len(os.listdir({str(count)!r}))\n"
        f"    open({str(count)!r} + f'/{{made}}', 'w').close()\n"
        "    if made < 8:\n        os._exit(1)\n    return made\n",
    )
    retry = {"attempts": 10, "delay": 0.01, "on": ["crash"]}
    project.workflow({"a": {"node": "crash", "retry": retry}})
    done = run(project)
    assert done.json["steps"]["a"]["attempts"] == 9, done.stdout
    assert done.json["success"]


@pytest.mark.parametrize("bad", [range(5), range(14, 19), range(0, 19, 4)])
def test_a_few_bad_items_do_not_stop_the_good_ones(project: Project, bad: range) -> None:
    project.add(
        "some",
        f"import os\ndef execute(context, *, n):\n"
        f"    if n in {list(bad)}:\n        os._exit(1)\n    return n\n",
    )
    project.workflow(
        {"a": {"node": "some", "foreach": list(range(19)), "with": {"n": "${{ item }}"}}}
    )
    steps = run(project, "--keep-going", "--jobs", "2").json["steps"]
    failed = {n for n in range(19) if steps[f"a[{n}]"]["status"] == "failed"}
    assert failed == set(bad)
    assert {steps[f"a[{n}]"]["error"]["code"] for n in bad} == {"EXE004"}
    assert f"of 19 calls {len(bad)} failed" in steps["a"]["error"]["message"]


def test_a_node_that_never_works_is_given_a_rest_and_the_cause_is_named(project: Project) -> None:
    project.add("dies", "import os\ndef execute(context, *, n):\n    os._exit(7)\n")
    project.workflow(
        {"a": {"node": "dies", "foreach": list(range(40)), "with": {"n": "${{ item }}"}}}
    )
    steps = run(project, "--keep-going", "--jobs", "2").json["steps"]
    errors = [step["error"] for name, step in steps.items() if "[" in name]
    refused = [error for error in errors if error["code"] == "EXE011"]
    assert 20 < len(refused) < 31
    assert all("exit code 7" in error["message"] for error in refused)


@pytest.mark.slow
def test_a_call_with_attempts_left_waits_for_the_rest_to_end(project: Project) -> None:
    gate = project.root / "gate"
    project.add(
        "gated",
        f"import os, time\ndef execute(context, *, n):\n"
        f"    if n == 5:\n        open({str(gate)!r}, 'w').close()\n"
        f"    if not os.path.exists({str(gate)!r}):\n        os._exit(1)\n    return n\n",
    )
    project.workflow(
        {
            "a": {
                "node": "gated",
                "foreach": list(range(8)),
                "with": {"n": "${{ item }}"},
                "retry": {"attempts": 3, "delay": 0.01},
            }
        },
        policy={"breaker": {"failures": 2, "cooldown": 0.5}},
    )
    done = run(project, "--keep-going", "--jobs", "1")
    codes = {s["error"]["code"] for s in done.json["steps"].values() if s["error"]}
    assert codes <= {"EXE004"}
    assert done.json["steps"]["a[7]"]["status"] == "succeeded"


def test_what_is_tried_again_says_why_and_for_which_item(project: Project) -> None:
    project.add("raise", "def execute(context, *, n):\n    raise ValueError(f'no {n}')\n")
    project.workflow(
        {
            "a": {
                "node": "raise",
                "foreach": [1, 2],
                "with": {"n": "${{ item }}"},
                "retry": {"attempts": 2, "delay": 0},
            }
        }
    )
    project.scan()
    done = project.onex_here("run", "test.workflow.yaml", "--keep-going")
    assert "attempt 1 of a[1] failed with EXE001" in done.stderr
    assert "ValueError: no 2" in done.stderr


def test_what_was_cancelled_is_not_said_to_have_failed(project: Project) -> None:
    project.add(
        "wait",
        "import time\ndef execute(context, *, n):\n"
        "    if n == 0:\n        raise ValueError('no')\n    time.sleep(60)\n",
    )
    project.workflow({"a": {"node": "wait", "foreach": [0, 1, 2], "with": {"n": "${{ item }}"}}})
    message = run(project, "--jobs", "3", "--fail-fast").json["steps"]["a"]["error"]["message"]
    assert "of 3 calls 1 failed and 2 were cancelled" in message

"""``onex runs watch`` and ``onex top``: what runs, told while it runs."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.conftest import Project

TALKING = """
import time
def execute(context, seconds):
    print("one", flush=True)
    time.sleep(seconds)
    print("two", flush=True)
    return 1
"""


def begun(project: Project) -> list[dict[str, object]]:
    deadline = time.monotonic() + 60
    while not (runs := project.onex_here("top", "--json").json["runs"]) or not runs[0]["calls"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return runs


@pytest.mark.slow
def test_a_run_is_told_as_it_happens(project: Project) -> None:
    project.add("talk", TALKING)
    project.add("fail", "def execute(context):\n    raise ValueError('no')\n")
    project.scan()
    path = project.workflow({
        "a": {"node": "talk", "with": {"seconds": 4}}, "b": {"node": "fail", "needs": ["a"]},
    })  # fmt: skip
    process = project.start("run", path)
    (run,) = begun(project)
    assert (run["calls"], run["waiting"], run["steps"]) == (["a"], 1, 2)
    watching = subprocess.Popen(
        project.command("runs", "watch"), cwd=project.root, env=project.environment,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stderr is not None
    assert watching.stderr.readline() == "a | one\n"
    assert process.poll() is None
    printed, told = watching.communicate(timeout=60)
    assert watching.returncode == 1
    lines = told.splitlines()
    assert lines[0] == "a | two"
    assert lines[1].startswith("a: succeeded in")
    assert lines[2].startswith("b: failed")
    assert "ValueError: no" in lines[3]
    assert printed.startswith(f"run {run['run_id']} of test failed")
    assert process.wait(60) == 1


def test_a_run_that_ended_is_told_at_once(project: Project) -> None:
    project.add("talk", TALKING)
    project.scan()
    project.onex_here("run", project.workflow({"a": {"node": "talk", "with": {"seconds": 0}}}))
    assert project.onex_here("runs", "watch").code != 0
    run = project.onex_here("runs", "list", "--json").json["runs"][0]["run_id"]
    done = project.onex_here("runs", "watch", run)
    assert done.code == 0
    assert done.stderr.splitlines()[:2] == ["a | one", "a | two"]
    assert project.onex_here("runs", "watch", run, "--json").json["status"] == "succeeded"


def test_top_counts_what_was_denied(project: Project) -> None:
    project.add("peek", "def execute(context):\n    return open('/etc/passwd').read()\n")
    project.scan()
    project.onex_here("run", "peek")
    totals = project.onex_here("top", "--json").json["totals"]
    assert (totals["calls"], totals["denials"], totals["runs"]) == (1, 1, 1)
    assert "nothing runs" in project.onex_here("top").stdout

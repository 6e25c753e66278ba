"""Failed calls that are made again: when, how often, and what is recorded of it."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.retry import MAXIMUM_DELAY_SECONDS, REASONS, RetryPolicy
from tests.conftest import Project

pytestmark = pytest.mark.unconfined

FLAKY = """
from pathlib import Path
def execute(context, *, file: str, until: int = 3, how: str = "raise"):
    path = Path(file)
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    print("this is attempt", count)
    if count < until:
        if how == "raise":
            raise ValueError(f"not yet, {count}")
        if how == "die":
            import os
            os._exit(3)
        if how == "hang":
            import time
            time.sleep(60)
        return object()
    return count
"""


@pytest.fixture
def flaky(project: Project) -> Project:
    project.add("flaky", FLAKY)
    project.scan()
    return project


def run(project: Project, retry: object, **arguments: object):
    arguments = {"file": str(project.root / "count")} | arguments
    step = {"node": "flaky", "with": arguments, "retry": retry, "timeout": 0.5}
    project.workflow({"a": step}, outputs={"count": "${{ steps.a }}"})
    return project.onex_here("run", "test.workflow.yaml", "--format", "json")


@pytest.mark.parametrize("how", ["raise", "die", "hang"])
def test_a_failure_that_passes_is_tried_again(flaky: Project, how: str) -> None:
    done = run(flaky, {"attempts": 3, "delay": 0.01}, how=how)
    assert done.code == 0, done.stdout
    assert done.json["outputs"] == {"count": 3}
    assert done.json["steps"]["a"]["attempts"] == 3
    log = flaky.onex_here("runs", "show", done.json["run_id"], "--format", "json").json["steps"][
        "a"
    ]["log"]
    assert log.count("failed with") == 2
    if how == "raise":
        assert [f"this is attempt {n}" in log for n in (1, 2, 3)] == [True] * 3


def test_it_gives_up_after_the_last_attempt(flaky: Project) -> None:
    done = run(flaky, 2, until=9)
    assert done.code == 1
    step = done.json["steps"]["a"]
    assert (step["attempts"], step["status"], step["error"]["code"]) == (2, "failed", "EXE001")
    assert "not yet, 2" in step["error"]["message"]


def test_other_failures_are_not_tried_again(flaky: Project) -> None:
    assert run(flaky, {"attempts": 5, "on": ["timeout"]}).json["steps"]["a"]["attempts"] == 1
    (flaky.root / "count").unlink()
    assert run(flaky, {"attempts": 5}, how="nonsense").json["steps"]["a"]["attempts"] == 1
    (flaky.root / "count").unlink()
    done = run(flaky, {"attempts": 5, "delay": 0, "on": "EXE002"}, how="nonsense")
    assert done.json["steps"]["a"]["attempts"] == 3


def test_waiting_holds_up_nothing_else(flaky: Project) -> None:
    flaky.add("quick", "def execute(context, *, x):\n    return x\n")
    flaky.scan()
    first = {
        "node": "flaky",
        "with": {"file": str(flaky.root / "c"), "until": 2},
        "retry": {"attempts": 2, "delay": 1, "jitter": 0},
    }
    flaky.workflow(
        {
            "a": first,
            "b": {"node": "quick", "foreach": list(range(20)), "with": {"x": "${{ item }}"}},
        }
    )
    done = flaky.onex_here("run", "test.workflow.yaml", "--jobs", "1", "--format", "json").json
    assert done["success"]
    ends = {name: step["started_seconds"] + step["seconds"] for name, step in done["steps"].items()}
    assert ends["b"] < 1 <= done["seconds"]


def test_each_child_of_a_fan_out_has_its_attempts(flaky: Project) -> None:
    step = {
        "node": "flaky", "foreach": [1, 2, 4],
        "with": {"file": f"{flaky.root}/c${{{{ item }}}}", "until": "${{ item }}"},
        "retry": {"attempts": 4, "delay": 0.01},
    }  # fmt: skip
    flaky.workflow({"a": step})
    steps = flaky.onex_here("run", "test.workflow.yaml", "--format", "json").json["steps"]
    assert [steps[f"a[{i}]"]["attempts"] for i in range(3)] == [1, 2, 4]
    assert steps["a"]["attempts"] == 4


def test_cancelling_ends_the_wait(flaky: Project) -> None:
    step = {
        "node": "flaky",
        "with": {"file": str(flaky.root / "c")},
        "retry": {"attempts": 9, "delay": 60},
    }
    flaky.workflow({"a": step})
    process = subprocess.Popen(
        flaky.command("run", "test.workflow.yaml", "--format", "json"),
        cwd=flaky.root, env=flaky.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (flaky.root / "c").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"status": "cancelled"' in output


def test_a_failure_elsewhere_ends_the_wait(flaky: Project) -> None:
    flaky.add(
        "bad", "import time\ndef execute(context):\n    time.sleep(0.3)\n    raise ValueError\n"
    )
    flaky.scan()
    first = {
        "node": "flaky",
        "with": {"file": str(flaky.root / "c")},
        "retry": {"attempts": 9, "delay": 60},
    }
    flaky.workflow({"a": first, "b": {"node": "bad"}})
    done = flaky.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert done.code == 1
    assert {n: s["status"] for n, s in done.json["steps"].items()} == {
        "a": "cancelled",
        "b": "failed",
    }


@pytest.mark.parametrize(
    "retry",
    [
        0,
        1.5,
        True,
        "twice",
        {"attempts": 101},
        {"delay": -1},
        {"jitter": 2},
        {"on": ["whenever"]},
        {"x": 1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(flaky: Project, retry: object) -> None:
    done = run(flaky, retry)
    assert done.code == 4, done.stdout


@given(
    st.integers(1, 100), st.floats(0, MAXIMUM_DELAY_SECONDS), st.floats(1, 100), st.floats(0, 1),
    st.integers(1, 100), st.floats(0, 1),
)  # fmt: skip
def test_delays_grow_within_their_bounds(attempts, delay, backoff, jitter, attempt, chance) -> None:
    policy = RetryPolicy(attempts, delay, backoff, jitter)
    found = policy.delay_after(attempt, REASONS["error"], chance)
    assert (found is None) == (attempt >= attempts)
    assert policy.delay_after(attempt, "EXE002", chance) is None
    if found is not None:
        assert 0 <= found <= MAXIMUM_DELAY_SECONDS * 2
        steady = RetryPolicy(attempts, delay, backoff, 0)
        later = steady.delay_after(attempt + 1, REASONS["error"], chance)
        if later is not None:
            assert later >= (steady.delay_after(attempt, REASONS["error"], chance) or 0)

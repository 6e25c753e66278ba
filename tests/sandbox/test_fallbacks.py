"""What is left of confinement where the kernel, or somebody around onex, offers less."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from onex.sandbox.availability import why_not_strict
from tests.conftest import Project

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

# There can be one listener for a process; this one allows everything and never asks.
LISTEN_AND_RUN = """
import ctypes, os, struct, sys
from onex.sandbox.lockdown import _Program
from onex.sandbox.system_calls import Kernel
kernel = Kernel()
kernel.control(38, 1)
code = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
listener = kernel.call("seccomp", 1, 8, ctypes.byref(_Program(1, code)))
os.set_inheritable(listener, True)
os.execv(sys.executable, [sys.executable, "-m", "onex", *sys.argv[1:]])
"""


def run_within_a_listener(project: Project, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", LISTEN_AND_RUN, *arguments, "--format", "json"], cwd=project.root,
        env=project.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_where_somebody_listens_already_less_is_allowed_and_nothing_more(project: Project) -> None:
    project.add(
        "plain",
        "def execute(context):\n    open('f', 'w').write('x')\n    return open('f').read()\n",
    )
    project.add("secret", "def execute(context):\n    return open('/etc/passwd').read()\n")
    project.add(
        "mode", "import os\ndef execute(context):\n    open('f', 'w')\n    os.chmod('f', 0o600)\n"
    )
    project.add(
        "fetch",
        "import socket\ndef execute(context):\n    socket.socket()\n",
        capabilities=["network.connect:localhost:1"],
    )
    path = {"file": {"type": "string", "format": "path"}}
    project.add(
        "read", "def execute(context, *, file):\n    return open(file).read()\n", inputs=path
    )
    project.write("data.txt", "handed over")
    project.scan()
    project.workflow({
        "plain": {"node": "plain"}, "secret": {"node": "secret"}, "mode": {"node": "mode"},
        "fetch": {"node": "fetch"},
    }, policy={"fail_fast": False})  # fmt: skip
    steps = run_within_a_listener(project, "run", "test.workflow.yaml")["steps"]
    assert steps["plain"]["status"] == "succeeded"
    codes = {name: step["error"]["code"] for name, step in steps.items() if step["error"]}
    assert codes == {"secret": "EXE001", "mode": "EXE001", "fetch": "SEC005"}
    project.write("onex.toml", '[[sources]]\npath = "nodes"\ntrusted = false\n')
    done = run_within_a_listener(project, "run", "read", "-i", "file=data.txt")
    assert done["outputs"] == {"result": "handed over"}
    checks = {c["name"]: c for c in run_within_a_listener(project, "doctor")["checks"]}
    assert "another program listens" in checks["isolation strict"]["message"]


def test_the_doctor_proves_what_it_says(project: Project) -> None:
    checks = {c["name"]: c for c in project.onex_here("doctor", "--format", "json").json["checks"]}
    check = checks["isolation strict"]
    assert check["status"] == "ok"
    assert "Landlock" in check["message"]
    for attempt in ("reading files of the user", "connecting", "running programs", "tracing"):
        assert attempt in check["message"].partition("tried in vain")[2]


def test_a_level_that_cannot_be_had_is_refused_or_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onex.execution.plan.why_not_strict", lambda: "this kernel is old")
    project.add("a")
    project.scan()
    weaker = project.onex_here("run", "a", "--format", "json")
    assert weaker.json["steps"]["node"]["isolation"] == "process"
    assert "this kernel is old" in project.onex_here("run", "a").stderr
    asked = project.onex_here("run", "a", "--isolation", "strict", "--format", "json")
    assert (asked.code, asked.json["error"]["code"]) == (5, "SEC003")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\ntrusted = false\n')
    stranger = project.onex_here("run", "a", "--format", "json")
    assert (stranger.code, stranger.json["error"]["code"]) == (5, "SEC003")
    named = project.onex_here("run", "a", "--allow-unsandboxed", "test.a", "--format", "json")
    assert named.json["steps"]["node"]["isolation"] == "process"

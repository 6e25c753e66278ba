"""How runs end: what is left of them when they are cut off, and when nobody can watch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.unconfined

SLEEPER = (
    "import os, subprocess, sys, time\n"
    "def execute(context, *, folder):\n"
    "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True)\n"
    "    for number in (os.getpid(), child.pid):\n"
    "        open(f'{folder}/{number}', 'w').close()\n"
    "    time.sleep(600)\n"
)
PROGRAM = (
    "#!/usr/bin/env python3\nimport json, os, subprocess, sys, time\n"
    "folder = json.load(sys.stdin)['folder']\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "for number in (os.getpid(), child.pid):\n"
    "    open(f'{folder}/{number}', 'w').close()\n"
    "time.sleep(600)\n"
)
ECHO = "def execute(context, *, x=1):\n    return x\n"


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["python", "program"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_nothing_outlives_the_process_that_runs_it(
    project: Project, kind: str, number: signal.Signals
) -> None:
    if kind == "program":
        project.add("sleep", PROGRAM, entrypoint={"type": "cli", "target": "node.py"})
        (project.nodes / "sleep-1.0.0" / "node.py").chmod(0o755)
    else:
        project.add("sleep", SLEEPER)
    project.scan()
    seen = project.root / "seen"
    seen.mkdir()
    process = project.start("run", "sleep", "-i", f"folder={seen}")
    wait_until(lambda: len(list(seen.iterdir())) == 2)
    process.send_signal(number)
    code = process.wait(60)
    assert code == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    for file in seen.iterdir():
        wait_until(lambda file=file: _is_gone(int(file.name)))


def _is_gone(process_id: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{process_id}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_failed_program_is_no_success_when_the_signal_of_children_is_ignored(
    project: Project,
) -> None:
    project.add(
        "fail", "#!/bin/sh\necho null\nexit 3\n", entrypoint={"type": "cli", "target": "node.py"}
    )
    (project.nodes / "fail-1.0.0" / "node.py").chmod(0o755)
    project.scan()
    command = " ".join(project.command("run", "fail", "--format", "json"))
    done = subprocess.run(
        ["bash", "-c", f"trap '' CHLD; exec {command}"], cwd=project.root,
        env=project.environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "exit code 3" in json.loads(done.stdout)["steps"]["node"]["error"]["message"]
    # In somebody's own process the signal stays as it is, and the end is not guessed.
    code = (
        "import signal, sys\nfrom onex import Registry\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from onex.domain.workflow import Workflow\nfrom onex.domain.reference import NodeRef\n"
        "with Registry.open() as registry:\n"
        "    plan = registry.plan(Workflow.of_node(NodeRef.parse('fail'), []), {})\n"
        "    print(registry.run(plan).steps['node'].error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=project.environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "EXE004", done.stderr


def shell(project: Project, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    onex = f"{sys.executable} -m onex"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("ONEX", onex)], cwd=project.root,
        env=project.environment | environment, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "{ ONEX run flow.yaml --events - 2>err; echo $? >code; } | head -1 >/dev/null",
        "ONEX run flow.yaml --events - >/dev/full 2>err; echo $? >code",
        "ONEX run flow.yaml --events /dev/full >/dev/null 2>err; echo $? >code",
        "ONEX run flow.yaml >/dev/full 2>err; echo $? >code",
        "ONEX run flow.yaml --format json >/dev/full 2>/dev/full; echo $? >code",
        "ONEX run flow.yaml >&- 2>&-; echo $? >code",
        "{ ONEX run flow.yaml 2>err; echo $? >code; } | true",
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_the_run_goes_on_when_nobody_can_watch(project: Project, command: str, fails: bool) -> None:
    marks = project.root / "marks"
    marks.mkdir()
    end = "    raise SystemExit('no')\n" if fails else "    return x\n"
    project.add(
        "mark",
        f"import time\ndef execute(context, *, x):\n    time.sleep(0.05)\n"
        f"    open(f'{marks}/{{x}}', 'w').close()\n    return x\n",
    )
    project.add("last", "def execute(context, *, x):\n" + end)
    steps: dict[str, object] = {
        f"s{number}": {
            "node": "mark",
            "with": {"x": number},
            **({"needs": [f"s{number - 1}"]} if number else {}),
        }
        for number in range(5)
    }
    steps["last"] = {"node": "last", "with": {"x": "${{ steps.s4 }}"}}
    project.workflow(steps).rename(project.root / "flow.yaml")
    project.scan()
    shell(project, command)
    assert len(list(marks.iterdir())) == 5
    assert (project.root / "code").read_text().strip() == ("1" if fails else "0")
    assert "ONEX002" not in (project.root / "err").read_text() if "2>err" in command else True


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_cannot_be_shown_are_escaped(project: Project, encoding: str) -> None:
    project.add("a", "def execute(context):\n    return '日本'\n", description="説明")
    project.add("b", description="plain")
    project.scan()
    found = shell(project, "ONEX list", PYTHONIOENCODING=encoding)
    assert found.returncode == 0, found.stderr
    assert "test.a" in found.stdout
    assert "test.b" in found.stdout
    done = shell(project, "ONEX run a", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "\\u65e5" in done.stdout
    body = shell(project, "ONEX run a --format json", PYTHONIOENCODING=encoding).stdout
    assert json.loads(body)["outputs"] == {"result": "日本"}


def test_a_finished_call_leaves_no_folder(project: Project) -> None:
    project.add(
        "fill",
        "import os\ndef execute(context, *, x):\n"
        "    runs = context.workdir.parent\n"
        "    (context.workdir / 'f').write_bytes(b'x' * 1000)\n"
        "    return sorted(os.listdir(runs))\n",
    )
    steps: dict[str, object] = {"a": {"node": "fill", "with": {"x": 1}}}
    steps["b"] = {"node": "fill", "with": {"x": "${{ steps.a }}"}}
    workflow = project.workflow(steps, outputs={"b": "${{ steps.b }}"})
    project.scan()
    for isolation in ("process", "inline"):
        done = project.onex_here("run", workflow, "--isolation", isolation, "--format", "json")
        assert len(done.json["outputs"]["b"]) == 1


EFFECT = (
    "import os, time\n"
    "def execute(context, *, folder, seconds=0, fail=False):\n"
    "    open(f'{folder}/{len(os.listdir(folder))}', 'w').close()\n"
    "    time.sleep(seconds)\n"
    "    if fail:\n        raise ValueError('no')\n"
)


@pytest.mark.parametrize(
    "end", ["SIGTERM", "SIGINT", "fail fast", "time of the run", "time of the call", "crash"]
)
@pytest.mark.slow
def test_a_call_that_did_not_return_is_not_made_again_unasked(project: Project, end: str) -> None:
    effects = project.root / "effects"
    effects.mkdir()
    code = EFFECT if end != "crash" else EFFECT.replace("time.sleep(seconds)", "os._exit(9)")
    project.add(
        "effect", code, inputs={"seconds": {"default": 0}, "folder": {}, "fail": {"default": False}}
    )
    steps: dict[str, object] = {
        "effect": {"node": "effect", "with": {"folder": str(effects), "seconds": 60}}
    }
    fields: dict[str, object] = {}
    if end == "fail fast":
        other = project.root / "other"
        other.mkdir()
        steps["other"] = {
            "node": "effect",
            "with": {"folder": str(other), "seconds": 2, "fail": True},
        }
    if end == "time of the run":
        fields["policy"] = {"timeout": 2}
    if end == "time of the call":
        steps["effect"]["timeout"] = 2  # type: ignore[index]
    workflow = project.workflow(steps, **fields)
    project.scan()
    process = project.start("run", workflow, "--jobs", "2")
    wait_until(lambda: any(effects.iterdir()))
    if end in ("SIGTERM", "SIGINT"):
        process.send_signal(getattr(signal, end))
    assert process.wait(60) in (1, 130)
    (run,) = project.onex_here("runs", "list", "--format", "json").json["runs"]
    resumed = project.onex_here("run", "--resume", run["run_id"], "--format", "json")
    assert resumed.json["steps"]["effect"]["error"]["code"] == "EXE010", resumed.stdout
    assert len(list(effects.iterdir())) == 1
    again = project.onex_here("run", "--resume", run["run_id"], "--format", "json")
    assert again.json["steps"]["effect"]["error"]["code"] == "EXE010"


def test_a_call_that_raised_is_made_again(project: Project) -> None:
    effects = project.root / "effects"
    effects.mkdir()
    project.add("effect", EFFECT)
    workflow = project.workflow(
        {"effect": {"node": "effect", "with": {"folder": str(effects), "fail": True}}}
    )
    project.scan()
    first = project.onex_here("run", workflow, "--format", "json").json
    resumed = project.onex_here("run", "--resume", first["run_id"], "--format", "json").json
    assert resumed["steps"]["effect"]["error"]["code"] == "EXE001"
    assert len(list(effects.iterdir())) == 2


def test_a_run_with_an_override_goes_on_and_is_repeated_with_it(project: Project) -> None:
    project.add("a", "def execute(context):\n    return 'registered'\n")
    project.add("b", "import os\ndef execute(context, *, x):\n    assert os.path.exists('/go')\n")
    project.scan()
    own = project.add(
        "a", "def execute(context):\n    return 'own'\n", folder="../elsewhere/a"
    ).parent
    gate = project.root / "gate"
    (project.nodes / "b-1.0.0" / "node.py").write_text(
        f"import os\ndef execute(context, *, x):\n    assert os.path.exists({str(gate)!r})\n"
        "    return x\n"
    )
    project.scan()
    steps = {"a": {"node": "a"}, "b": {"node": "b", "with": {"x": "${{ steps.a }}"}}}
    workflow = project.workflow(steps, outputs={"x": "${{ steps.b }}"})
    first = project.onex_here("run", workflow, "--override", f"test.a={own}", "--format", "json")
    assert first.code == 1, first.stderr
    gate.touch()
    run_id = first.json["run_id"]
    resumed = project.onex_here("run", "--resume", run_id, "--format", "json")
    assert resumed.json["outputs"] == {"x": "own"}, resumed.stdout
    replayed = project.onex_here("runs", "replay", run_id, "--format", "json").json
    assert replayed["same"]
    (own / "node.py").write_text("def execute(context):\n    return 'changed'\n")
    replayed = project.onex_here("runs", "replay", run_id, "--format", "json").json
    assert replayed["first_difference"]["causes"] == ["code"]


def test_a_run_goes_on_with_a_node_that_was_mended(project: Project) -> None:
    project.write(
        "onex.toml",
        '[policy]\nisolation = "process"\n[[sources]]\nname = "nodes"\npath = "nodes"\n',
    )
    count = project.root / "count"
    count.mkdir()
    project.add("first", f"import os\ndef execute(context):\n"
                f"    open('{count}/' + str(len(os.listdir('{count}'))), 'w').close()\n"
                f"    return 1\n")  # fmt: skip
    project.add("second", "def execute(context, *, x):\n    raise ValueError('a bug')\n")
    project.add("third", "def execute(context, *, x):\n    return x + 1\n")
    steps = {
        "first": {"node": "first"},
        "second": {"node": "second", "with": {"x": "${{ steps.first }}"}},
        "third": {"node": "third", "with": {"x": "${{ steps.second }}"}},
    }
    workflow = project.workflow(steps, outputs={"x": "${{ steps.third }}"})
    run_id = project.onex_here("run", workflow, "--format", "json").json["run_id"]
    project.add("second", "def execute(context, *, x):\n    return x + 1\n")
    project.onex_here("scan")
    refused = project.onex_here("run", "--resume", run_id, "--format", "json").json
    assert refused["error"]["code"] == "SEC002"
    assert "--accept-changed second" in refused["error"]["hint"]
    resumed = project.onex_here(
        "run", "--resume", run_id, "--accept-changed", "second", "--format", "json"
    )
    assert resumed.json["outputs"] == {"x": 3}, resumed.stdout
    assert len(list(count.iterdir())) == 1
    shown = project.onex_here("runs", "show", run_id, "--format", "json").json
    assert list(shown["steps"]) == ["first", "second", "third"]
    replayed = project.onex_here("runs", "replay", run_id, "--format", "json").json
    assert replayed["same"]


def test_calls_whose_artifacts_are_gone_are_made_again(project: Project) -> None:
    project.add(
        "make",
        "def execute(context):\n    (context.workdir / 'f').write_text('x')\n"
        "    return {'f': context.artifact('f')}\n",
    )
    gate = project.root / "gate"
    project.add(
        "read",
        f"import os\ndef execute(context, *, f):\n    assert os.path.exists({str(gate)!r})\n"
        "    return open(f).read()\n",
    )
    workflow = project.workflow(
        {"make": {"node": "make"}, "read": {"node": "read", "with": {"f": "${{ steps.make.f }}"}}},
        outputs={"x": "${{ steps.read }}"},
    )
    project.scan()
    run_id = project.onex_here("run", workflow, "--format", "json").json["run_id"]
    subprocess.run(["rm", "-rf", project.home / "artifacts"], check=True, timeout=60)
    gate.touch()
    resumed = project.onex_here("run", "--resume", run_id, "--format", "json")
    assert resumed.json["outputs"] == {"x": "x"}, resumed.stdout


@pytest.mark.parametrize("command", ["ONEX run draft 2>/dev/full", "ONEX run draft 2>&-"])
def test_a_warning_that_cannot_be_written_prevents_no_run(project: Project, command: str) -> None:
    project.write(
        "onex.toml",
        '[policy]\nisolation = "process"\n[[sources]]\nname = "nodes"\npath = "nodes"\n',
    )
    project.add("draft", ECHO)
    project.add("bad", ECHO, lifecycle="none such")
    done = shell(project, command)
    assert done.returncode == 0
    assert len(project.onex_here("runs", "list", "--format", "json").json["runs"]) == 1


def test_accepted_code_is_held_to_the_lock_and_settled_steps_to_nothing(project: Project) -> None:
    project.write(
        "onex.toml",
        '[policy]\nisolation = "process"\n[[sources]]\nname = "nodes"\npath = "nodes"\n',
    )
    project.add("same", "def execute(context, *, x):\n    assert x\n    return x\n")
    project.add("gone", ECHO)
    steps = {
        "a": {"node": "same", "with": {"x": 1}},
        "b": {"node": "gone", "with": {"x": 2}},
        "c": {"node": "same", "with": {"x": 0}, "needs": ["a", "b"]},
    }
    workflow = project.workflow(steps, outputs={"c": "${{ steps.c }}"})
    project.onex_here("scan")
    assert project.onex_here("lock").code == 0
    run_id = project.onex_here("run", workflow, "--format", "json").json["run_id"]
    project.add("same", "def execute(context, *, x):\n    return x\n")
    refused = project.onex_here(
        "run", "--resume", run_id, "--accept-changed", "c", "--format", "json"
    )
    assert refused.json["error"]["code"] == "SEC002"
    assert "onex lock" in refused.json["error"]["hint"]
    assert project.onex_here("lock").code == 0
    resumed = project.onex_here(
        "run", "--resume", run_id, "--accept-changed", "c", "--format", "json"
    )
    assert resumed.json["outputs"] == {"c": 0}, resumed.stdout
    plan = project.onex_here("runs", "show", run_id, "--format", "json").json["plan"]["steps"]
    assert plan["a"]["digest"] != plan["c"]["digest"]

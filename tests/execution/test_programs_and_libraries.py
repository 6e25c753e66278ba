"""Nodes that are programs, nodes from packages, libraries, declared variables, secrets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from onex.domain.errors import SecretsNotPrivateError
from onex.engines.redaction import Redaction
from onex.engines.secret_store import SecretStore
from tests.conftest import Project
from tests.execution.test_run import processes_of

UPPER = """#!/usr/bin/env python3
import json, os, sys
inputs = json.load(sys.stdin)
print("working", file=sys.stderr)
with open("out.txt", "w") as file:
    file.write(inputs["text"].upper())
json.dump({
    "text": inputs["text"].upper(),
    "file": {"$artifact": "out.txt"},
    "id": os.environ["ONEX_CORRELATION_ID"],
    "here": os.getcwd() == os.environ["ONEX_WORKDIR"],
    "config": json.loads(os.environ["ONEX_CONFIG"]),
}, sys.stdout)
"""


def add_program(project: Project, name: str, text: str, **fields: object) -> None:
    project.add(name, entrypoint={"type": "cli", "target": "tool"}, **fields)
    (project.nodes / f"{name}-1.0.0" / "tool").write_bytes(text.encode())
    project.scan()


def run(project: Project, *arguments: str):
    return project.onex("run", *arguments, "--format", "json")


def test_a_program_gets_json_and_gives_json(project: Project) -> None:
    project.write("onex.toml", '[config]\ncolour = "red"\n')
    add_program(project, "upper", UPPER, outputs={"text": {"type": "string"}})
    done = run(project, "upper", "-i", "text=hello", "--isolation", "inline")
    assert done.code == 0, done.stdout
    result = done.json["outputs"]["result"]
    assert (result["text"], result["here"], result["config"]) == ("HELLO", True, {"colour": "red"})
    assert result["id"] == f"{done.json['run_id']}/node"
    assert Path(result["file"]["path"]).read_text() == "HELLO"
    assert done.json["steps"]["node"]["isolation"] == "process"
    log = project.onex("runs", "show", done.json["run_id"]).stdout
    assert "| working" in log


def test_what_a_program_leaves_behind_does_not_hold_its_result_back(project: Project) -> None:
    # Its output is open as long as the child that it does not wait for.
    add_program(project, "leaves", "#!/bin/sh\nsleep 600 &\necho 3\n")
    project.scan()
    result = run(project, "leaves").json
    assert result["outputs"] == {"result": 3}
    assert result["seconds"] < 60


def test_a_carriage_return_behind_the_interpreter_is_named(project: Project) -> None:
    add_program(project, "odd", "#!/bin/sh\r\necho 1\r\n")
    done = run(project, "odd")
    assert done.json["error"]["code"] == "EXE006"
    assert "carriage return" in done.json["error"]["message"]


@pytest.mark.unconfined
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("#!/bin/sh\necho not json\n", "EXE002", "is not JSON"),
        ("#!/bin/sh\necho NaN\n", "EXE002", "NaN is not JSON"),
        ("#!/bin/sh\necho oops >&2\nexit 3\n", "EXE001", "exit code 3: oops"),
        ("#!/bin/sh\nkill -9 $$\n", "EXE004", "killed by SIGKILL"),
        ("#!/bin/sh\nsleep 100 &\nsleep 100\n", "EXE003", "within 1 s"),
        ("#!/bin/sh\nyes\n", "EXE002", "more than 64 MiB"),
        ("#!/no/such/interpreter\n", "EXE004", "could not be started"),
        ('#!/bin/sh\necho \'{"$artifact": "/etc/passwd"}\'\n', "EXE002", "not a file of this execution"),
    ],
)  # fmt: skip
def test_each_failure_of_a_program_has_its_code(
    project: Project, text: str, code: str, message: str
) -> None:
    add_program(project, "bad", text)
    project.workflow({"a": {"node": "bad", "timeout": 1 if code == "EXE003" else 30}})
    error = run(project, "test.workflow.yaml").json["steps"]["a"]["error"]
    assert error["code"] == code, error
    assert message in error["message"]
    assert processes_of(project.home) == []


def test_a_node_of_an_installed_package_runs(project: Project) -> None:
    site = project.root / "site"
    node = site / "parcel" / "node"
    node.mkdir(parents=True)
    (site / "parcel" / "__init__.py").touch()
    (node / "__init__.py").touch()
    (node / "main.py").write_text("def execute(context, *, n):\n    return n * 2\n")
    (node / "node.onex.yaml").write_text(
        'name: double\nnamespace: parcel.double\nversion: "1.0.0"\nmeta_type: tool\n'
        "lifecycle: draft\nentrypoint: python://parcel.node.main\n"
    )
    info = site / "parcel-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[onex.nodes]\ndouble = parcel.node\n")
    (info / "RECORD").write_text("")
    project.write("onex.toml", '[[sources]]\nkind = "package"\nname = "installed"\n')
    project.environment["PYTHONPATH"] = str(site)
    done = run(project, "parcel.double", "--args", '{"n": 21}')
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["outputs"] == {"result": 42}


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        (
            "no-such-library>=1",
            "needs the Python library no-such-library>=1, which is not installed",
        ),
        ("click>=9999", "needs the Python library click>=9999, and "),
    ],
)
def test_a_library_that_is_missing_is_named_before_anything_runs(
    project: Project, requirement: str, message: str
) -> None:
    project.add("needs", dependencies=[requirement])
    project.scan()
    done = run(project, "needs")
    assert (done.code, done.json["error"]["code"]) == (1, "EXE013")
    assert message in done.json["error"]["message"]
    assert "pip install" in done.json["error"]["hint"]


def test_a_library_that_fits_is_no_obstacle(project: Project) -> None:
    project.add("needs", dependencies=["click>=8", 'nothing>=1; python_version < "3"'])
    project.scan()
    done = run(project, "needs")
    assert done.code == 0, done.stdout
    shown = project.onex("runs", "show", done.json["run_id"], "--format", "json").json
    assert list(shown["plan"]["environment"]["libraries"]) == ["click"]


def test_declared_variables_reach_the_node_and_are_part_of_the_key(project: Project) -> None:
    project.add("env", "import os\ndef execute(context):\n    return os.environ.get('COLOUR')\n",
                environment=["COLOUR", "UNSET"], idempotent=True)  # fmt: skip
    project.add("other", "import os\ndef execute(context):\n    return os.environ.get('COLOUR')\n")
    project.scan()
    project.environment["COLOUR"] = "red"
    assert run(project, "env").json["outputs"] == {"result": "red"}
    assert run(project, "env").json["steps"]["node"]["cached"]
    project.environment["COLOUR"] = "blue"
    assert run(project, "env").json["outputs"] == {"result": "blue"}
    assert run(project, "other").json["outputs"] == {"result": None}


# Secrets

LEAK = """
import sys
def execute(context, *, how):
    secret = context.get_secret("TOKEN")
    print("printed", secret)
    context.get_logger().info("logged %s", secret)
    context.progress(0.5, secret)
    if how == "raise":
        raise ValueError(f"failed with {secret}")
    return {"text": f"<{secret}>", secret: [secret]}
"""


@pytest.mark.parametrize("isolation", ["process", "inline"])
def test_a_secret_is_recorded_nowhere(project: Project, isolation: str) -> None:
    secret = "s3cr3t-value-0815"
    project.add("leak", LEAK, capabilities=["secret.access:TOKEN"])
    project.scan()
    project.environment["ONEX_SECRET_TOKEN"] = secret
    project.workflow({"a": {"node": "leak", "with": {"how": "return"}},
                      "b": {"node": "leak", "with": {"how": "raise"}}})  # fmt: skip
    done = run(project, "test.workflow.yaml", "--keep-going", "--isolation", isolation,
               "--events", "events.jsonl")  # fmt: skip
    steps = done.json["steps"]
    assert steps["b"]["error"]["message"] == "ValueError: failed with [secret TOKEN]"
    assert steps["a"]["error"]["code"] == "SEC004"
    shown = project.onex("runs", "show", done.json["run_id"], "--format", "json")
    assert "logged [secret TOKEN]" in shown.json["steps"]["a"]["log"]
    events = (project.root / "events.jsonl").read_text()
    database = b"".join(p.read_bytes() for p in project.home.glob("history.db*"))
    assert secret.encode() not in database
    assert secret not in done.stdout + done.stderr + shown.stdout + events


def test_secrets_come_from_the_environment_then_a_folder_then_a_private_file(
    tmp_path: Path,
) -> None:
    folder, file = tmp_path / "secrets", tmp_path / "secrets.toml"
    folder.mkdir()
    (folder / "A").write_text("of the folder\n")
    (folder / "B").write_text("of the folder\n")
    file.write_text('A = "of the file"\nB = "of the file"\nC = "of the file"\n')
    file.chmod(0o600)
    store = SecretStore({"ONEX_SECRET_A": "of the environment"}, file, folder)
    assert store.find(["A", "B", "C", "D", "../secrets.toml"]) == {
        "A": "of the environment", "B": "of the folder", "C": "of the file",
    }  # fmt: skip


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text('A = "x"\n')
    file.chmod(mode)
    with pytest.raises(SecretsNotPrivateError, match="by others"):
        SecretStore({}, file, tmp_path / "none").find(["A"])


def test_the_file_of_secrets_is_named_in_the_configuration(project: Project) -> None:
    project.write("onex.toml", '[secrets]\nfile = "secrets.toml"\n')
    file = project.write("secrets.toml", 'TOKEN = "from the file"\n')
    project.add("length", "def execute(context):\n    return len(context.get_secret('TOKEN'))\n",
                capabilities=["secret.access:TOKEN"])  # fmt: skip
    project.scan()
    file.chmod(0o644)
    refused = run(project, "length")
    assert (refused.code, refused.json["error"]["code"]) == (2, "CFG002")
    file.chmod(0o600)
    assert run(project, "length").json["outputs"] == {"result": 13}


def test_longer_secrets_are_hidden_before_those_within_them() -> None:
    hide = Redaction({"SHORT": "abcd", "LONG": "abcdefgh", "TINY": "ab"})
    assert hide.text("abcdefgh abcd ab") == "[secret LONG] [secret SHORT] ab"


# What a node leaves behind


@pytest.mark.unconfined
def test_a_process_that_leaves_its_session_is_ended_too(project: Project) -> None:
    daemon = (
        "import os, subprocess, sys, time\n"
        "def execute(context, *, file):\n"
        "    code = f'import os, time; open({file!r}, \"w\").write(str(os.getpid())); time.sleep(600)'\n"
        "    subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "    while not os.path.exists(file) or not open(file).read():\n"
        "        time.sleep(0.01)\n"
    )
    project.add("daemon", daemon)
    project.scan()
    file = project.root / "pid"
    assert run(project, "daemon", "-i", f"file={file}").code == 0
    deadline = time.monotonic() + 60
    while Path(f"/proc/{file.read_text()}").exists():
        assert time.monotonic() < deadline, "the daemon stayed"
        time.sleep(0.02)


@pytest.mark.unconfined
def test_a_node_that_forks_answers_once(project: Project) -> None:
    project.add("forks", "import os\ndef execute(context, *, n):\n    os.fork()\n    return n\n")
    project.scan()
    project.workflow(
        {"a": {"node": "forks", "foreach": list(range(10)), "with": {"n": "${{ item }}"}}},
        outputs={"all": "${{ steps.a }}"},
    )
    done = run(project, "test.workflow.yaml", "--jobs", "1")
    assert done.json["outputs"] == {"all": list(range(10))}
    assert processes_of(project.home) == []


@pytest.mark.unconfined
def test_workers_are_replaced_after_many_calls(project: Project, monkeypatch) -> None:
    from onex.domain.workflow import Step, Workflow
    from onex.engines import process as process_engine

    monkeypatch.setattr(process_engine, "CALLS_PER_WORKER", 3)
    project.add("pid", "import os\ndef execute(context, *, n):\n    return os.getpid()\n")
    project.scan()
    with project.registry() as registry:
        from onex import NodeRef

        step = Step("a", NodeRef.parse("pid"), {"n": "${{ item }}"}, foreach=list(range(9)))
        plan = registry.plan(Workflow("w", {"a": step}), {})
        result = registry.run(plan, jobs=1)
    pids = [result.steps[f"a[{i}]"].output for i in range(9)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

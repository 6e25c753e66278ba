"""``examples:`` in manifests: run by ``onex test``, shown, and asked of what is published."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import onex
from tests.conftest import Project, RegistryServer

COUNT = """
def execute(context, *, path, top=3):
    print("counting")
    text = open(path).read()
    if not text:
        raise ValueError("nothing to count")
    file = context.workdir / "report.txt"
    file.write_text(text.upper())
    return {"words": len(text.split()), "pages": [{"report": context.artifact(file)}]}
"""
INPUTS = {"path": {"type": "string", "format": "path"}, "top": {"type": "integer", "default": 3}}
GOOD: list[dict[str, object]] = [
    {
        "name": "two words",
        "inputs": {"path": "data/two.txt"},
        "output": {"words": 2, "pages": [{"report": "report.txt"}]},
        "artifacts": {"pages[0].report": "data/expected.txt"},
    },
    {
        "name": "by schema and digest",
        "inputs": {"path": "data/two.txt", "top": 1},
        "output_schema": {"properties": {"words": {"minimum": 1}}, "required": ["words"]},
        "artifacts": {"pages[0].report": "sha256:" + hashlib.sha256(b"A B\n").hexdigest()},
    },
    {"name": "an empty file", "inputs": {"path": "data/empty.txt"}, "error": "EXE001"},
    {"name": "wrong inputs", "inputs": {"path": "data/two.txt", "top": "x"}, "error": "EXE008"},
]


def add(project: Project, examples: object, **fields: object) -> Path:
    manifest = project.add("count", COUNT, inputs=INPUTS, examples=examples, **fields)
    data = manifest.parent / "data"
    data.mkdir(exist_ok=True)
    (data / "two.txt").write_text("a b\n")
    (data / "empty.txt").write_text("")
    (data / "expected.txt").write_text("A B\n")
    return manifest


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    project = make_project("p")
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    return project


def test_examples_pass_by_output_schema_artifacts_and_error(project: Project) -> None:
    add(project, GOOD)
    done = project.onex_here("test", "--json")
    assert done.code == 0, done.stdout
    assert [one["passed"] for one in done.json["examples"]] == [True] * 4
    assert len(project.onex_here("runs", "list", "--json").json["runs"]) == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"output": {"words": 3, "pages": [{"report": "report.txt"}]}}, '-  "words": 3'),
        ({"output": {"words": 2, "pages": [{"report": "other.txt"}]}}, '+      "report": "report.txt"'),
        ({"output_schema": {"properties": {"words": {"minimum": 5}}}}, "does not match output_schema"),
        ({"output_schema": {"type": "nothing"}}, "output_schema is not valid"),
        ({"artifacts": {"pages[1].report": "data/expected.txt"}}, "there is no file at pages[1].report"),
        ({"artifacts": {"pages[0].report": "data/two.txt"}}, "-a b"),
        ({"artifacts": {"pages[0].report": "sha256:" + "0" * 64}}, "not sha256:000"),
        ({"artifacts": {"pages[0].report": "data/missing.txt"}}, "cannot be read"),
        ({"error": "EXE001"}, "it must end with EXE001, and it returned"),
        ({"inputs": {"path": "data/empty.txt"}, "output": 1}, "EXE001: ValueError: nothing to count"),
        ({"inputs": {"path": "data/two.txt", "top": "x"}, "output": 1}, "EXE008"),
        ({"inputs": {"path": "missing.txt"}, "output": 1}, "missing.txt"),
        ({"outputs": 1}, "has no key 'outputs'"),
        ({}, "needs an output"),
    ],
)  # fmt: skip
def test_what_came_out_otherwise_is_shown(
    project: Project, change: dict[str, object], told: str
) -> None:
    add(project, [{"inputs": {"path": "data/two.txt"}} | change])
    done = project.onex_here("test", "count")
    assert done.code == 1
    assert told in done.stdout, done.stdout
    assert "0 of 1 example passed" in done.stdout


def test_a_manifest_is_tested_without_being_registered(project: Project) -> None:
    manifest = add(project, GOOD)
    elsewhere = project.root / "elsewhere"
    manifest.parent.rename(elsewhere)
    assert project.onex_here("test", elsewhere).code == 0
    assert project.onex_here("list", "--json").json["nodes"] == []
    assert project.onex_here("test", "elsewhere/node.onex.yaml").code == 0


def test_permissions_hold_as_in_any_run(project: Project) -> None:
    project.add(
        "peek",
        "def execute(context):\n    return open('/etc/hostname').read()\n",
        examples=[{"name": "may not", "error": "EXE001"}],
    )
    assert project.onex_here("test", "peek").code == 0


def test_an_example_hands_over_what_lies_beside_it_alone(project: Project) -> None:
    secret = project.write("secret.txt", "secret")
    manifest = add(project, [])
    (manifest.parent / "link.txt").symlink_to(secret)
    for path in (str(secret), "../../secret.txt", "link.txt"):
        add(project, [{"inputs": {"path": path}, "output": 1}])
        told = project.onex_here("test", "count")
        assert told.code == 1
        assert "does not lie beside the manifest" in told.stdout
        assert "SECRET" not in told.stdout


def test_a_broken_manifest_beside_others_is_no_success(project: Project) -> None:
    add(project, GOOD)
    project.add("broken", inputs=7)
    done = project.onex_here("test", "--json")
    assert (done.code, done.json["passed"]) == (4, False)
    assert done.json["problems"][0]["code"].startswith("MAN")


def test_what_was_run_is_written_though_a_name_is_wrong(project: Project) -> None:
    add(project, GOOD)
    done = project.onex_here("test", "count", "nobody", "--junit", "j.xml")
    assert done.code == 3
    assert 'tests="4"' in (project.root / "j.xml").read_text()


def test_interrupting_ends_it_at_once(project: Project) -> None:
    project.add(
        "slow", "import time\ndef execute(context):\n    time.sleep(60)\n",
        examples=[{"output": n} for n in range(3)],
    )  # fmt: skip
    running = subprocess.Popen(
        project.command("test", "slow"), cwd=project.root, env=project.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not project.onex_here("runs", "list", "--status", "running", "--json").json["runs"]:
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
        assert running.returncode == 130
    finally:
        running.kill()
        running.wait()
    listed = project.onex_here("runs", "list", "--json").json["runs"]
    assert [run["status"] for run in listed] == ["cancelled"]


def test_nodes_without_examples_are_named(project: Project) -> None:
    add(project, GOOD)
    project.add("plain")
    done = project.onex_here("test", "--json")
    assert (done.code, done.json["without"]) == (0, ["tool://test.plain@1.0.0"])
    refused = project.onex_here("test", "plain", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")


def test_junit_is_what_continuous_integration_reads(project: Project) -> None:
    wrong = {"name": "bad \x01 <name>", "inputs": {"path": "data/two.txt"}, "output": "\x02"}
    add(project, [*GOOD, wrong])
    assert project.onex_here("test", "--junit", "out/junit.xml").code == 1
    root = ElementTree.parse(project.root / "out" / "junit.xml").getroot()
    (suite,) = root
    assert suite.attrib["name"] == "tool://test.count@1.0.0"
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("5", "1")
    assert [case.find("failure") is None for case in suite] == [True, True, True, True, False]
    assert "counting" in (suite[0].findtext("system-out") or "")


def test_what_others_call_examples_is_no_error(project: Project) -> None:
    add(project, [{"input": "x", "result": 1}, "words"])
    project.onex_here("scan")
    assert project.onex_here("run", "count", "-i", "path=onex.toml").code == 0
    told = project.onex_here("validate", "nodes", "--json").json
    assert [p["severity"] for p in told["problems"] if p["code"] == "MAN017"] == ["warning"] * 2
    assert project.onex_here("test", "count").code == 1


def test_examples_are_shown(project: Project) -> None:
    add(project, GOOD)
    project.onex_here("scan")
    shown = project.onex_here("show", "count")
    assert "example: two words" in shown.stdout
    # As it stands it can be pasted, so it says where its paths are.
    command = """onex run count --args '{"path": "data/two.txt"}'"""
    assert f"(cd nodes/count-1.0.0 && {command})" in shown.stdout
    body = project.onex_here("show", "count", "--json").json
    assert [one["name"] for one in body["examples"]] == [one["name"] for one in GOOD]


def test_a_node_whose_examples_fail_is_not_published(project: Project) -> None:
    manifest = add(project, [{"inputs": {"path": "data/two.txt"}, "output": 1}])
    refused = project.onex_here("publish", manifest.parent, "--here", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "EXA001")
    assert refused.json["error"]["examples"][0]["passed"] is False
    add(project, GOOD)
    assert project.onex_here("publish", manifest.parent, "--here", "--dry-run").code == 0
    assert project.onex_here("publish", manifest.parent, "--here").code == 0


def test_a_published_node_is_tested_by_whoever_gets_it(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    hub, author, user = (make_project(name) for name in ("hub", "author", "user"))
    server = serve(hub)
    for project in (author, user):
        server.declare(project)
    manifest = add(author, GOOD)
    assert author.onex("publish", manifest.parent).code == 0
    pending = user.onex("test", "tool://test.count@1.0.0", "--json")
    assert pending.code == 0, pending.stdout + pending.stderr
    assert [one["passed"] for one in pending.json["examples"]] == [True] * 4


# While somebody edits


def test_dev_runs_the_examples_at_every_save(project: Project) -> None:
    manifest = add(project, GOOD[:1])
    running = subprocess.Popen(
        project.command("dev", manifest.parent, "--json"),
        cwd=project.root, env=project.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["passed"] is True
        for code, passes in ((COUNT.replace("len(text.split())", "7"), False), (COUNT, True)):
            other = project.root / "other"
            other.write_text(code)
            other.replace(manifest.parent / "node.py")
            # Once at every save, and at no other time.
            assert json.loads(running.stdout.readline())["passed"] is passes
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


# In Python


def test_the_fixture_brings_a_registry_of_its_own(project: Project) -> None:
    assert project.onex_here("new", "greeter", "--namespace", "my.greeter").code == 0
    project.write(
        "tests/test_own.py",
        "def test_state(onex_registry, tmp_path):\n"
        "    assert not onex_registry.history.runs(None)\n"
        "    onex_registry.run('greeter')\n"
        "    assert len(onex_registry.history.runs(None)) == 1\n"
        "def test_again(onex_registry):\n"
        "    assert not onex_registry.history.runs(None)\n",
    )
    done = project.pytest(COVERAGE_PROCESS_START="")
    assert done.code == 0, done.stdout
    assert "4 passed" in done.stdout
    assert not project.home.exists()
    failing = project.root / "nodes" / "greeter" / "node.py"
    failing.write_text(failing.read_text().replace("Hello", "Bye"))
    assert project.pytest().code == 1


def test_a_temporary_registry_goes_with_its_block(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onex.testing import temporary_registry

    project.write("onex.toml", 'storage = "postgresql://nowhere/x"\n[[sources]]\npath = "nodes"\n')
    project.add("echo")
    monkeypatch.setenv("ONEX_HOME", str(project.root / "never"))
    with temporary_registry(project.root) as registry:
        assert registry.run("echo", {"a": 1})["node"].output == {"a": 1}
        home = registry.configuration.home
        assert home.is_dir()
    assert not home.exists()
    assert not (project.root / "never").exists()
    assert onex.__version__


def test_the_plugin_costs_pytest_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import pytest, sys, onex.pytest_plugin; print('onex.registry' in sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ),
    ).stdout  # fmt: skip
    assert told.strip() == "False"

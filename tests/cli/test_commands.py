"""The command line as a user or a script meets it: shapes, exit codes, errors, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import CommandResult, Project
from tests.execution.test_run import HANG, processes_of


def assert_error(result: CommandResult, code: str, exit_code: int) -> None:
    """An error for people: its code, what happened, and what to do; no traceback."""
    assert result.code == exit_code, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert lines[0].startswith(f"{code}: "), result.stderr
    assert len(lines) >= 2
    assert "Traceback" not in result.stderr


def test_scan_prints_its_documented_shape(project: Project) -> None:
    project.add("a")
    project.write("nodes/bad/node.onex.yaml", "a: 1\na: 2\n")
    result = project.onex_here("scan", "nodes", "--format", "json")
    assert result.code == 0
    (source,) = result.json["sources"]
    assert set(source) >= {
        "name", "kind", "status", "found", "added", "updated", "removed", "unchanged",
        "rejected", "skipped", "seconds",
    }  # fmt: skip
    (problem,) = result.json["problems"]
    assert problem["path"].endswith("bad/node.onex.yaml")
    assert {k: v for k, v in problem.items() if k not in ("path", "message", "hint")} == {
        "code": "DOC005", "severity": "error", "line": 2, "column": 1,
    }  # fmt: skip
    assert result.json["nodes"] == 1


def test_scan_of_an_empty_tree_says_so(project: Project) -> None:
    result = project.onex_here("scan", "nodes")
    assert result.code == 0
    assert "DSC006" in result.stderr


def test_scan_needs_something_to_scan(project: Project) -> None:
    assert_error(project.onex_here("scan"), "USE001", 2)
    assert_error(project.onex_here("scan", "nowhere"), "USE002", 2)


def test_list_and_its_filters(project: Project) -> None:
    project.add("parse", version="1.0.0", tags=["x"], capabilities=["reading", "file.read:/a/**"])
    project.add("parse", version="1.1.0", tags=["x"])
    project.add("draw", meta_type="agent")
    project.scan()
    (node,) = project.onex_here("list", "parse", "--format", "json").json["nodes"]
    assert set(node) >= {
        "type", "namespace", "name", "version", "lifecycle", "description", "tags", "capabilities",
        "permissions", "source", "digest", "trust",
    }  # fmt: skip
    assert node["version"] == "1.1.0"

    def listed(*arguments: str) -> list[str]:
        body = project.onex_here("list", *arguments, "--format", "json").json
        return [f"{n['name']}@{n['version']}" for n in body["nodes"]]

    assert listed() == ["draw@1.0.0", "parse@1.1.0"]
    assert listed("--all-versions", "--tag", "x") == ["parse@1.0.0", "parse@1.1.0"]
    assert listed("--capability", "reading", "--all-versions") == ["parse@1.0.0"]
    assert listed("--type", "agent") == ["draw@1.0.0"]
    assert listed("--lifecycle", "active") == []
    first = project.onex_here("list-nodes", "--limit", "1", "--format", "json").json
    assert (len(first["nodes"]), first["total"]) == (1, 2)
    assert listed("--limit", "1", "--cursor", first["next"]) == ["parse@1.1.0"]
    assert project.onex_here("list").stdout.splitlines()[0].split("\t")[:2] == [
        "agent://test.draw",
        "1.0.0",
    ]


def test_show(project: Project) -> None:
    project.add("lib", version="1.0.0")
    project.add("lib", version="1.2.0")
    project.add("app", dependencies=["tool://test.lib@^1"])
    project.scan()
    node = project.onex_here("show", "lib", "--format", "json").json
    assert node["version"] == "1.2.0"
    assert node["versions"] == ["1.2.0", "1.0.0"]
    assert node["dependents"] == ["tool://test.app@1.0.0"]
    assert node["origins"][0]["path"].endswith("node.onex.yaml")
    assert node["permissions"] == []
    app = project.onex_here("node-info", "tool://test.app", "--format", "json").json
    assert app["dependencies"] == [{"reference": "tool://test.lib@^1", "optional": False}]
    assert_error(project.onex_here("show", "libb"), "RES003", 3)
    assert "did you mean tool://test.lib" in project.onex_here("show", "test.libb").stderr
    assert_error(project.onex_here("show", "lib@^9"), "RES003", 3)
    assert_error(project.onex_here("show", "no/such"), "REF001", 2)


def test_resolve_success_failure_and_cycle(project: Project) -> None:
    project.add("lib", version="1.0.0")
    project.add("lib", version="2.0.0")
    project.add("app", dependencies=["tool://test.lib@^1"])
    project.add("old", dependencies=["tool://test.lib@^3"])
    project.add("x", dependencies=["tool://test.y"])
    project.add("y", dependencies=["tool://test.x"])
    project.scan()
    good = project.onex_here("resolve", "app", "--format", "json").json
    assert good["selected"] == {"tool://test.app": "1.0.0", "tool://test.lib": "1.0.0"}
    assert good["execution_order"] == ["tool://test.lib@1.0.0", "tool://test.app@1.0.0"]
    bad = project.onex_here("resolve", "app", "lib@^2", "--format", "json")
    assert (bad.code, bad.json["error"]["code"]) == (3, "RES001")
    assert "tool://test.lib ^2" in bad.json["error"]["explanation"]
    cycle = project.onex_here("resolve", "x", "--format", "json")
    assert (cycle.code, cycle.json["error"]["code"]) == (3, "RES002")
    assert cycle.json["error"]["cycles"] == [["tool://test.x", "tool://test.y"]]
    assert_error(project.onex_here("resolve", "old"), "RES001", 3)
    assert "1. Because" in project.onex_here("resolve", "old").stderr


def test_a_failure_ends_with_places_and_edits_that_unblock_it(project: Project) -> None:
    project.add("web", dependencies=["tool://test.auth@^2", "log@^1"])
    project.add("auth", version="1.0.0")
    project.add("auth", version="2.0.0", dependencies=["tool://test.crypto@^2"])
    project.add("log", dependencies=["tool://test.crypto@^1"])
    project.add("crypto", version="1.0.0")
    project.add("crypto", version="2.0.0")
    project.scan()
    error = project.onex_here("resolve", "web", "--format", "json").json["error"]
    assert sorted(error["remedies"]) == [
        "let tool://test.auth accept tool://test.crypto 1.0.0, where it asks ^2",
        "let tool://test.log accept tool://test.crypto 2.0.0, where it asks ^1",
        "let tool://test.web accept tool://test.auth 1.0.0, where it asks ^2",
    ]
    lines = error["explanation"].splitlines()
    assert any(
        "web-1.0.0/node.onex.yaml:7:" in line and "asks tool://test.log ^1" in line
        for line in lines
    )
    assert lines[-1].strip() == error["remedies"][-1]


def test_an_ambiguous_name_lists_its_candidates(project: Project) -> None:
    project.add("same", namespace="a.same", folder="a")
    project.add("same", namespace="b.same", folder="b")
    project.scan()
    result = project.onex_here("resolve", "same", "--format", "json")
    assert (result.code, result.json["error"]["code"]) == (3, "RES004")
    assert result.json["error"]["candidates"] == ["tool://a.same", "tool://b.same"]


def test_validate(project: Project) -> None:
    project.add("a")
    assert project.onex_here("validate", "nodes", "--format", "json").json["valid"] is True
    bad = project.write("bad.onex.yaml", "name: x\n")
    result = project.onex_here("validate", "nodes", bad, "--format", "json")
    assert (result.code, result.json["valid"], result.json["files"]) == (4, False, 2)
    assert {p["code"] for p in result.json["problems"]} == {"MAN001", "MAN007"}
    assert_error(project.onex_here("validate", "none"), "USE002", 2)


BROKEN_WORKFLOWS = {
    "unknown step": ({"a": {"node": "a", "with": {"x": "${{ steps.b }}"}}}, "WFL004", 4),
    "unknown need": ({"a": {"node": "a", "needs": ["b"]}}, "WFL004", 4),
    "unknown input": ({"a": {"node": "a", "with": {"x": "${{ inputs.q }}"}}}, "WFL005", 4),
    "not a reference": ({"a": {"node": "a", "with": {"x": "${{ 1 + 1 }}"}}}, "WFL006", 4),
    "item elsewhere": ({"a": {"node": "a", "with": {"x": "${{ item }}"}}}, "WFL007", 4),
    "cycle": (
        {"a": {"node": "a", "needs": ["b"]}, "b": {"node": "a", "needs": ["a"]}},
        "WFL008",
        4,
    ),
    "needs itself": ({"a": {"node": "a", "with": {"x": "${{ steps.a }}"}}}, "WFL008", 4),
    "unknown key": ({"a": {"node": "a", "wiht": {}}}, "WFL009", 4),
    "no node": ({"a": {}}, "WFL001", 4),
    "no steps": ({}, "WFL001", 4),
    "unknown node": ({"a": {"node": "ghost"}}, "RES003", 3),
    "no such version": ({"a": {"node": "a@^9"}}, "RES001", 3),
}


@pytest.mark.parametrize("name", BROKEN_WORKFLOWS)
def test_a_broken_workflow_is_refused_before_anything_runs(project: Project, name: str) -> None:
    steps, code, exit_code = BROKEN_WORKFLOWS[name]
    project.add("a")
    project.scan()
    path = project.workflow(steps)
    result = project.onex_here("run", path, "--format", "json")
    assert result.code == exit_code
    error = result.json["error"]
    codes = {error["code"], *(p["code"] for p in error.get("problems", []))}
    assert code in codes
    if exit_code == 4:
        assert error["line"] is not None
        checked = project.onex_here("validate", path, "--format", "json")
        assert checked.code == 4
        assert code in {p["code"] for p in checked.json["problems"]}
    human = project.onex_here("run", path)
    assert human.code == exit_code
    assert "Traceback" not in human.stderr
    assert project.onex_here("runs", "list", "--format", "json").json == {"runs": []}


def test_run_prints_its_documented_shape(project: Project) -> None:
    project.add("a", "def execute(context, *, n):\n    return {'n': n + 1}\n")
    project.scan()
    path = project.workflow(
        {
            "one": {"node": "a", "with": {"n": "${{ inputs.n }}"}},
            "each": {"node": "a", "foreach": [1, 2], "with": {"n": "${{ item }}"}},
        },
        inputs={"n": {"type": "integer"}},
        outputs={"one": "${{ steps.one.n }}", "each": "${{ steps.each }}"},
    )
    result = project.onex_here("run", path, "-i", "n=41", "--format", "json")
    body = result.json
    assert result.code == 0
    assert set(body) >= {
        "run_id",
        "status",
        "success",
        "outputs",
        "steps",
        "seconds",
        "overhead_seconds",
    }
    assert body["outputs"] == {"one": 42, "each": [{"n": 2}, {"n": 3}]}
    assert list(body["steps"]) == ["one", "each", "each[0]", "each[1]"]
    assert set(body["steps"]["one"]) >= {
        "node", "status", "seconds", "attempts", "cached", "isolation", "error",
    }  # fmt: skip
    assert body["steps"]["one"]["isolation"] == "strict"
    assert_error(project.onex_here("run", path), "WFL010", 2)
    assert_error(project.onex_here("run", path, "-i", "n=x"), "WFL010", 2)
    plan = project.onex_here("run", path, "-i", "n=1", "--dry-run", "--format", "json").json
    assert plan["steps"]["one"]["node"] == "tool://test.a@1.0.0"
    assert len(project.onex_here("runs", "list", "--format", "json").json["runs"]) == 1
    shown = project.onex_here("runs", "show", body["run_id"], "--format", "json").json
    assert shown["outputs"] == body["outputs"]
    assert_error(project.onex_here("runs", "show", "nonsense"), "RUN001", 2)


def test_run_of_one_node(project: Project) -> None:
    project.add("a")
    project.scan()
    result = project.onex_here(
        "run", "tool://test.a@^1", "--args", '{"x": 1}', "-i", "y=two", "--format", "json"
    )
    assert result.json["outputs"] == {"result": {"x": 1, "y": "two"}}
    template = project.onex_here("run", "a", "-i", "x=${{ steps.node }}", "--format", "json")
    assert template.json["outputs"] == {"result": {"x": "${{ steps.node }}"}}
    assert_error(project.onex_here("run", "a", "--args", "{"), "USE001", 2)
    assert_error(project.onex_here("run", "a", "--args", '{"a b": 1}'), "USE001", 2)


def test_a_failed_run_returns_1_and_shows_the_traceback(project: Project) -> None:
    project.add("bad", "def execute(context):\n    raise ValueError('boom')\n")
    project.scan()
    result = project.onex_here("run", "bad")
    assert result.code == 1
    assert "EXE001: ValueError: boom" in result.stderr
    assert "raise ValueError('boom')" in result.stderr
    body = project.onex_here("run", "bad", "--format", "json")
    assert (body.code, body.json["success"]) == (1, False)


def test_run_scans_declared_sources_first(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    manifest = project.add("a", "def execute(context):\n    return 1\n")
    assert project.onex_here("run", "a", "--format", "json").json["outputs"] == {"result": 1}
    (manifest.parent / "node.py").write_text("def execute(context):\n    return 2\n")
    assert project.onex_here("run", "a", "--format", "json").json["outputs"] == {"result": 2}


@pytest.mark.unconfined
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_run_cancels_it_and_leaves_no_process(
    project: Project, number: int
) -> None:
    project.add("quick", "def execute(context):\n    return 1\n")
    project.add(
        "slow",
        HANG.replace(
            "time.sleep", "import subprocess; subprocess.run(['sleep', '599']); time.sleep"
        ),
    )
    project.scan()
    path = project.workflow(
        {
            "quick": {"node": "quick"},
            "slow": {"node": "slow", "needs": ["quick"]},
            "after": {"node": "quick", "needs": ["slow"]},
        }
    )
    running = subprocess.Popen(
        project.command("run", path), cwd=project.root, env=project.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not sleeping(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = sleeping(project)
    assert children
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert not sleeping(project)
    wait_until(lambda: not any(is_running(pid) for pid in children))
    (run,) = project.onex_here("runs", "list", "--format", "json").json["runs"]
    assert run["status"] == "cancelled"
    steps = project.onex_here("runs", "show", run["run_id"], "--format", "json").json["steps"]
    assert {name: step["status"] for name, step in steps.items()} == {
        "quick": "succeeded", "slow": "cancelled", "after": "cancelled",
    }  # fmt: skip


def is_running(pid: int) -> bool:
    """Whether a process still does anything; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sleeping(project: Project) -> list[int]:
    """The slow node's worker, with the program that it started, once both are there."""
    found = processes_of(project.home)
    children = [
        int(child)
        for pid in found
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]
    return [*found, *children] if children else []


def test_a_killed_host_leaves_no_worker(project: Project) -> None:
    project.add("slow", HANG)
    project.scan()
    running = subprocess.Popen(
        project.command("run", "slow"), cwd=project.root, env=project.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: processes_of(project.home))
    running.kill()
    running.wait()
    wait_until(lambda: not processes_of(project.home))
    (run,) = project.onex_here("runs", "list", "--format", "json").json["runs"]
    assert run["status"] == "interrupted"


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_init_new_and_run(project: Project) -> None:
    del project.environment["ONEX_HOME"]
    assert project.onex_here("init", "work").code == 0
    project.root = project.root / "work"
    assert project.onex_here("new", "greeter").code == 0
    assert project.onex_here("validate", ".").code == 0
    result = project.onex_here("run", "greeter.workflow.yaml", "-i", "who=you", "--format", "json")
    assert result.json["outputs"] == {"greeting": "Hello, you!"}
    assert (project.root / ".onex" / "registry.db").exists()
    assert_error(project.onex_here("init"), "USE003", 2)
    assert_error(project.onex_here("new", "greeter"), "USE003", 2)
    assert_error(project.onex_here("new", "../x"), "USE001", 2)


def test_broken_configuration_is_located(project: Project) -> None:
    project.write("onex.toml", "[[sources]\n")
    result = project.onex_here("scan")
    assert_error(result, "CFG001", 2)
    assert "onex.toml" in result.stderr
    project.write("onex.toml", "[surces]\n")
    assert_error(project.onex_here("scan"), "CFG001", 2)


def test_usage_errors_have_a_code_and_a_shape(project: Project) -> None:
    assert_error(project.onex_here("nonsense"), "USE001", 2)
    result = project.onex_here("list", "--limit", "x", "--format", "json")
    assert (result.code, result.json["error"]["code"]) == (2, "USE001")
    assert project.onex_here("--help").code == 0


def test_version_doctor_and_explain(project: Project) -> None:
    assert project.onex_here("--version").stdout.startswith("onex 0.")
    assert set(project.onex_here("version", "--format", "json").json) >= {
        "onex",
        "python",
        "sqlite",
    }
    report = project.onex_here("doctor", "--format", "json")
    assert (report.code, report.json["ok"]) == (0, True)
    assert {c["name"] for c in report.json["checks"]} >= {"home", "registry", "isolation process"}
    assert "cycle" not in project.onex_here("explain", "VER001").stdout
    assert project.onex_here("explain", "RES002").stdout.startswith("RES002: ")
    assert_error(project.onex_here("explain", "XXX000"), "USE001", 2)


def test_doctor_fails_where_the_home_cannot_be_used(project: Project) -> None:
    project.write("file", "")
    result = project.onex_here("doctor", "--home", "file/state", "--format", "json")
    assert (result.code, result.json["ok"]) == (2, False)


def test_yaml_output_reads_back(project: Project) -> None:
    import yaml_rs

    assert yaml_rs.loads(project.onex_here("version", "--format", "yaml").stdout)["onex"]


def test_hostile_text_does_not_reach_the_terminal(project: Project) -> None:
    project.add("a", description="red \x1b[31m bell \x07 turned \u202e round [bold]x[/bold]")
    project.scan()
    shown = project.onex_here("show", "a").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[31m" in shown
    assert "[bold]x[/bold]" in shown
    on_terminal = terminal(project, "list")
    assert "bell \\x07" in on_terminal
    assert "\u202e" not in on_terminal


def terminal(project: Project, *arguments: str) -> str:
    """What a command prints on a terminal of 200 columns."""
    main, side = pty.openpty()
    environment = project.environment | {"COLUMNS": "200", "TERM": "xterm"}
    process = subprocess.Popen(
        project.command(*arguments), cwd=project.root, env=environment, stdout=side, stderr=side
    )
    os.close(side)
    text = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    process.wait()
    os.close(main)
    return text.decode()


def test_a_terminal_shows_tables_and_live_progress(project: Project) -> None:
    project.add("a", "import time\ndef execute(context):\n    time.sleep(0.2)\n    return 1\n")
    project.scan()
    assert "NODE" in terminal(project, "list")
    assert "NODE" not in project.onex_here("list").stdout
    live = terminal(project, "run", "a")
    assert "succeeded in" in live
    assert "\x1b[" in live


def test_a_closed_pipe_is_no_error(project: Project) -> None:
    for number in range(300):
        project.add(f"n{number}", description="x" * 400)
    project.scan()
    command = " ".join(project.command("list")) + " | head -1; echo ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_an_unreadable_folder_is_reported_and_the_rest_is_kept(project: Project) -> None:
    project.add("good")
    closed = project.nodes / "closed"
    closed.mkdir(mode=0o000)
    command = project.command("scan", "nodes", "--format", "json")
    if os.geteuid() == 0:
        # The superuser reads everything, unless it gives that power up.
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(
        command,
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    closed.chmod(0o755)
    body = json.loads(done.stdout)
    assert done.returncode == 0
    assert [p["code"] for p in body["problems"]] == ["DSC001"]
    assert body["sources"][0]["status"] == "degraded"
    assert body["nodes"] == 1


def test_json_output_is_only_json(project: Project) -> None:
    project.add("a", "def execute(context):\n    print('noise')\n    return 1\n")
    project.scan()
    result = project.onex_here("run", "a", "--format", "json")
    json.loads(result.stdout)
    assert result.stderr == ""

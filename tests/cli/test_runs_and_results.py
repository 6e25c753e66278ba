"""Runs listed, compared, cancelled, followed live, and their results written to a folder."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onex import RunFailedError, export_results
from onex.artifacts.exporting import OUTPUTS_FILE
from onex.domain.json_value import ARTIFACT_KEY
from onex.domain.result import RunResult, RunStatus
from tests.conftest import Project

TALK = """
import time

def execute(context, *, word="x", seconds=0.0):
    print("printed", word, flush=True)
    context.get_logger().info("logged %s", word)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
    print("done", word)
    return word
"""


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    project = make_project("p")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("echo")
    project.add(
        "talk", TALK, inputs={"word": {"default": "x"}, "seconds": {"type": "number", "default": 0}}
    )
    project.add("fail", "def execute(context):\n    raise ValueError('no')\n")
    project.add(
        "files",
        "def execute(context, *, text='hello'):\n"
        "    (context.workdir / 'a.txt').write_text(text)\n"
        "    other = context.workdir / 'b'\n    other.mkdir()\n"
        "    (other / 'a.txt').write_text(text + '2')\n"
        "    return {'one': context.artifact('a.txt'), 'two': [context.artifact('b/a.txt')], 'n': 1}\n",
    )
    return project


def runs(project: Project, *options: str) -> list[str]:
    listed = project.onex_here("runs", "list", "--json", *options).json["runs"]
    return [run["workflow"] for run in listed]


def test_runs_are_chosen_by_status_workflow_and_time(project: Project) -> None:
    for node in ("echo", "fail", "echo", "talk"):
        project.onex_here("run", node)
    assert runs(project) == ["talk", "echo", "fail", "echo"]
    assert runs(project, "--status", "failed") == ["fail"]
    assert runs(project, "--workflow", "echo") == ["echo", "echo"]
    assert runs(project, "--workflow", "echo", "--limit", "1") == ["echo"]
    assert runs(project, "--status", "running") == []
    assert len(runs(project, "--since", "1h")) == 4
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert runs(project, "--since", later) == []
    assert len(runs(project, "--since", "2020-01-01")) == 4
    assert project.onex_here("runs", "list", "--since", "soon").code == 2
    assert project.onex_here("runs", "list", "--since", "999999w").code == 2


def test_latest_is_the_run_that_began_last(project: Project) -> None:
    assert project.onex_here("runs", "show", "latest", "--json").json["error"]["code"] == "RUN001"
    project.onex_here("run", "echo")
    last = project.onex_here("run", "fail", "--json").json["run_id"]
    assert project.onex_here("runs", "show", "latest", "--json").json["run_id"] == last
    assert project.onex_here("runs", "timeline", "latest", "--json").json["run_id"] == last


def test_two_runs_are_compared(project: Project) -> None:
    project.workflow(
        {
            "one": {"node": "echo", "with": {"word": "${{ inputs.word }}"}},
            "each": {"node": "echo", "foreach": [1, 2], "with": {"i": "${{ item }}"}},
        },
        inputs={"word": {"type": "string"}},
        outputs={"one": "${{ steps.one }}"},
    )
    first, second = (
        project.onex_here("run", "test.workflow.yaml", "-i", f"word={word}", "--json").json[
            "run_id"
        ]
        for word in ("a", "b")
    )
    same = project.onex_here("runs", "compare", first, first, "--json").json
    assert same["same"]
    assert same["inputs"] == same["outputs"] == []
    found = project.onex_here("runs", "compare", first, "latest", "--json").json
    assert not found["same"]
    assert '-  "word": "a"' in found["inputs"]
    assert '+    "word": "b"' in found["outputs"]
    steps = {step["id"]: step for step in found["steps"]}
    assert steps.keys() == {"one", "each"}
    assert not steps["one"]["same"]
    assert steps["each"]["same"]
    assert project.onex_here("runs", "show", second, "--json").code == 0
    # Another version, and another workflow altogether.
    project.add("echo", "def execute(context, **i):\n    return {'new': i}\n", version="1.1.0")
    third = project.onex_here("run", "test.workflow.yaml", "-i", "word=a", "--json").json["run_id"]
    found = project.onex_here("runs", "compare", first, third, "--json").json
    assert found["steps"][0]["node"][0].startswith("tool://test.echo@1.0.0 ")
    assert found["steps"][0]["node"][1].startswith("tool://test.echo@1.1.0 ")
    project.onex_here("run", "fail")
    other = project.onex_here("runs", "compare", first, "latest")
    assert other.code == 0
    assert "status: none -> failed" in other.stdout


def test_a_run_is_cancelled_from_elsewhere(project: Project) -> None:
    running = subprocess.Popen(
        project.command("run", "talk", "-i", "seconds=60", "--json"),
        cwd=project.root, env=project.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not runs(project, "--status", "running"):
            assert running.poll() is None
            time.sleep(0.05)
        assert project.onex_here("runs", "cancel", "latest", "--json").json["asked"] is True
        out, _ = running.communicate(timeout=60)
        assert running.returncode == 130
        assert json.loads(out)["status"] == "cancelled"
    finally:
        running.kill()
        running.wait()
    assert runs(project, "--status", "cancelled") == ["talk"]
    refused = project.onex_here("runs", "cancel", "latest", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "RUN002")


# While it lasts


def test_what_a_step_prints_is_seen_while_it_runs(project: Project) -> None:
    running = subprocess.Popen(
        project.command("run", "talk", "-i", "seconds=8", "--events", "-"),
        cwd=project.root, env=project.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    events = []
    try:
        for line in running.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "log":
                # It is still at work.
                assert running.poll() is None
                assert not any(e["event"] == "step_ended" for e in events)
                break
        events += [json.loads(line) for line in running.stdout]
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    told = "".join(e["text"] for e in events if e["event"] == "log")
    assert told.split("\n")[:2] == ["printed x", "INFO: logged x"]
    assert told.endswith("done x\n")
    assert told.count("printed x") == 1
    assert events[-1]["event"] == "run_ended"


def test_v_shows_what_steps_print(project: Project) -> None:
    project.workflow(
        {"each": {"node": "talk", "foreach": ["a", "b"], "with": {"word": "${{ item }}"}}}
    )
    shown = project.onex_here("run", "test.workflow.yaml", "-v").stderr
    for index, word in enumerate("ab"):
        assert f"each[{index}] | printed {word}" in shown
        assert f"each[{index}] | done {word}" in shown
    assert "printed" not in project.onex_here("run", "test.workflow.yaml", "--no-cache").stderr


def test_secrets_are_hidden_from_what_is_shown(project: Project) -> None:
    project.add(
        "leak",
        "def execute(context):\n    print('it is', context.get_secret('KEY'))\n",
        capabilities=["secret.access:KEY"],
    )
    project.environment["ONEX_SECRET_KEY"] = "hunter2hunter2"
    done = project.onex("run", "leak", "--events", "-", "-v")
    assert '"event": "log"' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


# Results in a folder


def test_outputs_and_files_are_written_under_their_names(project: Project) -> None:
    done = project.onex_here("run", "files", "--results", "out/here", "--json")
    assert done.code == 0
    folder = project.root / "out" / "here"
    outputs = json.loads((folder / OUTPUTS_FILE).read_text())
    result = outputs["result"]
    assert (folder / result["one"]).read_text() == "hello"
    assert (folder / result["two"][0]).read_text() == "hello2"
    assert result["one"] != result["two"][0]
    assert all(name.endswith("a.txt") for name in (result["one"], result["two"][0]))
    # Again, over what is there; and nothing of a run that failed.
    (folder / result["one"]).write_text("changed")
    (folder / "mine.txt").write_text("mine")
    assert project.onex_here("run", "files", "-i", "text=bye", "--results", "out/here").code == 0
    assert (folder / result["one"]).read_text() == "bye"
    assert (folder / "mine.txt").read_text() == "mine"
    assert project.onex_here("run", "fail", "--results", "none").code == 1
    assert not (project.root / "none").exists()


def test_a_folder_that_cannot_be_written_costs_the_export_alone(project: Project) -> None:
    project.write("file", "x")
    done = project.onex_here("run", "files", "--results", "file/below", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "USE004")
    run_id = done.json["error"]["run_id"]
    shown = project.onex_here("runs", "show", run_id, "--json").json
    assert shown["status"] == "succeeded"
    assert shown["outputs"]["result"]["n"] == 1


def test_odd_names_stay_in_the_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "f").write_text("y")
    (tree / "below" / "f").chmod(0o444)

    def record(name: str, path: Path) -> dict[str, object]:
        return {
            ARTIFACT_KEY: "sha256:" + "0" * 64, "name": name, "size_bytes": 1, "path": str(path),
        }  # fmt: skip

    names = [
        "../../up",
        ".hidden",
        "a/b",
        "-rf",
        "outputs.json",
        "same",
        "same",
        "x" * 300,
        "",
        "🎉",
    ]
    outputs = {
        "files": [record(name, source) for name in names],
        "tree": record("tree", tree), "..": record("up", source),
    }  # fmt: skip
    result = RunResult("r", "w", RunStatus.SUCCEEDED, outputs)
    for _ in range(2):
        written = export_results(result, tmp_path / "out")
        assert len(set(written)) == len(names) + 3
        assert all(path.parent == tmp_path / "out" and path.exists() for path in written)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
            p.name for p in written
        )
    assert (tmp_path / "out" / "tree" / "below" / "f").read_text() == "y"
    told = json.loads((tmp_path / "out" / OUTPUTS_FILE).read_text())
    assert all((tmp_path / "out" / name).exists() for name in told["files"])


def test_the_results_of_a_failed_run_replace_nothing(project: Project, tmp_path: Path) -> None:
    project.add("bad", "def execute(context):\n    raise ValueError('no')\n")
    with project.registry() as registry:
        good = export_results(registry.run("echo"), tmp_path)
        before = [path.read_bytes() for path in good]
        with pytest.raises(RunFailedError, match="no"):
            export_results(registry.run("bad"), tmp_path)
    assert [path.read_bytes() for path in good] == before


def test_a_node_that_lacks_an_input_is_told_how_to_give_it(project: Project) -> None:
    project.add("asks", inputs={"text": {"type": "string"}})
    refused = project.onex_here("run", "asks", "--json")
    assert refused.code == 4
    assert "--input text=VALUE" in refused.stdout
    assert "with" not in refused.json["error"]["hint"]


def test_a_node_that_lacks_an_input_is_told_so_under_a_lock_too(project: Project) -> None:
    project.add("asks", inputs={"text": {"type": "string"}})
    project.workflow({"a": {"node": "asks", "with": {"text": "x"}}})
    assert project.onex_here("lock").code == 0
    refused = project.onex_here("run", "asks", "--json")
    assert "--input text=VALUE" in refused.json["error"]["hint"]

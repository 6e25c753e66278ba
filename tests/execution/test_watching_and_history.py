"""What can be seen of runs, while they last and afterwards; what is removed; where files come from."""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema_rs
import pytest

from onex.artifacts.artifact_store import ArtifactStore
from tests.conftest import Project

WRITE = """
def execute(context, *, text):
    (context.workdir / "out.txt").write_text(text)
    return context.artifact("out.txt")
"""
READ = "def execute(context, *, file):\n    return open(file).read()\n"
# The schema of an ONEX execution result, version 1.0.0, as far as it asks for anything.
RESULT_SCHEMA = {
    "type": "object",
    "required": ["batch_id", "results", "started_at", "completed_at"],
    "properties": {
        "batch_id": {"type": "string"},
        "batch_status": {"enum": ["success", "partial", "failure"]},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["node_id", "success", "execution_time_ms", "status"],
                "properties": {
                    "node_id": {"type": "string"},
                    "input_hash": {"type": "string"},
                    "output_hash": {"type": "string"},
                    "success": {"type": "boolean"},
                    "execution_time_ms": {"type": "integer"},
                    "status": {"enum": ["success", "failure", "skipped", "error"]},
                    "errors": {"type": "array", "items": {"type": "string"}},
                    "warnings": {"type": "array", "items": {"type": "string"}},
                    "metadata": {"type": "object"},
                },
            },
        },
        "started_at": {"type": "string", "format": "date-time"},
        "completed_at": {"type": "string", "format": "date-time"},
    },
}


@pytest.fixture
def files(project: Project) -> Project:
    project.add("write", WRITE, idempotent=True)
    project.add("read", READ, inputs={"file": {"type": "string", "format": "path"}})
    project.add("fail", "def execute(context):\n    raise ValueError('no')\n")
    project.scan()
    return project


def run(project: Project, *options: str):
    return project.onex_here("run", "test.workflow.yaml", "--format", "json", *options)


def two_steps(project: Project, text: str = "hello") -> None:
    project.workflow(
        {
            "write": {
                "node": "write",
                "foreach": [text, text + "2"],
                "with": {"text": "${{ item }}"},
            },
            "read": {"node": "read", "with": {"file": "${{ steps.write[1] }}"}},
        },
        outputs={"text": "${{ steps.read }}", "file": "${{ steps.write[1] }}"},
    )


# While it lasts


def test_events_are_lines_of_json_and_the_last_is_the_result(files: Project) -> None:
    two_steps(files)
    done = run(files, "--events", "-", "--jobs", "1")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e["event"], e.get("id", e.get("step"))) for e in events] == [
        ("run_started", None), ("step_started", "write"), ("call_ended", "write[0]"),
        ("call_ended", "write[1]"), ("step_ended", "write"), ("step_started", "read"),
        ("step_ended", "read"), ("run_ended", None),
    ]  # fmt: skip
    assert events[0]["steps"] == ["write", "read"]
    assert events[1]["calls"] == 2
    assert events[-1]["outputs"]["text"] == "hello2"
    moments = [e["at_seconds"] for e in events[:-1]]
    assert moments == sorted(moments)
    assert events[2]["status"] == "succeeded"


def test_events_go_to_a_file_beside_the_result(files: Project) -> None:
    two_steps(files)
    done = run(files, "--events", "events.jsonl")
    assert done.json["success"]
    lines = (files.root / "events.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "event": "run_started", "at_seconds": 0.0, "run_id": done.json["run_id"],
        "steps": ["write", "read"], "forecast_seconds": None,
    }  # fmt: skip
    refused = run(files, "--events", "no/such/folder/events")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE002")


def test_a_run_ends_at_its_time_limit_and_can_go_on(project: Project) -> None:
    project.add(
        "slow", "import time\ndef execute(context, *, s):\n    time.sleep(s)\n    return s\n"
    )
    project.scan()
    project.workflow(
        {"a": {"node": "slow", "with": {"s": 0}}, "b": {"node": "slow", "with": {"s": 60}}},
        policy={"timeout": 2.5},
    )
    started = time.monotonic()
    done = run(project, "--jobs", "1")
    assert time.monotonic() - started < 60
    assert done.code == 1
    assert (done.json["status"], done.json["error"]["code"]) == ("failed", "EXE012")
    assert [s["status"] for s in done.json["steps"].values()] == ["succeeded", "cancelled"]
    shown = project.onex_here("runs", "show", done.json["run_id"]).stdout
    assert "EXE012: the run did not end within 2.5 s" in shown


def test_a_node_that_crashes_again_and_again_is_given_a_rest(project: Project) -> None:
    project.add("dies", "import os\ndef execute(context, *, n):\n    os._exit(1)\n")
    project.scan()
    steps = {"a": {"node": "dies", "foreach": list(range(8)), "with": {"n": "${{ item }}"}}}
    project.workflow(steps, policy={"fail_fast": False, "breaker": {"failures": 3}})
    children = [s for n, s in run(project, "--jobs", "1").json["steps"].items() if "[" in n]
    codes = [s["error"]["code"] for s in children]
    # One more may have been waiting for the only thread when the third failed.
    assert codes in (["EXE004"] * 3 + ["EXE011"] * 5, ["EXE004"] * 4 + ["EXE011"] * 4)
    assert [s["attempts"] for s in children] == [int(code == "EXE004") for code in codes]
    project.workflow(steps, policy={"fail_fast": False, "breaker": False})
    children = [s for n, s in run(project, "--jobs", "1").json["steps"].items() if "[" in n]
    assert {s["error"]["code"] for s in children} == {"EXE004"}


@pytest.mark.parametrize(
    "policy", [{"timeout": 0}, {"timeout": "x"}, {"breaker": {"failures": 0.5}}, {"breaker": 3},
               {"breaker": {"after": 1}}]
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(files: Project, policy: object) -> None:
    files.workflow({"a": {"node": "fail"}}, policy=policy)
    refused = run(files)
    assert refused.code == 4
    assert refused.json["error"]["problems"]


# Afterwards


def test_the_history_is_an_onex_execution_result(files: Project) -> None:
    files.workflow(
        {"write": {"node": "write", "with": {"text": "x"}}, "fail": {"node": "fail"},
         "after": {"node": "read", "with": {"file": "x"}, "needs": ["fail"]}}
    )  # fmt: skip
    run_id = run(files, "--keep-going").json["run_id"]
    shown = files.onex_here("runs", "show", run_id, "--format", "json").json
    jsonschema_rs.validator_for(RESULT_SCHEMA, validate_formats=True).validate(shown)
    assert (shown["batch_id"], shown["batch_status"]) == (run_id, "partial")
    by_node = {result["node_id"]: result for result in shown["results"]}
    assert {name: result["status"] for name, result in by_node.items()} == {
        "tool://test.write@1.0.0": "success", "tool://test.fail@1.0.0": "failure",
        "tool://test.read@1.0.0": "skipped",
    }  # fmt: skip
    assert by_node["tool://test.fail@1.0.0"]["errors"] == ["EXE001: ValueError: no"]
    assert len(by_node["tool://test.write@1.0.0"]["output_hash"]) == 64
    assert "batch_id:" in files.onex_here("runs", "show", run_id, "--format", "yaml").stdout


def test_a_timeline_in_text_json_svg_and_html(files: Project) -> None:
    two_steps(files)
    run_id = run(files).json["run_id"]
    text = files.onex_here("runs", "timeline", run_id).stdout.splitlines()
    assert [line.split()[0] for line in text] == ["write", "read", "0"]
    assert "█" in text[0]
    assert "x2" in text[0]
    body = files.onex_here("runs", "timeline", run_id, "--format", "json").json
    assert [(s["id"], s["calls"]) for s in body["steps"]] == [("write", 2), ("read", 1)]
    assert body["steps"][0]["ended_seconds"] <= body["steps"][1]["started_seconds"]
    svg = files.onex_here("runs", "timeline", run_id, "--output", "svg").stdout
    root = ElementTree.fromstring(svg)
    titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [t.split(":")[0] for t in titles] == ["write[0]", "write[1]", "read"]
    page = files.onex_here("runs", "timeline", run_id, "--output", "html").stdout
    assert page.startswith("<!doctype html>")
    assert svg in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_what_a_run_says_is_escaped_in_pages(project: Project) -> None:
    project.add("bad", "def execute(context):\n    raise ValueError('<script>alert(1)</script>')\n")
    project.scan()
    project.workflow({"a": {"node": "bad"}}, name="<b>name</b>")
    run_id = run(project).json["run_id"]
    page = project.onex_here("runs", "timeline", run_id, "--output", "html").stdout
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.slow
def test_old_runs_go_with_what_only_they_refer_to(files: Project) -> None:
    for text in ("one", "two", "three"):
        two_steps(files, text)
        last = run(files).json
    two_steps(files, "two")
    last = run(files).json
    assert last["steps"]["write"]["cached"]
    would = files.onex_here("runs", "prune", "--keep", "2", "--dry-run", "--format", "json").json
    assert len(would["runs"]) == 2
    assert len(files.onex_here("runs", "list", "--format", "json").json["runs"]) == 4
    done = files.onex_here("runs", "prune", "--keep", "2", "--format", "json").json
    # The results of "one" are used by no run that stays; those of "two" are, by the last.
    assert (done["runs"], done["cached_results"], done["artifacts"]) == (would["runs"], 2, 0)
    kept = files.onex_here("runs", "list", "--format", "json").json["runs"]
    assert last["run_id"] in [run["run_id"] for run in kept]

    stored = [file for file in (files.home / "artifacts").rglob("*.txt") if file.is_file()]
    assert len(stored) == 6
    for file in stored:
        os.utime(file, (time.time() - 7200,) * 2)
    done = files.onex_here("runs", "prune", "--format", "json").json
    assert (done["runs"], done["artifacts"], done["bytes"]) == ([], 2, len("one") + len("one2"))
    assert run(files).json["steps"]["write"]["cached"]


def test_pruning_leaves_no_working_folders_of_killed_runs(files: Project) -> None:
    left = files.home / "runs" / "20200101-000000-killed"
    left.mkdir(parents=True)
    (left / "file").touch()
    files.onex_here("runs", "prune")
    assert not left.exists()


def test_an_artifact_that_is_written_again_is_new_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    work = tmp_path / "work"
    work.mkdir()
    (work / "a").write_text("x")
    record = store.take({"$artifact": str(work / "a")}, work)
    os.utime(record["path"], (0, 0))
    store.take({"$artifact": "a"}, work)
    assert store.remove_others(frozenset).digests == frozenset()
    os.utime(record["path"], (0, 0))
    assert store.remove_others(lambda: {record["$artifact"]}).digests == frozenset()
    assert store.remove_others(frozenset).digests == {record["$artifact"]}
    assert not Path(record["path"]).exists()


def test_a_file_leads_back_to_its_run_nodes_and_inputs(files: Project) -> None:
    files.add("join", "def execute(context, *, a, b):\n    (context.workdir / 'j').write_text(open(a).read() + b)\n"
              "    return context.artifact('j')\n")  # fmt: skip
    files.scan()
    files.onex_here("lock", "test.workflow.yaml")
    files.workflow(
        {"w": {"node": "write", "with": {"text": "${{ inputs.text }}"}},
         "r": {"node": "read", "with": {"file": "${{ steps.w }}"}},
         "other": {"node": "read", "with": {"file": "${{ steps.w }}"}},
         "j": {"node": "join", "with": {"a": "${{ steps.w }}", "b": "${{ steps.r }}"}}},
        outputs={"joined": "${{ steps.j }}"}, inputs={"text": {"default": "x"}},
    )  # fmt: skip
    first = run(files).json
    second = run(files).json
    assert second["steps"]["w"]["cached_from"] == first["run_id"]
    copy = files.root / "copy.bin"
    copy.write_bytes(Path(second["outputs"]["joined"]["path"]).read_bytes())
    found = files.onex_here("provenance", copy, "--format", "json").json
    assert (found["run_id"], found["inputs"], found["uses"]) == (first["run_id"], {"text": "x"}, 2)
    calls = {call["id"]: call for call in found["calls"]}
    assert list(calls) == ["j", "r", "w"]
    assert calls["j"]["needs"] == ["r", "w"]
    assert all(len(c["input_digest"]) == 64 and c["isolation"] == "strict" for c in calls.values())
    assert all(c["digest"].startswith("sha256:") for c in calls.values())
    assert found["environment"]["python"]
    by_digest = files.onex_here("provenance", found["artifact"])
    assert "join" in by_digest.stdout
    copy.write_text("changed")
    unknown = files.onex_here("provenance", copy, "--format", "json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "RUN003")


def test_the_isolation_of_a_cached_call_is_that_of_the_run_that_made_it(files: Project) -> None:
    two_steps(files)
    first = run(files, "--isolation", "inline").json
    second = run(files).json
    files.onex_here("runs", "prune")
    assert second["steps"]["write"]["isolation"] is None
    artifact = second["outputs"]["file"]["$artifact"]
    (call,) = files.onex_here("provenance", artifact, "--format", "json").json["calls"]
    assert (call["run_id"], call["isolation"]) == (first["run_id"], "inline")

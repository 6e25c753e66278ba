"""What can be known before anything runs is said then, where the author wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import CommandResult, Project

ECHO = "def execute(context, **inputs):\n    return {'ok': True}\n"


def validate(project: Project, path: Path) -> CommandResult:
    return project.onex_here("validate", path, "--format", "json")


@pytest.mark.parametrize(
    "when",
    ["${{ steps.a.ok }} == 1", "no", "off", "!${{ steps.a.ok }}", "false", 0, [], "", {"x": 1}],
)
def test_a_condition_that_can_never_be_false_is_refused(project: Project, when: object) -> None:
    project.add("a", ECHO)
    steps = {"a": {"node": "a"}, "b": {"node": "a", "when": when, "needs": ["a"]}}
    workflow = project.workflow(steps)
    refused = validate(project, workflow)
    assert refused.code == 4, when
    (problem,) = refused.json["problems"]
    assert problem["code"] == "WFL012"
    assert problem["line"] > 1
    assert "compute nothing" in problem["hint"]
    project.scan()
    assert project.onex_here("run", workflow).code == 4


@pytest.mark.parametrize(
    ("when", "status"), [(True, "succeeded"), (False, "skipped"), ("${{ steps.a.ok }}", "succeeded"),
                         (" ${{ steps.a.ok }} ", "succeeded")]
)  # fmt: skip
def test_conditions(project: Project, when: object, status: str) -> None:
    project.add("a", ECHO)
    workflow = project.workflow({"a": {"node": "a"}, "b": {"node": "a", "when": when}})
    assert validate(project, workflow).code == 0
    project.scan()
    done = project.onex_here("run", workflow, "--format", "json")
    assert done.json["steps"]["b"]["status"] == status


BAD_SCHEMAS = {
    "unknown type": {"type": "strng"},
    "bad pattern": {"type": "string", "pattern": "["},
    "default outside": {"type": "integer", "default": "one"},
}


@pytest.mark.parametrize("kind", BAD_SCHEMAS)
def test_schemas_and_defaults_are_checked(project: Project, kind: str) -> None:
    manifest = project.add("a", ECHO, inputs={"x": BAD_SCHEMAS[kind]})
    found = validate(project, manifest)
    assert found.code == 4
    assert [p["code"] for p in found.json["problems"]] == ["MAN014"]
    assert found.json["problems"][0]["line"] > 1
    workflow = project.workflow({"b": {"node": "a"}}, inputs={"x": BAD_SCHEMAS[kind]})
    found = validate(project, workflow)
    assert found.code == 4
    assert [p["code"] for p in found.json["problems"]] == ["WFL013"]


def test_slips_in_manifests_are_warned_of(project: Project) -> None:
    manifest = project.add("a", ECHO, idempotant=True, entrypoint="python@absent.py", odd=1)
    found = validate(project, manifest)
    assert found.code == 0
    warnings = {p["code"]: p for p in found.json["problems"] if p["severity"] == "warning"}
    assert warnings["MAN006"]["hint"] == "did you mean idempotent?"
    assert "absent.py" in warnings["MAN015"]["message"]
    assert found.json["with_warnings"] == 1


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"b": {"node": "use", "with": {"x": "${{ steps.a.okay }}"}}}, "did you mean ok?"),
        ({"b": {"node": "a", "when": "${{ steps.a.okay }}"}}, "did you mean ok?"),
        ({"b": {"node": "use", "with": {"x": {"y": ["${{ steps.list[0].okay }}"]}}}}, "ok"),
        ({"b": {"node": "use", "with": {"x": "${{ steps.list.ok }}"}}}, "has foreach"),
        ({"b": {"node": "typed", "with": {"n": "text"}}}, "integer"),
    ],
)
def test_references_and_literals_are_checked_before_anything_runs(
    project: Project, steps: dict[str, object], words: str
) -> None:
    marks = project.root / "marks"
    marks.mkdir()
    project.add(
        "a",
        f"import os\ndef execute(context):\n    open({str(marks)!r} + '/x', 'w').close()\n"
        "    return {'ok': True}\n",
        outputs={"ok": {"type": "boolean"}},
    )
    project.add("use", ECHO)
    project.add("typed", ECHO, inputs={"n": {"type": "integer"}})
    first = {"a": {"node": "a"}, "list": {"node": "a", "foreach": [1]}}
    project.scan()
    done = project.onex_here("run", project.workflow(first | steps), "--format", "json")
    assert done.json["error"]["code"] == "WFL011", done.stdout
    assert words in json.dumps(done.json)
    assert not any(marks.iterdir())


def test_outputs_of_a_workflow_are_checked_too(project: Project) -> None:
    project.add("a", ECHO, outputs={"ok": {}})
    workflow = project.workflow({"a": {"node": "a"}}, outputs={"x": "${{ steps.a.okay }}"})
    project.scan()
    done = project.onex_here("run", workflow, "--format", "json")
    assert done.json["error"]["code"] == "WFL011"


def test_a_missing_secret_is_told_before_anything_runs(project: Project) -> None:
    project.add("a", ECHO)
    project.add("b", ECHO, capabilities=["secret.access:TOKEN"])
    workflow = project.workflow({"a": {"node": "a"}, "b": {"node": "b", "needs": ["a"]}})
    project.scan()
    done = project.onex_here("run", workflow, "--format", "json")
    assert done.json["error"]["code"] == "EXE014"
    assert "ONEX_SECRET_TOKEN" in done.json["error"]["hint"]
    assert project.onex_here("runs", "list", "--format", "json").json["runs"] == []


def test_the_project_is_that_of_the_workflow(project: Project, tmp_path: Path) -> None:
    inner = Project(tmp_path / "inner")
    inner.nodes.mkdir(parents=True)
    for place, word in ((project, "outer"), (inner, "inner")):
        place.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
        place.add("a", f"def execute(context):\n    return '{word}'\n")
        del place.environment["ONEX_HOME"]
    inner.workflow({"a": {"node": "a"}}, outputs={"x": "${{ steps.a }}"})
    done = project.onex_here("run", "inner/test.workflow.yaml", "--format", "json")
    assert done.json["outputs"] == {"x": "inner"}, done.stderr
    told = project.onex_here("run", "inner/test.workflow.yaml").stderr
    assert f"the project is that of the workflow: {inner.root}" in told
    assert (inner.root / ".onex").is_dir()
    assert not (project.root / ".onex").exists()


def test_a_workflow_that_is_not_yaml_is_told_with_its_line(project: Project) -> None:
    broken = project.write("broken.workflow.yaml", "name: x\nsteps:\n  a: [1, 2\n")
    told = project.onex_here("run", broken).stderr
    assert "broken.workflow.yaml:3" in told or "broken.workflow.yaml:4" in told
    manifest = project.add("n", ECHO)
    manifest.write_text("name: x\nname: y\n")
    told = project.onex_here("run", manifest).stderr
    assert f"{manifest}:2" in told


def test_steps_are_shown_in_the_order_of_the_plan(project: Project) -> None:
    project.add("a", ECHO)
    steps = {name: {"node": "a"} for name in ("zebra", "ant", "middle")}
    steps["last"] = {"node": "a", "foreach": list(range(12))}  # type: ignore[dict-item]
    project.scan()
    run_id = project.onex_here("run", project.workflow(steps), "--format", "json").json["run_id"]
    shown = list(project.onex_here("runs", "show", run_id, "--format", "json").json["steps"])
    assert [name for name in shown if "[" not in name] == ["zebra", "ant", "middle", "last"]
    assert [n for n in shown if "[" in n] == [f"last[{n}]" for n in range(12)]


def test_a_broken_manifest_is_the_cause_that_is_named(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("good", ECHO)
    project.add("bad", ECHO, lifecycle="no such state")
    workflow = project.workflow({"b": {"node": "tool://test.bad@^1"}})
    done = project.onex_here("run", workflow, "--format", "json")
    assert done.code == 4
    assert done.json["error"]["code"] == "MAN000"
    assert "tool://test.bad" in done.json["error"]["message"]
    told = project.onex_here("run", workflow).stderr
    assert "RES003" not in told
    assert "bad-1.0.0/node.onex.yaml:5" in told

"""The lockfile: what it holds, when it moves, and that runs honour it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex import Version, VersionConstraint
from onex.domain.errors import ConfigurationError
from onex.resolver.lockfile import LockedNode, LockedRequest, Lockfile
from tests.conftest import Project

CODE = "def execute(context):\n    return {version!r}\n"


@pytest.fixture
def locked(project: Project) -> Project:
    """A project with a workflow, its lock, and then a newer version of each node."""
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.workflow({"a": {"node": "app@^1"}}, outputs={"version": "${{ steps.a }}"})
    add(project, "app", "1.0.0", dependencies=["tool://test.lib@^1"])
    add(project, "lib", "1.0.0")
    assert project.onex_here("lock").code == 0
    add(project, "app", "1.1.0", dependencies=["tool://test.lib@^1"])
    add(project, "lib", "1.1.0")
    return project


def add(project: Project, name: str, version: str, **fields: object) -> Path:
    return project.add(name, CODE.format(version=version), version=version, **fields)


def versions(project: Project) -> dict[str, str]:
    lock = Lockfile.parse((project.root / "onex.lock").read_text())
    return {name: str(node.version) for name, node in lock.nodes.items()}


def test_the_file_is_sorted_and_complete(locked: Project) -> None:
    text = (locked.root / "onex.lock").read_text()
    lock = Lockfile.parse(text)
    assert lock.to_toml() == text
    assert versions(locked) == {"tool://test.app": "1.0.0", "tool://test.lib": "1.0.0"}
    assert lock.nodes["tool://test.app"].dependencies == ("tool://test.lib@1.0.0",)
    assert lock.nodes["tool://test.app"].digest.startswith("sha256:")
    assert lock.nodes["tool://test.app"].source == "nodes"
    (request,) = lock.requests
    assert request.workflow == "test.workflow.yaml"
    assert request.names == {"app": "tool://test.app"}
    assert request.requirements == {"tool://test.app": VersionConstraint.parse("^1")}
    assert str(locked.root) not in text


def test_locked_versions_stay_until_they_are_let_go(locked: Project) -> None:
    assert locked.onex_here("lock", "--check").code == 0
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert run.json["outputs"] == {"version": "1.0.0"}
    upgraded = locked.onex_here("lock", "--upgrade", "lib", "--format", "json").json
    assert upgraded["changes"] == ["move tool://test.lib from 1.0.0 to 1.1.0"]
    assert locked.onex_here("lock", "--upgrade-all", "--check").code == 3
    assert versions(locked)["tool://test.app"] == "1.0.0"
    assert locked.onex_here("lock", "--upgrade-all").code == 0
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert run.json["outputs"] == {"version": "1.1.0"}


def test_changed_files_are_refused_until_they_are_locked_again(locked: Project) -> None:
    (locked.nodes / "app-1.0.0" / "node.py").write_text("def execute(context):\n    return 'x'\n")
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (run.code, run.json["error"]["code"]) == (5, "SEC002")
    accepted = locked.onex_here("lock", "--format", "json").json
    assert accepted["changes"] == ["accept new files of tool://test.app 1.0.0"]
    assert locked.onex_here("run", "test.workflow.yaml").code == 0


def test_a_lock_that_no_longer_fits_is_named(locked: Project) -> None:
    locked.workflow({"a": {"node": "app@^1.1"}})
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (run.code, run.json["error"]["code"]) == (3, "RES005")
    assert (
        "tool://test.app is 1.0.0 in onex.lock, and must be 1.1.0" in run.json["error"]["message"]
    )
    assert locked.onex_here("lock", "--check").code == 3
    assert locked.onex_here("lock").code == 0
    assert locked.onex_here("run", "test.workflow.yaml").code == 0


def test_what_the_lock_does_not_know_does_not_run(locked: Project) -> None:
    locked.add("other", "def execute(context):\n    return 1\n")
    done = locked.onex_here("run", "other", "--format", "json")
    assert (done.code, done.json["error"]["code"]) == (3, "RES005")
    alone = locked.onex_here("run", "tool://test.app", "--format", "json")
    assert alone.json["outputs"] == {"result": "1.0.0"}
    locked.workflow({"b": {"node": "other"}})
    done = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (done.code, done.json["error"]["code"]) == (3, "RES005")
    assert "other of test.workflow.yaml" in done.json["error"]["message"]


def test_a_newcomer_takes_no_locked_short_name(locked: Project) -> None:
    locked.add("intruder", "def execute(context):\n    return 'intruder'\n", namespace="app")
    done = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert done.json["outputs"] == {"version": "1.0.0"}
    scanned = locked.onex_here("scan", "--format", "json").json
    assert [p["code"] for p in scanned["problems"]] == ["DSC016"]
    (locked.root / "onex.lock").unlink()
    done = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (done.code, done.json["error"]["code"]) == (3, "RES004")
    assert done.json["error"]["candidates"] == ["tool://app", "tool://test.app"]


def test_a_lock_of_the_first_format_is_honoured(locked: Project) -> None:
    node = Lockfile.parse((locked.root / "onex.lock").read_text()).nodes
    lines = ["format = 1", "[requirements]", '"tool://test.app" = "^1"']
    for name, found in node.items():
        lines += ["[[node]]", f'node = "{name}"', f'version = "{found.version}"',
                  f'digest = "{found.digest}"', 'source = "nodes"', "dependencies = []"]  # fmt: skip
    locked.write("onex.lock", "\n".join(lines))
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert run.json["outputs"] == {"version": "1.0.0"}
    locked.add("other", "def execute(context):\n    return 1\n")
    assert locked.onex_here("run", "other").code == 3
    assert locked.onex_here("lock").code == 0
    assert versions(locked) == {"tool://test.app": "1.0.0", "tool://test.lib": "1.0.0"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n",
        lambda text: "",
        lambda text: "a = " + "[" * 1500,
    ],
)
def test_a_lock_that_cannot_be_read_is_written_anew(locked: Project, damage) -> None:
    path = locked.root / "onex.lock"
    text = path.read_text()
    path.write_text(damage(text))
    run = locked.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (run.code, run.json["error"]["code"]) == (2, "CFG001")
    done = locked.onex_here("lock")
    assert done.code == 0
    assert "written anew" in done.stderr
    assert locked.onex_here("run", "test.workflow.yaml").code == 0


def test_a_byte_order_mark_does_no_harm(locked: Project) -> None:
    path = locked.root / "onex.lock"
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert locked.onex_here("run", "test.workflow.yaml").code == 0


def test_each_workflow_has_a_resolution_of_its_own(locked: Project) -> None:
    add(locked, "lib", "2.0.0")
    for name, constraint in {"one": "^1", "two": "^2"}.items():
        body = f'name: {name}\nsteps:\n  s:\n    node: tool://test.lib@{constraint}\noutputs: {{v: "${{{{ steps.s }}}}"}}\n'
        locked.write(f"{name}.workflow.yaml", body)
    assert locked.onex_here("lock").code == 0
    for name, version in {"one": "1.1.0", "two": "2.0.0"}.items():
        done = locked.onex_here("run", f"{name}.workflow.yaml", "--format", "json")
        assert done.json["outputs"] == {"v": version}
    assert locked.onex_here("lock", "--check").code == 0
    locked.write(
        "two.workflow.yaml",
        "name: two\nsteps:\n  a:\n    node: tool://test.lib@^1\n  b:\n    node: tool://test.lib@^2\n",
    )
    refused = locked.onex_here("lock", "--format", "json")
    assert refused.code == 3
    explanation = refused.json["error"]["explanation"]
    assert "two.workflow.yaml:4:11: tool://test.lib@^1" in explanation
    assert "two.workflow.yaml:6:11: tool://test.lib@^2" in explanation
    assert "^1 ^2" in explanation


def test_a_developer_takes_local_changes_in_with_the_run(locked: Project) -> None:
    code = locked.nodes / "app-1.0.0" / "node.py"
    code.write_text("def execute(context):\n    return 'edited'\n")
    assert locked.onex_here("run", "test.workflow.yaml").code == 5
    done = locked.onex_here("run", "test.workflow.yaml", "--relock")
    assert done.code == 0
    assert "accept new files of tool://test.app 1.0.0" in done.stderr
    assert locked.onex_here("run", "test.workflow.yaml").code == 0


def test_an_equal_node_from_another_source_changes_nothing(locked: Project) -> None:
    locked.write("onex.toml", '[[sources]]\nname = "mirror"\npath = "nodes"\n')
    done = locked.onex_here("lock", "--check", "--format", "json")
    assert (done.code, done.json["changes"]) == (0, [])


def test_a_run_reports_what_concerns_it(locked: Project) -> None:
    for number in range(5):
        locked.write(f"nodes/broken{number}/node.onex.yaml", "name: [\n")
    done = locked.onex_here("run", "test.workflow.yaml")
    assert done.code == 0
    assert "broken0" not in done.stderr
    assert "5 errors in other manifests" in done.stderr


def test_resolve_prefers_a_lock_that_is_named(locked: Project) -> None:
    locked.onex_here("scan")
    free = locked.onex_here("resolve", "app", "--format", "json").json["selected"]
    held = locked.onex_here("resolve", "app", "--lock", "onex.lock", "--format", "json").json[
        "selected"
    ]
    assert set(free.values()) == {"1.1.0"}
    assert set(held.values()) == {"1.0.0"}


@pytest.mark.parametrize(
    "text", ["", "format = 9", "[[[", "\0", 'format = 1\n[[node]]\nnode = "x"\n']
)
def test_other_files_are_not_taken_for_a_lock(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Lockfile.parse(text)


names = st.from_regex(r"tool://[a-z]{1,5}(\.[a-z]{1,5})?", fullmatch=True)
nodes = st.builds(
    LockedNode,
    st.builds(Version, *[st.integers(0, 99)] * 3),
    st.text(),
    st.text(),
    st.tuples(st.text()),
)


@given(st.dictionaries(names, nodes))
def test_any_lock_survives_its_text(found: dict[str, LockedNode]) -> None:
    asked = {name: VersionConstraint.parse("^1 || >2") for name in found}
    lock = Lockfile((LockedRequest("w.yaml", {"short": "tool://a"}, asked, found),))
    assert Lockfile.parse(lock.to_toml()) == lock

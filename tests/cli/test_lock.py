"""The lockfile: what it holds, when it moves, and that runs honour it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex import Version, VersionConstraint
from onex.domain.errors import ConfigurationError
from onex.resolver.lockfile import LockedNode, Lockfile
from tests.conftest import Project

CODE = "def execute(context):\n    return {version!r}\n"


@pytest.fixture
def locked(project: Project) -> Project:
    """A project with a workflow, its lock, and then a newer version of each node."""
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.workflow({"a": {"node": "app@^1"}}, outputs={"version": "${{ steps.a }}"})
    add(project, "app", "1.0.0", dependencies=["tool://test.lib@^1"])
    add(project, "lib", "1.0.0")
    assert project.onex("lock").code == 0
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
    assert lock.requirements == {"tool://test.app": VersionConstraint.parse("^1")}


def test_locked_versions_stay_until_they_are_let_go(locked: Project) -> None:
    assert locked.onex("lock", "--check").code == 0
    run = locked.onex("run", "test.workflow.yaml", "--format", "json")
    assert run.json["outputs"] == {"version": "1.0.0"}
    upgraded = locked.onex("lock", "--upgrade", "lib", "--format", "json").json
    assert upgraded["changes"] == ["move tool://test.lib from 1.0.0 to 1.1.0"]
    assert locked.onex("lock", "--upgrade-all", "--check").code == 3
    assert versions(locked)["tool://test.app"] == "1.0.0"
    assert locked.onex("lock", "--upgrade-all").code == 0
    run = locked.onex("run", "test.workflow.yaml", "--format", "json")
    assert run.json["outputs"] == {"version": "1.1.0"}


def test_changed_files_are_refused_until_they_are_locked_again(locked: Project) -> None:
    (locked.nodes / "app-1.0.0" / "node.py").write_text("def execute(context):\n    return 'x'\n")
    run = locked.onex("run", "test.workflow.yaml", "--format", "json")
    assert (run.code, run.json["error"]["code"]) == (5, "SEC002")
    accepted = locked.onex("lock", "--format", "json").json
    assert accepted["changes"] == ["accept new files of tool://test.app 1.0.0"]
    assert locked.onex("run", "test.workflow.yaml").code == 0


def test_a_lock_that_no_longer_fits_is_named(locked: Project) -> None:
    locked.workflow({"a": {"node": "app@^1.1"}})
    run = locked.onex("run", "test.workflow.yaml", "--format", "json")
    assert (run.code, run.json["error"]["code"]) == (3, "RES005")
    assert (
        "tool://test.app is 1.0.0 in onex.lock, and must be 1.1.0" in run.json["error"]["message"]
    )
    assert locked.onex("lock", "--check").code == 3
    assert locked.onex("lock").code == 0
    assert locked.onex("run", "test.workflow.yaml").code == 0


def test_what_the_lock_does_not_know_runs_without_it(locked: Project) -> None:
    locked.add("other", "def execute(context):\n    return 1\n")
    assert locked.onex("run", "other").code == 0


def test_resolve_prefers_a_lock_that_is_named(locked: Project) -> None:
    locked.onex("scan")
    free = locked.onex("resolve", "app", "--format", "json").json["selected"]
    held = locked.onex("resolve", "app", "--lock", "onex.lock", "--format", "json").json["selected"]
    assert set(free.values()) == {"1.1.0"}
    assert set(held.values()) == {"1.0.0"}


@pytest.mark.parametrize("text", ["", "format = 9", "[[[", 'format = 1\n[[node]]\nnode = "x"\n'])
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
    lock = Lockfile({name: VersionConstraint.parse("^1 || >2") for name in found}, found)
    assert Lockfile.parse(lock.to_toml()) == lock

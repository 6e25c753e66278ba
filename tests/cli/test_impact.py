"""What a proposed version does: who moves, who is held, who breaks."""

from __future__ import annotations

import pytest

from tests.conftest import Project


@pytest.fixture
def family(project: Project) -> Project:
    """lib 1.0.0; loose takes any, tight takes ^1, above needs tight, other needs nothing."""
    project.add("lib", version="1.0.0", dependencies=["tool://test.base@^1"])
    project.add("base", version="1.0.0")
    project.add("base", version="2.0.0")
    project.add("loose", dependencies=["tool://test.lib"])
    project.add("tight", dependencies=["tool://test.lib@^1"])
    project.add("above", dependencies=["tool://test.tight@^1"])
    project.add("other")
    project.write("onex.toml", "")
    project.workflow({"a": {"node": "loose"}})
    project.scan()
    return project


def effects(project: Project, *arguments: str) -> dict[str, dict]:
    done = project.onex_here("impact", *arguments, "--format", "json")
    assert done.code in (0, 3), done.stdout
    return {entry["dependant"].rpartition("/")[2]: entry for entry in done.json["dependants"]}


def test_a_version_that_is_only_a_number(family: Project) -> None:
    found = effects(family, "lib@2.0.0")
    assert {name: entry["effect"] for name, entry in found.items()} == {
        "test.loose": "moves", "test.tight": "held", "test.above": "held",
        "test.workflow.yaml": "moves",
    }  # fmt: skip
    assert found["test.loose"]["changes"] == [
        {"node": "tool://test.lib", "before": "1.0.0", "after": "2.0.0"}
    ]
    assert "tool://test.tight 1.0.0 needs tool://test.lib ^1" in found["test.above"]["reason"]
    assert "tight-1.0.0/node.onex.yaml:7:" in found["test.above"]["reason"]


def test_a_manifest_that_changes_a_registered_version(family: Project) -> None:
    place = family.add(
        "lib", version="1.0.0", folder="../proposal", dependencies=["tool://test.base@^3"]
    )
    done = family.onex_here("impact", place)
    assert done.code == 3
    assert "tool://test.tight breaks" in done.stdout
    assert "needs tool://test.base ^3" in done.stdout
    body = family.onex_here("impact", place.parent, "--format", "json").json
    assert body["summary"] == {"moves": 0, "held": 0, "breaks": 4, "unresolved": 0}


def test_a_manifest_that_moves_what_it_needs(family: Project) -> None:
    place = family.add(
        "lib", version="1.1.0", folder="../proposal", dependencies=["tool://test.base@^2"]
    )
    found = effects(family, str(place))
    assert {entry["effect"] for entry in found.values()} == {"moves"}
    assert found["test.above"]["changes"] == [
        {"node": "tool://test.base", "before": "1.0.0", "after": "2.0.0"},
        {"node": "tool://test.lib", "before": "1.0.0", "after": "1.1.0"},
    ]


def test_a_registered_version_is_compared_with_the_registry_without_it(family: Project) -> None:
    family.add("lib", version="1.2.0")
    family.scan()
    found = effects(family, "lib@1.2.0")
    assert found["test.tight"]["effect"] == "moves"
    assert {c["node"]: c["after"] for c in found["test.tight"]["changes"]} == {
        "tool://test.lib": "1.2.0", "tool://test.base": None,
    }  # fmt: skip


def test_what_cannot_be_judged_is_said(family: Project) -> None:
    family.workflow({"a": {"node": "ghost"}})
    found = effects(family, "lib@2.0.0")
    assert found["test.workflow.yaml"]["effect"] == "unresolved"
    assert "ghost" in found["test.workflow.yaml"]["reason"]
    assert family.onex_here("impact", "lib@^2").code == 2
    assert family.onex_here("impact", "ghost@1.0.0").code == 3
    assert effects(family, "other@2.0.0").keys() == {"test.workflow.yaml"}

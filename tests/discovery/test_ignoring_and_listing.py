"""What ignore files keep out, and what a listing says is missing."""

from __future__ import annotations

import pytest

from tests.conftest import Project


def found(project: Project) -> list[str]:
    body = project.onex("list", "--all-versions", "--format", "json").json
    return [node["name"] for node in body["nodes"]]


def scan(project: Project) -> list[str]:
    done = project.onex("scan", "nodes", "--format", "json")
    assert done.code == 0, done.stdout
    return [problem["code"] for problem in done.json["problems"]]


def test_gitignore_and_onexignore_keep_nodes_out(project: Project) -> None:
    for name in ("kept", "ignored", "drafted", "brought_back", "deep"):
        project.add(name, folder=f"{name}" if name != "deep" else "area/deep")
    project.write("nodes/.gitignore", "ignored/\n/brought_back\n!brought_back\n")
    project.write(
        "nodes/.onexignore",
        "# === OmniNode:Metadata ===\n# === /OmniNode:Metadata ===\n"
        "stamper:\n  patterns:\n    - kept/\nall:\n  patterns: ['drafted/']\n",
    )
    project.write("nodes/area/.onexignore", "registry:\n  patterns:\n    - '*.onex.yaml'\n")
    assert scan(project) == []
    assert found(project) == ["brought_back", "kept"]


def test_a_change_of_the_patterns_takes_effect(project: Project) -> None:
    project.add("a", folder="x/a")
    project.add("b", folder="x/b")
    scan(project)
    ignore = project.write("nodes/.onexignore", "all:\n  patterns: [b/]\n")
    scan(project)
    assert found(project) == ["a"]
    ignore.write_text("all:\n  patterns: []\n")
    scan(project)
    assert found(project) == ["a", "b"]
    ignore.write_text("b/\n")
    scan(project)
    assert found(project) == ["a"]
    ignore.unlink()
    scan(project)
    assert found(project) == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["all: [unclosed\n", "\0", "all:\n  patterns: [\xff]\n".encode("latin-1")]
)
def test_a_broken_ignore_file_ignores_nothing_and_is_named(
    project: Project, text: str | bytes
) -> None:
    project.add("a", folder="a")
    file = project.nodes / ".onexignore"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    if text != "\0":
        assert scan(project) == ["DSC008"]
    scan(project)
    assert found(project) == ["a"]


def test_an_ignored_folder_of_a_node_still_belongs_to_it(project: Project) -> None:
    manifest = project.add("a", folder="a")
    data = manifest.parent / "build" / "table.csv"
    data.parent.mkdir()
    data.write_text("1")
    project.write("nodes/.gitignore", "build/\n")
    scan(project)
    before = project.onex("show", "a", "--format", "json").json["digest"]
    data.write_text("2")
    scan(project)
    assert project.onex("show", "a", "--format", "json").json["digest"] != before


def test_a_listing_is_checked_against_the_folder(project: Project) -> None:
    project.add("a", folder="a")
    project.write(
        "nodes/.onextree",
        "name: nodes\ntype: directory\nchildren:\n- name: a\n  type: directory\n  children:\n"
        "  - {name: node.onex.yaml, type: file}\n  - {name: node.py, type: file}\n"
        "  - {name: .onexignore, type: file}\n",
    )
    assert scan(project) == []
    assert scan(project) == []
    project.add("b", folder="b")
    (project.nodes / "a" / "node.py").rename(project.nodes / "a" / "code.py")
    done = project.onex("scan", "nodes", "--format", "json").json
    messages = [p["message"] for p in done["problems"] if p["code"] == "DSC012"]
    assert messages == [
        "a/node.py is listed, but not there",
        "the manifest b/node.onex.yaml is not listed",
    ]
    assert project.onex("scan", "nodes", "--format", "json").json["problems"] == done["problems"]

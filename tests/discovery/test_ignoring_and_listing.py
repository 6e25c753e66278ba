"""What ignore files keep out, and what a listing says is missing."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import Project


def found(project: Project) -> list[str]:
    body = project.onex_here("list", "--all-versions", "--format", "json").json
    return [node["name"] for node in body["nodes"]]


def scan(project: Project) -> list[str]:
    done = project.onex_here("scan", "nodes", "--format", "json")
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


def test_what_is_ignored_is_not_the_nodes(project: Project) -> None:
    manifest = project.add("a", folder="a")
    folder = manifest.parent
    project.write("nodes/.gitignore", "\ufeffbuild/\n*.log\n!kept.log\n")
    (folder / "build").mkdir()
    (folder / "kept.log").write_text("1")
    scan(project)
    before = project.onex_here("show", "a", "--format", "json").json["digest"]
    for name in ("build/table.csv", "x.log", ".DS_Store", "node.py~", ".node.py.swp", "#node.py#",
                 ".#node.py", "Thumbs.db"):  # fmt: skip
        (folder / name).write_text("dropped")
    scan(project)
    assert project.onex_here("show", "a", "--format", "json").json["digest"] == before
    assert project.onex_here("run", "a").code == 0
    (folder / "kept.log").write_text("2")
    scan(project)
    changed = project.onex_here("show", "a", "--format", "json").json["digest"]
    assert changed != before
    project.write("nodes/.gitignore", "build/\n*.log\n")
    scan(project)
    assert project.onex_here("show", "a", "--format", "json").json["digest"] not in (
        before,
        changed,
    )
    assert project.onex_here("run", "a").code == 0


def test_ignore_files_above_the_source_count_up_to_the_repository(project: Project) -> None:
    project.add("a", folder="a")
    project.add("b", folder="skipped")
    project.write(".gitignore", "skipped/\nsecret.txt\n")
    project.write("nodes/a/secret.txt", "1")
    scan(project)
    assert project.onex_here("list", "--format", "json").json["total"] == 2
    (project.root / ".git").mkdir()
    scan(project)
    assert project.onex_here("list", "--format", "json").json["total"] == 1
    before = project.onex_here("show", "a", "--format", "json").json["digest"]
    project.write("nodes/a/secret.txt", "2")
    scan(project)
    assert project.onex_here("show", "a", "--format", "json").json["digest"] == before
    assert project.onex_here("run", "a").code == 0


@pytest.mark.parametrize(
    ("name", "content", "is_entered"),
    [
        (".git", "gitdir: /elsewhere/.git/worktrees/w\n", False),
        (".git", "gitdir: ../../.git/modules/sub\n", True),
        ("pyvenv.cfg", "home = /usr/bin\n", False),
        ("onex.toml", "", False),
    ],
)
def test_a_tree_of_its_own_is_not_entered(
    project: Project, name: str, content: str, is_entered: bool
) -> None:
    project.add("outer", folder="outer")
    project.add("inner", folder="outer/tree/inner")
    project.write(f"nodes/outer/tree/{name}", content)
    scan(project)
    assert project.onex_here("list", "--format", "json").json["total"] == (2 if is_entered else 1)
    before = project.onex_here("show", "outer", "--format", "json").json["digest"]
    project.write("nodes/outer/tree/inner/more.py", "x = 1\n")
    project.write("nodes/outer/tree/code.py", "x = 1\n")
    scan(project)
    after = project.onex_here("show", "outer", "--format", "json").json["digest"]
    assert (after != before) == is_entered
    assert (
        project.onex_here("scan", project.nodes / "outer" / "tree", "--format", "json").json[
            "sources"
        ][0]["found"]
        == 1
    )


def test_links_that_stay_in_the_node_count_as_their_files(project: Project) -> None:
    """As Kubernetes lays a ConfigMap out: each name is a link through ``..data``."""
    manifest = project.add(
        "a", "import helper\ndef execute(context):\n    return helper.VALUE\n", folder="a"
    )
    folder = manifest.parent
    data = folder / "..2026_01"
    data.mkdir()
    (data / "helper.py").write_text("VALUE = 1\n")
    (folder / "..data").symlink_to("..2026_01")
    for name in ("node.onex.yaml", "node.py"):
        (folder / name).rename(data / name)
        (folder / name).symlink_to(f"..data/{name}")
    (folder / "helper.py").symlink_to("..data/helper.py")
    assert scan(project) == []
    assert project.onex_here("run", "a", "--format", "json").json["outputs"] == {"result": 1}
    newer = folder / "..2026_02"
    shutil.copytree(data, newer)
    (newer / "helper.py").write_text("VALUE = 2\n")
    (folder / "..data").unlink()
    (folder / "..data").symlink_to("..2026_02")
    scan(project)
    assert project.onex_here("run", "a", "--format", "json").json["outputs"] == {"result": 2}


def test_other_links_are_left_out_and_told(project: Project) -> None:
    manifest = project.add("a", folder="a")
    (manifest.parent / "secret.py").symlink_to("/etc/passwd")
    (manifest.parent / "nowhere.py").symlink_to("missing")
    (manifest.parent / "loop").symlink_to(".")
    problems = project.onex_here("scan", "nodes", "--format", "json").json["problems"]
    assert {p["code"] for p in problems} == {"DSC015"}
    assert {p["message"].split()[2] for p in problems} >= {"secret.py", "nowhere.py"}
    valid = project.onex_here("validate", "nodes", "--format", "json").json["problems"]
    assert [p["message"] for p in valid] == [p["message"] for p in problems]


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
    done = project.onex_here("scan", "nodes", "--format", "json").json
    messages = [p["message"] for p in done["problems"] if p["code"] == "DSC012"]
    assert messages == [
        "a/node.py is listed, but not there",
        "the manifest b/node.onex.yaml is not listed",
    ]
    assert (
        project.onex_here("scan", "nodes", "--format", "json").json["problems"] == done["problems"]
    )

"""Questions about dependencies: tree, why, why-not, outdated, graph."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.conftest import Project


@pytest.fixture
def shop(project: Project) -> Project:
    """A diamond: web needs auth and log, both need crypto, and log holds crypto below 2."""
    project.add("web", dependencies=["tool://test.auth@^1", "tool://test.log@^1"])
    project.add("auth", dependencies=["tool://test.crypto@>=1"])
    project.add("log", dependencies=["tool://test.crypto@^1"])
    project.add("crypto", version="1.0.0")
    project.add("crypto", version="2.0.0")
    project.add("alone")
    project.scan()
    return project


def test_tree_shows_each_need_once_in_full(shop: Project) -> None:
    assert shop.onex_here("tree", "web").stdout.splitlines() == [
        "tool://test.web@1.0.0  (*)",
        "    tool://test.auth@1.0.0  (^1)",
        "        tool://test.crypto@1.0.0  (>=1)",
        "    tool://test.log@1.0.0  (^1)",
        "        tool://test.crypto@1.0.0  (^1)",
    ]
    inverted = shop.onex_here("tree", "web", "--invert", "crypto", "--format", "json").json["tree"]
    assert [(line["depth"], line["node"], line["repeated"]) for line in inverted] == [
        (0, "tool://test.crypto@1.0.0", False),
        (1, "tool://test.auth@1.0.0", False),
        (2, "tool://test.web@1.0.0", False),
        (1, "tool://test.log@1.0.0", False),
        (2, "tool://test.web@1.0.0", False),
    ]
    assert shop.onex_here("tree", "web", "--duplicates").stdout.startswith(
        "tool://test.crypto@1.0.0"
    )
    assert shop.onex_here("tree", "web", "--invert", "alone").code == 3


def test_why_shows_the_path(shop: Project) -> None:
    body = shop.onex_here("why", "crypto", "--in", "web", "--format", "json").json
    assert body["version"] == "1.0.0"
    (path,) = body["paths"]
    assert [link["node"] for link in path] == [
        "tool://test.web@1.0.0",
        "tool://test.auth@1.0.0",
        "tool://test.crypto@1.0.0",
    ]
    assert [link["asked"] for link in path] == ["*", "^1", ">=1"]
    assert shop.onex_here("why", "alone", "--in", "web").code == 3


def test_why_not_explains_what_prevents_a_version(shop: Project) -> None:
    body = shop.onex_here("why-not", "crypto@2.0.0", "--in", "web", "--format", "json").json
    assert body["possible"] is False
    assert "tool://test.log 1.0.0 needs tool://test.crypto ^1" in body["explanation"]
    assert "log-1.0.0/node.onex.yaml:7:" in body["explanation"]
    assert shop.onex_here("why-not", "crypto@1.0.0", "--in", "web", "--format", "json").json[
        "possible"
    ]
    assert shop.onex_here("why-not", "crypto@^2", "--in", "web").code == 2


def test_outdated_names_who_holds_back(shop: Project) -> None:
    (node,) = shop.onex_here("outdated", "web", "--format", "json").json["nodes"]
    assert node == {
        "node": "tool://test.crypto", "have": "1.0.0", "allowed": "1.0.0", "latest": "2.0.0",
        "held_by": ["tool://test.log@1.0.0 asks ^1"],
    }  # fmt: skip
    assert shop.onex_here("outdated", "auth", "--format", "json").json["nodes"] == []


def test_outdated_knows_the_lock(shop: Project) -> None:
    shop.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    shop.workflow({"a": {"node": "auth"}})
    shop.onex_here("lock")
    shop.add("crypto", version="2.1.0")
    shop.scan()
    (node,) = shop.onex_here("outdated", "--format", "json").json["nodes"]
    assert (node["have"], node["allowed"], node["held_by"]) == ("2.0.0", "2.1.0", [])


def test_graph_in_three_forms(shop: Project) -> None:
    dot = shop.onex_here("graph", "web").stdout
    assert '"tool://test.log@1.0.0" -> "tool://test.crypto@1.0.0" [label="^1"];' in dot
    mermaid = shop.onex_here("graph", "web", "--output", "mermaid").stdout
    assert mermaid.startswith("flowchart TD")
    assert mermaid.count("-->") == 4
    svg = ET.fromstring(shop.onex_here("graph", "web", "--output", "svg").stdout)
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert texts.count("tool://test.crypto@1.0.0") == 1
    assert len([e for e in svg.iter() if e.get("marker-end")]) == 4
    body = shop.onex_here("graph", "web", "--format", "json").json
    assert len(body["edges"]) == 4


def test_without_a_target_the_workflows_of_the_project_are_meant(shop: Project) -> None:
    missing = shop.onex_here("tree")
    assert missing.code == 2
    assert "USE001" in missing.stderr
    shop.workflow({"a": {"node": "web@^1"}})
    assert shop.onex_here("tree").stdout.startswith("tool://test.web@1.0.0  (^1)")


def test_a_version_for_another_python_or_platform_is_passed_over_with_its_reason(
    project: Project,
) -> None:
    project.add("a", version="1.0.0", compatibility={"required_python": ">=3.8"})
    project.add("a", version="2.0.0", compatibility={"required_python": ">=9.1"})
    project.add("b", compatibility={"supported_platforms": ["plan9"]})
    project.add("c", compatibility={"python": "something else"})
    project.scan()
    assert project.onex_here("resolve", "a", "c", "--format", "json").json["selected"] == {
        "tool://test.a": "1.0.0",
        "tool://test.c": "1.0.0",
    }
    wrong_python = project.onex_here("resolve", "a@^2", "--format", "json")
    assert wrong_python.code == 3
    assert (
        "tool://test.a 2.0.0 needs Python >=9.1, and this is 3."
        in wrong_python.json["error"]["explanation"]
    )
    wrong_platform = project.onex_here("resolve", "b").stderr
    assert "tool://test.b 1.0.0 runs on plan9, and this is linux" in wrong_platform


def test_optional_dependencies_limit_what_is_there(project: Project) -> None:
    project.add(
        "app", dependencies=[{"id": "tool://test.plugin", "version_spec": "^1", "optional": True}]
    )
    project.add("plugin", version="1.0.0")
    project.add("plugin", version="2.0.0")
    project.scan()
    alone = project.onex_here("resolve", "app", "--format", "json").json["selected"]
    assert alone == {"tool://test.app": "1.0.0"}
    both = project.onex_here("resolve", "app", "plugin", "--format", "json").json
    assert both["selected"]["tool://test.plugin"] == "1.0.0"
    assert both["execution_order"] == ["tool://test.plugin@1.0.0", "tool://test.app@1.0.0"]


def test_compat_shows_who_takes_which_version(shop: Project) -> None:
    shop.add("legacy", dependencies=["crypto@<1.5"])
    shop.scan()
    newest, oldest = shop.onex_here("compat", "crypto", "--format", "json").json["versions"]
    assert (newest["version"], newest["lifecycle"]) == ("2.0.0", "draft")
    assert newest["allowed_by"] == ["tool://test.auth@1.0.0 (>=1)"]
    assert newest["refused_by"] == ["tool://test.legacy@1.0.0 (<1.5)", "tool://test.log@1.0.0 (^1)"]
    assert len(oldest["allowed_by"]) == 3
    assert (
        shop.onex_here("compat", "web", "--format", "json").json["versions"][0]["allowed_by"] == []
    )

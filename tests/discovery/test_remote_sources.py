"""Several remotes and local sources: what comes from where, and what never does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project

Make = Callable[[str], Project]


@pytest.fixture
def tree(make_project: Make) -> Callable[..., Path]:
    """Makes the tree of a registry with some versions of nodes, as a folder."""
    count = 0

    def make(*versions: str, **fields: object) -> Path:
        nonlocal count
        count += 1
        project = make_project(f"registry{count}")
        for text in versions:
            name, _, version = text.partition("@")
            manifest = project.add(
                name, f"def execute(context):\n    return {count}\n", version=version, **fields
            )
            assert project.onex_here("publish", "--here", manifest.parent).code == 0
        folder = project.root / "tree"
        assert project.onex_here("remote", "export", folder).code == 0
        return folder

    return make


def remotes(project: Project, *declared: dict[str, object], policy: str = "") -> None:
    lines = [policy]
    for number, members in enumerate(declared, 1):
        lines.append("[[sources]]")
        whole = {"name": f"r{number}", "kind": "remote"} | members
        lines += [f"{key} = {json.dumps(value)}" for key, value in whole.items()]
    project.write("onex.toml", "\n".join(lines) + "\n")


def chosen(project: Project, reference: str) -> str | None:
    done = project.onex_here("resolve", reference, "--json")
    selected = done.json.get("selected", {})
    return next(iter(selected.values()), None)


def test_a_bound_namespace_comes_from_nowhere_else_however_high_the_version(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    ours, attackers = tree("tool@1.0.0"), tree("tool@99.0.0")
    user = make_project("user")
    remotes(user, {"url": str(attackers)}, {"url": str(ours), "namespaces": ["test"]})
    assert chosen(user, "tool://test.tool") == "1.0.0"
    user.onex_here("scan")
    assert chosen(user, "tool://test.tool") == "1.0.0"
    versions = user.onex_here("show", "tool://test.tool", "--json").json["versions"]
    assert versions == ["1.0.0"]
    # Nor if the right source is away for a while.
    ours.rename(ours.with_name("away"))
    assert chosen(user, "tool://test.tool@>1") is None
    # A namespace that is bound to a local source is never asked of a remote.
    local = make_project("local")
    remotes(local, {"url": str(attackers)})
    local.write("onex.toml", (local.root / "onex.toml").read_text()
                + '[[sources]]\npath = "nodes"\nnamespaces = ["test"]\n')  # fmt: skip
    local.add("tool", version="0.1.0")
    local.onex_here("scan")
    assert chosen(local, "tool://test.tool") == "0.1.0"


def test_the_first_remote_that_has_a_node_supplies_it(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    one, two = tree("tool@1.0.0"), tree("tool@2.0.0", "extra@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(one)}, {"url": str(two)})
    assert chosen(user, "tool://test.tool") == "1.0.0"
    assert chosen(user, "tool://test.extra") == "1.0.0"
    assert chosen(user, "tool") == "1.0.0"
    other = make_project("other")
    remotes(other, {"url": str(one)}, {"url": str(two), "priority": 5})
    assert chosen(other, "tool://test.tool") == "2.0.0"


def test_a_remote_that_is_away_is_not_replaced_by_the_next_one(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    one, two = tree("tool@1.0.0"), tree("tool@2.0.0")
    away = one.rename(one.with_name("away"))
    user = make_project("user")
    remotes(user, {"url": str(one)}, {"url": str(two)})
    assert chosen(user, "tool://test.tool") is None
    away.rename(one)
    user.onex_here("remote", "check")
    assert chosen(user, "tool://test.tool") == "1.0.0"


def test_a_dependency_is_found_on_another_remote(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    one = tree("root@1.0.0", dependencies=["tool://test.leaf@^1"])
    two = tree("leaf@1.0.0", "leaf@1.3.0")
    user = make_project("user")
    remotes(user, {"url": str(one)}, {"url": str(two)})
    done = user.onex_here("resolve", "root", "--json")
    assert done.json["selected"] == {"tool://test.root": "1.0.0", "tool://test.leaf": "1.3.0"}


@pytest.mark.parametrize(
    ("policy", "expected"), [("local_prefer", 0), ("remote_prefer", 1), ("quarantine", 0)]
)
def test_the_trust_policy_decides_between_unequal_digests(
    make_project: Make, tree: Callable[..., Path], policy: str, expected: int
) -> None:
    theirs = tree("tool@1.0.0")
    user = make_project("user")
    user.add("tool", "def execute(context):\n    return 0\n", version="1.0.0")
    remotes(user, {"url": str(theirs)}, policy=f'[policy]\ntrust_policy = "{policy}"\n')
    user.write("onex.toml", (user.root / "onex.toml").read_text() + '[[sources]]\npath = "nodes"\n')
    user.onex_here("scan")
    user.onex_here("resolve", "tool://test.tool")
    done = user.onex(
        "run", "tool://test.tool", "--isolation", "process", "--allow-unsandboxed", "tool", "--json"
    )
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["outputs"] == {"result": expected}


def test_equal_nodes_of_two_sources_are_one_with_two_origins(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    user = make_project("user")
    theirs = tree("tool@1.0.0")
    user.add("tool", "def execute(context):\n    return 1\n", version="1.0.0")
    remotes(user, {"url": str(theirs)}, policy='[policy]\ntrust_policy = "remote_prefer"\n')
    user.write("onex.toml", (user.root / "onex.toml").read_text() + '[[sources]]\npath = "nodes"\n')
    user.onex_here("scan")
    user.onex_here("resolve", "tool://test.tool")
    origins = user.onex_here("show", "tool", "--json").json["origins"]
    assert {origin["source"] for origin in origins} == {"nodes", "r1"}


def test_what_a_remote_asks_for_needs_a_grant(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0", capabilities=["file.read:/etc/hostname"])
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    done = user.onex("run", "tool", "--json")
    assert done.code == 5
    assert done.json["error"]["code"] == "SEC006"
    assert user.onex_here("grant", "approve", "tool").code == 0
    assert user.onex("run", "tool", "--json").json["success"]


def test_locks_hold_remote_nodes_to_their_digests(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0", "tool@1.1.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    user.workflow({"a": {"node": "tool://test.tool@<1.1"}})
    assert user.onex_here("lock").code == 0
    done = user.onex("run", user.root / "test.workflow.yaml", "--json")
    assert done.json["steps"]["a"]["node"] == "tool://test.tool@1.0.0"
    assert user.onex_here("storage", "check").code == 0
    assert user.onex_here("storage", "rebuild").code == 0
    assert user.onex_here("scan", "--force").code == 0
    assert user.onex_here("show", "tool@1.0.0", "--json").code == 0


def test_removing_a_remote_takes_its_nodes_along(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    user = make_project("user")
    done = user.onex_here("remote", "add", tree("tool@1.0.0"), "--name", "hub", "--json")
    assert done.json["added"] == "hub"
    assert chosen(user, "tool") == "1.0.0"
    listed = user.onex_here("remote", "list", "--json").json["remotes"]
    assert [(r["name"], r["nodes"], r["status"]) for r in listed] == [("hub", 1, "ok")]
    assert user.onex_here("remote", "remove", "hub", "--json").json["nodes"] == 1
    assert user.onex_here("list", "--json").json["nodes"] == []
    assert user.onex_here("remote", "add", user.root / "nowhere").code == 2
    assert "sources" not in (user.root / "onex.toml").read_text()

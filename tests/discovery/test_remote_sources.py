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


def test_no_remote_overtakes_a_node_of_a_local_source(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@9.0.0")
    for sync in ("needed", "all"):
        user = make_project(f"user-{sync}")
        user.add("tool", version="1.0.0")
        user.add("app", dependencies=["tool://test.tool@>=1"])
        remotes(user, {"url": str(theirs), "sync": sync})
        user.write(
            "onex.toml", (user.root / "onex.toml").read_text() + '[[sources]]\npath = "nodes"\n'
        )
        assert user.onex_here("scan").code == 0
        assert chosen(user, "tool") == "1.0.0"
        assert chosen(user, "tool://test.tool") == "1.0.0"
        done = user.onex_here("resolve", "app", "--json")
        assert done.json["selected"]["tool://test.tool"] == "1.0.0"


def test_a_node_that_comes_to_a_source_which_goes_before_is_given_up(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    low, high = tree("tool@9.0.0"), tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(low), "name": "low"})
    assert chosen(user, "tool") == "9.0.0"
    # Another remote goes before it now, or the namespace is bound to one.
    for members in ({"priority": 5}, {"namespaces": ["test"]}):
        other = make_project(f"user-{next(iter(members))}")
        remotes(other, {"url": str(low), "name": "low"})
        assert chosen(other, "tool") == "9.0.0"
        remotes(
            other, {"url": str(low), "name": "low"}, {"url": str(high), "name": "high"} | members
        )
        other.onex_here("scan")
        assert chosen(other, "tool://test.tool") == "1.0.0"
    user.add("tool", version="0.5.0")
    user.write("onex.toml", (user.root / "onex.toml").read_text() + '[[sources]]\npath = "nodes"\n')
    user.onex_here("scan")
    assert chosen(user, "tool") == "0.5.0"


def test_a_remote_with_all_of_its_nodes_waits_for_those_that_go_before(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    low, high = tree("tool@9.0.0"), tree("tool@1.0.0")
    away = high.rename(high.with_name("away"))
    user = make_project("user")
    remotes(user, {"url": str(high)}, {"url": str(low), "sync": "all"})
    user.onex_here("scan")
    assert chosen(user, "tool") is None
    away.rename(high)
    user.onex_here("remote", "sync")
    assert chosen(user, "tool") == "1.0.0"


def test_a_short_name_is_found_where_its_namespace_is_bound(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    evil, good = tree("tool@9.0.0"), tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(evil), "priority": 9}, {"url": str(good), "namespaces": ["test"]})
    assert chosen(user, "tool") == "1.0.0"


def test_a_remote_that_was_renamed_keeps_its_nodes(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs), "name": "hub"})
    assert chosen(user, "tool") == "1.0.0"
    remotes(user, {"url": str(theirs), "name": "central"})
    done = user.onex_here("run", "tool", "--json")
    assert done.code == 0, done.stdout


def lines_of(folder: Path) -> Path:
    return folder / "index/tool/test/tool.jsonl"


def note_change(folder: Path, serial: int) -> None:
    """Let a tree say that the node changed with a further entry of its log."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"serial": serial}))
    with (folder / "changes").open("a") as feed:
        for number in range(config["serial"] + 1, serial + 1):
            change = {
                "serial": number,
                "node": "tool://test.tool",
                "version": "1.0.0",
                "action": "node.updated",
            }
            feed.write(json.dumps(change) + "\n")


def test_published_content_that_changes_or_vanishes_is_not_taken(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs, other = tree("tool@1.0.0", "tool@1.1.0"), tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    digest = user.onex_here("show", "tool@1.0.0", "--json").json["digest"]
    for blob in other.rglob("blobs/sha256/*/*"):
        target = theirs / blob.relative_to(other)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(blob.read_bytes())
    lines_of(theirs).write_bytes(lines_of(other).read_bytes())
    note_change(theirs, 9)
    done = user.onex_here("remote", "sync")
    assert "has other files now" in done.stderr
    assert "not listed any more" in done.stderr or done.code == 1
    assert user.onex_here("show", "tool@1.0.0", "--json").json["digest"] == digest
    assert chosen(user, "tool") == "1.1.0"


def test_a_file_that_cannot_be_read_is_read_again(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0", "tool@1.1.0")
    whole = lines_of(theirs).read_bytes()
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    for spoiled in (b"<html>\n", whole.replace(b'"schema":1', b'"schema":{}', 1)):
        lines_of(theirs).write_bytes(spoiled)
        chosen(user, "tool")
        lines_of(theirs).write_bytes(whole)
        assert chosen(user, "tool") == "1.1.0"
    lines_of(theirs).unlink()
    other = make_project("other")
    remotes(other, {"url": str(theirs)})
    assert chosen(other, "tool") is None
    lines_of(theirs).write_bytes(whole)
    assert chosen(other, "tool") == "1.1.0"


def test_a_feed_that_lags_behind_loses_nothing(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    assert chosen(user, "tool") == "1.0.0"
    newer = tree("tool@1.0.0", "tool@2.0.0")
    config = json.loads((theirs / "config.json").read_text())
    (theirs / "config.json").write_text(json.dumps(config | {"serial": config["serial"] + 2}))
    done = user.onex_here("remote", "sync")
    assert "ends before" in done.stderr
    line = lines_of(newer).read_bytes().splitlines(keepends=True)[1]
    lines_of(theirs).write_bytes(lines_of(theirs).read_bytes() + line)
    with (theirs / "changes").open("a") as feed:
        for number in (1, 2):
            change = {"serial": config["serial"] + number, "node": "tool://test.tool"}
            feed.write(json.dumps(change) + "\n")
    assert chosen(user, "tool") == "2.0.0"


def test_another_registry_at_the_same_place_is_refused(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    assert chosen(user, "tool") == "1.0.0"
    config = json.loads((theirs / "config.json").read_text())
    (theirs / "config.json").write_text(json.dumps(config | {"registry": "another"}))
    done = user.onex_here("remote", "sync")
    assert done.code == 1
    assert "another registry" in done.stderr
    assert user.onex_here("run", "tool", "--json").json["success"]


def test_a_remote_that_fails_is_named_when_something_is_not_found(make_project: Make) -> None:
    user = make_project("user")
    remotes(user, {"url": str(user.root / "absent")})
    for _ in range(2):
        done = user.onex_here("resolve", "tool")
        assert done.code == 3
        assert "absent is not there" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:abc/", "http://[::1", "http://.../", "http://a b/", "http://host/?q=1", "ftp://x/",
     "http://user:s3cret@host/", "http://host:0/", "http://\n/", "https://"],
)  # fmt: skip
def test_a_url_that_is_none_is_not_declared(make_project: Make, url: str) -> None:
    user = make_project("user")
    before = (user.root / "onex.toml").read_text()
    done = user.onex_here("remote", "add", url, "--name", "hub")
    assert done.code == 2, done.stderr
    assert (user.root / "onex.toml").read_text() == before
    assert "s3cret" not in done.stdout + done.stderr


def test_variables_of_tokens_are_not_mixed_up(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    user = make_project("user")
    remotes(
        user,
        {"name": "my-hub", "url": "http://127.0.0.1:9/"}, {"name": "my.hub", "url": "http://127.0.0.1:9/x"},
    )  # fmt: skip
    user.environment["ONEX_TOKEN_MY_HUB"] = "onex_secret"
    done = user.onex_here("remote", "check")
    assert "may be meant for several" in done.stdout
    assert "onex_secret" not in done.stdout + done.stderr


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
    done = user.onex_here(
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
    done = user.onex_here("run", "tool", "--json")
    assert done.code == 5
    assert done.json["error"]["code"] == "SEC006"
    assert user.onex_here("grant", "approve", "tool").code == 0
    assert user.onex_here("run", "tool", "--json").json["success"]


def test_locks_hold_remote_nodes_to_their_digests(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0", "tool@1.1.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    user.workflow({"a": {"node": "tool://test.tool@<1.1"}})
    assert user.onex_here("lock").code == 0
    done = user.onex_here("run", user.root / "test.workflow.yaml", "--json")
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


def test_a_node_that_was_run_runs_again_without_its_archive_and_its_remote(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    import shutil

    theirs = tree("tool@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs)})
    assert user.onex_here("run", "tool", "--json").json["success"]
    shutil.rmtree(user.root / "home" / "cache")
    theirs.rename(theirs.with_name("away"))
    done = user.onex_here("run", "tool", "--no-cache", "--json")
    assert done.code == 0, done.stdout
    # What was unpacked is proved again: a change of it is not run.
    for file in user.home.glob("nodes/onex_node_*/node.py"):
        file.chmod(0o644)
        file.write_text("def execute(context):\n    return 'changed'\n")
    done = user.onex_here("run", "tool", "--no-cache", "--json")
    assert done.code != 0


def test_two_projects_of_one_registry_may_call_a_remote_by_two_names(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0")
    one, two = make_project("one"), make_project("two")
    remotes(one, {"url": str(theirs), "name": "hub"})
    remotes(two, {"url": str(theirs), "name": "central"})
    two.environment["ONEX_HOME"] = str(one.home)
    assert chosen(one, "tool") == "1.0.0"
    done = two.onex_here("run", "tool://test.tool", "--json")
    assert done.code == 0, done.stdout


def test_what_one_visit_cannot_read_the_next_one_reads(
    make_project: Make, tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onex.discovery import remote as remote_discovery

    monkeypatch.setattr(remote_discovery, "PATHS_AT_ONCE", 1)
    monkeypatch.setattr(remote_discovery, "MAXIMUM_FILES", 1)
    theirs = tree("a@1.0.0", "b@1.0.0", "c@1.0.0", "d@1.0.0", "e@1.0.0")
    user = make_project("user")
    remotes(user, {"url": str(theirs), "sync": "all"})
    seen = []
    for _ in range(4):
        user.onex_here("scan")
        seen.append(len(user.onex_here("list", "--json").json["nodes"]))
    assert seen[0] < 5
    assert seen == sorted(seen)
    assert seen[-1] == 5


def test_a_folder_is_declared_as_it_is_named_from_where_one_stands(
    make_project: Make, tree: Callable[..., Path]
) -> None:
    theirs = tree("tool@1.0.0")
    user = make_project("user")
    inner = user.root / "inner"
    inner.mkdir()
    stick = inner / "stick"
    theirs.rename(stick)
    import subprocess

    done = subprocess.run(
        user.command("remote", "add", "stick", "--name", "stick"), cwd=inner, env=user.environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert chosen(user, "tool") == "1.0.0"

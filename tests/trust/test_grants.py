"""Grants, as a user decides on them: asked for, shown, kept, refused, revoked."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.grant import Grant, RunGrants, decide
from onex.domain.permission import Permission
from onex.domain.reference import NodeId
from onex.sandbox.availability import why_not_strict
from tests.conftest import Project

UNTRUSTED = '[[sources]]\npath = "nodes"\ntrusted = false\n'
READ = "import os\ndef execute(context, *, path):\n    return open(path).read()\n"

needs_strict = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)


@pytest.fixture
def stranger(project: Project) -> Project:
    """A project with a node of a source that is not trusted, which asks for a folder."""
    project.write("onex.toml", UNTRUSTED)
    data = project.root / "data"
    data.mkdir()
    project.write("data/x.txt", "ex")
    project.add("read", READ, capabilities=[f"file.read:{data}/**"])
    return project


def run(project: Project, *arguments: str):
    path = project.root / "data" / "x.txt"
    return project.onex_here("run", "read", "-i", f"path={path}", *arguments, "--format", "json")


@needs_strict
def test_without_a_terminal_it_is_refused_with_the_command_that_grants_it(
    stranger: Project,
) -> None:
    refused = run(stranger)
    assert (refused.code, refused.json["error"]["code"]) == (5, "SEC006")
    assert "may read everything below" in refused.json["error"]["message"]
    assert "onex grant approve tool://test.read@1.0.0" in refused.json["error"]["hint"]
    listed = stranger.onex_here("grant", "list", "--json").json
    assert listed["grants"] == []
    (pending,) = listed["pending"]
    assert pending["node"] == "tool://test.read@1.0.0"
    assert pending["requested"] == pending["missing"] == [f"file.read:{stranger.root}/data/**"]
    with stranger.registry() as registry:
        refusal = [e for e in registry.storage.events() if e.action == "node.run"]
        assert refusal[0].outcome == "refused"
    assert stranger.onex_here("grant", "approve", "read").code == 0
    assert run(stranger).json["outputs"] == {"result": "ex"}
    listed = stranger.onex_here("grant", "list", "--json").json
    assert listed["pending"] == []
    assert listed["grants"][0]["permissions"] == [f"file.read:{stranger.root}/data/**"]
    assert listed["grants"][0].keys() >= {"node", "digest", "permissions", "by", "at"}
    assert stranger.onex_here("grant", "revoke", "tool://test.read").code == 0
    assert run(stranger).code == 5
    assert stranger.onex_here("grant", "revoke", "test.read").code == 2


@needs_strict
def test_a_version_that_asks_for_more_is_asked_about_and_less_is_not(stranger: Project) -> None:
    stranger.onex_here("scan")
    stranger.onex_here("grant", "approve", "read")
    data = stranger.root / "data"
    stranger.add("read", READ, version="1.1.0", capabilities=[f"file.read:{data}/x.txt"])
    assert run(stranger).json["outputs"] == {"result": "ex"}
    more = [f"file.read:{data}/**", "network.connect:api.example.org:443"]
    stranger.add("read", READ, version="1.2.0", capabilities=more)
    refused = run(stranger).json["error"]
    assert refused["pending"][0]["missing"] == more[1:]
    assert "asks for more than it was granted" in refused["message"]
    assert "may connect to api.example.org:443" in refused["message"]
    some = stranger.onex_here("grant", "approve", "read", "--permission", "file.read:/etc/**")
    assert some.code == 2


@needs_strict
def test_what_is_allowed_or_denied_for_a_run_holds_for_it_alone_and_is_recorded(
    stranger: Project,
) -> None:
    data = stranger.root / "data"
    done = run(stranger, "--allow", f"file.read:{data}/**")
    assert done.json["outputs"] == {"result": "ex"}
    assert run(stranger).code == 5
    shown = stranger.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    assert shown["plan"]["access"]["allowed"] == [f"file.read:{data}/**"]
    with stranger.registry() as registry:
        entries = [e.facts for e in registry.storage.events() if e.action == "run.access"]
    assert entries[0]["allowed"] == [f"file.read:{data}/**"]
    stranger.onex_here("grant", "approve", "read")
    denied = run(stranger, "--deny", f"file.read:{data}/x.txt").json
    error = denied["steps"]["node"]["error"]
    assert error["code"] == "EXE001"
    assert f"file.read:{data}/x.txt" in error["hint"]
    (stranger.root / "alias").symlink_to(data)
    denied = run(stranger, "--deny", f"file.read:{stranger.root}/alias/x.txt").json
    assert denied["status"] == "failed", "a link is another name of the same"


@needs_strict
def test_a_stranger_runs_unconfined_only_if_the_user_names_it(stranger: Project) -> None:
    stranger.onex_here("scan")
    stranger.onex_here("grant", "approve", "read")
    refused = run(stranger, "--isolation", "process")
    assert (refused.code, refused.json["error"]["code"]) == (5, "SEC003")
    assert "--allow-unsandboxed tool://test.read" in refused.json["error"]["hint"]
    done = run(stranger, "--allow-unsandboxed", "read").json
    assert done["steps"]["node"]["isolation"] == "process"
    assert run(stranger, "--allow-unsandboxed", "other").code == 2


@needs_strict
def test_at_a_terminal_the_user_is_asked_in_plain_words(stranger: Project) -> None:
    path = stranger.root / "data" / "x.txt"
    for answer, code in ((b"n\n", 5), (b"y\n", 0)):
        host, terminal = pty.openpty()
        process = subprocess.Popen(
            stranger.command("run", "read", "-i", f"path={path}"), cwd=stranger.root,
            env=stranger.environment, stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        said, until = b"", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if select.select([host], [], [], 0.1)[0]:
                try:
                    said += os.read(host, 4096)
                except OSError:
                    break
                if said.rstrip().endswith(b"[y/N]:"):
                    os.write(host, answer)
        assert process.wait(60) == code, said
        os.close(host)
        assert b"may read everything below" in said
        assert b"Grant it that?" in said


@needs_strict
@pytest.mark.parametrize(
    "resource", ["/**", "/proc/**", "/dev/sda", "STATE/**", "LINK/**", "HOME/**"]
)
def test_what_would_open_too_much_is_granted_to_nobody(project: Project, resource: str) -> None:
    (project.root / "link").symlink_to(project.root / "nodes")
    resource = (
        resource.replace("STATE", str(project.home)).replace("LINK", f"{project.root}/link")
    ).replace("HOME", str(project.root / "home"))
    project.add("a", capabilities=[f"file.read:{resource}"])
    project.write("onex.toml", UNTRUSTED)
    before = os.environ.get("HOME")
    refused = project.onex("run", "a", "--allow", f"file.read:{resource}", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (5, "SEC007"), before
    assert project.onex("grant", "approve", "a").code == 5


@needs_strict
def test_variables_are_permissions_too(project: Project) -> None:
    code = "import os\ndef execute(context):\n    return os.environ.get('MINE')\n"
    project.add("env", code, environment=["MINE"])
    project.write("onex.toml", UNTRUSTED)
    project.environment["MINE"] = "value"
    refused = project.onex_here("run", "env", "--format", "json")
    assert "may read the environment variable MINE" in refused.json["error"]["message"]
    project.onex_here("grant", "approve", "env")
    done = project.onex_here("run", "env", "--format", "json").json
    assert done["outputs"] == {"result": "value"}
    denied = project.onex_here("run", "env", "--deny", "environment.read:MINE", "--format", "json")
    assert denied.json["outputs"] == {"result": None}


PERMISSIONS = st.sampled_from(
    [Permission.parse(text) for text in (
        "file.read:/a/**", "file.read:/a/b", "file.read:/c", "file.write:/a/**",
        "network.connect:*.x.org", "network.connect:api.x.org:443", "secret.access:S",
    )]
)  # fmt: skip


@given(
    st.lists(PERMISSIONS),
    st.lists(PERMISSIONS),
    st.lists(PERMISSIONS),
    st.lists(PERMISSIONS),
    st.booleans(),
)
def test_nothing_is_granted_that_nobody_asked_for_allowed_or_that_was_denied(
    requested: list[Permission], held: list[Permission], allowed: list[Permission],
    denied: list[Permission], trusted: bool,
) -> None:  # fmt: skip
    grant = Grant(NodeId("tool", "x.y"), "1.0.0", "d", tuple(held), "me", "now")
    found = decide(
        requested, trusted=trusted, grant=grant, for_run=RunGrants(tuple(allowed), tuple(denied))
    )
    assert set(found.granted) | set(found.missing) <= set(requested)
    for permission in found.granted:
        assert trusted or any(h.covers(permission) for h in (*held, *allowed))
        assert not any(d.covers(permission) or permission.covers(d) for d in denied)
    if trusted:
        assert not found.missing


def test_grants_survive_a_copy_and_a_rebuild(stranger: Project, tmp_path: Path) -> None:
    stranger.onex_here("scan")
    stranger.onex_here("grant", "approve", "read")
    before = stranger.onex_here("grant", "list", "--json").json
    assert stranger.onex_here("storage", "rebuild").code == 0
    assert stranger.onex_here("storage", "check").code == 0
    assert stranger.onex_here("grant", "list", "--json").json == before


@needs_strict
def test_a_source_stays_what_it_was_declared_to_be(stranger: Project) -> None:
    """Also if its folder, or one above, is scanned by its path."""
    for place in ("nodes", "."):
        stranger.onex_here("scan", place)
        assert run(stranger).code == 5
    stranger.write("onex.toml", UNTRUSTED.replace("path", 'name = "override"\npath'))
    assert stranger.onex_here("list", "--format", "json").json["error"]["code"] == "CFG001"


@needs_strict
@pytest.mark.parametrize(
    ("granted", "denied"),
    [
        ("file.read:DATA/**", "file.read:DATA/x.txt"),
        ("file.write:DATA/**", "file.read:DATA/x.txt"),
        ("network.connect:*.a.com:443", "network.connect:b.a.com"),
        ("network.connect:b.a.com", "network.connect:*.a.com:443"),
        ("process.execute:git", "process.execute:/usr/bin/git"),
    ],
)
def test_what_is_denied_takes_all_that_would_allow_it(granted: str, denied: str) -> None:
    one, other = (Permission.parse(t.replace("DATA", "/data")) for t in (granted, denied))
    assert one.overlaps(other)
    assert other.overlaps(one)
    found = decide([one], trusted=True, for_run=RunGrants(denied=(other,)))
    assert found.granted == ()
    assert not one.overlaps(Permission.parse("file.read:/other"))


@needs_strict
def test_a_folder_is_granted_as_a_tree_or_not_at_all(project: Project) -> None:
    project.add("a", capabilities=[f"file.read:{project.root}"])
    project.scan()
    refused = project.onex_here("run", "a", "--format", "json")
    assert refused.json["error"]["code"] == "SEC007"
    assert f"file.read:{project.root}/**" in refused.json["error"]["message"]


@needs_strict
def test_what_was_denied_to_a_run_stays_denied_when_it_goes_on(project: Project) -> None:
    data = project.write("data/x.txt", "ex").parent
    project.add("read", READ, capabilities=[f"file.read:{data}/**"])
    project.scan()
    failed = run(project, "--deny", f"file.read:{data}/**").json
    again = project.onex_here("run", "--resume", failed["run_id"], "--format", "json").json
    assert again["status"] == "failed"
    project.add("read", READ + "\n", capabilities=[f"file.read:{data}/**"])
    project.scan()
    accepted = project.onex_here(
        "run", "--resume", failed["run_id"], "--accept-changed", "node", "--format", "json"
    ).json
    assert accepted["status"] == "failed"

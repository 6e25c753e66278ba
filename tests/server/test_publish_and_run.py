"""Two laptops and a server: what one publishes, the other one resolves and runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from onex.domain.metadata import SourceId
from tests.conftest import Project, RegistryServer

Make = Callable[[str], Project]
Serve = Callable[..., RegistryServer]

CODE = "def execute(context, *, who: str = 'world') -> dict:\n    return {'greeting': f'Hello, {who}!'}\n"


@pytest.fixture
def server(make_project: Make, serve: Serve) -> RegistryServer:
    return serve(make_project("server"))


@pytest.fixture
def author(make_project: Make, server: RegistryServer) -> Project:
    project = make_project("author")
    server.declare(project)
    return project


@pytest.fixture
def user(make_project: Make, server: RegistryServer) -> Project:
    project = make_project("user")
    server.declare(project, token=False)
    return project


def published(project: Project, name: str, code: str = CODE, **fields: object) -> dict[str, object]:
    manifest = project.add(name, code, **fields)
    done = project.onex_here("publish", manifest.parent, "--to", "hub", "--json")
    assert done.code == 0, done.stdout + done.stderr
    return done.json


def test_a_node_that_only_the_remote_has_just_runs(
    author: Project, user: Project, server: RegistryServer
) -> None:
    answer = published(author, "greeter", description="Greets.")
    assert answer["node"] == "tool://test.greeter@1.0.0"
    assert answer["created"] is True
    done = user.onex_here("run", "greeter", "-i", "who=Ada", "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["outputs"] == {"result": {"greeting": "Hello, Ada!"}}
    shown = user.onex_here("show", "greeter", "--json").json
    assert shown["digest"] == answer["digest"]
    assert shown["trust"] == "unverified"
    # Without the server it is there all the same, and what is known says how old it is.
    server.stop()
    done = user.onex_here("run", "greeter", "-i", "who=Bob", "--json")
    assert done.json["outputs"] == {"result": {"greeting": "Hello, Bob!"}}
    done = user.onex_here("resolve", "greeter")
    assert done.code == 0
    assert "REM001" not in done.stdout
    assert "min old" in done.stderr


def test_dependencies_are_met_level_by_level_and_nothing_else_is_fetched(
    author: Project, user: Project, server: RegistryServer
) -> None:
    published(author, "leaf")
    published(author, "middle", dependencies=["tool://test.leaf@^1"])
    published(author, "root", dependencies=["middle@^1"])
    published(author, "other")
    done = user.onex_here("resolve", "tool://test.root", "--json").json
    assert done["selected"] == {
        "tool://test.root": "1.0.0", "tool://test.middle": "1.0.0", "tool://test.leaf": "1.0.0",
    }  # fmt: skip
    names = {n["name"] for n in user.onex_here("list", "--json").json["nodes"]}
    assert names == {"root", "middle", "leaf"}


def test_older_versions_that_the_solver_falls_back_to_are_met_too(
    author: Project, user: Project
) -> None:
    published(author, "old", version="1.0.0")
    published(author, "new", version="1.0.0")
    published(author, "tool", version="1.0.0", dependencies=["tool://test.old@^1"])
    published(author, "tool", version="2.0.0", dependencies=["tool://test.new@^7"])
    done = user.onex_here("resolve", "tool://test.tool", "--json").json
    assert done["selected"] == {"tool://test.tool": "1.0.0", "tool://test.old": "1.0.0"}


def test_what_is_published_is_seen_at_once_and_what_changes_is_followed(
    author: Project, user: Project
) -> None:
    published(author, "greeter")
    assert user.onex_here("resolve", "greeter", "--json").json["selected"] == {
        "tool://test.greeter": "1.0.0"
    }
    published(author, "greeter", version="1.1.0")
    assert user.onex_here("resolve", "greeter", "--json").json["selected"] == {
        "tool://test.greeter": "1.1.0"
    }
    done = author.onex_here(
        "yank", "tool://test.greeter@1.1.0", "--reason", "it rhymes", "--to", "hub"
    )
    assert done.code == 0, done.stderr
    assert user.onex_here("resolve", "greeter", "--json").json["selected"] == {
        "tool://test.greeter": "1.0.0"
    }
    assert user.onex_here("show", "greeter@1.1.0", "--json").json["yank_reason"] == "it rhymes"
    author.onex_here("yank", "--undo", "tool://test.greeter@1.1.0", "--to", "hub")
    assert user.onex_here("resolve", "greeter", "--json").json["selected"] == {
        "tool://test.greeter": "1.1.0"
    }
    author.onex_here(
        "lifecycle", "transition", "tool://test.greeter@1.1.0", "active", "--to", "hub"
    )
    assert user.onex_here("resolve", "greeter", "--json").code == 0
    assert user.onex_here("show", "greeter", "--json").json["lifecycle"] == "active"


def test_the_same_files_again_are_a_success_and_others_a_conflict(author: Project) -> None:
    first = published(author, "greeter")
    again = author.onex_here("publish", author.nodes / "greeter-1.0.0", "--to", "hub", "--json")
    assert again.json == first | {"created": False}
    author.add("greeter", CODE + "# changed\n")
    done = author.onex_here("publish", author.nodes / "greeter-1.0.0", "--to", "hub", "--json")
    assert done.code != 0
    assert done.json["error"]["code"] == "PUB002"


def test_a_dry_run_checks_all_and_stores_nothing(author: Project, server: RegistryServer) -> None:
    manifest = author.add("greeter")
    done = author.onex_here("publish", manifest.parent, "--dry-run", "--json")
    assert done.code == 0
    assert server.ask("index/tool/test/greeter.jsonl").status == 404
    broken = author.add("broken", entrypoint="python@absent.py")
    done = author.onex_here("publish", broken.parent, "--dry-run", "--json")
    assert done.json["error"]["code"] == "PUB001"
    assert "absent.py" in done.json["error"]["message"]


def test_a_release_that_breaks_its_callers_is_refused_with_the_field_and_the_callers(
    author: Project, server: RegistryServer
) -> None:
    published(
        author,
        "greeter",
        inputs={"who": {"type": "string"}},
        outputs={"greeting": {"type": "string"}},
    )
    published(author, "caller", dependencies=["tool://test.greeter@^1"])
    breaking = author.add(
        "greeter", version="1.1.0",
        inputs={"who": {"type": "integer"}, "how": {"type": "string"}},
        capabilities=["network.connect:example.org:443"],
    )  # fmt: skip
    done = author.onex_here("publish", breaking.parent, "--to", "hub", "--json")
    error = done.json["error"]
    assert error["code"] == "PUB003"
    for part in ("input who", "how is new", "outputs", "network.connect:example.org:443",
                 "tool://test.caller@1.0.0"):  # fmt: skip
        assert part in error["message"], part
    done = author.onex_here(
        "publish", breaking.parent, "--to", "hub", "--override", "agreed", "--json"
    )
    assert done.json["created"] is True
    lines = server.ask("index/tool/test/greeter.jsonl").lines
    assert [line["override"] for line in lines] == [None, "agreed"]
    major = author.add("greeter", version="2.0.0", inputs={"other": {"type": "string"}})
    assert author.onex_here("publish", major.parent, "--to", "hub").code == 0


def test_the_index_is_addressed_by_digests_and_has_strong_entity_tags(
    author: Project, server: RegistryServer
) -> None:
    published(author, "greeter")
    answer = server.ask("index/tool/test/greeter.jsonl")
    assert answer.headers["etag"].startswith('"')
    again = server.ask("index/tool/test/greeter.jsonl", if_none_match=answer.headers["etag"])
    assert (again.status, again.content) == (304, b"")
    (line,) = answer.lines
    sha256 = line["archive"]["sha256"]
    blob = server.ask(f"blobs/sha256/{sha256[:2]}/{sha256}")
    assert len(blob.content) == line["archive"]["size"]
    assert "immutable" in blob.headers["cache-control"]
    part = server.ask(f"blobs/sha256/{sha256[:2]}/{sha256}", range="bytes=512-1023")
    assert (part.status, part.content) == (206, blob.content[512:1024])
    assert server.ask("names/greeter.jsonl").content == b"tool://test.greeter\n"
    changes = server.ask("changes?since=0").lines
    assert [c["serial"] for c in changes] == list(range(1, len(changes) + 1))
    assert server.ask(f"changes?since={len(changes)}").content == b""
    published(author, "greeter", version="1.0.1")
    assert (
        server.ask("index/tool/test/greeter.jsonl", if_none_match=answer.headers["etag"]).status
        == 200
    )


def test_a_mirror_and_an_export_are_the_same_tree_and_remotes_themselves(
    author: Project, user: Project, server: RegistryServer, make_project: Make
) -> None:
    published(author, "greeter")
    mirror, export = user.root / "mirror", user.root / "export"
    assert user.onex_here("remote", "mirror", "hub", mirror).code == 0
    assert server.project.onex_here("remote", "export", export).code == 0
    trees = [
        {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (mirror, export)
    ]
    assert trees[0] == trees[1]
    server.stop()
    stick = make_project("stick")
    done = stick.onex_here("remote", "add", mirror, "--name", "stick")
    assert done.code == 0, done.stderr
    done = stick.onex_here("run", "greeter", "--json")
    assert done.json["success"], done.stdout
    server.start()
    published(author, "greeter", version="1.1.0")
    assert user.onex_here("remote", "mirror", "hub", mirror).code == 0
    done = stick.onex_here("resolve", "greeter", "--json")
    assert done.json["selected"] == {"tool://test.greeter": "1.1.0"}


def test_nodes_are_shared_between_the_projects_of_a_user_and_collected_when_unused(
    author: Project, user: Project, server: RegistryServer
) -> None:
    published(author, "greeter")
    assert user.onex_here("fetch", "greeter", "--json").json == {
        "nodes": ["tool://test.greeter@1.0.0"], "fetched": 1,
    }  # fmt: skip
    assert user.onex_here("fetch", "greeter", "--json").json["fetched"] == 0
    shutil.rmtree(user.home)
    assert user.onex_here("fetch", "greeter", "--json").json["fetched"] == 0
    done = user.onex_here("cache", "collect", "--unused-days", "0", "--json")
    assert done.json["removed"] == 1
    assert user.onex_here("fetch", "greeter", "--json").json["fetched"] == 1


def test_sync_all_knows_every_node_and_follows_the_feed(
    author: Project, make_project: Make, server: RegistryServer
) -> None:
    reader = make_project("reader")
    server.declare(reader, token=False, sync="all")
    published(author, "one")
    published(author, "two")
    assert reader.onex_here("scan").code == 0
    assert {n["name"] for n in reader.onex_here("list", "--json").json["nodes"]} == {"one", "two"}
    published(author, "three")
    assert reader.onex_here("remote", "sync").code == 0
    assert len(reader.onex_here("list", "--json").json["nodes"]) == 3


def test_search_and_resolution_on_the_server(author: Project, server: RegistryServer) -> None:
    published(author, "greeter", description="Greets politely.")
    found = author.onex_here("search", "politely", "--remote", "hub", "--json").json
    assert [node["name"] for node in found["nodes"]] == ["greeter"]
    answer = server.ask("api/v1/resolve", method="POST", body={"references": ["greeter@^1"]})
    assert answer.json["selected"] == {"tool://test.greeter": "1.0.0"}
    answer = server.ask("api/v1/resolve", method="POST", body={"references": ["greeter@^2"]})
    assert (answer.status, answer.json["code"]) == (422, "RES001")
    assert "explanation" in answer.json
    assert json.loads(answer.content)["type"] == "urn:onex:RES001"


def test_what_the_index_says_of_a_node_is_held_against_its_manifest(
    author: Project, user: Project, server: RegistryServer
) -> None:
    published(author, "greeter", capabilities=["network.connect:example.org:443"])
    mirror = user.root / "mirror"
    user.onex_here("remote", "mirror", "hub", mirror)
    file = mirror / "index/tool/test/greeter.jsonl"
    line = json.loads(file.read_text())
    line["metadata"]["permissions"] = []
    file.write_text(json.dumps(line) + "\n")
    user.write("onex.toml", f'[[sources]]\nname = "stick"\nkind = "remote"\nurl = "{mirror}"\n')
    done = user.onex_here("run", "greeter", "--json")
    assert done.code == 5
    assert done.json["error"]["code"] == "SEC010"
    assert "permissions" in done.json["error"]["message"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "PASSWORD=x\n"),
        ("keys/server.pem", "x"),
        ("notes.txt", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ("settings.py", "TOKEN = 'TOKEN'\n"),
    ],
)
def test_what_nobody_means_to_publish_stays_here(
    author: Project, server: RegistryServer, name: str, content: str
) -> None:
    manifest = author.add("greeter")
    file = manifest.parent / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content.replace("'TOKEN'", repr(server.token)))
    done = author.onex_here("publish", manifest.parent, "--to", "hub", "--json")
    assert done.json["error"]["code"] == "PUB001"
    assert name in done.json["error"]["message"]
    (manifest.parent / ".onexignore").write_text(f"all:\n  patterns: [{name!r}]\n")
    assert author.onex_here("publish", manifest.parent, "--to", "hub", "--json").json["created"]


def test_a_clock_that_is_wrong_by_an_hour_changes_nothing(
    author: Project, user: Project, server: RegistryServer
) -> None:
    import os
    import time

    published(author, "greeter")
    assert user.onex_here("resolve", "greeter").code == 0
    # A note of a failure from the future must not keep a remote away, nor make ages negative.
    notes = user.root / "home" / "cache" / "unavailable"
    notes.mkdir(exist_ok=True)
    with user.registry() as registry:
        remote = registry.remotes.remote("hub")
        note = registry.remotes.note_file("unavailable", remote)
    note.write_text("it was away")
    os.utime(note, (time.time() + 3600, time.time() + 3600))
    done = user.onex_here("resolve", "greeter")
    assert done.code == 0
    assert "away" not in done.stderr
    with user.registry() as registry:
        writer = registry.storage
        folders = writer.folders(SourceId("hub", registry.sources.workspace.name))
        seen = folders["config.json"]
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
        with writer.writing() as transaction:
            transaction.remember_folders(
                SourceId("hub", registry.sources.workspace.name), [seen._replace(folders=later)], []
            )
    (listed,) = user.onex_here("remote", "list", "--json").json["remotes"]
    assert listed["age_seconds"] == 0
    assert user.onex_here("resolve", "greeter").code == 0


def test_a_cache_between_that_is_behind_is_told(author: Project, server: RegistryServer) -> None:
    published(author, "greeter")
    with author.registry() as registry:
        registry.remotes.note_published(registry.remotes.remote("hub"), 10_000)
    done = author.onex_here("resolve", "greeter")
    assert done.code == 0
    assert "you published with entry 10000" in done.stderr


@pytest.mark.slow
def test_a_workflow_takes_its_nodes_from_two_servers(
    make_project: Make, serve: Serve, author: Project, server: RegistryServer
) -> None:
    other, second = make_project("other"), serve(make_project("second"))
    second.declare(other, name="far")
    leaf = other.add("leaf", "def execute(context, *, x: int) -> int:\n    return x + 1\n")
    assert other.onex_here("publish", leaf.parent, "--to", "far").code == 0
    published(
        author,
        "root",
        "def execute(context) -> int:\n    return 41\n",
        dependencies=["tool://test.leaf@^1"],
    )
    user = make_project("both")
    server.declare(user, token=False)
    second.declare(user, name="far", token=False)
    user.workflow(
        {
            "a": {"node": "tool://test.root"},
            "b": {"node": "tool://test.leaf@^1", "with": {"x": "${{ steps.a }}"}},
        },
        outputs={"b": "${{ steps.b }}"},
    )
    done = user.onex_here("run", user.root / "test.workflow.yaml", "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["outputs"]["b"] == 42
    # One of them away costs a warning, and nothing of what is known.
    second.stop()
    done = user.onex_here("run", user.root / "test.workflow.yaml", "--no-cache", "--json")
    assert done.json["outputs"]["b"] == 42


def test_answers_of_the_interface_are_compressed_and_conditional(
    author: Project, server: RegistryServer
) -> None:
    import gzip

    published(author, "greeter", description="long " * 500)
    plain = server.ask("api/v1/nodes")
    packed = server.ask("api/v1/nodes", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    etag = plain.headers["etag"]
    assert packed.headers["etag"] == etag
    for encoding in ("identity", "gzip"):
        again = server.ask("api/v1/nodes", accept_encoding=encoding, if_none_match=etag)
        assert (again.status, again.content, again.headers["etag"]) == (304, b"", etag)
    refused = server.ask("api/v1/tokens", if_none_match="*")
    assert refused.status == 401
    published(author, "other")
    assert server.ask("api/v1/nodes", if_none_match=etag).status == 200

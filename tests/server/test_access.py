"""Who may do what on a server: private namespaces, roles, tokens that end, and the log of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, Project, RegistryServer

Make = Callable[[str], Project]
Serve = Callable[..., RegistryServer]


@pytest.fixture
def server(make_project: Make, serve: Serve) -> RegistryServer:
    """A server with a public and a private node, the second of which needs the first."""
    project = make_project("server")
    project.write("onex.toml", '[server]\nprivate_namespaces = ["test.secret.*"]\n')
    project.onex_here("publish", "--here", project.add("open").parent)
    for name, namespace in (("hush", "test.secret.hush"), ("deep", "test.secret.x.deep")):
        manifest = project.add(
            name, namespace=namespace, description="confidential", tags=["whisper"],
            dependencies=["tool://test.open"],
        )  # fmt: skip
        assert project.onex_here("publish", "--here", manifest.parent).code == 0
    return serve(project)


def new_token(server: RegistryServer, role: str, *namespaces: str, **members: object) -> str:
    body = {"name": role, "role": role, "namespaces": list(namespaces) or ["*"]} | members
    answer = server.ask("api/v1/tokens", method="POST", token=server.token, body=body)
    assert answer.status == 201, answer.content
    return str(answer.json["token"])


def everything(server: RegistryServer, token: str | None) -> dict[str, Answer]:
    """Every way in which a reader could learn of the private nodes."""
    asked = [
        "config.json", "changes?since=0", "index/tool/test/secret/hush.jsonl",
        "index/tool/test/secret/absent.jsonl", "names/hush.jsonl", "names/test/secret/hush.jsonl",
        "api/v1", "api/v1/nodes", "api/v1/nodes?pattern=hush", "api/v1/nodes?tag=whisper",
        "api/v1/nodes?all_versions=true&limit=1", "api/v1/nodes?namespace=test.secret",
        "api/v1/search?q=confidential", "api/v1/search?q=hush", "api/v1/search?q=husj",
        "api/v1/facets", "api/v1/nodes/tool/test.open", "api/v1/nodes/tool/test.secret.hush",
        "api/v1/nodes/tool/test.secret.hush/1.0.0", "api/v1/nodes/tool/test.secret.hush/1.0.0/history",
        "api/v1/nodes/tool/test.secret.hush/1.0.0/impact", "api/v1/nodes/tool/test.open/1.0.0/impact",
    ]  # fmt: skip
    answers = {path: server.ask(path, token=token) for path in asked}
    for reference in ("hush", "tool://test.secret.hush", "husk"):
        answers[f"resolve {reference}"] = server.ask(
            "api/v1/resolve", method="POST", token=token, body={"references": [reference]}
        )
    return answers


def test_a_private_node_shows_nowhere_to_those_without_a_token_for_it(
    server: RegistryServer,
) -> None:
    reader = new_token(server, "reader", "test.secret")
    seen = everything(server, reader)
    assert seen["index/tool/test/secret/hush.jsonl"].status == 200
    assert seen["resolve hush"].json["selected"]["tool://test.secret.hush"] == "1.0.0"
    blob = seen["index/tool/test/secret/hush.jsonl"].lines[0]["archive"]["sha256"]
    assert server.ask(f"blobs/sha256/{blob[:2]}/{blob}", token=reader).status == 200
    assert server.ask(f"blobs/sha256/{blob[:2]}/{blob}").status == 404
    for stranger in (
        None,
        new_token(server, "admin", "other"),
        new_token(server, "reader", "test.open"),
    ):
        for path, answer in everything(server, stranger).items():
            told = answer.content.decode()
            for secret in ("confidential", "whisper", "deep", "secret.x", blob):
                assert secret not in told, (path, told)
            # What was asked may be said again, and nothing else.
            if "hush" not in path and "secret" not in path:
                assert "hush" not in told, (path, told)
            assert answer.status < 500


def test_forbidden_and_absent_have_one_answer(server: RegistryServer) -> None:
    for path in (
        "index/tool/test/secret/{}.jsonl", "names/{}.jsonl", "api/v1/nodes/tool/test.secret.{}",
        "api/v1/nodes/tool/test.secret.{}/1.0.0", "api/v1/nodes/tool/test.secret.{}/1.0.0/impact",
    ):  # fmt: skip
        there, absent = server.ask(path.format("hush")), server.ask(path.format("hist"))
        assert there.status == absent.status == 404
        assert there.content.replace(b"hush", b"hist") == absent.content
        volatile = {"date", "x-request-id"}
        assert {k: v for k, v in there.headers.items() if k not in volatile} == {
            k: v for k, v in absent.headers.items() if k not in volatile
        }


def test_each_role_does_what_it_may_and_nothing_more(server: RegistryServer) -> None:
    project = server.project
    archive = publishable(project, "fresh")
    tokens = {
        role: new_token(server, role, "test") for role in ("reader", "publisher", "maintainer")
    }
    tokens["elsewhere"] = new_token(server, "admin", "other")

    def publish(token: str | None) -> int:
        return server.ask(
            "api/v1/nodes/tool/test.fresh/1.0.0", method="PUT", token=token, content=archive,
            content_type="application/x-tar",
        ).status  # fmt: skip

    def decide(token: str | None) -> int:
        path = "api/v1/nodes/tool/test.open/1.0.0/yank"
        return server.ask(path, method="POST", token=token, body={"yanked": True}).status

    def administer(token: str | None) -> int:
        return server.ask("api/v1/tokens", token=token).status

    assert [publish(tokens["reader"]), publish(tokens["elsewhere"]), publish(None)] == [
        403,
        403,
        401,
    ]
    assert [publish(tokens["publisher"]), publish(tokens["publisher"])] == [201, 200]
    assert [decide(tokens["publisher"]), decide(None), decide(tokens["maintainer"])] == [
        403,
        401,
        200,
    ]
    assert [administer(t) for t in (*tokens.values(), None)] == [403, 403, 403, 403, 401]
    assert administer(server.token) == 200


def publishable(project: Project, name: str) -> bytes:
    from onex.remote.publisher import pack_folder

    return pack_folder(project.add(name)).archive


def test_a_token_is_good_for_nothing_at_once_when_it_is_revoked(server: RegistryServer) -> None:
    token = new_token(server, "reader", "test.secret")
    (found,) = [
        t
        for t in server.ask("api/v1/tokens", token=server.token).json["tokens"]
        if t["role"] == "reader"
    ]
    path = "index/tool/test/secret/hush.jsonl"
    assert server.ask(path, token=token).status == 200
    answer = server.ask(f"api/v1/tokens/{found['id']}", method="DELETE", token=server.token)
    assert answer.json["revoked"]
    for asked in (path, "api/v1/nodes", "config.json", "changes?since=0"):
        assert server.ask(asked, token=token).status == 401
    # As well if it is revoked by a command on the machine itself.
    other = new_token(server, "reader", "test.secret")
    (found,) = [t for t in server.project.onex_here("token", "list", "--json").json["tokens"]
                if t["role"] == "reader" and not t["revoked"]]  # fmt: skip
    assert server.project.onex_here("token", "revoke", found["id"]).code == 0
    assert server.ask("api/v1/nodes", token=other).status == 401


def test_every_refusal_is_in_the_log_with_its_reason_and_its_address(
    server: RegistryServer,
) -> None:
    server.ask("index/tool/test/secret/hush.jsonl")
    server.ask("api/v1/nodes/tool/test.secret.hush")
    server.ask("api/v1/tokens", token=new_token(server, "reader", "test"))
    server.ask("api/v1/nodes/tool/test.open/1.0.0/yank", method="POST", body={})
    server.ask("api/v1/nodes", token="onex_nonsense")
    done = server.project.onex_here("audit", "log", "--outcome", "refused", "--json")
    told = [(e["actor"].partition("@")[0], e["action"], e["object"]) for e in done.json["events"]]
    assert ("anonymous", "access.read", "index/tool/test/secret/hush.jsonl") in told
    assert ("anonymous", "access.read", "tool://test.secret.hush") in told
    assert ("anonymous", "access.decide", "tool://test.open@1.0.0") in told
    assert any(
        action == "access.administer" and actor.startswith("tok_") for actor, action, _ in told
    )
    assert ("anonymous", "access.authenticate", "registry") in told
    assert all(
        e["actor"].endswith("@127.0.0.1") and e["body"]["reason"] for e in done.json["events"]
    )
    assert server.project.onex_here("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"host": "127.0.0.1.evil.example"}, 421), ({"host": ""}, 421),
     ({"host": "localhost"}, 200), ({"host": "LOCALHOST:1"}, 200), ({"origin": "https://evil.example"}, 403),
     ({"origin": "null"}, 403)],
)  # fmt: skip
def test_other_hosts_and_pages_of_other_sites_are_refused(
    shared: RegistryServer, headers: dict[str, str], status: int
) -> None:
    for path in ("config.json", "api/v1"):
        answer = shared.ask(path, **headers)
        assert answer.status == status
        assert "access-control-allow-origin" not in answer.headers


def test_no_refusal_and_no_decision_names_what_the_caller_may_not_see(
    server: RegistryServer,
) -> None:
    from onex.remote.publisher import pack_folder

    project = server.project
    token = new_token(server, "maintainer", "test.open")
    breaking = pack_folder(
        project.add("open", version="1.1.0", inputs={"x": {"type": "string"}})
    ).archive
    answer = server.ask(
        "api/v1/nodes/tool/test.open/1.1.0?dry_run=true", method="PUT", token=token,
        content=breaking, content_type="application/x-tar",
    )  # fmt: skip
    assert answer.json["code"] == "PUB003"
    assert b"secret" not in answer.content
    for replacement in ("tool://test.secret.hush", "hush", "husk", "tool://test.secret.hush@^7"):
        answer = server.ask(
            "api/v1/nodes/tool/test.open/1.0.0/lifecycle", method="POST", token=token,
            body={"lifecycle": "archived", "deprecated_by": replacement},
        )  # fmt: skip
        assert answer.status == 404, answer.content
        assert b"hush" not in answer.content.replace(replacement.partition("@")[0].encode(), b"")


def test_a_token_for_a_part_of_a_private_namespace_sees_that_part_everywhere(
    server: RegistryServer,
) -> None:
    token = new_token(server, "reader", "test.secret.x")
    seen = everything(server, token)
    listed = [node["namespace"] for node in seen["api/v1/nodes"].json["nodes"]]
    assert listed == ["test.open", "test.secret.x.deep"]
    assert seen["api/v1/facets"].json["tag"] == {"whisper": 1}
    named = {change.get("node") for change in seen["changes?since=0"].lines}
    assert named == {None, "tool://test.open", "tool://test.secret.x.deep"}
    answer = server.ask("api/v1/resolve", method="POST", token=token, body={"references": ["deep"]})
    assert answer.json["selected"]["tool://test.secret.x.deep"] == "1.0.0"


def test_a_schema_that_leads_out_of_itself_is_refused_and_nothing_is_fetched(
    server: RegistryServer, tmp_path: Path
) -> None:
    import socket

    from onex.remote.publisher import pack_folder

    (tmp_path / "secret.json").write_text('{"const": "hunter2"}')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1)
        port = listener.getsockname()[1]
        for number, place in enumerate(
            (f"file://{tmp_path}/secret.json", f"http://127.0.0.1:{port}/x")
        ):
            name = f"leading{number}"
            manifest = server.project.add(name, inputs={"a": {"$ref": place, "default": 1}})
            answer = server.ask(
                f"api/v1/nodes/tool/test.{name}/1.0.0", method="PUT", token=server.token,
                content=pack_folder(manifest).archive, content_type="application/x-tar",
            )  # fmt: skip
            assert answer.status == 422
            assert b"hunter2" not in answer.content
            server.project.scan()
            done = server.project.onex_here("run", name, "-i", "a=1")
            assert done.code != 0
            assert "hunter2" not in done.stdout + done.stderr
        with pytest.raises(TimeoutError):
            listener.accept()


def test_what_was_published_cannot_be_forgotten_nor_replaced(server: RegistryServer) -> None:
    from onex.remote.publisher import pack_folder

    project = server.project
    done = project.onex_here("sources", "forget", "published", "--workspace", "")
    assert done.code == 2
    blobs = list((project.home / "published").rglob("blobs/sha256/*/*"))
    line = server.ask("index/tool/test/open.jsonl").lines[0]
    sha256 = line["archive"]["sha256"]
    for blob in blobs:
        blob.unlink()
    assert server.ask(f"blobs/sha256/{sha256[:2]}/{sha256}").status == 404
    # The same files bring a lost archive back; others are refused.
    manifest = project.nodes / "open-1.0.0" / "node.onex.yaml"
    body = pack_folder(manifest).archive
    answer = server.ask(
        "api/v1/nodes/tool/test.open/1.0.0", method="PUT", token=server.token, content=body,
        content_type="application/x-tar",
    )  # fmt: skip
    assert (answer.status, answer.json["created"]) == (200, False)
    assert server.ask(f"blobs/sha256/{sha256[:2]}/{sha256}").content == body


def test_a_public_address_without_tls_is_refused(project: Project) -> None:
    done = project.onex_here("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2
    assert "--insecure" in done.stderr
    assert project.onex_here("serve", "--init", "--port", "70000").code == 2


def test_an_edited_deleted_moved_or_truncated_log_is_found(server: RegistryServer) -> None:
    import sqlite3

    project = server.project
    server.stop()
    exported = project.root / "log.jsonl"
    assert project.onex_here("audit", "export", exported).code == 0
    assert project.onex_here("audit", "verify", "--head", exported).code == 0
    whole = (project.home / "registry.db").read_bytes()
    spoilings = {
        "UPDATE events SET actor = 'nobody' WHERE serial = 2": "entry 2 was changed",
        "DELETE FROM events WHERE serial = 2": "entry 2 is not there",
        "UPDATE events SET serial = CASE serial WHEN 2 THEN 3 ELSE 2 END + 1000 WHERE serial IN (2, 3);"
        "UPDATE events SET serial = serial - 1000 WHERE serial > 1000": "entry 2",
        "DELETE FROM events WHERE serial = (SELECT max(serial) FROM events)": "was exported before",
    }
    for statement, told in spoilings.items():
        for leftover in project.home.glob("registry.db-*"):
            leftover.unlink()
        (project.home / "registry.db").write_bytes(whole)
        with sqlite3.connect(project.home / "registry.db") as connection:
            connection.executescript(statement)
        connection.close()
        done = project.onex_here("audit", "verify", "--head", exported, "--json")
        assert done.code == 5, statement
        assert done.json["valid"] is False
        assert told in done.json["reason"]


def test_the_rules_of_a_registry_hold_wherever_its_server_is_started(
    server: RegistryServer, make_project: Make, serve: Serve
) -> None:
    project = server.project
    state = project.root / ".onex"
    project.home.rename(state)
    elsewhere = make_project("elsewhere")
    elsewhere.environment["ONEX_HOME"] = str(elsewhere.root / "unused")
    started = serve(elsewhere, "--home", str(state), token=server.token)
    assert started.ask("index/tool/test/open.jsonl").status == 200
    assert started.ask("index/tool/test/secret/hush.jsonl").status == 404


def test_the_first_token_is_not_lost_with_a_server_that_could_not_begin(project: Project) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = project.onex_here("serve", "--port", port, "--init", "--json")
    assert done.code == 2
    assert project.onex_here("token", "list", "--json").json["tokens"] == []


def test_an_export_names_nothing_that_was_not_published(project: Project) -> None:
    project.add("beta")
    project.onex_here("publish", "--here", project.add("alpha").parent)
    project.scan()
    folder = project.root / "tree"
    assert project.onex_here("remote", "export", folder, "--json").json["nodes"] == 1
    for path in folder.rglob("*"):
        assert "beta" not in path.name
        assert path.is_dir() or b"beta" not in path.read_bytes()


def test_uses_of_tokens_are_noted_wherever_they_are_used(server: RegistryServer) -> None:
    for _ in range(2):
        assert server.ask("api/v1/nodes", token=server.token).status == 200
    (token,) = server.project.onex_here("token", "list", "--json").json["tokens"]
    assert token["last_used"]


def test_an_impact_tells_nothing_of_what_is_private(server: RegistryServer) -> None:
    project = server.project
    releases = [
        ("open", "2.0.0", []),
        ("public", "1.0.0", ["tool://test.open@^1"]),
        ("public", "1.1.0", ["tool://test.open@^2", "tool://test.secret.other@^3"]),
    ]
    other = project.add("other", version="3.1.4", namespace="test.secret.other")
    project.onex_here("publish", "--here", other.parent)
    for name, version, needs in releases:
        manifest = project.add(name, version=version, dependencies=needs)
        assert project.onex_here("publish", "--here", manifest.parent).code == 0
    path = "api/v1/nodes/tool/test.open/2.0.0/impact"
    full = server.ask(path, token=server.token)
    assert "3.1.4" in full.content.decode()
    entries = {entry["dependant"]: entry for entry in server.ask(path).json["dependants"]}
    assert entries["tool://test.public"]["effect"] == "unresolved"
    assert "secret" not in str(entries)
    assert "3.1.4" not in str(entries)


@pytest.mark.parametrize("pattern", ["test.se*", "*.secret", "", "test.", "."])
def test_a_pattern_that_would_hide_nothing_is_refused(make_project: Make, pattern: str) -> None:
    project = make_project("server")
    project.write("onex.toml", f"[server]\nprivate_namespaces = [{pattern!r}]\n")
    refused = project.onex_here("serve", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "CFG001")

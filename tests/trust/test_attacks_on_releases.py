"""Attacks on releases and owners, each by its name: what is tried, and the sentence that refuses it.

The attacker holds the server, or a mirror: every file of the tree can be another one.
"""

from __future__ import annotations

import base64
import copy
import json
import shutil
from typing import Any

import pytest

from onex.domain.envelope import MAXIMUM_SIGNATURES
from onex.domain.evidence import MAXIMUM_STATEMENTS
from tests.trust.conftest import Origin, Reader

GREETER, OWNERS = "index/tool/test/greeter.jsonl", "owners/test.jsonl"


@pytest.fixture
def owned(origin: Origin, reader: Reader) -> Origin:
    """A published node that an owner signed, which the reader has seen."""
    origin.claim("test", "alice", "--name", "Alice")
    origin.publish("greeter", key="alice")
    origin.export()
    assert reader.resolve("greeter").code == 0
    assert reader.trust_of("greeter") == "verified"
    return origin


def refused(reader: Reader, node: str, *words: str) -> str:
    """That a node can neither be resolved nor run; returns all that was said."""
    resolved = reader.resolve(node)
    assert resolved.code == 3, resolved.stdout
    ran = reader.project.onex_here("run", node)
    assert ran.code in (3, 5)
    told = resolved.stdout + resolved.stderr + ran.stdout + ran.stderr
    for word in words:
        assert word in told, told
    return told


def next_version(origin: Origin, change: Any = lambda line: None) -> None:
    """Have the tree show a version that was never published, made from the one that was."""

    def add(lines: list[Any]) -> None:
        line = copy.deepcopy(lines[-1])
        line["version"] = line["metadata"]["version"] = "1.1.0"
        line["archive"]["sha256"] = "0" * 64
        change(line)
        lines.append(line)

    origin.falsify(GREETER, add)
    append_change(origin, {"node": "tool://test.greeter", "version": "1.1.0", "action": "release.published", "time": "2026-01-01T00:00:00+00:00"})  # fmt: skip


def append_change(origin: Origin, change: dict[str, Any]) -> None:
    """Have the feed tell of a change."""
    config = json.loads(origin.file("config.json").read_text())
    config["serial"] += 1
    origin.file("config.json").write_text(json.dumps(config))
    with origin.file("changes").open("a") as feed:
        feed.write(json.dumps({"serial": config["serial"]} | change) + "\n")


def changed(origin: Origin) -> None:
    append_change(origin, {"node": "tool://test.greeter", "version": "1.0.0", "action": "node.updated", "time": "2026-01-01T00:00:00+00:00"})  # fmt: skip


def test_stolen_server_publishes_a_version_without_a_signature(
    owned: Origin, reader: Reader
) -> None:
    next_version(owned, lambda line: line.update(statements=[], owner=None))
    refused(reader, "greeter@1.1.0", "test has owners, and none of them signed it")
    done = reader.resolve("greeter")
    assert done.code == 0, done.stdout
    assert done.json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_stolen_server_lists_the_archive_of_another_version(owned: Origin, reader: Reader) -> None:
    """What was there must not go, and what is listed with its archive does not come."""
    archive = owned.lines(GREETER)[0]["archive"]
    next_version(owned, lambda line: line.update(archive=archive, statements=[], owner=None))
    assert "is listed with the archive of tool://test.greeter@1.0.0" in reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_stolen_server_signs_with_a_key_of_its_own(owned: Origin, reader: Reader) -> None:
    """The owners that it shows are its own; the reader knows better."""
    mallory = owned.project.root.parent / "mallory"
    shutil.copytree(owned.project.root, mallory)
    other = Origin(type(owned.project)(mallory, owned.project.environment))
    shutil.rmtree(other.project.home)
    shutil.rmtree(other.tree)
    other.claim("test", "mallory")
    other.publish("greeter", key="mallory", version="1.1.0")
    other.export()
    forged = other.lines(GREETER)[0]
    forged["statements"][0]["serial"] = 9
    owned.falsify(GREETER, lambda lines: lines.append(forged | {"serial": 9, "released": 9}))
    shutil.copy(other.file(OWNERS), owned.file(OWNERS))
    append_change(owned, {"owners": "test", "action": "namespace.owners", "time": "2026-01-01T00:00:00+00:00"})  # fmt: skip
    told = reader.visit()
    assert "test has other owners than it had, and the former ones did not appoint them" in told
    refused(reader, "greeter@1.1.0", "test has owners")
    done = reader.resolve("greeter")
    assert done.code == 0, done.stdout
    assert done.json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_signature_removed_to_lower_the_level_of_what_was_seen(
    owned: Origin, reader: Reader
) -> None:
    owned.falsify(GREETER, lambda lines: lines[0].update(statements=[], owner=None))
    changed(owned)
    reader.visit()
    assert reader.trust_of("greeter") == "verified"
    assert reader.project.onex_here("run", "greeter").code == 0


def test_signature_removed_before_anybody_saw_it(origin: Origin, reader: Reader) -> None:
    """A reader who knows nothing of the namespace can only go by a key that is pinned."""
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    origin.falsify(GREETER, lambda lines: lines[0].update(statements=[], owner=None))
    origin.file(OWNERS).unlink()
    reader.project.onex_here("trust", "add", "test", origin.public("alice"))
    refused(reader, "greeter", "a key is pinned for test, and its registry shows no owners of it")


def test_owners_of_a_stranger_that_name_the_pinned_key(origin: Origin, reader: Reader) -> None:
    """Anybody can name a key of somebody else; to have signed with it is another thing."""
    origin.claim("test", "mallory")
    assert origin.change("test", "mallory", "--add", origin.public("alice")).code == 0
    origin.publish("greeter", key="mallory")
    origin.export()
    reader.project.onex_here("trust", "add", "test", origin.public("alice"))
    refused(reader, "greeter", "no key that is pinned for test signed who owns test")


def test_owners_kept_back(origin: Origin, reader: Reader) -> None:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    origin.file(OWNERS).unlink()
    refused(reader, "greeter", "test has owners, and its registry does not show them")


def test_statement_of_another_version(owned: Origin, reader: Reader) -> None:
    next_version(owned)
    refused(
        reader, "greeter@1.1.0", "a statement does not fit: it is about tool://test.greeter@1.0.0"
    )


def test_statement_of_another_namespace(origin: Origin, reader: Reader) -> None:
    origin.claim("test", "alice")
    origin.publish("other", key="alice")
    origin.publish("greeter", key="alice")
    origin.export()
    stolen = origin.lines("index/tool/test/other.jsonl")[0]["statements"]
    origin.falsify(GREETER, lambda lines: lines[0].update(statements=stolen))
    refused(reader, "greeter", "it is about tool://test.other@1.0.0")


def test_signature_over_other_bytes_with_equal_metadata(origin: Origin, reader: Reader) -> None:
    """The archive is another one, with the digest of its own files in the line."""
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    evil = Origin(type(origin.project)(origin.project.root / "evil", origin.project.environment))
    evil.project.nodes.mkdir(parents=True)
    evil.project.write("onex.toml", "")
    evil.publish("greeter", code="def execute(context):\n    return {'greeting': 'evil'}\n")
    evil.export()
    line = evil.lines(GREETER)[0]
    origin.falsify(
        GREETER, lambda lines: lines[0].update(digest=line["digest"], archive=line["archive"])
    )
    shutil.copytree(evil.file("blobs"), origin.file("blobs"), dirs_exist_ok=True)
    refused(reader, "greeter", "it is about other files")


def test_archive_swapped_after_signing(owned: Origin, reader: Reader) -> None:
    archive = owned.lines(GREETER)[0]["archive"]["sha256"]
    file = owned.file(f"blobs/sha256/{archive[:2]}/{archive}")
    file.write_bytes(file.read_bytes().replace(b"Hello", b"Evil!"))
    done = reader.project.onex_here("run", "greeter")
    assert done.code != 0
    assert "is damaged" in done.stdout + done.stderr


def test_permissions_understated_in_the_index(origin: Origin, reader: Reader) -> None:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice", capabilities=["network.connect:example.org"])
    origin.export()
    origin.falsify(GREETER, lambda lines: lines[0]["metadata"].update(permissions=[]))
    refused(reader, "greeter", "it names other permissions")


def test_owner_key_stolen_and_revoked(owned: Origin, reader: Reader) -> None:
    """Mallory signs with Alice's key; Alice revokes it, and signs what is hers with a new one."""
    stolen = owned.publish("greeter", key="alice", version="1.1.0", code="def execute(context):\n    return 1\n")  # fmt: skip
    owned.export()
    reader.resolve("greeter@1.1.0")
    # Each version stays resolvable until the theft is known.
    assert reader.trust_of(stolen["node"]) == "verified"
    ids = [key["id"] for key in owned.change("test", "alice", "--add", owned.public("bob")).json["keys"]]  # fmt: skip
    done = owned.change("test", "bob", "--revoke", ids[0], "--reason", "the laptop was stolen")
    assert done.code == 0, done.stdout
    # The registry itself refuses it from then on.
    assert {n["trust"] for n in owned.run("list", "--all-versions", "--json").json["nodes"]} == {"refused"}  # fmt: skip
    owned.export()
    refused(reader, "greeter@1.1.0", "is revoked: the laptop was stolen")
    assert reader.verify("greeter@1.1.0").code == 5
    owned.run("sign", "greeter@1.0.0", "--here", "--key", owned.key("bob"))
    owned.export()
    reader.visit()
    assert reader.verify("greeter@1.0.0").json["level"] == "verified"
    done = reader.resolve("greeter")
    assert done.code == 0, done.stdout
    assert done.json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_owner_key_revoked_since_a_time(owned: Origin, reader: Reader) -> None:
    """What was signed before the theft holds."""
    before = owned.lines(GREETER)[0]["published_at"]
    owned.publish("greeter", key="alice", version="1.1.0")
    owned.export()
    after = owned.lines(GREETER)[1]["published_at"]
    assert before < after
    ids = [key["id"] for key in owned.change("test", "alice", "--add", owned.public("bob")).json["keys"]]  # fmt: skip
    with owned.project.registry() as registry:
        (known,) = registry.published_owners.all().values()
    assert known.revocation(ids[0], before) is None
    done = owned.change("test", "bob", "--revoke", ids[0], "--since", after[:19] + "+00:00", "--reason", "stolen")  # fmt: skip
    assert done.code == 0
    owned.export()
    reader.visit()
    with owned.project.registry() as registry:
        (known,) = registry.published_owners.all().values()
    assert known.revocation(ids[0], "2020-01-01T00:00:00+00:00") is None
    assert known.revocation(ids[0], after) is not None


def test_owner_key_lost_and_namespace_taken_over(owned: Origin, reader: Reader) -> None:
    """Nobody can appoint others without a key; a reader accepts new owners by saying so alone."""
    done = owned.project.onex_here(
        "trust", "claim", "test", "--here", "--key", owned.key("mallory"), "--json"
    )
    assert done.code == 5
    assert "does not follow from statement 1 about test" in done.stdout
    # The registry is set up anew, with other owners.
    shutil.rmtree(owned.project.home)
    shutil.rmtree(owned.tree)
    owned.claim("test", "mallory")
    owned.publish("greeter", key="mallory", version="2.0.0")
    owned.export()
    identity = json.loads(owned.file("config.json").read_text())["registry"]
    reader.project.onex_here("remote", "remove", "hub")
    reader.declare()
    assert identity
    told = reader.visit() + reader.resolve("greeter@2.0.0").stdout
    assert "test has owners" in told
    assert reader.project.onex_here("trust", "forget", "test").code == 0
    reader.project.onex_here("remote", "sync")
    reader.project.onex_here("scan", "--force")
    assert reader.resolve("greeter@2.0.0").code == 0, reader.resolve("greeter@2.0.0").stdout


def test_namespace_inside_of_an_owned_one_is_claimed(owned: Origin) -> None:
    for space in ("test.inner", "test"):
        done = owned.project.onex_here(
            "trust", "claim", space, "--here", "--key", owned.key("mallory")
        )
        assert done.code == 5
    assert (
        "test.inner overlaps with test, which has owners"
        in owned.project.onex_here(
            "trust", "claim", "test.inner", "--here", "--key", owned.key("mallory")
        ).stderr
    )


def test_older_owners_shown_again(owned: Origin, reader: Reader) -> None:
    """A mirror that is behind shows fewer statements: no news, and nothing is given up."""
    old = owned.file(OWNERS).read_bytes()
    owned.change("test", "alice", "--add", owned.public("bob"))
    owned.publish("greeter", key="bob", version="1.1.0")
    owned.export()
    reader.visit()
    assert reader.verify("greeter@1.1.0").json["level"] == "verified"
    owned.file(OWNERS).write_bytes(old)
    reader.project.onex_here("scan", "--force")
    assert reader.verify("greeter@1.1.0").json["level"] == "verified"


@pytest.mark.slow
def test_ten_megabytes_of_signatures(owned: Origin, reader: Reader) -> None:
    statement = owned.lines(GREETER)[0]["statements"][0]
    one = statement["envelope"]["signatures"][0]
    many = copy.deepcopy(statement)
    many["envelope"]["signatures"] = [one] * 100_000
    owned.falsify(GREETER, lambda lines: lines[0].update(statements=[many]))
    changed(owned)
    assert f"more than {MAXIMUM_SIGNATURES} signatures" in reader.visit()
    owned.falsify(GREETER, lambda lines: lines[0].update(statements=[statement] * 10_000))
    changed(owned)
    assert f"more than {MAXIMUM_STATEMENTS} statements" in reader.visit()
    assert reader.trust_of("greeter") == "verified"


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b"\xff", b'{"_type": 1}', b"[" * 10_000, b'{"a": NaN}'],
    ids=["nothing", "empty", "list", "bytes", "type", "deep", "nan"],
)
def test_statement_that_is_none(origin: Origin, reader: Reader, payload: bytes) -> None:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    encoded = base64.b64encode(payload).decode()
    origin.falsify(
        GREETER, lambda lines: lines[0]["statements"][0]["envelope"].update(payload=encoded)
    )
    told = refused(reader, "greeter", "a statement does not fit")
    assert "ONEX002" not in told


def test_token_stolen(owned: Origin, reader: Reader) -> None:
    """Who has a token and no key publishes nothing in an owned namespace, and changes no owner."""
    manifest = owned.project.add("greeter", version="1.1.0")
    done = owned.project.onex_here(
        "publish", manifest.parent, "--here", "--key", owned.key("mallory")
    )
    assert (done.code, "TRU001" in done.stderr) == (5, True)
    done = owned.change("test", "mallory", "--add", owned.public("mallory"))
    assert (done.code, "TRU002" in done.stdout) == (5, True)

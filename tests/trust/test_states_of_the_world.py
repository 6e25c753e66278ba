"""What a registry can lie about, and what can happen between two visits: none of it may be lost."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onex.domain.envelope import Envelope
from onex.domain.log_leaf import leaf_of
from onex.domain.merkle import MerkleTree
from onex.domain.statement import PAYLOAD_TYPE, OwnersStatement
from onex.trust.signing import SigningKey
from tests.conftest import Project
from tests.trust.conftest import Origin, Reader
from tests.trust.test_attacks_on_releases import append_change, changed
from tests.trust.test_signed_index import Repository

GREETER, OWNERS = "index/tool/test/greeter.jsonl", "owners/test.jsonl"


@pytest.fixture
def owned(origin: Origin, reader: Reader) -> Origin:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    assert reader.resolve("greeter").code == 0
    return origin


@pytest.fixture
def repository(origin: Origin) -> Repository:
    found = Repository(origin)
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    found.start()
    origin.export()
    return found


def pinned(reader: Reader, repository: Repository) -> Reader:
    reader.project.write("onex.toml", "")
    root = repository.latest("root")
    done = reader.project.onex_here("remote", "add", reader.tree, "--name", "hub", "--root", root)
    assert done.code == 0, done.stderr
    assert reader.resolve("greeter").code == 0
    return reader


def raw_owners(origin: Origin, change: Callable[[dict[str, Any]], object]) -> Envelope:
    """A further statement about the owners of test, by Alice, with whatever in it."""
    import hashlib

    with origin.project.registry() as registry:
        current = registry.published_owners.all()["test"]
    statement = OwnersStatement.parse(current.links[-1].envelope.payload)
    body = json.loads(statement.payload())
    digest = hashlib.sha256(current.links[-1].envelope.payload).hexdigest()
    body["subject"][0]["digest"]["sha256"] = digest
    body["predicate"]["sequence"] += 1
    change(body["predicate"])
    payload = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    key = SigningKey.read(origin.key("alice"), lambda _: None)
    return key.sign(Envelope(PAYLOAD_TYPE, payload))


def test_a_time_that_is_none_is_refused_and_costs_nobody_else(
    owned: Origin, reader: Reader
) -> None:
    from onex.domain.trust_errors import OwnersRefusedError

    bad = raw_owners(owned, lambda p: p.update(revoked=[{"id": "0" * 64, "reason": "x", "since": "2026-99-99T99:99:99Z"}]))  # fmt: skip
    with owned.project.registry() as registry, pytest.raises(OwnersRefusedError):
        registry.published.change_owners(bad)
    # A registry that shows one all the same harms its own namespace alone.
    owned.publish("other", namespace="other.node")
    owned.export()
    line = {"envelope": bad.to_json(), "serial": 99, "time": "2026-01-01T00:00:00+00:00"}
    owned.falsify(OWNERS, lambda lines: lines.append(line))
    append_change(owned, {"owners": "test", "action": "namespace.owners", "time": line["time"]})
    assert "TRU002" in reader.visit()
    assert reader.resolve("tool://other.node").code == 0
    for member in ("published_at", "time"):

        def spoil(lines: list[Any], member: str = member) -> None:
            place = lines[0] if member == "published_at" else lines[0]["statements"][0]
            place[member] = "2026-99-99T00:00:00+00:00"

        owned.falsify(GREETER, spoil)
        changed(owned)
        told = reader.visit()
        assert "DSC010" not in told
        assert reader.resolve("greeter").code == 0


def test_a_release_that_says_it_is_older_than_the_owners(owned: Origin, reader: Reader) -> None:
    """Without a pinned root nobody can prove it, so an owner has to sign it."""

    def add(lines: list[Any]) -> None:
        line = copy.deepcopy(lines[0])
        line["version"] = line["metadata"]["version"] = "1.1.0"
        line["archive"]["sha256"] = "0" * 64
        line.update(released=0, owner=None, statements=[])
        lines.append(line)

    owned.falsify(GREETER, add)
    changed(owned)
    reader.visit()
    assert "none of them signed it" in reader.resolve("greeter@1.1.0").stdout
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_a_statement_that_says_it_is_older_than_a_theft(owned: Origin, reader: Reader) -> None:
    keys = owned.change("test", "alice", "--add", owned.public("bob")).json["keys"]
    revoke = ("--revoke", keys[0]["id"], "--since", "2020-01-01T00:00:00Z", "--reason", "stolen")
    assert owned.change("test", "bob", *revoke).code == 0
    owned.export()
    owned.falsify(GREETER, lambda lines: lines[0]["statements"][0].update(time="2019-01-01T00:00:00+00:00"))  # fmt: skip
    changed(owned)
    reader.visit()
    assert reader.verify("greeter").code == 5


def test_what_was_signed_before_a_theft_holds_if_the_log_proves_it(
    repository: Repository, reader: Reader
) -> None:
    origin = repository.origin
    keys = origin.change("test", "alice", "--add", origin.public("bob")).json["keys"]
    revoke = ("--revoke", keys[0]["id"], "--since", "2099-01-01T00:00:00Z", "--reason", "stolen")
    assert origin.change("test", "bob", *revoke).code == 0
    origin.run("sign", "greeter@1.0.0", "--here", "--key", origin.key("bob"))
    origin.export()
    pinned(reader, repository)
    assert reader.verify("greeter").json["level"] == "verified"


def test_statements_are_proved_to_be_in_the_log(repository: Repository, reader: Reader) -> None:
    """The online key is stolen: it signs an index in which a statement is said to be older."""
    origin = repository.origin
    pinned(reader, repository)
    for change in ({"serial": 2}, {"time": "2019-01-01T00:00:00+00:00"}):
        kept = origin.file(GREETER).read_bytes()
        origin.falsify(
            GREETER, lambda lines, change=change: lines[0]["statements"][0].update(change)
        )  # type: ignore[misc]
        sign_again(repository, GREETER)
        told = reader.visit()
        assert (
            "TRU007" in told or "older than the release" in told + reader.resolve("greeter").stdout
        )
        origin.file(GREETER).write_bytes(kept)


def test_owners_are_proved_to_be_in_the_log(repository: Repository, reader: Reader) -> None:
    """The online key is stolen: it signs an index in which owners came at another time."""
    origin = repository.origin
    pinned(reader, repository)
    origin.change("test", "alice", "--add", origin.public("bob"))
    origin.export()
    origin.falsify(OWNERS, lambda lines: lines[1].update(time="2019-01-01T00:00:00+00:00"))
    sign_again(repository, OWNERS)
    assert "TRU007" in reader.visit()
    assert reader.verify("greeter").json["level"] == "verified"


def sign_again(repository: Repository, path: str) -> None:
    """Sign a falsified file with the key that signs daily."""
    import hashlib

    from tuf.api.metadata import SuccinctRoles, TargetFile

    from onex.trust.index_layout import target_name

    content, name = repository.origin.file(path).read_bytes(), target_name(path)
    role = SuccinctRoles([], 1, 10, "bin").get_role_for_target(name)
    bins = repository.signed(role)
    sha256 = hashlib.sha256(content).hexdigest()
    bins.signed.targets[name] = TargetFile(len(content), {"sha256": sha256}, name)
    bins.signed.version += 1
    bins.signatures.clear()
    from onex.trust.index_roles import compact, signer_of

    bins.sign(signer_of(repository.online))
    (repository.folder / f"{bins.signed.version}.{role}.json").write_bytes(compact(bins))
    snapshot = repository.signed("snapshot")
    snapshot.signed.meta[f"{role}.json"].version = bins.signed.version
    snapshot.signed.version += 1
    repository.refresh_timestamp(repository.write(snapshot), snapshot.signed.version)


def test_two_registries_that_know_a_namespace(
    owned: Origin, reader: Reader, make_project: Callable[[str], Project]
) -> None:
    """Entries of one log say nothing of another one."""
    second = Origin(make_project("second"))
    shutil.copy(owned.key("alice"), second.project.root / "alice.key")
    shutil.copy(f"{owned.key('alice')}.pub", second.project.root / "alice.key.pub")
    second.run("trust", "claim", "test", "--here", "--key", second.key("alice"))
    second.publish("more", key="alice")
    second.publish("free", namespace="free.node")
    second.export()
    with (reader.project.root / "onex.toml").open("a") as file:
        file.write(f'[[sources]]\nname = "second"\nkind = "remote"\nurl = {json.dumps(str(second.tree))}\n')  # fmt: skip
    assert reader.resolve("tool://test.more", "free").code == 0
    assert reader.verify("tool://test.more").json["level"] == "verified"
    # Of two registries that name different owners, the one that came first is believed.
    owned.claim("acme", "alice")
    owned.publish("one", key="alice", namespace="acme.one")
    owned.export()
    second.claim("acme", "mallory")
    second.publish("two", key="mallory", namespace="acme.two")
    second.export()
    assert reader.resolve("one").code == 0
    done = reader.resolve("two")
    assert done.code != 0
    assert "acme has other owners than it had" in done.stdout + done.stderr


def test_pinning_a_root_later_takes_back_what_was_falsified_before(
    repository: Repository, reader: Reader
) -> None:
    origin = repository.origin
    origin.publish("free", namespace="free.node")
    origin.export()
    path = "index/tool/free/node.jsonl"
    genuine = origin.file(path).read_bytes()

    def add(lines: list[Any]) -> None:
        line = copy.deepcopy(lines[0])
        line["version"] = line["metadata"]["version"] = "1.1.0"
        line["archive"]["sha256"] = "0" * 64
        lines.append(line)

    origin.falsify(path, add)
    reader.declare()
    assert reader.resolve("free").json["selected"] == {"tool://free.node": "1.1.0"}
    origin.file(path).write_bytes(genuine)
    with origin.project.registry() as registry:
        fingerprint = registry.index_signer.fingerprint()
    text = (reader.project.root / "onex.toml").read_text()
    reader.project.write("onex.toml", text + f'root = "{fingerprint}"\n')
    reader.visit()
    assert reader.resolve("free").json["selected"] == {"tool://free.node": "1.0.0"}


def test_what_the_policy_left_out_comes_when_it_is_relaxed(owned: Origin, reader: Reader) -> None:
    owned.publish("plain", namespace="plain.node")
    owned.export()
    reader.declare('[policy.trust."*"]\nregister = "signed"\n')
    assert reader.resolve("plain").code != 0
    reader.declare()
    assert reader.resolve("plain").code == 0


def test_a_pin_holds_for_what_was_seen_before(owned: Origin, reader: Reader) -> None:
    assert reader.project.onex_here("run", "greeter").code == 0
    reader.project.onex_here("trust", "add", "test", owned.public("somebody-else"))
    done = reader.project.onex_here("run", "greeter")
    assert done.code in (3, 5)
    assert "no key that is pinned for test signed who owns test" in done.stderr
    reader.project.onex_here("trust", "remove", "test")
    assert reader.project.onex_here("run", "greeter").code == 0


def test_forgotten_owners_are_learned_again(owned: Origin, reader: Reader) -> None:
    assert reader.project.onex_here("trust", "forget", "test").code == 0
    owned.publish("greeter", key="alice", version="1.1.0")
    owned.export()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}
    assert reader.verify("greeter").json["level"] == "verified"


def test_a_version_whose_proof_failed_once_comes_with_the_next_visit(
    repository: Repository, reader: Reader
) -> None:
    origin = repository.origin
    pinned(reader, repository)
    origin.publish("greeter", key="alice", version="1.1.0")
    origin.export()
    tiles = origin.tree / "log" / "tile"
    shutil.move(tiles, origin.tree / "elsewhere")
    assert "TRU007" in reader.visit()
    shutil.move(origin.tree / "elsewhere", tiles)
    reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}


def test_a_log_that_grows_during_a_visit_is_no_fork(repository: Repository, reader: Reader) -> None:
    from onex.discovery.remote import read_config
    from onex.domain.reference import NodeId
    from onex.remote.log_reader import LogReader

    origin = repository.origin
    pinned(reader, repository)
    with reader.project.registry() as registry, origin.project.registry() as published:
        declared = registry.remotes.remote("hub")
        tree, signed = registry.remotes.tree(declared), registry.remotes.signed_index(declared)
        assert signed is not None
        signed.refresh()
        log = LogReader(tree, signed, signed.folder, read_config(tree).registry)
        log.refresh()
        (line,) = published.published.lines(NodeId("tool", "test.greeter"))
        log.prove(line)
        origin.publish("greeter", key="alice", version="1.1.0")
        origin.export()
        signed.refresh()
        log.refresh()
        lines = published.published.lines(NodeId("tool", "test.greeter"))
        assert log.prove(lines[1]) > lines[1].released - 1
        events = list(published.storage.events())
    tree_of_log = MerkleTree()
    for event in events:
        tree_of_log.append(leaf_of(event))
    assert len(tree_of_log) == len(events)


def test_an_index_that_was_refused_is_refused_the_second_time(
    repository: Repository, reader: Reader
) -> None:
    pinned(reader, repository)
    snapshot = repository.signed("snapshot")
    name = next(name for name in snapshot.signed.meta if name.startswith("bin-"))
    snapshot.signed.meta[name].version -= 1
    snapshot.signed.version += 1
    repository.refresh_timestamp(repository.write(snapshot), snapshot.signed.version)
    for _ in range(3):
        assert "TRU006" in reader.visit()


def test_a_mirror_takes_nothing_that_is_falsified_and_heals(
    repository: Repository, reader: Reader, tmp_path: Path
) -> None:
    origin, mirror = repository.origin, tmp_path / "mirror"
    pinned(reader, repository)
    assert reader.project.onex_here("remote", "mirror", "hub", mirror).code == 0
    genuine = origin.file(GREETER).read_bytes()
    origin.falsify(GREETER, lambda lines: lines[0].update(override="evil"))
    changed(origin)
    reader.project.onex_here("remote", "mirror", "hub", mirror)
    assert (mirror / GREETER).read_bytes() == genuine
    origin.file(GREETER).write_bytes(genuine)
    # Damage of every kind is mended by the next copy.
    (mirror / GREETER).write_bytes(b"")
    for path in list((mirror / "metadata").glob("*.bin-0*.json"))[:3]:
        path.write_bytes(b"{}")
    (mirror / "log" / "tile" / "0" / "0").write_bytes(b"x" * 64)
    done = reader.project.onex_here("remote", "mirror", "hub", mirror)
    assert done.code == 0, done.stderr
    assert (mirror / GREETER).read_bytes() == genuine
    for path in origin.tree.rglob("*"):
        twin = mirror / path.relative_to(origin.tree)
        if (
            path.is_file()
            and path.parent.name in ("metadata", "0", "log")
            and twin.name != "changes"
        ):
            assert twin.read_bytes() == path.read_bytes(), path


def test_a_mirror_takes_no_log_that_is_falsified(
    repository: Repository, reader: Reader, tmp_path: Path
) -> None:
    origin, mirror = repository.origin, tmp_path / "mirror"
    pinned(reader, repository)
    assert reader.project.onex_here("remote", "mirror", "hub", mirror).code == 0
    former = (mirror / "log" / "head.json").read_bytes()
    origin.publish("greeter", key="alice", version="1.1.0")
    origin.export()
    tile = origin.file("log/tile/0/0")
    genuine = tile.read_bytes()
    tile.write_bytes(bytes(len(genuine)))
    done = reader.project.onex_here("remote", "mirror", "hub", mirror)
    assert "TRU007" in done.stderr
    assert (mirror / "log" / "head.json").read_bytes() == former
    tile.write_bytes(genuine)
    done = reader.project.onex_here("remote", "mirror", "hub", mirror)
    assert done.code == 0, done.stderr
    assert (mirror / "log" / "head.json").read_bytes() != former


def test_a_head_that_was_seen_and_is_damaged_is_told_of(
    repository: Repository, reader: Reader
) -> None:
    """To go on in silence would forget what is known of the history of the log."""
    pinned(reader, repository)
    (head,) = reader.project.home.rglob("log-head.json")
    head.write_bytes(b"")
    repository.origin.publish("greeter", key="alice", version="1.1.0")
    repository.origin.export()
    told = reader.visit()
    assert "TRU007" in told
    assert str(head) in told.replace("\n", "")
    head.unlink()
    assert "TRU007" not in reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}


def test_a_restored_backup_is_another_registry_to_those_who_add_it_again(
    repository: Repository, reader: Reader, tmp_path: Path
) -> None:
    origin = repository.origin
    pinned(reader, repository)
    origin.run("storage", "backup", tmp_path / "backup.db")
    origin.publish("greeter", key="alice", version="1.1.0")
    origin.export()
    reader.visit()
    for file in origin.project.home.glob("registry.db*"):
        file.unlink()
    origin.run("storage", "restore", tmp_path / "backup.db")
    shutil.rmtree(origin.tree)
    origin.export()
    assert "TRU007" in reader.visit()
    assert reader.project.onex_here("remote", "remove", "hub").code == 0
    pinned(reader, repository)
    assert "TRU00" not in reader.visit()


def test_claims_that_nobody_could_serve_are_refused(origin: Origin) -> None:
    done = origin.project.onex_here(
        "trust", "claim", "a" * 252, "--here", "--key", origin.key("alice")
    )
    assert "a part of more than" in done.stderr
    origin.claim("alphalx", "alice")
    done = origin.project.onex_here("trust", "claim", "alpha1x", "--here", "--key", origin.key("m"))
    assert "looks like alphalx" in done.stderr
    refused = origin.run("audit", "log", "--outcome", "refused", "--json").json["events"]
    assert [event["object"] for event in refused] == ["a" * 252, "alpha1x"]
    origin.export()


def test_private_names_are_not_told_to_those_who_may_not_see_them(origin: Origin) -> None:
    from onex.domain.remote_errors import NotPublishableError
    from onex.remote.publisher import pack_folder

    origin.publish("hidden", namespace="secretcorp.hidden")
    manifest = origin.project.add("mine", namespace="secretc0rp.mine")
    packed = pack_folder(manifest)
    with origin.project.registry() as registry, pytest.raises(NotPublishableError) as caught:
        registry.published.publish(packed.archive, packed.place.manifest, sees=lambda node: False)
    assert "secretcorp" not in caught.value.message
    assert "looks like a name that others have" in caught.value.message


def test_keygen_leaves_other_files_alone(reader: Reader) -> None:
    project = reader.project
    assert project.onex_here("trust", "keygen", "own.pub").code == 2
    assert not (project.root / "own.pub").exists()
    project.write("id.key.pub", "ssh-ed25519 AAAA")
    assert project.onex_here("trust", "keygen", "id.key").code == 2
    assert (project.root / "id.key.pub").read_text() == "ssh-ed25519 AAAA"
    assert not (project.root / "id.key").exists()


def test_a_draft_that_waits_keeps_its_key(repository: Repository, tmp_path: Path) -> None:
    origin, draft = repository.origin, tmp_path / "draft.json"
    origin.run("trust", "rotate", "--online", "--out", draft)
    assert origin.project.onex_here("trust", "rotate", "--online").code == 2
    for number in (1, 2):
        origin.run("trust", "sign-root", draft, "--key", repository.stick / f"root{number}.key")
    origin.run("trust", "sign-root", draft, "--install")
    origin.publish("greeter", key="alice", version="1.1.0")
    origin.export()
    # A root whose key is not at hand is not taken over.
    origin.run("trust", "rotate", "--online", "--out", draft)
    for number in (1, 2):
        origin.run("trust", "sign-root", draft, "--key", repository.stick / f"root{number}.key")
    (origin.project.home / "trust" / "online.next").unlink()
    done = origin.project.onex_here("trust", "sign-root", draft, "--install")
    assert (done.code, "TRU003" in done.stderr) == (2, True)
    origin.export()


@pytest.mark.parametrize("since", ["0001-01-01", "9999-12-31T23:59:59-14:00", "yesterday"])
def test_times_that_nobody_can_mean(owned: Origin, since: str) -> None:
    done = owned.change("test", "alice", "--revoke", "x", "--since", since)
    assert done.code == 2
    assert "ONEX002" not in done.stdout + done.stderr
    done = owned.change("test", "alice", "--since", "2026-01-01")
    assert "go with --revoke" in done.stdout + done.stderr


def test_other_odd_input(owned: Origin, tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    done = owned.project.onex_here("trust", "sign-root", deep)
    assert (done.code, "TRU001" in done.stderr) == (5, True)
    done = owned.project.onex_here("trust", "add", "Ev il*", owned.public("alice"))
    assert done.code == 2
    shutil.rmtree(owned.project.home / "trust", ignore_errors=True)
    (owned.project.home / "trust").write_text("in the way")
    done = owned.project.onex_here("trust", "init", "--root-keys", tmp_path / "stick")
    assert "ONEX002" not in done.stderr

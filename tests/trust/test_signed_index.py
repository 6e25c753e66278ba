"""Attacks on the index, each by its name: the tree of a signed registry is falsified by those who
hold a mirror, or a key; what a reader says of it, and that what was known is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from onex.trust.index_layout import LIFETIMES
from onex.trust.index_roles import signer_of
from onex.trust.index_signer import IndexSigner
from onex.trust.signing import SigningKey
from tests.conftest import Project, RegistryServer
from tests.trust.conftest import Clock, Origin, Reader

GREETER = "index/tool/test/greeter.jsonl"


class Repository:
    """The signed tree of a registry in a folder, whose metadata are made and signed anew."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.folder = origin.tree / "metadata"

    @property
    def stick(self) -> Path:
        return self.origin.project.root / "stick"

    def start(self) -> str:
        """Sign the index; returns the fingerprint of the root."""
        done = self.origin.run("trust", "init", "--root-keys", self.stick, "--json")
        return str(done.json["fingerprint"])

    @property
    def online(self) -> SigningKey:
        file = self.origin.project.home / "trust" / "online.key"
        return SigningKey.read(file, lambda _: None)

    def latest(self, role: str) -> Path:
        """The file of the newest version of a role."""
        if role == "timestamp":
            return self.folder / "timestamp.json"
        found = self.folder.glob(f"*.{role}.json")
        return max(found, key=lambda path: int(path.name.partition(".")[0]))

    def signed(self, role: str) -> Metadata[Any]:
        return Metadata.from_file(str(self.latest(role)))

    def write(self, metadata: Metadata[Any], *keys: SigningKey) -> bytes:
        """Sign metadata, and put them where a reader looks for them."""
        metadata.signatures.clear()
        for key in keys or (self.online,):
            metadata.sign(signer_of(key), append=True)
        content = metadata.to_bytes(JSONSerializer(compact=True))
        role, version = metadata.signed.type, metadata.signed.version
        name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
        (self.folder / name).write_bytes(content)
        return content

    def refresh_timestamp(self, snapshot: bytes, version: int, **fields: object) -> None:
        """A timestamp for a snapshot, by the key that signs them."""
        timestamp = self.signed("timestamp")
        timestamp.signed.version += 1
        meta = timestamp.signed.snapshot_meta
        meta.version, meta.length = version, len(snapshot)
        meta.hashes = {"sha256": hashlib.sha256(snapshot).hexdigest()}
        for name, value in fields.items():
            setattr(timestamp.signed, name, value)
        self.write(timestamp)


@pytest.fixture
def repository(origin: Origin, reader: Reader) -> Repository:
    """A signed registry with a node that the reader knows."""
    found = Repository(origin)
    origin.publish("greeter")
    fingerprint = found.start()
    origin.export()
    done = reader.project.onex_here("sources", "remove", "hub")
    assert done.code == 0, done.stderr
    done = reader.project.onex_here(
        "remote", "add", origin.tree, "--name", "hub", "--fingerprint", fingerprint
    )
    assert done.code == 0, done.stderr
    assert reader.resolve("greeter").code == 0
    return found


def refused(reader: Reader, *words: str) -> None:
    """That a visit is refused with words, and what is known can be used all the same."""
    told = reader.visit()
    assert "TRU006" in told, told
    for word in words:
        assert word in told, told
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_what_is_signed_is_followed(repository: Repository, reader: Reader) -> None:
    repository.origin.publish("greeter", version="1.1.0")
    repository.origin.publish("other")
    repository.origin.claim("acme", "alice")
    repository.origin.publish("owned", key="alice", namespace="acme.owned")
    repository.origin.export()
    assert reader.resolve("greeter", "other", "owned").json["selected"] == {
        "tool://test.greeter": "1.1.0", "tool://test.other": "1.0.0", "tool://acme.owned": "1.0.0",
    }  # fmt: skip
    assert reader.visit().count("ok") == 1


def test_nothing_is_pinned_silently(repository: Repository, reader: Reader) -> None:
    tree = repository.origin.tree
    done = reader.project.onex_here("remote", "add", tree, "--name", "second")
    assert (done.code, "its root is not pinned" in done.stderr) == (2, True)
    wrong = "sha256:" + "0" * 64
    done = reader.project.onex_here(
        "remote", "add", tree, "--name", "second", "--fingerprint", wrong
    )
    assert "does not have the root that is pinned" in done.stderr
    assert "second" not in reader.project.onex_here("remote", "list").stdout
    root = repository.latest("root")
    done = reader.project.onex_here("remote", "add", tree, "--name", "second", "--root", root)
    assert done.code == 0, done.stderr
    done = reader.project.onex_here("remote", "add", tree, "--name", "third", "--unsigned")
    assert done.code == 0, done.stderr


def test_index_file_changed_by_a_mirror(repository: Repository, reader: Reader) -> None:
    repository.origin.falsify(GREETER, lambda lines: lines[0].update(yanked={"reason": "evil", "time": lines[0]["published_at"]}))  # fmt: skip
    reader.project.onex_here("scan", "--force")
    refused_force = reader.project.onex_here("scan", "--force")
    assert "has another index/tool/test/greeter.jsonl than its registry signed" in (
        refused_force.stdout + refused_force.stderr
    )
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_index_file_kept_back_by_a_mirror(repository: Repository, reader: Reader) -> None:
    repository.origin.publish("other")
    repository.origin.export()
    repository.origin.file("index/tool/test/other.jsonl").unlink()
    done = reader.resolve("tool://test.other")
    assert done.code != 0
    assert "keeps index/tool/test/other.jsonl back" in reader.visit() + done.stdout + done.stderr


def test_node_added_by_a_mirror(repository: Repository, reader: Reader) -> None:
    line = repository.origin.lines(GREETER)[0]
    line["node"], line["metadata"]["namespace"] = "tool://test.evil", "test.evil"
    file = repository.origin.file("index/tool/test/evil.jsonl")
    file.write_text(json.dumps(line) + "\n")
    done = reader.resolve("tool://test.evil")
    assert done.code != 0
    assert "has index/tool/test/evil.jsonl, which its registry did not sign" in (
        done.stdout + done.stderr
    )


def test_rollback_of_the_timestamp(repository: Repository, reader: Reader) -> None:
    before = shutil.copytree(repository.folder, repository.folder.with_name("before"))
    repository.origin.publish("other")
    repository.origin.export()
    reader.visit()
    shutil.rmtree(repository.folder)
    shutil.copytree(before, repository.folder)
    refused(reader, "shows an index that is older than the one seen before")


def test_rollback_of_the_snapshot(repository: Repository, reader: Reader) -> None:
    """The timestamp key is stolen, and leads to a snapshot that was there before."""
    old = repository.signed("snapshot")
    repository.origin.publish("other")
    repository.origin.export()
    reader.visit()
    content = repository.folder.joinpath(f"{old.signed.version}.snapshot.json").read_bytes()
    repository.refresh_timestamp(content, old.signed.version)
    refused(reader, "shows an index that is older than the one seen before")


def test_rollback_of_a_bin(repository: Repository, reader: Reader) -> None:
    snapshot = repository.signed("snapshot")
    name = next(name for name in snapshot.signed.meta if name.startswith("bin-"))
    snapshot.signed.meta[name].version -= 1
    snapshot.signed.version += 1
    content = repository.write(snapshot)
    repository.refresh_timestamp(content, snapshot.signed.version)
    refused(reader, "shows an index that is older than the one seen before")


def test_freeze(repository: Repository, reader: Reader) -> None:
    """A mirror shows the same for ever: it expires."""
    timestamp = repository.signed("timestamp")
    timestamp.signed.version += 1
    timestamp.signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    repository.write(timestamp)
    refused(reader, "shows an index that has expired")


def test_time_set_back_and_forth(repository: Repository, reader: Reader, clock: Clock) -> None:
    origin, former = repository.origin, repository.origin.tree.with_name("former")
    clock.set(8)
    refused(reader, "shows an index that has expired")
    clock.set(0)
    assert "TRU006" not in reader.visit()
    # What expired is good again for who sets the clock back, and is still older than what was seen.
    shutil.copytree(origin.tree, former)
    origin.publish("greeter", version="1.1.0")
    origin.export()
    reader.visit()
    present = origin.tree.rename(origin.tree.with_name("present"))
    former.rename(origin.tree)
    clock.set(-365)
    assert "TRU006" in reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}
    clock.set(0)
    shutil.rmtree(origin.tree)
    present.rename(origin.tree)
    # What a registry signed at a wrong time holds for a hundred days more, so it signs again.
    clock.set(100)
    origin.publish("greeter", version="1.2.0")
    origin.export()
    clock.set(0)
    origin.export()
    for role in ("timestamp", "snapshot"):
        left = repository.signed(role).signed.expires - datetime.now(UTC)
        assert left <= LIFETIMES[role], role
    clock.set(-1)
    origin.publish("greeter", version="1.3.0")
    origin.export()
    clock.set(0)
    reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.3.0"}


def test_mix_and_match(repository: Repository, reader: Reader) -> None:
    """The snapshot is genuine, and is not the one that the timestamp speaks of."""
    snapshot = repository.signed("snapshot")
    snapshot.signed.version += 1
    content = repository.write(snapshot)
    repository.refresh_timestamp(content, snapshot.signed.version)
    snapshot.signed.expires += timedelta(days=1)
    repository.write(snapshot)
    refused(reader, "shows parts of an index that do not belong together")


def test_wrong_key(repository: Repository, reader: Reader) -> None:
    timestamp = repository.signed("timestamp")
    timestamp.signed.version += 1
    repository.write(timestamp, SigningKey.generate())
    refused(reader, "was not signed by the keys that it takes")


def test_threshold_of_the_root_not_reached(repository: Repository, reader: Reader) -> None:
    root = repository.signed("root")
    root.signed.version += 1
    one = SigningKey.read(repository.stick / "root1.key", lambda _: None)
    repository.write(root, one)
    refused(reader, "was not signed by the keys that it takes")


@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_endless_metadata(repository: Repository, reader: Reader, name: str) -> None:
    (repository.folder / name).write_bytes(b"[" * (5 * 1024 * 1024))
    told = reader.visit()
    assert "has more than 4194304 bytes" in told
    assert reader.resolve("greeter").code == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"signed": 1}'])
def test_metadata_that_are_none(repository: Repository, reader: Reader, content: bytes) -> None:
    (repository.folder / "timestamp.json").write_bytes(content)
    refused(reader, "cannot be used")


def test_metadata_taken_away(repository: Repository, reader: Reader) -> None:
    shutil.rmtree(repository.folder)
    refused(reader, "lacks a part of what its registry signed")


def test_other_registry_in_its_place(
    repository: Repository, reader: Reader, make_project: Callable[[str], Project]
) -> None:
    other = Origin(make_project("other"))
    other.publish("greeter", version="9.0.0")
    Repository(other).start()
    other.export()
    shutil.rmtree(repository.origin.tree)
    shutil.copytree(other.tree, repository.origin.tree)
    told = reader.visit()
    assert "was not signed by the keys" in told or "is another registry than it was" in told
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.0.0"}


def test_online_key_stolen_and_replaced(repository: Repository, reader: Reader) -> None:
    """It signs whatever it likes until the root trusts another; then it signs nothing."""
    stolen = repository.online
    done = repository.origin.project.onex_here(
        "trust", "rotate", "--online", "--key", repository.stick / "root1.key",
        "--key", repository.stick / "root2.key", "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    repository.origin.export()
    assert "ok" in reader.visit()
    timestamp = repository.signed("timestamp")
    timestamp.signed.version += 1
    repository.write(timestamp, stolen)
    refused(reader, "was not signed by the keys that it takes")
    # What the registry itself signs goes on.
    repository.origin.publish("greeter", version="1.1.0")
    repository.origin.export()
    reader.visit()
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}


def test_root_keys_rotate_on_sticks_that_are_elsewhere(
    repository: Repository, reader: Reader, tmp_path: Path
) -> None:
    origin, draft = repository.origin, tmp_path / "draft.json"
    fresh = [tmp_path / f"new{number}.key" for number in (1, 2)]
    for file in fresh:
        SigningKey.generate().write(file)
    new = [part for file in fresh for part in ("--root-key", file.with_name(f"{file.name}.pub"))]
    done = origin.run("trust", "rotate", *new, "--threshold", "2", "--out", draft, "--json")
    assert done.json["missing"] == 2
    too_few = origin.project.onex_here("trust", "sign-root", draft, "--install", "--key", fresh[0])
    assert (too_few.code, "signature" in too_few.stderr) == (2, True)
    for key in (repository.stick / "root1.key", repository.stick / "root3.key", *fresh):
        origin.run("trust", "sign-root", draft, "--key", key)
    origin.run("trust", "sign-root", draft, "--install")
    origin.export()
    assert "ok" in reader.visit()
    # The old keys make no further root.
    done = origin.project.onex_here(
        "trust", "rotate", "--key", repository.stick / "root1.key", "--key", repository.stick / "root2.key"
    )  # fmt: skip
    assert done.code == 2
    origin.run("trust", "rotate", "--key", fresh[0], "--key", fresh[1])
    # A reader who pinned the first root follows all of them.
    origin.export()
    assert "ok" in reader.visit()


def test_of_two_roots_at_once_one_is_installed(
    repository: Repository, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, drafts = repository.origin, [tmp_path / "one.json", tmp_path / "other.json"]
    for draft in drafts:
        origin.run("trust", "rotate", "--out", draft)
        for name in ("root1.key", "root2.key"):
            origin.run("trust", "sign-root", draft, "--key", repository.stick / name)
    digests = IndexSigner._digests

    def installed_meanwhile(signer: IndexSigner, paths: Iterable[str]) -> Any:
        monkeypatch.setattr(IndexSigner, "_digests", digests)
        origin.run("trust", "sign-root", drafts[1], "--install")
        return digests(signer, paths)

    monkeypatch.setattr(IndexSigner, "_digests", installed_meanwhile)
    done = origin.project.onex_here("trust", "sign-root", drafts[0], "--install")
    assert "another root was taken over meanwhile" in done.stderr
    origin.export()
    assert repository.signed("root").signed.version == 2
    assert "ok" in reader.visit()


def test_a_backup_that_is_restored_is_signed_in_later_versions(
    repository: Repository, reader: Reader, tmp_path: Path
) -> None:
    origin = repository.origin
    origin.run("storage", "backup", tmp_path / "backup.db")
    origin.publish("greeter", version="1.1.0")
    origin.export()
    reader.visit()
    for file in origin.project.home.glob("registry.db*"):
        file.unlink()
    origin.run("storage", "restore", tmp_path / "backup.db")
    shutil.rmtree(origin.tree)
    origin.export()
    # Its signatures are newer, so it is the log that says what happened.
    told = reader.visit()
    assert "TRU006" not in told
    assert "TRU007" in told
    assert "and it had" in told
    assert reader.resolve("greeter").json["selected"] == {"tool://test.greeter": "1.1.0"}


@pytest.mark.slow
def test_a_server_signs_what_is_published_to_it(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    project = make_project("server")
    origin = Origin(project)
    fingerprint = Repository(origin).start()
    server = serve(project, "--workers", "2")
    author, user = make_project("author"), make_project("user")
    server.declare(author, root=fingerprint)
    server.declare(user, token=False, root=fingerprint)
    for minor in range(3):
        manifest = author.add("greeter", version=f"1.{minor}.0")
        done = author.onex_here("publish", manifest.parent, "--to", "hub")
        assert done.code == 0, done.stderr
        found = user.onex_here("resolve", "greeter", "--json").json
        assert found["selected"] == {"tool://test.greeter": f"1.{minor}.0"}
        user.onex_here("remote", "sync")
    # What the feed does not tell of is found by what is signed.
    mirror = user.root / "mirror"
    assert user.onex_here("remote", "mirror", "hub", mirror).code == 0
    server.stop()
    offline = make_project("offline")
    offline.write("onex.toml", "")
    done = offline.onex_here(
        "remote", "add", mirror, "--name", "stick", "--fingerprint", fingerprint
    )
    assert done.code == 0, done.stderr
    done = offline.onex_here("run", "greeter")
    assert done.code == 0, done.stderr

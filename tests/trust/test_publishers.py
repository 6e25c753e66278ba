"""Who signed a release, who owns its namespace, and what becomes of both on the way to a reader."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from onex.domain.evidence import TrustLevel
from onex.domain.trust_errors import KeyUnusableError
from onex.trust.signing import SigningKey
from tests.trust.conftest import Origin, Reader

GREETER = "index/tool/test/greeter.jsonl"
OWNERS = "owners/test.jsonl"


def checks_of(body: dict[str, object]) -> dict[str, bool]:
    return {reason["check"]: reason["ok"] for reason in body["reasons"]}  # type: ignore[attr-defined,index]


def test_the_level_is_that_of_who_signed(origin: Origin, reader: Reader) -> None:
    origin.publish("plain")
    origin.publish("greeter", key="mallory")
    origin.claim("acme", "alice", "--name", "Alice")
    origin.publish("owned", key="alice", namespace="acme.owned")
    origin.export()
    assert reader.resolve("plain", "greeter", "owned").code == 0
    levels = {name: reader.trust_of(name) for name in ("plain", "greeter", "owned")}
    assert levels == {"plain": "unverified", "greeter": "signed", "owned": "verified"}
    told = reader.verify("owned").json
    assert (told["verified"], told["level"]) == (True, "verified")
    assert checks_of(told) == dict.fromkeys(("digest", "signature", "owner", "revocation"), True)
    assert "Alice owned acme" in json.dumps(told)
    # The registry itself says the same of what was published to it.
    listed = origin.run("list", "--trust", "verified", "--json").json["nodes"]
    assert [node["name"] for node in listed] == ["owned"]
    counted = reader.project.onex_here("list", "--facets", "--json").json["facets"]["trust"]
    assert counted == {"unverified": 1, "signed": 1, "verified": 1}


def test_what_ran_has_the_argument_for_it_in_its_record(origin: Origin, reader: Reader) -> None:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    origin.export()
    done = reader.project.onex_here("run", "greeter", "--json")
    assert done.code == 0, done.stdout + done.stderr
    with reader.project.registry() as registry:
        plan = registry.history.run(done.json["run_id"]).plan
    (step,) = plan["steps"].values()  # type: ignore[union-attr]
    assert step["validation"]["verified"] is True
    names = [reason["check"] for reason in step["validation"]["reasons"]]
    assert names == ["digest", "signature", "owner", "revocation", "grants"]


def test_nothing_is_published_in_an_owned_namespace_that_no_owner_signed(origin: Origin) -> None:
    origin.claim("test", "alice")
    manifest = origin.project.add("greeter")
    for more in ([], ["--key", origin.key("mallory")]):
        done = origin.project.onex_here("publish", manifest.parent, "--here", *more)
        assert done.code == 5
        assert "TRU001" in done.stderr
        assert "test has owners, and none of them signed it" in done.stderr
    refused = origin.run("audit", "log", "--outcome", "refused", "--json").json["events"]
    assert [entry["action"] for entry in refused] == ["release.published"] * 2


def test_a_key_that_left_still_speaks_for_what_it_signed_before(
    origin: Origin, reader: Reader
) -> None:
    origin.claim("test", "alice")
    origin.publish("greeter", key="alice")
    done = origin.change("test", "alice", "--add", f"{origin.public('bob')}=Bob")
    assert [key["name"] for key in done.json["keys"]] == ["", "Bob"]
    alice = done.json["keys"][0]["id"]
    assert origin.change("test", "bob", "--remove", alice).code == 0
    refused = origin.change("test", "alice", "--add", origin.public("mallory"))
    assert (refused.code, "TRU002" in refused.stdout) == (5, True)
    manifest = origin.project.add("greeter", version="1.1.0")
    late = ["publish", manifest.parent, "--here"]
    assert origin.project.onex_here(*late, "--key", origin.key("alice")).code == 5
    assert origin.project.onex_here(*late, "--key", origin.key("bob")).code == 0
    origin.export()
    assert reader.resolve("greeter@1.0.0").code == 0
    assert reader.verify("greeter@1.0.0").json["level"] == "verified"
    assert reader.verify("greeter@1.1.0").json["level"] == "verified"


def test_a_change_takes_as_many_owners_as_were_asked_for(origin: Origin) -> None:
    origin.project.onex_here(
        "trust", "claim", "test", "--here", "--key", origin.key("alice"), "--key",
        origin.key("bob"), "--threshold", "2",
    )  # fmt: skip
    alone = origin.change("test", "alice", "--add", origin.public("carol"))
    assert (alone.code, "1 of the 2 keys" in alone.stdout) == (5, True)
    both = origin.change(
        "test", "alice", "--key", origin.key("bob"), "--add", origin.public("carol")
    )
    assert len(both.json["keys"]) == 3


def test_signing_what_is_published_raises_its_level(origin: Origin, reader: Reader) -> None:
    origin.publish("greeter")
    origin.export()
    reader.resolve("greeter")
    assert reader.trust_of("greeter") == "unverified"
    origin.run("sign", "greeter@1.0.0", "--here", "--key", origin.key("alice"))
    origin.run("sign", "greeter@1.0.0", "--here", "--key", origin.key("alice"))
    origin.claim("test", "bob")
    refused = origin.project.onex_here(
        "sign", "greeter@1.0.0", "--here", "--key", origin.key("mallory")
    )
    assert refused.code == 5
    origin.run("sign", "greeter@1.0.0", "--here", "--key", origin.key("bob"))
    origin.export()
    assert len(origin.lines(GREETER)[0]["statements"]) == 2
    reader.visit()
    assert reader.trust_of("greeter") == "verified"


def test_a_folder_is_signed_beside_its_manifest_and_stays_what_it_is(origin: Origin) -> None:
    manifest = origin.project.add("greeter")
    origin.project.scan()
    before = origin.run("show", "greeter", "--json").json["digest"]
    key = origin.key("alice")
    origin.run("sign", manifest.parent, "--key", key)
    assert manifest.with_name("node.onex.yaml.intoto.json").is_file()
    told = origin.run("verify", manifest.parent, "--json").json
    assert (told["level"], told["verified"]) == ("signed", False)
    origin.run("scan", origin.project.nodes, "--force")
    assert origin.run("show", "greeter", "--json").json["digest"] == before
    (manifest.parent / "node.py").write_text("def execute(context):\n    return 'evil'\n")
    done = origin.project.onex_here("verify", manifest.parent)
    assert done.code == 5
    assert "it is about other files" in done.stdout


def test_the_statement_names_the_commit_that_has_everything(origin: Origin) -> None:
    manifest = origin.project.add("greeter")

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
            cwd=origin.project.nodes, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    git("remote", "add", "origin", "https://user:secret@git.example.org/nodes.git")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    origin.run("publish", manifest.parent, "--here", "--key", origin.key("alice"))
    with origin.project.registry() as registry:
        from onex.domain.reference import NodeId
        from onex.domain.statement import ReleaseStatement

        (line,) = registry.published.lines(NodeId("tool", "test.greeter"))
    commit = ReleaseStatement.parse(line.statements[0].envelope.payload).commit
    assert commit is not None
    assert commit.commit == head
    assert "secret" not in commit.repository
    assert "git.example.org/nodes.git" in commit.repository
    # What is not committed is from no commit.
    (manifest.parent / "more.py").write_text("x = 1\n")
    from onex.trust.source_commit import source_commit

    assert source_commit(manifest.parent) is None


def test_keys_are_private_and_are_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "own.key"
    key = SigningKey.generate()
    key.write(file, "correct horse")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(KeyUnusableError, match="left alone"):
        SigningKey.generate().write(file)
    assert SigningKey.read(file, lambda _: "correct horse").public == key.public
    with pytest.raises(KeyUnusableError, match="passphrase is another"):
        SigningKey.read(file, lambda _: "battery staple")
    with pytest.raises(KeyUnusableError, match="needs a passphrase"):
        SigningKey.read(file, lambda _: None)
    file.chmod(0o640)
    with pytest.raises(KeyUnusableError, match="others can read"):
        SigningKey.read(file, lambda _: "correct horse")
    file.chmod(0o600)
    file.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(KeyUnusableError, match="no private key"):
        SigningKey.read(file, lambda _: None)


def test_keys_of_openssh_sign_too(tmp_path: Path, origin: Origin) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = Ed25519PrivateKey.generate()
    file = tmp_path / "id_ed25519"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    file.chmod(0o600)
    key = SigningKey.read(file, lambda _: None)
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert type(key.public).parse(f"{line} ada@laptop") == key.public
    manifest = origin.project.add("greeter")
    origin.run("publish", manifest.parent, "--here", "--key", file)
    assert origin.run("show", "greeter", "--json").json["trust"] == TrustLevel.SIGNED.value
    protected = tmp_path / "protected"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "correct horse", "-f", protected], check=True
    )
    key = SigningKey.read(protected, lambda _: "correct horse")
    assert type(key.public).parse(Path(f"{protected}.pub").read_text()) == key.public
    with pytest.raises(KeyUnusableError, match="passphrase is another"):
        SigningKey.read(protected, lambda _: "battery staple")
    rsa = generate_private_key(65537, 2048)
    file.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    with pytest.raises(KeyUnusableError, match="another kind"):
        SigningKey.read(file, lambda _: None)

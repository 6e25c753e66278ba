"""Statements that publishers sign: about one release, and about who owns a namespace.

Both are statements of in-toto (Attestation Framework, Statement v1): a subject with its digest, and
a predicate of a type of ours. Their text is canonical JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from onex.domain.errors import OnexError
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_count,
    as_list,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    canonical_json,
    find_unwritable,
    is_deeper,
    parse_json,
    sha256_of,
)
from onex.domain.metadata import NodeMetadata
from onex.domain.public_key import PublicKey
from onex.domain.reference import NAMESPACE, NodeVersion

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
RELEASE_PREDICATE = "urn:onex:release:v1"
OWNERS_PREDICATE = "urn:onex:namespace-owners:v1"

MAXIMUM_OWNERS = 32
MAXIMUM_REVOKED = 200
MAXIMUM_TEXT = 500
MAXIMUM_DEPTH = 12
NO_STATEMENT = "0" * 64
"""Stands for the statement before the first one."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)")


def contract_digest(metadata: NodeMetadata) -> str:
    """The digest of what a node takes and gives: its inputs and outputs with their schemas."""
    contract: JsonValue = {"inputs": metadata.inputs, "outputs": metadata.outputs}
    return "sha256:" + sha256_of(canonical_json(contract))


@dataclass(frozen=True, slots=True)
class SourceCommit:
    """The commit of a repository from which a release was made."""

    repository: str
    commit: str

    def to_json(self) -> JsonObject:
        return {"repository": self.repository, "commit": self.commit}


@dataclass(frozen=True, slots=True)
class ReleaseStatement:
    """What a publisher says of one version of a node.

    ``digest`` is that of its files; ``permissions`` are all that it asks for; ``contract`` is
    what ``contract_digest`` gives; ``commit`` is where it was made from, if that is known.
    """

    node: NodeVersion
    digest: str
    permissions: tuple[str, ...]
    contract: str
    commit: SourceCommit | None = None

    @classmethod
    def about(cls, metadata: NodeMetadata, digest: str, commit: SourceCommit | None = None) -> Self:
        """The statement that is true of metadata and the digest of the node's files."""
        asked = tuple(sorted(map(str, metadata.requests)))
        return cls(metadata.node_version, digest, asked, contract_digest(metadata), commit)

    def difference(self, other: Self) -> str | None:
        """What this says otherwise than another statement, in words; None for nothing.

        The commit does not count, which the files do not show.
        """
        if self.node != other.node:
            return f"it is about {self.node}"
        if self.digest != other.digest:
            return f"it is about other files, {self.digest[:23]}..."
        if self.permissions != other.permissions:
            return "it names other permissions"
        if self.contract != other.contract:
            return "it names other inputs or outputs"
        return None

    def payload(self) -> bytes:
        """The text that is signed."""
        predicate: JsonObject = {
            "node": str(self.node.node),
            "version": str(self.node.version),
            "permissions": list(self.permissions),
            "contract": self.contract,
            "source": None if self.commit is None else self.commit.to_json(),
        }
        return _payload(
            str(self.node), self.digest.removeprefix("sha256:"), RELEASE_PREDICATE, predicate
        )

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read what ``payload`` wrote, which may be hostile; raises ValueError."""
        name, digest, predicate = _read(payload, RELEASE_PREDICATE)
        try:
            node = NodeVersion.parse(
                f"{as_text(predicate['node'])}@{as_text(predicate['version'])}"
            )
            source = predicate["source"]
            commit = None
            if source is not None:
                found = as_object(source)
                commit = SourceCommit(_short(found["repository"]), _short(found["commit"]))
            statement = cls(
                node,
                f"sha256:{digest}",
                as_texts(predicate["permissions"]),
                as_text(predicate["contract"]),
                commit,
            )
        except (KeyError, TypeError, OnexError) as error:
            raise ValueError(f"it is no statement about a release: {error}"[:200]) from error
        if name != str(node):
            raise ValueError("its subject and its predicate are about different versions")
        return statement


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """A key that speaks for a namespace, and whose it is."""

    key: PublicKey
    name: str = ""

    def to_json(self) -> JsonObject:
        return {"key": str(self.key), "id": self.key.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A key that is good for nothing any more.

    ``since`` is the time (RFC 3339) from which on what it signed counts for nothing; None for all.
    """

    key_id: str
    reason: str
    since: str | None = None

    def to_json(self) -> JsonObject:
        return {"id": self.key_id, "reason": self.reason, "since": self.since}


@dataclass(frozen=True, slots=True)
class OwnersStatement:
    """Who owns a namespace and all below it, from now on.

    ``sequence`` counts the statements about the namespace from 1; ``previous`` is the SHA-256 of
    the payload before this one, ``NO_STATEMENT`` for the first. ``threshold`` keys must sign the
    next statement.
    """

    namespace: str
    sequence: int
    previous: str
    keys: tuple[OwnerKey, ...]
    threshold: int = 1
    revoked: tuple[RevokedKey, ...] = ()

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """The keys of the owners."""
        return tuple(owner.key for owner in self.keys)

    def payload(self) -> bytes:
        """The text that is signed."""
        predicate: JsonObject = {
            "namespace": self.namespace,
            "sequence": self.sequence,
            "keys": [owner.to_json() for owner in self.keys],
            "threshold": self.threshold,
            "revoked": [key.to_json() for key in self.revoked],
        }
        return _payload(f"namespace:{self.namespace}", self.previous, OWNERS_PREDICATE, predicate)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read what ``payload`` wrote, which may be hostile; raises ValueError."""
        name, previous, predicate = _read(payload, OWNERS_PREDICATE)
        try:
            keys = tuple(
                OwnerKey(PublicKey.parse(as_text(item["key"])), _short(item["name"]))
                for item in map(as_object, as_list(predicate["keys"])[: MAXIMUM_OWNERS + 1])
            )
            revoked = tuple(
                RevokedKey(_short(item["id"]), _short(item["reason"]), _since(item["since"]))
                for item in map(as_object, as_list(predicate["revoked"])[: MAXIMUM_REVOKED + 1])
            )
            statement = cls(
                as_text(predicate["namespace"]),
                as_count(predicate["sequence"]),
                previous,
                keys,
                as_count(predicate["threshold"]),
                revoked,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no statement about owners: {error}"[:200]) from error
        if name != f"namespace:{statement.namespace}":
            raise ValueError("its subject and its predicate are about different namespaces")
        statement.check()
        return statement

    def check(self) -> None:
        """Raise ValueError if nobody could go by this statement."""
        if not NAMESPACE.fullmatch(self.namespace):
            raise ValueError("it names no namespace")
        if not 1 <= len(self.keys) <= MAXIMUM_OWNERS or len(self.revoked) > MAXIMUM_REVOKED:
            raise ValueError(f"a namespace has 1 to {MAXIMUM_OWNERS} keys")
        if len(set(self.public_keys)) != len(self.keys):
            raise ValueError("it names a key twice")
        if not 1 <= self.threshold <= len(self.keys):
            raise ValueError("its threshold is no number of its keys")
        if {key.id for key in self.public_keys} & {key.key_id for key in self.revoked}:
            raise ValueError("it names a key among the owners that it revokes")


def _payload(name: str, sha256: str, predicate_type: str, predicate: JsonObject) -> bytes:
    statement: JsonObject = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return canonical_json(statement).encode()


def _read(payload: bytes, predicate_type: str) -> tuple[str, str, JsonObject]:
    """The name and the digest of a statement's one subject, and its predicate; ValueError."""
    try:
        body = as_object(parse_json(payload))
        unwritable = find_unwritable(body)
        if unwritable is not None or is_deeper(body, MAXIMUM_DEPTH):
            raise ValueError(unwritable or "it is nested too deeply")
        if body["_type"] != STATEMENT_TYPE or body["predicateType"] != predicate_type:
            raise ValueError(f"it is no statement of the type {predicate_type}")
        (subject,) = map(as_object, as_list(body["subject"]))
        digest = as_text(as_object(subject["digest"])["sha256"])
        if not _DIGEST.fullmatch(digest):
            raise ValueError("the digest of its subject is none")
        return as_text(subject["name"]), digest, as_object(body["predicate"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no statement: {error}"[:200]) from error


def _short(value: JsonValue) -> str:
    text = as_text(value)
    if len(text) > MAXIMUM_TEXT or not text.isprintable():
        raise ValueError(f"a text in it is longer than {MAXIMUM_TEXT} characters, or not printable")
    return text


def _since(value: JsonValue) -> str | None:
    text = as_optional_text(value)
    if text is not None:
        if not _TIME.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is no time in UTC")
        datetime.fromisoformat(text)
    return text

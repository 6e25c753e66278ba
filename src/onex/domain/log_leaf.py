"""What an entry of a log is in its Merkle tree.

A leaf commits to the whole entry by its hash, and says apart what everybody may know of it. So a
reader can prove that a release is in the log from what the index shows of it, and learns nothing
of entries that are not public.
"""

from __future__ import annotations

import hashlib

from onex.domain.archive_place import ArchivePlace
from onex.domain.envelope import Envelope
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import JsonObject, as_text, canonical_json
from onex.domain.merkle import leaf_hash
from onex.domain.namespace_owners import OWNERS_CHANGED
from onex.domain.release_trust import SIGNED

RELEASED = "release.published"
"""The action of the log by which a version is published."""


def leaf_of(event: Event) -> bytes:
    """The hash of an entry in the tree."""
    if event.outcome != ALLOWED:
        return _leaf(event.serial, event.hash, {})
    if event.action == RELEASED:
        facts = event.facts
        place = ArchivePlace.parse(as_text(facts["place"]))
        said = facts.get("statement")
        return release_leaf(
            event.serial,
            event.hash,
            event.object,
            as_text(facts["digest"]),
            "" if place is None else place.sha256,
            event.time,
            None if said is None else Envelope.from_json(said).payload,
        )
    if event.action in (SIGNED, OWNERS_CHANGED):
        payload = Envelope.from_json(event.facts["statement"]).payload
        return statement_leaf(event.serial, event.hash, event.object, payload, event.time)
    return _leaf(event.serial, event.hash, {})


def release_leaf(
    serial: int,
    entry: str,
    node: str,
    digest: str,
    archive: str,
    time: str,
    statement: bytes | None,
) -> bytes:
    """The leaf of a release.

    Args:
        serial: the entry's.
        entry: its hash in the chain of the log.
        node: the version, as ``type://namespace@1.2.3``.
        digest: that of its files.
        archive: the SHA-256 of its archive.
        time: when it was published.
        statement: the payload that was signed about it when it was published, if one was.
    """
    public: JsonObject = {
        "node": node,
        "digest": digest,
        "archive": archive,
        "time": time,
        "statement": None if statement is None else hashlib.sha256(statement).hexdigest(),
    }
    return _leaf(serial, entry, public)


def statement_leaf(serial: int, entry: str, about: str, payload: bytes, time: str) -> bytes:
    """The leaf of a statement about a version that is published, or about a namespace's owners."""
    statement = hashlib.sha256(payload).hexdigest()
    public: JsonObject = {"about": about, "statement": statement, "time": time}
    return _leaf(serial, entry, public)


def _leaf(serial: int, entry: str, public: JsonObject) -> bytes:
    content: JsonObject = {"serial": serial, "entry": entry, "public": public}
    return leaf_hash(canonical_json(content).encode())

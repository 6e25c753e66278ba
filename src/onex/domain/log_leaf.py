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

RELEASED = "release.published"
"""The action of the log by which a version is published."""


def leaf_of(event: Event) -> bytes:
    """The hash of an entry in the tree."""
    public: JsonObject = {}
    if event.outcome == ALLOWED and event.action == RELEASED:
        facts = event.facts
        place = ArchivePlace.parse(as_text(facts["place"]))
        archive = "" if place is None else place.sha256
        return release_leaf(
            event.serial, event.hash, event.object, as_text(facts["digest"]), archive, event.time
        )
    if event.outcome == ALLOWED and event.action == OWNERS_CHANGED:
        statement = Envelope.from_json(event.facts["statement"])
        return owners_leaf(event.serial, event.hash, event.object, statement.payload, event.time)
    return _leaf(event.serial, event.hash, public)


def release_leaf(serial: int, entry: str, node: str, digest: str, archive: str, time: str) -> bytes:
    """The leaf of a release.

    Args:
        serial: the entry's.
        entry: its hash in the chain of the log.
        node: the version, as ``type://namespace@1.2.3``.
        digest: that of its files.
        archive: the SHA-256 of its archive.
        time: when it was published.
    """
    public: JsonObject = {"node": node, "digest": digest, "archive": archive, "time": time}
    return _leaf(serial, entry, public)


def owners_leaf(serial: int, entry: str, namespace: str, payload: bytes, time: str) -> bytes:
    """The leaf of a statement about the owners of a namespace."""
    statement = hashlib.sha256(payload).hexdigest()
    public: JsonObject = {"namespace": namespace, "statement": statement, "time": time}
    return _leaf(serial, entry, public)


def _leaf(serial: int, entry: str, public: JsonObject) -> bytes:
    content: JsonObject = {"serial": serial, "entry": entry, "public": public}
    return leaf_hash(canonical_json(content).encode())

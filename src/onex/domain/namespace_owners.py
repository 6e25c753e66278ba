"""NamespaceOwners: whose keys speak for a namespace, by statements that each follow from the last.

A reader checks the chain itself. Each statement holds the digest of the one before it and is signed
by as many of the keys named there as were asked for, so a registry cannot put owners in place; it
can only keep statements back, or show another beginning to somebody who knows none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from onex.domain.access_control import covers
from onex.domain.envelope import Envelope
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import JsonObject, JsonValue, as_count, as_object, as_text
from onex.domain.public_key import PublicKey
from onex.domain.statement import NO_STATEMENT, PAYLOAD_TYPE, OwnersStatement, RevokedKey
from onex.domain.trust_errors import OwnersRefusedError

OWNERS_CHANGED = "namespace.owners"
"""The action of the log by which the owners of a namespace are set or changed."""
OWNERS_SEEN = "namespace.seen"
"""The action of the log by which a reader remembers the owners that a remote showed."""

KEY_PINNED, KEY_UNPINNED = "key.pinned", "key.unpinned"
"""The actions of the log by which a user says whose key must be among those of a namespace."""

MAXIMUM_LINKS = 1_000

Verifier = Callable[[Envelope], frozenset[PublicKey]]
"""Gives the keys by which an envelope is truly signed, whosever they are."""


@dataclass(frozen=True, slots=True)
class OwnersLink:
    """A statement about owners, and the entry of the registry's log by which it came to hold.

    ``signers`` are those who had to sign it, and did; ``time`` is an RFC 3339 timestamp in UTC,
    ``entry`` the hash of the entry.
    """

    envelope: Envelope
    statement: OwnersStatement
    signers: frozenset[PublicKey]
    serial: int
    time: str
    entry: str = ""

    def to_json(self) -> JsonObject:
        return {
            "envelope": self.envelope.to_json(),
            "serial": self.serial,
            "time": self.time,
            "entry": self.entry,
        }


@dataclass(frozen=True, slots=True)
class NamespaceOwners:
    """The owners of one namespace, and how they came to be; the first link is the oldest."""

    links: tuple[OwnersLink, ...]

    @property
    def namespace(self) -> str:
        return self.links[0].statement.namespace

    @property
    def current(self) -> OwnersStatement:
        """What holds now."""
        return self.links[-1].statement

    def in_force(self, serial: int) -> OwnersStatement | None:
        """The statement that held at an entry of the log; None before the first one."""
        held = [link.statement for link in self.links if link.serial <= serial]
        return held[-1] if held else None

    def revocation(self, key_id: str, at: str | None) -> RevokedKey | None:
        """The revocation that makes what a key signed at a time count for nothing.

        Any revocation of the key does if the time is not known.
        """
        for revoked in self.current.revoked:
            if revoked.key_id == key_id and (
                revoked.since is None
                or at is None
                or datetime.fromisoformat(revoked.since) <= datetime.fromisoformat(at)
            ):
                return revoked
        return None

    def covers(self, namespace: str) -> bool:
        """Whether a namespace is this one or below it."""
        return covers(self.namespace, namespace)

    def continues(self, before: NamespaceOwners) -> bool:
        """Whether these are the owners that were known before, and what followed from them."""
        known = [link.envelope.payload for link in before.links]
        return [link.envelope.payload for link in self.links[: len(known)]] == known

    @property
    def signers(self) -> frozenset[PublicKey]:
        """Everybody who signed one of the statements, and had a right to."""
        return frozenset().union(*(link.signers for link in self.links))

    def with_statement(
        self, envelope: Envelope, serial: int, time: str, verify: Verifier, entry: str = ""
    ) -> NamespaceOwners:
        """The owners after a further statement; raises OwnersRefusedError as ``first_owners``."""
        return NamespaceOwners((*self.links, _link(envelope, self, serial, time, entry, verify)))

    def to_json(self) -> JsonObject:
        """What ``onex trust owners`` prints."""
        current = self.current
        return {
            "namespace": self.namespace,
            "sequence": current.sequence,
            "threshold": current.threshold,
            "keys": [key.to_json() for key in current.keys],
            "revoked": [key.to_json() for key in current.revoked],
            "since": self.links[-1].time,
        }


def first_owners(
    envelope: Envelope, serial: int, time: str, verify: Verifier, entry: str = ""
) -> NamespaceOwners:
    """The owners of a namespace that had none.

    Raises:
        OwnersRefusedError: the statement is none, does not follow, or lacks signatures.
    """
    return NamespaceOwners((_link(envelope, None, serial, time, entry, verify),))


def _link(
    envelope: Envelope,
    before: NamespaceOwners | None,
    serial: int,
    time: str,
    entry: str,
    verify: Verifier,
) -> OwnersLink:
    try:
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError("its payload is no statement")  # noqa: TRY301
        statement = OwnersStatement.parse(envelope.payload)
    except ValueError as error:
        raise OwnersRefusedError(
            f"a statement about owners cannot be used: {error}", hint="make it with onex trust"
        ) from error
    name = statement.namespace
    if before is None:
        expected = (name, 1, NO_STATEMENT)
        signers, threshold, by = statement.public_keys, statement.threshold, name
    else:
        last = before.links[-1]
        digest = hashlib.sha256(last.envelope.payload).hexdigest()
        expected = (before.namespace, last.statement.sequence + 1, digest)
        signers, threshold = last.statement.public_keys, last.statement.threshold
        by = before.namespace
    if (name, statement.sequence, statement.previous) != expected:
        raise OwnersRefusedError(
            f"statement {statement.sequence} about {name} does not follow from statement"
            f" {expected[1] - 1} about {expected[0]}",
            hint="somebody may have changed the owners meanwhile; look, and make it again",
        )
    signed = verify(envelope).intersection(signers)
    if len(signed) < threshold:
        raise OwnersRefusedError(
            f"statement {statement.sequence} about {name} is signed by {len(signed)} of the"
            f" {threshold} keys of {by} that it needs",
            hint="have it signed by an owner: onex trust owners NAMESPACE --key FILE",
        )
    return OwnersLink(envelope, statement, signed, serial, time, entry)


def read_owners(links: Iterable[JsonValue], verify: Verifier) -> NamespaceOwners:
    """Owners from links as JSON, which may be hostile: each is checked against the one before.

    Raises:
        OwnersRefusedError: one does not follow, or there is none.
    """
    owners: NamespaceOwners | None = None
    for count, value in enumerate(links):
        try:
            if count >= MAXIMUM_LINKS:
                raise ValueError(f"there are more than {MAXIMUM_LINKS} statements")  # noqa: TRY301
            link = as_object(value)
            envelope = Envelope.from_json(link["envelope"])
            serial, time = as_count(link["serial"]), as_text(link["time"])
            entry = as_text(link.get("entry", ""))
            datetime.fromisoformat(time)
        except (KeyError, TypeError, ValueError) as error:
            raise OwnersRefusedError(
                f"the owners of a namespace cannot be read: {error}"[:300],
                hint="tell those who run the registry",
            ) from error
        if owners is None:
            owners = first_owners(envelope, serial, time, verify, entry)
        else:
            if serial <= owners.links[-1].serial:
                raise OwnersRefusedError(
                    f"the statements about {owners.namespace} are not in the order of the log",
                    hint="tell those who run the registry",
                )
            owners = owners.with_statement(envelope, serial, time, verify, entry)
    if owners is None:
        raise OwnersRefusedError(
            "there is no statement about owners", hint="tell those who run the registry"
        )
    return owners


def published_owners(events: Iterable[Event], verify: Verifier) -> dict[str, NamespaceOwners]:
    """The owners of each namespace of a registry, after the entries of its log about them."""
    found: dict[str, NamespaceOwners] = {}
    for event in events:
        if event.action != OWNERS_CHANGED or event.outcome != ALLOWED:
            continue
        envelope = Envelope.from_json(event.facts["statement"])
        before = found.get(event.object)
        if before is None:
            found[event.object] = first_owners(
                envelope, event.serial, event.time, verify, event.hash
            )
        else:
            found[event.object] = before.with_statement(
                envelope, event.serial, event.time, verify, event.hash
            )
    return found


def covering(owners: Iterable[NamespaceOwners], namespace: str) -> NamespaceOwners | None:
    """The owners of a namespace or of one above it; no two of them overlap."""
    return next((found for found in owners if found.covers(namespace)), None)


def overlapping(owners: Iterable[NamespaceOwners], namespace: str) -> NamespaceOwners | None:
    """The owners of a namespace, of one above it, or of one below it."""
    return next(
        (
            found
            for found in owners
            if found.covers(namespace) or covers(namespace, found.namespace)
        ),
        None,
    )

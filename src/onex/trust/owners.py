"""Owners: whose keys speak for namespaces, in a registry that publishes and in one that reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from onex.domain.access_control import covers, enclosing_namespaces
from onex.domain.envelope import Envelope
from onex.domain.event import ALLOWED
from onex.domain.json_value import JsonObject
from onex.domain.known_owners import KnownOwners
from onex.domain.namespace_owners import (
    KEY_PINNED,
    KEY_UNPINNED,
    OWNERS_CHANGED,
    OWNERS_SEEN,
    NamespaceOwners,
    first_owners,
    published_owners,
)
from onex.domain.public_key import PublicKey
from onex.domain.remote_errors import NotPublishableError
from onex.domain.statement import OwnersStatement
from onex.domain.trust_errors import OwnersRefusedError
from onex.storage.backend import StorageBackend, StorageWriter
from onex.trust.signing import claimed_signers, signers_of, with_true_signatures


@dataclass(frozen=True, slots=True)
class AroundChange:
    """What is done around a change of owners, in the same transaction.

    ``before`` gets the namespace and the owners that it had, and may refuse; ``after`` gets the
    owners that it has then.
    """

    before: Callable[[str, NamespaceOwners | None], None] = lambda name, owners: None
    after: Callable[[StorageWriter, NamespaceOwners], None] = lambda writer, owners: None


class PublishedOwners:
    """The owners of the namespaces of a registry that others publish to."""

    def __init__(self, storage: StorageBackend, actor: str | None = None) -> None:
        """``actor`` is who changes them, as the log names them."""
        self._storage = storage
        self._actor = actor

    def all(self) -> Mapping[str, NamespaceOwners]:
        """The owners of each namespace that has any."""
        return published_owners(self._storage.owner_events(), claimed_signers)

    def names(self) -> frozenset[str]:
        """The namespaces that have owners."""
        return frozenset(
            event.object
            for event in self._storage.owner_events()
            if event.action == OWNERS_CHANGED and event.outcome == ALLOWED
        )

    def of(self, namespace: str) -> NamespaceOwners | None:
        """The owners of exactly this namespace."""
        events = self._storage.events_about(namespace)
        return published_owners(events, claimed_signers).get(namespace)

    def covering(self, namespace: str) -> NamespaceOwners | None:
        """The owners of a namespace or of one above it."""
        return next(filter(None, map(self.of, enclosing_namespaces(namespace))), None)

    def change(self, envelope: Envelope, around: AroundChange | None = None) -> NamespaceOwners:
        """Set the first owners of a namespace, or change those that it has.

        Raises:
            OwnersRefusedError: the statement does not follow from the one before, is not signed by
                enough owners, or a namespace above or below has owners of its own. The refusal is
                an entry of the log.
        """
        asked = around or AroundChange()
        try:
            name = OwnersStatement.parse(envelope.payload).namespace
        except ValueError as error:
            raise OwnersRefusedError(
                f"a statement about owners cannot be used: {error}", hint="make it with onex trust"
            ) from error

        def store(writer: StorageWriter) -> NamespaceOwners:
            before = self.of(name)
            if before is not None and before.links[-1].envelope.payload == envelope.payload:
                # A repeated request, whose first answer was lost.
                return before
            asked.before(name, before)
            if before is None:
                _require_free(name, self.names())
                first_owners(envelope, 0, "", signers_of)
            else:
                before.with_statement(envelope, 0, "", signers_of)
            # What is read from the log later is not checked again.
            true = with_true_signatures(envelope)
            entry = writer.note(OWNERS_CHANGED, name, {"statement": true.to_json()})
            if before is None:
                changed = first_owners(true, entry.serial, entry.time, signers_of, entry.hash)
            else:
                changed = before.with_statement(
                    true, entry.serial, entry.time, signers_of, entry.hash
                )
            asked.after(writer, changed)
            return changed

        try:
            return self._storage.write(store, self._actor)
        except (OwnersRefusedError, NotPublishableError) as error:
            reason = f"{error.code}: {error.message}"
            self._storage.write(lambda w: w.refused(OWNERS_CHANGED, name, reason), self._actor)
            raise


class RememberedOwners:
    """What the user of this registry knows of the owners of namespaces elsewhere."""

    def __init__(self, storage: StorageBackend, actor: str | None = None) -> None:
        """``actor`` is who changes it, as the log names them."""
        self._storage = storage
        self._actor = actor

    def known(self) -> KnownOwners:
        """The owners that were seen, and the keys that are pinned."""
        return KnownOwners.after(self._storage.owner_events(), claimed_signers)

    def names(self) -> frozenset[str]:
        """The namespaces whose owners were seen."""
        return frozenset(
            event.object
            for event in self._storage.owner_events()
            if event.action == OWNERS_SEEN and event.facts["links"]
        )

    def forget(self, namespace: str) -> bool:
        """Forget the owners of a namespace, so that others are believed; whether there were any."""
        if self.known().of(namespace) is None:
            return False
        self._note(OWNERS_SEEN, namespace, {"links": [], "registry": ""})
        return True

    def pin(self, namespace: str, key: PublicKey) -> None:
        """Believe owners of a namespace only if this key signed a statement about them."""
        self._note(KEY_PINNED, namespace, {"key": str(key)})

    def unpin(self, namespace: str) -> bool:
        """Give up the pinned keys of a namespace; returns whether there were any."""
        if namespace not in self.known().pinned:
            return False
        self._note(KEY_UNPINNED, namespace, {})
        return True

    def _note(self, action: str, namespace: str, body: JsonObject) -> None:
        self._storage.write(lambda writer: writer.note(action, namespace, body), self._actor)


def note_seen(writer: StorageWriter, owners: NamespaceOwners, registry: str) -> None:
    """Remember owners that a registry showed, and that ``KnownOwners`` accepted."""
    # What is read from the log later is not checked again.
    links = [
        replace(link, envelope=with_true_signatures(link.envelope)).to_json()
        for link in owners.links
    ]
    writer.note(OWNERS_SEEN, owners.namespace, {"links": links, "registry": registry})


def _require_free(name: str, owned: Iterable[str]) -> None:
    other = next((o for o in owned if o != name and (covers(o, name) or covers(name, o))), None)
    if other is not None:
        raise OwnersRefusedError(
            f"{name} overlaps with {other}, which has owners",
            hint=f"have the owners of {other} add your key to theirs",
        )

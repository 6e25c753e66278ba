"""Owners: whose keys speak for namespaces, in a registry that publishes and in one that reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from onex.domain.envelope import Envelope
from onex.domain.json_value import JsonObject
from onex.domain.known_owners import KnownOwners
from onex.domain.namespace_owners import (
    KEY_PINNED,
    KEY_UNPINNED,
    OWNERS_CHANGED,
    OWNERS_SEEN,
    NamespaceOwners,
    covering,
    first_owners,
    overlapping,
    published_owners,
)
from onex.domain.public_key import PublicKey
from onex.domain.remote_errors import NotPublishableError
from onex.domain.statement import OwnersStatement
from onex.domain.trust_errors import OwnersRefusedError
from onex.storage.backend import StorageBackend, StorageWriter
from onex.trust.signing import signers_of

RequireRoom = Callable[[Mapping[str, NamespaceOwners], str], None]
"""Is asked about a namespace, with the owners that there are, before those of it change."""


class PublishedOwners:
    """The owners of the namespaces of a registry that others publish to."""

    def __init__(self, storage: StorageBackend, actor: str | None = None) -> None:
        """``actor`` is who changes them, as the log names them."""
        self._storage = storage
        self._actor = actor

    def all(self) -> Mapping[str, NamespaceOwners]:
        """The owners of each namespace that has any."""
        return published_owners(self._storage.owner_events(), signers_of)

    def covering(self, namespace: str) -> NamespaceOwners | None:
        """The owners of a namespace or of one above it."""
        return covering(self.all().values(), namespace)

    def change(
        self, envelope: Envelope, require: RequireRoom = lambda known, name: None
    ) -> NamespaceOwners:
        """Set the first owners of a namespace, or change those that it has.

        ``require`` is asked first, and raises what speaks against it.

        Raises:
            OwnersRefusedError: the statement does not follow from the one before, is not signed by
                enough owners, or a namespace above or below has owners of its own. The refusal is
                an entry of the log.
        """
        try:
            name = OwnersStatement.parse(envelope.payload).namespace
        except ValueError as error:
            raise OwnersRefusedError(
                f"a statement about owners cannot be used: {error}", hint="make it with onex trust"
            ) from error

        def store(writer: StorageWriter) -> NamespaceOwners:
            known = self.all()
            before = known.get(name)
            if before is not None and before.links[-1].envelope.payload == envelope.payload:
                # A repeated request, whose first answer was lost.
                return before
            require(known, name)
            if before is None:
                _require_free(name, known.values())
                first_owners(envelope, 0, "", signers_of)
            else:
                before.with_statement(envelope, 0, "", signers_of)
            entry = writer.note(OWNERS_CHANGED, name, {"statement": envelope.to_json()})
            if before is None:
                return first_owners(envelope, entry.serial, entry.time, signers_of)
            return before.with_statement(envelope, entry.serial, entry.time, signers_of)

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
        return KnownOwners.after(self._storage.owner_events(), signers_of)

    def forget(self, namespace: str) -> bool:
        """Forget the owners of a namespace, so that others are believed; whether there were any."""
        if self.known().of(namespace) is None:
            return False
        self._note(OWNERS_SEEN, namespace, {"links": [], "registry": ""})
        return True

    def pin(self, namespace: str, key: PublicKey) -> None:
        """Believe only owners of a namespace among whose keys this one is, or was."""
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
    links = [link.to_json() for link in owners.links]
    writer.note(OWNERS_SEEN, owners.namespace, {"links": links, "registry": registry})


def _require_free(name: str, known: Iterable[NamespaceOwners]) -> None:
    other = overlapping(known, name)
    if other is not None and other.namespace != name:
        raise OwnersRefusedError(
            f"{name} overlaps with {other.namespace}, which has owners",
            hint=f"have the owners of {other.namespace} add your key to theirs",
        )

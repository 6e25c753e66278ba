"""IndexSigner: signs the index of a registry as its log goes on.

Source: The Update Framework, specification 1.0.33, by the repository part of ``tuf.api``. What
changed since the last time is signed in one transaction: its bins, a snapshot that lists them, and
a timestamp. Versions follow the clock, so that they also go up after a backup was restored.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from onex.domain.errors import UsageError
from onex.domain.json_value import JsonObject
from onex.domain.public_key import PublicKey
from onex.storage.backend import KEEP_ALL, StorageBackend, StorageWriter
from onex.trust.index_layout import (
    BIN_PREFIX,
    LIFETIMES,
    LOG_HEAD,
    ROOT,
    SERIAL_FIELD,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    fingerprint_of,
    online_keys_of,
    target_name,
)
from onex.trust.index_roles import IndexRoles, compact, expires, require_online, signer_of
from onex.trust.log_head import SignedHead
from onex.trust.log_tree import LogTree
from onex.trust.signing import PUBLIC_SUFFIX, SigningKey

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Snapshot, SuccinctRoles, Targets

ROOT_CHANGED = "index.root"
"""The action of the log by which the root of the signed index is set or changed."""

NEXT_SUFFIX = ".next"
"""Ends the name of a key for daily signing that a root is to trust, and does not yet."""
KEPT_VERSIONS, KEPT_BINS = 20, 3

ReadContent = Callable[[str], bytes | None]
"""Gives the content of a file of the tree as it is now; None if it is not there."""
ChangedPaths = Callable[[int], Iterable[str]]
"""Gives the files of the tree that changed after an entry of the log."""


@dataclass(frozen=True, slots=True)
class _Occasion:
    """One time of signing: what changed after the entry ``since``, if ``is_due`` still says so.

    ``first`` is done in the same transaction; ``looks_at_all`` asks for all bins.
    """

    roles: IndexRoles
    key: SigningKey
    since: int
    is_due: Callable[[], bool]
    first: Callable[[StorageWriter], None]
    looks_at_all: bool


class IndexSigner:
    """Signs the index of one registry."""

    def __init__(
        self,
        storage: StorageBackend,
        key_file: Path,
        changed: ChangedPaths,
        content: ReadContent,
        log: LogTree,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            storage: the registry's.
            key_file: the key for daily signing.
            changed: gives what is to be signed anew.
            content: gives what is to be signed.
            log: the Merkle tree of the log, whose head is signed too.
        """
        self._storage = storage
        self.key_file = key_file
        self._changed = changed
        self._content = content
        self._log = log
        self._looked_until = 0

    def roles(self) -> IndexRoles | None:
        """The root and the targets; None if the index is not signed."""
        root = self._storage.signed_metadata(ROOT)
        targets = self._storage.signed_metadata(TARGETS)
        return None if root is None or targets is None else IndexRoles.of(root, targets)

    def online_keys(self) -> list[PublicKey]:
        """The keys that signed daily, by every root there was."""
        found: list[PublicKey] = []
        for version in self._storage.signed_versions(ROOT):
            content = self._storage.signed_metadata(ROOT, version)
            if content is not None:
                found += online_keys_of(json.loads(content)["signed"])
        return found

    def fingerprint(self) -> str | None:
        """What the root is pinned by now; None if the index is not signed."""
        root = self._storage.signed_metadata(ROOT)
        return None if root is None else fingerprint_of(root.encode())

    def require_key(self, roles: IndexRoles) -> None:
        """Raise KeyUnusableError unless the key for daily signing is at hand."""
        self._online_key(roles, is_taken=False)

    def install(self, roles: IndexRoles, actor: str | None = None) -> None:
        """Take over a root and targets.

        Raises:
            UsageError: signatures are missing, or they do not follow the ones that there are.
            KeyUnusableError: the key that it trusts for daily signing is not at hand.
        """
        before = self.roles()
        version = roles.root.signed.version
        expected = 1 if before is None else before.root.signed.version + 1
        if version != expected:
            raise UsageError(
                f"the draft is version {version} of the root, and version {expected} is next",
                hint="make it anew: onex trust rotate",
            )
        missing = roles.missing(before)
        if missing > 0:
            raise UsageError(
                f"the root lacks {missing} signature{'s' if missing > 1 else ''}",
                hint="onex trust sign-root FILE --key KEY adds one",
            )
        key = self._online_key(roles, is_taken=False)
        root, targets = roles.content()

        def store(writer: StorageWriter) -> None:
            writer.put_signed_metadata(ROOT, version, root.decode(), KEEP_ALL)
            number = roles.targets.signed.version
            writer.put_signed_metadata(TARGETS, number, targets.decode(), KEEP_ALL)
            facts: JsonObject = {"version": version, "fingerprint": fingerprint_of(root)}
            writer.note(ROOT_CHANGED, "index", facts)

        def is_next() -> bool:
            versions = self._storage.signed_versions(ROOT)
            return (versions[-1] if versions else 0) == version - 1

        # In one transaction with what the new root trusts: no reader sees one without the other.
        if not self._sign(_Occasion(roles, key, 0, is_next, store, looks_at_all=True), actor):
            raise UsageError(
                "another root was taken over meanwhile", hint="make it anew: onex trust rotate"
            )
        self._online_key(roles)

    def update(self) -> bool:
        """Sign what changed, and what will expire soon; returns whether the index is signed.

        Raises:
            KeyUnusableError: the key cannot be read, or is not the one that the root trusts.
        """
        signed = self._signed_serial()
        if self._storage.signed_metadata(ROOT) is None:
            return False
        is_due = signed is None or self._is_due()
        serial = self._storage.serial()
        if not is_due and signed is not None:
            # Entries that change nothing which is signed, such as refusals, cost no signature.
            since = max(signed, self._looked_until)
            if serial == since or next(iter(self._changed(since)), None) is None:
                self._looked_until = serial
                return True
        roles = self.roles()
        if roles is None:
            return False
        key = self._online_key(roles)
        self._sign(
            _Occasion(
                roles,
                key,
                0 if signed is None else signed,
                lambda: self._signed_serial() == signed,
                lambda writer: None,
                looks_at_all=is_due,
            )
        )
        return True

    def _sign(self, occasion: _Occasion, actor: str | None = None) -> bool:
        """Sign what changed; returns whether it did, and somebody else did not meanwhile."""
        # Files are made before the transaction, which others wait for.
        serial = self._storage.serial()
        digests = self._digests(self._changed(occasion.since))
        self._log.current()

        def sign(writer: StorageWriter) -> bool:
            if not occasion.is_due():
                # What is left is signed the next time.
                return False
            occasion.first(writer)
            writer.finish()
            now = self._storage.serial()
            late = self._digests(self._changed(serial)) if now > serial else {}
            signing = _Signing(self._storage, writer, occasion.roles, occasion.key)
            signing.sign({**digests, **late}, now, looks_at_all=occasion.looks_at_all)
            time = datetime.now(UTC).isoformat(timespec="seconds")
            root = self._log.current().root(now)
            head = SignedHead.sign(self._storage.identity, now, root, time, occasion.key)
            versions = self._storage.signed_versions(LOG_HEAD)
            number = (versions[-1] if versions else 0) + 1
            writer.put_signed_metadata(LOG_HEAD, number, str(head.envelope), 1)
            return True

        return self._storage.write(sign, actor)

    def _online_key(self, roles: IndexRoles, *, is_taken: bool = True) -> SigningKey:
        """The key that the root trusts for daily signing; one that was made for it takes over.

        Nothing is moved unless the root is already taken over (``is_taken``).
        """
        following = self.key_file.with_suffix(NEXT_SUFFIX)
        if following.exists():
            key = SigningKey.read(following, lambda file: None)
            if roles.is_online(key):
                if is_taken:
                    for suffix in ("", PUBLIC_SUFFIX):
                        made = following.with_name(following.name + suffix)
                        made.replace(self.key_file.with_name(self.key_file.name + suffix))
                return key
        key = SigningKey.read(self.key_file, lambda file: None)
        require_online(roles, key)
        return key

    def _signed_serial(self) -> int | None:
        """The entry of the log as of which the index was signed; None if it never was."""
        content = self._storage.signed_metadata(TIMESTAMP)
        return None if content is None else int(json.loads(content)["signed"][SERIAL_FIELD])

    def _is_due(self) -> bool:
        """Whether something is past the half of its life, or the clock was wrong as it began."""
        for role in (TIMESTAMP, SNAPSHOT):
            content = self._storage.signed_metadata(role)
            if content is None:
                return True
            end = datetime.fromisoformat(json.loads(content)["signed"]["expires"])
            left = end - datetime.now(UTC)
            # What is good for too long could be shown by a mirror for as long.
            if abs(left - LIFETIMES[role]) > LIFETIMES[role] / 2:
                return True
        return False

    def _digests(self, paths: Iterable[str]) -> dict[str, tuple[str, int] | None]:
        """The SHA-256 and the size of files, by their names among the targets; None if gone."""
        found: dict[str, tuple[str, int] | None] = {}
        for path in paths:
            content = self._content(path)
            found[target_name(path)] = (
                None if content is None else (hashlib.sha256(content).hexdigest(), len(content))
            )
        return found


class _Signing:
    """One time of signing, inside a transaction."""

    def __init__(
        self, storage: StorageBackend, writer: StorageWriter, roles: IndexRoles, key: SigningKey
    ) -> None:
        self._storage = storage
        self._writer = writer
        self._roles = roles
        self._signer = signer_of(key)
        self._now = time.time_ns() // 1_000_000

    def sign(
        self,
        digests: Mapping[str, tuple[str, int] | None],
        serial: int,
        *,
        looks_at_all: bool,
    ) -> None:
        """Sign what files hold as of an entry of the log; all bins are looked at if asked for."""
        from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

        delegations = self._roles.targets.signed.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise TypeError("the targets delegate to no bins")
        bins = delegations.succinct_roles
        content = self._storage.signed_metadata(SNAPSHOT)
        snapshot = (
            Snapshot(expires=expires(SNAPSHOT))
            if content is None
            else self._read_snapshot(content).signed
        )
        snapshot.meta[f"{TARGETS}.json"] = MetaFile(self._roles.targets.signed.version)
        by_bin: dict[str, dict[str, tuple[str, int] | None]] = {}
        if looks_at_all:
            by_bin = {name: {} for name in bins.get_roles() if not self._is_good(name, bins)}
        for target, digest in digests.items():
            by_bin.setdefault(bins.get_role_for_target(target), {})[target] = digest
        for name, changes in by_bin.items():
            version = self._sign_bin(name, changes)
            snapshot.meta[f"{name}.json"] = MetaFile(version)
        snapshot.version = self._following(SNAPSHOT)
        snapshot.expires = expires(SNAPSHOT)
        written = self._put(Metadata(snapshot), SNAPSHOT, snapshot.version)
        timestamp = Timestamp(
            version=self._following(TIMESTAMP),
            expires=expires(TIMESTAMP),
            snapshot_meta=MetaFile(
                snapshot.version,
                len(written),
                {"sha256": hashlib.sha256(written).hexdigest()},
            ),
            unrecognized_fields={SERIAL_FIELD: serial},
        )
        self._put(Metadata(timestamp), TIMESTAMP, timestamp.version)

    def _is_good(self, name: str, bins: SuccinctRoles) -> bool:
        """Whether a bin is signed by the key that is trusted, for a while yet."""
        content = self._storage.signed_metadata(name)
        if content is None:
            return False
        body = json.loads(content)
        signers = {signature["keyid"] for signature in body["signatures"]}
        end = datetime.fromisoformat(body["signed"]["expires"])
        is_lasting = end - datetime.now(UTC) > LIFETIMES[BIN_PREFIX] / 4
        return is_lasting and not signers.isdisjoint(bins.keyids)

    def _sign_bin(self, name: str, changes: Mapping[str, tuple[str, int] | None]) -> int:
        from tuf.api.metadata import Metadata, TargetFile, Targets

        content = self._storage.signed_metadata(name)
        known: Metadata[Targets] | None = (
            None if content is None else Metadata.from_bytes(content.encode())
        )
        signed = Targets() if known is None else known.signed
        for target, digest in changes.items():
            if digest is None:
                signed.targets.pop(target, None)
            else:
                sha256, size = digest
                signed.targets[target] = TargetFile(size, {"sha256": sha256}, target)
        signed.version = self._following(name)
        signed.expires = expires(BIN_PREFIX)
        self._put(Metadata(signed), name, signed.version)
        return int(signed.version)

    def _following(self, role: str) -> int:
        versions = self._storage.signed_versions(role)
        return max(self._now, (versions[-1] if versions else 0) + 1)

    def _put(self, metadata: Metadata, role: str, version: int) -> bytes:  # type: ignore[type-arg]
        metadata.sign(self._signer)
        content = compact(metadata)
        kept = KEPT_BINS if role.startswith(BIN_PREFIX) else KEPT_VERSIONS
        self._writer.put_signed_metadata(role, version, content.decode(), kept)
        return content

    def _read_snapshot(self, content: str) -> Metadata[Snapshot]:
        from tuf.api.metadata import Metadata

        found: Metadata[Snapshot] = Metadata.from_bytes(content.encode())
        return found

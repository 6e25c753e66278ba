"""The keys of a signed index: its root, and whom the root trusts for what.

Source: The Update Framework, specification 1.0.33, section 4, and TAP 15. Root and targets are
signed offline, by a threshold of keys that lie apart from the registry; snapshot, timestamp and the
bins by one key that the registry has at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from onex.domain.json_value import as_object, parse_json
from onex.domain.public_key import PublicKey
from onex.domain.trust_errors import KeyUnusableError, StatementRefusedError
from onex.trust.index_layout import (
    BIN_BITS,
    BIN_PREFIX,
    LIFETIMES,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
)
from onex.trust.signing import SigningKey

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey
    from tuf.api.metadata import Metadata, Root, Targets


def signer_of(key: SigningKey) -> CryptoSigner:
    """A key as the framework signs with it."""
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(key.private)


def _framework_key(key: PublicKey) -> SSlibKey:
    """A public key as the framework names it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(key.content))


def expires(role: str) -> datetime:
    """When something that is signed now for a role is good no more."""
    return datetime.now(UTC).replace(microsecond=0) + LIFETIMES[role]


@dataclass(frozen=True, slots=True)
class IndexRoles:
    """A version of the root and of the targets, which are signed by the same keys."""

    root: Metadata[Root]
    targets: Metadata[Targets]

    @classmethod
    def first(cls, root_keys: Sequence[SigningKey], threshold: int, online: SigningKey) -> Self:
        """The first version, signed by all these keys."""
        from tuf.api.metadata import Delegations, Metadata, Root, SuccinctRoles, Targets

        root = Root(expires=expires(ROOT), consistent_snapshot=True)
        delegations = Delegations({}, succinct_roles=SuccinctRoles([], 1, BIN_BITS, BIN_PREFIX))
        targets = Targets(expires=expires(TARGETS), delegations=delegations)
        signed_root: Metadata[Root] = Metadata(root)
        signed_targets: Metadata[Targets] = Metadata(targets)
        roles = cls(signed_root, signed_targets)
        roles.trust([key.public for key in root_keys], threshold)
        roles.trust_online(online)
        roles.sign(root_keys)
        return roles

    def following(self) -> Self:
        """A copy that is the next version, with nobody's signature yet."""
        from tuf.api.metadata import Metadata

        root: Metadata[Root] = Metadata.from_dict(self.root.to_dict())
        targets: Metadata[Targets] = Metadata.from_dict(self.targets.to_dict())
        root.signatures.clear()
        targets.signatures.clear()
        root.signed.version += 1
        targets.signed.version += 1
        root.signed.expires, targets.signed.expires = expires(ROOT), expires(TARGETS)
        return type(self)(root, targets)

    def trust(self, keys: Sequence[PublicKey], threshold: int) -> None:
        """Make these the keys of root and targets, and no others."""
        root = self.root.signed
        for role in (ROOT, TARGETS):
            for key_id in list(root.roles[role].keyids):
                root.revoke_key(key_id, role)
            for key in keys:
                root.add_key(_framework_key(key), role)
            root.roles[role].threshold = threshold

    def trust_online(self, key: SigningKey) -> None:
        """Make this the key of snapshot, timestamp and bins, and no other."""
        root, public = self.root.signed, signer_of(key).public_key
        for role in (SNAPSHOT, TIMESTAMP):
            for key_id in list(root.roles[role].keyids):
                root.revoke_key(key_id, role)
            root.add_key(public, role)
        delegations = self.targets.signed.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise TypeError("the targets delegate to no bins")
        delegations.keys = {public.keyid: public}
        delegations.succinct_roles.keyids = [public.keyid]

    def sign(self, keys: Iterable[SigningKey]) -> None:
        """Add the signatures of these keys to both."""
        for key in keys:
            signer = signer_of(key)
            self.root.sign(signer, append=True)
            self.targets.sign(signer, append=True)

    def missing(self, before: Self | None) -> int:
        """How many signatures are still missing, by the keys of this root and of the one before."""

        checked: list[tuple[Root, str, Metadata[Root] | Metadata[Targets]]] = [
            (self.root.signed, ROOT, self.root),
            (self.root.signed, TARGETS, self.targets),
        ]
        if before is not None:
            checked.append((before.root.signed, ROOT, self.root))
        missing = 0
        for delegator, role, metadata in checked:
            result = delegator.get_verification_result(
                role, metadata.signed_bytes, metadata.signatures
            )
            missing = max(missing, result.threshold - len(result.signed))
        return missing

    def is_online(self, key: SigningKey) -> bool:
        """Whether a key is the one that signs snapshot, timestamp and bins."""
        return signer_of(key).public_key.keyid in self.root.signed.roles[TIMESTAMP].keyids

    def content(self) -> tuple[bytes, bytes]:
        """The bytes of root and targets, as they are published."""
        return compact(self.root), compact(self.targets)

    def write(self) -> str:
        """Both in one text, which is carried to where the keys are."""
        root, targets = self.content()
        return json.dumps({ROOT: json.loads(root), TARGETS: json.loads(targets)}, indent=1)

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Read what ``write`` wrote; raises StatementRefusedError."""
        from tuf.api.exceptions import RepositoryError
        from tuf.api.metadata import Metadata

        try:
            body = as_object(parse_json(text))
            root: Metadata[Root] = Metadata.from_dict(dict(as_object(body[ROOT])))
            targets: Metadata[Targets] = Metadata.from_dict(dict(as_object(body[TARGETS])))
            if (root.signed.type, targets.signed.type) != (ROOT, TARGETS):
                raise ValueError("its parts are of other types")  # noqa: TRY301
        except (ValueError, KeyError, TypeError, RepositoryError) as error:
            raise StatementRefusedError(
                f"it is no draft of a root: {error}"[:300], hint="make one: onex trust rotate --out"
            ) from error
        return cls(root, targets)

    @classmethod
    def of(cls, root: str | bytes, targets: str | bytes) -> Self:
        """Read both as they are published."""
        return cls.read(json.dumps({ROOT: json.loads(root), TARGETS: json.loads(targets)}))


def compact(metadata: Metadata) -> bytes:  # type: ignore[type-arg]
    """Metadata as the bytes that are published."""
    from tuf.api.serialization.json import JSONSerializer

    return metadata.to_bytes(JSONSerializer(compact=True))


def require_online(roles: IndexRoles, key: SigningKey) -> None:
    """Raise KeyUnusableError if a key is not the one that the root trusts for daily signing."""
    if not roles.is_online(key):
        raise KeyUnusableError(
            "the key in trust/online.key is not the one that the root of the index trusts",
            hint="put the right one back, or make the root trust it: onex trust rotate",
        )

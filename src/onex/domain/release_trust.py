"""How far a release can be trusted: what speaks for it, and what a reader makes of that.

Specification: Node Validation, and the trust levels of the ONEX registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from onex.domain.envelope import Envelope
from onex.domain.evidence import Evidence, SignedStatement, TrustLevel
from onex.domain.json_value import JsonObject
from onex.domain.namespace_owners import NamespaceOwners, Verifier
from onex.domain.public_key import PublicKey
from onex.domain.statement import PAYLOAD_TYPE, OwnerKey, ReleaseStatement

SIGNED = "release.signed"
"""The action of the log by which a statement is added to a release that is published."""


@dataclass(frozen=True, slots=True)
class Check:
    """One step of an argument: what was looked at, whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str

    @classmethod
    def holds(cls, name: str, detail: str) -> Self:
        """A step that holds."""
        return cls(name, ok=True, detail=detail)

    @classmethod
    def fails(cls, name: str, detail: str) -> Self:
        """A step that does not hold."""
        return cls(name, ok=False, detail=detail)

    def to_json(self) -> JsonObject:
        return {"check": self.name, "ok": self.ok, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A level, and the argument for it.

    A release of which a check fails is refused; ``signer`` is whose signature gives the level.
    """

    level: TrustLevel
    checks: tuple[Check, ...]
    signer: PublicKey | None = None

    @property
    def failure(self) -> str | None:
        """What is wrong with the release; None if nothing is."""
        return next((check.detail for check in self.checks if not check.ok), None)


def judge(
    release: ReleaseStatement,
    evidence: Evidence,
    owners: NamespaceOwners | None,
    verify: Verifier,
    *,
    is_ordered: bool,
) -> Judgement:
    """Judge a release by the statements about it and the owners of its namespace.

    Once a namespace has owners, a release in it is taken only if one of them signed it: otherwise
    who stole a server or a token could leave the signature out. If it is not proved when it was
    published, it is taken to be published now, and any revocation of a key counts; whose key it
    was, is the registry's word then.

    Args:
        release: what is true of it.
        evidence: what the registry shows.
        owners: those of its namespace in the same registry, whose chain was checked; None if it
            has none.
        verify: checks signatures.
        is_ordered: whether entries and times of the evidence are proved by the registry's log.
    """
    checks, signatures = _statements(release, evidence, verify)
    signers = {key for key, _ in signatures}
    is_good = all(check.ok for check in checks)
    if owners is not None:
        revoked: dict[str, None] = {}
        for key, one in signatures:
            owner = _owner(owners, key, one)
            if owner is None:
                continue
            revocation = owners.revocation(key.id, one.time if is_ordered else None)
            if revocation is not None:
                revoked[f"the key {key.short_id} is revoked: {revocation.reason}"] = None
                continue
            checks += (
                Check.holds("owner", f"{owner.name or key.short_id} owned {owners.namespace} then"),
                Check.holds("revocation", f"the key {key.short_id} is not revoked"),
            )
            level = TrustLevel.VERIFIED if is_good else TrustLevel.REFUSED
            return Judgement(level, tuple(checks), key)
        if revoked:
            checks.append(Check.fails("revocation", "; ".join(revoked)))
            return Judgement(TrustLevel.REFUSED, tuple(checks))
        if not is_ordered or owners.in_force(evidence.serial) is not None:
            detail = f"{owners.namespace} has owners, and none of them signed it"
            checks.append(Check.fails("owner", detail))
            return Judgement(TrustLevel.REFUSED, tuple(checks))
    if not signers:
        checks.append(Check.holds("signature", "nobody signed it"))
    space = release.node.node.namespace
    checks.append(Check.holds("owner", f"{space} had no owners when it was published"))
    level = TrustLevel.SIGNED if signers else TrustLevel.UNVERIFIED
    return Judgement(
        level if is_good else TrustLevel.REFUSED, tuple(checks), min(signers, default=None)
    )


def _statements(
    release: ReleaseStatement, evidence: Evidence, verify: Verifier
) -> tuple[list[Check], list[tuple[PublicKey, SignedStatement]]]:
    """Check the statements about a release; returns also who truly signed which one that fits."""
    checks: list[Check] = []
    signatures: list[tuple[PublicKey, SignedStatement]] = []
    for one in evidence.statements:
        reason = _unfit(one.envelope, release)
        if reason is None and one.serial < evidence.serial:
            reason = "it is older than the release"
        if reason is not None:
            checks.append(Check.fails("statement", f"a statement does not fit: {reason}"))
            continue
        found = verify(one.envelope)
        if not found:
            detail = "a statement has no signature that is true of it"
            checks.append(Check.fails("signature", detail))
        signatures += ((key, one) for key in sorted(found))
    if signatures:
        names = ", ".join(sorted({key.short_id for key, _ in signatures}))
        detail = f"signed by {names}, over these files and this contract"
        checks.append(Check.holds("signature", detail))
    return checks, signatures


def _owner(owners: NamespaceOwners, key: PublicKey, signed: SignedStatement) -> OwnerKey | None:
    """The owner whose key it was when a statement was made; None if it was nobody's."""
    held = owners.in_force(signed.serial)
    return next((o for o in held.keys if o.key == key), None) if held is not None else None


def _unfit(envelope: Envelope, release: ReleaseStatement) -> str | None:
    """Why an envelope is no statement about a release; None if it is one."""
    if envelope.payload_type != PAYLOAD_TYPE:
        return "its payload is of another type"
    try:
        said = ReleaseStatement.parse(envelope.payload)
    except ValueError as error:
        return str(error)
    return said.difference(release)

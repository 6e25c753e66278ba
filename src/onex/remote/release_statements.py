"""What a registry asks of the statements that come with releases, before it takes them."""

from __future__ import annotations

from datetime import UTC, datetime

from onex.domain.envelope import Envelope
from onex.domain.evidence import MAXIMUM_STATEMENTS, Evidence, SignedStatement, TrustLevel
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.release_trust import judge
from onex.domain.statement import ReleaseStatement
from onex.domain.trust_errors import StatementRefusedError
from onex.trust.signing import signers_of


def require_statement(
    release: ReleaseStatement, envelope: Envelope | None, owners: NamespaceOwners | None
) -> TrustLevel:
    """Judge a release that is about to be published.

    Args:
        release: what is true of it.
        envelope: the statement that came with it, if one did.
        owners: those of its namespace, if it has any.

    Raises:
        StatementRefusedError: the statement is not true of the release, or nobody signed it who
            owns the namespace.
    """
    evidence = Evidence.of_unpublished(envelope, datetime.now(UTC).isoformat())
    judgement = judge(release, evidence, owners, signers_of, is_ordered=True)
    if judgement.failure is not None:
        hint = "sign it again: onex publish DIR --key FILE"
        if owners is not None:
            keys = ", ".join(k.name or k.key.short_id for k in owners.current.keys)
            hint = f"sign it with a key of an owner of {owners.namespace} ({keys}): --key FILE"
        raise StatementRefusedError(
            f"{release.node} cannot be published: {judgement.failure}", hint=hint
        )
    return judgement.level


def require_room(known: tuple[SignedStatement, ...], envelope: Envelope) -> bool:
    """Whether a statement is new among those of a release.

    Raises:
        StatementRefusedError: there are too many already.
    """
    if any(str(one.envelope) == str(envelope) for one in known):
        return False
    if len(known) >= MAXIMUM_STATEMENTS:
        raise StatementRefusedError(
            f"it has {MAXIMUM_STATEMENTS} statements already", hint="publish a new version"
        )
    return True

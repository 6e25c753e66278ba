"""From the digest of a node on to its publisher: statement, signer, commit, and the log."""

from __future__ import annotations

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import RegisteredNode
from onex.domain.statement import ReleaseStatement
from onex.trust.security_validator import SecurityValidator
from onex.trust.signing import signers_of


def release_provenance(node: RegisteredNode, validator: SecurityValidator) -> JsonObject:
    """What is known of where a version comes from, as ``onex provenance`` prints it."""
    validation = validator.validate(node)
    evidence = node.evidence
    statements: list[JsonValue] = []
    for one in evidence.statements if evidence is not None else ():
        try:
            said = ReleaseStatement.parse(one.envelope.payload)
        except ValueError:
            # The validation says what is wrong with it.
            continue
        statements.append(
            {
                "signers": sorted(key.id for key in signers_of(one.envelope)),
                "digest": said.digest,
                "source": None if said.commit is None else said.commit.to_json(),
                "entry": one.serial,
                "time": one.time,
            }
        )
    return {
        "source": node.source,
        "level": validation.level.value,
        "reasons": [check.to_json() for check in validation.checks],
        "published_at": None if evidence is None else evidence.published_at,
        "statements": statements,
        "log": None
        if evidence is None or evidence.logged is None
        else {"entry": evidence.serial, "size": evidence.logged},
    }

"""Signing releases: those about to be published, those that are, and nodes in folders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.envelope import MAXIMUM_ENVELOPE_BYTES, Envelope
from onex.domain.errors import Location
from onex.domain.evidence import Evidence
from onex.domain.reference import NodeVersion
from onex.domain.statement import PAYLOAD_TYPE, ReleaseStatement
from onex.domain.trust_errors import StatementRefusedError
from onex.local_machine import replace_file
from onex.manifests.node_files import STATEMENT_SUFFIX
from onex.remote.archived_node import ArchivedNode
from onex.trust.security_validator import SecurityValidator, Validation
from onex.trust.signing import SigningKey
from onex.trust.source_commit import source_commit


def sign_statement(statement: ReleaseStatement, keys: Sequence[SigningKey]) -> Envelope:
    """A statement with the signature of each key."""
    envelope = Envelope(PAYLOAD_TYPE, statement.payload())
    for key in keys:
        envelope = key.sign(envelope)
    return envelope


def sign_release(node: ArchivedNode, folder: Path, keys: Sequence[SigningKey]) -> Envelope | None:
    """A statement about a node that is about to be published, signed; None without keys.

    ``folder`` is where it lies, whose commit the statement names if all of it is committed.
    """
    if not keys:
        return None
    about = ReleaseStatement.about(node.metadata, node.files.digest, source_commit(folder))
    return sign_statement(about, keys)


def statement_file(manifest: Path) -> Path:
    """Where the statement about the node of a manifest lies."""
    return manifest.with_name(manifest.name + STATEMENT_SUFFIX)


def sign_folder(manifest: Path, node: ArchivedNode, keys: Sequence[SigningKey]) -> Path:
    """Sign the node of a manifest, beside it; returns the file of the statement.

    Raises:
        FileNotWrittenError: it cannot be written.
    """
    commit = source_commit(manifest.parent)
    about = ReleaseStatement.about(node.metadata, node.files.digest, commit)
    file = statement_file(manifest)
    replace_file(file, f"{sign_statement(about, keys)}\n".encode())
    return file


def verify_folder(
    manifest: Path, node: ArchivedNode, validator: SecurityValidator
) -> tuple[NodeVersion, Validation]:
    """The argument for the node of a manifest, by the statement beside it.

    Raises:
        StatementRefusedError: what lies there is no statement.
    """
    release = ReleaseStatement.about(node.metadata, node.files.digest)
    envelope = None
    file = statement_file(manifest)
    if file.is_file():
        try:
            with file.open("rb") as opened:
                envelope = Envelope.parse(opened.read(MAXIMUM_ENVELOPE_BYTES + 1))
        except (ValueError, OSError) as error:
            raise StatementRefusedError(
                f"{file} is no signed statement: {error}"[:300],
                hint=f"sign it again: onex sign {manifest.parent}",
                location=Location(str(file)),
            ) from error
    evidence = Evidence.of_unpublished(envelope, datetime.now(UTC).isoformat())
    return release.node, validator.validate_release(release, evidence)

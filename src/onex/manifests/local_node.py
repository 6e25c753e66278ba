"""A node on disk: its manifest, and the digest of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import DocumentError, Location, Problem, Severity
from onex.domain.metadata import NodeMetadata, Outcome
from onex.manifests.manifest import read_manifest
from onex.manifests.node_files import (
    NodeFilesError,
    collect_files,
    locate_target,
    read_node_files,
)
from onex.manifests.yaml_document import read_yaml


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A node version and the digest of its files."""

    metadata: NodeMetadata
    digest: str


@dataclass(frozen=True, slots=True)
class LocalReading:
    """What one manifest file gave; ``node`` is there for the outcome ``node`` alone."""

    outcome: Outcome
    problems: tuple[Problem, ...]
    node: LocalNode | None = None


def read_local_node(manifest: Path) -> LocalReading:
    """Read a manifest and hash the files of its node. Nothing of it is imported or run."""
    try:
        reading = read_manifest(read_yaml(manifest, follow_link=False))
    except DocumentError as error:
        return LocalReading("rejected", error.problems)
    if reading.metadata is None:
        outcome: Outcome = "skipped" if reading.is_template else "rejected"
        return LocalReading(outcome, reading.problems)
    entrypoint = reading.metadata.entrypoint
    problems = reading.problems
    try:
        digest, _ = read_node_files(manifest, collect_files(manifest, entrypoint))
    except (NodeFilesError, OSError) as error:
        reason = str(error) if isinstance(error, NodeFilesError) else str(error.strerror)
        problem = Problem(
            "DSC004",
            Severity.ERROR,
            f"the node's files cannot be read: {reason}",
            Location(str(manifest)),
            "give the node a folder of its own with only its own files",
        )
        return LocalReading("rejected", (*problems, problem))
    if locate_target(manifest, entrypoint) is None:
        problems += (
            Problem(
                "DSC005",
                Severity.WARNING,
                f"the entry point {entrypoint.target} is not there, so the node cannot run",
                Location(str(manifest)),
                "add the file below the manifest, or correct entrypoint",
            ),
        )
    return LocalReading("node", problems, LocalNode(reading.metadata, digest))

"""Override: a version or a folder that the user puts in the place of all versions of a node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import (
    DocumentError,
    NodeNotFoundError,
    UsageError,
    VersionError,
)
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.reference import NodeRef
from onex.domain.version import Version
from onex.manifests.local_node import read_local_node
from onex.manifests.manifest import MANIFEST_SUFFIX

OVERRIDE_SOURCE = "override"


@dataclass(frozen=True, slots=True)
class Override:
    """A node, and either one registered version of it or the manifest that takes its place."""

    reference: NodeRef
    version: Version | None
    manifest: Path | None

    @classmethod
    def parse(cls, name: str, value: str, folder: Path) -> Override:
        """Read what ``[overrides]`` or ``--override`` says of a node.

        Args:
            name: the node, without a constraint.
            value: a version, or the path of a manifest or of a folder with one.
            folder: where a relative path starts.

        Raises:
            InvalidReferenceError: the name is not one of a node.
            UsageError: there is no one manifest at the path.
        """
        reference = NodeRef.parse(name)
        try:
            return cls(reference, Version.parse(value), None)
        except VersionError:
            return cls(reference, None, find_manifest(folder / value))


def find_manifest(path: Path) -> Path:
    """The manifest at a path: the file itself, or the only one in a folder; raises UsageError."""
    if path.is_file():
        return path
    found = sorted(path.glob(f"*{MANIFEST_SUFFIX}")) if path.is_dir() else []
    if len(found) != 1:
        raise UsageError(
            f"{path} has {len(found)} manifests" if path.is_dir() else f"{path} does not exist",
            hint="name a manifest, or a folder with one manifest",
        )
    return found[0]


def read_override(manifest: Path) -> RegisteredNode:
    """The node at a manifest, as if it were registered.

    Raises:
        DocumentError: the manifest cannot be used.
    """
    reading = read_local_node(manifest)
    if reading.node is None:
        raise DocumentError(f"{manifest} cannot be used", reading.problems)
    origin = Origin(OVERRIDE_SOURCE, str(manifest.absolute()))
    return RegisteredNode(reading.node.metadata, reading.node.digest, (origin,), "")


def check_names(override: Override, found: RegisteredNode) -> None:
    """Refuse a manifest that describes another node; raises NodeNotFoundError."""
    reference, metadata = override.reference, found.metadata
    if reference.node not in (None, metadata.node) or (
        reference.node is None
        and reference.name not in (metadata.node.namespace, metadata.name, metadata.uuid)
    ):
        wanted = reference.node or reference.name
        raise NodeNotFoundError(
            f"{override.manifest} describes {metadata.node}, not {wanted}",
            hint="name the node that the manifest describes",
        )

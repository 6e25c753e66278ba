"""NodeRecord: a node version as a storage keeps it, made once from its metadata."""

from __future__ import annotations

from typing import NamedTuple

from onex.domain.json_value import canonical_json
from onex.domain.metadata import NodeMetadata
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.selection import preference
from onex.domain.version import Version


class NodeRecord(NamedTuple):
    """What is stored of one node version.

    ``body`` is the metadata as canonical JSON; the other texts are for queries and
    follow from it. ``labels`` pair a kind (``tag``, ``capability``, ``permission``,
    ``needs``) with a word.
    """

    type: str
    namespace: str
    version: str
    version_order: str
    preference: int
    name: str
    uuid: str | None
    lifecycle: str
    description: str
    digest: str
    body: str
    label: str
    labels: list[tuple[str, str]]

    @classmethod
    def of(cls, metadata: NodeMetadata, digest: str, *, yanked: bool = False) -> NodeRecord:
        """The record of metadata and the digest of the node's files."""
        node = metadata.node
        labels = [("tag", tag) for tag in metadata.tags]
        labels += [("capability", word) for word in metadata.capabilities]
        labels += [("permission", str(permission)) for permission in metadata.permissions]
        labels += [
            ("needs", str(dependency.reference.node or dependency.reference.name))
            for dependency in metadata.dependencies
        ]
        return cls(
            node.type,
            node.namespace,
            stored_version(metadata.version),
            version_order(metadata.version),
            preference(metadata.version, metadata.lifecycle, yanked=yanked),
            metadata.name,
            metadata.uuid,
            metadata.lifecycle.value,
            metadata.description,
            digest,
            canonical_json(metadata.to_json()),
            str(metadata.node_version),
            labels,
        )

    @property
    def node_version(self) -> NodeVersion:
        """The identity of the version."""
        return NodeVersion(NodeId(self.type, self.namespace), Version.parse(self.version))


def version_order(version: Version) -> str:
    """A text whose binary order is the precedence of versions."""
    numbers = "".join(f"{len(digits):03}{digits}" for digits in map(str, version.triple))
    if not version.prerelease:
        return f"{numbers}~"
    parts = [
        f"0{len(str(part)):03}{part}" if isinstance(part, int) else f"1{part}"
        for part in version.prerelease
    ]
    return f"{numbers}!" + "".join(f"{part}\x01" for part in parts)


def stored_version(version: Version) -> str:
    """The version without build metadata, which does not distinguish versions."""
    return str(version).partition("+")[0]

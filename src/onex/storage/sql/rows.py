"""Between rows of the registry's tables and values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from onex.domain.decision import decided
from onex.domain.metadata import NodeMetadata, Origin, Outcome, RegisteredNode
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version

NODE_COLUMNS = (
    "nodes.id, nodes.type, nodes.namespace, nodes.version, nodes.digest, nodes.registered_at,"
    " nodes.yanked, nodes.yank_reason, nodes.decision, nodes.body"
)


class NodeRow(NamedTuple):
    """One row of ``nodes`` with the columns of ``NODE_COLUMNS``."""

    id: int
    type: str
    namespace: str
    version: str
    digest: str
    registered_at: str
    yanked: int
    yank_reason: str | None
    decision: str
    body: str

    @property
    def node_version(self) -> NodeVersion:
        """The identity of the version."""
        return NodeVersion(NodeId(self.type, self.namespace), Version.parse(self.version))

    def metadata(self) -> NodeMetadata:
        """The metadata, in the lifecycle state that was decided for it, if one was."""
        return decided(NodeMetadata.from_json(json.loads(self.body)), json.loads(self.decision))

    def registered(self, origins: Sequence[Origin]) -> RegisteredNode:
        """The node version with its origins."""
        return RegisteredNode(
            self.metadata(),
            self.digest,
            tuple(origins),
            self.registered_at,
            bool(self.yanked),
            self.yank_reason,
        )


def read_outcome(text: str) -> Outcome:
    """The outcome of a scan as it is stored."""
    match text:
        case "node" | "rejected" | "skipped" | "listing" | "plain":
            return text
        case _:
            raise ValueError(f"{text!r} is not an outcome of a scan")

"""NodeDetails: everything that is known of one node version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onex.domain.json_value import JsonValue
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeVersion


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """A node version, every version of its node (the oldest first), and who depends on it."""

    node: RegisteredNode
    versions: Sequence[RegisteredNode]
    dependents: Sequence[NodeVersion]

    def to_json(self) -> dict[str, JsonValue]:
        """The details in the shape that ``show`` prints."""
        node, metadata = self.node, self.node.metadata
        return (
            metadata.to_json()
            | node.summary()
            | {
                "versions": [str(other.metadata.version) for other in reversed(self.versions)],
                "dependencies": [dependency.to_json() for dependency in metadata.dependencies],
                "dependents": [str(dependent) for dependent in self.dependents],
                "examples": [example.to_json() for example in metadata.examples],
                "origins": [origin.to_json() for origin in node.origins],
                "registered_at": node.registered_at,
                "yanked": node.yanked,
                "yank_reason": node.yank_reason,
            }
        )

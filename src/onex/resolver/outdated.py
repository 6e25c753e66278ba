"""Which chosen versions are not the latest, and what holds them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onex.domain.json_value import JsonValue
from onex.domain.version import Version
from onex.resolver.dependency_graph import DependencyGraph


@dataclass(frozen=True, slots=True)
class OutdatedNode:
    """One node: the version it has, the best that all constraints allow, and the latest."""

    node: str
    have: Version
    allowed: Version
    latest: Version
    held_by: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The node in the shape that ``outdated`` prints."""
        return {
            "node": self.node,
            "have": str(self.have),
            "allowed": str(self.allowed),
            "latest": str(self.latest),
            "held_by": list(self.held_by),
        }


def find_outdated(
    have: DependencyGraph, allowed: DependencyGraph, latest: Mapping[str, Version]
) -> list[OutdatedNode]:
    """The nodes that could move or are held back.

    Args:
        have: the choice as it is, with the lock.
        allowed: the choice as it would be without the lock.
        latest: what ``latest`` means for each node, whatever others ask.
    """
    found = []
    for node, version in sorted(have.versions.items()):
        best, newest = allowed.versions.get(node, version), latest[node]
        if version != best or best != newest:
            found.append(OutdatedNode(node, version, best, newest, _holders(allowed, node, newest)))
    return found


def _holders(graph: DependencyGraph, node: str, newest: Version) -> tuple[str, ...]:
    asked = [(graph.label(who), c) for who, c in graph.dependents(node).items()]
    if node in graph.requirements:
        asked.append(("the request", graph.requirements[node]))
    return tuple(f"{who} asks {c}" for who, c in asked if not c.allows(newest))

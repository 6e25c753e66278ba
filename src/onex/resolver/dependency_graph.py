"""DependencyGraph: who needs whom in one resolution, and the questions that are asked of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onex.domain.constraint import VersionConstraint
from onex.domain.json_value import JsonValue
from onex.domain.version import Version
from onex.resolver.dependency_resolver import DependencyResolution


@dataclass(frozen=True, slots=True)
class TreeLine:
    """One line of a tree: how deep it stands, and what its parent asks of the node.

    ``is_repeated`` marks a node whose own needs were shown further up.
    """

    depth: int
    node: str
    asked: str
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class DependencyGraph:
    """Chosen versions by node, what each asks of others, and what the request asks."""

    versions: Mapping[str, Version]
    needs: Mapping[str, Mapping[str, VersionConstraint]]
    requirements: Mapping[str, VersionConstraint]

    @classmethod
    def of(cls, resolution: DependencyResolution) -> DependencyGraph:
        """The graph of a resolution."""
        versions = {str(n): chosen.metadata.version for n, chosen in resolution.selected.items()}
        return cls(versions, resolution.needs, resolution.requirements)

    def label(self, node: str) -> str:
        """A node with its chosen version."""
        return f"{node}@{self.versions[node]}"

    def dependents(self, node: str) -> dict[str, VersionConstraint]:
        """The nodes that need this one, with what they ask."""
        return self._inverted().get(node, {})

    def _inverted(self) -> dict[str, dict[str, VersionConstraint]]:
        """The dependents of each node, with their constraints."""
        inverted: dict[str, dict[str, VersionConstraint]] = {}
        for dependent, needs in sorted(self.needs.items()):
            for node, constraint in needs.items():
                inverted.setdefault(node, {})[dependent] = constraint
        return inverted

    def tree(self, roots: Sequence[str], *, invert: bool = False) -> Iterator[TreeLine]:
        """The needs of the roots, depth first; inverted, those who need them."""
        relations = self._inverted() if invert else self.needs
        seen: set[str] = set()
        pending: list[tuple[int, str, str]] = [
            (0, root, str(self.requirements.get(root, ""))) for root in reversed(roots)
        ]
        while pending:
            depth, node, asked = pending.pop()
            related = relations.get(node, {})
            is_repeated = node in seen and bool(related)
            yield TreeLine(depth, node, asked, is_repeated)
            if node not in seen:
                seen.add(node)
                pending += [
                    (depth + 1, other, str(related[other]))
                    for other in sorted(related, reverse=True)
                ]

    def duplicates(self) -> list[str]:
        """The nodes that more than one other, or one other and the request, ask for."""
        inverted = self._inverted()
        return [
            node
            for node in sorted(self.versions)
            if len(inverted.get(node, ())) + (node in self.requirements) > 1
        ]

    def paths_to(self, node: str) -> list[list[str]]:
        """The shortest path from each requirement that leads to a node."""
        found = []
        for root in sorted(self.requirements):
            before: dict[str, str | None] = {root: None}
            queue = deque([root])
            while queue and node not in before:
                current = queue.popleft()
                for needed in sorted(self.needs[current]):
                    if needed not in before:
                        before[needed] = current
                        queue.append(needed)
            if node in before:
                path: list[str] = []
                step: str | None = node
                while step is not None:
                    path.append(step)
                    step = before[step]
                found.append(path[::-1])
        return found

    def asked(self, dependent: str | None, node: str) -> VersionConstraint:
        """What a dependent, or the request, asks of a node."""
        return self.requirements[node] if dependent is None else self.needs[dependent][node]

    def describe(self, line: TreeLine) -> str:
        """A line of a tree in words, without its indentation."""
        asked = f"  ({line.asked})" if line.asked else ""
        repeated = "  (shown above)" if line.is_repeated else ""
        return f"{self.label(line.node)}{asked}{repeated}"

    def _repr_svg_(self) -> str:
        """The graph as a notebook shows it."""
        from onex.resolver.graph_drawing import to_svg

        return to_svg(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Nodes and edges, as ``graph`` and ``tree`` print them."""
        return {
            "nodes": [self.label(node) for node in sorted(self.versions)],
            "edges": [
                {"from": self.label(node), "to": self.label(needed), "constraint": str(constraint)}
                for node, needs in sorted(self.needs.items())
                for needed, constraint in sorted(needs.items())
            ],
            "requirements": {node: str(c) for node, c in sorted(self.requirements.items())},
        }

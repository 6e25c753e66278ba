"""The partial solution: what is decided and derived so far, in order, with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onex.resolver.incompatibility import Incompatibility


@dataclass(frozen=True, slots=True)
class Assignment:
    """One step of the search.

    ``mask`` is what this step alone says of the node, ``accumulated`` what all
    steps up to it say together; ``cause`` is None for a decision.
    """

    index: int
    node: str
    mask: int
    accumulated: int
    level: int
    cause: Incompatibility | None


class PartialSolution:
    """Assignments in order, with the current mask of every node that was introduced."""

    def __init__(self) -> None:
        self.level = 0
        self.current: dict[str, int] = {}
        self._full: dict[str, int] = {}
        self._assignments: list[Assignment] = []
        self._by_node: dict[str, list[Assignment]] = {}
        self._decisions: dict[str, int] = {}

    @property
    def decisions(self) -> Mapping[str, int]:
        """The mask of the version decided for each decided node."""
        return self._decisions

    def introduce(self, node: str, full: int) -> None:
        """Add a node of which nothing is known; ``full`` is every state it may have."""
        self._full[node] = self.current[node] = full

    def decide(self, node: str, mask: int) -> None:
        """Choose one version, which opens a new decision level."""
        self.level += 1
        self._decisions[node] = mask
        self._append(node, mask, None)

    def derive(self, node: str, cause: Incompatibility) -> None:
        """Record the derivation that an incompatibility forces, if all its other terms hold."""
        self._append(node, self._full[node] & ~cause.terms[node], cause)

    def _append(self, node: str, mask: int, cause: Incompatibility | None) -> None:
        accumulated = self.current[node] & mask
        assignment = Assignment(len(self._assignments), node, mask, accumulated, self.level, cause)
        self.current[node] = accumulated
        self._assignments.append(assignment)
        self._by_node.setdefault(node, []).append(assignment)

    def backtrack(self, level: int) -> list[str]:
        """Forget every assignment above a level; returns the nodes that changed."""
        changed: list[str] = []
        while self._assignments and self._assignments[-1].level > level:
            assignment = self._assignments.pop()
            node = assignment.node
            history = self._by_node[node]
            history.pop()
            if assignment.cause is None:
                del self._decisions[node]
            self.current[node] = history[-1].accumulated if history else self._full[node]
            changed.append(node)
        self.level = level
        return changed

    def satisfier(self, incompatibility: Incompatibility) -> tuple[Assignment, int]:
        """PubGrub's satisfier, and the level of the previous satisfier.

        The satisfier is the earliest assignment after which the incompatibility is satisfied.
        The level is that of the latest other assignment the incompatibility
        needs; backtracking to it leaves the incompatibility one term short.
        """
        first: dict[str, Assignment] = {
            node: self._first_within(node, mask) for node, mask in incompatibility.terms.items()
        }
        satisfier = max(first.values(), key=lambda assignment: assignment.index)
        previous_level = max(
            (a.level for node, a in first.items() if node != satisfier.node), default=0
        )
        beyond = satisfier.mask & ~incompatibility.terms[satisfier.node]
        if beyond:
            earlier = self._first_within(satisfier.node, ~beyond)
            previous_level = max(previous_level, earlier.level)
        return satisfier, previous_level

    def _first_within(self, node: str, mask: int) -> Assignment:
        """The first assignment after which the node's mask lies within the given one."""
        history = self._by_node[node]
        low, high = 0, len(history) - 1
        while low < high:
            middle = (low + high) // 2
            if history[middle].accumulated & ~mask:
                low = middle + 1
            else:
                high = middle
        return history[low]

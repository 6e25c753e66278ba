"""DependencyColumn: the dependency clauses of all versions of one node on another.

One column holds the dependency clauses of every loaded version. Propagating
it derives in one step what its clauses would derive one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onex.domain.constraint import VersionConstraint
from onex.resolver.incompatibility import DependencyOf, Incompatibility
from onex.resolver.version_table import ABSENT, VersionTable


@dataclass(slots=True)
class _Clause:
    """Versions of the node that allow the same versions of what they need."""

    versions: int
    allowed: int
    constraints: dict[str, VersionConstraint] = field(default_factory=dict)


class DependencyColumn:
    """The clauses from one node to one other that it needs."""

    def __init__(self, node: str, needed: VersionTable) -> None:
        self.node = node
        self.needed = needed.name
        self.versions = 0
        self.table = needed
        self._clauses: dict[int, _Clause] = {}

    def add(self, versions: int, constraint: VersionConstraint, *, is_optional: bool) -> None:
        """Note that these versions of the node ask this of the other, if it is there at all."""
        allowed = self.table.mask_of(constraint) | (ABSENT if is_optional else 0)
        clause = self._clauses.setdefault(allowed, _Clause(0, allowed))
        clause.versions |= versions
        clause.constraints[constraint.text] = constraint
        self.versions |= versions

    def requirement(self, node_mask: int, needed_mask: int) -> Incompatibility | None:
        """The versions that the other must have, if every version left of the node needs it.

        Returns None if this adds no new information.
        """
        if node_mask & ABSENT or node_mask & ~self.versions:
            return None
        allowed = 0
        for clause in self._clauses.values():
            if clause.versions & node_mask:
                allowed |= clause.allowed
        if not needed_mask & ~allowed:
            return None
        return self._incompatibility(
            [c for c in self._clauses.values() if not c.allowed & ~allowed], allowed
        )

    def exclusion(self, node_mask: int, needed_mask: int) -> Incompatibility | None:
        """The versions left of the node whose dependency the other cannot meet any more."""
        excluded = [
            clause
            for clause in self._clauses.values()
            if not clause.allowed & needed_mask and clause.versions & node_mask
        ]
        if not excluded:
            return None
        allowed = 0
        for clause in excluded:
            allowed |= clause.allowed
        return self._incompatibility(excluded, allowed)

    def allows(self, version: int, needed_mask: int) -> bool:
        """Whether one version of the node asks for something that the other can still be."""
        return all(
            clause.allowed & needed_mask
            for clause in self._clauses.values()
            if clause.versions & version
        )

    def _incompatibility(self, clauses: list[_Clause], allowed: int) -> Incompatibility:
        versions = 0
        for clause in clauses:
            versions |= clause.versions
        terms = {self.node: versions}
        # If no version is allowed, the dependency's term is always true; leave it out.
        if allowed:
            terms[self.needed] = self.table.full & ~allowed
        return Incompatibility(
            terms, DependencyOf(self.node, versions, self.needed, self.constraints)
        )

    def constraints(self, versions: int) -> list[VersionConstraint]:
        """What these versions of the node ask, each constraint once."""
        found: dict[str, VersionConstraint] = {}
        for clause in self._clauses.values():
            if clause.versions & versions:
                found |= clause.constraints
        return list(found.values())

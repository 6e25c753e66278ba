"""CompatibilityMatrix: which versions each constraint allows, and what each version asks.

Specification: Version Resolution Architecture, "Compatibility Matrix". What it
says of a node is made when it is first asked for and kept until the node changes, so one
matrix serves many resolutions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Protocol

from onex.domain.constraint import VersionConstraint
from onex.domain.version import Version
from onex.resolver.dependencies import Dependencies
from onex.resolver.dependency_row import DependencyRow
from onex.resolver.provider import DependencyProvider, VersionPolicy
from onex.resolver.version_table import VersionTable

MAXIMUM_NODES = 50_000


class VersionMatrix(Protocol):
    """The matrix as the solver uses it, whole or as one request sees it."""

    def table(self, node: str) -> VersionTable:
        """The versions of a node, and what constraints allow of them."""
        ...

    def needs(self, node: str, index: int) -> Dependencies:
        """What the version at an index of the node's table asks."""
        ...

    def row(self, node: str) -> DependencyRow:
        """What all versions of a node ask."""
        ...


class CompatibilityMatrix:
    """The matrix over all that a provider knows, made row by row."""

    def __init__(self, provider: DependencyProvider, policy: VersionPolicy) -> None:
        self._provider = provider
        self._policy = policy
        self._tables: dict[str, VersionTable] = {}
        self._needs: dict[str, dict[int, Dependencies]] = {}
        self._rows: dict[str, DependencyRow] = {}

    def __len__(self) -> int:
        """The number of nodes whose rows are kept."""
        return len(self._tables)

    def table(self, node: str) -> VersionTable:
        table = self._tables.get(node)
        if table is None:
            if len(self._tables) >= MAXIMUM_NODES:
                self.clear()
            table = self._tables[node] = VersionTable(
                node,
                self._provider.versions(node),
                partial(self._policy.preference, node),
                partial(self._policy.reservation, node),
            )
        return table

    def needs(self, node: str, index: int) -> Dependencies:
        known = self._needs.get(node)
        if known is None:
            known = self._needs[node] = {}
        needs = known.get(index)
        if needs is None:
            version = self.table(node).versions[index]
            needs = known[index] = Dependencies.of(
                self._provider.dependencies(node, version),
                self._policy.optional_dependencies(node, version),
                self._policy.unavailable_reason(node, version),
            )
        return needs

    def row(self, node: str) -> DependencyRow:
        row = self._rows.get(node)
        if row is None:
            row = self._rows[node] = row_of(self, node)
        return row

    def forget(self, nodes: Iterable[str]) -> None:
        """Drop the rows of nodes that changed; all others stay."""
        for node in nodes:
            self._tables.pop(node, None)
            self._needs.pop(node, None)
            self._rows.pop(node, None)

    def clear(self) -> None:
        """Drop every row."""
        self._tables.clear()
        self._needs.clear()
        self._rows.clear()


def row_of(matrix: VersionMatrix, node: str) -> DependencyRow:
    """The row of a node, from what a matrix says of each version."""
    versions = range(len(matrix.table(node).versions))
    return DependencyRow(node, (matrix.needs(node, index) for index in versions))


def resolve_version(
    matrix: VersionMatrix, node: str, constraint: VersionConstraint
) -> Version | None:
    """The version that ``latest`` or another constraint means, or None if none meets it.

    Archived and yanked versions are found only by an exact constraint.
    """
    table = matrix.table(node)
    mask = table.mask_of(constraint)
    return table.versions[table.preferred(mask).bit_length() - 2] if mask else None

"""The matrix as one request sees it: locked or forced or proposed versions, lifted constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onex.domain.constraint import LATEST, VersionConstraint
from onex.domain.version import Version
from onex.resolver.compatibility_matrix import VersionMatrix, row_of
from onex.resolver.dependencies import Dependencies, Requirements
from onex.resolver.dependency_row import DependencyRow
from onex.resolver.version_table import ForcedTable, VersionTable


class LockedMatrix:
    """Versions of a lock come before all others, even if they were yanked since."""

    def __init__(self, matrix: VersionMatrix, locked: Mapping[str, Version]) -> None:
        self._matrix = matrix
        self._locked = locked
        self._tables: dict[str, VersionTable] = {}

    def table(self, node: str) -> VersionTable:
        version = self._locked.get(node)
        if version is None:
            return self._matrix.table(node)
        table = self._tables.get(node)
        if table is None:
            table = self._tables[node] = self._matrix.table(node).favouring(version)
        return table

    def needs(self, node: str, index: int) -> Dependencies:
        return self._matrix.needs(node, index)

    def row(self, node: str) -> DependencyRow:
        return self._matrix.row(node)


class ForcedMatrix:
    """Some nodes have one version alone, which every constraint on them takes."""

    def __init__(
        self, matrix: VersionMatrix, forced: Mapping[str, tuple[Version, Dependencies]]
    ) -> None:
        self._matrix = matrix
        self._forced = forced

    def table(self, node: str) -> VersionTable:
        forced = self._forced.get(node)
        return self._matrix.table(node) if forced is None else ForcedTable(node, forced[0])

    def needs(self, node: str, index: int) -> Dependencies:
        forced = self._forced.get(node)
        return self._matrix.needs(node, index) if forced is None else forced[1]

    def row(self, node: str) -> DependencyRow:
        return row_of(self, node) if node in self._forced else self._matrix.row(node)


class ProposedMatrix:
    """One node has other versions than are known, each with its preference and its needs."""

    def __init__(
        self, matrix: VersionMatrix, node: str, versions: Mapping[Version, tuple[int, Dependencies]]
    ) -> None:
        self._matrix = matrix
        self._node = node
        self._table = VersionTable(node, list(versions), lambda version: versions[version][0])
        self._needs = [versions[version][1] for version in self._table.versions]

    def table(self, node: str) -> VersionTable:
        return self._table if node == self._node else self._matrix.table(node)

    def needs(self, node: str, index: int) -> Dependencies:
        return self._needs[index] if node == self._node else self._matrix.needs(node, index)

    def row(self, node: str) -> DependencyRow:
        return row_of(self, node) if node == self._node else self._matrix.row(node)


class RelaxedMatrix:
    """Some constraints are lifted, and needs of unknown nodes dropped.

    A place is whose constraint it is (None for the request's) and on which node.
    """

    def __init__(self, matrix: VersionMatrix, places: Iterable[tuple[str | None, str]]) -> None:
        self._matrix = matrix
        self._places = frozenset(places)
        self._dependents = {dependent for dependent, _ in self._places}

    def table(self, node: str) -> VersionTable:
        return self._matrix.table(node)

    def needs(self, node: str, index: int) -> Dependencies:
        needs = self._matrix.needs(node, index)
        if node not in self._dependents:
            return needs
        return Dependencies(
            self._relaxed(node, needs.required), needs.optional, needs.unavailable_reason
        )

    def row(self, node: str) -> DependencyRow:
        return row_of(self, node) if node in self._dependents else self._matrix.row(node)

    def requirements(
        self, requirements: Mapping[str, VersionConstraint]
    ) -> dict[str, VersionConstraint]:
        """The requirements of the request that remain."""
        return dict(self._relaxed(None, tuple(requirements.items())))

    def _relaxed(self, dependent: str | None, asked: Requirements) -> Requirements:
        return tuple(
            (needed, LATEST if (dependent, needed) in self._places else constraint)
            for needed, constraint in asked
            if (dependent, needed) not in self._places or self._matrix.table(needed).versions
        )

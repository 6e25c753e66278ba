"""CompatibilityMatrix: which versions each constraint allows, and what each version asks.

Specification: Version Resolution Architecture, "Compatibility Matrix". A row is
made when it is first asked for and kept until its node changes, so one matrix
serves many resolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from onex.domain.constraint import VersionConstraint
from onex.resolver.provider import DependencyProvider, VersionPolicy
from onex.resolver.version_table import VersionTable

MAXIMUM_NODES = 50_000

Asked = tuple[tuple[str, VersionConstraint], ...]
NeedsInWords = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], str | None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What one version asks of other nodes, sorted by their names.

    ``obstacle`` is why the version cannot be used at all, None where it can.
    """

    required: Asked
    optional: Asked = ()
    obstacle: str | None = None

    @classmethod
    def of(
        cls,
        required: Mapping[str, VersionConstraint],
        optional: Mapping[str, VersionConstraint],
        obstacle: str | None,
    ) -> Needs:
        """Needs in any order; an optional need of a node that is required limits that one."""
        both = {
            name: required[name].intersection(optional[name]) for name in required.keys() & optional
        }
        alone = {name: asked for name, asked in optional.items() if name not in required}
        return cls(_sorted({**required, **both}), _sorted(alone), obstacle)

    def in_words(self) -> NeedsInWords:
        """The same as texts, which are quick to compare."""
        required = tuple((name, constraint.text) for name, constraint in self.required)
        optional = tuple((name, constraint.text) for name, constraint in self.optional)
        return required, optional, self.obstacle

    def constraint_on(self, node: str) -> VersionConstraint:
        """What is asked of a node that is among those asked; raises KeyError for others."""
        return dict(self.optional + self.required)[node]


class VersionMatrix(Protocol):
    """The matrix as the solver uses it, whole or as one request sees it."""

    def table(self, node: str) -> VersionTable:
        """The versions of a node, and what constraints allow of them."""
        ...

    def needs(self, node: str, index: int) -> Needs:
        """What the version at an index of the node's table asks.

        Versions that ask the same may share one object, which speeds solving up.
        """
        ...


class CompatibilityMatrix:
    """The matrix over all that a provider knows, made row by row."""

    def __init__(self, provider: DependencyProvider, policy: VersionPolicy) -> None:
        self._provider = provider
        self._policy = policy
        self._tables: dict[str, VersionTable] = {}
        self._needs: dict[str, dict[int, Needs]] = {}
        self._distinct: dict[str, dict[NeedsInWords, Needs]] = {}

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

    def needs(self, node: str, index: int) -> Needs:
        row = self._needs.get(node)
        if row is None:
            row = self._needs[node] = {}
            self._distinct[node] = {}
        needs = row.get(index)
        if needs is None:
            version = self.table(node).versions[index]
            found = Needs.of(
                self._provider.dependencies(node, version),
                self._policy.optional_dependencies(node, version),
                self._policy.obstacle(node, version),
            )
            needs = row[index] = self._distinct[node].setdefault(found.in_words(), found)
        return needs

    def forget(self, nodes: Iterable[str]) -> None:
        """Drop the rows of nodes that changed; all others stay."""
        for node in nodes:
            self._tables.pop(node, None)
            self._needs.pop(node, None)
            self._distinct.pop(node, None)

    def clear(self) -> None:
        """Drop every row."""
        self._tables.clear()
        self._needs.clear()
        self._distinct.clear()


def _sorted(asked: Mapping[str, VersionConstraint]) -> Asked:
    """Sorted, so that an answer does not depend on the order in which needs were written."""
    return tuple(sorted(asked.items())) if len(asked) > 1 else tuple(asked.items())

"""DependencyRow: the dependencies of all versions of one node, equal ones taken together.

Long runs of versions ask the same, and parts of one release ask each other for one version.
A row is made once and serves many resolutions.
"""

from __future__ import annotations

from collections.abc import Iterable

from onex.domain.constraint import VersionConstraint
from onex.resolver.dependencies import Dependencies, Requirements
from onex.resolver.dependency_column import DependencyColumn
from onex.resolver.version_table import VersionTable

Askers = dict[str, dict[str, int]]
"""The versions that ask something of a node, by the node and the text of the constraint."""


class DependencyRow:
    """What each set of versions of one node asks. Versions are the bits of masks.

    ``requires_itself`` are the versions that need their own node, ``unavailable`` those that
    cannot be used at all, by the reason.
    """

    def __init__(self, node: str, needs: Iterable[Dependencies]) -> None:
        """``needs`` are those of each version, in ascending order."""
        self.requires_itself = 0
        self.unavailable: dict[str, int] = {}
        self._node = node
        self._required: Askers = {}
        self._optional: Askers = {}
        self._constraints: dict[str, VersionConstraint] = {}
        self._columns: dict[str, DependencyColumn] = {}
        bit = 2
        for of_version in needs:
            self._add(bit, of_version.required, self._required)
            if of_version.optional:
                self._add(bit, of_version.optional, self._optional)
            if of_version.unavailable_reason is not None:
                known = self.unavailable.get(of_version.unavailable_reason, 0)
                self.unavailable[of_version.unavailable_reason] = known | bit
            bit <<= 1
        self._optional.pop(node, None)
        for versions in self._required.pop(node, {}).values():
            self.requires_itself |= versions

    def _add(self, bit: int, asked: Requirements, askers: Askers) -> None:
        for needed, constraint in asked:
            text = constraint.text
            try:
                askers[needed][text] |= bit
            except KeyError:
                self._constraints[text] = constraint
                askers.setdefault(needed, {})[text] = bit

    @property
    def needed(self) -> Iterable[str]:
        """The nodes that any version needs, but the node itself."""
        return dict.fromkeys((*self._required, *self._optional))

    def column(self, table: VersionTable) -> DependencyColumn:
        """What all versions ask of the node with this table; several requests share it.

        It is kept until the node has another table. The table of one request is not kept.
        """
        column = self._columns.get(table.name)
        if column is None or column.table is not table:
            column = DependencyColumn(self._node, table)
            if not table.is_of_one_request:
                self._columns[table.name] = column
            for askers, is_optional in ((self._required, False), (self._optional, True)):
                for text, versions in askers.get(table.name, {}).items():
                    column.add(versions, self._constraints[text], is_optional=is_optional)
        return column

"""Version solving by PubGrub: propagate units, learn from conflicts, jump back.

Source: Natalie Weizenbaum, "PubGrub: Next-Generation Version Solving" (2018),
and the solver description in the documentation of Dart's pub. Terms are bit
masks over known versions (see ``version_table``) in place of version ranges.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ConstraintFact, DependencyCycleError, ResolutionError
from onex.domain.graph import find_cycle
from onex.domain.version import Version
from onex.resolver.compatibility_matrix import CompatibilityMatrix, VersionMatrix
from onex.resolver.dependencies import Dependencies
from onex.resolver.dependency_column import DependencyColumn
from onex.resolver.explanation import derivation, explain
from onex.resolver.incompatibility import (
    CycleThrough,
    DependencyOf,
    Incompatibility,
    RootRequired,
    Unavailable,
    resolve,
)
from onex.resolver.partial_solution import PartialSolution
from onex.resolver.provider import DependencyProvider, StableFirst, VersionPolicy
from onex.resolver.version_table import ABSENT, VersionTable, indexes

ROOT = ""
"""The name of the node that stands for the request; no real node can have it."""


def solve(
    requirements: Mapping[str, str | VersionConstraint],
    provider: DependencyProvider,
    policy: VersionPolicy | None = None,
) -> Mapping[str, Version]:
    """Choose one version for every node that the requirements need, directly or not.

    Args:
        requirements: for each node asked for, the constraint on its version.
        provider: the versions that exist and what they need.
        policy: which versions to prefer; by default stable ones, newest first.

    Returns:
        the chosen version of every needed node, by name, and of no other.

    Raises:
        ResolutionError: no choice meets all constraints; ``explanation`` says why.
        DependencyCycleError: every choice has nodes that need each other in a circle.
        ConstraintError: a requirement given as text does not follow the grammar.
    """
    parsed = {
        node: VersionConstraint.parse(constraint) if isinstance(constraint, str) else constraint
        for node, constraint in requirements.items()
    }
    return solve_with(CompatibilityMatrix(provider, policy or StableFirst()), parsed)


def solve_with(
    matrix: VersionMatrix, requirements: Mapping[str, VersionConstraint]
) -> Mapping[str, Version]:
    """As ``solve``, on a matrix that may have served other requests before."""
    return _Solver(matrix, requirements).solve()


class _Solver:
    def __init__(
        self, matrix: VersionMatrix, requirements: Mapping[str, VersionConstraint]
    ) -> None:
        self._requirements = requirements
        self._matrix = matrix
        self._solution = PartialSolution()
        root = VersionTable(ROOT, [Version(0, 0, 0)], lambda _: 0)
        self._tables: dict[str, VersionTable] = {ROOT: root}
        self._solution.introduce(ROOT, root.full)
        self._incompatibilities: dict[str, list[Incompatibility]] = {}
        self._loaded: dict[str, int] = {}
        self._columns: dict[str, dict[str, DependencyColumn]] = {}
        self._dependents: dict[str, list[DependencyColumn]] = {}
        self._conflicts: dict[str, int] = {}
        self._undecided: list[tuple[int, int, str]] = []

    def solve(self) -> Mapping[str, Version]:
        self._add(Incompatibility({ROOT: ABSENT}, RootRequired()))
        changed = [ROOT]
        while True:
            self._propagate(changed)
            node = self._next_undecided()
            if node is not None:
                changed = self._choose(node)
                continue
            selected = self._selected()
            cycle = find_cycle({node: self._chosen_needs(node) for node in selected})
            if cycle is None:
                return selected
            changed = self._forbid_cycle(cycle)

    def _table(self, node: str) -> VersionTable:
        table = self._tables.get(node)
        if table is None:
            table = self._tables[node] = self._matrix.table(node)
            self._solution.introduce(node, table.full)
        return table

    def _add(self, incompatibility: Incompatibility) -> None:
        for node in incompatibility.terms:
            self._incompatibilities.setdefault(node, []).append(incompatibility)

    def _propagate(self, changed: list[str]) -> None:
        """Derive all that follows from the nodes that changed, resolving conflicts on the way."""
        queue = dict.fromkeys(changed)
        while queue:
            node = next(iter(queue))
            del queue[node]
            for incompatibility in self._affected_by(node):
                unit = self._unit_of(incompatibility)
                if unit is None:
                    continue
                if unit == _CONFLICT:
                    learned = self._resolve_conflict(incompatibility)
                    unit = self._unit_of(learned)
                    if unit is None or unit == _CONFLICT:
                        raise AssertionError("a learned incompatibility must be one term short")
                    queue = dict.fromkeys([self._derive(unit, learned), *learned.terms])
                    break
                queue[self._derive(unit, incompatibility)] = None

    def _affected_by(self, node: str) -> Iterator[Incompatibility]:
        """Every incompatibility that may have become a unit or a conflict by a change of a node."""
        known = self._solution.current
        # A copy, since what is derived from one column may load further ones.
        for column in list(self._columns.get(node, {}).values()):
            required = column.requirement(known[node], known[column.needed])
            if required is not None:
                yield required
            excluded = column.exclusion(known[node], known[column.needed])
            if excluded is not None:
                yield excluded
        for column in self._dependents.get(node, ()):
            excluded = column.exclusion(known[column.node], known[node])
            if excluded is not None:
                yield excluded
        yield from reversed(self._incompatibilities.get(node, ()))

    def _unit_of(self, incompatibility: Incompatibility) -> str | None:
        """The one node whose term is open while all others hold; ``_CONFLICT`` if all hold."""
        unit = _CONFLICT
        known = self._solution.current
        for node, mask in incompatibility.terms.items():
            current = known[node]
            if not current & mask:
                return None
            if current & ~mask:
                if unit != _CONFLICT:
                    return None
                unit = node
        return unit

    def _derive(self, node: str, cause: Incompatibility) -> str:
        self._solution.derive(node, cause)
        if self._solution.level <= 1 and not self._solution.current[node] & ABSENT:
            # Every solution has this node, so all that its versions need is worth knowing now.
            self._load_all(node)
        self._offer(node)
        return node

    def _resolve_conflict(self, incompatibility: Incompatibility) -> Incompatibility:
        """Learn the reason of a conflict and jump back to where it can be avoided.

        Raises:
            ResolutionError: the reason does not depend on any decision.
        """
        for node in incompatibility.terms:
            if node != ROOT:
                self._conflicts[node] = self._conflicts.get(node, 0) + 1
        is_learned = False
        while any(node != ROOT for node in incompatibility.terms):
            satisfier, previous_level = self._solution.satisfier(incompatibility)
            if satisfier.cause is None or previous_level < satisfier.level:
                for node in self._solution.backtrack(previous_level):
                    self._offer(node)
                if is_learned:
                    self._add(incompatibility)
                for node in incompatibility.terms:
                    self._load_all(node)
                return incompatibility
            incompatibility = resolve(
                incompatibility,
                satisfier.cause,
                satisfier.node,
                self._table(satisfier.node).full,
            )
            is_learned = True
        raise self._failure(incompatibility)

    def _offer(self, node: str) -> None:
        """Queue a node for a decision if it is needed and not decided."""
        current = self._solution.current[node]
        if not current & ABSENT and node not in self._solution.decisions:
            entry = (-self._conflicts.get(node, 0), current.bit_count(), node)
            heapq.heappush(self._undecided, entry)

    def _next_undecided(self) -> str | None:
        """The needed node with most conflicts, then fewest versions; None when all are decided."""
        while self._undecided:
            _, count, node = heapq.heappop(self._undecided)
            current = self._solution.current[node]
            if (
                node not in self._solution.decisions
                and not current & ABSENT
                and current.bit_count() == count
            ):
                return node
        return None

    def _choose(self, node: str) -> list[str]:
        """Decide the preferred version of a node, unless what it needs is excluded already."""
        known = self._solution.current
        bit = self._table(node).preferred(known[node])
        self._load(node, bit)
        is_excluded = any(
            not column.allows(bit, known[column.needed])
            for column in self._columns.get(node, {}).values()
        ) or any(
            incompatibility.terms[node] & bit
            and all(
                other == node or not known[other] & ~mask
                for other, mask in incompatibility.terms.items()
            )
            for incompatibility in self._incompatibilities.get(node, ())
        )
        if is_excluded:
            self._offer(node)
        else:
            self._solution.decide(node, bit)
        return [node]

    def _load(self, node: str, version: int) -> None:
        """Turn what one version needs into clauses."""
        if version & self._loaded.get(node, 0):
            return
        self._loaded[node] = self._loaded.get(node, 0) | version
        if node == ROOT:
            needs = Dependencies.of(self._requirements, {}, None)
        else:
            needs = self._matrix.needs(node, version.bit_length() - 2)
        columns = self._columns.setdefault(node, {})
        for asked, is_optional in ((needs.required, False), (needs.optional, True)):
            for needed, constraint in asked:
                if needed != node:
                    column = columns.get(needed)
                    if column is None:
                        column = columns[needed] = DependencyColumn(node, self._table(needed))
                        self._dependents.setdefault(needed, []).append(column)
                    column.add(version, constraint, is_optional=is_optional)
                elif not is_optional:
                    self._add(Incompatibility({node: version}, CycleThrough((node,))))
        if needs.unavailable_reason is not None:
            cause = Unavailable(node, version, needs.unavailable_reason)
            self._add(Incompatibility({node: version}, cause))

    def _load_all(self, node: str) -> None:
        """Turn what all versions of a node need into clauses, which the matrix keeps."""
        present = self._table(node).present
        missing = present & ~self._loaded.get(node, 0)
        if not missing or node == ROOT:
            return
        self._loaded[node] = present
        row = self._matrix.row(node)
        columns = self._columns.setdefault(node, {})
        for needed in row.needed:
            known, column = columns.get(needed), row.column(self._table(needed))
            columns[needed] = column
            dependents = self._dependents.setdefault(needed, [])
            if known is None:
                dependents.append(column)
            else:
                dependents[dependents.index(known)] = column
        if row.requires_itself & missing:
            versions = row.requires_itself & missing
            self._add(Incompatibility({node: versions}, CycleThrough((node,))))
        for reason, versions in row.unavailable.items():
            if versions & missing:
                cause = Unavailable(node, versions & missing, reason)
                self._add(Incompatibility({node: versions & missing}, cause))

    def _selected(self) -> dict[str, Version]:
        return {
            node: self._tables[node].versions[mask.bit_length() - 2]
            for node, mask in sorted(self._solution.decisions.items())
            if node != ROOT
        }

    def _chosen_needs(self, node: str) -> list[str]:
        """What the decided version of a node needs."""
        bit = self._solution.decisions[node]
        return [n for n, column in self._columns.get(node, {}).items() if column.versions & bit]

    def _forbid_cycle(self, cycle: list[str]) -> list[str]:
        """Learn that the nodes of a cycle cannot all be used in versions that close it."""
        for node in cycle:
            self._load_all(node)
        terms = {
            node: self._columns[node][cycle[(position + 1) % len(cycle)]].versions
            for position, node in enumerate(cycle)
        }
        incompatibility = Incompatibility(terms, CycleThrough(tuple(cycle)))
        self._add(incompatibility)
        return [cycle[0]]

    def _failure(self, conclusion: Incompatibility) -> ResolutionError:
        explanation = explain(conclusion, self._tables, ROOT)
        causes = [incompatibility.cause for incompatibility in derivation(conclusion)]
        facts = [
            fact
            for cause in causes
            if isinstance(cause, DependencyOf)
            for fact in self._facts(cause)
        ]
        cycles = dict.fromkeys(c.nodes for c in causes if isinstance(c, CycleThrough))
        if cycles:
            return DependencyCycleError(list(cycles), explanation=explanation, facts=facts)
        return ResolutionError(
            "no choice of versions meets every constraint",
            explanation=explanation,
            facts=facts,
            hint="loosen one of the constraints named above, or add a version that meets them",
        )

    def _facts(self, cause: DependencyOf) -> Iterator[ConstraintFact]:
        """The constraints behind a cause, one for each version that wrote it."""
        if cause.node == ROOT:
            yield ConstraintFact(None, None, cause.needed, str(self._requirements[cause.needed]))
            return
        table = self._tables[cause.node]
        for index in indexes(cause.versions):
            constraint = self._matrix.needs(cause.node, index).constraint_on(cause.needed)
            version = str(table.versions[index])
            yield ConstraintFact(cause.node, version, cause.needed, str(constraint))


_CONFLICT = "\0conflict"

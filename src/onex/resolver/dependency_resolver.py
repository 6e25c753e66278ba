"""DependencyResolver: from references to the node versions that will run, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import AmbiguousNodeError, NodeNotFoundError, ResolutionError
from onex.domain.graph import execution_order
from onex.domain.host import HostEnvironment
from onex.domain.json_value import JsonValue
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeRef
from onex.domain.version import Version
from onex.resolver.catalog import CatalogView, NodeCatalog, Refusal, nothing_refused
from onex.resolver.compatibility_matrix import CompatibilityMatrix, VersionMatrix
from onex.resolver.dependencies import Dependencies
from onex.resolver.dependency_row import DependencyRow
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.resolver.matrix_overlays import ForcedMatrix, LockedMatrix
from onex.resolver.remedy import find_remedies
from onex.resolver.solver import solve_with
from onex.resolver.version_table import VersionTable

if TYPE_CHECKING:
    from onex.resolver.dependency_graph import DependencyGraph


@dataclass(frozen=True, slots=True, repr=False)
class DependencyResolution:
    """The chosen version of every node that is needed, and an order that respects needs.

    ``roots`` are the nodes that the references mean, in their order;
    ``requirements`` is what they ask, and ``needs`` what each chosen node asks of
    others, by full name. ``overrides`` are the chosen versions that the user forced.
    """

    selected: Mapping[NodeId, RegisteredNode]
    execution_order: Sequence[RegisteredNode]
    warnings: Sequence[str]
    roots: Sequence[NodeId]
    requirements: Mapping[str, VersionConstraint]
    needs: Mapping[str, Mapping[str, VersionConstraint]]
    overrides: Mapping[NodeId, RegisteredNode] = field(default_factory=dict)

    def __repr__(self) -> str:
        chosen = ", ".join(str(node.metadata.node_version) for node in self.execution_order[:10])
        more = ", ..." if len(self.execution_order) > 10 else ""
        return f"<DependencyResolution {chosen}{more}>"

    @property
    def graph(self) -> DependencyGraph:
        """Who needs whom among what was chosen."""
        from onex.resolver.dependency_graph import DependencyGraph

        return DependencyGraph.of(self)

    def _repr_html_(self) -> str:
        """The resolution as a notebook shows it: a tree, and what there is to be warned of."""
        from onex.domain.notebook_view import table_html, tree_html

        warnings = [(warning,) for warning in self.warnings]
        graph = self.graph
        lines = graph.tree(sorted(graph.requirements))
        tree = tree_html((line.depth, graph.describe(line)) for line in lines)
        return tree + (table_html(("warning",), warnings) if warnings else "")

    def _repr_svg_(self) -> str:
        from onex.resolver.graph_drawing import to_svg

        return to_svg(self.graph)

    def to_json(self) -> dict[str, JsonValue]:
        """The resolution in the shape that ``resolve`` prints."""
        return {
            "selected": {
                str(node): str(chosen.metadata.version) for node, chosen in self.selected.items()
            },
            "execution_order": [
                str(chosen.metadata.node_version) for chosen in self.execution_order
            ],
            "overrides": {
                str(node): chosen.origins[0].path for node, chosen in self.overrides.items()
            },
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class DependencyRequest:
    """What is asked of the resolver, with every name looked up.

    ``names`` are the names that were looked up; an answer is good as long as
    they and the nodes it rests on stay what they are.
    """

    roots: Sequence[NodeId]
    requirements: Mapping[str, VersionConstraint]
    names: frozenset[str]
    locked: Mapping[str, Version]
    overrides: Mapping[NodeId, RegisteredNode]


class DependencyResolver:
    """Looks names up in a catalog and solves for versions.

    What it learns of the catalog is kept until ``forget`` names what changed.
    """

    def __init__(
        self, catalog: NodeCatalog, host: HostEnvironment, refusal: Refusal = nothing_refused
    ) -> None:
        """``host`` and ``refusal`` are as for ``CatalogView``."""
        self.view = CatalogView(catalog, host, refusal)
        self.matrix = CompatibilityMatrix(self.view, self.view)

    def forget(self, names: frozenset[str] | None) -> None:
        """Drop what is known of nodes that go by these names; None drops everything."""
        if names is None:
            self.view.clear()
            self.matrix.clear()
        else:
            self.matrix.forget(self.view.forget(names))

    def request(
        self,
        references: Iterable[NodeRef],
        lock: Lockfile | LockedRequest | None = None,
        overrides: Mapping[NodeId, RegisteredNode] | None = None,
    ) -> DependencyRequest:
        """Look the references up.

        Several references to one node must agree on one version of it. Versions
        in ``lock`` are preferred to all others, even if they were yanked since;
        those in ``overrides`` are taken whatever anyone asks.

        Raises:
            NodeNotFoundError: a reference names no node; the hint lists close names.
            AmbiguousNodeError: a short name belongs to several nodes.
            ConstraintError: references to one node cannot be joined.
        """
        overrides = overrides or {}
        requirements: dict[str, VersionConstraint] = {}
        roots: list[NodeId] = []
        names: set[str] = set()
        for reference in references:
            names |= {reference.name, str(reference.node or reference.name)}
            roots.append(self.identify(reference, overrides))
            node = str(roots[-1])
            constraint = reference.constraint
            if node in requirements and requirements[node] != constraint:
                constraint = requirements[node].intersection(constraint)
            requirements[node] = constraint
        locked = {name: node.version for name, node in (lock or Lockfile()).nodes.items()}
        return DependencyRequest(roots, requirements, frozenset(names), locked, overrides)

    def resolve_dependencies(
        self, request: DependencyRequest
    ) -> tuple[DependencyResolution, frozenset[str]]:
        """Choose versions; returns them with the names of all that the choice rests on.

        Raises:
            ResolutionError: no choice of versions meets every constraint.
        """
        matrix = _Consulted(self._matrix_for(request))
        try:
            chosen = solve_with(matrix, request.requirements)
        except ResolutionError as error:
            error.consulted = frozenset(matrix.nodes)
            self._require_clear_names(error)
            remedies = find_remedies(request.requirements, matrix, error.facts)
            error.remedies = tuple(" and ".join(map(str, edits)) for edits in remedies)
            raise
        names = self.view.names_behind(matrix.nodes) | request.names
        return self.assemble(request, chosen), frozenset(names)

    def _require_clear_names(self, error: ResolutionError) -> None:
        """Refuse a dependency by a name that several nodes have, if no other fact is behind it."""
        asked = [fact for fact in error.facts if fact.dependent is not None]
        if any("://" in fact.needed for fact in asked):
            return
        for fact in asked:
            candidates = self.view.find_nodes(fact.needed)
            if len(candidates) > 1:
                names = " or ".join(map(str, candidates))
                raise AmbiguousNodeError(
                    f"{fact.dependent}@{fact.version} needs {fact.needed!r}, which is the name of"
                    f" {len(candidates)} nodes",
                    hint=f"write it in full in the manifest of {fact.dependent}: {names}",
                    details={"candidates": [str(candidate) for candidate in candidates]},
                ) from error

    def assemble(
        self, request: DependencyRequest, chosen: Mapping[str, Version]
    ) -> DependencyResolution:
        """The resolution that a choice of versions, once found, amounts to.

        Raises:
            KeyError: a chosen version is not registered.
        """
        nodes = {
            name: request.overrides.get(NodeId.parse(name)) or self.view.registered(name)[version]
            for name, version in chosen.items()
        }
        needs: dict[str, Mapping[str, VersionConstraint]] = {}
        for name, node in nodes.items():
            required, optional = self.view.needs_of(node.metadata)
            needs[name] = required | {n: c for n, c in optional.items() if n in chosen}
        overrides = {
            node: registered
            for node, registered in request.overrides.items()
            if str(node) in chosen
        }
        warnings = [warning for node in nodes.values() for warning in _warnings(node)]
        for forced in overrides.values():
            warnings += _forced_warnings(forced, request.requirements, needs)
        return DependencyResolution(
            selected={NodeId.parse(name): node for name, node in nodes.items()},
            execution_order=[nodes[name] for name in execution_order(needs)],
            warnings=warnings,
            roots=request.roots,
            requirements=request.requirements,
            needs=needs,
            overrides=overrides,
        )

    def _matrix_for(self, request: DependencyRequest) -> VersionMatrix:
        """The matrix with what the request locks and forces."""
        matrix: VersionMatrix = self.matrix
        if request.locked:
            matrix = LockedMatrix(matrix, request.locked)
        if request.overrides:
            forced = {}
            for node, registered in request.overrides.items():
                required, optional = self.view.needs_of(registered.metadata)
                unavailable_reason = self.view.unavailable_reason_of(registered)
                forced[str(node)] = (
                    registered.metadata.version,
                    Dependencies.of(required, optional, unavailable_reason),
                )
            matrix = ForcedMatrix(matrix, forced)
        return matrix

    def identify(
        self, reference: NodeRef, overrides: Mapping[NodeId, RegisteredNode] | None = None
    ) -> NodeId:
        """The one node that a reference means; raises as ``request`` does."""
        candidates = list(self.view.find_nodes(reference.name))
        candidates += [
            node
            for node, forced in (overrides or {}).items()
            if node not in candidates and reference.name in (node.namespace, forced.metadata.name)
        ]
        if reference.node is not None:
            if reference.node not in candidates:
                raise self._not_found(str(reference.node))
            return reference.node
        if not candidates:
            raise self._not_found(reference.name)
        if len(candidates) > 1:
            names = ", ".join(map(str, candidates))
            raise AmbiguousNodeError(
                f"{reference.name!r} is the name of {len(candidates)} nodes",
                hint=f"write one of them in full: {names}",
                details={
                    "name": reference.name,
                    "candidates": [str(candidate) for candidate in candidates],
                },
            )
        return candidates[0]

    def _not_found(self, name: str) -> NodeNotFoundError:
        close = [str(node) for node in self.view.catalog.close_names(name, 3)]
        if close:
            hint = "did you mean " + " or ".join(close) + "?"
        elif self.view.catalog.count():
            hint = "onex list shows what is registered; onex scan finds what is new"
        else:
            hint = "the registry is empty; run onex scan first, or onex scan PATH"
        return NodeNotFoundError(
            f"no node is called {name!r}",
            hint=hint,
            details={"name": name, "did_you_mean": close},
        )


class _Consulted:
    """A matrix that remembers which nodes were asked about."""

    def __init__(self, matrix: VersionMatrix) -> None:
        self._matrix = matrix
        self.nodes: set[str] = set()

    def table(self, node: str) -> VersionTable:
        self.nodes.add(node)
        return self._matrix.table(node)

    def needs(self, node: str, index: int) -> Dependencies:
        return self._matrix.needs(node, index)

    def row(self, node: str) -> DependencyRow:
        return self._matrix.row(node)


def _warnings(node: RegisteredNode) -> Iterator[str]:
    metadata = node.metadata
    if node.yanked:
        yield f"{metadata.node_version} was yanked"
    match metadata.lifecycle:
        case Lifecycle.DEPRECATED:
            yield f"{metadata.node_version} is deprecated; use {metadata.deprecated_by}"
        case Lifecycle.ARCHIVED:
            yield f"{metadata.node_version} is archived: {metadata.archived_reason}"
        case Lifecycle.DRAFT:
            yield f"{metadata.node_version} is a draft"
        case Lifecycle.ACTIVE:
            pass


def _forced_warnings(
    forced: RegisteredNode,
    requirements: Mapping[str, VersionConstraint],
    needs: Mapping[str, Mapping[str, VersionConstraint]],
) -> Iterator[str]:
    metadata = forced.metadata
    node = str(metadata.node)
    yield f"{metadata.node_version} is forced, from {forced.origins[0].path}"
    askers = [("the request", requirements), *needs.items()]
    for dependent, asked in askers:
        if node in asked and not asked[node].allows(metadata.version):
            yield f"{dependent} asks {node} {asked[node]}, which the override ignores"

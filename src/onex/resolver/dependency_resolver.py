"""DependencyResolver: from references to the node versions that will run, in order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from onex.domain.compatibility import HostEnvironment
from onex.domain.constraint import VersionConstraint
from onex.domain.errors import AmbiguousNodeError, NodeNotFoundError, ResolutionError
from onex.domain.json_value import JsonValue
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeRef
from onex.domain.selection import LOCKED, preference
from onex.domain.version import Version
from onex.resolver.graph import execution_order
from onex.resolver.lockfile import Lockfile
from onex.resolver.remedy import find_remedies
from onex.resolver.solver import solve


class NodeCatalog(Protocol):
    """Where the resolver learns which nodes exist."""

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        """Every registered version of a node."""
        ...

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        """The nodes with this namespace, short name or UUID."""
        ...

    def all_nodes(self) -> Sequence[NodeId]:
        """Every node."""
        ...


@dataclass(frozen=True, slots=True)
class DependencyResolution:
    """The chosen version of every node that is needed, and an order that respects needs.

    ``roots`` are the nodes that the references mean, in their order;
    ``requirements`` is what they ask, and ``needs`` what each chosen node asks of
    others, by full name.
    """

    selected: Mapping[NodeId, RegisteredNode]
    execution_order: Sequence[RegisteredNode]
    warnings: Sequence[str]
    roots: Sequence[NodeId]
    requirements: Mapping[str, VersionConstraint]
    needs: Mapping[str, Mapping[str, VersionConstraint]]

    def to_json(self) -> dict[str, JsonValue]:
        """The resolution in the shape that ``resolve`` prints."""
        return {
            "selected": {
                str(node): str(chosen.metadata.version) for node, chosen in self.selected.items()
            },
            "execution_order": [
                str(chosen.metadata.node_version) for chosen in self.execution_order
            ],
            "warnings": list(self.warnings),
        }


class DependencyResolver:
    """Looks names up in a catalog and solves for versions."""

    def __init__(self, catalog: NodeCatalog, host: HostEnvironment) -> None:
        """``host`` is the machine on which the chosen versions must run."""
        self._catalog = catalog
        self._host = host

    def resolve_dependencies(
        self, references: Iterable[NodeRef], lock: Lockfile | None = None
    ) -> DependencyResolution:
        """Choose versions for the references and all that they need.

        Several references to one node must agree on one version of it. Versions
        in ``lock`` are preferred to all others, even if they were yanked since.

        Raises:
            NodeNotFoundError: a reference names no node; the hint lists close names.
            AmbiguousNodeError: a short name belongs to several nodes.
            ResolutionError: no choice of versions meets every constraint.
        """
        requirements: dict[str, VersionConstraint] = {}
        roots: list[NodeId] = []
        for reference in references:
            roots.append(self.identify(reference))
            node = str(roots[-1])
            constraint = reference.constraint
            if node in requirements and requirements[node] != constraint:
                constraint = requirements[node].intersection(constraint)
            requirements[node] = constraint
        view = _CatalogView(self._catalog, lock or Lockfile(), self._host)
        try:
            chosen = solve(requirements, view, view)
        except ResolutionError as error:
            remedies = find_remedies(requirements, view, view, error.facts)
            error.remedies = tuple(" and ".join(map(str, edits)) for edits in remedies)
            raise
        needs = {
            node: view.dependencies(node, version)
            | {
                needed: constraint
                for needed, constraint in view.optional_dependencies(node, version).items()
                if needed in chosen
            }
            for node, version in chosen.items()
        }
        by_name = {node: view.registered(node, version) for node, version in chosen.items()}
        return DependencyResolution(
            {NodeId.parse(name): node for name, node in by_name.items()},
            [by_name[name] for name in execution_order(needs)],
            [warning for node in by_name.values() for warning in _warnings(node)],
            roots,
            requirements,
            needs,
        )

    def identify(self, reference: NodeRef) -> NodeId:
        """The one node that a reference means; raises as ``resolve_dependencies`` does."""
        candidates = self._catalog.find_nodes(reference.name)
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
                details={"candidates": [str(candidate) for candidate in candidates]},
            )
        return candidates[0]

    def _not_found(self, name: str) -> NodeNotFoundError:
        known = [str(node) for node in self._catalog.all_nodes()]
        by_part = {part: full for full in known for part in (full, full.partition("://")[2])}
        close = dict.fromkeys(by_part[part] for part in difflib.get_close_matches(name, by_part, 3))
        if close:
            hint = "did you mean " + " or ".join(close) + "?"
        elif known:
            hint = "onex list shows what is registered; onex scan PATH registers more"
        else:
            hint = "the registry is empty; run onex scan PATH first"
        return NodeNotFoundError(
            f"no node is called {name!r}", hint=hint, details={"did_you_mean": list(close)}
        )


_Asked = tuple[dict[str, VersionConstraint], dict[str, VersionConstraint]]


class _CatalogView:
    """The catalog as the solver's provider and policy; asks for each node once."""

    def __init__(self, catalog: NodeCatalog, lock: Lockfile, host: HostEnvironment) -> None:
        self._catalog = catalog
        self._host = host
        self._lock = lock
        self._nodes: dict[str, dict[Version, RegisteredNode]] = {}
        self._dependencies: dict[tuple[str, Version], _Asked] = {}

    def _versions(self, node: str) -> dict[Version, RegisteredNode]:
        known = self._nodes.get(node)
        if known is None:
            registered = self._catalog.versions(NodeId.parse(node)) if "://" in node else ()
            known = {item.metadata.version: item for item in registered}
            self._nodes[node] = known
        return known

    def registered(self, node: str, version: Version) -> RegisteredNode:
        return self._versions(node)[version]

    def versions(self, node: str) -> Sequence[Version]:
        return list(self._versions(node))

    def dependencies(self, node: str, version: Version) -> dict[str, VersionConstraint]:
        return self._asked(node, version)[0]

    def optional_dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return self._asked(node, version)[1]

    def _asked(self, node: str, version: Version) -> _Asked:
        """What a version needs, and what it takes only in some versions."""
        key = (node, version)
        known = self._dependencies.get(key)
        if known is None:
            known = ({}, {})
            for dependency in self._versions(node)[version].metadata.dependencies:
                asked = known[1] if dependency.optional else known[0]
                name = self._name(dependency.reference)
                constraint = dependency.reference.constraint
                asked[name] = asked[name].intersection(constraint) if name in asked else constraint
            self._dependencies[key] = known
        return known

    def _name(self, reference: NodeRef) -> str:
        """The full name of a dependency; as it is written where no one node has that name."""
        if reference.node is not None:
            return str(reference.node)
        candidates = self._catalog.find_nodes(reference.name)
        return str(candidates[0]) if len(candidates) == 1 else reference.name

    def obstacle(self, node: str, version: Version) -> str | None:
        return self._host.obstacle(self.registered(node, version).metadata.extra)

    def preference(self, node: str, version: Version) -> int:
        locked = self._lock.nodes.get(node)
        if locked is not None and locked.version == version:
            return LOCKED
        registered = self.registered(node, version)
        return preference(version, registered.metadata.lifecycle, yanked=registered.yanked)


def _warnings(node: RegisteredNode) -> Iterable[str]:
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

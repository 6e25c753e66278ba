"""CatalogView: the registered nodes as the solver asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from onex.domain.constraint import VersionConstraint
from onex.domain.host import HostEnvironment
from onex.domain.lifecycle import Lifecycle, preference
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.reference import NodeId, NodeRef
from onex.domain.version import Version


class NodeCatalog(Protocol):
    """The registered nodes, as the resolver asks for them."""

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        """Every registered version of a node."""
        ...

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        """The nodes with this namespace, short name or UUID."""
        ...

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        """Nodes with names that are spelled like this one, the closest first."""
        ...

    def count(self) -> int:
        """The number of registered node versions."""
        ...


Constraints = dict[str, VersionConstraint]

Refusal = Callable[[RegisteredNode], str | None]
"""Says why a version must not be chosen, as the rest of a sentence about it; None if it may."""


def nothing_refused(node: RegisteredNode) -> None:
    """Refuses no version."""


class CatalogView:
    """A catalog as the solver's provider and policy; asks for each node and each name once."""

    def __init__(
        self, catalog: NodeCatalog, host: HostEnvironment, refusal: Refusal = nothing_refused
    ) -> None:
        """``host`` is the machine on which the chosen versions must run.

        ``refusal`` says why a version must not be chosen, None if it may be.
        """
        self.catalog = catalog
        self._host = host
        self._refusal = refusal
        self._nodes: dict[str, dict[Version, RegisteredNode]] = {}
        self._names: dict[str, Sequence[NodeId]] = {}
        self._looked_up: dict[str, set[str]] = {}

    def registered(self, node: str) -> Mapping[Version, RegisteredNode]:
        """The registered versions of a node by its full name."""
        known = self._nodes.get(node)
        if known is None:
            found = self.catalog.versions(NodeId.parse(node)) if "://" in node else ()
            known = self._nodes[node] = {item.metadata.version: item for item in found}
        return known

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        """The nodes that go by a name."""
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = self.catalog.find_nodes(name)
        return found

    def names_behind(self, nodes: Iterable[str]) -> set[str]:
        """The nodes, and every name by which their manifests call others."""
        names = set(nodes)
        for node in tuple(names):
            names |= self._looked_up.get(node, set())
        return names

    def forget(self, names: frozenset[str]) -> set[str]:
        """Drop what depends on nodes with these names; returns the nodes that may differ now."""
        stale = set(names)
        stale |= {node for node, used in self._looked_up.items() if not used.isdisjoint(names)}
        for name in stale:
            self._nodes.pop(name, None)
            self._names.pop(name, None)
            self._looked_up.pop(name, None)
        return stale

    def clear(self) -> None:
        """Drop everything that was learned."""
        self._nodes.clear()
        self._names.clear()
        self._looked_up.clear()

    def needs_of(self, metadata: NodeMetadata) -> tuple[Constraints, Constraints]:
        """The required and the optional dependencies of a version, by full name."""
        required: Constraints = {}
        optional: Constraints = {}
        own = str(metadata.node)
        for dependency in metadata.dependencies:
            asked = optional if dependency.optional else required
            name = self._full_name(own, dependency.reference)
            if dependency.optional and name == own:
                # A node is always there in the one version that is chosen of it.
                continue
            constraint = dependency.reference.constraint
            asked[name] = asked[name].intersection(constraint) if name in asked else constraint
        return required, optional

    def _full_name(self, dependent: str, reference: NodeRef) -> str:
        """The full name of a dependency; as it is written if no single node has that name."""
        if reference.node is not None:
            return str(reference.node)
        self._looked_up.setdefault(dependent, set()).add(reference.name)
        candidates = self.find_nodes(reference.name)
        return str(candidates[0]) if len(candidates) == 1 else reference.name

    def unavailable_reason_of(self, node: RegisteredNode) -> str | None:
        """Why a version must not be chosen, or cannot run here; None if it can be."""
        return self._refusal(node) or self.host_refusal(node.metadata)

    def host_refusal(self, metadata: NodeMetadata) -> str | None:
        """Why a version cannot run here, None if it can."""
        return self._host.unavailable_reason(metadata.extra)

    # What the solver asks, by name and version.

    def versions(self, node: str) -> Sequence[Version]:
        return list(self.registered(node))

    def dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return self.needs_of(self.registered(node)[version].metadata)[0]

    def optional_dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return self.needs_of(self.registered(node)[version].metadata)[1]

    def unavailable_reason(self, node: str, version: Version) -> str | None:
        return self.unavailable_reason_of(self.registered(node)[version])

    def preference(self, node: str, version: Version) -> int:
        found = self.registered(node)[version]
        return preference(version, found.metadata.lifecycle, yanked=found.yanked)

    def reservation(self, node: str, version: Version) -> str | None:
        found = self.registered(node)[version]
        if found.yanked:
            return "is yanked" + (f": {found.yank_reason}" if found.yank_reason else "")
        if found.metadata.lifecycle is Lifecycle.ARCHIVED:
            reason = found.metadata.archived_reason
            return "is archived" + (f": {reason}" if reason else "")
        return None

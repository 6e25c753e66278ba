"""RegistryResolution: the resolver on what is registered, and the lines of its manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onex.domain.compatibility import HostEnvironment
from onex.domain.errors import ConstraintFact, NodeNotFoundError, ResolutionError
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.version import Version
from onex.manifests.dependency_place import locate_dependency
from onex.resolver.compatibility import Demand
from onex.resolver.dependency_resolver import DependencyResolution, DependencyResolver
from onex.resolver.lockfile import Lockfile
from onex.resolver.version_resolver import resolve_version
from onex.storage.backend import StorageBackend


@dataclass(frozen=True, slots=True)
class RegistryResolution:
    """Answers about versions from what is registered; ``host`` is where nodes will run."""

    storage: StorageBackend
    host: HostEnvironment

    def identify(self, reference: NodeRef) -> NodeId:
        """The one node that a reference means.

        Raises:
            NodeNotFoundError, AmbiguousNodeError: it means none, or several.
        """
        return DependencyResolver(self.storage, self.host).identify(reference)

    def node(self, reference: NodeRef) -> RegisteredNode:
        """The version that a reference means; raises as ``identify``, and where none fits."""
        versions = self.storage.versions(self.identify(reference))
        found = resolve_version(versions, reference.constraint)
        if found is None:
            known = ", ".join(str(node.metadata.version) for node in versions)
            raise NodeNotFoundError(
                f"no version of {versions[0].metadata.node} meets {reference.constraint}",
                hint=f"its versions are: {known}",
            )
        return found

    def resolve(
        self, references: Iterable[NodeRef], lock: Lockfile | None = None
    ) -> DependencyResolution:
        """Choose versions; a failure also says where its constraints are written.

        Raises:
            ResolutionError: no choice of versions meets every constraint.
            NodeNotFoundError, AmbiguousNodeError: a reference does not name one node.
        """
        try:
            return DependencyResolver(self.storage, self.host).resolve_dependencies(
                references, lock
            )
        except ResolutionError as error:
            error.extend("Where this is written:", list(self._places(error.facts)))
            error.extend("What would unblock it, each edit on its own:", error.remedies)
            error.details["remedies"] = list(error.remedies)
            if error.remedies:
                error.hint = "make one of the edits that the explanation ends with"
            raise

    def demands(self, node: RegisteredNode) -> Sequence[Demand]:
        """What each dependent asks of a node."""
        identity = node.metadata.node
        return [
            Demand(str(dependent), dependency.reference.constraint)
            for dependent in self.storage.dependents(identity)
            for registered in [self.storage.node(dependent)]
            if registered is not None
            for dependency in registered.metadata.dependencies
            if self._means(dependency.reference, identity)
        ]

    def _means(self, reference: NodeRef, node: NodeId) -> bool:
        """Whether a reference leads to this node and no other."""
        if reference.node is not None:
            return reference.node == node
        return list(self.storage.find_nodes(reference.name)) == [node]

    def _places(self, facts: Iterable[ConstraintFact]) -> Iterator[str]:
        """The line of each constraint that a manifest holds."""
        for fact in dict.fromkeys(facts):
            if fact.dependant is None or fact.version is None:
                continue
            owner = NodeVersion(NodeId.parse(fact.dependant), Version.parse(fact.version))
            registered = self.storage.node(owner)
            if registered is None:
                continue
            manifest = Path(registered.origins[0].path)
            place = locate_dependency(manifest, self._names(fact.needed))
            if place is not None:
                yield f"{place}: {owner} asks {fact.needed} {fact.constraint}"

    def _names(self, needed: str) -> frozenset[str]:
        """Everything that a manifest may call a node."""
        names = {needed}
        if "://" in needed:
            node = NodeId.parse(needed)
            names.add(node.namespace)
            for known in self.storage.versions(node):
                names.add(known.metadata.name)
                if known.metadata.uuid is not None:
                    names.add(known.metadata.uuid)
        return frozenset(names)

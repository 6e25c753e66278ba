"""VersionImpact: what a version of a node means for everyone who asks for the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onex.domain.constraint import LATEST
from onex.domain.errors import AmbiguousNodeError, NodeNotFoundError
from onex.domain.lifecycle import Lifecycle, preference
from onex.domain.metadata import NodeMetadata
from onex.domain.reference import NodeId, NodeRef
from onex.manifests.override import find_manifest, read_override
from onex.resolution.cached_resolver import CachedResolver
from onex.resolver.dependencies import Dependencies
from onex.resolver.impact import Impact, assess
from onex.resolver.matrix_overlays import ProposedMatrix
from onex.resolver.version_report import Demand, VersionCompatibility, compatibility
from onex.storage.backend import StorageBackend


class VersionImpact:
    """Judges versions from what is registered. One object serves one thread."""

    def __init__(self, storage: StorageBackend, resolver: CachedResolver) -> None:
        self._storage = storage
        self._resolver = resolver

    def demands(self, node: NodeId) -> Sequence[Demand]:
        """What each dependent asks of a node."""
        resolver = self._resolver.resolver
        return [
            Demand(str(dependent), constraint)
            for dependent in self._storage.dependents(node)
            for registered in [self._storage.node(dependent)]
            if registered is not None
            for asked in resolver.view.needs_of(registered.metadata)
            for needed, constraint in asked.items()
            if needed == str(node)
        ]

    def compatibility(self, node: NodeId) -> list[VersionCompatibility]:
        """Every version of a node against everyone who asks for it."""
        demands, resolver = self.demands(node), self._resolver.resolver
        registered = resolver.view.registered(str(node))
        lifecycles = {v: found.metadata.lifecycle.value for v, found in registered.items()}
        return compatibility(resolver.matrix.table(str(node)), lifecycles, demands)

    def proposal(self, proposed: NodeRef | Path) -> NodeMetadata:
        """The version that a reference, or a manifest or the folder of one, proposes.

        One that is not registered is taken to need what the newest version needs.

        Raises:
            UsageError: the reference does not name one version.
            DocumentError: the manifest cannot be used.
            NodeNotFoundError, AmbiguousNodeError: it means no node, or several.
        """
        if isinstance(proposed, Path):
            return read_override(find_manifest(proposed)).metadata
        version = proposed.one_version()
        identity = str(self._resolver.identify(proposed))
        known = self._resolver.resolver.view.registered(identity)
        if version in known:
            return known[version].metadata
        return replace(known[max(known)].metadata, version=version, lifecycle=Lifecycle.ACTIVE)

    def impact(
        self, proposed: NodeMetadata, workflows: Mapping[str, Sequence[NodeRef]]
    ) -> list[Impact]:
        """What a proposed version does to each dependent of its node and to workflows.

        A dependent is judged by its best version. ``workflows`` gives the
        references of each by name. If the version is registered with the same
        manifest, the registry without it is what it is compared with.
        """
        resolver = self._resolver.resolver
        view, matrix, node = resolver.view, resolver.matrix, str(proposed.node)
        rows = {
            version: (view.preference(node, version), matrix.needs(node, index))
            for index, version in enumerate(matrix.table(node).versions)
        }
        registered = view.registered(node).get(proposed.version)
        if registered is not None and registered.metadata == proposed:
            before = {v: row for v, row in rows.items() if v != proposed.version}
        else:
            before = rows
        required, optional = view.needs_of(proposed)
        needs = Dependencies.of(required, optional, view.host_refusal(proposed))
        rank = preference(proposed.version, proposed.lifecycle)
        after = {**rows, proposed.version: (rank, needs)}
        worlds = ProposedMatrix(matrix, node, before), ProposedMatrix(matrix, node, after)
        found: list[Impact] = []
        asked = {str(d): {str(d): LATEST} for d in self._dependents(proposed.node)}
        for name, references in workflows.items():
            try:
                asked[name] = dict(resolver.request(references).requirements)
            except (NodeNotFoundError, AmbiguousNodeError) as error:
                found.append(Impact(name, "unresolved", (), error.message))
        for dependent, requirements in asked.items():
            entry = assess(dependent, requirements, node, proposed.version, *worlds)
            if entry is not None:
                found.append(self._located(entry))
        return found

    def _dependents(self, node: NodeId) -> list[NodeId]:
        """The nodes that need a node in any version, directly or not, by name."""
        seen = {node}
        pending = [node]
        while pending:
            for dependent in self._storage.dependents(pending.pop()):
                if dependent.node not in seen:
                    seen.add(dependent.node)
                    pending.append(dependent.node)
        return sorted(seen - {node}, key=str)

    def _located(self, entry: Impact) -> Impact:
        places = [f"  {place}" for place in self._resolver.places_of(entry.facts)]
        if not places:
            return entry
        return replace(entry, reason="\n".join([entry.reason, "Where this is written:", *places]))

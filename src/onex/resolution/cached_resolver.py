"""RegistryResolution: the resolver on what is registered, with caches that follow the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onex.cache.entry import CacheStatistics
from onex.cache.registry_cache import LEVELS, RegistryCache
from onex.domain.constraint import LATEST, VersionConstraint
from onex.domain.errors import (
    AmbiguousNodeError,
    ConstraintFact,
    NodeNotFoundError,
    ResolutionError,
)
from onex.domain.host import HostEnvironment
from onex.domain.json_value import JsonValue, as_object, as_text, canonical_json
from onex.domain.lifecycle import Lifecycle, preference
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.version import Version
from onex.manifests.dependency_place import locate_dependency
from onex.manifests.override import Override, check_names, read_override
from onex.resolution.answer_cache import AnswerCache
from onex.resolution.historical_catalog import HistoricalCatalog, parse_moment
from onex.resolver.compatibility_matrix import resolve_version
from onex.resolver.dependency_resolver import (
    DependencyRequest,
    DependencyResolution,
    DependencyResolver,
)
from onex.resolver.explanation import describe_left_out
from onex.resolver.impact import Impact, assess
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.resolver.matrix_overlays import ProposedMatrix
from onex.resolver.needs import Needs
from onex.resolver.version_report import Demand, VersionCompatibility, compatibility
from onex.storage.backend import StorageBackend


@dataclass(frozen=True, slots=True)
class CacheReport:
    """One cache: its name, how many entries it holds, and how often it had an answer."""

    name: str
    entries: int
    statistics: CacheStatistics

    def to_json(self) -> dict[str, JsonValue]:
        """The cache in the shape that ``cache stats`` prints."""
        return {
            "name": self.name,
            "entries": self.entries,
            "hits": self.statistics.hits,
            "misses": self.statistics.misses,
            "hit_ratio": self.statistics.hit_ratio,
        }


class RegistryResolution:
    """Answers about versions from what is registered. One object serves one thread."""

    def __init__(
        self, storage: StorageBackend, host: HostEnvironment, cache: RegistryCache
    ) -> None:
        """``host`` is where nodes will run; ``cache`` keeps answers for others."""
        self._storage = storage
        self._host = host
        self._cache = cache
        self._resolver = DependencyResolver(storage, host)
        self._head = storage.head()
        self._versions: AnswerCache[Version] = AnswerCache("versions", cache, storage, str)
        self._resolutions: AnswerCache[DependencyResolution] = AnswerCache(
            "dependencies", cache, storage, _chosen_versions
        )

    def identify(self, reference: NodeRef) -> NodeId:
        """The one node that a reference means.

        Raises:
            NodeNotFoundError, AmbiguousNodeError: it means none, or several.
        """
        self._follow_log()
        return self._resolver.identify(reference)

    def node(self, reference: NodeRef) -> RegisteredNode:
        """The version that a reference means; raises as ``identify``, and where none fits."""
        identity = self.identify(reference)
        name = str(identity)
        constraint = reference.constraint
        key = f"{name}@{constraint}"
        version = self._versions.get(key, lambda stored: Version.parse(as_text(stored)))
        registered = self._resolver.view.registered(name)
        if version is None:
            version = resolve_version(self._resolver.matrix, name, constraint)
            if version is None:
                left_out = self._resolver.matrix.table(name).left_out(constraint)
                reason = f": {describe_left_out(left_out)}" if left_out else ""
                known = ", ".join(map(str, registered))
                raise NodeNotFoundError(
                    f"no version of {name} meets {constraint}{reason}",
                    hint=_way_back(name, left_out) or f"its versions are: {known}",
                )
            self._versions.put(key, version, frozenset([name]), self._head)
        return registered[version]

    def resolve(
        self,
        references: Sequence[NodeRef | str],
        lock: Lockfile | LockedRequest | None = None,
        overrides: Sequence[Override] = (),
    ) -> DependencyResolution:
        """Choose versions; a failure also says where its constraints are written.

        Raises:
            ResolutionError: no choice of versions meets every constraint.
            NodeNotFoundError, AmbiguousNodeError: a reference does not name one node.
            DocumentError: the manifest of an override cannot be used.
        """
        self._follow_log()
        if overrides:
            # Files of an override may change at any time, unseen by the log.
            request = self._resolver.request(_parsed(references), lock, self._forced(overrides))
            return self._solve(self._resolver, request)[0]
        key = _key(references, lock, self._host)
        known = self._resolutions.get(
            key, lambda stored: self._assemble(self._request(references, lock), stored)
        )
        if known is not None:
            return known
        found, names = self._solve(self._resolver, self._request(references, lock))
        self._resolutions.put(key, found, names, self._head)
        return found

    def resolve_as_of(self, references: Sequence[NodeRef | str], when: str) -> DependencyResolution:
        """Choose versions as the registry stood at a date or time; raises as ``resolve``.

        Raises:
            UsageError: ``when`` is neither a date nor a time.
        """
        catalog = HistoricalCatalog(self._storage.events(), parse_moment(when))
        resolver = DependencyResolver(catalog, self._host)
        return self._solve(resolver, resolver.request(_parsed(references)))[0]

    def demands(self, node: NodeId) -> Sequence[Demand]:
        """What each dependent asks of a node."""
        self._follow_log()
        return [
            Demand(str(dependent), constraint)
            for dependent in self._storage.dependents(node)
            for registered in [self._storage.node(dependent)]
            if registered is not None
            for asked in self._resolver.view.needs_of(registered.metadata)
            for needed, constraint in asked.items()
            if needed == str(node)
        ]

    def compatibility(self, node: NodeId) -> list[VersionCompatibility]:
        """Every version of a node against everyone who asks for it."""
        demands = self.demands(node)
        registered = self._resolver.view.registered(str(node))
        lifecycles = {v: found.metadata.lifecycle.value for v, found in registered.items()}
        return compatibility(self._resolver.matrix.table(str(node)), lifecycles, demands)

    def proposal(self, reference: NodeRef) -> NodeMetadata:
        """The version that a reference proposes.

        One that is not registered is taken to need what the newest version needs.

        Raises:
            UsageError: the reference does not name one version.
            NodeNotFoundError, AmbiguousNodeError: it means no node, or several.
        """
        version = reference.one_version()
        known = self._resolver.view.registered(str(self.identify(reference)))
        if version in known:
            return known[version].metadata
        return replace(known[max(known)].metadata, version=version, lifecycle=Lifecycle.ACTIVE)

    def impact(
        self, proposed: NodeMetadata, workflows: Mapping[str, Sequence[NodeRef]]
    ) -> list[Impact]:
        """What a proposed version does to each dependant of its node and to workflows.

        A dependant is judged by its best version. ``workflows`` gives the
        references of each by name. Where the version is registered with the same
        manifest, the registry without it is what it is compared with.
        """
        self._follow_log()
        view, matrix, node = self._resolver.view, self._resolver.matrix, str(proposed.node)
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
        needs = Needs.of(required, optional, view.obstacle_of(proposed))
        rank = preference(proposed.version, proposed.lifecycle)
        after = {**rows, proposed.version: (rank, needs)}
        worlds = ProposedMatrix(matrix, node, before), ProposedMatrix(matrix, node, after)
        found: list[Impact] = []
        asked = {str(d): {str(d): LATEST} for d in self._dependants(proposed.node)}
        for name, references in workflows.items():
            try:
                asked[name] = dict(self._resolver.request(references).requirements)
            except (NodeNotFoundError, AmbiguousNodeError) as error:
                found.append(Impact(name, "unresolved", (), error.message))
        for dependant, requirements in asked.items():
            entry = assess(dependant, requirements, node, proposed.version, *worlds)
            if entry is not None:
                found.append(self._located(entry))
        return found

    def _dependants(self, node: NodeId) -> list[NodeId]:
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
        places = [f"  {place}" for place in self._places(self._resolver, entry.facts)]
        if not places:
            return entry
        return replace(entry, reason="\n".join([entry.reason, "Where this is written:", *places]))

    def caches(self) -> list[CacheReport]:
        """What the caches hold, and their hits in this and all earlier processes."""
        self.keep_statistics()
        if self._cache.shared is not None:
            self._cache.shared.poll()
        reports = [
            CacheReport(name, self._cache.file.count(f"{name}:"), self._cache.file.statistics(name))
            for name in (self._versions.name, self._resolutions.name)
        ]
        sizes = {"l1": len(self._cache.memory), "l3": self._cache.file.count()}
        reports += [
            CacheReport(level, sizes.get(level, 0), self._cache.statistics(level))
            for level in LEVELS
            if level != "l2" or self._cache.shared is not None
        ]
        parsed = VersionConstraint.parse_statistics()
        statistics = CacheStatistics(parsed.hits, parsed.misses)
        return [CacheReport("constraints", parsed.entries, statistics), *reports]

    def keep_statistics(self) -> None:
        """Add this process's hits and misses to those that the file keeps."""
        for cache in (self._versions, self._resolutions):
            taken = cache.take_statistics()
            if taken != CacheStatistics():
                self._cache.file.add_statistics(cache.name, taken)

    def clear_caches(self) -> bool:
        """Forget every answer and all statistics; returns whether every level did."""
        for cache in (self._versions, self._resolutions):
            cache.forget(None)
            cache.take_statistics()
        return self._cache.clear()

    def invalidate_cache(self, glob: str) -> bool:
        """Forget the cached answers whose keys match a glob; returns whether every level did."""
        for cache in (self._versions, self._resolutions):
            cache.forget(None)
        return self._cache.invalidate(glob)

    def _follow_log(self) -> None:
        """Forget what has changed since the last question."""
        head = self._storage.head()
        if head == self._head:
            return
        is_same_log = self._storage.holds(self._head)
        names = self._storage.names_changed(self._head.serial) if is_same_log else None
        self._resolver.forget(names)
        self._versions.forget(names)
        self._resolutions.forget(names)
        self._head = head

    def _request(
        self, references: Sequence[NodeRef | str], lock: Lockfile | LockedRequest | None
    ) -> DependencyRequest:
        return self._resolver.request(_parsed(references), lock)

    def _assemble(self, request: DependencyRequest, stored: JsonValue) -> DependencyResolution:
        chosen = {node: Version.parse(as_text(v)) for node, v in as_object(stored).items()}
        return self._resolver.assemble(request, chosen)

    def _forced(self, overrides: Iterable[Override]) -> dict[NodeId, RegisteredNode]:
        """The node that each override puts in place."""
        forced = {}
        for override in overrides:
            if override.manifest is not None:
                found = read_override(override.manifest)
                check_names(override, found)
            else:
                exact = VersionConstraint.parse(str(override.version))
                reference = override.reference
                found = self.node(NodeRef(reference.type, reference.name, exact))
            forced[found.metadata.node] = found
        return forced

    def _solve(
        self, resolver: DependencyResolver, request: DependencyRequest
    ) -> tuple[DependencyResolution, frozenset[str]]:
        try:
            return resolver.resolve_dependencies(request)
        except ResolutionError as error:
            error.extend("Where this is written:", list(self._places(resolver, error.facts)))
            error.extend("What would unblock it, each edit on its own:", error.remedies)
            error.details["remedies"] = list(error.remedies)
            if not error.remedies:
                error.hint = _hint_for(resolver, error.facts) or error.hint
            if error.remedies:
                error.hint = "make one of the edits that the explanation ends with"
            raise

    def _places(
        self, resolver: DependencyResolver, facts: Iterable[ConstraintFact]
    ) -> Iterator[str]:
        """The line of each constraint that a manifest holds."""
        for fact in dict.fromkeys(facts):
            if fact.dependant is None or fact.version is None:
                continue
            owner = NodeVersion(NodeId.parse(fact.dependant), Version.parse(fact.version))
            registered = resolver.view.registered(fact.dependant).get(owner.version)
            if registered is None:
                continue
            manifest = Path(registered.origins[0].path)
            names = frozenset(_names(resolver, fact.needed))
            place = locate_dependency(manifest, names)
            if place is not None:
                yield f"{place}: {owner} asks {fact.needed} {fact.constraint}"


def _hint_for(resolver: DependencyResolver, facts: Iterable[ConstraintFact]) -> str | None:
    """How to bring back a version that was withdrawn, if that would meet a constraint."""
    for fact in facts:
        if "://" in fact.needed:
            constraint = VersionConstraint.parse(fact.constraint)
            table = resolver.matrix.table(fact.needed)
            if not table.mask_of(constraint):
                found = _way_back(fact.needed, table.left_out(constraint))
                if found is not None:
                    return found
    return None


def _way_back(name: str, left_out: Sequence[str]) -> str | None:
    """The command that undoes a yank, if that is why a version is left out."""
    for text in left_out:
        version, _, reason = text.partition(" ")
        if reason.startswith("is yanked"):
            return f"onex yank {name}@{version} --undo brings it back"
    return None


def _names(resolver: DependencyResolver, needed: str) -> Iterator[str]:
    """Everything that a manifest may call a node."""
    yield needed
    if "://" in needed:
        yield NodeId.parse(needed).namespace
        for known in resolver.view.registered(needed).values():
            yield known.metadata.name
            if known.metadata.uuid is not None:
                yield known.metadata.uuid


def _parsed(references: Iterable[NodeRef | str]) -> Iterator[NodeRef]:
    for reference in references:
        yield NodeRef.parse(reference) if isinstance(reference, str) else reference


def _key(
    references: Sequence[NodeRef | str],
    lock: Lockfile | LockedRequest | None,
    host: HostEnvironment,
) -> str:
    """One text for everything an answer depends on, but for what is registered."""
    locked: Mapping[str, str] = (
        {name: str(node.version) for name, node in lock.nodes.items()} if lock else {}
    )
    asked = "\0".join(map(str, references))
    return f"{asked}\0{host}" if not locked else f"{asked}\0{host}\0{canonical_json(locked)}"


def _chosen_versions(resolution: DependencyResolution) -> JsonValue:
    return {str(node): str(n.metadata.version) for node, n in resolution.selected.items()}

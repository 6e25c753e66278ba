"""CachedResolver: the resolver on what is registered, with caches that follow the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import (
    ConstraintFact,
    NodeNotFoundError,
    ResolutionError,
)
from onex.domain.host import HostEnvironment
from onex.domain.json_value import JsonValue, as_object, as_text, canonical_json
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeRef
from onex.domain.trust_rules import TrustRules
from onex.domain.version import Version
from onex.manifests.override import Override, check_names, read_override
from onex.resolution.caches import ResolutionCaches
from onex.resolution.constraint_places import hint_for, places_of, way_back
from onex.resolution.historical_catalog import HistoricalCatalog, parse_moment
from onex.resolution.version_admission import VersionAdmission
from onex.resolver.compatibility_matrix import resolve_version
from onex.resolver.dependency_resolver import (
    DependencyRequest,
    DependencyResolution,
    DependencyResolver,
)
from onex.resolver.explanation import describe_left_out
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.storage.backend import StorageBackend
from onex.telemetry.telemetry import Telemetry

SEVERAL, UNRESOLVED = "several", "unresolved"
"""What measurements say in place of a node for several at once, and for what was not resolved."""

SPAN_REFERENCES = 10


class CachedResolver:
    """Answers about versions from what is registered. One object serves one thread."""

    def __init__(
        self,
        storage: StorageBackend,
        host: HostEnvironment,
        caches: ResolutionCaches,
        meet: Callable[[Iterable[str]], bool] = lambda names: False,
        admission: VersionAdmission | None = None,
        telemetry: Telemetry | None = None,
        *,
        shows_places: bool = True,
    ) -> None:
        """``host`` is where nodes will run; ``caches`` keep answers for others.

        ``meet`` registers what remotes know of nodes by these names, and says whether that
        changed anything; ``admission`` says which versions the policy lets be chosen;
        ``telemetry`` is told how long it takes to choose them. ``shows_places`` is false if those
        who ask must not be told where files are on this machine.
        """
        self._telemetry = telemetry or Telemetry()
        self._shows_places = shows_places
        self._admission = admission or VersionAdmission(TrustRules(), lambda node: True)
        self._admitted_by = self._admission.key()
        self._meet = meet
        self._storage = storage
        self._host = host
        self._caches = caches
        self._resolver = DependencyResolver(storage, host, self._admission.refusal)
        self._head = storage.head()

    @property
    def resolver(self) -> DependencyResolver:
        """The resolver, up to date with the log."""
        self._follow_log()
        return self._resolver

    def identify(self, reference: NodeRef) -> NodeId:
        """The one node that a reference means.

        Raises:
            NodeNotFoundError, AmbiguousNodeError: it means none, or several.
        """
        self._meet([_name(reference)])
        self._follow_log()
        return self._resolver.identify(reference)

    def node(self, reference: NodeRef) -> RegisteredNode:
        """The version that a reference means; raises as ``identify``, and if none fits."""
        started = time.perf_counter()
        identity = self.identify(reference)
        name = str(identity)
        constraint = reference.constraint
        key = f"{name}@{constraint}"
        version = self._caches.versions.get(key, lambda stored: Version.parse(as_text(stored)))
        registered = self._resolver.view.registered(name)
        is_known = version is not None
        if version is None:
            version = resolve_version(self._resolver.matrix, name, constraint)
            if version is None:
                left_out = self._resolver.matrix.table(name).left_out(constraint)
                reason = f": {describe_left_out(left_out)}" if left_out else ""
                known = ", ".join(map(str, registered))
                raise NodeNotFoundError(
                    f"no version of {name} meets {constraint}{reason}",
                    hint=way_back(name, left_out) or f"its versions are: {known}",
                )
            self._caches.versions.put(key, version, frozenset([name]), self._head)
        seconds = time.perf_counter() - started
        self._telemetry.metrics.record_version_resolution(name, seconds, is_known)
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
        started, before = time.perf_counter(), self._caches.dependencies.hits
        tracer, name = self._telemetry.tracer, UNRESOLVED
        told = ", ".join(map(str, references[:SPAN_REFERENCES])) if tracer.is_on else ""
        try:
            with tracer.span("onex.resolve", {"onex.references": told}):
                found = self._resolve(references, lock, overrides)
            name = _measured_name(references, found)
        finally:
            self._telemetry.metrics.record_version_resolution(
                name,
                time.perf_counter() - started,
                self._caches.dependencies.hits > before,
            )
        return found

    def _resolve(
        self,
        references: Sequence[NodeRef | str],
        lock: Lockfile | LockedRequest | None,
        overrides: Sequence[Override],
    ) -> DependencyResolution:
        self._meet([_name(reference) for reference in _parsed(references)])
        self._follow_log()
        if overrides:
            # Files of an override may change at any time, unseen by the log.
            forced = self._forced(overrides)
            return self._solve_meeting(
                lambda: self._resolver.request(_parsed(references), lock, forced)
            )[0]
        key = _key(references, lock, self._host, self._admitted_by)
        known = self._caches.dependencies.get(
            key, lambda stored: self._assemble(self._request(references, lock), stored)
        )
        if known is not None:
            return known
        found, names = self._solve_meeting(lambda: self._request(references, lock))
        self._caches.dependencies.put(key, found, names, self._head)
        return found

    def places_of(self, facts: Iterable[ConstraintFact]) -> list[str]:
        """Where constraints are written, if those who ask may be told."""
        return list(places_of(self.resolver, facts)) if self._shows_places else []

    def resolve_as_of(self, references: Sequence[NodeRef | str], when: str) -> DependencyResolution:
        """Choose versions as the registry stood at a date or time; raises as ``resolve``.

        Raises:
            UsageError: ``when`` is neither a date nor a time.
        """
        catalog = HistoricalCatalog(self._storage.events(), parse_moment(when))
        resolver = DependencyResolver(catalog, self._host, self._admission.refusal)
        return self._solve(resolver, resolver.request(_parsed(references)))[0]

    def _follow_log(self) -> None:
        """Drop the answers about what the log says has changed."""
        admitted_by = self._admission.key()
        if admitted_by != self._admitted_by:
            # A version may have come of age.
            self._resolver.forget(None)
            self._admitted_by = admitted_by
        head = self._storage.head()
        if head == self._head:
            return
        is_same_log = self._storage.holds(self._head)
        names = self._storage.names_changed(self._head.serial) if is_same_log else None
        self._resolver.forget(names)
        self._caches.forget(names)
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

    def _solve_meeting(
        self, make_request: Callable[[], DependencyRequest]
    ) -> tuple[DependencyResolution, frozenset[str]]:
        """Choose versions, again and again until every node that was looked at has been met."""
        while True:
            try:
                answer = self._solve(self._resolver, make_request())
            except ResolutionError as error:
                if not self._meet(error.consulted):
                    raise
            else:
                if not self._meet(answer[1]):
                    return answer
            self._follow_log()

    def _solve(
        self, resolver: DependencyResolver, request: DependencyRequest
    ) -> tuple[DependencyResolution, frozenset[str]]:
        try:
            return resolver.resolve_dependencies(request)
        except ResolutionError as error:
            if self._shows_places:
                error.extend("Where this is written:", list(places_of(resolver, error.facts)))
            error.extend("What would unblock it, each edit on its own:", error.remedies)
            error.details["remedies"] = list(error.remedies)
            if not error.remedies:
                error.hint = hint_for(resolver, error.facts) or error.hint
            if error.remedies:
                error.hint = "make one of the edits that the explanation ends with"
            raise


def _measured_name(references: Sequence[NodeRef | str], found: DependencyResolution) -> str:
    """What a measurement calls the node that was asked for, if it is one alone."""
    if len(references) != 1 or not found.execution_order:
        return SEVERAL
    return str(found.execution_order[-1].metadata.node)


def _name(reference: NodeRef) -> str:
    return str(reference.node or reference.name)


def _parsed(references: Iterable[NodeRef | str]) -> Iterator[NodeRef]:
    for reference in references:
        yield NodeRef.parse(reference) if isinstance(reference, str) else reference


def _key(
    references: Sequence[NodeRef | str],
    lock: Lockfile | LockedRequest | None,
    host: HostEnvironment,
    admitted_by: str,
) -> str:
    """Cache key: references, host, policy and locked versions; the log is checked by its serial."""
    locked: Mapping[str, str] = (
        {name: str(node.version) for name, node in lock.nodes.items()} if lock else {}
    )
    asked = "\0".join(map(str, references))
    key = f"{asked}\0{host}{admitted_by}"
    return f"{key}\0{canonical_json(locked)}" if locked else key

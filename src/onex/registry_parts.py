"""RegistryParts: what a registry consists of, each part opened when it is first used.

It wires the parts and closes them; what one does with them is in ``registry``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

from onex.cache.registry_cache import RegistryCache
from onex.configuration.settings import Configuration
from onex.discovery.registered_sources import RegisteredSources
from onex.domain.host import HostEnvironment
from onex.resolution.cached_resolver import CachedResolver
from onex.resolution.caches import ResolutionCaches
from onex.resolution.decisions import VersionDecisions
from onex.resolution.version_admission import VersionAdmission
from onex.storage.opening import open_storage
from onex.telemetry.registry_metrics import RegistryMetrics
from onex.telemetry.telemetry import Telemetry
from onex.telemetry.tracing import make_tracer

if TYPE_CHECKING:
    from onex.execution.orchestrator import ExecutionOrchestrator
    from onex.history.kept_measurements import KeptMeasurements
    from onex.history.run_history import RunHistory
    from onex.remote.publication import Publications
    from onex.remote.publisher import Publisher
    from onex.remote.remotes import Remotes
    from onex.storage.backend import StorageBackend
    from onex.trust.advisories import Advisories
    from onex.trust.grants import Grants
    from onex.trust.index_signer import IndexSigner
    from onex.trust.log_tree import LogTree
    from onex.trust.owners import PublishedOwners, RememberedOwners
    from onex.trust.security_validator import SecurityValidator
    from onex.trust.tokens import Tokens

_MADE_OF_PARTS = (
    *("sources", "grants", "admission", "advisories", "log_tree", "index_signer"),
    *("_resolver", "_orchestrator"),
)
_PARTS = ("caches", "storage", "history", "remotes")


class RegistryParts:
    """The parts of one registry, for the thread that opened it."""

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, str],
        actor: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.configuration = configuration
        self._owns_telemetry = telemetry is None
        self.telemetry = telemetry or Telemetry(RegistryMetrics(), make_tracer(environment, "onex"))
        self._environment = environment
        self._actor = actor
        self.shows_places = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the databases, and keep what was measured."""
        if self._owns_telemetry:
            self.keep_measurements()
            self.telemetry.tracer.close()
        opened = [self.__dict__.pop(name) for name in _PARTS if name in self.__dict__]
        for name in _MADE_OF_PARTS:
            self.__dict__.pop(name, None)
        for part in opened:
            part.close()

    def acting_as(self, actor: str) -> Self:
        """The same registry, used in the name of somebody else; it lives as long as this one."""
        self._resolver.resolver  # noqa: B018 - opened here, so that both share it
        other = copy.copy(self)
        for name in ("sources", "grants", "advisories"):
            other.__dict__.pop(name, None)
        other._actor = actor
        return other

    @cached_property
    def sources(self) -> RegisteredSources:
        """Where nodes come from."""
        return RegisteredSources(
            self.configuration,
            self._environment,
            lambda: self.storage,
            self.remotes,
            self._actor,
            self.telemetry,
        )

    @cached_property
    def remotes(self) -> Remotes:
        """The remote registries that are declared."""
        from onex.remote.remotes import Remotes

        return Remotes(self.configuration, self._environment, self.telemetry.tracer)

    @cached_property
    def storage(self) -> StorageBackend:
        """What is registered, and the log of its changes."""
        return open_storage(self.configuration.storage, self.configuration.home)

    @cached_property
    def caches(self) -> ResolutionCaches:
        """The answers that resolutions keep."""
        # Registries that share a cache must not see each other's answers.
        prefix = f"onex:{self.storage.instance}"
        file = self.configuration.home / "cache.db"
        return ResolutionCaches(RegistryCache(file, self.configuration.cache, prefix), self.storage)

    @cached_property
    def history(self) -> RunHistory:
        """The runs, their results and their artifacts."""
        from onex.artifacts.opening import SEEN_FOLDER, open_contents
        from onex.artifacts.shared_artifacts import SharedArtifacts
        from onex.history.opening import open_journal
        from onex.history.run_history import RunHistory

        found = self.configuration
        shared = None
        if found.artifacts is not None:
            # Histories that share a store must not remove each other's artifacts.
            shared = SharedArtifacts(
                open_contents(
                    found.artifacts,
                    self.storage.instance,
                    self._environment,
                    found.settings_folder,
                    self.telemetry.tracer,
                    found.home / SEEN_FOLDER,
                )
            )
        return RunHistory(open_journal(found.storage, found.home), found.home, shared)

    def keep_measurements(self) -> None:
        """Add what was measured to what other processes measured; it stays here if that fails."""
        with self.telemetry.keeping:
            measured = self.telemetry.metrics.measurements
            taken = measured.take()
            if not self.measurements.add(taken):
                measured.add(taken)

    @property
    def measurements(self) -> KeptMeasurements:
        """What all processes that use this folder measured."""
        from onex.history.kept_measurements import KeptMeasurements

        return KeptMeasurements(self.configuration.home)

    @cached_property
    def _resolver(self) -> CachedResolver:
        return CachedResolver(
            self.storage,
            HostEnvironment.current(),
            self.caches,
            self.sources.remote_nodes.meet,
            self.admission,
            self.telemetry,
            shows_places=self.shows_places,
        )

    @cached_property
    def _orchestrator(self) -> ExecutionOrchestrator:
        from onex.execution.orchestrator import ExecutionOrchestrator

        return ExecutionOrchestrator(
            self.configuration,
            self._environment,
            self.history,
            self.storage.files_at,
            lambda: self.storage.instance,
            self.sources.workspace.name,
            self.remotes.archived,
            self.telemetry,
        )

    @cached_property
    def admission(self) -> VersionAdmission:
        """Which versions the policy lets be chosen."""
        return VersionAdmission(
            self.configuration.trust_rules,
            lambda node: self.grants.is_trusted(node),  # noqa: PLW0108 - opened when it is asked
            self.advisories,
        )

    @cached_property
    def advisories(self) -> Advisories:
        """What is known to be wrong with versions of nodes."""
        from onex.trust.advisories import Advisories

        return Advisories(self.storage, self._actor)

    @cached_property
    def grants(self) -> Grants:
        """What nodes were granted by somebody, and what they ask for."""
        from onex.trust.grants import Grants

        workspace = self.sources.workspace.name
        return Grants(self.storage, self.configuration, workspace, self._actor)

    @property
    def validator(self) -> SecurityValidator:
        """Whether versions may be run, and why."""
        from onex.trust.security_validator import SecurityValidator

        rules = self.configuration.trust_rules
        grants = self.grants
        return SecurityValidator(self.storage, rules, grants.is_trusted, grants.fault_of)

    @property
    def remembered_owners(self) -> RememberedOwners:
        """What is known here of the owners of namespaces elsewhere."""
        from onex.trust.owners import RememberedOwners

        return RememberedOwners(self.storage, self._actor)

    def publisher(self, remote: str | None = None) -> Publisher:
        """What publishes to a remote, by its name, or to the only one there is.

        Raises:
            UnknownRemoteError: there is no such remote.
            NotPublishableError: it is a folder.
        """
        from onex.remote.publisher import Publisher

        return Publisher(self.remotes, self.remotes.remote(remote))

    @property
    def published(self) -> Publications:
        """What was published to this registry, which it serves to others."""
        from onex.remote.publication import Publications

        names = self.configuration.name_rules
        return Publications(self.storage, self.remotes.published, self._actor, names)

    @property
    def published_owners(self) -> PublishedOwners:
        """Whose keys speak for the namespaces of this registry, which it serves to others."""
        from onex.trust.owners import PublishedOwners

        return PublishedOwners(self.storage, self._actor)

    @cached_property
    def log_tree(self) -> LogTree:
        """The Merkle tree of the log."""
        from onex.trust.log_tree import LogTree

        return LogTree(self.storage)

    @cached_property
    def index_signer(self) -> IndexSigner:
        """What signs the index of this registry, if a root was made."""
        from onex.remote.local_tree import LocalTree

        tree = LocalTree(self.storage, self.remotes.published, log=self.log_tree)
        return tree.signer(self.configuration.home / "trust" / "online.key")

    @property
    def tokens(self) -> Tokens:
        """The tokens with which others may use this registry when it is served."""
        from onex.trust.tokens import Tokens

        return Tokens(self.storage, self._actor)

    @property
    def _decisions(self) -> VersionDecisions:
        return VersionDecisions(self.storage, self._resolver, self._actor)

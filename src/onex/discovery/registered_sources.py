"""RegisteredSources: the sources of a registry, declared or remembered, and scans of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onex.configuration.loading import load_configuration
from onex.configuration.settings import (
    PROJECT_FILE,
    REMOTE_KIND,
    Configuration,
    SourceConfiguration,
)
from onex.discovery.engine import DEFAULT_TIMEOUT_SECONDS, DiscoveryEngine, adopt_sources
from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.local_workspace import local_workspace
from onex.discovery.merge import Merge, MergeRules
from onex.discovery.remote_nodes import RemoteNodes
from onex.discovery.scan_report import ScanReport, joined
from onex.discovery.source import DiscoverySource
from onex.discovery.source_kinds import make_source, merge_rules
from onex.domain.archive_place import PUBLISHED_SOURCE
from onex.domain.errors import (
    ConfigurationError,
    DocumentError,
    Location,
    OnexError,
    Problem,
    Severity,
    UsageError,
)
from onex.domain.metadata import Origin, RegisteredNode, SourceId
from onex.domain.reference import NodeVersion
from onex.manifests.local_node import read_local_node
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.node_files import CONTRACT_FILE
from onex.manifests.override import find_manifest
from onex.remote.remotes import Remotes
from onex.storage.backend import StorageBackend, StorageWriter
from onex.telemetry.telemetry import Telemetry

FORGOTTEN_AT_ONCE = 1_000


class RegisteredSources:
    """The sources of one registry. One object serves one thread."""

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, str],
        storage: Callable[[], StorageBackend],
        remotes: Remotes,
        actor: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            configuration: declares sources.
            environment: what the configuration was read with.
            storage: opens what is registered; declared sources are checked without it.
            remotes: the trees of those sources that are remotes.
            actor: who scans and forgets, as the log names them.
            telemetry: where it is measured how long scans take.
        """
        self._configuration = configuration
        self._environment = environment
        self._open_storage = storage
        self._actor = actor
        self._telemetry = telemetry or Telemetry()
        self.workspace = local_workspace(configuration)
        self.remote_nodes = RemoteNodes(
            remotes,
            self.workspace.name,
            storage,
            self._rules,
            configuration.trust_rules,
            self._scan_remote,
        )

    @property
    def _storage(self) -> StorageBackend:
        return self._open_storage()

    @property
    def declared(self) -> Sequence[SourceConfiguration]:
        """The sources in ``onex.toml``."""
        return self._configuration.sources

    def scan(self, paths: Iterable[str | Path] = (), *, force: bool = False) -> ScanReport:
        """Discover nodes below the given folders, or in the declared sources.

        Raises:
            UsageError: no folder is given and no source is declared.
            PathNotReadableError: the only folder cannot be read.
            StorageError: the registry's database cannot be used.
        """
        sources: list[tuple[DiscoverySource, float]] = [
            (FileSystemDiscovery(Path(path)), DEFAULT_TIMEOUT_SECONDS) for path in paths
        ]
        remotes: Sequence[SourceConfiguration] = ()
        if not sources:
            # What sources on this machine have, remotes are not asked for.
            remotes = self._configuration.remotes
            sources = [
                (self._made(source), source.timeout_seconds or DEFAULT_TIMEOUT_SECONDS)
                for source in self.declared
                if source.kind != REMOTE_KIND
            ]
        if not sources and not remotes:
            raise UsageError(
                "there is nothing to scan",
                hint="name a folder: onex scan PATH, or declare [[sources]] in onex.toml",
            )
        with self._telemetry.tracer.span("onex.scan") as span:
            reports = [self._engine(sources).scan(force=force)] if sources else []
            reports += self.remote_nodes.scan(remotes, force=force)
            found = joined(reports)
            span.set_attribute("onex.nodes", found.nodes)
        for report in found.sources:
            self._telemetry.metrics.record_discovery_operation(
                report.name, report.seconds, report.found
            )
        return found

    def register(self, path: Path) -> NodeVersion:
        """Register the one node that a manifest describes, without a scan of what is around it.

        Args:
            path: the manifest, or a folder with one.

        Raises:
            UsageError: there is no one manifest.
            DocumentError: the manifest cannot be used, or another node has its place; what was
                registered before stays.
            StorageError: the registry's database cannot be used.
        """
        manifest = find_manifest(path)
        if not manifest.name.endswith((MANIFEST_SUFFIX, CONTRACT_FILE)):
            raise UsageError(
                f"{manifest} is no manifest", hint=f"name a file that ends in {MANIFEST_SUFFIX}"
            )
        reading = read_local_node(manifest)
        if reading.node is None:
            raise DocumentError(f"{manifest} cannot be registered", reading.problems)
        source = FileSystemDiscovery(manifest)
        origin = Origin(source.name, source.name, self.workspace.name)
        is_known = self.knows(origin.source_id)
        report = self.scan([manifest], force=True)
        node = next(iter(self._storage.nodes_from(origin.source_id, "").values()), None)
        if node is None:
            if not is_known:
                self.forget(origin.source_id)
            raise DocumentError(f"{manifest} cannot be registered", report.problems)
        return node

    def unregister(self, nodes: Iterable[RegisteredNode]) -> Sequence[NodeVersion]:
        """Take back what ``register`` did here; a version stays if it comes from elsewhere too.

        Raises:
            UsageError: none of the versions was registered by ``register`` in this workspace.
        """
        dropped: dict[SourceId, NodeVersion] = {}
        others: list[tuple[NodeVersion, Origin]] = []
        for node in nodes:
            version = node.metadata.node_version
            for origin in node.origins:
                if origin.source == origin.path and origin.workspace == self.workspace.name:
                    dropped[origin.source_id] = version
                else:
                    others.append((version, origin))
        if not dropped:
            raise _not_registered(*others[0], self.workspace.name)
        for source in dropped:
            self.forget(source)
        return list(dict.fromkeys(dropped.values()))

    def _scan_remote(
        self,
        source: DiscoverySource,
        declared: SourceConfiguration,
        force: bool,  # noqa: FBT001
    ) -> ScanReport:
        limit = declared.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
        return self._engine([(source, limit)]).scan(force=force)

    def _engine(self, sources: Sequence[tuple[DiscoverySource, float]]) -> DiscoveryEngine:
        """What scans these sources, each within its seconds."""
        scanned = [source.name for source, _ in sources]
        engine = DiscoveryEngine(
            storage=self._storage,
            rules=self._rules(scanned),
            workspace=self.workspace,
            actor=self._actor,
            roots={name: self._root_of(name) for name in scanned},
        )
        for source, limit in sources:
            engine.register_discovery_source(source, limit)
        return engine

    def _rules(self, scanned: Iterable[str] = ()) -> MergeRules:
        return merge_rules(self.declared, self._configuration.trust_policy, scanned)

    def _made(self, declared: SourceConfiguration) -> DiscoverySource:
        return make_source(declared, self.remote_nodes.source)

    def watch(self, paths: Sequence[str | Path] = ()) -> Iterator[ScanReport]:
        """Scan again whenever a file of a source changes, without end.

        Args:
            paths: the folders to watch, by default those of the declared sources.

        Raises:
            UsageError: there is no folder to watch, or watchfiles is not installed.
        """
        from onex.discovery.watch import changes_below

        given = [Path(path) for path in paths]
        project = self._configuration.project
        settings = None if given or project is None else project / PROJECT_FILE

        def folders() -> list[Path]:
            if settings is not None:
                self._read_configuration_again()
            declared = [source.path for source in self.declared if source.path]
            return given or declared

        for trouble in changes_below(folders, settings):
            told = [] if trouble is None else [trouble]
            try:
                report = self.scan(paths)
                yield replace(report, problems=[*told, *report.problems])
            except OnexError as error:
                # A source that is away for a moment, or a file that is half written.
                place = error.location or Location()
                told.append(Problem(error.code, Severity.ERROR, error.message, place, error.hint))
                yield ScanReport((), told, self._storage.count())

    def _read_configuration_again(self) -> None:
        """Take over what ``onex.toml`` says now, unless it is not valid at the moment."""
        with contextlib.suppress(ConfigurationError):
            self._configuration = load_configuration(
                self._configuration.project or Path(), self._environment, self._configuration.home
            )

    def check(self) -> Sequence[tuple[SourceConfiguration, OnexError | None]]:
        """Try each declared source; with each stands what is wrong, None if nothing is."""
        return [(declared, self.try_source(declared)) for declared in self.declared]

    def try_source(self, declared: SourceConfiguration) -> OnexError | None:
        """Ask a source whether it answers, also one that is passed over; returns why not."""
        try:
            self._made(declared).health_check()
        except OnexError as error:
            return error
        return None

    def known(self) -> Mapping[SourceId, int]:
        """The sources of all workspaces, declared or not, and how many manifests each gives."""
        return self._storage.sources()

    def knows(self, source: SourceId) -> bool:
        """Whether anything is known of a source, declared or not."""
        if source.workspace == self.workspace.name:
            roots = {source.name: self._root_of(source.name)}
            adopt_sources(self._storage, self.workspace, roots, self._actor)
        return source in self.known()

    def forget(self, source: SourceId) -> int:
        """Drop all that was found in a source and nowhere else; returns how many versions.

        Raises:
            UsageError: nothing is known of such a source.
        """
        if source.name == PUBLISHED_SOURCE:
            raise UsageError(
                "what was published is never forgotten", hint="yank a version that is wrong"
            )
        if not self.knows(source):
            raise UsageError(
                f"nothing is known of a source {source.name!r}",
                hint="see what is known: onex sources list --all",
            )
        paths, removed = list(self._storage.fingerprints(source)), 0
        # In parts: others wait for the right to write meanwhile.
        for start in range(0, len(paths), FORGOTTEN_AT_ONCE):
            some = paths[start : start + FORGOTTEN_AT_ONCE]

            def forget(writer: StorageWriter, some: Sequence[str] = some) -> int:
                merge = Merge(writer, source, MergeRules(), self.workspace)
                merge.expect_at(some)
                for path in some:
                    merge.drop(path)
                return merge.counts.removed

            removed += self._storage.write(forget, self._actor)
        self._storage.write(lambda writer: writer.forget_source(source), self._actor)
        return removed

    def _root_of(self, name: str) -> Path | None:
        """The folder of a source: as declared, or its name, or for others that of the project."""
        if Path(name).is_absolute():
            return Path(name)
        declared = {source.name: source.path for source in self.declared}
        return declared.get(name, self._configuration.project)


def _not_registered(version: NodeVersion, origin: Origin, workspace: str) -> UsageError:
    """Why a version cannot be taken back: it comes from elsewhere; with what to do instead."""
    if origin.source == PUBLISHED_SOURCE:
        return UsageError(f"{version} was published here", hint=f"withdraw it: onex yank {version}")
    if origin.workspace != workspace:
        return UsageError(
            f"{version} belongs to the workspace {origin.workspace}",
            hint="run the command in its project",
        )
    return UsageError(
        f"{version} comes from the source {origin.source}",
        hint=f"remove {origin.path} and scan, or forget all that is there:"
        f" onex sources forget {origin.source}",
    )

"""RegisteredSources: the sources of a registry, declared or remembered, and scans of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onex.configuration import (
    PROJECT_FILE,
    Configuration,
    SourceConfiguration,
    load_configuration,
)
from onex.discovery.engine import DEFAULT_TIMEOUT_SECONDS, DiscoveryEngine, adopt_sources
from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.local_workspace import local_workspace
from onex.discovery.merge import Merge, MergeRules
from onex.discovery.scan_report import ScanReport
from onex.discovery.source import DiscoverySource
from onex.discovery.source_kinds import make_source, merge_rules
from onex.domain.errors import (
    ConfigurationError,
    Location,
    OnexError,
    Problem,
    Severity,
    SourceError,
    UsageError,
)
from onex.domain.metadata import SourceId
from onex.domain.reference import NodeId
from onex.remote.remotes import Remotes
from onex.storage.backend import StorageBackend, StorageWriter

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
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            configuration: declares sources.
            environment: what the configuration was read with.
            storage: opens what is registered; declared sources are checked without it.
            remotes: the trees of those sources that are remotes.
            actor: who scans and forgets, as the log names them.
        """
        self._remotes = remotes
        self._configuration = configuration
        self._environment = environment
        self._open_storage = storage
        self._actor = actor
        self.workspace = local_workspace(configuration)
        self.remote_problems: dict[str, Problem] = {}
        self._visited: set[str] = set()

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
        ] or [
            (self._made(source), source.timeout_seconds or DEFAULT_TIMEOUT_SECONDS)
            for source in self.declared
        ]
        if not sources:
            raise UsageError(
                "there is nothing to scan",
                hint="name a folder: onex scan PATH, or declare [[sources]] in onex.toml",
            )
        if not paths:
            self._visited |= {remote.name for remote in self._remotes.declared}
        return self._engine(sources).scan(force=force)

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
        return make_source(declared, self._remote)

    def _remote(self, declared: SourceConfiguration, wanted: Iterable[str] = ()) -> DiscoverySource:
        """A remote, which is asked for no namespace that is another source's."""
        from onex.discovery.remote import RemoteRegistryDiscovery

        taken: set[str] = set()
        for other in self._remotes.declared:
            if other.name == declared.name:
                break
            taken |= self._supplied_by(other)
        bound_to = self._rules().bound_to

        def is_elsewhere(namespace: str) -> bool:
            owner = bound_to(namespace)
            return namespace in taken if owner is None else owner != declared.name

        return RemoteRegistryDiscovery(declared, self._remotes, wanted, is_elsewhere)

    def _supplied_by(self, remote: SourceConfiguration) -> set[str]:
        """The namespaces of the nodes that a remote is known to have."""
        from onex.remote.tree import node_of_path

        folders = self._storage.folders(SourceId(remote.name, self.workspace.name))
        nodes = (node_of_path(path) for path, folder in folders.items() if folder.files)
        return {node.namespace for node in nodes if node is not None}

    def meet(self, names: Iterable[str]) -> bool:
        """Have the remotes say what they know of nodes, and of those that these need.

        A node comes from the first remote that has it. If one does not answer, those after it are
        not asked for what it may have, unless the namespace is bound to them. Problems are kept in
        ``remote_problems``.

        Args:
            names: names of nodes, short or with their types.

        Returns:
            whether anything changed in the registry.
        """
        if not self._remotes.declared:
            return False
        before = self._storage.head()
        unsettled = {name for name in names if "://" in name or not self._storage.find_nodes(name)}
        blocked: set[str] = set()
        for remote in self._remotes.declared:
            source = SourceId(remote.name, self.workspace.name)
            known = self._storage.folders(source)
            paths = {name: _index_file(name) for name in unsettled}
            wanted = [name for name, path in paths.items() if path not in known]
            wanted = [n for n in wanted if n not in blocked or self._is_bound(n, remote)]
            if wanted or remote.name not in self._visited:
                self._visit(remote, wanted)
                known = self._storage.folders(source)
            blocked |= {name for name in wanted if paths[name] not in known}
            unsettled -= {n for n, path in paths.items() if path in known and known[path].files}
        return self._storage.head() != before

    def _is_bound(self, name: str, remote: SourceConfiguration) -> bool:
        return self._rules().bound_to(name.rpartition("://")[2]) == remote.name

    def _visit(self, remote: SourceConfiguration, wanted: Sequence[str]) -> None:
        self._visited.add(remote.name)
        limit = remote.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
        try:
            report = self._engine([(self._remote(remote, wanted), limit)]).scan()
            problems = [p for p in report.problems if p.location.path == remote.name]
        except SourceError as error:
            place = Location(remote.name)
            problems = [Problem(error.code, Severity.WARNING, error.message, place, error.hint)]
        self.remote_problems.pop(remote.name, None)
        if problems:
            self.remote_problems[remote.name] = problems[0]

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
        found: list[tuple[SourceConfiguration, OnexError | None]] = []
        for declared in self.declared:
            try:
                self._made(declared).health_check()
            except OnexError as error:
                found.append((declared, error))
            else:
                found.append((declared, None))
        return found

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


def _index_file(name: str) -> str:
    """The file of an index that is about a name."""
    from onex.remote.tree import index_path, names_path

    return index_path(NodeId.parse(name)) if "://" in name else names_path(name)

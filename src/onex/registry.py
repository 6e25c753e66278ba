"""Registry: the one object a user of the interface needs."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from onex.cache.registry_cache import RegistryCache
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
from onex.discovery.source_kinds import make_source, merge_rules
from onex.domain.errors import (
    ConfigurationError,
    DigestMismatchError,
    Location,
    OnexError,
    Problem,
    Severity,
    UsageError,
)
from onex.domain.event import Event
from onex.domain.host import HostEnvironment
from onex.domain.json_value import JsonObject
from onex.domain.lifecycle import Lifecycle, check_replacement
from onex.domain.metadata import NodeMetadata, RegisteredNode, SourceId
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.result import IsolationLevel, RunResult
from onex.domain.version import Version
from onex.domain.workflow import Workflow
from onex.domain.workspace import Workspace
from onex.manifests.override import Override, find_manifest, read_override
from onex.resolution.cached_resolver import CacheReport, RegistryResolution
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.impact import Impact
from onex.resolver.lockfile import LOCKFILE, LockedRequest, Lockfile
from onex.resolver.version_report import VersionCompatibility
from onex.storage.copying import CopyReport, copy_registry
from onex.storage.opening import SQLITE_SCHEME, open_storage
from onex.storage.query import MetadataQuery, Page, SearchResult

if TYPE_CHECKING:
    from types import TracebackType

    from onex.execution.events import Observer
    from onex.execution.forecast import RunForecast
    from onex.execution.options import RunKeywords, RunOptions
    from onex.execution.orchestrator import ExecutionOrchestrator
    from onex.execution.plan import ExecutionPlan
    from onex.history.replay import ReplayReport
    from onex.history.run_history import RunHistory
    from onex.schemas.given_inputs import GivenInputs
    from onex.storage.backend import StorageBackend, StorageWriter

FORGOTTEN_AT_ONCE = 1_000


class Registry:
    """Discovery, resolution, storage and execution behind one interface.

    Opened by ``Registry.open``, closed by ``close`` or at the end of a ``with``
    block. One object serves one thread.
    """

    def __init__(self, configuration: Configuration, environment: Mapping[str, str]) -> None:
        self.configuration = configuration
        self._environment = environment

    @classmethod
    def open(
        cls,
        home: str | os.PathLike[str] | None = None,
        *,
        start: str | os.PathLike[str] = ".",
        environment: Mapping[str, str] | None = None,
    ) -> Registry:
        """Open a registry; its folder is created by the first command that writes.

        Args:
            home: the folder of the registry's state; by default the one that
                applies in ``start``.
            start: where to look for ``onex.toml``, upwards.
            environment: where ``ONEX_HOME`` and secrets come from; by default
                the process's own.

        Raises:
            ConfigurationError: ``onex.toml`` is not valid.
        """
        environment = dict(os.environ) if environment is None else environment
        chosen = None if home is None else Path(home)
        return cls(load_configuration(Path(start), environment, chosen), environment)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the databases."""
        resolution = self.__dict__.pop("_resolution", None)
        if resolution is not None:
            resolution.keep_statistics()
        self.__dict__.pop("_orchestrator", None)
        for name in ("_storage", "history", "_cache"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    @cached_property
    def _storage(self) -> StorageBackend:
        return open_storage(self.configuration.storage, self.configuration.home)

    @cached_property
    def _cache(self) -> RegistryCache:
        # Registries that share a cache must not see each other's answers.
        prefix = f"onex:{self._storage.identity}"
        return RegistryCache(self.configuration.home / "cache.db", self.configuration.cache, prefix)

    @cached_property
    def _resolution(self) -> RegistryResolution:
        host = HostEnvironment(Version(*sys.version_info[:3]), sys.platform)
        return RegistryResolution(self._storage, host, self._cache)

    @cached_property
    def _orchestrator(self) -> ExecutionOrchestrator:
        from onex.execution.orchestrator import ExecutionOrchestrator

        return ExecutionOrchestrator(
            self.configuration,
            self._environment,
            self.history,
            self._storage.files_at,
            self.workspace.name,
        )

    @cached_property
    def history(self) -> RunHistory:
        """The runs of this registry."""
        from onex.history.run_history import RunHistory
        from onex.history.sqlite_journal import SqliteRunJournal

        home = self.configuration.home
        return RunHistory(SqliteRunJournal(home / "history.db"), home)

    def scan(
        self, paths: Iterable[str | os.PathLike[str]] = (), *, force: bool = False
    ) -> ScanReport:
        """Discover nodes below the given folders, or in the sources of ``onex.toml``.

        Raises:
            UsageError: no folder is given and no source is declared.
            PathNotReadableError: the only folder cannot be read.
            StorageError: the registry's database cannot be used.
        """
        declared = self.configuration.sources
        engine = DiscoveryEngine(self._storage, workspace=self.workspace)
        given = list(paths)
        for path in given:
            engine.register_discovery_source(FileSystemDiscovery(Path(path)))
        for source in () if given else declared:
            timeout = source.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
            engine.register_discovery_source(make_source(source), timeout)
        scanned = [source.name for source in engine.sources]
        engine.roots = {name: self._root_of(name) for name in scanned}
        engine.rules = merge_rules(declared, self.configuration.trust_policy, scanned)
        if not engine.sources:
            raise UsageError(
                "there is nothing to scan",
                hint="name a folder: onex scan PATH, or declare [[sources]] in onex.toml",
            )
        return engine.scan(force=force)

    def watch(self, paths: Sequence[str | os.PathLike[str]] = ()) -> Iterator[ScanReport]:
        """Scan again whenever a file of a source changes, without end.

        Args:
            paths: the folders to watch, by default those of the declared sources.

        Raises:
            UsageError: there is no folder to watch, or watchfiles is not installed.
        """
        from onex.discovery.watch import changes_below

        given = [Path(path) for path in paths]
        project = self.configuration.project
        settings = None if given or project is None else project / PROJECT_FILE

        def folders() -> list[Path]:
            if settings is not None:
                self._read_configuration_again()
            declared = [source.path for source in self.configuration.sources if source.path]
            return given or declared

        for trouble in changes_below(folders, settings):
            try:
                report = self.scan(paths)
                if trouble is not None:
                    report = replace(report, problems=[trouble, *report.problems])
                yield report
            except OnexError as error:
                # A source that is away for a moment, or a file that is half written.
                problem = Problem(
                    error.code,
                    Severity.ERROR,
                    error.message,
                    error.location or Location(),
                    error.hint,
                )
                told = [problem] if trouble is None else [trouble, problem]
                yield ScanReport((), told, self._storage.count())

    def _read_configuration_again(self) -> None:
        """Take over what ``onex.toml`` says now, unless it is not valid at the moment."""
        with contextlib.suppress(ConfigurationError):
            self.configuration = load_configuration(
                self.configuration.project or Path(), self._environment, self.configuration.home
            )

    def check_sources(self) -> Sequence[tuple[SourceConfiguration, OnexError | None]]:
        """Try each declared source; with each stands what is wrong, None where nothing is."""
        found: list[tuple[SourceConfiguration, OnexError | None]] = []
        for declared in self.configuration.sources:
            try:
                make_source(declared).health_check()
            except OnexError as error:
                found.append((declared, error))
            else:
                found.append((declared, None))
        return found

    @cached_property
    def workspace(self) -> Workspace:
        """Which of those that share the registry this is."""
        return local_workspace(self.configuration)

    def known_sources(self) -> Mapping[SourceId, int]:
        """The sources of all workspaces, declared or not, and how many manifests each gives."""
        return self._storage.sources()

    def knows_source(self, source: SourceId) -> bool:
        """Whether anything is known of a source, declared or not."""
        self._adopt(source)
        return source in self.known_sources()

    def _adopt(self, source: SourceId) -> None:
        """Take over what a source of this workspace gave under a former name of it."""
        if source.workspace == self.workspace.name:
            roots = {source.name: self._root_of(source.name)}
            adopt_sources(self._storage, self.workspace, roots)

    def _root_of(self, name: str) -> Path | None:
        """The folder of a source: as declared, or its name, or for others that of the project."""
        if Path(name).is_absolute():
            return Path(name)
        declared = {source.name: source.path for source in self.configuration.sources}
        return declared.get(name, self.configuration.project)

    def forget_source(self, source: SourceId) -> int:
        """Drop all that was found in a source and nowhere else; returns how many versions.

        Raises:
            UsageError: nothing is known of such a source.
        """
        if not self.knows_source(source):
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

            removed += self._storage.write(forget)
        self._storage.write(lambda writer: writer.forget_source(source))
        return removed

    def check_storage(self) -> int:
        """Check the database and the chain of its log; returns the number of node versions.

        Raises:
            StorageError: the file is damaged, or an entry of the log was changed.
        """
        self._storage.check()
        return self.query(MetadataQuery(all_versions=True, limit=0)).total

    def copy_storage(self, url: str) -> CopyReport:
        """Copy the registry to another, empty storage, and prove that both say the same.

        Raises:
            ConfigurationError: the URL is not one of a storage.
            StorageCopyError: the other storage is not empty, or differs afterwards.
        """
        target = open_storage(url, self.configuration.home)
        try:
            return copy_registry(self._storage, target)
        finally:
            target.close()

    def back_up_storage(self, file: Path) -> CopyReport:
        """Copy the registry to a new SQLite file, which is there whole or not at all.

        Raises:
            UsageError: the file is there already.
            StorageError: it could not be written.
            StorageCopyError: the copy says something else than the registry.
        """
        if file.exists():
            raise UsageError(f"{file} is there already", hint="name a new file")
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            report = self.copy_storage(f"{SQLITE_SCHEME}{draft.absolute()}")
            # Not by a rename, which would replace a file that was made meanwhile.
            os.link(draft, file)
        except FileExistsError as error:
            raise UsageError(f"{file} is there already", hint="name a new file") from error
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{draft}{suffix}").unlink(missing_ok=True)
        return report

    def restore_storage(self, url: str) -> CopyReport:
        """Take the registry over from a backup; this registry must be empty.

        Raises:
            StorageCopyError: this registry is not empty, or differs afterwards.
        """
        backup = open_storage(url, self.configuration.home)
        try:
            return copy_registry(backup, self._storage)
        finally:
            backup.close()

    def rebuild_storage(self) -> int:
        """Make the tables anew from the log; returns the number of node versions."""
        return self._storage.rebuild()

    def vacuum_storage(self) -> None:
        """Give unused space of the storage back."""
        self._storage.vacuum()

    def events(self, after: int = 0) -> Sequence[Event]:
        """The log of changes from the entry after the given serial on."""
        return list(self._storage.events(after))

    def query(self, query: MetadataQuery) -> Page:
        """List node versions."""
        return self._storage.query(query)

    def search(self, text: str, query: MetadataQuery) -> SearchResult:
        """The nodes in whose names, tags, description or README a text is found, best first."""
        return self._storage.search(text, query)

    def facets(self, kinds: Iterable[str]) -> Mapping[str, Mapping[str, int]]:
        """For each kind (type, lifecycle, tag, capability, permission) its values and how many."""
        return self._storage.facets(kinds)

    def versions(self, reference: NodeRef) -> Sequence[RegisteredNode]:
        """Every version of the node that a reference means; raises as ``node``."""
        return self._storage.versions(self._resolution.identify(reference))

    def node(self, reference: NodeRef) -> RegisteredNode:
        """The version of a node that a reference means.

        Raises:
            NodeNotFoundError: no node, or no version of it, fits.
            AmbiguousNodeError: a short name belongs to several nodes.
        """
        return self._resolution.node(reference)

    def dependents(self, node: RegisteredNode) -> Sequence[NodeVersion]:
        """The node versions that name this node among their dependencies."""
        return self._storage.dependents(node.metadata.node)

    def compatibility(self, node: RegisteredNode) -> Sequence[VersionCompatibility]:
        """Every version of a node, newest first, against everyone who asks for it."""
        return self._resolution.compatibility(node.metadata.node)

    def resolve(
        self,
        references: Sequence[NodeRef | str],
        lock: Lockfile | LockedRequest | None = None,
        *,
        overrides: Sequence[Override] = (),
        as_of: str | None = None,
    ) -> DependencyResolution:
        """Choose versions for references and all they need, if possible those of a lock.

        Args:
            references: what must be there.
            lock: versions to prefer to all others.
            overrides: nodes that are forced, beside those of ``onex.toml``.
            as_of: a date or time (RFC 3339); the registry is taken as it stood then,
                without a lock and without overrides.

        Raises:
            ResolutionError: no choice meets every constraint; ``explanation`` says why.
            NodeNotFoundError, AmbiguousNodeError: a reference does not name one node.
            InvalidReferenceError, ConstraintError: a text is not a reference.
        """
        if as_of is not None:
            return self._resolution.resolve_as_of(references, as_of)
        return self._resolution.resolve(references, lock, self._overrides(overrides))

    def _overrides(self, given: Sequence[Override]) -> tuple[Override, ...]:
        """The overrides of ``onex.toml``, then those given."""
        configured = self.configuration.overrides
        folder = self.configuration.project or Path()
        return (*(Override.parse(n, value, folder) for n, value in configured.items()), *given)

    def impact(
        self, proposed: NodeRef | Path, workflows: Mapping[str, Workflow]
    ) -> tuple[NodeMetadata, Sequence[Impact]]:
        """What a version would do to the dependants of its node and to workflows.

        Args:
            proposed: one version of a node, registered or not, or the manifest
                (or the folder of the manifest) that proposes it.
            workflows: further requests to judge, by name.

        Raises:
            UsageError: no one version is named.
            DocumentError: the manifest cannot be used.
            NodeNotFoundError, AmbiguousNodeError: there is no such node.
        """
        if isinstance(proposed, Path):
            metadata = read_override(find_manifest(proposed)).metadata
        else:
            metadata = self._resolution.proposal(proposed)
        asked = {
            name: [step.node for step in workflow.steps.values()]
            for name, workflow in workflows.items()
        }
        return metadata, self._resolution.impact(metadata, asked)

    def yank(
        self, reference: NodeRef, *, yanked: bool = True, reason: str | None = None
    ) -> RegisteredNode:
        """Withdraw a version from new resolutions, or bring it back; locks still get it.

        Raises:
            UsageError: the reference does not name one version.
            NodeNotFoundError, AmbiguousNodeError: there is no such version.
        """
        node = self._one_version(reference)
        if node.yanked != yanked:
            version = node.metadata.node_version
            self._storage.write(lambda w: w.set_yanked(version, yanked=yanked, reason=reason))
        return self._one_version(reference)

    def set_lifecycle(
        self,
        reference: NodeRef,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None = None,
        reason: str | None = None,
    ) -> RegisteredNode:
        """Take a version to another lifecycle state, whatever its manifest says.

        Raises:
            LifecycleError: the rules forbid it; codes LC001 to LC006.
            UsageError: the reference does not name one version.
            NodeNotFoundError, AmbiguousNodeError: there is no such version, or replacement.
        """
        node = self._one_version(reference)
        if deprecated_by is not None:
            replacement = self._resolution.node(NodeRef.parse(deprecated_by))
            check_replacement(node.metadata.node_version, replacement.metadata.node_version)
        version = node.metadata.node_version
        self._storage.write(
            lambda writer: writer.set_lifecycle(
                version, lifecycle, deprecated_by=deprecated_by, reason=reason
            )
        )
        return self._one_version(reference)

    def _one_version(self, reference: NodeRef) -> RegisteredNode:
        """The one version that a reference names, read without all the others of its node."""
        version = reference.one_version()
        node = NodeVersion(self._resolution.identify(reference), version)
        return self._storage.node(node) or self._resolution.node(reference)

    def lifecycle_history(self, reference: NodeRef) -> Sequence[Event]:
        """The entries of the log about the versions of a node that a reference allows."""
        name = str(self._resolution.identify(reference))
        return [
            event
            for event in self._storage.events()
            if event.object.partition("@")[0] == name
            and reference.constraint.admits(NodeVersion.parse(event.object).version)
        ]

    def caches(self) -> Sequence[CacheReport]:
        """What the caches of resolutions hold, and how often they had an answer."""
        return self._resolution.caches()

    @property
    def cache_failure(self) -> str | None:
        """Why answers are not kept for later processes; None while they are."""
        return self._cache.failure

    def check_cache(self) -> str | None:
        """Try every level of the cache; returns why one cannot be used, None if all can."""
        self._cache.check()
        return self._cache.failure

    def invalidate_cache(self, glob: str) -> bool:
        """Forget the cached answers whose keys match a glob, such as ``dependencies:*parse*``.

        Returns:
            whether every level did; ``cache_failure`` says why one did not.
        """
        return self._resolution.invalidate_cache(glob)

    def clear_caches(self) -> bool:
        """Forget every cached resolution; returns as ``invalidate_cache`` does."""
        return self._resolution.clear_caches()

    def read_lock(self, path: Path | None = None) -> Lockfile | None:
        """Read a lockfile, by default the one beside ``onex.toml``; None where there is none.

        Raises:
            ConfigurationError: the file cannot be read as a lockfile.
        """
        project = self.configuration.project
        if path is None and project is not None and os.path.lexists(project / LOCKFILE):
            path = project / LOCKFILE
        if path is None:
            return None
        try:
            return Lockfile.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error}", hint="check the path, or run onex lock"
            ) from error

    def plan(
        self,
        workflow: Workflow,
        inputs: JsonObject | GivenInputs,
        lock: LockedRequest | None = None,
        *,
        overrides: Sequence[Override] = (),
        isolation: IsolationLevel = IsolationLevel.PROCESS,
    ) -> ExecutionPlan:
        """Resolve a workflow and complete its inputs, so that it can run.

        Relative paths among the inputs are relative to the working folder, unless GivenInputs
        say otherwise.

        A lock that has any of the workflow's nodes must have all of them, in
        versions that fit and with the digests that are registered.

        Raises:
            OutdatedLockError: the lock does not fit the workflow any more.
            DigestMismatchError: a node's files are not those that were locked.
            WorkflowInputError: the inputs are not what the workflow asks for.
            ResolutionError: no choice of versions meets every constraint.
            NodeNotFoundError, AmbiguousNodeError: a step's node cannot be found.
        """
        from onex.engines.node_loader import named
        from onex.execution.plan import plan_workflow
        from onex.schemas.given_inputs import GivenInputs

        references = [step.node for step in workflow.steps.values()]
        forced = self._overrides(overrides)
        if lock is not None:
            names = {override.reference.without_constraint() for override in forced}
            references = lock.held(references, names)
        resolution = self._resolution.resolve(references, lock, forced)
        given = inputs if isinstance(inputs, GivenInputs) else GivenInputs(inputs)
        try:
            return plan_workflow(workflow, given, resolution, lock, isolation)
        except DigestMismatchError as error:
            node = resolution.selected[NodeId.parse(str(error.details["node"]))]
            changes = self._orchestrator.changes_since(str(error.details["expected"]), node)
            raise DigestMismatchError(
                f"{error.message}{named(changes)}",
                hint=error.hint,
                details={**error.details, "changes": changes},
            ) from error

    def run(
        self,
        plan: ExecutionPlan,
        *,
        observer: Observer = lambda event: None,
        **how: Unpack[RunKeywords],
    ) -> RunResult:
        """Execute a plan; what happened is in the result and in the history.

        Args:
            plan: what to run.
            observer: told of every event of the run, in the calling thread.
            how: see ``RunKeywords``.

        Raises:
            IsolationUnavailableError: the level cannot be had.
            DigestMismatchError: a node's files are not those that were registered.
            NodeLoadError: a node has no code that can be run.
            LibraryMissingError: a Python library that a node declares is not there.
            StepMismatchError: what goes into a step can never be what its node declares.
            SecretsNotPrivateError: the file of secrets is open to others.
        """
        return self._orchestrator.execute_workflow(plan, _options(how), observer)

    def forecast(self, plan: ExecutionPlan, **how: Unpack[RunKeywords]) -> RunForecast:
        """What a run would do: everything is loaded and checked as by ``run``, and nothing runs."""
        return self._orchestrator.forecast(plan, _options(how))

    def resume(
        self,
        run_id: str,
        *,
        observer: Observer = lambda event: None,
        **how: Unpack[RunKeywords],
    ) -> RunResult:
        """Go on with a run that was killed, cancelled or failed: what succeeded is not run again.

        Args:
            run_id: its identifier, or the start of it.
            observer: told of every event of the run, in the calling thread.
            how: see ``RunKeywords``. The project's lock holds for changed code too.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or it succeeded.
            NodeNotFoundError: a version that it used is not registered any more.
            DigestMismatchError: the files of one are not what they were.
        """
        options = _options(how)
        locked = self._locked_digests() if options.accepted else None
        return self._orchestrator.resume(run_id, self._resolution.node, options, observer, locked)

    def _locked_digests(self) -> frozenset[str] | None:
        """The digests that the project's lock holds; None without one."""
        lock = self.read_lock()
        if lock is None:
            return None
        return frozenset(node.digest for r in lock.requests for node in r.nodes.values())

    def replay(
        self,
        run_id: str,
        *,
        observer: Observer = lambda event: None,
        **how: Unpack[RunKeywords],
    ) -> ReplayReport:
        """Execute a run once more, without the cache, and say where its results differ and why.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or was recorded without its workflow.
            NodeNotFoundError: a version that it used is not registered any more.
        """
        return self._orchestrator.replay(run_id, self._resolution.node, _options(how), observer)


def _options(how: RunKeywords) -> RunOptions:
    from onex.execution.options import RunOptions

    return RunOptions.of(how, os.cpu_count() or 1)

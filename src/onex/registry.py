"""Registry: the one object a user of the interface needs.

Its methods are what one does with a registry; ``sources``, ``storage``, ``caches`` and
``history`` are the parts it consists of, for everything else::

    with Registry.open() as registry:
        result = registry.run("atlas.workflow.yaml", {"root": "/usr/lib"}, jobs=2)
        print(result["rank"].output)
        record = registry.history.run(result.run_id)
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from onex.configuration.loading import load_configuration
from onex.discovery.scan_report import ScanReport, broken_manifests_told
from onex.domain.errors import NodeNotFoundError, Problem, ResolutionError, UsageError
from onex.domain.event import Event
from onex.domain.evidence import TrustLevel
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonValue
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.reference import NodeRef, NodeVersion
from onex.domain.result import RunResult
from onex.domain.workflow import Workflow
from onex.execution.cancellation import Cancellation, signals_passed_on
from onex.manifests.override import Override, find_manifest, read_override
from onex.registry_parts import RegistryParts
from onex.resolution.impact import VersionImpact
from onex.resolution.locking import locked_request, read_lockfile
from onex.resolution.look_alike_warnings import look_alike_warnings
from onex.resolution.node_details import NodeDetails
from onex.resolution.run_target import Runnable, RunTarget, is_workflow_file
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.impact import Impact
from onex.resolver.lockfile import LOCKFILE, LockedRequest, Lockfile
from onex.resolver.version_report import VersionCompatibility
from onex.storage.query import EVERY_NODE, MetadataQuery, Page, SearchResult
from onex.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from onex.execution.events import Observer, RunEvent
    from onex.execution.example_run import ExampleOutcome
    from onex.execution.forecast import RunForecast
    from onex.execution.options import RunKeywords, RunOptions
    from onex.execution.plan import ExecutionPlan, PlanPolicy
    from onex.execution.run_in_thread import AsyncRunKeywords, Run
    from onex.history.replay import ReplayReport
    from onex.remote.archived_node import ArchivedNode
    from onex.remote.publication import Published
    from onex.schemas.given_inputs import GivenInputs, Inputs
    from onex.trust.signing import SigningKey


class Registry(RegistryParts):
    """Discovery, resolution, storage and execution behind one interface.

    Opened by ``Registry.open``, closed by ``close`` or at the end of a ``with``
    block. One object, with its parts, serves one thread; several may be open on the same folder.
    """

    _scanned: Sequence[Problem] | None = None
    """What a scan found wrong that the next plan need not repeat."""

    @classmethod
    def open(
        cls,
        home: str | os.PathLike[str] | None = None,
        *,
        start: str | os.PathLike[str] = ".",
        environment: Mapping[str, str] | None = None,
        actor: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> Registry:
        """Open a registry; its folder is created by the first command that writes.

        Args:
            home: the folder of the registry's state; by default that of ``start``.
            start: where to look for ``onex.toml``, upwards.
            environment: where ``ONEX_HOME`` and secrets come from; by default the process's own.
            actor: who acts, as the log names them; by default the user of this process.
            telemetry: where measurements and spans go, and who closes that; by default the
                measurements go to the history, and spans where the environment says.

        Raises:
            ConfigurationError: ``onex.toml`` is not valid.
        """
        environment = dict(os.environ) if environment is None else environment
        chosen = None if home is None else Path(home)
        found = load_configuration(Path(start), environment, chosen)
        return cls(found, environment, actor, telemetry)

    def _policy(self, access: RunAccess | None) -> PlanPolicy:
        from onex.execution.plan import PlanPolicy

        return PlanPolicy.of(self.configuration, self.grants, self.validator, access or RunAccess())

    def scan(
        self, paths: Iterable[str | os.PathLike[str]] = (), *, force: bool = False
    ) -> ScanReport:
        """Discover nodes below the given folders, or in the declared sources.

        Raises as ``RegisteredSources.scan``.
        """
        return self.sources.scan(map(Path, paths), force=force)

    def refresh(self) -> Sequence[Problem]:
        """Scan the declared sources, if there are any; returns the problems.

        ``plan`` does it, unless this was called since the last plan; raises as ``scan``.
        """
        self._scanned = self.scan().problems if self.sources.declared else ()
        return self._scanned

    def query(self, query: MetadataQuery = EVERY_NODE) -> Page:
        """List node versions."""
        return self.storage.query(query)

    def search(self, text: str, query: MetadataQuery = EVERY_NODE) -> SearchResult:
        """The nodes in whose names, tags, description or README a text is found, best first."""
        return self.storage.search(text, query)

    def versions(self, reference: NodeRef) -> Sequence[RegisteredNode]:
        """Every version of the node that a reference means; raises as ``node``."""
        return self.storage.versions(self._resolver.identify(reference))

    def node(self, reference: NodeRef) -> RegisteredNode:
        """The version of a node that a reference means.

        Raises:
            NodeNotFoundError: no node, or no version of it, fits.
            AmbiguousNodeError: a short name belongs to several nodes.
        """
        with self._remotes_told():
            return self._resolver.node(reference)

    def details(self, reference: NodeRef) -> NodeDetails:
        """Everything that is known of the version that a reference means; raises as ``node``."""
        node = self.node(reference)
        identity = node.metadata.node
        return NodeDetails(node, self.storage.versions(identity), self.storage.dependents(identity))

    def compatibility(self, node: RegisteredNode) -> Sequence[VersionCompatibility]:
        """Every version of a node, newest first, against everyone who asks for it."""
        return VersionImpact(self.storage, self._resolver).compatibility(node.metadata.node)

    def impact(
        self, proposed: NodeRef | Path, workflows: Mapping[str, Workflow]
    ) -> tuple[NodeMetadata, Sequence[Impact]]:
        """What a version would do to the dependents of its node and to workflows, by name.

        Raises as ``VersionImpact.proposal``.
        """
        judge = VersionImpact(self.storage, self._resolver)
        metadata = judge.proposal(proposed)
        asked = {name: workflow.references() for name, workflow in workflows.items()}
        return metadata, judge.impact(metadata, asked)

    def changes_of(self, reference: NodeRef) -> Sequence[Event]:
        """What the log says was done with the versions of a node that a reference allows."""
        node = self._resolver.identify(reference)
        return self.storage.changes_of(node, reference.constraint)

    def yank(
        self, reference: NodeRef, *, yanked: bool = True, reason: str | None = None
    ) -> RegisteredNode:
        """Withdraw a version from new resolutions, or bring it back; locks still get it.

        Raises as ``node``, and UsageError if the reference does not name one version.
        """
        return self._decisions.yank(reference, yanked=yanked, reason=reason)

    def set_lifecycle(
        self,
        reference: NodeRef,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None = None,
        reason: str | None = None,
    ) -> RegisteredNode:
        """Take a version to another lifecycle state, whatever its manifest says.

        Raises as ``yank``, and LifecycleError (LC001 to LC006) if the rules forbid it.
        """
        return self._decisions.set_lifecycle(
            reference, lifecycle, deprecated_by=deprecated_by, reason=reason
        )

    def publish(
        self,
        manifest: Path,
        remote: str | None = None,
        *,
        override: str | None = None,
        keys: Sequence[SigningKey] = (),
        dry_run: bool = False,
    ) -> Published:
        """Publish the node that a manifest describes; nothing is stored if anything is wrong.

        The examples of the manifest are run first, as ``test`` does, and must pass.

        Args:
            manifest: its file.
            remote: where to, by the name of a remote; None for the only one there is.
            override: why a release may break those who call it.
            keys: what signs a statement about it; none to publish it without one.
            dry_run: check alone.

        Raises as ``pack_folder`` and ``Publisher.publish``, and ExampleFailedError.
        """
        from onex.remote.release_signing import sign_release

        packed = self._packed(manifest)
        return self.publisher(remote).publish(
            packed,
            override=override,
            statement=sign_release(packed, manifest.parent, keys),
            dry_run=dry_run,
        )

    def publish_here(
        self,
        manifest: Path,
        *,
        override: str | None = None,
        keys: Sequence[SigningKey] = (),
        dry_run: bool = False,
    ) -> Published:
        """Publish a node to this registry itself, which may be served or exported to others.

        Takes what ``publish`` does; raises as it and ``Publications.publish``.
        """
        from onex.remote.release_signing import sign_release

        packed = self._packed(manifest)
        return self.published.publish(
            packed.archive,
            packed.place.manifest,
            override=override,
            statement=sign_release(packed, manifest.parent, keys),
            dry_run=dry_run,
        )

    def _packed(self, manifest: Path) -> ArchivedNode:
        """The archive of a node whose examples passed."""
        from onex.remote.publisher import pack_folder

        packed = pack_folder(manifest)
        if packed.metadata.examples:
            from onex.execution.example_run import require_passed

            require_passed(self.test(manifest))
        return packed

    def sign(
        self,
        reference: NodeRef,
        keys: Sequence[SigningKey],
        remote: str | None = None,
        *,
        here: bool = False,
    ) -> NodeVersion:
        """Add a signed statement to a version that is published, whose files are checked first.

        Args:
            reference: the version.
            keys: what signs.
            remote: where it is published, by the name of a remote; None for the only one.
            here: whether it is published in this registry itself.

        Raises as ``node``, ``ArchivedFiles.prove``, ``Publisher.sign`` and ``Publications.sign``.
        """
        from onex.domain.statement import ReleaseStatement
        from onex.remote.release_signing import sign_statement

        node = self.node(reference)
        version = node.metadata.node_version
        self.remotes.archived.prove(node)
        statement = sign_statement(ReleaseStatement.about(node.metadata, node.digest), keys)
        if here:
            self.published.sign(version, statement)
        else:
            self.publisher(remote).sign(version, statement)
        return version

    def resolve(
        self,
        references: NodeRef | str | Sequence[NodeRef | str],
        lock: Lockfile | LockedRequest | None = None,
        *,
        overrides: Sequence[Override] = (),
        as_of: str | None = None,
    ) -> DependencyResolution:
        """Choose versions for a reference or several and all they need, if possible of a lock.

        ``overrides`` are nodes that are forced, beside those of ``onex.toml``; ``as_of`` is a
        date or time (RFC 3339): the registry is taken as it stood then, without a lock and
        without overrides.

        Raises:
            ResolutionError: no choice meets every constraint; ``explanation`` says why.
            NodeNotFoundError, AmbiguousNodeError: a reference does not name one node.
            InvalidReferenceError, ConstraintError: a text is not a reference.
        """
        if isinstance(references, NodeRef | str):
            references = [references]
        if as_of is not None:
            return self._resolver.resolve_as_of(references, as_of)
        return self._resolve(references, lock, self._overrides(overrides))

    def _resolve(
        self,
        references: Sequence[NodeRef | str],
        lock: Lockfile | LockedRequest | None,
        overrides: Sequence[Override],
    ) -> DependencyResolution:
        """Resolve, and warn of remotes that could not be asked."""
        with self._remotes_told():
            found = self._resolver.resolve(references, lock, overrides)
        told = [
            *self._silent_remotes(),
            *self._look_alikes(found),
            *self.advisories.warnings(found.execution_order),
        ]
        return replace(found, warnings=[*told, *found.warnings]) if told else found

    def _look_alikes(self, found: DependencyResolution) -> list[str]:
        """Warnings of chosen nodes that may be taken for others."""
        if all(node.trust is TrustLevel.LOCAL for node in found.execution_order):
            return []
        known = self.storage.namespaces_in_folders(self.sources.workspace.name)
        seen = self.remembered_owners.names()
        return look_alike_warnings(found.execution_order, [*known, *seen])

    @contextmanager
    def _remotes_told(self) -> Iterator[None]:
        """Name the remotes that could not be asked when something is not found."""
        try:
            yield
        except (NodeNotFoundError, ResolutionError) as error:
            told = self._silent_remotes()
            if told:
                error.hint = "; ".join([*told, *([error.hint] if error.hint else [])])
                error.details["remotes"] = told
            raise

    def _silent_remotes(self) -> list[str]:
        """What is wrong with the remotes that could not be asked."""
        return [problem.message for problem in self.sources.remote_nodes.problems.values()]

    def _overrides(self, given: Sequence[Override]) -> tuple[Override, ...]:
        """The overrides of ``onex.toml``, then those given."""
        configured = self.configuration.overrides
        folder = self.configuration.project or Path()
        return (*(Override.parse(n, value, folder) for n, value in configured.items()), *given)

    def lock(
        self,
        references: Sequence[NodeRef],
        workflow: str = "",
        kept: LockedRequest | None = None,
        *,
        overrides: Sequence[Override] = (),
    ) -> tuple[LockedRequest, Sequence[str]]:
        """Resolve what is asked, preferring what was locked; returns its lock, and warnings.

        ``workflow`` is what the lock calls the one who asks, ``kept`` what was locked for it
        before; the rest, and what is raised, is as for ``resolve``.
        """
        with broken_manifests_told(self._scanned or ()):
            resolution = self.resolve(list(references), kept, overrides=overrides)
        return locked_request(workflow, references, resolution), resolution.warnings

    @property
    def lock_path(self) -> Path:
        """Where the lock of the project is, or will be: beside ``onex.toml``."""
        return (self.configuration.project or Path()) / LOCKFILE

    def read_lock(self, path: Path | None = None) -> Lockfile | None:
        """Read a lockfile, by default that of the project; None if the project has none.

        Raises as ``read_lockfile``.
        """
        if path is None and not os.path.lexists(self.lock_path):
            return None
        return read_lockfile(path or self.lock_path)

    def in_full(self, target: RunTarget, path: Path | None = None) -> RunTarget:
        """A node that is to be run by its full name if there is a lock, which knows only those.

        ``path`` is the lock's, by default that of the project; raises as ``read_lock``.
        """
        if target.file is not None or self.read_lock(path) is None:
            return target
        named = {
            reference: self._resolver.identify(reference)
            for reference in target.workflow.references()
            if reference.node is None
        }
        return target.naming(named)

    def lock_of(self, target: RunTarget, path: Path | None = None) -> LockedRequest | None:
        """What a lock, by default that of the project, holds a run to; None without one.

        Raises as ``read_lock`` and ``Lockfile.request_for``.
        """
        lock = self.read_lock(path)
        if lock is None:
            return None
        name = target.name_in_lock((path or self.lock_path).parent)
        return lock.request_for(name, target.workflow.references())

    def plan(
        self,
        workflow: Workflow,
        inputs: Inputs,
        lock: LockedRequest | None = None,
        *,
        overrides: Sequence[Override] = (),
        access: RunAccess | None = None,
    ) -> ExecutionPlan:
        """Resolve a workflow and complete its inputs, so that it can run.

        The declared sources are scanned first. Relative paths among the inputs are relative to
        the working folder, unless GivenInputs say otherwise. A lock that has any of the
        workflow's nodes must have all of them, in versions that fit and with their digests.
        ``access`` is what the user says about isolation and permissions; ``pending`` of the plan
        are the nodes that ask for more than they are granted.

        Raises as ``resolve`` and ``ExecutionOrchestrator.plan``, and DocumentError if a node is
        not found since its manifest is broken.
        """
        from onex.schemas.given_inputs import GivenInputs

        problems = self.refresh() if self._scanned is None else self._scanned
        self._scanned = None
        references = workflow.references()
        forced = self._overrides(overrides)
        if lock is not None:
            names = {override.reference.without_constraint() for override in forced}
            references = lock.held(references, names)
        with broken_manifests_told(problems):
            resolution = self._resolve(references, lock, forced)
        given = GivenInputs.of(inputs)
        policy = self._policy(access)
        plan = self._orchestrator.plan(workflow, given, resolution, lock, policy)
        return replace(plan, actor=self._actor)

    def plan_of(
        self,
        target: Runnable,
        inputs: Inputs | None = None,
        *,
        lock: str | os.PathLike[str] | None = None,
        overrides: Sequence[Override] = (),
        access: RunAccess | None = None,
    ) -> ExecutionPlan:
        """The plan that ``run`` makes of a target; arguments and errors are the same."""
        from onex.schemas.given_inputs import GivenInputs

        given = GivenInputs.of(inputs)
        if self._scanned is None:
            self.refresh()
        path = None if lock is None else Path(lock)
        found = self.in_full(RunTarget.of(target, given.names), path)
        with found.places():
            held = self.lock_of(found, path)
            return self.plan(found.workflow, given, held, overrides=overrides, access=access)

    def run(
        self,
        target: Runnable | ExecutionPlan,
        inputs: Inputs | None = None,
        *,
        observer: Observer = lambda event: None,
        cancellation: Cancellation | None = None,
        lock: str | os.PathLike[str] | None = None,
        overrides: Sequence[Override] = (),
        access: RunAccess | None = None,
        **how: Unpack[RunKeywords],
    ) -> RunResult:
        """Run a workflow, or one node, as ``onex run`` does; the history has it too.

        Args:
            target: the path of a workflow, a reference such as ``greeter`` or
                ``tool://local.greeter@^1``, a Workflow, or what ``plan`` gave.
            inputs: by name; relative paths are relative to the working folder.
            observer: told of every event of the run, in the calling thread.
            cancellation: asks for the end of the run from another thread.
            lock: the lock that holds the versions; by default the project's onex.lock, if any.
            overrides: nodes that are forced.
            access: what the user says about isolation and permissions.
            how: see ``RunKeywords``.

        A run that fails does not raise: its result says why; ``raise_for_status`` raises. In the
        main thread, SIGINT, SIGTERM and SIGHUP cancel the run; when that is recorded they do what
        they do without a run, as Ctrl-C raises KeyboardInterrupt.

        Raises as ``RunTarget.of``, ``plan`` and ``preparation.prepare``, and GrantMissingError if a
        node asks for more than it is granted.
        """
        from onex.execution.plan import ExecutionPlan

        if isinstance(target, ExecutionPlan):
            plan = target
        else:
            plan = self.plan_of(target, inputs, lock=lock, overrides=overrides, access=access)
        self.grants.note_run(plan.workflow.name, plan.access, plan.pending)
        wanted = cancellation or Cancellation()
        with signals_passed_on(wanted):
            return self._orchestrator.execute_workflow(plan, _options(how), observer, wanted)

    async def arun(
        self,
        target: Runnable | ExecutionPlan,
        inputs: Inputs | None = None,
        *,
        observer: Observer = lambda event: None,
        **how: Unpack[AsyncRunKeywords],
    ) -> RunResult:
        """Run as ``run`` does, in a thread of its own, so that an event loop goes on meanwhile.

        ``observer`` is called by the event loop. Cancelling the task cancels the run, and waits
        for its end. Several may run at once.
        """
        from onex.execution.run_in_thread import result_of

        return await result_of(self._in_thread(target, inputs, how), observer)

    def run_events(
        self,
        target: Runnable | ExecutionPlan,
        inputs: Inputs | None = None,
        **how: Unpack[AsyncRunKeywords],
    ) -> AsyncGenerator[RunEvent]:
        """Run as ``arun`` does, and give each event when it happens; the last is ``RunEnded``.

        Whoever stops iterating early closes the generator (``contextlib.aclosing``), which
        cancels the run.
        """
        from onex.execution.run_in_thread import events_of

        return events_of(self._in_thread(target, inputs, how))

    def _in_thread(
        self,
        target: Runnable | ExecutionPlan,
        inputs: Inputs | None,
        how: AsyncRunKeywords,
    ) -> Run:
        def run(observer: Observer, cancellation: Cancellation) -> RunResult:
            # Databases belong to the thread that opened them.
            opened = Registry(
                self.configuration, self._environment, self._actor, telemetry=self.telemetry
            )
            with opened:
                return opened.run(
                    target, inputs, observer=observer, cancellation=cancellation, **how
                )

        return run

    def check(self, target: RunTarget) -> list[Problem]:
        """Whether each step of a workflow gets what its node declares, so far as can be told.

        Nothing is run; the versions are those that a run would choose. The place of a problem
        is the dotted place in the workflow, such as ``steps.walk``.

        Raises as ``resolve`` and ``lock_of``.
        """
        from onex.schemas.step_types import check_step_types

        workflow = target.workflow
        found = self.resolve(workflow.references(), self.lock_of(target))
        chosen = [found.selected[root].metadata for root in found.roots]
        return check_step_types(workflow, dict(zip(workflow.steps, chosen, strict=True)))

    def test(
        self, target: NodeRef | str | Path, *, access: RunAccess | None = None
    ) -> Sequence[ExampleOutcome]:
        """Run the examples of a node, each as any run, and judge what comes of them.

        Args:
            target: a reference, or the path of a manifest or of a folder with one, whose node
                need not be registered.
            access: what the user says about isolation and permissions.

        Raises as ``node``, and for a path as ``find_manifest`` and ``read_override``.
        """
        from onex.execution.example_run import run_examples

        scanned = self.refresh() if self._scanned is None else self._scanned
        overrides: Sequence[Override] = ()
        if isinstance(target, Path):
            manifest = find_manifest(target)
            node = read_override(manifest)
            reference = NodeRef.parse(str(node.metadata.node))
            overrides = [Override(reference, None, manifest)]
        else:
            node = self.node(NodeRef.parse(target) if isinstance(target, str) else target)
            reference = NodeRef.parse(str(node.metadata.node_version))

        def run(inputs: GivenInputs) -> RunResult:
            self._scanned = scanned
            return self.run(reference, inputs, overrides=overrides, access=access, use_cache=False)

        try:
            with self._orchestrator.files_of(node) as folder:
                return run_examples(node, folder, run)
        finally:
            self._scanned = None

    def forecast(self, plan: ExecutionPlan, **how: Unpack[RunKeywords]) -> RunForecast:
        """What a run would do: everything is loaded and checked as by ``run``, and nothing runs."""
        return self._orchestrator.forecast(plan, _options(how))

    def resume(
        self,
        run_id: str,
        *,
        observer: Observer = lambda event: None,
        cancellation: Cancellation | None = None,
        access: RunAccess | None = None,
        **how: Unpack[RunKeywords],
    ) -> RunResult:
        """Go on with a run that was killed, cancelled or failed: what succeeded is not run again.

        ``run_id`` may be the start of it; the rest is as for ``run``. If changed code is accepted,
        the declared sources are scanned first, and the project's lock holds for it too.

        Raises as ``ExecutionOrchestrator.resume``.
        """
        options, locked = _options(how), None
        if options.accepted:
            self.refresh()
            self._scanned, lock = None, self.read_lock()
            if lock is not None:
                requests = lock.requests
                locked = frozenset(node.digest for r in requests for node in r.nodes.values())
        policy = self._policy(access)
        self.grants.note_run(run_id, policy.access, ())
        wanted = cancellation or Cancellation()
        with signals_passed_on(wanted):
            return self._orchestrator.resume(
                run_id, self._resolver.node, policy, options, observer, wanted, locked
            )

    def replay(
        self,
        run_id: str,
        *,
        observer: Observer = lambda event: None,
        cancellation: Cancellation | None = None,
        access: RunAccess | None = None,
        **how: Unpack[RunKeywords],
    ) -> ReplayReport:
        """Execute a run once more, without the cache, and say if and why its results differ.

        Raises as ``ExecutionOrchestrator.replay``.
        """
        policy = self._policy(access)
        self.grants.note_run(run_id, policy.access, ())
        wanted = cancellation or Cancellation()
        with signals_passed_on(wanted):
            return self._orchestrator.replay(
                run_id, self._resolver.node, policy, _options(how), observer, wanted
            )


def call(reference: NodeRef | str, /, **inputs: JsonValue | Path) -> JsonValue:
    """Call a node once in the registry of the working folder, and return its output.

    For scripts; a program that calls more than once opens a Registry.

    Raises as ``Registry.run`` and ``RunResult.raise_for_status``.
    """
    if isinstance(reference, str) and is_workflow_file(reference):
        raise UsageError(
            f"{reference} is a workflow, and call takes a node",
            hint="write Registry.open().run(...), whose result has the outputs",
        )
    with Registry.open() as registry:
        result = registry.run(reference, inputs).raise_for_status()
        return result["node"].output


def _options(how: RunKeywords) -> RunOptions:
    from onex.execution.options import RunOptions

    return RunOptions.of(how, os.cpu_count() or 1)

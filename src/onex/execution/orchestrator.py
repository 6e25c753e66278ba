"""ExecutionOrchestrator: prepares a run, drives it, and leaves nothing of it behind but records."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from onex.artifacts.opening import SEEN_FOLDER
from onex.configuration.settings import Configuration
from onex.domain.archive_place import ArchivePlace
from onex.domain.artifact_records import artifacts_in
from onex.domain.digest import is_digest
from onex.domain.errors import (
    DigestMismatchError,
    InternalError,
    RunCancelledError,
    RunNotResumableError,
    StorageError,
    UsageError,
)
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.reference import NodeId
from onex.domain.result import (
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
)
from onex.domain.workflow import Workflow
from onex.engines.node_loader import NODES_FOLDER, NodeLoader, changes_of_files, folder_name, named
from onex.engines.reactor import Reactor
from onex.engines.redaction import Redaction
from onex.engines.secret_store import SecretStore
from onex.engines.selection import LOCAL, ClusterSettings, EngineHost, Engines
from onex.engines.supervisor import Supervisor
from onex.engines.work_folders import WorkFolders
from onex.execution.cache_lookup import CacheLookup
from onex.execution.call import CallBoundary
from onex.execution.cancellation import Cancellation
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.designation import OfferedFolders
from onex.execution.events import Observer, RunEnded, RunStarted, Warned
from onex.execution.forecast import (
    RunForecast,
    forecast_run,
    forecast_run_seconds,
    forecast_steps,
    urgency_of,
)
from onex.execution.options import RunOptions
from onex.execution.plan import (
    ExecutionPlan,
    FindNode,
    PlanPolicy,
    plan_workflow,
    recorded_plan,
)
from onex.execution.preparation import PreparedPlan, prepare
from onex.execution.run_loop import RunLoop
from onex.execution.run_state import PlannedRun, RunState
from onex.execution.run_telemetry import RunTelemetry
from onex.history.journal import NewRun, new_run_id
from onex.history.replay import ReplayReport, compare_runs
from onex.history.run_history import RunHistory
from onex.local_machine import remove_tree
from onex.manifests.ignore_rules import NO_RULES, IgnoreRules, rules_in
from onex.remote.archived_files import ArchivedFiles
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.lockfile import LockedRequest
from onex.schemas.given_inputs import GivenInputs
from onex.telemetry.logs import CORRELATION
from onex.telemetry.telemetry import Telemetry
from onex.trust.grants import missing_grants


class ExecutionOrchestrator:
    """Runs, resumes and repeats plans in one registry's folder."""

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, str],
        history: RunHistory,
        listing_at: Callable[[Origin], str],
        group: Callable[[], str],
        workspace: str,
        archived: ArchivedFiles,
        telemetry: Telemetry,
    ) -> None:
        """Prepare for runs, which are recorded in ``history``.

        ``environment`` has secrets and declared variables; ``listing_at`` gives the files that a
        scan saw at an origin, ``group`` the part of a shared store that is this history's. What
        ``workspace`` found is run before what others found that share the registry. ``archived``
        brings the files of nodes that remotes offer; ``telemetry`` is told what is measured.
        """
        self._telemetry = telemetry
        self._archived = archived
        self._hidden = configuration.protected
        self._workspace = workspace
        self._listing_at = listing_at
        self._group = group
        self._sources = {source.name: source for source in configuration.sources}
        # What confines nodes knows real paths alone.
        self._home = configuration.home.resolve()
        self._configuration = configuration
        self._environment = environment
        self._history = history
        self._contexts = ExecutionContextFactory(
            configuration.node_config, SecretStore(environment, configuration.secrets_file)
        )

    def plan(
        self,
        workflow: Workflow,
        given: GivenInputs,
        resolution: DependencyResolution,
        lock: LockedRequest | None,
        policy: PlanPolicy,
    ) -> ExecutionPlan:
        """The plan of a workflow whose references were resolved.

        Raises:
            OutdatedLockError: the lock does not fit the workflow any more.
            DigestMismatchError: a node's files are not those that were locked; it names those
                that differ, if the others were run here.
            WorkflowInputError: the inputs are not what the workflow asks for.
        """
        try:
            return plan_workflow(workflow, given, resolution, lock, policy)
        except DigestMismatchError as error:
            node = resolution.selected[NodeId.parse(str(error.details["node"]))]
            changes = self._changes_since(str(error.details["expected"]), node)
            raise DigestMismatchError(
                f"{error.message}{named(changes)}",
                hint=error.hint,
                details={**error.details, "changes": changes},
            ) from error

    def _changes_since(self, digest: str, node: RegisteredNode) -> list[str]:
        """How a node's files differ from those of a digest, if those were unpacked to run."""
        if not is_digest(digest):
            # A lock may say anything, and must not lead to another folder.
            return []
        folder = self._home / NODES_FOLDER / folder_name(digest)
        return changes_of_files(folder, node, self._workspace, self._rules_at)

    def execute_workflow(
        self,
        plan: ExecutionPlan,
        options: RunOptions,
        observer: Observer,
        cancellation: Cancellation,
    ) -> RunResult:
        """Run a plan to its end, whatever that is; ``observer`` is told of every event.

        ``cancellation`` may end it: every call is ended at once, and the result says so.

        Raises as ``prepare``, and:
            StorageError: the journal fails.
            UsageError: the workflow has no step that an option names.
        """
        with self._run(plan, options) as run:
            return run.to_end(run.begin(), observer, cancellation)

    def forecast(self, plan: ExecutionPlan, options: RunOptions) -> RunForecast:
        """What a run would do; everything is loaded and checked, and nothing runs."""
        with self._run(plan, options, is_forecast=True) as run:
            return forecast_run(
                run.prepared, options, self._history.journal, self._history.artifacts
            )

    def resume(
        self,
        run_id: str,
        find: FindNode,
        policy: PlanPolicy,
        options: RunOptions,
        observer: Observer,
        cancellation: Cancellation,
        locked: Collection[str] | None = None,
    ) -> RunResult:
        """Go on with a run that ended early.

        Args:
            run_id: which.
            find: finds the node that a reference means.
            policy: how nodes may run.
            options: how to run, and which steps go on with changed code.
            observer: told of every event.
            cancellation: asks for the end of the run.
            locked: the digests that the project's lock holds, to which accepted code is held
                too; None without a lock.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or it succeeded.
            DigestMismatchError: the files of a node are not what they were.
            UsageError: the run has no step that is accepted.
        """
        record = self._history.run(run_id)
        workflow = record.recorded_workflow()
        again = workflow.with_dependents(options.accepted)
        settled = frozenset(
            name
            for name, result in record.steps.items()
            if result.status is StepStatus.SUCCEEDED and name not in again
        )
        plan = recorded_plan(
            record, workflow, find, policy, held=True, accepted=options.accepted, settled=settled
        )
        for name in options.accepted & plan.nodes.keys():
            if locked is not None and plan.nodes[name].node.digest not in locked:
                raise DigestMismatchError(
                    f"the code of {name} is not what onex.lock holds",
                    hint="take it into the lock first: onex lock",
                )
        with self._run(plan, options) as run:
            before = as_object(record.plan["steps"])
            kept = {name: step for name, step in before.items() if name in settled}
            planned = run.recorded_plan()
            steps = {**as_object(planned["steps"]), **kept}
            resumed = self._history.journal.resume(
                record.run_id, {**planned, "steps": steps}, again
            )
            if resumed is None:
                raise RunNotResumableError(
                    f"run {record.run_id} is {record.status} and cannot be resumed",
                    hint="onex run starts a new one",
                )
            return run.to_end(resumed.run_id, observer, cancellation, resumed.steps)

    def replay(
        self,
        run_id: str,
        find: FindNode,
        policy: PlanPolicy,
        options: RunOptions,
        observer: Observer,
        cancellation: Cancellation,
    ) -> ReplayReport:
        """Execute what a run executed once more, all of it, and compare.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or was recorded by an older onex.
        """
        record = self._history.run(run_id)
        if record.status is RunStatus.RUNNING:
            raise RunNotResumableError(f"run {record.run_id} still runs", hint="wait for it to end")
        plan = recorded_plan(record, record.recorded_workflow(), find, policy, held=False)
        options = replace(options, use_cache=False, fail_fast=False)
        again = record.run_id
        with self._run(plan, options) as run:
            result = run.to_end(run.begin(again), observer, cancellation)
        return compare_runs(record, self._history.run(result.run_id))

    @contextmanager
    def _run(
        self, plan: ExecutionPlan, options: RunOptions, *, is_forecast: bool = False
    ) -> Iterator[_Run]:
        """A run whose nodes are loaded and checked; its engines live as long as the block."""
        options.check(plan.workflow)
        if plan.pending and not is_forecast:
            raise missing_grants(plan.pending)
        supervisor, reactor = Supervisor(), Reactor()
        try:
            cluster = None if is_forecast else self._cluster(options)
            engines = Engines(EngineHost(options.jobs, reactor, supervisor, cluster))
        except BaseException:
            supervisor.close()
            reactor.close()
            raise
        if not options.has_jobs:
            is_repeatable = all(p.node.metadata.idempotent for p in plan.nodes.values())
            options = replace(options, jobs=engines.slots(repeatable=is_repeatable))
        try:
            loader = NodeLoader(
                self._home / NODES_FOLDER,
                self._workspace,
                self._listing_at,
                self._rules_at,
                self._archived.files_of,
                self._telemetry,
            )
            nodes = [planned.node for planned in plan.nodes.values()]
            self._archived.fetch(nodes, self._is_unpacked)
            prepared = prepare(
                plan,
                loader,
                engines,
                self._contexts,
                self._environment,
                self._hidden,
            )
            folder = self._home / "runs"
            yield _Run(
                prepared=prepared,
                options=options,
                history=self._history,
                contexts=self._contexts,
                folder=folder,
                engines=engines,
                telemetry=self._telemetry,
            )
        finally:
            engines.close()
            supervisor.close()
            reactor.close()

    def _cluster(self, options: RunOptions) -> ClusterSettings | None:
        """Where nodes run, if not here; raises UsageError for a scheduler that nothing asks."""
        name = options.engine or self._configuration.engine or LOCAL
        if name == LOCAL:
            if options.scheduler is not None:
                raise UsageError(
                    "there is a scheduler, and nodes run here", hint="add --engine dask"
                )
            return None
        return ClusterSettings(
            engine=name,
            scheduler=options.scheduler,
            artifacts=self._configuration.artifacts,
            group=self._group(),
            environment=self._environment,
            settings_folder=self._configuration.settings_folder,
            seen=self._home / SEEN_FOLDER,
        )

    @contextmanager
    def files_of(self, node: RegisteredNode) -> Iterator[Path]:
        """The folder of a node's manifest; a copy that goes with the block for an archived node.

        Raises as ``ArchivedFiles.files_of``.
        """
        origin = node.origins_from(self._workspace)[0]
        if ArchivePlace.parse(origin.path) is None:
            yield Path(origin.path).parent
            return
        unpacked = self._home / NODES_FOLDER / folder_name(node.digest)
        files = self._archived.files_of(origin, node, unpacked)
        with tempfile.TemporaryDirectory(prefix="onex-examples-") as name:
            for path, content in files.contents.items():
                file = Path(name) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            yield Path(name)

    def _is_unpacked(self, node: RegisteredNode) -> bool:
        return (self._home / NODES_FOLDER / folder_name(node.digest)).is_dir()

    def _rules_at(self, origin: Origin) -> IgnoreRules:
        """The ignore rules by which a scan collected the files at an origin."""
        source = self._sources.get(origin.source)
        if source is not None and source.kind != "filesystem":
            return NO_RULES
        root = source.path if source is not None else Path(origin.source)
        return rules_in(str(Path(origin.path).parent), str(root))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is prepared, from its first record to its last."""

    prepared: PreparedPlan
    options: RunOptions
    history: RunHistory
    contexts: ExecutionContextFactory
    folder: Path
    engines: Engines
    telemetry: Telemetry

    def recorded_plan(self) -> JsonObject:
        """The plan as the history keeps it."""
        return self.prepared.plan.to_json() | {"environment": self.prepared.environment()}

    def begin(self, replay_of: str | None = None) -> str:
        """Record that the run begins; returns its identifier."""
        plan, run_id = self.prepared.plan, new_run_id()
        self.history.journal.begin(
            NewRun(
                run_id=run_id,
                workflow=plan.workflow.name,
                started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
                definition=plan.workflow.to_json(),
                plan=self.recorded_plan(),
                inputs=plan.inputs,
                replay_of=replay_of,
            )
        )
        return run_id

    def to_end(
        self,
        run_id: str,
        observer: Observer,
        cancellation: Cancellation,
        earlier: Mapping[str, NodeExecutionResult] | None = None,
    ) -> RunResult:
        """Run to the end; nothing but records is left of it afterwards.

        ``earlier`` holds the records of the calls of a run that goes on.
        """
        workflow, workdir = self.prepared.plan.workflow, self.folder / run_id
        span = self.telemetry.tracer.span(
            "onex.run", {"onex.run": run_id, "onex.workflow": workflow.name}
        )
        correlation = CORRELATION.set(run_id)
        try:
            with span:
                # What calls left there that a crash ended must not be found by those that follow.
                remove_tree(workdir)
                steps = forecast_steps(self.prepared, self.history.journal)
                urgency, seconds = urgency_of(workflow, steps), None
                if len(steps) == len(workflow.steps):
                    seconds = forecast_run_seconds(workflow, steps, urgency, self.options.jobs)
                told = RunTelemetry(
                    run_id, workflow.name, self.telemetry, self.history.live_log(run_id)
                )
                observed = told.observed_by(observer)
                loop = self._loop(told, observed, urgency, earlier or {})
                held = self.history.journal.held(run_id, loop.request_cancel)
                asked = cancellation.attached(loop.request_cancel)
                with held, asked:
                    observed(RunStarted(run_id, tuple(workflow.steps), seconds))
                    for warning in self.prepared.warnings:
                        observed(Warned(warning))
                    result = loop.run()
        except BaseException as error:
            self._record_breakdown(run_id, error)
            raise
        finally:
            CORRELATION.reset(correlation)
            remove_tree(workdir)
        observer(RunEnded(result))
        return result

    def _loop(
        self,
        telemetry: RunTelemetry,
        observer: Observer,
        urgency: Mapping[str, float],
        earlier: Mapping[str, NodeExecutionResult],
    ) -> RunLoop:
        prepared, plan, run_id = self.prepared, self.prepared.plan, telemetry.run_id
        journal, artifacts = self.history.journal, self.history.artifacts
        if self.engines.store is not None and not artifacts.is_shared:
            artifacts = artifacts.shared_by(self.engines.store)
        redaction = Redaction(prepared.secrets())
        given: list[JsonValue] = [plan.inputs]
        for step in plan.workflow.steps.values():
            given += (step.arguments, step.foreach)
        facts = prepared.facts()
        return RunLoop(
            prepared=prepared,
            state=RunState(
                PlannedRun(run_id, plan.workflow, plan.inputs, facts, urgency, earlier),
                self.options,
                time.perf_counter(),
                hide=redaction.text,
                chance=random.random,
            ),
            boundary=CallBoundary(
                run_id=run_id,
                folders=WorkFolders(str(self.folder / run_id)),
                contexts=self.contexts,
                artifacts=artifacts,
                redaction=redaction,
                fetches=not self.history.artifacts.is_shared,
            ),
            journal=journal,
            observer=observer,
            engines=self.engines,
            lookup=CacheLookup(
                journal,
                artifacts.bring,
                prepared.nodes,
                has_artifacts=any(artifacts_in(given)),
                is_shared=artifacts.is_shared,
                offered=OfferedFolders.of(prepared.plan),
            ),
            telemetry=telemetry,
        )

    def _record_breakdown(self, run_id: str, error: BaseException) -> None:
        """Record that a run broke off; errors of the journal are ignored."""
        is_interrupted = isinstance(error, KeyboardInterrupt)
        status = RunStatus.CANCELLED if is_interrupted else RunStatus.FAILED
        code = RunCancelledError.code if is_interrupted else InternalError.code
        reason = StepError(code, f"{type(error).__name__}: {error}")
        result = RunResult(run_id, self.prepared.plan.workflow.name, status, error=reason)
        with contextlib.suppress(StorageError):
            self.history.journal.finish(result)

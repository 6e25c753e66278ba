"""RegistryExecution: runs, resumes and repeats plans in one registry's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onex.configuration import Configuration
from onex.domain.digest import is_digest
from onex.domain.errors import (
    ArtifactNotFoundError,
    DigestMismatchError,
    IsolationUnavailableError,
    NodeNotFoundError,
    RunNotFoundError,
    RunNotResumableError,
    UsageError,
)
from onex.domain.json_value import JsonObject, JsonValue, as_object, as_optional_text, as_text
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult, RunStatus, StepStatus
from onex.domain.workflow import Workflow
from onex.engines.engine import Engine
from onex.engines.program import ProgramEngine
from onex.engines.supervisor import Supervisor
from onex.execution.context_factory import ExecutionContextFactory, SecretStore
from onex.execution.events import Observer, RunOptions
from onex.execution.forecast import RunForecast
from onex.execution.node_loader import (
    NODES_FOLDER,
    PROGRAM,
    NodeLoader,
    changes_of_files,
    folder_name,
)
from onex.execution.orchestrator import ExecutionOrchestrator, recorded_plan
from onex.execution.plan import ExecutionPlan
from onex.history.artifacts import ArtifactStore
from onex.history.file_content import content_digest
from onex.history.journal import RunJournal, RunRecord
from onex.history.provenance import Provenance, trace_artifact
from onex.history.replay import ReplayReport, compare_runs
from onex.local_machine import remove_tree
from onex.manifests.ignore_rules import NO_RULES, IgnoreRules, rules_in
from onex.manifests.override import read_override

FindNode = Callable[[NodeRef], RegisteredNode]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a user wants a run; None leaves the choice to the workflow or to the machine.

    ``refreshed`` are steps that are run whatever the cache has.
    """

    isolation: IsolationLevel = IsolationLevel.PROCESS
    jobs: int | None = None
    fail_fast: bool | None = None
    use_cache: bool = True
    refreshed: frozenset[str] = frozenset()
    rerun_in_flight: bool = False

    def options_for(self, workflow: Workflow) -> RunOptions:
        """The options of a run of a workflow; raises UsageError for a step it does not have."""
        unknown = sorted(self.refreshed - workflow.steps.keys())
        if unknown:
            raise UsageError(
                f"the workflow has no step {unknown[0]!r} to refresh",
                hint="its steps are: " + ", ".join(workflow.steps),
            )
        return RunOptions(
            self.jobs or os.cpu_count() or 1,
            fail_fast=workflow.fail_fast if self.fail_fast is None else self.fail_fast,
            use_cache=self.use_cache,
            refreshed=self.refreshed,
            rerun_in_flight=self.rerun_in_flight,
        )


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning removed, or would remove."""

    runs: Sequence[str]
    cached_results: int
    artifacts: int
    size_bytes: int

    def to_json(self) -> dict[str, JsonValue]:
        """The report in the shape that ``runs prune`` prints."""
        return {
            "runs": list(self.runs),
            "cached_results": self.cached_results,
            "artifacts": self.artifacts,
            "bytes": self.size_bytes,
        }


class RegistryExecution:
    """Execution on top of a registry's journal and its folder of nodes, artifacts and runs."""

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, str],
        journal: RunJournal,
        listing_at: Callable[[Origin], str],
        workspace: str,
    ) -> None:
        """``listing_at`` gives the files that a scan saw at an origin.

        What ``workspace`` itself found is run before what others that share the registry did.
        """
        self._workspace = workspace
        self._listing_at = listing_at
        self._sources = {source.name: source for source in configuration.sources}
        self._home = configuration.home
        self._config = configuration.node_config
        self._secrets = SecretStore(environment, configuration.secrets_file)
        self._environment = environment
        self._journal = journal
        self._artifacts = ArtifactStore(self._home / "artifacts")

    def changes_since(self, digest: str, node: RegisteredNode) -> list[str]:
        """How a node's files differ from those of a digest, if those were unpacked to run."""
        if not is_digest(digest):
            # A lock may say anything, and must not lead to another folder.
            return []
        folder = self._home / NODES_FOLDER / folder_name(digest)
        return changes_of_files(folder, node, self._workspace, self._rules_at)

    @contextmanager
    def _orchestrator(self, settings: RunSettings, jobs: int) -> Iterator[ExecutionOrchestrator]:
        supervisor = Supervisor()
        engines = _engines(settings.isolation, jobs, supervisor)
        try:
            yield ExecutionOrchestrator(
                engines,
                NodeLoader(
                    self._home / NODES_FOLDER, self._workspace, self._listing_at, self._rules_at
                ),
                self._artifacts,
                self._journal,
                self._home / "runs",
                ExecutionContextFactory(self._config, self._secrets),
                self._environment,
            )
        finally:
            for engine in engines.values():
                engine.close()
            supervisor.close()

    def _rules_at(self, origin: Origin) -> IgnoreRules:
        """The ignore rules by which a scan collected the files at an origin."""
        source = self._sources.get(origin.source)
        if source is not None and source.kind != "filesystem":
            return NO_RULES
        root = source.path if source is not None else Path(origin.source)
        return rules_in(str(Path(origin.path).parent), str(root))

    def run(self, plan: ExecutionPlan, settings: RunSettings, observer: Observer) -> RunResult:
        """Execute a plan."""
        options = settings.options_for(plan.workflow)
        with self._orchestrator(settings, options.jobs) as orchestrator:
            return orchestrator.execute_workflow(orchestrator.prepare(plan), options, observer)

    def forecast(self, plan: ExecutionPlan, settings: RunSettings) -> RunForecast:
        """What a run would do; everything is loaded and checked, and nothing runs."""
        options = settings.options_for(plan.workflow)
        with self._orchestrator(settings, options.jobs) as orchestrator:
            return orchestrator.forecast(orchestrator.prepare(plan), options)

    def resume(
        self,
        run_id: str,
        find: FindNode,
        settings: RunSettings,
        observer: Observer,
        accepted: frozenset[str] = frozenset(),
        locked: Collection[str] | None = None,
    ) -> RunResult:
        """Go on with a run that ended early.

        Args:
            run_id: which.
            find: finds the node that a reference means.
            settings: how to run.
            observer: told of every event.
            accepted: steps that go on with the code that is registered now; they and all that
                depends on them are run again.
            locked: the digests that the project's lock holds, to which accepted code is held
                too; None without a lock.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or it succeeded.
            DigestMismatchError: the files of a node are not what they were.
            UsageError: the run has no step that is accepted.
        """
        record = self.record(run_id)
        again = Workflow.from_json(record.definition).with_dependents(accepted)
        settled = frozenset(
            name
            for name, result in record.steps.items()
            if result.status is StepStatus.SUCCEEDED and name not in again
        )
        plan = _recorded_plan(record, find, held=True, accepted=accepted, settled=settled)
        for name in accepted:
            if locked is not None and plan.nodes[name].digest not in locked:
                raise DigestMismatchError(
                    f"the code of {name} is not what onex.lock holds",
                    hint="take it into the lock first: onex lock",
                )
        options = settings.options_for(plan.workflow)
        with self._orchestrator(settings, options.jobs) as orchestrator:
            prepared = orchestrator.prepare(plan)
            planned = recorded_plan(prepared)
            before = as_object(record.plan["steps"])
            kept = {name: step for name, step in before.items() if name in settled}
            steps = {**as_object(planned["steps"]), **kept}
            resumed = self._journal.resume(record.run_id, {**planned, "steps": steps}, again)
            if resumed is None:
                raise RunNotResumableError(
                    f"run {record.run_id} is {record.status} and cannot be resumed",
                    hint="onex run starts a new one",
                )
            return orchestrator.execute_workflow(prepared, options, observer, resumed=resumed)

    def replay(
        self, run_id: str, find: FindNode, settings: RunSettings, observer: Observer
    ) -> ReplayReport:
        """Execute what a run executed once more, all of it, and compare.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotResumableError: it still runs, or was recorded by an older onex.
        """
        record = self.record(run_id)
        if record.status is RunStatus.RUNNING:
            raise RunNotResumableError(f"run {record.run_id} still runs", hint="wait for it to end")
        plan = _recorded_plan(record, find, held=False)
        settings = replace(settings, use_cache=False, fail_fast=False)
        options = settings.options_for(plan.workflow)
        with self._orchestrator(settings, options.jobs) as orchestrator:
            result = orchestrator.execute_workflow(
                orchestrator.prepare(plan), options, observer, replay_of=record.run_id
            )
        return compare_runs(record, self.record(result.run_id))

    def record(self, run_id: str) -> RunRecord:
        """One run with its steps, by its identifier or the start of it; raises RunNotFoundError."""
        record = self._journal.run(run_id)
        if record is None:
            raise RunNotFoundError(
                f"there is no one run {run_id!r}", hint="onex runs list shows their identifiers"
            )
        return record

    def prune(
        self, keep: int | None, older_than: timedelta | None, *, dry_run: bool
    ) -> PruneReport:
        """Remove runs from the history, and the results and artifacts that nothing refers to then.

        Args:
            keep: how many of the latest runs stay; None for no such limit.
            older_than: only runs that began longer ago are removed.
            dry_run: say what would go, and remove nothing; artifacts are not counted then.
        """
        chosen = list(_prunable(self._journal.runs(None), keep, older_than))
        if dry_run:
            return PruneReport(chosen, 0, 0, 0)
        pruned = self._journal.prune(chosen)
        self._remove_leftovers()
        removed = self._artifacts.remove_others(self._journal.artifact_digests())
        return PruneReport(pruned.runs, pruned.cached_results, removed.count, removed.size_bytes)

    def _remove_leftovers(self) -> None:
        """Remove the working folders of runs that were killed."""
        # Listed before the runs: the folder of one that begins meanwhile is not among them.
        folders = list((self._home / "runs").glob("*"))
        running = {r.run_id for r in self._journal.runs(None) if r.status is RunStatus.RUNNING}
        for folder in folders:
            if folder.name not in running:
                remove_tree(folder)

    def provenance(self, target: str) -> Provenance:
        """Where an artifact, or a file with the content of one, comes from.

        Raises:
            ArtifactNotFoundError: no recorded call gave it.
        """
        path = Path(target)
        digest = content_digest(path) if path.is_file() else target
        found = trace_artifact(digest, self._journal)
        if found is None:
            raise ArtifactNotFoundError(
                f"no recorded run gave {target}",
                hint="name a file that a run gave, unchanged, or the sha256: digest of one",
            )
        return found


def _recorded_plan(
    record: RunRecord,
    find: FindNode,
    *,
    held: bool,
    accepted: frozenset[str] = frozenset(),
    settled: frozenset[str] = frozenset(),
) -> ExecutionPlan:
    """The plan of a run, with the same versions, and if it is ``held`` with the same files.

    A node whose place a folder had taken is read from there again. Steps that are ``settled``
    do not run, whatever became of their nodes.
    """
    if not record.definition:
        raise RunNotResumableError(
            f"run {record.run_id} was recorded without its workflow", hint="start a new run"
        )
    workflow = Workflow.from_json(record.definition)
    unknown = sorted(accepted - workflow.steps.keys())
    if unknown:
        raise UsageError(
            f"the run has no step {unknown[0]!r}",
            hint="its steps are: " + ", ".join(workflow.steps),
        )
    nodes = {}
    for step_id, step in as_object(record.plan["steps"]).items():
        planned = as_object(step)
        node = _planned_node(planned, workflow, step_id, find, is_accepted=step_id in accepted)
        is_free = step_id in accepted or step_id in settled
        if held and not is_free and node.digest != planned["digest"]:
            raise DigestMismatchError(
                f"the files of {node.metadata.node_version} changed since the run began",
                hint=f"bring them back, or go on with them: --accept-changed {step_id}",
            )
        nodes[step_id] = node
    lock_digest = as_optional_text(record.plan.get("lock_digest"))
    return ExecutionPlan(workflow, nodes, record.inputs, lock_digest=lock_digest)


def _planned_node(
    planned: JsonObject, workflow: Workflow, step_id: str, find: FindNode, *, is_accepted: bool
) -> RegisteredNode:
    override = as_optional_text(planned.get("override"))
    if override is not None:
        return read_override(Path(override))
    try:
        return find(NodeRef.parse(as_text(planned["node"])))
    except NodeNotFoundError:
        if not is_accepted:
            raise
        return find(workflow.steps[step_id].node)


def _prunable(
    runs: Iterable[RunRecord], keep: int | None, older_than: timedelta | None
) -> Iterator[str]:
    if keep is None and older_than is None:
        return
    newest = None if older_than is None else datetime.now(UTC) - older_than
    for position, run in enumerate(runs):
        is_old = newest is None or datetime.fromisoformat(run.started_at) < newest
        if is_old and position >= (keep or 0) and run.status is not RunStatus.RUNNING:
            yield run.run_id


def _engines(isolation: IsolationLevel, jobs: int, supervisor: Supervisor) -> Mapping[str, Engine]:
    """What executes nodes at an isolation level, by the type of their entry points."""
    match isolation:
        case IsolationLevel.PROCESS:
            from onex.engines.process import ProcessEngine

            return {"python": ProcessEngine(jobs, supervisor), PROGRAM: ProgramEngine(supervisor)}
        case IsolationLevel.INLINE:
            from onex.engines.inline import InlineEngine

            return {"python": InlineEngine(), PROGRAM: ProgramEngine(supervisor)}
        case IsolationLevel.STRICT:
            raise IsolationUnavailableError(
                "strict isolation cannot be had in this version of onex",
                hint="use --isolation process for nodes that you trust",
            )

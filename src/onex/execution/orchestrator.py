"""ExecutionOrchestrator: prepares a run, drives it, and leaves nothing of it behind but records."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.errors import InternalError, RunCancelledError, StorageError
from onex.domain.json_value import JsonObject
from onex.domain.result import RunResult, RunStatus, StepError
from onex.execution.active_run import ActiveRun
from onex.execution.artifacts import ArtifactStore
from onex.execution.call_runner import CallRunner
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.engine import Engine
from onex.execution.node_loader import NodeLoader
from onex.execution.plan import ExecutionPlan
from onex.execution.run_events import Observer, RunOptions
from onex.execution.schemas import NodeSchemas
from onex.execution.signals import signals_handled_by
from onex.storage.journal import RunJournal


@dataclass(frozen=True, slots=True)
class ExecutionOrchestrator:
    """Executes plans with one engine, which the caller closes.

    ``config`` and ``environment`` are where the nodes' settings and secrets come
    from; working folders lie below ``runs_folder`` while a run lasts.
    """

    engine: Engine
    loader: NodeLoader
    artifacts: ArtifactStore
    journal: RunJournal
    runs_folder: Path
    config: JsonObject
    environment: Mapping[str, str]

    def execute_workflow(
        self, plan: ExecutionPlan, options: RunOptions, observer: Observer
    ) -> RunResult:
        """Run a plan to its end, whatever that is.

        While it lasts, SIGINT and SIGTERM cancel the run: every call is ended at
        once, and the result says so.

        Raises:
            OnexError: a node of the plan cannot be loaded; nothing has run then.
            StorageError: the journal fails.
        """
        loaded = {name: self.loader.load_node(node) for name, node in plan.nodes.items()}
        schemas = {
            name: NodeSchemas(
                str(node.metadata.node_version), node.metadata.inputs, node.metadata.outputs
            )
            for name, node in plan.nodes.items()
        }
        run_id = new_run_id()
        workdir = self.runs_folder / run_id
        started_at = datetime.now(UTC).isoformat(timespec="microseconds")
        self.journal.begin(run_id, plan.workflow.name, started_at, plan.to_json(), plan.inputs)
        contexts = ExecutionContextFactory(run_id, workdir, self.config, self.environment)
        call_runner = CallRunner(self.engine, loaded, schemas, contexts, self.artifacts)
        run = ActiveRun(run_id, plan, options, call_runner, self.journal, observer)
        try:
            with signals_handled_by(run.request_cancel):
                result = run.execute()
        except BaseException as error:
            self.engine.cancel()
            self._record_breakdown(run_id, plan, error)
            raise
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
        self.journal.finish(result)
        return result

    def _record_breakdown(self, run_id: str, plan: ExecutionPlan, error: BaseException) -> None:
        """Say in the history that a run broke off, as far as the history can still be written."""
        is_interrupted = isinstance(error, KeyboardInterrupt)
        status = RunStatus.CANCELLED if is_interrupted else RunStatus.FAILED
        code = RunCancelledError.code if is_interrupted else InternalError.code
        reason = StepError(code, f"{type(error).__name__}: {error}")
        with contextlib.suppress(StorageError):
            self.journal.finish(RunResult(run_id, plan.workflow.name, status, error=reason))


def new_run_id() -> str:
    """An identifier that sorts by time: seconds in UTC, then a random part."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"

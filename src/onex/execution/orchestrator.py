"""ExecutionOrchestrator: prepares a run, drives it, and leaves nothing of it behind but records."""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.errors import InternalError, RunCancelledError, StorageError
from onex.domain.json_value import JsonObject
from onex.domain.result import RunResult, RunStatus, StepError
from onex.engines.engine import Engine
from onex.engines.redaction import Redaction
from onex.execution.active_run import ActiveRun
from onex.execution.call_runner import CallRunner
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.events import Observer, RunOptions
from onex.execution.forecast import (
    RunForecast,
    forecast_run,
    forecast_run_seconds,
    forecast_steps,
    urgency_of,
)
from onex.execution.node_loader import NodeLoader
from onex.execution.plan import ExecutionPlan
from onex.execution.preparation import PreparedPlan, prepare
from onex.execution.work_folders import WorkFolders
from onex.history.artifacts import ArtifactStore
from onex.history.journal import NewRun, RunJournal, RunRecord
from onex.local_machine import remove_tree


@dataclass(frozen=True, slots=True)
class ExecutionOrchestrator:
    """Executes plans with engines, which the caller closes.

    ``engines`` are by the type of entry point; ``environment`` is where the variables come
    from that nodes declare; working folders lie below ``runs_folder`` while a run lasts.
    """

    engines: Mapping[str, Engine]
    loader: NodeLoader
    artifacts: ArtifactStore
    journal: RunJournal
    runs_folder: Path
    contexts: ExecutionContextFactory
    environment: Mapping[str, str] = field(repr=False)

    def prepare(self, plan: ExecutionPlan) -> PreparedPlan:
        """Load, verify and check what a plan needs; raises as ``prepared_plan.prepare`` does."""
        return prepare(plan, self.loader, self.engines, self.contexts, self.environment)

    def forecast(self, prepared: PreparedPlan, options: RunOptions) -> RunForecast:
        """What a run would do: which results are cached, and how long it would take."""
        return forecast_run(prepared, options, self.journal, self.artifacts)

    def execute_workflow(
        self,
        prepared: PreparedPlan,
        options: RunOptions,
        observer: Observer,
        *,
        resumed: RunRecord | None = None,
        replay_of: str | None = None,
    ) -> RunResult:
        """Run a plan to its end, whatever that is.

        While it lasts, SIGINT, SIGTERM and SIGHUP cancel the run: every call is ended at
        once, and the result says so.

        Args:
            prepared: what to run.
            options: how.
            observer: told of every event, in the calling thread.
            resumed: the run that goes on; by default a new one begins.
            replay_of: the run that this one repeats.

        Raises:
            StorageError: the journal fails.
        """
        if resumed is None:
            run_id = new_run_id()
            self.journal.begin(_new_run(run_id, prepared, replay_of))
        else:
            run_id = resumed.run_id
        workdir = self.runs_folder / run_id
        # What calls left there that a crash ended must not be found by those that follow.
        remove_tree(workdir)
        workflow = prepared.plan.workflow
        steps = forecast_steps(prepared, self.journal)
        urgency = urgency_of(workflow, steps)
        run = ActiveRun(
            prepared,
            options,
            CallRunner(
                run_id,
                WorkFolders(str(workdir)),
                self.contexts,
                self.artifacts,
                Redaction(prepared.secrets()),
            ),
            self.journal,
            observer,
            urgency=urgency,
            forecast_seconds=(
                forecast_run_seconds(workflow, steps, urgency, options.jobs)
                if len(steps) == len(workflow.steps)
                else None
            ),
            earlier={} if resumed is None else resumed.steps,
        )
        try:
            with signals_handled_by(run.request_cancel):
                return run.execute()
        except BaseException as error:
            for engine in self.engines.values():
                engine.cancel()
            self._record_breakdown(run_id, prepared.plan, error)
            raise
        finally:
            remove_tree(workdir)

    def _record_breakdown(self, run_id: str, plan: ExecutionPlan, error: BaseException) -> None:
        """Say in the history that a run broke off, as far as the history can still be written."""
        is_interrupted = isinstance(error, KeyboardInterrupt)
        status = RunStatus.CANCELLED if is_interrupted else RunStatus.FAILED
        code = RunCancelledError.code if is_interrupted else InternalError.code
        reason = StepError(code, f"{type(error).__name__}: {error}")
        with contextlib.suppress(StorageError):
            self.journal.finish(RunResult(run_id, plan.workflow.name, status, error=reason))


def recorded_plan(prepared: PreparedPlan) -> JsonObject:
    """A plan as the history keeps it."""
    return prepared.plan.to_json() | {"environment": prepared.environment()}


def _new_run(run_id: str, prepared: PreparedPlan, replay_of: str | None) -> NewRun:
    plan = prepared.plan
    return NewRun(
        run_id,
        plan.workflow.name,
        datetime.now(UTC).isoformat(timespec="microseconds"),
        plan.workflow.to_json(),
        recorded_plan(prepared),
        plan.inputs,
        replay_of,
    )


def new_run_id() -> str:
    """An identifier that sorts by time: seconds and microseconds in UTC, then a random part."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}{secrets.token_hex(2)[:3]}"


_CLOSED_TERMINAL = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


@contextmanager
def signals_handled_by(request: Callable[[], None]) -> Iterator[None]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP calls ``request``.

    A second one does what it would do without the block, so that a user can
    leave a run that does not end.

    Python delivers signals to the main thread alone; in any other thread the
    block leaves them as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, *_CLOSED_TERMINAL)
    before = {number: signal.getsignal(number) for number in numbers}
    # What was started to outlive its terminal (nohup) does so.
    before = {
        number: handler
        for number, handler in before.items()
        if not (number in _CLOSED_TERMINAL and handler is signal.SIG_IGN)
    }

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        restore()
        request()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()

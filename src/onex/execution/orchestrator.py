"""ExecutionOrchestrator: drives a run from its plan to its result.

One thread, this one, owns the scheduler and the journal. Calls wait in a pool
of threads, each on an engine; their ends come back through one queue.
"""

from __future__ import annotations

import queue
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.errors import InternalError, OnexError, ReferenceValueError, RunCancelledError
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.metadata import RegisteredNode
from onex.domain.result import (
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
)
from onex.execution.artifacts import ArtifactStore, artifacts_in, with_paths
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.engine import CallFailedError, CallOutcome, Engine, LoadedNode, NodeCall
from onex.execution.node_loader import NodeLoader
from onex.execution.plan import ExecutionPlan
from onex.execution.result_cache import NotCacheableError, cache_key
from onex.execution.scheduler import Call, Scheduler, StepEnd
from onex.execution.schemas import NodeSchemas
from onex.execution.signals import signals_handled_by
from onex.storage.journal import RunJournal


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run, for those who watch.

    ``kind`` is ``started``, ``progress``, ``call_ended`` or ``step_ended``;
    ``result`` is there for the latter two, ``fraction`` for progress.
    """

    kind: str
    step_id: str
    total_calls: int | None = None
    fraction: float | None = None
    message: str = ""
    result: NodeExecutionResult | None = None


Observer = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run: ``jobs`` calls at once; ``use_cache`` to take results of earlier runs."""

    jobs: int
    fail_fast: bool
    use_cache: bool = True


@dataclass(frozen=True, slots=True)
class _Ended:
    call: Call
    outcome: CallOutcome | CallFailedError
    seconds: float


@dataclass(slots=True)
class _Running:
    call: Call
    started_seconds: float
    cache_key: str | None
    cache_note: str | None


@dataclass(slots=True)
class _StepTimes:
    first_start: float | None = None
    seconds: float = 0.0
    cached_calls: int = 0
    calls: int = 0
    notes: dict[str, None] = field(default_factory=dict)


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
        run = _Run(self, run_id, workdir, plan, options, observer, loaded, schemas)
        try:
            with signals_handled_by(run.request_cancel):
                result = run.execute()
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
        self.journal.finish(result)
        return result


class _Run:
    """One execution of one plan."""

    def __init__(
        self,
        owner: ExecutionOrchestrator,
        run_id: str,
        workdir: Path,
        plan: ExecutionPlan,
        options: RunOptions,
        observer: Observer,
        loaded: Mapping[str, LoadedNode],
        schemas: Mapping[str, NodeSchemas],
    ) -> None:
        self._engine = owner.engine
        self._artifacts = owner.artifacts
        self._journal = owner.journal
        self._contexts = ExecutionContextFactory(run_id, workdir, owner.config, owner.environment)
        self._run_id = run_id
        self._workdir = workdir
        self._plan = plan
        self._options = options
        self._observer = observer
        self._loaded = loaded
        self._schemas = schemas
        self._scheduler = Scheduler(
            plan.workflow, plan.inputs, run_id=run_id, fail_fast=options.fail_fast
        )
        self._started = time.perf_counter()
        self._idle_seconds = 0.0
        self._events: queue.SimpleQueue[_Ended | RunEvent] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        self._times = {name: _StepTimes() for name in plan.workflow.steps}
        self._results: dict[str, NodeExecutionResult] = {}
        self._is_cancelled = False

    def request_cancel(self) -> None:
        """Ask the loop to end the run; safe to call from a signal handler."""
        self._is_cancelled = True
        self._events.put(RunEvent("cancel", ""))

    def execute(self) -> RunResult:
        pool = ThreadPoolExecutor(self._options.jobs, thread_name_prefix="onex-call")
        try:
            self._loop(pool)
            if self._is_cancelled:
                self._cancel()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return self._result()

    def _loop(self, pool: ThreadPoolExecutor) -> None:
        idle_since: float | None = time.perf_counter()
        while not self._scheduler.is_done and not self._is_cancelled:
            self._start_ready(pool)
            self._note_ended_steps()
            if not self._running:
                continue
            if idle_since is not None:
                self._idle_seconds += time.perf_counter() - idle_since
                idle_since = None
            event = self._events.get()
            if isinstance(event, RunEvent):
                if event.kind == "progress":
                    self._observer(event)
                continue
            if len(self._running) == 1:
                idle_since = time.perf_counter()
            self._finish(event)
            self._note_ended_steps()
            if self._options.fail_fast and self._has_failure():
                self._engine.cancel()
        self._note_ended_steps()
        if idle_since is not None:
            self._idle_seconds += time.perf_counter() - idle_since

    def _has_failure(self) -> bool:
        statuses = self._scheduler.status.values()
        return StepStatus.FAILED in statuses or StepStatus.CANCELLED in statuses

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        """Start calls while there is room; results from the cache take no room."""
        while (room := self._options.jobs - len(self._running)) and not self._is_cancelled:
            calls = list(self._scheduler.take_ready(room))
            if not calls:
                return
            for call in calls:
                self._start(call, pool)

    def _start(self, call: Call, pool: ThreadPoolExecutor) -> None:
        step_id = call.step.id
        now = self._now()
        times = self._times[step_id]
        if times.first_start is None:
            times.first_start = now
            self._observer(RunEvent("started", step_id, self._scheduler.fan_out_size(step_id)))
        node = self._plan.nodes[step_id]
        inputs = as_object(with_paths(call.inputs))
        running = _Running(call, now, None, None)
        try:
            self._schemas[step_id].check_inputs(inputs)
            running.cache_key = self._cache_key(call, node, inputs)
        except NotCacheableError as reason:
            running.cache_note = str(reason)
            times.notes[str(reason)] = None
        except OnexError as error:
            self._running[call.id] = running
            self._finish(_Ended(call, CallFailedError(error), 0.0))
            return
        self._running[call.id] = running
        cached = self._cached(running.cache_key)
        if cached is not None:
            self._finish_cached(call, cached[0])
            return
        node_call = NodeCall(
            self._loaded[step_id],
            inputs,
            self._contexts.create_context(call.id, node),
            call.step.timeout_seconds,
            lambda fraction, message: self._events.put(
                RunEvent("progress", step_id, fraction=fraction, message=message)
            ),
        )
        started = time.perf_counter()
        future = pool.submit(self._execute, step_id, node_call)
        future.add_done_callback(
            lambda done: self._events.put(
                _Ended(call, _outcome(done), time.perf_counter() - started)
            )
        )

    def _execute(self, step_id: str, node_call: NodeCall) -> CallOutcome:
        """Runs in a thread of the pool."""
        outcome = self._engine.execute(node_call)
        workdir = Path(node_call.context.workdir)
        outcome = replace(outcome, output=self._artifacts.take(outcome.output, workdir))
        self._schemas[step_id].check_output(outcome.output)
        return outcome

    def _cache_key(self, call: Call, node: RegisteredNode, inputs: JsonObject) -> str:
        if not call.is_reproducible:
            raise NotCacheableError("the inputs refer to this run itself")
        allowed = self._options.use_cache and call.step.use_cache
        return cache_key(node, inputs, allowed=allowed)

    def _cached(self, key: str | None) -> tuple[JsonValue] | None:
        found = None if key is None else self._journal.cached_output(key)
        if found is not None and all(path.exists() for path in artifacts_in(found[0])):
            return found
        return None

    def _finish_cached(self, call: Call, output: JsonValue) -> None:
        running = self._running.pop(call.id)
        result = NodeExecutionResult(
            call.id,
            self._loaded[call.step.id].identity,
            StepStatus.SUCCEEDED,
            output,
            started_seconds=running.started_seconds,
            cached=True,
        )
        self._record_call(call, result)

    def _finish(self, ended: _Ended) -> None:
        call, outcome = ended.call, ended.outcome
        running = self._running.pop(call.id)
        result = NodeExecutionResult(
            call.id,
            self._loaded[call.step.id].identity,
            StepStatus.SUCCEEDED,
            started_seconds=running.started_seconds,
            seconds=ended.seconds,
            attempts=1,
            cache_note=running.cache_note,
            isolation=self._engine.isolation,
            log=outcome.log,
        )
        if isinstance(outcome, CallOutcome):
            result = replace(result, output=outcome.output)
            if running.cache_key is not None:
                self._journal.store_output(
                    running.cache_key, result.node, outcome.output, self._run_id
                )
        else:
            is_cancelled = isinstance(outcome.error, RunCancelledError)
            error = outcome.error
            result = replace(
                result,
                status=StepStatus.CANCELLED if is_cancelled else StepStatus.FAILED,
                error=StepError(error.code, error.message, error.hint, outcome.detail),
            )
        self._record_call(call, result)

    def _record_call(self, call: Call, result: NodeExecutionResult) -> None:
        """Journal the end of a call, before anything that depends on it can start."""
        times = self._times[call.step.id]
        times.calls += 1
        times.cached_calls += result.cached
        times.seconds += result.seconds
        self._journal.record(self._run_id, result)
        self._results[call.id] = result
        self._scheduler.note_timing(
            {
                "id": call.id,
                "step": call.step.id,
                "item": call.item,
                "started_seconds": result.started_seconds,
                "seconds": result.seconds,
                "cached": result.cached,
                "status": result.status.value,
            }
        )
        if call.step.is_fan_out:
            self._observer(RunEvent("call_ended", call.step.id, result=result))
        self._scheduler.finished(call, result.status, result.output, result.error)

    def _note_ended_steps(self) -> None:
        for end in self._scheduler.take_ended():
            result = self._results.get(end.step.id)
            if result is None:
                result = self._step_result(end)
                self._results[end.step.id] = result
                self._journal.record(self._run_id, result)
            self._observer(RunEvent("step_ended", end.step.id, result=result))

    def _step_result(self, end: StepEnd) -> NodeExecutionResult:
        times = self._times[end.step.id]
        started = times.first_start
        seconds = self._now() - started if started is not None else 0.0
        return NodeExecutionResult(
            end.step.id,
            str(self._plan.nodes[end.step.id].metadata.node_version),
            end.status,
            end.output,
            end.error,
            started_seconds=started,
            seconds=seconds,
            attempts=1 if started is not None else 0,
            cached=times.calls > 0 and times.cached_calls == times.calls,
            cache_note=next(iter(times.notes), None),
            isolation=self._engine.isolation if times.calls > times.cached_calls else None,
        )

    def _cancel(self) -> None:
        """End what runs, start nothing more, and take the ends of the calls that were running."""
        self._engine.cancel()
        self._scheduler.cancel()
        while self._running:
            event = self._events.get()
            if isinstance(event, _Ended):
                self._finish(event)
        self._note_ended_steps()

    def _result(self) -> RunResult:
        statuses = set(self._scheduler.status.values())
        error: StepError | None = None
        outputs: JsonValue
        if self._is_cancelled:
            status = RunStatus.CANCELLED
            error = StepError(
                RunCancelledError.code,
                "the run was cancelled",
                "start it again; finished steps are kept",
            )
            outputs = self._scheduler.available_outputs()
        elif statuses & {StepStatus.FAILED, StepStatus.CANCELLED}:
            status, outputs = RunStatus.FAILED, self._scheduler.available_outputs()
        else:
            status = RunStatus.SUCCEEDED
            try:
                outputs = self._outputs_of_success()
            except ReferenceValueError as problem:
                status, outputs = RunStatus.FAILED, self._scheduler.available_outputs()
                error = StepError(problem.code, problem.message, problem.hint)
        return RunResult(
            self._run_id,
            self._plan.workflow.name,
            status,
            outputs,
            dict(self._in_order()),
            self._now(),
            self._idle_seconds,
            error,
        )

    def _outputs_of_success(self) -> JsonObject:
        if StepStatus.SKIPPED in self._scheduler.status.values():
            return self._scheduler.available_outputs()
        return self._scheduler.outputs()

    def _in_order(self) -> Iterator[tuple[str, NodeExecutionResult]]:
        """Results by step as the workflow lists them, each followed by its children."""
        for step_id in self._plan.workflow.steps:
            if step_id in self._results:
                yield step_id, self._results[step_id]
            for index in range(self._scheduler.fan_out_size(step_id) or 0):
                child = f"{step_id}[{index}]"
                if child in self._results:
                    yield child, self._results[child]

    def _now(self) -> float:
        return time.perf_counter() - self._started


def new_run_id() -> str:
    """An identifier that sorts by time: seconds in UTC, then a random part."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


def _outcome(done: Future[CallOutcome]) -> CallOutcome | CallFailedError:
    """How a call ended; a defect of ours fails the call, and does not leave the run waiting."""
    error = RunCancelledError("cancelled") if done.cancelled() else done.exception()
    match error:
        case None:
            return done.result()
        case CallFailedError():
            return error
        case OnexError():
            return CallFailedError(error)
        case _:
            message = f"{type(error).__name__}: {error}"
            return CallFailedError(InternalError(message, hint="please report this"))

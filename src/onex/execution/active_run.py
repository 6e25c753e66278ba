"""ActiveRun: a run while it lasts.

One thread owns the scheduler and the journal. Calls wait in a pool of threads,
each on the engine; their ends come back to the one thread through a queue.
"""

from __future__ import annotations

import heapq
import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from onex.domain.errors import InternalError, OnexError, ReferenceValueError, RunCancelledError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import RegisteredNode
from onex.domain.result import NodeExecutionResult, RunResult, RunStatus, StepError, StepStatus
from onex.execution.artifacts import artifacts_in
from onex.execution.call_runner import CallRunner
from onex.execution.engine import CallFailedError, CallOutcome
from onex.execution.plan import ExecutionPlan
from onex.execution.result_cache import NotCacheableError, cache_key
from onex.execution.run_events import Observer, RunEvent, RunOptions
from onex.execution.scheduler import Call, Scheduler, StepEnd
from onex.storage.journal import RunJournal


@dataclass(frozen=True, slots=True)
class _Ended:
    call: Call
    outcome: CallOutcome | CallFailedError
    seconds: float


@dataclass(slots=True)
class _Running:
    started_seconds: float
    cache_key: str | None = None
    cache_note: str | None = None
    is_executing: bool = False


@dataclass(slots=True)
class _StepTimes:
    first_start: float | None = None
    attempts: int = 0
    cached_calls: int = 0
    calls: int = 0
    notes: dict[str, None] = field(default_factory=dict)


class ActiveRun:
    """One run while it lasts: the loop between the scheduler, the calls and the journal."""

    def __init__(
        self,
        run_id: str,
        plan: ExecutionPlan,
        options: RunOptions,
        call_runner: CallRunner,
        journal: RunJournal,
        observer: Observer,
    ) -> None:
        self._run_id = run_id
        self._plan = plan
        self._options = options
        self._calls = call_runner
        self._journal = journal
        self._observer = observer
        self._scheduler = Scheduler(
            plan.workflow, plan.inputs, run_id=run_id, fail_fast=options.fail_fast
        )
        self._started = time.perf_counter()
        self._idle_seconds = 0.0
        self._events: queue.SimpleQueue[_Ended | RunEvent] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        self._times = {name: _StepTimes() for name in plan.workflow.steps}
        self._results: dict[str, NodeExecutionResult] = {}
        self._attempts: Counter[str] = Counter()
        self._logs: dict[str, list[str]] = {}
        self._delayed: list[tuple[float, int, Call]] = []
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
            if not self._running and not self._delayed:
                continue
            if idle_since is not None:
                self._idle_seconds += time.perf_counter() - idle_since
                idle_since = None
            event = self._next_event()
            if event is None:
                continue
            if isinstance(event, RunEvent):
                if event.kind == "progress":
                    self._observer(event)
                continue
            if len(self._running) == 1:
                idle_since = time.perf_counter()
            self._finish(event)
            self._note_ended_steps()
            if self._scheduler.is_stopping:
                self._calls.cancel()
                self._drop_delayed()
        self._note_ended_steps()
        if idle_since is not None:
            self._idle_seconds += time.perf_counter() - idle_since

    def _next_event(self) -> _Ended | RunEvent | None:
        """What happens next; None when it is time for another attempt of a call."""
        if not self._delayed or len(self._running) >= self._options.jobs:
            return self._events.get()
        try:
            return self._events.get(timeout=max(0.0, self._delayed[0][0] - time.perf_counter()))
        except queue.Empty:
            return None

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        """Start calls while there is room; results from the cache take no room."""
        while (
            self._delayed
            and self._delayed[0][0] <= time.perf_counter()
            and len(self._running) < self._options.jobs
        ):
            self._start(heapq.heappop(self._delayed)[2], pool)
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
        running = _Running(now)
        self._running[call.id] = running
        try:
            inputs = self._calls.final_inputs(call)
            running.cache_key = self._cache_key(call, node, inputs)
        except NotCacheableError as reason:
            running.cache_note = str(reason)
            times.notes[str(reason)] = None
        except OnexError as error:
            self._record_call(call, self._failure(call, error))
            return
        cached = self._cached(running.cache_key)
        if cached is not None:
            self._record_call(call, self._hit(call, cached[0]))
            return
        running.is_executing = True
        self._attempts[call.id] += 1
        times.attempts = max(times.attempts, self._attempts[call.id])
        started = time.perf_counter()
        future = pool.submit(self._calls.execute, call, node, inputs, self._progress_of(step_id))
        future.add_done_callback(
            lambda done: self._events.put(
                _Ended(call, _outcome(done), time.perf_counter() - started)
            )
        )

    def _progress_of(self, step_id: str) -> Callable[[float, str], None]:
        return lambda fraction, message: self._events.put(
            RunEvent("progress", step_id, fraction=fraction, message=message)
        )

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

    def _hit(self, call: Call, output: JsonValue) -> NodeExecutionResult:
        return replace(self._result_of(call, StepStatus.SUCCEEDED), output=output, cached=True)

    def _failure(
        self, call: Call, error: OnexError, detail: str | None = None
    ) -> NodeExecutionResult:
        is_cancelled = isinstance(error, RunCancelledError)
        return replace(
            self._result_of(call, StepStatus.CANCELLED if is_cancelled else StepStatus.FAILED),
            error=StepError(error.code, error.message, error.hint, detail),
        )

    def _result_of(self, call: Call, status: StepStatus) -> NodeExecutionResult:
        running = self._running[call.id]
        return NodeExecutionResult(
            call.id,
            str(self._plan.nodes[call.step.id].metadata.node_version),
            status,
            started_seconds=running.started_seconds,
            attempts=self._attempts[call.id],
            cache_note=running.cache_note,
            isolation=self._calls.isolation if running.is_executing else None,
        )

    def _finish(self, ended: _Ended) -> None:
        call, outcome = ended.call, ended.outcome
        if isinstance(outcome, CallFailedError) and self._is_put_off(call, outcome):
            return
        if isinstance(outcome, CallOutcome):
            result = replace(self._result_of(call, StepStatus.SUCCEEDED), output=outcome.output)
            key = self._running[call.id].cache_key
            if key is not None:
                self._journal.store_output(key, result.node, outcome.output, self._run_id)
        else:
            result = self._failure(call, outcome.error, outcome.detail)
        log = "".join([*self._logs.pop(call.id, ()), outcome.log])
        self._record_call(call, replace(result, seconds=ended.seconds, log=log))

    def _is_put_off(self, call: Call, outcome: CallFailedError) -> bool:
        """Whether a failed call will be made again, and then when."""
        if self._is_cancelled or self._scheduler.is_stopping:
            return False
        attempt = self._attempts[call.id]
        code = outcome.error.code
        # Jitter spreads attempts over time and keeps no secret.
        delay = call.step.retry.delay_after(attempt, code, random.random())  # noqa: S311
        if delay is None:
            return False
        del self._running[call.id]
        line = f"attempt {attempt} failed with {code}, the next one follows in {delay:.2f} s\n"
        self._logs.setdefault(call.id, []).append(f"{outcome.log}{line}")
        due = time.perf_counter() + delay
        heapq.heappush(self._delayed, (due, self._attempts.total(), call))
        self._observer(RunEvent("retry", call.step.id, message=line.rstrip()))
        return True

    def _drop_delayed(self) -> None:
        """Give up the calls that wait for another attempt."""
        while self._delayed:
            call = self._delayed.pop()[2]
            self._running[call.id] = _Running(self._now())
            error = RunCancelledError("cancelled while it waited for another attempt")
            self._record_call(call, self._failure(call, error))

    def _record_call(self, call: Call, result: NodeExecutionResult) -> None:
        """Journal the end of a call, before anything that depends on it can start."""
        del self._running[call.id]
        times = self._times[call.step.id]
        times.calls += 1
        times.cached_calls += result.cached
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
                # The outputs of a fan-out are recorded with its children.
                self._journal.record(self._run_id, replace(result, output=None))
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
            attempts=times.attempts,
            cached=times.calls > 0 and times.cached_calls == times.calls,
            cache_note=next(iter(times.notes), None),
            isolation=self._calls.isolation if times.calls > times.cached_calls else None,
        )

    def _cancel(self) -> None:
        """End what runs, start nothing more, and take the ends of the calls that were running."""
        self._calls.cancel()
        self._scheduler.cancel()
        self._drop_delayed()
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

"""ActiveRun: a run while it lasts.

One thread owns the scheduler and the journal. Calls are executed by other
threads, each on its node's engine; their ends come back through a queue. All
that ended since the last look is journaled in one transaction before any call
starts that may rest on it.
"""

from __future__ import annotations

import heapq
import queue
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from onex.domain.errors import (
    CircuitOpenError,
    InternalError,
    LeftInFlightError,
    OnexError,
    RunCancelledError,
    RunTimeoutError,
    StepTimeoutError,
    StorageError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonValue, as_object
from onex.domain.result import (
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
    holds_unrecorded,
)
from onex.domain.retry import COUNTED
from onex.engines.engine import CallFailedError, CallOutcome
from onex.execution.cache_lookup import ResultLookup
from onex.execution.call_runner import CallRunner
from onex.execution.call_threads import CallThreads
from onex.execution.circuit_breaker import CircuitBreaker
from onex.execution.events import Observer, RunEvent, RunOptions
from onex.execution.open_call import OpenCall
from onex.execution.preparation import PreparedPlan
from onex.execution.recorder import RunRecorder
from onex.execution.run_results import RunResults
from onex.execution.scheduler import Call, Scheduler, StepEnd
from onex.history.artifacts import artifacts_in, with_paths
from onex.history.journal import RunJournal

INLINE_BACKLOG = 128
"""So many inline calls wait for a thread: going back to the loop for each would cost as much
as a short call. For other calls it is one for each thread."""

PROGRESS_INTERVAL_SECONDS = 0.05

# How a call ends whose node did not return: nobody knows what it had done by then.
_NOT_RETURNED = (RunCancelledError, StepTimeoutError, WorkerDiedError)


@dataclass(frozen=True, slots=True)
class _Ended:
    open_call: OpenCall
    outcome: CallOutcome | CallFailedError
    started: float
    ended: float
    is_made: bool


class ActiveRun:
    """One run while it lasts: the loop between the scheduler, the calls and the journal."""

    def __init__(
        self,
        prepared: PreparedPlan,
        options: RunOptions,
        calls: CallRunner,
        journal: RunJournal,
        observer: Observer,
        *,
        urgency: Mapping[str, float],
        forecast_seconds: float | None,
        earlier: Mapping[str, NodeExecutionResult],
    ) -> None:
        """``earlier`` holds the records of a run that is resumed, by the names of its calls."""
        self._forecast_seconds = forecast_seconds
        self._prepared = prepared
        self._options = options
        self._calls = calls
        self._journal = journal
        self._observer = observer
        self._earlier = earlier
        workflow = prepared.plan.workflow
        self._scheduler = Scheduler(
            workflow,
            prepared.plan.inputs,
            run_id=calls.run_id,
            fail_fast=options.fail_fast,
            urgency=urgency,
        )
        self._results = RunResults(prepared, self._scheduler)
        self._lookup = ResultLookup(journal, calls.artifacts, options)
        self._breaker = CircuitBreaker(workflow.breaker)
        self._engines = {id(node.engine): node.engine for node in prepared.nodes.values()}
        self._is_inline = all(
            engine.isolation is IsolationLevel.INLINE for engine in self._engines.values()
        )
        self._room = options.jobs + (INLINE_BACKLOG if self._is_inline else options.jobs)
        self._starts = journal.start_log(calls.run_id)
        # A run that goes on counts its time on from where it had come.
        earlier_seconds = max(
            ((r.started_seconds or 0.0) + r.seconds for r in earlier.values()), default=0.0
        )
        self._idle_since = time.perf_counter()
        self._started = self._idle_since - earlier_seconds
        limit = workflow.timeout_seconds
        self._deadline = None if limit is None else self._idle_since + limit
        self._idle_seconds = 0.0
        self._executing = 0
        # Looking for artifacts in every value would take longer than a short call.
        self._has_artifacts = any(artifacts_in(prepared.plan.inputs)) or any(
            any(artifacts_in([step.arguments, step.foreach])) for step in workflow.steps.values()
        )
        self._events: queue.SimpleQueue[_Ended | RunEvent] = queue.SimpleQueue()
        self._recorder = RunRecorder(calls.run_id, journal, observer)
        self._to_submit: list[OpenCall] = []
        self._preloaded: set[str] = set()
        self._delayed: list[tuple[float, int, OpenCall]] = []
        self._delays = 0
        self._last_failures: dict[str, str] = {}
        self._stop: OnexError | None = None

    def request_cancel(self) -> None:
        """Ask the loop to end the run; safe to call from a signal handler."""
        self._stop = self._stop or RunCancelledError(
            "the run was cancelled", hint="onex run --resume goes on; finished steps are kept"
        )
        self._events.put(RunEvent("cancel", ""))

    def execute(self) -> RunResult:
        """Run to the end, whatever that is; raises StorageError where the journal fails."""
        self._observer(
            RunEvent(
                "run_started",
                "",
                message=self._calls.run_id,
                steps=tuple(self._prepared.plan.workflow.steps),
                forecast_seconds=self._forecast_seconds,
            )
        )
        self._preload_certain()
        for warning in self._prepared.warnings:
            self._observer(RunEvent("warning", "", message=warning))
        threads = CallThreads(self._options.jobs, self._execute_call)
        try:
            self._loop(threads)
            if self._stop is not None:
                self._end_all()
        finally:
            if self._executing:
                self._cancel_engines()
            threads.close()
            self._starts.close()
        self._idle_seconds += time.perf_counter() - self._idle_since
        stopped = None if self._stop is None else StepError.of(self._stop)
        result = self._results.run_result(
            self._calls.run_id, self._now(), self._idle_seconds, stopped
        )
        if result.error is not None:
            result = replace(result, error=result.error.changed(self._calls.redaction.text))
        if isinstance(self._stop, RunCancelledError):
            result = replace(result, status=RunStatus.CANCELLED)
        self._journal.finish(result, self._results.timings())
        self._starts.remove()
        return result

    def _loop(self, threads: CallThreads[OpenCall]) -> None:
        while not self._scheduler.is_done and self._stop is None:
            self._start_ready()
            self._note_ended_steps()
            self._recorder.write()
            self._submit(threads)
            if not self._executing and not self._delayed:
                continue
            for event in self._next_events():
                self._take(event)
            self._check_deadline()
            self._note_ended_steps()
            if self._scheduler.is_stopping:
                self._cancel_engines()
                self._drop_delayed()
        self._note_ended_steps()
        self._recorder.write()

    def _next_events(self) -> Iterator[_Ended | RunEvent]:
        """Wait for what happens next, and give whatever else has happened by then.

        Nothing when it is time for another attempt of a call, or when the run's time is over.
        """
        moments = [self._deadline] if self._deadline is not None else []
        if self._delayed and self._executing < self._room:
            moments.append(self._delayed[0][0])
        timeout = max(0.0, min(moments) - time.perf_counter()) if moments else None
        try:
            yield self._events.get(timeout=timeout)
        except queue.Empty:
            return
        while not self._events.empty():
            yield self._events.get()

    def _check_deadline(self) -> None:
        is_over = self._deadline is not None and time.perf_counter() >= self._deadline
        if is_over and not self._scheduler.is_done:
            limit = self._prepared.plan.workflow.timeout_seconds
            self._stop = self._stop or RunTimeoutError(
                f"the run did not end within {limit:g} s",
                hint="set a longer policy.timeout, or go on with onex run --resume",
            )

    def _take(self, event: _Ended | RunEvent) -> None:
        if isinstance(event, _Ended):
            self._finish(event)
        elif event.kind == "progress":
            self._observer(event)

    def _start_ready(self) -> None:
        """Start calls while there is room; results from the cache take no room."""
        while (
            self._delayed
            and self._delayed[0][0] <= time.perf_counter()
            and self._executing + len(self._to_submit) < self._room
        ):
            self._start_attempt(heapq.heappop(self._delayed)[2])
        while self._stop is None:
            room = self._room - self._executing - len(self._to_submit)
            calls = list(self._scheduler.take_ready(room)) if room > 0 else []
            if not calls:
                return
            for call in calls:
                self._start(call)
            if self._recorder.is_full:
                self._recorder.write()

    def _start(self, call: Call) -> None:
        step_id = call.step.id
        now = self._now()
        if self._results.note_start(step_id, now):
            size = self._scheduler.fan_out_size(step_id)
            self._recorder.announce(RunEvent("step_started", step_id, now, total_calls=size))
        open_call = OpenCall(call, self._prepared.nodes[step_id], now)
        earlier = self._earlier.get(call.id)
        if (
            earlier is not None
            and earlier.status is StepStatus.SUCCEEDED
            and self._lookup.has_artifacts(earlier.output)
            and not holds_unrecorded(earlier.output)
        ):
            self._has_artifacts |= any(artifacts_in(earlier.output))
            self._end(call, earlier)
            return
        try:
            self._complete(open_call, earlier)
        except OnexError as error:
            self._fail(open_call, error)
            return
        cached = self._lookup.find(open_call.cache_key, step_id)
        if cached is None:
            self._start_attempt(open_call)
            return
        result = open_call.result(
            StepStatus.SUCCEEDED, cached.output, cached_from=cached.run_id or "an earlier run"
        )
        self._has_artifacts |= self._recorder.end(result, may_hold_artifacts=cached.has_artifacts)
        self._end(call, result)

    def _complete(self, open_call: OpenCall, earlier: NodeExecutionResult | None) -> None:
        """Find what goes into a call, and whether its result may come from the cache."""
        call, node = open_call.call, open_call.node
        if call.inputs:
            open_call.inputs = (
                as_object(with_paths(call.inputs)) if self._has_artifacts else call.inputs
            )
        node.schemas.check_inputs(open_call.inputs)
        facts = self._lookup.facts_of(call, node, open_call.inputs, self._reading_limit(call))
        open_call.input_digest, open_call.cache_key, open_call.cache_note = facts
        is_left = earlier is not None and earlier.is_left_in_flight
        is_idempotent = node.registered.metadata.idempotent
        if is_left and not is_idempotent and not self._options.rerun_in_flight:
            raise LeftInFlightError(
                "the call had started when the run ended early, and may have had effects",
                hint="look at what it did; --rerun-in-flight makes it again",
            )

    def _reading_limit(self, call: Call) -> Callable[[], None]:
        """Ends the reading of a call's files when the run ends, or the call's own time is over."""
        until = time.perf_counter() + call.step.timeout_seconds

        def go_on() -> None:
            if self._stop is not None:
                raise RunCancelledError("cancelled before it started")
            self._check_deadline()
            if time.perf_counter() > until:
                raise StepTimeoutError(
                    f"reading what goes in took longer than {call.step.timeout_seconds:g} s",
                    hint="set a longer timeout on the step, or hand over fewer files",
                )

        return go_on

    def _start_attempt(self, open_call: OpenCall) -> None:
        node = open_call.node
        digest, now = node.registered.digest, time.perf_counter()
        if not self._breaker.admits(digest, now):
            if open_call.attempts < open_call.call.step.retry.attempts > 1:
                # Resting is not an attempt.
                self._delay(open_call, self._breaker.rests_until(digest, now))
                return
            self._fail(
                open_call,
                CircuitOpenError(
                    f"the calls of {node.identity} failed one after another, so it rests; the"
                    f" last one said {self._last_failures.get(digest, 'nothing')}",
                    hint="see the failures before; policy.breaker of the workflow sets the limits",
                ),
            )
            return
        open_call.attempts += 1
        self._to_submit.append(open_call)

    def _submit(self, threads: CallThreads[OpenCall]) -> None:
        submitted, self._to_submit = self._to_submit, []
        if not submitted:
            return
        is_alone = not self._executing and len(submitted) == 1
        if not self._executing:
            self._idle_seconds += time.perf_counter() - self._idle_since
        self._executing += len(submitted)
        if is_alone and self._is_inline and not self._delayed and self._deadline is None:
            # Nothing can happen meanwhile, and changing threads costs more than a short call.
            self._execute_call(submitted[0])
            return
        for open_call in submitted:
            threads.submit(open_call)
        for step_id in {open_call.call.step.id for open_call in submitted} - self._preloaded:
            self._preloaded.add(step_id)
            for node in self._prepared.dependents(step_id):
                node.engine.preload([node.loaded])

    def _preload_certain(self) -> None:
        """Make ready for the nodes that will be executed, whatever the cache has."""
        for step_id, step in self._prepared.plan.workflow.steps.items():
            node = self._prepared.nodes[step_id]
            if step.when is None and not self._lookup.may_find(step, node):
                node.engine.preload([node.loaded])

    def _execute_call(self, open_call: OpenCall) -> None:
        """Carry out a call in one of the threads, unless the run has come to its end meanwhile."""
        started = time.perf_counter()
        is_made = self._stop is None and not self._scheduler.is_stopping
        if is_made:
            outcome = self._make_call(open_call)
        else:
            outcome = CallFailedError(RunCancelledError("cancelled before it started"))
        self._events.put(_Ended(open_call, outcome, started, time.perf_counter(), is_made))

    def _make_call(self, open_call: OpenCall) -> CallOutcome | CallFailedError:
        call = open_call.call
        try:
            self._starts.note(call.id)
            return self._calls.execute(
                call,
                open_call.node,
                open_call.inputs,
                self._progress_of(call.step.id),
            )
        except CallFailedError as failure:
            return failure
        except StorageError as error:
            return CallFailedError(error)
        except Exception as error:  # noqa: BLE001 -- without an end the run would wait for ever
            message = f"{type(error).__name__}: {error}"
            return CallFailedError(InternalError(message, hint="please report this"))

    def _progress_of(self, step_id: str) -> Callable[[float, str], None]:
        """Hands progress on, but not more often than anybody could see."""
        last = 0.0

        def report(fraction: float, message: str) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last >= PROGRESS_INTERVAL_SECONDS or fraction >= 1.0:
                last = now
                self._events.put(
                    RunEvent("progress", step_id, self._now(), fraction=fraction, message=message)
                )

        return report

    def _finish(self, ended: _Ended) -> None:
        self._executing -= 1
        if not self._executing:
            self._idle_since = ended.ended
        open_call, outcome = ended.open_call, ended.outcome
        open_call.attempts -= not ended.is_made
        error = outcome.error if isinstance(outcome, CallFailedError) else None
        digest, code = open_call.node.registered.digest, error.code if error else None
        if ended.is_made:
            self._breaker.note(digest, code, ended.ended, open_call.call.id)
            open_call.in_flight = isinstance(error, _NOT_RETURNED)
        if error is not None and code in COUNTED:
            self._last_failures[digest] = f"{code}: {error.message}"
        open_call.started_seconds = ended.started - self._started
        seconds = ended.ended - ended.started
        if isinstance(outcome, CallFailedError):
            if not self._is_put_off(open_call, outcome):
                self._fail(open_call, outcome.error, outcome.detail, outcome.log, seconds)
            return
        if outcome.unrecorded:
            open_call.cache_key, open_call.cache_note = None, "parts of the result are not recorded"
        if open_call.cache_key is not None and self._lookup.has_changed(open_call.call.id):
            open_call.cache_key, open_call.cache_note = (
                None,
                "a file that went in changed meanwhile",
            )
        result = open_call.result(
            StepStatus.SUCCEEDED, outcome.recorded, seconds=seconds, log=outcome.log
        )
        self._has_artifacts |= self._recorder.end(result, handed_on=outcome.output)
        self._recorder.keep(result)
        self._end(open_call.call, result, outcome.output)

    def _is_put_off(self, open_call: OpenCall, failure: CallFailedError) -> bool:
        """Whether a failed call will be made again, and then when."""
        if self._stop is not None or self._scheduler.is_stopping:
            return False
        code, attempt = failure.error.code, open_call.attempts
        # Jitter spreads attempts over time and keeps no secret.
        delay = open_call.call.step.retry.delay_after(attempt, code, random.random())  # noqa: S311
        if delay is None:
            return False
        item = f" of {open_call.call.id}" if open_call.call.step.is_fan_out else ""
        line = (
            f"attempt {attempt}{item} failed with {code}, the next one follows in {delay:.2f} s:"
            f" {failure.error.message}"
        )
        open_call.log += f"{failure.log}{line}\n"
        self._delay(open_call, time.perf_counter() + delay)
        self._recorder.announce(
            RunEvent("retry", open_call.call.step.id, self._now(), message=line)
        )
        return True

    def _delay(self, open_call: OpenCall, until: float) -> None:
        self._delays += 1
        heapq.heappush(self._delayed, (until, self._delays, open_call))

    def _fail(
        self,
        open_call: OpenCall,
        error: OnexError,
        detail: str | None = None,
        log: str = "",
        seconds: float = 0.0,
    ) -> None:
        is_cancelled = isinstance(error, RunCancelledError)
        result = open_call.result(
            StepStatus.CANCELLED if is_cancelled else StepStatus.FAILED,
            error=StepError.of(error, detail).changed(self._calls.redaction.text),
            seconds=seconds,
            log=log,
        )
        self._recorder.end(result)
        self._end(open_call.call, result)

    def _end(self, call: Call, result: NodeExecutionResult, output: JsonValue = None) -> None:
        """Note the end of a call; it is journaled before anything that depends on it starts.

        ``output`` is what is handed on, if it is more than what is recorded.
        """
        step_id = call.step.id
        self._results.note_call(step_id, result)
        if self._scheduler.sees_timeline:
            self._scheduler.note_timing(
                {
                    "id": call.id,
                    "step": step_id,
                    "item": call.item,
                    "started_seconds": result.started_seconds,
                    "seconds": result.seconds,
                    "cached": result.cached,
                    "status": result.status.value,
                }
            )
        if call.step.is_fan_out:
            self._recorder.announce(RunEvent("call_ended", step_id, self._now(), result=result))
        recorded = result.output
        self._scheduler.finished(
            call, result.status, recorded if output is None else output, result.error, recorded
        )

    def _note_ended_steps(self) -> None:
        for end in self._scheduler.take_ended():
            now = self._now()
            result, is_new = self._results.end_step(self._shown(end), now)
            if is_new:
                # The outputs of a fan-out are recorded with its children.
                self._recorder.end(replace(result, output=None))
            self._recorder.announce(RunEvent("step_ended", end.step.id, now, result=result))

    def _shown(self, end: StepEnd) -> StepEnd:
        """How a step ended, without secrets in the words of its error."""
        if end.error is None or not self._calls.redaction:
            return end
        return replace(end, error=end.error.changed(self._calls.redaction.text))

    def _cancel_engines(self) -> None:
        for engine in self._engines.values():
            engine.cancel()

    def _drop_delayed(self) -> None:
        """Give up the calls that wait for another attempt."""
        while self._delayed:
            open_call = self._delayed.pop()[2]
            self._fail(
                open_call, RunCancelledError("cancelled while it waited for another attempt")
            )

    def _end_all(self) -> None:
        """End what runs, start nothing more, and take the ends of the calls that were running."""
        self._cancel_engines()
        self._scheduler.cancel()
        self._drop_delayed()
        while self._executing:
            self._take(self._events.get())
        self._note_ended_steps()
        self._recorder.write()

    def _now(self) -> float:
        return time.perf_counter() - self._started

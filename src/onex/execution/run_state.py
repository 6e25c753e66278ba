"""RunState: a run as a pure state machine, told what happened and when, answering what to do.

It has no threads, no clock, no journal and no engine. ``RunLoop`` has them, and drives it::

    while not isinstance(action := state.next(now), Done):
        match action:
            case LookUp(call):     state.looked_up(call, what goes in, and what is known of it)
            case Start(call):      begin an attempt; tell its end by state.returned(...)
            case Stop(call):       end an attempt whose time is over
            case StopAll():        end every attempt
            case Check(call, end): state.ended(call, the checked output or the failure)
            case Write(...):       store the entries, then announce the events
            case Wait(until):      until something happens, or that moment comes

What holds whatever is told, and is tested in simulated time on random workflows and faults:

- An attempt starts only when everything that it may rest on is written.
- At most ``room`` attempts run at once, and none starts once the run is to stop.
- A call is attempted as often as its retry policy allows, and not while its node rests.
- An event is announced only when everything before it is written.
- Every call that was taken up ends, every step reaches a final state, and the run is done.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from onex.domain.circuit_breaker import CircuitBreaker
from onex.domain.errors import (
    CircuitOpenError,
    LeftInFlightError,
    OnexError,
    RunCancelledError,
    RunTimeoutError,
    StepTimeoutError,
    WorkerDiedError,
)
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import (
    MAXIMUM_LOG_BYTES,
    CallEnd,
    CallFailure,
    CallOutcome,
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
    holds_unrecorded,
)
from onex.domain.retry import COUNTED
from onex.domain.workflow import Step, Workflow, step_of
from onex.execution.events import (
    CallEnded,
    Progressed,
    RetryScheduled,
    RunEvent,
    StepEnded,
    StepStarted,
)
from onex.execution.options import RunOptions
from onex.execution.run_actions import (
    Action,
    CallAttempts,
    CallFacts,
    Check,
    CheckedOutput,
    Done,
    Entry,
    LookUp,
    Start,
    StepNode,
    Stop,
    StopAll,
    Wait,
    Write,
)
from onex.execution.run_results import RunResults
from onex.execution.scheduler import Call, Scheduler

INLINE_BACKLOG = 128
"""So many inline calls may wait for a thread, since handing over one at a time takes longer than
a short call."""

GROUP_COMMIT_SECONDS = 0.002
MAXIMUM_GROUP_COMMIT_SECONDS = 0.05
MAXIMUM_ENTRIES = 1024
"""A write that nothing waits for is put off so long at least and at most, or until there are so
many entries, since a transaction takes longer than a short call."""
WRITES_APART = 4
"""It is put off so many times as long as the last one took, so that a run with a database that is
far away has time for other things."""

# The errors of calls whose nodes did not return, so that they may have had effects.
_NOT_RETURNED = (RunCancelledError, StepTimeoutError, WorkerDiedError)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a run begins with.

    ``nodes`` gives what must be known of the node of each step; ``urgency`` tells which of the
    ready steps starts first: the one with the most; ``earlier`` is what is recorded of a run
    that goes on, by the names of its calls.
    """

    run_id: str
    workflow: Workflow
    inputs: JsonObject
    nodes: Mapping[str, StepNode]
    urgency: Mapping[str, float] = field(default_factory=dict)
    earlier: Mapping[str, NodeExecutionResult] = field(default_factory=dict)


class RunState:
    """The state of one run. Moments are seconds of any one clock that does not go back."""

    def __init__(
        self,
        planned: PlannedRun,
        options: RunOptions,
        now: float,
        *,
        hide: Callable[[str], str] = lambda text: text,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """Begin a run.

        Args:
            planned: what runs.
            options: how.
            now: the moment.
            hide: takes secrets out of a text.
            chance: gives a number from 0 to 1, to spread retries over time.
        """
        workflow, nodes = planned.workflow, planned.nodes
        fail_fast = workflow.fail_fast if options.fail_fast is None else options.fail_fast
        self._workflow = workflow
        self._nodes = nodes
        self._options = options
        self._earlier = planned.earlier
        self._hide = hide
        self._chance = chance
        self._scheduler = Scheduler(
            workflow,
            planned.inputs,
            run_id=planned.run_id,
            fail_fast=fail_fast,
            urgency=planned.urgency,
        )
        self._results = RunResults(workflow, nodes, self._scheduler)
        self._run_id = planned.run_id
        self._breaker = CircuitBreaker(workflow.breaker)
        self._last_failures: dict[str, str] = {}
        self._is_inline = all(n.isolation is IsolationLevel.INLINE for n in nodes.values())
        self.room = options.jobs + (INLINE_BACKLOG if self._is_inline else 0)
        self._startable: deque[CallAttempts] = deque()
        self._delayed: list[tuple[float, int, CallAttempts]] = []
        self._delays = 0
        self._running: dict[str, CallAttempts] = {}
        self._returned: deque[tuple[CallAttempts, CallEnd, bool]] = deque()
        self._checking = 0
        self._entries: list[Entry] = []
        self._events: list[RunEvent] = []
        self._recorded = self._written = 0
        self._entries_at_end: dict[str, int] = {}
        self._write_by = now
        self._write_began: float | None = None
        self._write_seconds = 0.0
        # The time that a resumed run had used counts on.
        used = max(
            ((r.started_seconds or 0.0) + r.seconds for r in self._earlier.values()), default=0.0
        )
        self._started = now - used
        self._idle_since, self._idle_seconds = now, 0.0
        limit = workflow.timeout_seconds
        self._deadline = math.inf if limit is None else now + limit
        self._overdue_at = math.inf
        self._now = now
        self._stop: OnexError | None = None
        self._is_stopping = self._must_stop_all = False
        self._note_ended_steps()

    def why_uncached(self, step: Step) -> str | None:
        """Why no result of a step may come from the cache, in words; None if one may."""
        if not self._nodes[step.id].is_idempotent:
            return "the node is not marked idempotent"
        if not (self._options.use_cache and step.use_cache):
            return "the cache is turned off for this step"
        if step.refers_to_run:
            return "the inputs refer to this run itself"
        return None

    def is_over(self, now: float) -> bool:
        """Whether nothing more may start."""
        return self._is_stopping or now >= self._deadline

    def seconds_at(self, moment: float) -> float:
        """The time since the run began, and with it what an interrupted run had used before."""
        return moment - self._started

    # Events that happened

    def stop(self, reason: OnexError, now: float) -> None:
        """End the run before it is done."""
        self._now = max(self._now, now)
        if self._stop is None and not self._is_at_end:
            self._stop = reason
            self._begin_stopping()

    def announce(self, event: Progressed) -> None:
        """Tell those who watch of progress, after what happened before it."""
        if not self._scheduler.status[event.step_id].is_final:
            self._events.append(event)

    def looked_up(self, attempts: CallAttempts, found: CallFacts | OnexError) -> None:
        """Take what was found of a call."""
        call = attempts.call
        earlier = self._earlier.get(call.id)
        if self._is_stopping:
            found = RunCancelledError("cancelled before it started")
        if isinstance(found, OnexError):
            self._fail(attempts, found)
            return
        if found.earlier is not None:
            self._end(call, found.earlier, found.earlier.output)
            return
        attempts.inputs, attempts.input_digest = found.inputs, found.input_digest
        attempts.cache_note = self.why_uncached(call.step) or found.untracked
        attempts.cache_key = None if attempts.cache_note else found.cache_key
        is_left = earlier is not None and earlier.is_left_in_flight
        if is_left and not attempts.node.is_idempotent and not self._options.rerun_in_flight:
            self._fail(
                attempts,
                LeftInFlightError(
                    "the call had started when the run ended early, and may have had effects",
                    hint="look at what it did; --rerun-in-flight makes it again",
                ),
            )
            return
        cached = found.cached
        if cached is None or attempts.cache_key is None:
            self._startable.append(attempts)
            return
        result = self._result(attempts, StepStatus.SUCCEEDED, cached.output, runs=(cached.run_id,))
        self._record(Entry(result, cached.output, may_hold_artifacts=cached.has_artifacts))
        self._end(call, result, cached.output)

    def returned(
        self,
        attempts: CallAttempts,
        number: int,
        end: CallEnd,
        started: float,
        ended: float,
        *,
        is_made: bool = True,
    ) -> None:
        """Take the end of an attempt, which is still to be checked.

        Args:
            attempts: the call.
            number: which of its attempts, from 1.
            end: its outcome or its failure.
            started: when the node began.
            ended: when it came to its end.
            is_made: whether this counts as an attempt.
        """
        # An end that is told twice is heard once.
        if attempts.call.id not in self._running or attempts.attempts != number:
            return
        del self._running[attempts.call.id]
        if not self._running:
            self._idle_since = ended
        attempts.started_seconds = started - self._started
        attempts.seconds = ended - started
        attempts.attempts -= not is_made
        limit = attempts.step.timeout_seconds
        was_stopped = isinstance(end, CallFailure) and isinstance(end.error, RunCancelledError)
        if attempts.is_overdue and was_stopped:
            end = CallFailure(StepTimeoutError.after(limit), log=end.log)
        elif (
            isinstance(end, CallOutcome)
            and attempts.node.isolation is IsolationLevel.INLINE
            and attempts.seconds > limit
        ):
            error = StepTimeoutError(
                f"the node returned after its limit of {limit:g} s",
                hint="run it with --isolation process, where it is killed in time",
            )
            end = CallFailure(error, log=end.log)
        self._returned.append((attempts, end, is_made))

    def ended(self, attempts: CallAttempts, end: CheckedOutput | CallFailure, now: float) -> None:
        """Take the end of an attempt that was checked by now."""
        self._now = now
        self._checking -= 1
        if not self._running and not self._checking:
            # Storing artifacts is work of the call, too.
            self._idle_since = max(self._idle_since, now)
        if isinstance(end, CallFailure):
            self._end_failed(attempts, end)
            return
        self._breaker.note(attempts.node.digest, None, self._now, attempts.call.id)
        if end.uncached is not None and attempts.cache_key is not None:
            attempts.cache_key, attempts.cache_note = None, end.uncached
        result = self._result(attempts, StepStatus.SUCCEEDED, end.recorded, log=end.log)
        self._record(Entry(result, end.output, is_kept=attempts.cache_key is not None))
        self._end(attempts.call, result, end.output)

    # The next action

    def next(self, now: float) -> Action:
        """The next action at this moment; to be asked again when it is done."""
        self._now = now
        if self._write_began is not None:
            self._write_seconds, self._write_began = now - self._write_began, None
        if now >= self._deadline:
            limit = self._workflow.timeout_seconds
            self.stop(
                RunTimeoutError(
                    f"the run did not end within {limit:g} s",
                    hint="set a longer policy.timeout, or go on with onex run --resume",
                ),
                now,
            )
        if self._must_stop_all:
            self._must_stop_all = False
            return StopAll()
        overdue = self.next_overdue(now)
        if overdue is not None:
            return overdue
        if self._entries and (now >= self._write_by or len(self._entries) >= MAXIMUM_ENTRIES):
            return self._write()
        # What is ready starts before the check of an end, unless that may release more urgent
        # steps: checking takes time in which a worker would have nothing to do.
        if self._returned and (
            len(self._returned) > self._options.jobs
            or self._scheduler.may_release(self._returned[0][0].call)
        ):
            return self._next_check()
        if not self._is_stopping:
            action = self._next_start(now)
            if action is not None:
                return action
        if self._returned:
            return self._next_check()
        if self._entries or self._events:
            # What waits for the write starts after it; if nothing does, others may share it.
            if not self._entries or self._startable or not self._running:
                return self._write()
            return Wait(min(self._next_moment(), self._write_by))
        return Done() if self._is_at_end else Wait(self._next_moment())

    def next_overdue(self, now: float) -> Stop | None:
        """An attempt whose time is over and that was not stopped yet.

        To be asked, beside ``next``, in the course of a long ``LookUp``.
        """
        if now < self._overdue_at:
            return None
        for attempts in self._running.values():
            if now >= attempts.overdue_at and not attempts.is_overdue:
                attempts.is_overdue = True
                return Stop(attempts)
        self._overdue_at = min(
            (a.overdue_at for a in self._running.values() if not a.is_overdue), default=math.inf
        )
        return None

    def _next_start(self, now: float) -> Action | None:
        """The next lookup, start or write that fills a free slot; None if there is none."""
        while True:
            has_room = self._has_room
            if has_room and self._delayed and self._delayed[0][0] <= now:
                self._startable.append(heapq.heappop(self._delayed)[2])
                continue
            if has_room:
                if self._entries and self._is_slow_to_look_up(self._scheduler.next_step):
                    return self._write()
                call = self._scheduler.take_ready()
                if call is not None:
                    return self._take_up(call)
            if not self._startable or self._startable[0].rests_on > self._written:
                return None
            alone = self._is_alone
            if alone and (self._entries or self._events):
                return self._write()
            attempts = self._startable.popleft()
            if self._is_admitted(attempts, now):
                return self._start(attempts, now, alone=alone)

    def _take_up(self, call: Call) -> LookUp:
        step_id = call.step.id
        seconds = self._now - self._started
        if self._results.begin(step_id, seconds):
            size = self._scheduler.fan_out_size(step_id)
            self._events.append(StepStarted(step_id, seconds, size))
        attempts = CallAttempts(
            call, call.step, self._nodes[step_id], self._rests_on(call.step), seconds
        )
        earlier = self._earlier.get(call.id)
        if earlier is not None and (
            earlier.status is not StepStatus.SUCCEEDED or holds_unrecorded(earlier.output)
        ):
            earlier = None
        has_key = self.why_uncached(call.step) is None
        return LookUp(
            attempts, earlier, has_key, has_key and step_id not in self._options.refreshed
        )

    def _rests_on(self, step: Step) -> int:
        """How many entries must be written before a call of a step may start."""
        if step.refers_to_run:
            return self._recorded
        return max((self._entries_at_end.get(name, 0) for name in step.needs), default=0)

    @property
    def _has_room(self) -> bool:
        """Whether another call may be taken up; storing artifacts takes room, too."""
        return len(self._running) + len(self._startable) + self._checking < self.room

    def _is_slow_to_look_up(self, step: Step | None) -> bool:
        return step is not None and self._nodes[step.id].reads_files

    @property
    def _is_alone(self) -> bool:
        """Whether nothing could happen while the next attempt runs inline."""
        return (
            self._is_inline
            and not self._running
            and not self._returned
            and not self._checking
            and (len(self._startable) == 1 or self._options.jobs == 1)
            and not self._delayed
            and self._deadline == math.inf
        )

    def _is_admitted(self, attempts: CallAttempts, now: float) -> bool:
        """Whether the circuit breaker lets an attempt start; if not, put it off or end it."""
        digest = attempts.node.digest
        if self._breaker.admits(digest, now):
            return True
        if attempts.attempts < attempts.step.retry.attempts > 1:
            # Resting is not an attempt.
            self._delay(attempts, self._breaker.rests_until(digest, now))
            return False
        self._fail(
            attempts,
            CircuitOpenError(
                f"the calls of {attempts.node.identity} failed one after another, so it rests; the"
                f" last one said {self._last_failures.get(digest, 'nothing')}",
                hint="see the failures before; policy.breaker of the workflow sets the limits",
            ),
        )
        return False

    def _start(self, attempts: CallAttempts, now: float, *, alone: bool) -> Start:
        attempts.attempts += 1
        if not self._running:
            self._idle_seconds += now - self._idle_since
        self._running[attempts.call.id] = attempts
        if not attempts.node.is_timed and attempts.node.isolation is not IsolationLevel.INLINE:
            attempts.overdue_at = now + attempts.step.timeout_seconds
            self._overdue_at = min(self._overdue_at, attempts.overdue_at)
        return Start(attempts, alone)

    def _next_check(self) -> Check:
        attempts, end, is_made = self._returned.popleft()
        self._checking += 1
        error = end.error if isinstance(end, CallFailure) else None
        if is_made:
            attempts.in_flight = isinstance(error, _NOT_RETURNED)
        return Check(attempts, end)

    def _write(self) -> Write:
        action = Write(self._entries, self._events)
        self._entries, self._events = [], []
        self._written, self._write_began = self._recorded, self._now
        return action

    def _next_moment(self) -> float:
        moment = min(self._deadline if not self._is_stopping else math.inf, self._overdue_at)
        if self._delayed and self._has_room:
            moment = min(moment, self._delayed[0][0])
        return moment

    @property
    def _is_at_end(self) -> bool:
        return (
            self._scheduler.is_done
            and not self._running
            and not self._returned
            and not self._checking
        )

    # How calls end

    def _end_failed(self, attempts: CallAttempts, failure: CallFailure) -> None:
        error = self._step_error(failure.error, failure.detail)
        digest, code = attempts.node.digest, error.code
        if attempts.attempts:
            self._breaker.note(digest, code, self._now, attempts.call.id)
        if code in COUNTED:
            self._last_failures[digest] = f"{code}: {error.message}"
        if not self._schedule_retry(attempts, error, failure.log):
            self._end_without_output(attempts, error, failure.log)

    def _schedule_retry(self, attempts: CallAttempts, error: StepError, log: str) -> bool:
        """Schedule a retry if the step's policy allows one; returns whether it did."""
        if self._is_stopping:
            return False
        number, step = attempts.attempts, attempts.step
        delay = step.retry.delay_after(number, error.code, self._chance())
        if delay is None:
            return False
        item = f" of {attempts.call.id}" if step.is_fan_out else ""
        line = (
            f"attempt {number}{item} failed with {error.code}, the next one follows in"
            f" {delay:.2f} s: {error.message}"
        )
        attempts.log += f"{log}{line}\n"
        self._delay(attempts, self._now + delay)
        self._events.append(RetryScheduled(step.id, self._now - self._started, line))
        return True

    def _delay(self, attempts: CallAttempts, until: float) -> None:
        self._delays += 1
        attempts.overdue_at, attempts.is_overdue = math.inf, False
        heapq.heappush(self._delayed, (until, self._delays, attempts))

    def _fail(self, attempts: CallAttempts, error: OnexError) -> None:
        """Fail a call without an attempt."""
        attempts.seconds = 0.0
        self._end_without_output(attempts, self._step_error(error))

    def _end_without_output(self, attempts: CallAttempts, error: StepError, log: str = "") -> None:
        is_cancelled = error.code == RunCancelledError.code
        status = StepStatus.CANCELLED if is_cancelled else StepStatus.FAILED
        result = self._result(attempts, status, error=error, log=log)
        self._record(Entry(result, None))
        self._end(attempts.call, result, None)

    def _step_error(self, error: OnexError, detail: str | None = None) -> StepError:
        return StepError.of(error, detail).changed(self._hide)

    def _result(
        self,
        attempts: CallAttempts,
        status: StepStatus,
        output: JsonValue = None,
        error: StepError | None = None,
        *,
        runs: tuple[str, ...] = (),
        log: str = "",
    ) -> NodeExecutionResult:
        """The result of a call as it stands; ``log`` follows that of earlier attempts."""
        return NodeExecutionResult(
            step_id=attempts.call.id,
            node=attempts.node.identity,
            status=status,
            output=output,
            error=error,
            started_seconds=attempts.started_seconds,
            seconds=attempts.seconds,
            attempts=attempts.attempts,
            cached_runs=runs,
            cache_note=attempts.cache_note,
            isolation=attempts.node.isolation if attempts.attempts else None,
            log=(attempts.log + log)[-MAXIMUM_LOG_BYTES:] if attempts.log else log,
            input_digest=attempts.input_digest,
            cache_key=attempts.cache_key,
            in_flight=attempts.in_flight and status is not StepStatus.SUCCEEDED,
        )

    def _record(self, entry: Entry) -> None:
        if not self._entries:
            apart = max(GROUP_COMMIT_SECONDS, WRITES_APART * self._write_seconds)
            self._write_by = self._now + min(apart, MAXIMUM_GROUP_COMMIT_SECONDS)
        if entry.is_call and not self._nodes[step_of(entry.result.step_id)].is_idempotent:
            # If the run were killed, nobody would know whether the call had its effects.
            self._write_by = min(self._write_by, self._now + GROUP_COMMIT_SECONDS)
        self._entries.append(entry)
        self._recorded += 1

    def _end(self, call: Call, result: NodeExecutionResult, output: JsonValue) -> None:
        """Report the end of a call to the scheduler; ``output`` is what its dependents receive."""
        step_id = call.step.id
        self._results.add(step_id, result)
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
            self._events.append(CallEnded(step_id, self._now - self._started, result))
        self._scheduler.finished(call, result.status, output, result.error, result.output)
        self._note_ended_steps()
        if self._scheduler.is_stopping:
            self._begin_stopping()

    def _note_ended_steps(self) -> None:
        for end in self._scheduler.take_ended():
            seconds = self._now - self._started
            error = None if end.error is None else end.error.changed(self._hide)
            result, is_new = self._results.end_step(end, error, seconds)
            if is_new:
                # The outputs of a fan-out step are recorded with its children.
                self._record(Entry(replace(result, output=None), None, is_call=False))
            self._entries_at_end[end.step.id] = self._recorded
            self._events.append(StepEnded(end.step.id, seconds, result))

    def _begin_stopping(self) -> None:
        """Start nothing more: what has not started is cancelled, what runs is to be stopped."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._must_stop_all = bool(self._running)
        self._scheduler.cancel()
        waiting = [
            *((attempts, "it started") for attempts in self._startable),
            *((attempts, "another attempt") for _, _, attempts in sorted(self._delayed)),
        ]
        self._startable.clear()
        self._delayed.clear()
        for attempts, what in waiting:
            self._fail(attempts, RunCancelledError(f"cancelled before {what}"))
        self._note_ended_steps()

    # How the run ends

    def result(self, now: float) -> RunResult:
        """The result of the run, which is done."""
        idle = self._idle_seconds + now - self._idle_since
        stopped = None if self._stop is None else StepError.of(self._stop)
        result = self._results.run_result(self._run_id, now - self._started, idle, stopped)
        if result.error is not None:
            result = replace(result, error=result.error.changed(self._hide))
        if isinstance(self._stop, RunCancelledError):
            result = replace(result, status=RunStatus.CANCELLED)
        return result

    @property
    def results(self) -> RunResults:
        """The results so far."""
        return self._results

"""RunLoop: drives a run. It has the clock, the engines and the journal, and decides nothing.

``RunState`` says what to do; one thread does it, and waits for everything at once: workers,
programs, inline threads, signals and moments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from onex.domain.artifact_records import artifacts_in, marked_in
from onex.domain.errors import InternalError, OnexError, RunCancelledError, StepTimeoutError
from onex.domain.json_value import writable
from onex.domain.result import CallEnd, CallFailure, CallOutcome, RunResult
from onex.engines.selection import Engines
from onex.execution.cache_lookup import CacheLookup
from onex.execution.call import CallBoundary
from onex.execution.events import Observer, Progressed, Warned
from onex.execution.preparation import PreparedNode, PreparedPlan
from onex.execution.recorder import RunRecorder
from onex.execution.run_actions import (
    CallAttempts,
    CallFacts,
    Check,
    CheckedOutput,
    Done,
    LookUp,
    Start,
    Stop,
    StopAll,
    Wait,
    Write,
)
from onex.execution.run_state import RunState
from onex.execution.run_telemetry import RunTelemetry
from onex.execution.scheduler import Call
from onex.history.journal import RunJournal

PROGRESS_INTERVAL_SECONDS = 0.05
LOOK_SECONDS = 0.01
"""How long the loop may act without looking at what has come in."""


class RunLoop:
    """One run while it lasts."""

    def __init__(
        self,
        prepared: PreparedPlan,
        state: RunState,
        boundary: CallBoundary,
        journal: RunJournal,
        observer: Observer,
        engines: Engines,
        lookup: CacheLookup,
        telemetry: RunTelemetry,
    ) -> None:
        self._prepared = prepared
        self._state = state
        self._boundary = boundary
        self._journal = journal
        self._observer = observer
        self._reactor = engines.host.reactor
        self._engines = engines
        self._lookup = lookup
        self._telemetry = telemetry
        self._recorder = RunRecorder(journal, observer, telemetry)
        repeatable = {name for name, node in prepared.nodes.items() if node.facts.is_idempotent}
        self._starts = journal.start_log(boundary.run_id, repeatable)
        self._folders: dict[str, str] = {}
        self._preloaded: set[str] = set()
        self._reported: dict[str, float] = {}
        self._reported_full: set[str] = set()
        self._looked = 0.0
        self._storing: ThreadPoolExecutor | None = None

    def request_cancel(self) -> None:
        """Ask for the end of the run; safe to call from a signal handler."""
        reason = RunCancelledError(
            "the run was cancelled", hint="onex run --resume goes on; finished steps are kept"
        )
        self._reactor.post(lambda: self._state.stop(reason, time.perf_counter()))

    def run(self) -> RunResult:
        """Run to the end, whatever that is; raises StorageError if the journal fails."""
        state, clock = self._state, time.perf_counter
        try:
            self._preload_certain()
            while True:
                now = clock()
                self._look(now)
                match state.next(now):
                    case LookUp() as wanted:
                        state.looked_up(wanted.attempts, self._look_up(wanted))
                    case Start() as start:
                        self._start(start.attempts, alone=start.alone)
                    case Check() as check:
                        self._check(check.attempts, check.end, now)
                    case Write() as batch:
                        self._recorder.write(batch)
                    case Wait(until):
                        self._reactor.wait(self._telemetry.tell_logs(now, until))
                        self._looked = clock()
                    case Stop(attempts):
                        self._stop(attempts)
                    case StopAll():
                        self._engines.cancel()
                    case Done():
                        break
        except BaseException:
            self._engines.cancel()
            raise
        finally:
            if self._storing is not None:
                self._storing.shutdown()
            self._starts.close()
            self._telemetry.close()
        result = self._with_outputs_here(state.result(clock()))
        measured = self._telemetry.finished(result)
        self._journal.finish(result, state.results.timings(), measured)
        self._starts.remove()
        return result

    def _with_outputs_here(self, result: RunResult) -> RunResult:
        """Fetch the artifacts among the outputs of the run that lie with other machines until now.

        What cannot be had now is fetched when somebody asks for it.
        """
        if self._engines.store is None or not any(artifacts_in(result.outputs)):
            return result
        for record in artifacts_in(result.outputs):
            try:
                self._boundary.artifacts.bring(record)
            except OnexError as error:
                self._observer(Warned(f"{record['name']} was not fetched: {error.message}"))
        return result

    def _look(self, now: float) -> None:
        """Take in what has come by now, which counts before any limit does."""
        if self._reactor.has_posted or now - self._looked > LOOK_SECONDS:
            self._reactor.wait(now)
            self._looked = time.perf_counter()

    def _stop(self, attempts: CallAttempts) -> None:
        self._reactor.wait(time.perf_counter())
        self._node_of(attempts).engine.stop(attempts.call.id)

    def _node_of(self, attempts: CallAttempts) -> PreparedNode:
        return self._prepared.nodes[attempts.step.id]

    def _look_up(self, wanted: LookUp) -> CallFacts | OnexError:
        node = self._node_of(wanted.attempts)
        try:
            if not (node.paths or self._boundary.artifacts.is_shared):
                return self._lookup.facts_of(wanted, node)
            return self._lookup.facts_of(wanted, node, self._reading_limit(wanted.attempts))
        except OnexError as error:
            return error

    def _reading_limit(self, attempts: CallAttempts) -> Callable[[], None]:
        """Make a callback that raises if the reading of a call's files must stop."""
        seconds = attempts.step.timeout_seconds
        until = time.perf_counter() + seconds

        def go_on() -> None:
            now = time.perf_counter()
            self._look(now)
            while (overdue := self._state.next_overdue(now)) is not None:
                self._stop(overdue.attempts)
            if self._state.is_over(now):
                raise RunCancelledError("cancelled before it started")
            if now > until:
                raise StepTimeoutError(
                    f"reading what goes in took longer than {seconds:g} s",
                    hint="set a longer timeout on the step, or hand over fewer files",
                )

        return go_on

    def _start(self, attempts: CallAttempts, *, alone: bool) -> None:
        node, call_id = self._node_of(attempts), attempts.call.id
        call = self._boundary.outgoing(
            attempts,
            node,
            self._starts.note,
            partial(self._report, attempts.call),
            partial(self._state.returned, attempts, attempts.attempts),
            alone=alone,
            on_log=partial(self._telemetry.printing, call_id),
            traceparent=self._telemetry.started(call_id),
        )
        self._folders[call_id] = call.context.workdir
        try:
            node.engine.start(call)
        except Exception as error:  # noqa: BLE001 - without an end the run would wait for ever
            call.fail(InternalError(f"{type(error).__name__}: {error}", hint="please report this"))
        if attempts.step.id not in self._preloaded:
            self._preloaded.add(attempts.step.id)
            for dependent in self._prepared.dependents(attempts.step.id):
                dependent.engine.preload(dependent.loaded)

    def _preload_certain(self) -> None:
        """Make ready for the nodes that will be executed, whatever the cache has."""
        for step_id, step in self._prepared.plan.workflow.steps.items():
            if step.when is None and self._state.why_uncached(step) is not None:
                node = self._prepared.nodes[step_id]
                node.engine.preload(node.loaded)

    def _report(self, call: Call, fraction: float, message: str) -> None:
        """Hand progress on to the loop's thread, but not more often than anybody could see."""
        now = time.perf_counter()
        last = self._reported.get(call.id, 0.0)
        is_full = fraction >= 1.0 and call.id not in self._reported_full
        if now - last >= PROGRESS_INTERVAL_SECONDS or is_full:
            self._reported[call.id] = now
            if is_full:
                self._reported_full.add(call.id)
            told = self._boundary.redaction.text(writable(message))
            event = Progressed(call.step.id, self._state.seconds_at(now), fraction, told)
            self._reactor.post(partial(self._state.announce, event))

    def _check(self, attempts: CallAttempts, end: CallEnd, now: float) -> None:
        if not (isinstance(end, CallOutcome) and any(marked_in(end.output))):
            self._state.ended(attempts, self._checked(attempts, end), now)
            return
        self._lookup.note_artifacts()
        if self._storing is None:
            # Storing artifacts takes time and waits for the disk, so it is done beside the loop.
            self._storing = ThreadPoolExecutor(self._engines.host.jobs, "onex-storing")

        def store() -> None:
            checked = self._checked(attempts, end)
            self._reactor.post(lambda: self._state.ended(attempts, checked, time.perf_counter()))

        self._storing.submit(store)

    def _checked(self, attempts: CallAttempts, end: CallEnd) -> CheckedOutput | CallFailure:
        checked = self._check_end(attempts, end)
        node, error = self._node_of(attempts).facts.identity, None
        if isinstance(checked, CallFailure):
            error = checked.error
            self._telemetry.failed(node, checked)
        self._telemetry.ended(attempts.step.id, node, attempts.call.id, error)
        return checked

    def _check_end(self, attempts: CallAttempts, end: CallEnd) -> CheckedOutput | CallFailure:
        workdir = self._folders.pop(attempts.call.id)
        self._reported.pop(attempts.call.id, None)
        self._reported_full.discard(attempts.call.id)
        try:
            checked = self._boundary.incoming(self._node_of(attempts), end, workdir)
            if isinstance(checked, CheckedOutput) and attempts.cache_key is not None:
                reason = self._lookup.why_not_kept(attempts, checked.output)
                if reason is not None:
                    return replace(checked, uncached=reason)
        except Exception as error:  # noqa: BLE001 - without an end the run would wait for ever
            message = f"{type(error).__name__}: {error}"
            return CallFailure(InternalError(message, hint="please report this"), log=end.log)
        return checked

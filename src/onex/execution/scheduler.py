"""Scheduler: which steps may start, and what follows when one ends.

A pure state machine: it is told what happened and says what may happen next. It
starts nothing, waits for nothing and knows no clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onex.domain.errors import ReferenceValueError, RunCancelledError, StepSkippedError
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.result import NOT_RECORDED, StepError, StepStatus
from onex.domain.template import Reference, descend, render
from onex.domain.workflow import Step, Workflow, child_id, index_of

MAXIMUM_FAN_OUT = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make now: a step, or one child of a fan-out step, with its inputs.

    ``item`` is the child's item of the list.
    """

    id: str
    step: Step
    inputs: JsonObject
    item: JsonValue = None


@dataclass(frozen=True, slots=True)
class StepEnd:
    """A step that reached its final state, with its recorded output or its error."""

    step: Step
    status: StepStatus
    output: JsonValue = None
    error: StepError | None = None


@dataclass(slots=True)
class _FanOut:
    outputs: list[JsonValue]
    recorded: list[JsonValue]
    open_children: int
    unsuccessful: list[str] = field(default_factory=list)
    first_error: StepError | None = None
    failed: int = 0

    def note_failure(self, call_id: str, status: StepStatus, error: StepError | None) -> None:
        self.unsuccessful.append(call_id)
        if status is StepStatus.FAILED:
            self.failed += 1
            self.first_error = self.first_error or error


class Scheduler:
    """The state of one run.

    Ask ``take_ready`` for calls, report each one's end by ``finished``, and read
    the steps that ended from ``take_ended``, until ``is_done``.
    """

    def __init__(
        self,
        workflow: Workflow,
        inputs: JsonObject,
        *,
        run_id: str,
        fail_fast: bool,
        urgency: Mapping[str, float] | None = None,
    ) -> None:
        """``urgency`` tells which of the ready steps starts first: the one with the most."""
        self._workflow = workflow
        self._urgency = urgency or {}
        self._inputs = inputs
        self._run_id = run_id
        self._fail_fast = fail_fast
        self._status = dict.fromkeys(workflow.steps, StepStatus.PENDING)
        self._outputs: dict[str, JsonValue] = {}
        self._recorded: dict[str, JsonValue] = {}
        self._waiting = {step.id: set(step.needs) for step in workflow.steps.values()}
        self._dependents = workflow.dependents()
        self._sees_timeline = any(
            reference.parts[:2] == ("run", "timeline")
            for step in workflow.steps.values()
            if step.refers_to_run
            for reference in step.references()
        )
        self._fan_outs: dict[str, _FanOut] = {}
        self._timeline: list[JsonValue] = []
        self._ready: list[tuple[float, int, Call]] = []
        self._queued_calls = 0
        self._ended: deque[StepEnd] = deque()
        self._open_calls = 0
        self._is_stopping = False
        self._startable = deque(s for s in workflow.steps.values() if not self._waiting[s.id])
        self._start_startable()

    @property
    def is_done(self) -> bool:
        """Whether every step reached its final state."""
        return not self._ready and not self._open_calls

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more will start, and what still runs should be ended."""
        return self._is_stopping

    @property
    def status(self) -> Mapping[str, StepStatus]:
        """The state of every step."""
        return self._status

    def take_ready(self) -> Call | None:
        """The most urgent call that may start now, to be reported by ``finished``."""
        if not self._ready:
            return None
        self._open_calls += 1
        return heapq.heappop(self._ready)[2]

    @property
    def next_step(self) -> Step | None:
        """The step of the call that ``take_ready`` would give."""
        return self._ready[0][2].step if self._ready else None

    def may_release(self, call: Call) -> bool:
        """Whether other steps may become ready by the end of a call."""
        step_id = call.step.id
        if step_id not in self._dependents:
            return False
        fan_out = self._fan_outs.get(step_id)
        return fan_out is None or fan_out.open_children == 1

    def take_ended(self) -> Iterator[StepEnd]:
        """The steps that ended since the last time, each once."""
        while self._ended:
            yield self._ended.popleft()

    def fan_out_size(self, step_id: str) -> int | None:
        """The number of children of a fan-out step that has started, else None."""
        fan_out = self._fan_outs.get(step_id)
        return None if fan_out is None else len(fan_out.outputs)

    @property
    def sees_timeline(self) -> bool:
        """Whether any step refers to ``run.timeline``."""
        return self._sees_timeline

    def note_timing(self, record: JsonObject) -> None:
        """Add an entry to what ``run.timeline`` refers to."""
        self._timeline.append(record)

    def finished(
        self,
        call: Call,
        status: StepStatus,
        output: JsonValue,
        error: StepError | None,
        recorded: JsonValue,
    ) -> None:
        """Report how a call that was taken ended.

        ``output`` is what it hands on; ``recorded`` the same without what must not be recorded.
        """
        self._open_calls -= 1
        step = call.step
        if not step.is_fan_out:
            self._recorded[step.id] = recorded
            self._end(step, status, output, error)
            self._start_startable()
            return
        fan_out = self._fan_outs[step.id]
        if status is StepStatus.SUCCEEDED:
            fan_out.outputs[index_of(call.id)] = output
            fan_out.recorded[index_of(call.id)] = recorded
        else:
            fan_out.note_failure(call.id, status, error)
            if self._fail_fast:
                self.cancel()
        fan_out.open_children -= 1
        if not fan_out.open_children:
            self._end_fan_out(step, fan_out)
        self._start_startable()

    def cancel(self) -> None:
        """Start nothing more: whatever has not started is cancelled."""
        self._is_stopping = True
        waiting = [call for _, _, call in self._ready]
        self._ready.clear()
        for call in waiting:
            if call.step.is_fan_out:
                fan_out = self._fan_outs[call.step.id]
                fan_out.note_failure(call.id, StepStatus.CANCELLED, None)
                fan_out.open_children -= 1
                if not fan_out.open_children:
                    self._end_fan_out(call.step, fan_out)
            elif not self._status[call.step.id].is_final:
                self._settle(call.step, StepStatus.CANCELLED)
        for step in self._workflow.steps.values():
            if self._status[step.id] is StepStatus.PENDING:
                self._settle(step, StepStatus.CANCELLED)

    def outputs(self) -> JsonObject:
        """The workflow's outputs; raises ReferenceValueError if a part is missing."""
        return as_object(self._render_outputs(self._workflow.outputs))

    def available_outputs(self) -> JsonObject:
        """Those of the workflow's outputs that can be had after a failure."""
        available: dict[str, JsonValue] = {}
        for name, template in self._workflow.outputs.items():
            try:
                available[name] = self._render_outputs(template)
            except ReferenceValueError:
                continue
        return available

    def _start_startable(self) -> None:
        """Start the steps whose needs are met; a step that ends at once may release others."""
        while self._startable:
            step = self._startable.popleft()
            if self._status[step.id] is StepStatus.PENDING:
                self._start(step)

    def _start(self, step: Step) -> None:
        """A step whose needs are all met: queue its call, or its children, or end it."""
        self._status[step.id] = StepStatus.RUNNING
        try:
            if step.when is not None and not self._render(step.when, None):
                self._end(step, StepStatus.SKIPPED)
            elif step.is_fan_out:
                self._start_fan_out(step)
            else:
                self._queue(self._call(step.id, step, None))
        except ReferenceValueError as error:
            self._end(step, StepStatus.FAILED, error=StepError.of(error))

    def _start_fan_out(self, step: Step) -> None:
        items = self._render(step.foreach, None)
        if isinstance(items, str) or not isinstance(items, Sequence):
            raise ReferenceValueError(
                f"foreach of {step.id} is not a list", hint="refer to a result that is a list"
            )
        if len(items) > MAXIMUM_FAN_OUT:
            raise ReferenceValueError(
                f"foreach of {step.id} has {len(items)} items",
                hint=f"pass at most {MAXIMUM_FAN_OUT} items, in groups if need be",
            )
        calls = [self._call(child_id(step.id, i), step, item) for i, item in enumerate(items)]
        size = len(calls)
        self._fan_outs[step.id] = _FanOut([None] * size, [None] * size, size)
        for call in calls:
            self._queue(call)
        if not calls:
            self._recorded[step.id] = []
            self._end(step, StepStatus.SUCCEEDED, [])

    def _queue(self, call: Call) -> None:
        self._queued_calls += 1
        urgency = self._urgency.get(call.step.id, 0.0)
        heapq.heappush(self._ready, (-urgency, self._queued_calls, call))

    def _call(self, call_id: str, step: Step, item: JsonValue) -> Call:
        inputs = as_object(self._render(step.arguments, item)) if step.arguments else {}
        return Call(call_id, step, inputs, item)

    def _render_outputs(self, template: JsonValue) -> JsonValue:
        """What of the workflow's outputs is recorded and shown."""
        succeeded = {name: self._recorded[name] for name in self._outputs}
        return self._render(template, None, succeeded)

    def _render(
        self,
        template: JsonValue,
        item: JsonValue,
        outputs: Mapping[str, JsonValue] | None = None,
    ) -> JsonValue:
        def look_up(reference: Reference) -> JsonValue:
            try:
                value = self._value(reference.root, item)
                if outputs is not None and reference.root == "steps":
                    return descend(outputs, reference.parts[1:], missing=NOT_RECORDED)
                return descend(value, reference.parts[1:])
            except LookupError as error:
                raise ReferenceValueError(
                    f"{reference} has no value: {error.args[0]}",
                    hint="compare the reference with what the step returned",
                ) from error

        return render(template, look_up)

    def _value(self, root: str, item: JsonValue) -> JsonValue:
        match root:
            case "inputs":
                return self._inputs
            case "steps":
                return self._outputs
            case "run":
                return {"id": self._run_id, "timeline": list(self._timeline)}
            case _:
                return item

    def _end_fan_out(self, step: Step, fan_out: _FanOut) -> None:
        if not fan_out.unsuccessful:
            self._recorded[step.id] = fan_out.recorded
            self._end(step, StepStatus.SUCCEEDED, fan_out.outputs)
            return
        shown = ", ".join(sorted(fan_out.unsuccessful, key=index_of)[:5])
        more = " and more" if len(fan_out.unsuccessful) > 5 else ""
        cause = fan_out.first_error
        counts = [
            f"{count} {words}"
            for count, words in (
                (fan_out.failed, "failed"),
                (len(fan_out.unsuccessful) - fan_out.failed, "were cancelled"),
            )
            if count
        ]
        summary = StepError(
            cause.code if cause else RunCancelledError.code,
            f"of {len(fan_out.outputs)} calls {' and '.join(counts)} ({shown}{more})"
            + (f"; the first that failed said: {cause.message}" if cause else ""),
            cause.hint if cause else None,
        )
        status = StepStatus.FAILED if fan_out.failed else StepStatus.CANCELLED
        self._end(step, status, error=summary)

    def _end(
        self,
        step: Step,
        status: StepStatus,
        output: JsonValue = None,
        error: StepError | None = None,
    ) -> None:
        self._settle(step, status, output, error)
        if status is StepStatus.SUCCEEDED:
            self._release_dependents(step)
        elif self._fail_fast and status is StepStatus.FAILED:
            self.cancel()
        else:
            self._skip_dependents(step)

    def _settle(
        self,
        step: Step,
        status: StepStatus,
        output: JsonValue = None,
        error: StepError | None = None,
    ) -> None:
        self._status[step.id] = status
        if status is StepStatus.SUCCEEDED:
            self._outputs[step.id] = output
        shown = self._recorded.get(step.id) if status is StepStatus.SUCCEEDED else None
        self._ended.append(StepEnd(step, status, shown, error))

    def _release_dependents(self, step: Step) -> None:
        for dependent in self._dependents.get(step.id, ()):
            self._waiting[dependent].discard(step.id)
            if not self._waiting[dependent] and self._status[dependent] is StepStatus.PENDING:
                self._startable.append(self._workflow.steps[dependent])

    def _skip_dependents(self, step: Step) -> None:
        """Skip everything that depends on a step that gave no result."""
        pending = [step.id]
        while pending:
            needed = pending.pop()
            for dependent in self._dependents.get(needed, ()):
                if self._status[dependent] is StepStatus.PENDING:
                    reason = StepError(
                        StepSkippedError.code,
                        f"the step needs {needed}, which {self._status[needed]}",
                    )
                    self._settle(self._workflow.steps[dependent], StepStatus.SKIPPED, error=reason)
                    pending.append(dependent)

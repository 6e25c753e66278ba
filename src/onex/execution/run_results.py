"""RunResults: what the calls of a run gave, put together for its steps and for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from onex.domain.errors import ReferenceValueError
from onex.domain.json_value import JsonObject
from onex.domain.result import (
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
)
from onex.domain.workflow import child_id
from onex.execution.preparation import PreparedPlan
from onex.execution.scheduler import Scheduler, StepEnd
from onex.history.journal import Timing

SEVERAL_RUNS = "several runs"


@dataclass(slots=True)
class _StepFacts:
    first_start: float | None = None
    calls: int = 0
    attempts: int = 0
    cached_from: dict[str, int] = field(default_factory=dict)
    first_note: str | None = None
    isolation: IsolationLevel | None = None
    executed_calls: int = 0
    executed_seconds: float = 0.0


class RunResults:
    """Collects the results of calls in the order in which they end."""

    def __init__(self, prepared: PreparedPlan, scheduler: Scheduler) -> None:
        self._prepared = prepared
        self._scheduler = scheduler
        self._facts = {name: _StepFacts() for name in prepared.plan.workflow.steps}
        self._results: dict[str, NodeExecutionResult] = {}

    def note_start(self, step_id: str, now: float) -> bool:
        """Whether this is the first call of a step."""
        facts = self._facts[step_id]
        if facts.first_start is not None:
            return False
        facts.first_start = now
        return True

    def note_call(self, step_id: str, result: NodeExecutionResult) -> None:
        """Take the end of a call."""
        self._results[result.step_id] = result
        facts = self._facts[step_id]
        facts.calls += 1
        facts.attempts = max(facts.attempts, result.attempts)
        facts.first_note = facts.first_note or result.cache_note
        if result.cached_from is not None:
            facts.cached_from[result.cached_from] = facts.cached_from.get(result.cached_from, 0) + 1
        if result.isolation is not None:
            facts.isolation = result.isolation
            if result.status is StepStatus.SUCCEEDED:
                facts.executed_calls += 1
                facts.executed_seconds += result.seconds

    def end_step(self, end: StepEnd, now: float) -> tuple[NodeExecutionResult, bool]:
        """The result of a step that ended, and whether it is more than that of its only call."""
        known = self._results.get(end.step.id)
        if known is not None:
            return known, False
        facts = self._facts[end.step.id]
        started = facts.first_start
        is_cached = facts.calls > 0 and sum(facts.cached_from.values()) == facts.calls
        sources = list(facts.cached_from)
        result = NodeExecutionResult(
            end.step.id,
            self._prepared.nodes[end.step.id].identity,
            end.status,
            end.output,
            end.error,
            started_seconds=started,
            seconds=now - started if started is not None else 0.0,
            attempts=facts.attempts,
            cached_from=(sources[0] if len(sources) == 1 else SEVERAL_RUNS) if is_cached else None,
            cache_note=facts.first_note,
            isolation=facts.isolation,
        )
        self._results[end.step.id] = result
        return result, True

    def timings(self) -> Iterator[Timing]:
        """What the executed calls of each step took."""
        for step_id, facts in self._facts.items():
            if facts.executed_calls:
                digest = self._prepared.nodes[step_id].registered.digest
                yield Timing(step_id, digest, facts.executed_calls, facts.executed_seconds)

    def in_order(self) -> Iterator[tuple[str, NodeExecutionResult]]:
        """Results by step as the workflow lists them, each followed by its children."""
        for step_id in self._prepared.plan.workflow.steps:
            if step_id in self._results:
                yield step_id, self._results[step_id]
            for index in range(self._scheduler.fan_out_size(step_id) or 0):
                child = child_id(step_id, index)
                if child in self._results:
                    yield child, self._results[child]

    def run_result(
        self, run_id: str, seconds: float, idle_seconds: float, stopped: StepError | None
    ) -> RunResult:
        """The outcome of the run; ``stopped`` is why it was ended before it was done, if it was."""
        statuses = set(self._scheduler.status.values())
        error = stopped
        outputs: JsonObject
        if stopped is not None or statuses & {StepStatus.FAILED, StepStatus.CANCELLED}:
            status, outputs = RunStatus.FAILED, self._scheduler.available_outputs()
        else:
            status = RunStatus.SUCCEEDED
            try:
                outputs = self._outputs_of_success(statuses)
            except ReferenceValueError as problem:
                status, outputs = RunStatus.FAILED, self._scheduler.available_outputs()
                error = StepError.of(problem)
        name = self._prepared.plan.workflow.name
        steps = dict(self.in_order())
        return RunResult(run_id, name, status, outputs, steps, seconds, idle_seconds, error)

    def _outputs_of_success(self, statuses: set[StepStatus]) -> JsonObject:
        if StepStatus.SKIPPED in statuses:
            return self._scheduler.available_outputs()
        return self._scheduler.outputs()

"""RunResults: aggregates the results of calls to those of steps and of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    Timing,
)
from onex.domain.workflow import Workflow, child_id
from onex.execution.run_actions import StepNode
from onex.execution.scheduler import Scheduler, StepEnd


@dataclass(slots=True)
class _StepFacts:
    first_start: float | None = None
    calls: int = 0
    attempts: int = 0
    cached_calls: int = 0
    cached_runs: dict[str, None] = field(default_factory=dict)
    first_note: str | None = None
    isolation: IsolationLevel | None = None
    executed_calls: int = 0
    executed_seconds: float = 0.0


class RunResults:
    """Collects the results of calls in the order in which they end."""

    def __init__(
        self, workflow: Workflow, nodes: Mapping[str, StepNode], scheduler: Scheduler
    ) -> None:
        """``nodes`` gives the node of each step."""
        self._workflow = workflow
        self._nodes = nodes
        self._scheduler = scheduler
        self._facts = {name: _StepFacts() for name in workflow.steps}
        self._results: dict[str, NodeExecutionResult] = {}

    def begin(self, step_id: str, now: float) -> bool:
        """Take the start of a call; returns whether it is the first of its step."""
        facts = self._facts[step_id]
        if facts.first_start is not None:
            return False
        facts.first_start = now
        return True

    def add(self, step_id: str, result: NodeExecutionResult) -> None:
        """Take the end of a call."""
        self._results[result.step_id] = result
        facts = self._facts[step_id]
        facts.calls += 1
        facts.attempts = max(facts.attempts, result.attempts)
        facts.first_note = facts.first_note or result.cache_note
        if result.cached_runs:
            facts.cached_calls += 1
            facts.cached_runs.update(dict.fromkeys(result.cached_runs))
        if result.isolation is not None:
            facts.isolation = result.isolation
            if result.status is StepStatus.SUCCEEDED:
                facts.executed_calls += 1
                facts.executed_seconds += result.seconds

    def end_step(
        self, end: StepEnd, error: StepError | None, now: float
    ) -> tuple[NodeExecutionResult, bool]:
        """The result of an ended step, and whether it is a record of its own, as for a fan-out.

        ``error`` is what is shown of its error.
        """
        known = self._results.get(end.step.id)
        if known is not None:
            return known, False
        facts = self._facts[end.step.id]
        started = facts.first_start
        is_cached = facts.cached_calls == facts.calls
        result = NodeExecutionResult(
            step_id=end.step.id,
            node=self._nodes[end.step.id].identity,
            status=end.status,
            output=end.output,
            error=error,
            started_seconds=started,
            seconds=now - started if started is not None else 0.0,
            attempts=facts.attempts,
            cached_runs=tuple(facts.cached_runs) if is_cached else (),
            cache_note=facts.first_note,
            isolation=facts.isolation,
        )
        self._results[end.step.id] = result
        return result, True

    def timings(self) -> Iterator[Timing]:
        """What the executed calls of each step took."""
        for step_id, facts in self._facts.items():
            if facts.executed_calls:
                yield Timing(
                    step_id,
                    self._nodes[step_id].digest,
                    facts.executed_calls,
                    facts.executed_seconds,
                )

    def in_order(self) -> Iterator[tuple[str, NodeExecutionResult]]:
        """Results by step as the workflow lists them, each followed by its children."""
        for step_id in self._workflow.steps:
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
        return RunResult(
            run_id=run_id,
            workflow=self._workflow.name,
            status=status,
            outputs=outputs,
            steps=dict(self.in_order()),
            seconds=seconds,
            overhead_seconds=idle_seconds,
            error=error,
        )

    def _outputs_of_success(self, statuses: set[StepStatus]) -> JsonObject:
        if StepStatus.SKIPPED in statuses:
            return self._scheduler.available_outputs()
        return self._scheduler.outputs()

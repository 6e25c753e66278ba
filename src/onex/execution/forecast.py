"""RunForecast: what a run would take from the cache, and how long it would take, from history."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onex.artifacts.artifact_store import ArtifactStore
from onex.domain.errors import ExecutionError, OnexError
from onex.domain.graph import execution_order
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import CallFailure, StepStatus, Timing
from onex.domain.workflow import Workflow
from onex.execution.cache_lookup import CacheLookup
from onex.execution.events import RunEvent, StepEnded, StepStarted
from onex.execution.options import RunOptions
from onex.execution.preparation import PreparedPlan
from onex.execution.run_actions import CallFacts, Check, Done, LookUp, Start, Write
from onex.execution.run_state import PlannedRun, RunState
from onex.history.journal import RunJournal


@dataclass(frozen=True, slots=True)
class StepForecast:
    """What is expected of a step: how many calls, and how long each of them takes."""

    calls: int
    call_seconds: float

    @property
    def seconds(self) -> float:
        """How long all of the calls take together."""
        return self.calls * self.call_seconds


def remaining_seconds(workflow: Workflow, step_seconds: Mapping[str, float]) -> dict[str, float]:
    """For each step, the length of the longest path from its start to the end of the workflow.

    Args:
        workflow: the graph.
        step_seconds: how long steps take; one that is missing counts as a second.
    """
    needs = {step.id: step.needs for step in workflow.steps.values()}
    longest_after = dict.fromkeys(needs, 0.0)
    remaining: dict[str, float] = {}
    for step_id in reversed(execution_order(needs)):
        remaining[step_id] = step_seconds.get(step_id, 1.0) + longest_after[step_id]
        for needed in needs[step_id]:
            longest_after[needed] = max(longest_after[needed], remaining[step_id])
    return remaining


def urgency_of(workflow: Workflow, forecasts: Mapping[str, StepForecast]) -> dict[str, float]:
    """How urgent each step is: what remains from its start, judging by what is expected."""
    return remaining_seconds(workflow, {name: f.seconds for name, f in forecasts.items()})


def forecast_run_seconds(
    workflow: Workflow,
    forecasts: Mapping[str, StepForecast],
    urgency: Mapping[str, float],
    jobs: int,
) -> float:
    """How long a run takes by list scheduling: the most urgent ready call takes the next free job.

    Args:
        workflow: the graph.
        forecasts: what is expected of each step; one that is missing takes no time.
        urgency: which of the ready steps starts first, as ``urgency_of`` tells.
        jobs: how many calls run at once.
    """
    waiting = {step.id: len(step.needs) for step in workflow.steps.values()}
    dependents = workflow.dependents()
    ready = [(-urgency[name], name) for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    free = [0.0] * jobs
    ending: list[tuple[float, str]] = []
    now = 0.0
    while ready or ending:
        if not ready or (ending and ending[0][0] <= free[0]):
            now, name = heapq.heappop(ending)
            for dependent in dependents.get(name, ()):
                waiting[dependent] -= 1
                if not waiting[dependent]:
                    heapq.heappush(ready, (-urgency[dependent], dependent))
            continue
        name = heapq.heappop(ready)[1]
        forecast = forecasts.get(name, StepForecast(0, 0.0))
        end = now
        for _ in range(forecast.calls):
            end = max(now, heapq.heappop(free)) + forecast.call_seconds
            heapq.heappush(free, end)
        heapq.heappush(ending, (end, name))
    return now


_NOT_RUN = CallFailure(ExecutionError("not run"))


@dataclass(slots=True)
class CacheForecast:
    """What is known of a step's calls before the run: how many, and how many results are kept.

    ``calls`` is None if it depends on a step that has to run first. ``note`` says why no
    result can come from the cache, if so.
    """

    calls: int | None = None
    hits: int = 0
    note: str | None = None

    @property
    def state(self) -> str:
        """``hit``, ``partial``, ``miss``, ``off``, or ``unknown``."""
        if self.calls is None:
            return "unknown"
        if self.hits:
            return "hit" if self.hits == self.calls else "partial"
        return "off" if self.note else "miss"


@dataclass(frozen=True, slots=True)
class RunForecast:
    """What is expected of a run; ``seconds`` is None if a node has never run before."""

    cache: Mapping[str, CacheForecast]
    steps: Mapping[str, StepForecast]
    seconds: float | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The forecast in the shape that ``run --dry-run`` prints under ``forecast``."""
        return {
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "warnings": list(self.warnings),
            "steps": {
                name: {
                    "cache": cache.state,
                    "calls": cache.calls,
                    "hits": cache.hits,
                    "cache_note": cache.note,
                    "seconds": round(step.seconds, 6) if step else None,
                }
                for name, cache in self.cache.items()
                for step in (self.steps.get(name),)
            },
        }


def forecast_run(
    prepared: PreparedPlan, options: RunOptions, journal: RunJournal, artifacts: ArtifactStore
) -> RunForecast:
    """Simulate a run: calls with cached results succeed, all others fail."""

    def as_recorded(record: JsonObject, _: object) -> JsonObject | None:
        return record if artifacts.has_content(record) else None

    lookup = CacheLookup(journal, as_recorded, prepared.nodes, has_artifacts=True)
    cache = _walk(prepared, options, lookup)
    steps = forecast_steps(prepared, journal)
    expected: dict[str, StepForecast] = {}
    is_known = True
    for name, found in cache.items():
        executed = None if found.calls is None else found.calls - found.hits
        history = steps.get(name)
        if executed == 0:
            expected[name] = StepForecast(0, 0.0)
        elif history is None:
            is_known = False
        else:
            calls = history.calls if executed is None else executed
            expected[name] = StepForecast(calls, history.call_seconds)
    workflow = prepared.plan.workflow
    urgency = urgency_of(workflow, expected)
    seconds = forecast_run_seconds(workflow, expected, urgency, options.jobs)
    return RunForecast(cache, expected, seconds if is_known else None, prepared.warnings)


def forecast_steps(prepared: PreparedPlan, journal: RunJournal) -> dict[str, StepForecast]:
    """What the steps took in earlier runs of the same code; those that never ran are missing."""
    digests = {name: node.facts.digest for name, node in prepared.nodes.items()}
    history = {d: found for d, found in journal.timings(digests.values()).items() if found}
    means = {digest: _mean_seconds(timings) for digest, timings in history.items()}
    return {
        name: StepForecast(_latest_calls(name, history[digest]), means[digest])
        for name, digest in digests.items()
        if digest in history
    }


def _mean_seconds(timings: Sequence[Timing]) -> float:
    return sum(timing.seconds for timing in timings) / sum(timing.calls for timing in timings)


def _latest_calls(step_id: str, timings: Sequence[Timing]) -> int:
    """The latest number of calls of this step, or of another one of the same node."""
    return next((timing for timing in timings if timing.step_id == step_id), timings[0]).calls


def _walk(
    prepared: PreparedPlan, options: RunOptions, lookup: CacheLookup
) -> dict[str, CacheForecast]:
    """Drive a run in which every call fails whose result is not kept."""
    plan = prepared.plan
    planned = PlannedRun("forecast", plan.workflow, plan.inputs, prepared.facts())
    state = RunState(planned, replace(options, fail_fast=False), 0.0)
    found = {name: CacheForecast() for name in plan.workflow.steps}
    while not isinstance(action := state.next(0.0), Done):
        match action:
            case LookUp(attempts):
                facts = _facts_of(action, prepared, lookup)
                state.looked_up(attempts, facts)
                forecast = found[attempts.step.id]
                if isinstance(facts, CallFacts):
                    forecast.note = forecast.note or attempts.cache_note
                    forecast.hits += facts.cached is not None
                else:
                    forecast.note = facts.message
            case Start(attempts):
                state.returned(attempts, attempts.attempts, _NOT_RUN, 0.0, 0.0)
            case Check(attempts, _):
                state.ended(attempts, _NOT_RUN, 0.0)
            case Write(_, events):
                for event in events:
                    _note(event, found)
            case _:
                raise AssertionError(f"nothing runs that {action} could be about")
    return found


def _facts_of(wanted: LookUp, prepared: PreparedPlan, lookup: CacheLookup) -> CallFacts | OnexError:
    try:
        return lookup.facts_of(wanted, prepared.nodes[wanted.attempts.step.id])
    except OnexError as error:
        return error


def _note(event: RunEvent, found: dict[str, CacheForecast]) -> None:
    if isinstance(event, StepStarted):
        found[event.step_id].calls = event.total_calls or 1
    elif isinstance(event, StepEnded):
        result, forecast = event.result, found[event.step_id]
        if result.status is StepStatus.SUCCEEDED and forecast.calls is None:
            forecast.calls = 0
        elif result.status is StepStatus.SKIPPED and result.error is None:
            found[event.step_id] = CacheForecast(0, 0, "its condition is false")

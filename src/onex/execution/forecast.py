"""RunForecast: what a run would take from the cache, and how long it would take, from history."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onex.domain.errors import OnexError
from onex.domain.graph import execution_order
from onex.domain.json_value import JsonValue, as_object
from onex.domain.result import StepError, StepStatus
from onex.domain.workflow import Workflow
from onex.execution.cache_lookup import ResultLookup
from onex.execution.events import RunOptions
from onex.execution.preparation import PreparedPlan
from onex.execution.scheduler import Call, Scheduler
from onex.history.artifacts import ArtifactStore, with_paths
from onex.history.journal import CachedOutput, RunJournal, Timing


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


_UNKNOWN_RESULT = StepError("", "not run")


@dataclass(slots=True)
class CacheForecast:
    """What is known of a step's calls before the run: how many, and how many results are kept.

    ``calls`` is None where it depends on a step that has to run first. ``note`` says why a
    result cannot come from the cache, where it cannot.
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
    """What is expected of a run; ``seconds`` is None where a node has never run before."""

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
    """Walk through a run without running anything: results that are kept lead on to their needs."""
    cache = _walk(prepared, options, ResultLookup(journal, artifacts, options))
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
    digests = {name: node.registered.digest for name, node in prepared.nodes.items()}
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
    prepared: PreparedPlan, options: RunOptions, lookup: ResultLookup
) -> dict[str, CacheForecast]:
    plan = prepared.plan
    scheduler = Scheduler(plan.workflow, plan.inputs, run_id="forecast", fail_fast=False)
    found = {name: CacheForecast() for name in plan.workflow.steps}
    while not scheduler.is_done:
        for call in scheduler.take_ready(options.jobs):
            forecast = found[call.step.id]
            forecast.calls = scheduler.fan_out_size(call.step.id) or 1
            cached = _cached(prepared, lookup, call, forecast)
            if cached is None:
                scheduler.finished(call, StepStatus.FAILED, None, _UNKNOWN_RESULT)
            else:
                forecast.hits += 1
                scheduler.finished(call, StepStatus.SUCCEEDED, cached.output, None)
    for end in scheduler.take_ended():
        if end.status is StepStatus.SUCCEEDED and found[end.step.id].calls is None:
            found[end.step.id].calls = 0
        elif end.status is StepStatus.SKIPPED and end.error is None:
            found[end.step.id] = CacheForecast(0, 0, "its condition is false")
    return found


def _cached(
    prepared: PreparedPlan, lookup: ResultLookup, call: Call, forecast: CacheForecast
) -> CachedOutput | None:
    node = prepared.nodes[call.step.id]
    inputs = as_object(with_paths(call.inputs))
    try:
        node.schemas.check_inputs(inputs)
        _, key, note = lookup.facts_of(call, node, inputs)
    except OnexError as error:
        forecast.note = error.message
        return None
    forecast.note = forecast.note or note
    return lookup.find(key, call.step.id)

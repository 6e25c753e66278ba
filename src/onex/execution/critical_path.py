"""Which step is the most urgent, and how long a run will take. Pure functions of the graph."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from onex.domain.workflow import Workflow
from onex.resolver.graph import execution_order


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

"""Timeline: when the steps of a run were at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onex.domain.result import NodeExecutionResult, StepStatus
from onex.domain.workflow import step_of


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One step: its span, and the spans of its calls, in seconds from the start of the run."""

    step_id: str
    node: str
    status: StepStatus
    calls: Sequence[NodeExecutionResult]
    start_seconds: float
    end_seconds: float

    @property
    def cached_calls(self) -> int:
        """How many of the calls took their result from the cache."""
        return sum(call.cached for call in self.calls)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows of a run in the order in which its steps started, and where they end."""

    rows: Sequence[TimelineRow]
    seconds: float


def timeline_of(steps: Mapping[str, NodeExecutionResult], seconds: float) -> Timeline:
    """The timeline of a run; steps that never started stand at its end.

    Args:
        steps: the results of its steps and calls, by their identifiers.
        seconds: how long it took until now.
    """
    calls: dict[str, list[NodeExecutionResult]] = {}
    for call_id, result in steps.items():
        calls.setdefault(step_of(call_id), []).append(result)
    rows = [_row(step_id, found) for step_id, found in calls.items()]
    last = max((row.end_seconds for row in rows), default=0.0)
    end = max(seconds, last)
    placed = [row if row.calls else _at(row, end) for row in rows]
    placed.sort(key=lambda row: (row.start_seconds, row.end_seconds, row.step_id))
    return Timeline(placed, end)


def _row(step_id: str, results: Sequence[NodeExecutionResult]) -> TimelineRow:
    step = next((r for r in results if r.step_id == step_id), results[0])
    children = [r for r in results if r.step_id != step_id]
    calls = sorted(
        (r for r in children or [step] if r.started_seconds is not None),
        key=lambda call: call.started_seconds or 0.0,
    )
    starts = [call.started_seconds or 0.0 for call in calls]
    ends = [(call.started_seconds or 0.0) + call.seconds for call in calls]
    return TimelineRow(
        step_id, step.node, step.status, calls, min(starts, default=0.0), max(ends, default=0.0)
    )


def _at(row: TimelineRow, moment: float) -> TimelineRow:
    return TimelineRow(row.step_id, row.node, row.status, (), moment, moment)

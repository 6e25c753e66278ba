"""RunComparison: two runs beside each other, whether or not they are of one workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onex.domain.artifact_records import without_paths
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.result import NodeExecutionResult
from onex.domain.text_difference import json_difference
from onex.domain.workflow import index_of, is_child, step_of
from onex.history.journal import RunRecord


@dataclass(frozen=True, slots=True)
class StepComparison:
    """One step of two runs; None stands for what one of them does not have.

    ``output`` is how the outputs differ, line by line; empty if they are the same.
    """

    step_id: str
    nodes: tuple[str | None, str | None]
    statuses: tuple[str | None, str | None]
    seconds: tuple[float | None, float | None]
    output: Sequence[str]

    @property
    def is_same(self) -> bool:
        """Whether version, status and output are the same, whatever the time is."""
        return not self.output and all(a == b for a, b in (self.nodes, self.statuses))

    def to_json(self) -> dict[str, JsonValue]:
        """The step in the shape that ``runs compare`` prints."""
        return {
            "id": self.step_id,
            "same": self.is_same,
            "node": list(self.nodes),
            "status": list(self.statuses),
            "seconds": list(self.seconds),
            "output": list(self.output),
        }


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs: how their inputs and outputs differ, line by line, and their steps."""

    before: RunRecord
    after: RunRecord
    inputs: Sequence[str]
    outputs: Sequence[str]
    steps: Sequence[StepComparison]

    @property
    def is_same(self) -> bool:
        """Whether everything but the times is the same."""
        is_even = self.before.status is self.after.status
        return is_even and not (self.inputs or self.outputs) and all(s.is_same for s in self.steps)

    def to_json(self) -> dict[str, JsonValue]:
        """The comparison in the shape that ``runs compare`` prints."""
        return {
            "runs": [self.before.summary(), self.after.summary()],
            "same": self.is_same,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "steps": [step.to_json() for step in self.steps],
        }


def compare(before: RunRecord, after: RunRecord) -> RunComparison:
    """Compare two runs. Files count by their content, calls of a fan-out step together."""
    names = dict.fromkeys(step_of(name) for name in (*before.steps, *after.steps))
    return RunComparison(
        before,
        after,
        json_difference(without_paths(before.inputs), without_paths(after.inputs)),
        json_difference(without_paths(before.outputs), without_paths(after.outputs)),
        [_step(name, before, after) for name in names],
    )


def _step(name: str, before: RunRecord, after: RunRecord) -> StepComparison:
    old, new = before.steps.get(name), after.steps.get(name)
    return StepComparison(
        name,
        (_node(before.plan, name, old), _node(after.plan, name, new)),
        (_status(old), _status(new)),
        (_seconds(old), _seconds(new)),
        json_difference(_output(before.steps, name), _output(after.steps, name)),
    )


def _node(plan: JsonObject, name: str, result: NodeExecutionResult | None) -> str | None:
    """The node of a step with the beginning of its digest, since a draft may change unseen."""
    planned = as_object(as_object(plan.get("steps") or {}).get(name) or {})
    node = planned.get("node") or (None if result is None else result.node)
    digest = str(planned.get("digest") or "").removeprefix("sha256:")[:12]
    return None if node is None else f"{node} {digest}".rstrip()


def _status(result: NodeExecutionResult | None) -> str | None:
    return None if result is None else result.status.value


def _seconds(result: NodeExecutionResult | None) -> float | None:
    return None if result is None else round(result.seconds, 6)


def _output(steps: Mapping[str, NodeExecutionResult], name: str) -> JsonValue:
    """The output of a step, or the outputs of its calls in their order."""
    calls = _calls(steps, name)
    if calls:
        return [without_paths(call.output) for call in calls]
    result = steps.get(name)
    return None if result is None else without_paths(result.output)


def _calls(steps: Mapping[str, NodeExecutionResult], name: str) -> list[NodeExecutionResult]:
    """The calls of a fan-out step by their place, whichever ended first."""
    calls = [call for call in steps if is_child(call) and step_of(call) == name]
    return [steps[call] for call in sorted(calls, key=index_of)]

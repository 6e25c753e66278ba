"""Comparing a run with an earlier one of the same workflow: which results differ first, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onex.domain.artifact_records import without_paths
from onex.domain.graph import execution_order
from onex.domain.json_value import JsonObject, JsonValue, as_object, canonical_json
from onex.domain.result import NodeExecutionResult, StepStatus
from onex.domain.workflow import index_of, step_of
from onex.history.journal import RunRecord


@dataclass(frozen=True, slots=True)
class Difference:
    """A call that gave something else than before; ``causes`` are what changed for it."""

    step_id: str
    before: str
    after: str
    causes: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The difference in the shape that ``runs replay`` prints."""
        return {
            "id": self.step_id,
            "before": self.before,
            "after": self.after,
            "causes": list(self.causes),
        }


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What replaying a run showed; the first difference is the one that led to the others.

    ``not_compared`` are steps whose inputs hold facts of the run itself.
    """

    run_id: str
    replay_id: str
    compared: int
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The report in the shape that ``runs replay`` prints."""
        first = self.differences[0] if self.differences else None
        return {
            "run_id": self.run_id,
            "replay_id": self.replay_id,
            "same": not self.differences,
            "compared": self.compared,
            "first_difference": first.to_json() if first else None,
            "differences": [difference.to_json() for difference in self.differences],
            "not_compared": list(self.not_compared),
        }


def compare_runs(before: RunRecord, after: RunRecord) -> ReplayReport:
    """Compare two runs of one workflow call by call, in the order in which the steps depend.

    Raises RunNotResumableError if an older onex recorded the first without its workflow.
    """
    workflow = before.recorded_workflow()
    needs = {step.id: step.needs for step in workflow.steps.values()}
    ids_by_step: dict[str, list[str]] = {name: [] for name in needs}
    for call_id in {**before.steps, **after.steps}:
        ids_by_step[step_of(call_id)].append(call_id)
    compared = 0
    differences: list[Difference] = []
    not_compared: list[str] = []
    for step_id in execution_order(needs):
        step = workflow.steps[step_id]
        if step.refers_to_run:
            not_compared.append(step_id)
            continue
        calls = sorted(ids_by_step[step_id], key=index_of)
        for call_id in calls:
            if step.is_fan_out and call_id == step_id and len(calls) > 1:
                continue
            compared += 1
            old, new = before.steps.get(call_id), after.steps.get(call_id)
            if _outcome(old) != _outcome(new):
                causes = tuple(_causes(step_id, old, new, before.plan, after.plan))
                differences.append(Difference(call_id, _in_words(old), _in_words(new), causes))
    return ReplayReport(
        before.run_id, after.run_id, compared, tuple(differences), tuple(not_compared)
    )


def _outcome(result: NodeExecutionResult | None) -> tuple[str, str]:
    if result is None:
        return ("none", "")
    if result.status is not StepStatus.SUCCEEDED:
        return (result.status.value, result.error.code if result.error else "")
    return (result.status.value, canonical_json(without_paths(result.output)))


def _causes(
    step_id: str,
    old: NodeExecutionResult | None,
    new: NodeExecutionResult | None,
    old_plan: JsonObject,
    new_plan: JsonObject,
) -> Iterator[str]:
    if _planned(old_plan, step_id) != _planned(new_plan, step_id):
        yield "code"
    if old is not None and new is not None and old.input_digest != new.input_digest:
        yield "input"
    before, after = (dict(as_object(p.get("environment") or {})) for p in (old_plan, new_plan))
    # Runs of earlier versions do not say which configuration they had.
    missing = object()
    configured = [e.pop("configuration", missing) for e in (before, after)]
    if missing not in configured and configured[0] != configured[1]:
        yield "configuration"
    if before != after:
        yield "environment"


def _planned(plan: JsonObject, step_id: str) -> JsonValue:
    return as_object(as_object(plan["steps"])[step_id])["digest"]


def _in_words(result: NodeExecutionResult | None) -> str:
    if result is None:
        return "no result"
    if result.error is not None:
        return f"{result.status}: {result.error.code}: {result.error.message}"[:200]
    return canonical_json(without_paths(result.output))[:200]

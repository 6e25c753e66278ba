"""The ONEX execution result: a BatchExecutionResult of NodeExecutionResults, as its schema says.

The fields are those of ``execution_result.json``, version 1.0.0, of the ONEX schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from onex.domain.json_value import JsonValue, canonical_json, sha256_of
from onex.domain.result import NodeExecutionResult, RunStatus, StepStatus
from onex.domain.workflow import calls_among

_NODE_STATUS = {
    StepStatus.SUCCEEDED: "success",
    StepStatus.FAILED: "failure",
    StepStatus.SKIPPED: "skipped",
}


def batch_execution_result(
    run_id: str,
    status: RunStatus,
    started_at: str,
    seconds: float,
    steps: Mapping[str, NodeExecutionResult],
) -> dict[str, JsonValue]:
    """A run as a BatchExecutionResult; a fan-out step is represented by its calls.

    ``status`` is ``success``, ``partial`` if some call succeeded all the same, or ``failure``.
    """
    calls = [steps[name] for name in calls_among(steps)]
    return {
        "batch_id": run_id,
        "status": _batch_status(status, calls),
        "results": [node_execution_result(result) for result in calls],
        "started_at": started_at,
        "completed_at": (datetime.fromisoformat(started_at) + timedelta(seconds=seconds)).isoformat(
            timespec="microseconds"
        ),
    }


def node_execution_result(result: NodeExecutionResult) -> dict[str, JsonValue]:
    """One call as a NodeExecutionResult."""
    error = result.error
    body: dict[str, JsonValue] = {
        "node_id": result.node,
        "success": result.status is StepStatus.SUCCEEDED,
        "execution_time_ms": round(result.seconds * 1000),
        "status": _NODE_STATUS.get(result.status, "error"),
        "errors": [f"{error.code}: {error.message}"] if error else [],
        "warnings": [],
        "metadata": {
            "step_id": result.step_id,
            "attempts": result.attempts,
            "cached_from": result.cached_from,
            "isolation": result.isolation.value if result.isolation else None,
        },
    }
    if result.input_digest is not None:
        body["input_hash"] = result.input_digest
    if result.status is StepStatus.SUCCEEDED:
        body["output_hash"] = sha256_of(canonical_json(result.output))
    return body


def _batch_status(status: RunStatus, calls: Iterable[NodeExecutionResult]) -> str:
    if status is RunStatus.SUCCEEDED:
        return "success"
    return "partial" if any(c.status is StepStatus.SUCCEEDED for c in calls) else "failure"

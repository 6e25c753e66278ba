"""RunJournal: what is kept of runs, and of results that later runs may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import NodeExecutionResult, RunResult


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the history holds it; ``started_at`` is an RFC 3339 timestamp in UTC."""

    run_id: str
    workflow: str
    status: str
    started_at: str
    seconds: float | None
    overhead_seconds: float | None
    plan: JsonObject
    inputs: JsonObject
    outputs: JsonValue
    error: JsonValue
    steps: Sequence[JsonObject] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The record in the shape that ``runs show`` prints."""
        body: dict[str, JsonValue] = {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "status": self.status,
            "started_at": self.started_at,
            "seconds": self.seconds,
            "overhead_seconds": self.overhead_seconds,
        }
        if self.steps or self.plan:
            body |= {
                "inputs": self.inputs,
                "outputs": self.outputs,
                "error": self.error,
                "plan": self.plan,
                "steps": {str(step["step_id"]): step for step in self.steps},
            }
        return body


class RunJournal(Protocol):
    """Raises StorageError where the storage fails."""

    def begin(
        self, run_id: str, workflow: str, started_at: str, plan: JsonObject, inputs: JsonObject
    ) -> None:
        """Record that a run starts."""
        ...

    def record(self, run_id: str, result: NodeExecutionResult) -> None:
        """Record the end of a step; it is stored when the call returns."""
        ...

    def finish(self, result: RunResult) -> None:
        """Record the end of a run."""
        ...

    def runs(self, limit: int) -> Sequence[RunRecord]:
        """The latest runs, newest first, without their steps."""
        ...

    def run(self, run_id: str) -> RunRecord | None:
        """One run with its steps; an unambiguous prefix of its identifier will do."""
        ...

    def cached_output(self, key: str) -> tuple[JsonValue] | None:
        """The stored result for a key, in a tuple since the result itself may be null."""
        ...

    def store_output(self, key: str, node: str, output: JsonValue, run_id: str) -> None:
        """Keep a result for later runs."""
        ...

    def close(self) -> None:
        """Release the storage."""
        ...

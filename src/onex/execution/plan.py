"""ExecutionPlan: a workflow with every reference to a node replaced by one version of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import RegisteredNode
from onex.domain.workflow import Workflow
from onex.resolver.graph import execution_order


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """What a run will do; ``nodes`` gives the chosen version for each step."""

    workflow: Workflow
    nodes: Mapping[str, RegisteredNode]
    inputs: JsonObject
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The plan in the shape that ``run --dry-run`` prints and the history keeps."""
        order = execution_order({step.id: step.needs for step in self.workflow.steps.values()})
        steps: dict[str, JsonValue] = {}
        for name in order:
            node = self.nodes[name]
            steps[name] = {
                "node": str(node.metadata.node_version),
                "digest": node.digest,
                "needs": sorted(self.workflow.steps[name].needs),
                "permissions": [str(permission) for permission in node.metadata.permissions],
                "cacheable": node.metadata.idempotent,
            }
        return {
            "workflow": self.workflow.name,
            "inputs": self.inputs,
            "steps": steps,
            "warnings": list(self.warnings),
        }

"""CallRunner: one call from its inputs to a checked result, on an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from onex.domain.json_value import JsonObject, as_object
from onex.domain.metadata import RegisteredNode
from onex.domain.result import IsolationLevel
from onex.execution.artifacts import ArtifactStore, with_paths
from onex.execution.context_factory import ExecutionContextFactory
from onex.execution.engine import CallOutcome, Engine, LoadedNode, NodeCall
from onex.execution.scheduler import Call
from onex.execution.schemas import NodeSchemas


@dataclass(frozen=True, slots=True)
class CallRunner:
    """What the calls of one run share; nodes and schemas by step."""

    engine: Engine
    nodes: Mapping[str, LoadedNode]
    schemas: Mapping[str, NodeSchemas]
    contexts: ExecutionContextFactory
    artifacts: ArtifactStore

    @property
    def isolation(self) -> IsolationLevel:
        """The level that every call gets."""
        return self.engine.isolation

    def cancel(self) -> None:
        """End every running call now."""
        self.engine.cancel()

    def final_inputs(self, call: Call) -> JsonObject:
        """The inputs as the node will receive them.

        Raises:
            SchemaMismatchError: they are not what the node's manifest declares.
        """
        inputs = as_object(with_paths(call.inputs))
        self.schemas[call.step.id].check_inputs(inputs)
        return inputs

    def execute(
        self,
        call: Call,
        node: RegisteredNode,
        inputs: JsonObject,
        on_progress: Callable[[float, str], None],
    ) -> CallOutcome:
        """Execute a call in the asking thread.

        Raises:
            CallFailedError: the engine gave no result.
            OnexError: the result is not what the node's manifest declares, or
                hands over files that are not its own.
        """
        context = self.contexts.create_context(call.id, node)
        outcome = self.engine.execute(
            NodeCall(
                self.nodes[call.step.id], inputs, context, call.step.timeout_seconds, on_progress
            )
        )
        output = self.artifacts.take(outcome.output, Path(context.workdir))
        self.schemas[call.step.id].check_output(output)
        return replace(outcome, output=output)

"""OpenCall: a call between its first start and its end, over all of its attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import NodeExecutionResult, StepError, StepStatus
from onex.engines.redaction import MAXIMUM_LOG_BYTES
from onex.execution.preparation import PreparedNode
from onex.execution.scheduler import Call


@dataclass(slots=True)
class OpenCall:
    """A call between its first start and its end, over all of its attempts."""

    call: Call
    node: PreparedNode
    started_seconds: float
    inputs: JsonObject = field(default_factory=dict)
    input_digest: str | None = None
    cache_key: str | None = None
    cache_note: str | None = None
    attempts: int = 0
    in_flight: bool = False
    log: str = ""

    def result(
        self,
        status: StepStatus,
        output: JsonValue = None,
        error: StepError | None = None,
        *,
        seconds: float = 0.0,
        cached_from: str | None = None,
        log: str = "",
    ) -> NodeExecutionResult:
        """What is recorded of the call as it stands; ``log`` follows that of earlier attempts."""
        return NodeExecutionResult(
            self.call.id,
            self.node.identity,
            status,
            output,
            error,
            self.started_seconds,
            seconds,
            self.attempts,
            cached_from,
            self.cache_note,
            self.node.engine.isolation if self.attempts else None,
            (self.log + log)[-MAXIMUM_LOG_BYTES:] if self.log else log,
            self.input_digest,
            self.cache_key,
            self.in_flight and status is not StepStatus.SUCCEEDED,
        )

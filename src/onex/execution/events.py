"""The events of a run, one class each, for those who watch it.

``seconds`` counts from the start of the run. ``to_json`` gives an event as ``run --events``
writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from onex.domain.json_value import JsonValue
from onex.domain.result import NodeExecutionResult, RunResult


def _body(event: RunEvent, seconds: float, step_id: str = "") -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"event": event.kind, "at_seconds": round(seconds, 6)}
    return body | {"step": step_id} if step_id else body


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins with these steps; history may tell how long they take."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    steps: tuple[str, ...]
    forecast_seconds: float | None

    def to_json(self) -> dict[str, JsonValue]:
        return _body(self, 0.0) | {
            "run_id": self.run_id,
            "steps": list(self.steps),
            "forecast_seconds": self.forecast_seconds,
        }


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about the run that the user should know."""

    kind: ClassVar[str] = "warning"
    message: str

    def to_json(self) -> dict[str, JsonValue]:
        return _body(self, 0.0) | {"message": self.message}


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The first call of a step is taken up; ``total_calls`` is there for a fan-out step."""

    kind: ClassVar[str] = "step_started"
    step_id: str
    seconds: float
    total_calls: int | None

    def to_json(self) -> dict[str, JsonValue]:
        body = _body(self, self.seconds, self.step_id)
        return body if self.total_calls is None else body | {"calls": self.total_calls}


@dataclass(frozen=True, slots=True)
class Progressed:
    """A node says how far its work is, from 0 to 1."""

    kind: ClassVar[str] = "progress"
    step_id: str
    seconds: float
    fraction: float
    message: str

    def to_json(self) -> dict[str, JsonValue]:
        body = _body(self, self.seconds, self.step_id) | {"fraction": self.fraction}
        return body | {"message": self.message} if self.message else body


@dataclass(frozen=True, slots=True)
class Logged:
    """A call printed these lines, or wrote them to its logger; secrets in them are hidden."""

    kind: ClassVar[str] = "log"
    step_id: str
    seconds: float
    call_id: str
    text: str

    def to_json(self) -> dict[str, JsonValue]:
        body = _body(self, self.seconds, self.step_id)
        return body | {"id": self.call_id, "text": self.text}


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A call failed and will be made again; ``message`` says why and when."""

    kind: ClassVar[str] = "retry"
    step_id: str
    seconds: float
    message: str

    def to_json(self) -> dict[str, JsonValue]:
        return _body(self, self.seconds, self.step_id) | {"message": self.message}


@dataclass(frozen=True, slots=True)
class _Ended:
    kind: ClassVar[str]
    step_id: str
    seconds: float
    result: NodeExecutionResult

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "event": self.kind,
            "at_seconds": round(self.seconds, 6),
            "step": self.step_id,
            "id": self.result.step_id,
            **self.result.to_json(),
        }


@dataclass(frozen=True, slots=True)
class CallEnded(_Ended):
    """One call of a fan-out step ended."""

    kind: ClassVar[str] = "call_ended"


@dataclass(frozen=True, slots=True)
class StepEnded(_Ended):
    """A step reached its final state."""

    kind: ClassVar[str] = "step_ended"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over, and recorded; nothing follows."""

    kind: ClassVar[str] = "run_ended"
    result: RunResult

    def to_json(self) -> dict[str, JsonValue]:
        return _body(self, self.result.seconds) | self.result.to_json()


RunEvent = (
    RunStarted
    | Warned
    | StepStarted
    | Progressed
    | Logged
    | RetryScheduled
    | CallEnded
    | StepEnded
    | RunEnded
)
Observer = Callable[[RunEvent], None]

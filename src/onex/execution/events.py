"""What those who start a run say of it, and what those who watch it are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onex.domain.json_value import JsonValue
from onex.domain.result import NodeExecutionResult


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run, for those who watch.

    ``kind`` is ``run_started``, ``warning``, ``step_started``, ``progress``, ``retry``,
    ``call_ended`` or ``step_ended``. The first two have no ``step_id``; the first's
    ``message`` is the identifier of the run, beside all ``steps`` and, where history tells, how
    long they take. ``result`` is there for the latter two, ``fraction`` for progress;
    ``seconds`` counts from the start of the run.
    """

    kind: str
    step_id: str
    seconds: float = 0.0
    total_calls: int | None = None
    fraction: float | None = None
    message: str = ""
    result: NodeExecutionResult | None = None
    steps: tuple[str, ...] = ()
    forecast_seconds: float | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The event as ``run --events`` writes it, without what does not apply to its kind."""
        body: dict[str, JsonValue] = {"event": self.kind, "at_seconds": round(self.seconds, 6)}
        if self.kind == "run_started":
            return body | {
                "run_id": self.message,
                "steps": list(self.steps),
                "forecast_seconds": self.forecast_seconds,
            }
        if self.step_id:
            body["step"] = self.step_id
        if self.total_calls is not None:
            body["calls"] = self.total_calls
        if self.fraction is not None:
            body["fraction"] = self.fraction
        if self.message:
            body["message"] = self.message
        if self.result is not None:
            body |= {"id": self.result.step_id, **self.result.to_json()}
        return body


Observer = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run.

    ``jobs`` calls run at once; ``use_cache`` takes results of earlier runs, except for the steps
    in ``refreshed``; ``rerun_in_flight`` makes calls again that had started when a resumed run
    ended.
    """

    jobs: int
    fail_fast: bool
    use_cache: bool = True
    refreshed: frozenset[str] = frozenset()
    rerun_in_flight: bool = False

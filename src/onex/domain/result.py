"""Results of calls, of steps and of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from onex.domain.artifact_records import Artifact, artifacts_in
from onex.domain.errors import LeftInFlightError, OnexError, RunFailedError, UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_optional_text, as_text
from onex.domain.workflow import is_child

if TYPE_CHECKING:
    from onex.domain.timeline import Timeline

MAXIMUM_MESSAGE_CHARACTERS = 2_000
MAXIMUM_DETAIL_CHARACTERS = 16_384
MAXIMUM_LOG_BYTES = 64 * 1024


NOT_RECORDED: JsonObject = {"$not_recorded": True}
"""What stands in records for a part of a result that must not be recorded."""


def holds_unrecorded(value: JsonValue) -> bool:
    """Whether a part of a recorded value is missing because it must not be recorded."""
    if isinstance(value, Mapping):
        return value == NOT_RECORDED or any(map(holds_unrecorded, value.values()))
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(map(holds_unrecorded, value))
    )


class StepStatus(StrEnum):
    """The state of a step."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the step will not change any more."""
        return self not in (StepStatus.PENDING, StepStatus.RUNNING)


class RunStatus(StrEnum):
    """The state of a run; an interrupted run is one whose process died."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class IsolationLevel(StrEnum):
    """How far a node is kept apart from the host and from other nodes."""

    STRICT = "strict"
    PROCESS = "process"
    INLINE = "inline"


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a step failed, as it is recorded and shown."""

    code: str
    message: str
    hint: str | None = None
    detail: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "detail": self.detail,
        }

    def changed(self, change: Callable[[str], str]) -> StepError:
        """The same error with every text of it changed, and cut to what is recorded then.

        What is changed first and cut then leaves no part of a secret at the cut.
        """
        hint, detail = (None if text is None else change(text) for text in (self.hint, self.detail))
        if detail is not None:
            detail = detail[-MAXIMUM_DETAIL_CHARACTERS:]
        message = change(self.message)
        if len(message) > MAXIMUM_MESSAGE_CHARACTERS:
            message = message[: MAXIMUM_MESSAGE_CHARACTERS - 3] + "..."
        return StepError(self.code, message, hint, detail)

    @classmethod
    def of(cls, error: OnexError, detail: str | None = None) -> StepError:
        """What to record of an error."""
        return cls(error.code, error.message, error.hint, detail)

    @classmethod
    def from_json(cls, body: JsonObject) -> StepError:
        """Read back what ``to_json`` wrote."""
        return cls(
            as_text(body["code"]),
            as_text(body["message"]),
            as_optional_text(body["hint"]),
            as_optional_text(body["detail"]),
        )


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What an engine returns for a call that ended well: its output, and what was logged.

    ``is_stored`` says that artifacts are in the shared store, and records of them in the output.
    """

    output: JsonValue
    log: str = ""
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class CallFailure:
    """What an engine returns for a call without output: why, with a traceback and the log."""

    error: OnexError
    detail: str | None = None
    log: str = ""


CallEnd = CallOutcome | CallFailure


@dataclass(frozen=True, slots=True)
class CachedOutput:
    """A result that later runs may use, and the run that made it.

    ``has_artifacts`` says whether artifacts are part of it.
    """

    key: str
    node: str
    output: JsonValue
    run_id: str
    has_artifacts: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """What the executed calls of one step took together in one run."""

    step_id: str
    digest: str
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class NodeExecutionResult:
    """The outcome of one step, or of one child of a fan-out step.

    ``started_seconds`` counts from the start of the run. ``cached_runs`` are the runs that
    made the output, if it came from the cache (empty text for one that is not known);
    ``cache_note`` says why it did not. ``input_digest`` covers everything that went in, files
    by their content; ``in_flight`` says that the call had started and did not return, so that
    it may have had effects.
    """

    step_id: str
    node: str
    status: StepStatus
    output: JsonValue = None
    error: StepError | None = None
    started_seconds: float | None = None
    seconds: float = 0.0
    attempts: int = 0
    cached_runs: tuple[str, ...] = ()
    cache_note: str | None = None
    isolation: IsolationLevel | None = None
    log: str = ""
    input_digest: str | None = None
    cache_key: str | None = None
    in_flight: bool = False

    @property
    def is_left_in_flight(self) -> bool:
        """True if the call started and its end was never recorded.

        That includes a call that a resume refused to repeat.
        """
        was_refused = self.error is not None and self.error.code == LeftInFlightError.code
        return self.status is StepStatus.RUNNING or was_refused or self.in_flight

    def __repr__(self) -> str:
        return f"<NodeExecutionResult {self.step_id} of {self.node}: {self.status}>"

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The files among the output."""
        return tuple(map(Artifact.of, artifacts_in(self.output)))

    @property
    def cached(self) -> bool:
        """Whether the output came from an earlier run."""
        return bool(self.cached_runs)

    @property
    def cached_from(self) -> str | None:
        """The run that made the output, in words if it is not one; None without the cache."""
        match self.cached_runs:
            case ():
                return None
            case (run_id,):
                return run_id or "an earlier run"
            case _:
                return "several runs"

    def to_json(self) -> dict[str, JsonValue]:
        """The step in the shape that ``run`` prints under ``steps``."""
        return {
            "node": self.node,
            "status": self.status.value,
            "started_seconds": self.started_seconds,
            "seconds": round(self.seconds, 6),
            "attempts": self.attempts,
            "cached": self.cached,
            "cached_from": self.cached_from,
            "cache_note": self.cache_note,
            "isolation": self.isolation.value if self.isolation else None,
            "input_digest": self.input_digest,
            "error": self.error.to_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """The outcome of one run; ``steps`` holds whatever finished, even after a failure.

    ``overhead_seconds`` is the time in which no node was at work. ``error`` is why the run as a
    whole ended, such as its time limit; why a step failed is in the result of the step, and
    ``raise_for_status`` raises whichever came first.
    """

    run_id: str
    workflow: str
    status: RunStatus
    outputs: JsonValue = None
    steps: Mapping[str, NodeExecutionResult] = field(default_factory=dict)
    seconds: float = 0.0
    overhead_seconds: float = 0.0
    error: StepError | None = None

    @property
    def success(self) -> bool:
        """Whether every step succeeded or was skipped by its own condition."""
        return self.status is RunStatus.SUCCEEDED

    def __getitem__(self, step_id: str) -> NodeExecutionResult:
        """The result of a step, or of a call of a fan-out step such as ``parse[0]``.

        Raises:
            UsageError: the run has no such step.
        """
        if step_id not in self.steps:
            raise UsageError(
                f"run {self.run_id} has no step {step_id!r}",
                hint="its steps are: " + ", ".join(n for n in self.steps if not is_child(n)),
            )
        return self.steps[step_id]

    def __contains__(self, step_id: object) -> bool:
        return step_id in self.steps

    def __iter__(self) -> Iterator[str]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __bool__(self) -> bool:
        # A run is something even without steps.
        return True

    def __repr__(self) -> str:
        return f"<RunResult {self.run_id} of {self.workflow}: {self.status}>"

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The files among the outputs of the run."""
        return tuple(map(Artifact.of, artifacts_in(self.outputs)))

    @property
    def timeline(self) -> Timeline:
        """When each step was at work."""
        from onex.domain.timeline import timeline_of

        return timeline_of(self.steps, self.seconds)

    def raise_for_status(self) -> RunResult:
        """Return the result itself if the run succeeded.

        Raises:
            RunFailedError: it did not; code, message and hint are those of the first failure.
        """
        if self.success:
            return self
        failed = next((s for s in self.steps.values() if s.status is StepStatus.FAILED), None)
        error = (failed.error if failed is not None else None) or self.error
        told = error or StepError("EXE000", f"run {self.run_id} {self.status}")
        step_id = None if failed is None else failed.step_id
        raise RunFailedError(
            told.code,
            told.message,
            hint=told.hint,
            run_id=self.run_id,
            step_id=step_id,
            detail=told.detail,
        )

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: how it ended, when steps were at work, and outputs."""
        from onex.domain.notebook_view import run_html

        return run_html(self)

    def _repr_svg_(self) -> str:
        from onex.domain.notebook_view import run_svg

        return run_svg(self)

    def to_json(self) -> dict[str, JsonValue]:
        """The run in the shape that ``run --format json`` prints."""
        return {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "status": self.status.value,
            "success": self.success,
            "outputs": self.outputs,
            "steps": {name: step.to_json() for name, step in self.steps.items()},
            "seconds": round(self.seconds, 6),
            "overhead_seconds": round(self.overhead_seconds, 6),
            "error": self.error.to_json() if self.error else None,
        }

"""Engine: something that can execute one call of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from onex.domain.errors import (
    ExecutionError,
    InvalidResultError,
    NodeLoadError,
    NodeRaisedError,
    OnexError,
    RunCancelledError,
)
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import NOT_RECORDED, IsolationLevel
from onex.engines.redaction import NOTHING_HIDDEN, Redaction
from onex.schemas.places import Place, changed_at
from onex.worker.context import ContextSpec

MAXIMUM_DETAIL_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class LoadedNode:
    """A node whose files were verified and lie where only their digest can lead.

    ``kind`` is the type of its entry point, ``file`` the target, ``folder`` where all of
    its files are, ``origin`` where its author has them; ``variables`` are those of the
    environment that it declares.
    """

    identity: str
    digest: str
    kind: str
    folder: Path
    file: Path
    callable_name: str
    origin: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def at_origin(self, text: str) -> str:
        """A text with the author's files in the place of the verified ones."""
        return text.replace(str(self.folder), str(self.origin))


@dataclass(frozen=True, slots=True)
class NodeCall:
    """One execution of a node with its final inputs.

    ``on_progress`` is called from the engine's thread with a fraction and a text;
    ``redaction`` keeps secrets out of the call's log.
    """

    node: LoadedNode
    inputs: JsonObject
    context: ContextSpec
    timeout_seconds: float
    on_progress: Callable[[float, str], None] = field(default=lambda fraction, message: None)
    redaction: Redaction = NOTHING_HIDDEN


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a call gave, and what the node logged and printed meanwhile.

    ``unrecorded`` are the places of the result that must not be recorded.
    """

    output: JsonValue
    log: str = ""
    unrecorded: frozenset[Place] = frozenset()

    @property
    def recorded(self) -> JsonValue:
        """The result as it may be recorded."""
        if not self.unrecorded:
            return self.output
        return changed_at(self.output, self.unrecorded, lambda _: NOT_RECORDED)


class CallFailedError(Exception):
    """A call gave no result; ``error`` is what to record, ``log`` what came before."""

    def __init__(self, error: OnexError, detail: str | None = None, log: str = "") -> None:
        super().__init__(str(error))
        self.error = error
        self.detail = detail
        self.log = log

    def changed(self, change: Callable[[str], str]) -> CallFailedError:
        """The same failure with every text of it changed."""
        error = type(self.error)(change(self.error.message), hint=self.error.hint)
        # Only cut once nothing of a secret can be left over at the cut.
        detail = None if self.detail is None else change(self.detail)[-MAXIMUM_DETAIL_CHARACTERS:]
        return CallFailedError(error, detail, change(self.log))


def cancelled_call(log: str = "") -> CallFailedError:
    """How a call ends in an engine that was cancelled."""
    error = RunCancelledError("the run was cancelled", hint="start it again")
    return CallFailedError(error, log=log)


class Engine(Protocol):
    """Executes calls, each in the thread that asks; several threads may ask at once."""

    @property
    def isolation(self) -> IsolationLevel:
        """The level that is really applied."""
        ...

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        """Make ready for calls of these nodes, in the background, as far as there is room."""
        ...

    def execute(self, call: NodeCall) -> CallOutcome:
        """Run one call to its end.

        Raises:
            CallFailedError: it ended without a result, or was cancelled.
        """
        ...

    def cancel(self) -> None:
        """End every running call now; may be called from any thread."""
        ...

    def close(self) -> None:
        """Release everything; no process is left behind."""
        ...


def code_failure(kind: str, message: str) -> ExecutionError:
    """The error to record for what went wrong in a node's code."""
    match kind:
        case "load":
            return NodeLoadError(message, hint="correct the node's code, then run onex scan")
        case "result":
            return InvalidResultError(
                message,
                hint="return text, numbers, booleans, None, lists and mappings with text keys",
            )
        case _:
            return NodeRaisedError(message, hint="onex runs show gives the step's traceback")

"""The inputs and the actions of RunState."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import (
    CachedOutput,
    CallEnd,
    IsolationLevel,
    NodeExecutionResult,
)
from onex.domain.workflow import Step
from onex.execution.events import RunEvent
from onex.execution.scheduler import Call


@dataclass(frozen=True, slots=True)
class StepNode:
    """What a run must know of the node of a step.

    ``reads_files`` says that files go in, whose digests take time, and ``is_timed`` that its engine
    ends calls itself whose time is over.
    """

    identity: str
    digest: str
    isolation: IsolationLevel
    is_idempotent: bool
    reads_files: bool = False
    is_timed: bool = False


@dataclass(slots=True)
class CallAttempts:
    """A call over all of its attempts.

    ``rests_on`` counts the entries that must be written before it starts; ``overdue_at`` is the
    moment at which the current attempt is stopped; ``readable`` and ``writable`` are the files that
    are handed over, ``designated`` those that may be read and are no artifacts.
    """

    call: Call
    step: Step
    node: StepNode
    rests_on: int
    started_seconds: float
    inputs: JsonObject = field(default_factory=dict)
    input_digest: str | None = None
    cache_key: str | None = None
    cache_note: str | None = None
    attempts: int = 0
    overdue_at: float = math.inf
    seconds: float = 0.0
    is_overdue: bool = False
    in_flight: bool = False
    log: str = ""
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    designated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is found of a call before it starts.

    ``untracked`` says why ``cache_key`` does not cover all that goes in, if so; ``cached`` is the
    result under the key. ``earlier`` is the recorded result, if it may be used again.
    """

    inputs: JsonObject = field(default_factory=dict)
    input_digest: str | None = None
    cache_key: str | None = None
    untracked: str | None = None
    cached: CachedOutput | None = None
    earlier: NodeExecutionResult | None = None


@dataclass(frozen=True, slots=True)
class CheckedOutput:
    """The output of an attempt, checked.

    ``output`` is what is handed on, and ``recorded`` the same without what must not be
    recorded. ``uncached`` says why the result is not kept for later runs, if so.
    """

    output: JsonValue
    recorded: JsonValue
    log: str = ""
    uncached: str | None = None


@dataclass(slots=True)
class LookUp:
    """Find what goes into a call, and whether its result is known.

    ``earlier`` is the recorded result of a resumed run that may be used if its artifacts are
    there; ``has_key`` says that later runs may use the result, ``may_hit`` that this run may use
    that of an earlier one.
    """

    attempts: CallAttempts
    earlier: NodeExecutionResult | None
    has_key: bool
    may_hit: bool


@dataclass(slots=True)
class Start:
    """Begin an attempt; if it is ``alone``, nothing else can happen until it ends."""

    attempts: CallAttempts
    alone: bool


@dataclass(slots=True)
class Stop:
    """End an attempt whose time is over."""

    attempts: CallAttempts


@dataclass(slots=True)
class StopAll:
    """End every attempt that runs."""


@dataclass(slots=True)
class Check:
    """Check the end of an attempt against what its node declares."""

    attempts: CallAttempts
    end: CallEnd


@dataclass(slots=True)
class Entry:
    """A call or step that ended, to be recorded.

    ``output`` is what it hands on; ``is_kept`` says that later runs may use the result;
    ``may_hold_artifacts`` is false if it is known that there are none; ``is_call`` is false for a
    step that is a record of its own beside its calls.
    """

    result: NodeExecutionResult
    output: JsonValue
    is_kept: bool = False
    may_hold_artifacts: bool = True
    is_call: bool = True


@dataclass(slots=True)
class Write:
    """Store the entries, in one transaction; then announce the events."""

    entries: list[Entry]
    events: list[RunEvent]


@dataclass(slots=True)
class Wait:
    """Wait until something happens, or until a moment comes, which may be infinity."""

    until: float


@dataclass(slots=True)
class Done:
    """The run is at its end."""


Action = LookUp | Start | Stop | StopAll | Check | Write | Wait | Done

"""Engine: something that executes calls of nodes, for a reactor that waits for their ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from onex.domain.errors import (
    ExecutionError,
    InvalidPermissionError,
    InvalidResultError,
    NodeLoadError,
    NodeRaisedError,
    OnexError,
    RunCancelledError,
)
from onex.domain.evidence import Evidence
from onex.domain.json_value import JsonObject
from onex.domain.permission import Permission
from onex.domain.result import CallEnd, CallFailure, IsolationLevel
from onex.engines.redaction import NOTHING_HIDDEN, LogTail, Redaction
from onex.sandbox.rules import SandboxRules
from onex.worker.context import ContextSpec

PROGRAM = "cli"
RUNNABLE = ("python", PROGRAM)
"""The types of entry points that can be run."""


@dataclass(frozen=True, slots=True)
class LoadedNode:
    """A node whose files were verified and copied to a folder named by their digest.

    ``kind`` is the type of its entry point, ``file`` the target, ``folder`` where all of
    its files are, ``origin`` where its author has them; ``variables`` are those of the
    environment that it is granted; ``rules`` are what confines it at the level ``strict``, where
    one that is not ``trusted`` gets a new process for each call. ``isolation`` is the level it is
    planned for, ``libraries`` the versions of those that it declares, and ``is_idempotent`` says
    that a call may be repeated that did not return. ``manifest`` is its name among the files,
    ``evidence`` what the registry shows for it that it came from.
    """

    identity: str
    digest: str
    kind: str
    folder: Path
    file: Path
    callable_name: str
    origin: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    rules: SandboxRules = field(default_factory=SandboxRules)
    is_trusted: bool = True
    isolation: IsolationLevel = IsolationLevel.STRICT
    libraries: Mapping[str, str] = field(default_factory=dict)
    is_idempotent: bool = False
    manifest: str = ""
    evidence: Evidence | None = None

    def shares_process_with(self, other: LoadedNode) -> bool:
        """Whether one process may serve calls of both."""
        return self.digest == other.digest and self.rules == other.rules

    def may_share_process(self, readable: Sequence[str], writable: Sequence[str]) -> bool:
        """Whether a confined process that serves other calls may serve one that is handed files.

        A node that is not trusted gets a new process each time. So does a call that is handed
        what cannot be given to a process that is locked down already.
        """
        return self.is_trusted and not writable and (not readable or self.rules.asks_for_files)

    def at_origin(self, text: str) -> str:
        """Replace the paths of the verified files by those of the author's files."""
        return text.replace(str(self.folder), str(self.origin))


class OnEnd(Protocol):
    """Told the end of a call, in the reactor's thread."""

    def __call__(
        self, end: CallEnd, started: float, ended: float, /, *, is_made: bool = True
    ) -> None:
        """Take the end of a call.

        Args:
            end: its outcome, or its failure.
            started: when the node began, as ``perf_counter`` has it.
            ended: when it came to its end.
            is_made: whether this counts as an attempt.
        """
        ...


@dataclass(slots=True)
class NodeCall:
    """One attempt of a call, with its final inputs.

    ``on_start`` is called with the identifier just before the node begins, by the thread in which
    that happens; if it raises, the node does not begin. ``on_progress`` is called with a fraction
    and a text, by any thread. ``alone`` says that the asking thread has nothing else to do until
    the end. ``on_log`` is handed what the call prints, which grows.
    ``redaction`` keeps secrets out of the call's log. ``readable`` and ``writable`` are
    the files and folders that are handed over to this call.

    What other machines need: ``given`` are the inputs with artifacts as records, ``designated``
    what of ``readable`` is no artifact, ``timeout_seconds`` the limit of the step; ``resources``
    and ``priority`` say where and when a cluster should run it.
    """

    id: str
    node: LoadedNode
    inputs: JsonObject
    context: ContextSpec
    on_end: OnEnd
    on_start: Callable[[str], None] = field(default=lambda call_id: None)
    on_progress: Callable[[float, str], None] = field(default=lambda fraction, message: None)
    on_log: Callable[[LogTail], None] = field(default=lambda log: None)
    redaction: Redaction = NOTHING_HIDDEN
    alone: bool = False
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    given: JsonObject = field(default_factory=dict)
    designated: tuple[str, ...] = ()
    timeout_seconds: float = math.inf
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0

    def fail(self, error: OnexError, *, is_made: bool = True) -> None:
        """Tell that the call ended before the node began; it may count as an attempt."""
        now = time.perf_counter()
        self.on_end(CallFailure(error), now, now, is_made=is_made)


def cancelled_call(log: str = "") -> CallFailure:
    """How a call ends that is stopped."""
    return CallFailure(RunCancelledError("the run was cancelled", hint="start it again"), log=log)


class Engine(Protocol):
    """Executes calls. All methods belong to the thread of the reactor, and none of them waits.

    Logs are to be without the secrets of ``NodeCall.redaction``; ``LogTail`` does that.
    """

    @property
    def isolation(self) -> IsolationLevel:
        """The level that is really applied."""
        ...

    @property
    def times_calls(self) -> bool:
        """Whether it ends calls itself whose time is over, since they may wait before they run."""
        ...

    def preload(self, node: LoadedNode) -> None:
        """Prepare for calls of a node, if there is room."""
        ...

    def start(self, call: NodeCall) -> None:
        """Begin a call; its end is told by ``call.on_end``, perhaps before this returns."""
        ...

    def stop(self, call_id: str) -> None:
        """End a call now, if that can be done; its end is told as any other."""
        ...

    def cancel(self) -> None:
        """End every call now, if that can be done, and begin no other."""
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


def lacking(missing: str | None) -> str | None:
    """What to do about what a confined node says it lacks; None if that makes no sense."""
    kind, _, name = (missing or "").partition(":")
    if kind == "limits":
        return f"the node may need more of the machine: limits: {{{name}: ...}} of the step"
    try:
        permission = Permission.parse(missing or "")
    except InvalidPermissionError:
        return None
    return (
        f"the node is not granted {permission}; if it should be, add the line"
        f" '- {permission}' to capabilities of its manifest, then run onex scan"
    )

"""Session: what one client was told, what it may still use, and what its calls gave."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from onex.agents.budget_use import BudgetUse, require_left
from onex.agents.tool import Tool
from onex.configuration.agent_settings import SessionBudget
from onex.domain.agent_errors import ForeignArtifactError, ToolChangedError
from onex.domain.artifact_records import Artifact

ARTIFACT_SCHEME = "onex://artifact/"
_MAXIMUM_QUESTIONS = 100


@dataclass(slots=True)
class Session:
    """One session, which ends with its client's connection, or is forgotten when it is idle.

    ``client`` is what the client calls itself; ``described`` are the names of the tools that the
    session was described one by one; ``declined`` are the requests for grants that its user did not
    approve, by a digest of each. ``roots`` are the folders that the client offers, None while it
    was not asked. ``log_level`` is the least of the log messages that it wants. ``asking`` is held
    while its user is asked.
    """

    budget: SessionBudget
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    client: str = "client"
    described: dict[str, None] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    roots: tuple[str, ...] | None = None
    log_level: str = "info"
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    used_at: float = field(default_factory=time.monotonic)
    _seen: dict[str, str] = field(default_factory=dict)
    _artifacts: dict[str, Artifact] = field(default_factory=dict)
    _questions: dict[str, str] = field(default_factory=dict)
    _used: BudgetUse = field(default_factory=BudgetUse)

    @property
    def actor(self) -> str:
        """The session as the log and the history name it."""
        return f"mcp:{self.client}#{self.id}"

    def note_told(self, tool: Tool) -> None:
        """Remember what a tool was when the session was told of it."""
        self._seen[tool.name] = tool.fingerprint

    def note_found(self, tool: Tool) -> None:
        """Remember a tool that was told of by a line, unless the session knows it."""
        self._seen.setdefault(tool.name, tool.fingerprint)

    def require_unchanged(self, tool: Tool) -> None:
        """Raise ToolChangedError if a tool is not what the session was told."""
        if self._seen.get(tool.name, tool.fingerprint) != tool.fingerprint:
            raise ToolChangedError(
                f"{tool.name} is not what it was when it was listed",
                hint="list the tools again, and have the user look at what changed",
            )

    def open_question(self, about: str) -> str:
        """Begin to wait for an answer; returns what the client has to send back with it."""
        state = secrets.token_hex(16)
        self._questions[state] = about
        while len(self._questions) > _MAXIMUM_QUESTIONS:
            self._questions.pop(next(iter(self._questions)))
        return state

    def take_answer(self, state: str | None) -> str | None:
        """What a question was about that is answered now; None if none is open. It counts once."""
        return None if state is None else self._questions.pop(state, None)

    def begin_call(self, tool: Tool, size_bytes: int) -> None:
        """Count a call with arguments of a size; raises BudgetExhaustedError."""
        self._used.begin_call(self.budget, size_bytes, uses_network=tool.facts.uses_network)

    def timing(self) -> AbstractContextManager[None]:
        """Count the seconds of the block, which runs a tool."""
        return self._used.timing()

    @property
    def seconds_left(self) -> float:
        """How long its calls may go on, all of them together."""
        return self.budget.seconds - self._used.seconds

    def take_bytes(self, size_bytes: int) -> None:
        """Count what is given to the client; raises BudgetExhaustedError."""
        is_left = self.take_if_left(size_bytes)
        require_left(is_left, f"{self.budget.size_bytes} bytes", "bytes")

    def take_if_left(self, size_bytes: int) -> bool:
        """Count what is given to the client if that is within the budget; whether it is."""
        return self._used.take_bytes(self.budget, size_bytes)

    def keep(self, artifact: Artifact) -> str:
        """Let the session read an artifact; returns its URI."""
        self._artifacts[artifact.digest] = artifact
        return f"{ARTIFACT_SCHEME}{artifact.digest}"

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts that its calls gave."""
        return tuple(self._artifacts.values())

    def artifact(self, uri: str) -> Artifact:
        """An artifact of the session by its URI or digest; raises ForeignArtifactError."""
        found = self._artifacts.get(uri.removeprefix(ARTIFACT_SCHEME))
        if found is None:
            raise ForeignArtifactError(
                f"no call of this session gave {uri[:120]}",
                hint="call the tool that makes it in this session",
            )
        return found


class Sessions:
    """The sessions of one server by principal and key; those that are idle are forgotten."""

    def __init__(
        self,
        budget: SessionBudget,
        *,
        of_principal: int = 50,
        idle_seconds: float = 1_800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``of_principal`` is how many are kept for each principal, who loses their own alone."""
        self._budget = budget
        self._of_principal = of_principal
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[str, dict[str, Session]] = {}

    def of(self, principal: str, key: str) -> Session:
        """The session of a principal, a new one if there is none."""
        now = self._clock()
        self._forget_idle(now)
        sessions = self._sessions.pop(principal, {})
        found = sessions.pop(key, None) or Session(self._budget)
        found.used_at = now
        # What was used last stands last, among sessions and among principals.
        sessions[key] = found
        self._sessions[principal] = sessions
        while len(sessions) > self._of_principal:
            sessions.pop(next(iter(sessions)))
        return found

    def _forget_idle(self, now: float) -> None:
        for principal, sessions in list(self._sessions.items()):
            for key, session in list(sessions.items()):
                if now - session.used_at <= self._idle_seconds:
                    break
                del sessions[key]
            if sessions:
                return
            del self._sessions[principal]

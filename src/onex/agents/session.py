"""Session: what one client was told, what it may still use, and what its calls gave."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from onex.agents.tool import Tool
from onex.configuration.agent_settings import SessionBudget
from onex.domain.agent_errors import (
    BudgetExhaustedError,
    ForeignArtifactError,
    ToolChangedError,
)
from onex.domain.artifact_records import Artifact

ARTIFACT_SCHEME = "onex://artifact/"


@dataclass(slots=True)
class Session:
    """One session, which ends with its client's connection, or is forgotten when it is idle.

    ``client`` is what the client calls itself; ``described`` are the names of the tools that the
    session was described one by one; ``declined`` and ``granted`` are the requests for grants that
    its user was asked about, by a digest of each. ``roots`` are the folders that the client offers,
    None while it was not asked. ``log_level`` is the least of the log messages that it wants.
    """

    budget: SessionBudget
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    client: str = "client"
    described: dict[str, None] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    roots: tuple[str, ...] | None = None
    log_level: str = "info"
    used_at: float = field(default_factory=time.monotonic)
    _seen: dict[str, str] = field(default_factory=dict)
    _artifacts: dict[str, Artifact] = field(default_factory=dict)
    _calls: int = 0
    _seconds: float = 0.0
    _bytes: int = 0
    _network_calls: int = 0
    # Calls of one session are made in several threads.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def actor(self) -> str:
        """The session as the log and the history name it."""
        return f"mcp:{self.client}#{self.id}"

    def note_told(self, tool: Tool) -> None:
        """Remember what a tool was when the session was told of it."""
        self._seen[tool.name] = tool.fingerprint

    def require_unchanged(self, tool: Tool) -> None:
        """Raise ToolChangedError if a tool is not what the session was told."""
        if self._seen.get(tool.name, tool.fingerprint) != tool.fingerprint:
            raise ToolChangedError(
                f"{tool.name} is not what it was when it was listed",
                hint="list the tools again, and have the user look at what changed",
            )

    def begin_call(self, tool: Tool, size_bytes: int) -> None:
        """Count a call with arguments of a size; raises BudgetExhaustedError."""
        with self._lock:
            self._begin_call(tool, size_bytes)

    def _begin_call(self, tool: Tool, size_bytes: int) -> None:
        budget = self.budget
        self._require(self._calls < budget.calls, f"{budget.calls} calls", "calls")
        self._require(self._seconds < budget.seconds, f"{budget.seconds:g} s", "seconds")
        self._require(
            self._bytes + size_bytes <= budget.size_bytes, f"{budget.size_bytes} bytes", "bytes"
        )
        if tool.facts.uses_network:
            left = self._network_calls < budget.network_calls
            told = f"{budget.network_calls} calls of tools that may use the network"
            self._require(left, told, "network_calls")
            self._network_calls += 1
        self._calls += 1
        self._bytes += size_bytes

    def end_call(self, seconds: float) -> None:
        """Count how long a call lasted."""
        with self._lock:
            self._seconds += seconds

    def take_bytes(self, size_bytes: int) -> None:
        """Count what is given to the client; raises BudgetExhaustedError."""
        limit = self.budget.size_bytes
        with self._lock:
            self._require(self._bytes + size_bytes <= limit, f"{limit} bytes", "bytes")
            self._bytes += size_bytes

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

    def _require(self, is_left: bool, limit: str, key: str) -> None:  # noqa: FBT001 - a fact
        if not is_left:
            raise BudgetExhaustedError(
                f"this session has used up its {limit}",
                hint=f"begin another session, or raise {key} of [mcp.budget] in onex.toml",
            )


class Sessions:
    """The sessions of one server by their keys; those that are idle are forgotten."""

    def __init__(
        self,
        budget: SessionBudget,
        *,
        maximum: int = 10_000,
        idle_seconds: float = 1_800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._maximum = maximum
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def of(self, key: str) -> Session:
        """The session of a key, a new one if there is none."""
        now = self._clock()
        found = self._sessions.pop(key, None)
        if found is None or now - found.used_at > self._idle_seconds:
            found = Session(self._budget)
        found.used_at = now
        # The one that was used last stands last.
        self._sessions[key] = found
        while len(self._sessions) > self._maximum:
            self._sessions.pop(next(iter(self._sessions)))
        self._forget_idle(now)
        return found

    def _forget_idle(self, now: float) -> None:
        while True:
            key, first = next(iter(self._sessions.items()))
            if now - first.used_at <= self._idle_seconds:
                return
            del self._sessions[key]

"""BudgetUse: what a session has used of what it may use. Several threads count."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from onex.configuration.agent_settings import SessionBudget
from onex.domain.agent_errors import BudgetExhaustedError


class BudgetUse:
    """Calls, their seconds, bytes, and calls of tools that may use the network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._bytes = 0
        self._network_calls = 0
        self._seconds = 0.0
        self._running: dict[object, float] = {}

    @property
    def seconds(self) -> float:
        """How long calls lasted, and last until now, all of them together."""
        with self._lock:
            now = time.monotonic()
            return self._seconds + sum(now - began for began in self._running.values())

    def begin_call(self, budget: SessionBudget, size_bytes: int, *, uses_network: bool) -> None:
        """Count a call with arguments of a size; raises BudgetExhaustedError."""
        require_left(self.seconds < budget.seconds, f"{budget.seconds:g} s", "seconds")
        with self._lock:
            require_left(self._calls < budget.calls, f"{budget.calls} calls", "calls")
            are_left = self._bytes + size_bytes <= budget.size_bytes
            require_left(are_left, f"{budget.size_bytes} bytes", "bytes")
            if uses_network:
                told = f"{budget.network_calls} calls of tools that may use the network"
                require_left(self._network_calls < budget.network_calls, told, "network_calls")
                self._network_calls += 1
            self._calls += 1
            self._bytes += size_bytes

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the seconds of the block."""
        key, began = object(), time.monotonic()
        with self._lock:
            self._running[key] = began
        try:
            yield
        finally:
            with self._lock:
                del self._running[key]
                self._seconds += time.monotonic() - began

    def take_bytes(self, budget: SessionBudget, size_bytes: int) -> bool:
        """Count bytes if they are within the budget; whether they are."""
        with self._lock:
            if self._bytes + size_bytes > budget.size_bytes:
                return False
            self._bytes += size_bytes
            return True


def require_left(is_left: bool, limit: str, key: str) -> None:  # noqa: FBT001 - a fact
    """Raise BudgetExhaustedError if nothing is left of a limit, which a key of a setting raises."""
    if not is_left:
        raise BudgetExhaustedError(
            f"this session has used up its {limit}",
            hint=f"begin another session, or raise {key} of [mcp.budget] in onex.toml",
        )

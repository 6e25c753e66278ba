"""RateLimiter: how many requests of one kind each caller may make."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from onex.domain.remote_errors import TooManyRequestsError

MAXIMUM_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """How many may come at once, and how many a second after that."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The rates of one address, and of one token, in one process.

    Files of the tree are cheap: they are kept as bytes. Refusals are entries of the log.
    """

    tree: Rate = Rate(20_000, 10_000)
    interface: Rate = Rate(2_000, 300)
    refusals: Rate = Rate(60, 1)


class RateLimiter:
    """Limits the rate of each caller with a token bucket. One object serves all threads."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def require(self, caller: str, requests: str) -> None:
        """Take one; raises TooManyRequestsError, which names the ``requests``, if there is none."""
        wait = self.acquire(caller)
        if wait > 0:
            raise TooManyRequestsError(
                f"there were too many {requests}", hint="try again later", details={"wait": wait}
            )

    def acquire(self, caller: str) -> float:
        """Take one; returns 0, or in how many seconds one can be taken."""
        rate, now = self._rate, time.monotonic()
        with self._lock:
            level, at = self._levels.pop(caller, (rate.burst, now))
            level = min(rate.burst, level + (now - at) * rate.per_second)
            is_free = level >= 1
            self._levels[caller] = (level - 1 if is_free else level, now)
            if len(self._levels) > MAXIMUM_CALLERS:
                self._levels.popitem(last=False)
        return 0.0 if is_free else (1 - level) / rate.per_second

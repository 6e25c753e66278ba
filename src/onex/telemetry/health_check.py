"""RegistryHealthCheck: runs checks, each within a limit of time (specification: Health Checks)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from onex.domain.errors import OnexError
from onex.domain.json_value import JsonValue


class Health(StrEnum):
    """How well something is, the best first."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


_ORDER = list(Health)


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """What a check found."""

    status: Health = Health.HEALTHY
    message: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.status is Health.HEALTHY


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    ``look`` may raise OnexError or OSError, which is what is wrong then; ``at_worst`` is the
    status for that, and for no answer within ``limit_seconds``.
    """

    name: str
    look: Callable[[], HealthStatus]
    at_worst: Health = Health.DEGRADED
    limit_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check with what it found, and how long it took."""

    name: str
    found: HealthStatus
    seconds: float

    def to_json(self) -> dict[str, JsonValue]:
        """The result as ``onex health`` prints it."""
        return {
            "name": self.name,
            "status": self.found.status.value,
            "message": self.found.message,
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The results of all checks."""

    checks: Sequence[CheckResult]

    @property
    def status(self) -> Health:
        """The worst of them."""
        found = [check.found.status for check in self.checks]
        return max(found, key=_ORDER.index, default=Health.HEALTHY)

    def to_json(self) -> dict[str, JsonValue]:
        """The report as ``onex health`` prints it."""
        return {
            "status": self.status.value,
            "checks": [check.to_json() for check in self.checks],
        }


class RegistryHealthCheck:
    """Runs checks at the same time, and waits for none longer than it may take."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = tuple(checks)

    @property
    def names(self) -> Sequence[str]:
        """The checks that there are."""
        return [check.name for check in self._checks]

    def run(self, names: Iterable[str] | None = None) -> HealthReport:
        """Run the checks of these names, by default all."""
        wanted = None if names is None else frozenset(names)
        looks = [_Look(c) for c in self._checks if wanted is None or c.name in wanted]
        for look in looks:
            look.start()
        return HealthReport([look.result() for look in looks])


class _Look(threading.Thread):
    """One check that runs; left to itself if it takes too long, as a file system that hangs."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=f"onex-check-{check.name}", daemon=True)
        self._check = check
        self._found: HealthStatus | None = None
        self._began = time.perf_counter()
        self._seconds = 0.0

    def run(self) -> None:
        try:
            found = self._check.look()
        except OnexError as error:
            found = HealthStatus(self._check.at_worst, f"{error.code}: {error.message}")
        except Exception as error:  # noqa: BLE001 - a check that fails must not look like one that hangs
            found = HealthStatus(self._check.at_worst, f"{type(error).__name__}: {error}")
        self._seconds = time.perf_counter() - self._began
        self._found = found

    def result(self) -> CheckResult:
        limit = self._check.limit_seconds
        self.join(max(0.0, self._began + limit - time.perf_counter()))
        if self._found is None:
            late = HealthStatus(self._check.at_worst, f"no answer within {limit:g} s")
            return CheckResult(self._check.name, late, limit)
        return CheckResult(self._check.name, self._found, self._seconds)

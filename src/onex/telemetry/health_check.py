"""RegistryHealthCheck: runs checks, each within a limit of time (specification: Health Checks)."""

from __future__ import annotations

import threading
import time
from collections import Counter
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

NAMED_KINDS = ("source", "remote")
"""The kinds of checks that there is one of for each thing that somebody named: ``source:mine``."""


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

    def without_names(self) -> HealthReport:
        """The same without messages, and with numbers in place of the names of sources."""
        numbers = Counter[str]()
        checks = []
        for check in self.checks:
            kind = check.name.partition(":")[0]
            numbers[kind] += 1
            is_named = kind in NAMED_KINDS
            shown = f"{kind}:{numbers[kind]}" if is_named else check.name
            checks.append(CheckResult(shown, HealthStatus(check.found.status), check.seconds))
        return HealthReport(checks)

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
        self._lock = threading.Lock()
        self._looking: dict[str, _Look] = {}

    def run(self) -> HealthReport:
        """Run all checks."""
        looks = [self._look(check) for check in self._checks]
        return HealthReport([look.result() for look in looks])

    def _look(self, check: Check) -> _Look:
        """A look that begins now, or the last one if that hangs: hanging looks must not pile up."""
        with self._lock:
            look = self._looking.get(check.name)
            if look is None or not look.is_alive():
                look = self._looking[check.name] = _Look(check)
                look.start()
            return look


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

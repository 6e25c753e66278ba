"""The routes of those who operate a server: whether it lives and is ready, and its metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from onex.domain.access_control import Action
from onex.domain.errors import NodeNotFoundError
from onex.domain.json_value import JsonValue
from onex.monitoring.health_checks import health_checks
from onex.registry import Registry
from onex.server.gate import Caller
from onex.server.measuring import Measuring
from onex.server.models import Json
from onex.server.requests import Requests
from onex.telemetry.health_check import Health, HealthReport

PROBES = ("/livez", "/readyz")
"""What is asked by the address of a machine, whatever the names of the server."""

KEPT_SECONDS = 2.0
"""How long what was found is good for others who ask."""


class _Readiness:
    """Runs the checks, and not more often than they change."""

    def __init__(self, open_registry: Callable[[], Registry]) -> None:
        self._open = open_registry
        self._lock = threading.Lock()
        self._found: HealthReport | None = None
        self._looked = 0.0

    def report(self) -> HealthReport:
        with self._lock:
            if self._found is None or time.monotonic() - self._looked > KEPT_SECONDS:
                self._found = health_checks(self._open).run()
                self._looked = time.monotonic()
            return self._found


def operations_routes(
    api: Requests, measuring: Measuring, open_registry: Callable[[], Registry]
) -> APIRouter:
    """The routes; ``open_registry`` opens the registry with its remotes, which are not asked."""
    router = APIRouter(include_in_schema=False)
    readiness = _Readiness(open_registry)

    def may_see(caller: Caller, action: Action) -> bool:
        return caller.token is not None and api.allows(caller, action)

    @router.get("/livez")
    def livez() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "alive"}

    @router.get("/readyz")
    def readyz(
        request: Request, response: Response, verbose: Annotated[str | None, Query()] = None
    ) -> Json:
        """Whether requests can be answered; with ``?verbose`` what was looked at."""
        report = readiness.report()
        response.status_code = _status_code(report)
        if verbose is None:
            return {"status": report.status.value}
        return _shown(report, with_messages=may_see(api.caller(request), Action.DECIDE))

    @router.get("/readyz/{check:path}")
    def one_check(request: Request, response: Response, check: str) -> Json:
        """What one check found."""
        found = [one for one in readiness.report().checks if one.name == check]
        if not found:
            raise NodeNotFoundError(f"there is no check {check!r}", hint="see /readyz?verbose")
        report = HealthReport(found)
        response.status_code = _status_code(report)
        return _shown(report, with_messages=may_see(api.caller(request), Action.DECIDE))

    @router.get("/metrics")
    def metrics(request: Request) -> Response:
        """What was measured, for Prometheus; names are shown to tokens for the whole registry."""
        caller = api.caller(request)
        text, media_type = measuring.text(
            request.headers.get("accept", ""), with_names=may_see(caller, Action.READ)
        )
        return Response(text, headers={"content-type": media_type, "cache-control": "no-store"})

    return router


def _status_code(report: HealthReport) -> int:
    return 503 if report.status is Health.UNHEALTHY else 200


def _shown(report: HealthReport, *, with_messages: bool) -> Json:
    checks: list[JsonValue] = []
    for check in report.checks:
        body = check.to_json()
        checks.append(body if with_messages else {**body, "message": ""})
    return {"status": report.status.value, "checks": checks}

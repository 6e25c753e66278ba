"""The routes of those who operate a server: whether it lives and is ready, and its metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from onex.domain.access_control import Action
from onex.domain.errors import NodeNotFoundError
from onex.server.browsers import caller_of
from onex.server.gate import Caller
from onex.server.measuring import Measuring
from onex.server.models import Json
from onex.server.readiness import Readiness
from onex.server.requests import Requests
from onex.telemetry.health_check import Health, HealthReport

PROBES = ("/livez", "/readyz", "/metrics")
"""What is asked by the address of a machine, whatever the names of the server.

They tell nothing of anybody to those who have no token.
"""


def operations_routes(api: Requests, measuring: Measuring, readiness: Readiness) -> APIRouter:
    """The routes of those who operate a server."""
    router = APIRouter(include_in_schema=False)

    def may_see(caller: Caller, action: Action) -> bool:
        return caller.token is not None and api.allows(caller, action)

    @router.get("/livez")
    async def livez() -> dict[str, str]:
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
        return _shown(report, with_names=may_see(caller_of(api, request), Action.DECIDE))

    @router.get("/readyz/{check:path}")
    def one_check(request: Request, response: Response, check: str) -> Json:
        """What one check found."""
        found = [one for one in readiness.report().checks if one.name == check]
        if not found:
            raise NodeNotFoundError(f"there is no check {check!r}", hint="see /readyz?verbose")
        report = HealthReport(found)
        response.status_code = _status_code(report)
        return _shown(report, with_names=may_see(caller_of(api, request), Action.DECIDE))

    @router.get("/metrics")
    def metrics(request: Request) -> Response:
        """What was measured, for Prometheus; names are shown to tokens for the whole registry."""
        caller = caller_of(api, request)
        text, media_type = measuring.text(
            request.headers.get("accept", ""), with_names=may_see(caller, Action.READ)
        )
        return Response(text, headers={"content-type": media_type})

    return router


def _status_code(report: HealthReport) -> int:
    return 503 if report.status is Health.UNHEALTHY else 200


def _shown(report: HealthReport, *, with_names: bool) -> Json:
    return dict((report if with_names else report.without_names()).to_json())

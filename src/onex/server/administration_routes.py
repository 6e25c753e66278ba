"""The routes of admins and maintainers of the whole registry: tokens, the log, runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request

from onex.domain.access_control import Action, Role
from onex.server.models import (
    Json,
    TokenRequest,
)
from onex.server.requests import (
    INTERFACE,
    Limit,
    Requests,
    problems,
)

MAXIMUM_SERIAL = 2**53


def administration_routes(api: Requests) -> APIRouter:
    """The routes of those who look after a registry."""
    router = APIRouter(prefix=INTERFACE)

    @router.get("/runs", responses=problems(403, 422), tags=["runs"])
    def runs(request: Request, limit: Limit = 50) -> dict[str, list[Json]]:
        """The latest runs of this registry, newest first."""
        caller = api.caller(request)
        api.require(caller, Action.DECIDE, None)
        found = api.registry(caller).history.runs(limit)
        return {"runs": [dict(run.to_json()) for run in found]}

    @router.get("/runs/{run_id}", responses=problems(403, 404, 422), tags=["runs"])
    def run(request: Request, run_id: Annotated[str, Path(min_length=4, max_length=100)]) -> Json:
        """One run with its steps."""
        caller = api.caller(request)
        api.require(caller, Action.DECIDE, None)
        return dict(api.registry(caller).history.run(run_id).to_json())

    @router.get("/tokens", responses=problems(403), tags=["administration"])
    def tokens(request: Request) -> dict[str, list[Json]]:
        """Every token, without its secret."""
        caller = api.caller(request)
        api.require(caller, Action.ADMINISTER, None)
        found = api.registry(caller).tokens
        uses = found.last_uses()
        return {"tokens": [dict(t.to_json(uses.get(t.id))) for t in found.all()]}

    @router.post("/tokens", responses=problems(403, 422), status_code=201,
                      tags=["administration"])  # fmt: skip
    def create_token(request: Request, wanted: Annotated[TokenRequest, Body()]) -> Json:
        """Create a token; its secret is in the answer and nowhere else."""
        caller = api.caller(request)
        api.require(caller, Action.ADMINISTER, None)
        created = api.registry(caller).tokens.create(
            wanted.name, Role.of(wanted.role), wanted.namespaces, wanted.valid_seconds
        )
        return {"token": created.text} | dict(created.token.to_json())

    @router.delete("/tokens/{token_id}", responses=problems(403, 422),
                        tags=["administration"])  # fmt: skip
    def revoke_token(request: Request, token_id: Annotated[str, Path(max_length=100)]) -> Json:
        """Make a token good for nothing, at once."""
        caller = api.caller(request)
        api.require(caller, Action.ADMINISTER, None)
        return dict(api.registry(caller).tokens.revoke(token_id).to_json())

    @router.get("/audit", responses=problems(403, 422), tags=["administration"])
    def audit(
        request: Request,
        since: Annotated[int, Query(ge=0, le=MAXIMUM_SERIAL)] = 0,
        limit: Limit = 100,
    ) -> dict[str, list[Json]]:
        """Entries of the log after a serial, refusals among them."""
        caller = api.caller(request)
        api.require(caller, Action.ADMINISTER, None)
        found = []
        for event in api.registry(caller).storage.events(since):
            found.append(dict(event.to_json()))
            if len(found) >= limit:
                break
        return {"events": found}

    return router

"""The ASGI application of a registry: guards, then the index protocol or the interface."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from onex import __version__
from onex.configuration.loading import load_configuration
from onex.domain.access_control import NamespaceRules
from onex.domain.errors import OnexError
from onex.remote.archive_store import ArchiveStore
from onex.server.administration_routes import administration_routes
from onex.server.agent_routes import AgentRoutes, is_of_agents
from onex.server.artifact_routes import artifact_routes
from onex.server.asgi import Application, Receive, Scope, Send
from onex.server.change_routes import change_routes
from onex.server.entity_tags import EntityTags
from onex.server.gate import Gate
from onex.server.guards import Guards
from onex.server.index_routes import IndexRoutes, is_of_tree
from onex.server.measuring import Measuring
from onex.server.observed import Observed
from onex.server.operations_routes import PROBES, operations_routes
from onex.server.pages.actions import RunActions
from onex.server.pages.application import is_page, pages
from onex.server.pages.site import Site
from onex.server.problem import PROBLEM_TYPE, problem, problem_of
from onex.server.published_index import MINIMUM_COMPRESSED_BYTES, PublishedIndex
from onex.server.rate_limiter import RateLimits
from onex.server.read_routes import read_routes
from onex.server.readiness import Readiness
from onex.server.registry_pool import RegistryPool
from onex.server.requests import Requests
from onex.server.trust_routes import trust_routes
from onex.telemetry.registry_metrics import RegistryMetrics
from onex.telemetry.telemetry import Telemetry
from onex.telemetry.tracing import make_tracer

THREADS = 8
LOGGER = logging.getLogger("onex.server")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server is started with.

    ``hosts`` are the names that it answers for; ``owner_key`` is what the user shows who runs it
    for themselves, None if there is no such user. ``has_one_process`` says that no other process
    answers for the same address.
    """

    home: Path
    start: Path
    hosts: Sequence[str] = ("127.0.0.1", "localhost", "::1")
    owner_key: str | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    has_one_process: bool = True


def create_app(
    settings: ServerSettings,
    environment: Mapping[str, str] | None = None,
    is_ending: Callable[[], bool] = lambda: False,
) -> Application:
    """The application of the registry in a folder.

    Args:
        settings: where it is, and what it is guarded by.
        environment: what the registry is opened with; by default the process's own.
        is_ending: says that the server is about to end.

    Raises:
        ConfigurationError: ``onex.toml`` is not valid.
    """
    found = dict(os.environ) if environment is None else dict(environment)
    configuration = load_configuration(settings.start, found, settings.home)
    rules = NamespaceRules(configuration.private_namespaces)
    gate = Gate(rules, settings.limits, settings.owner_key)
    telemetry = Telemetry(RegistryMetrics(), make_tracer(found))
    pool = RegistryPool(
        settings.home,
        settings.start,
        found,
        telemetry,
        shows_places=settings.owner_key is not None,
    )
    measuring = Measuring(pool.open_with_remotes, telemetry)
    index = PublishedIndex(pool.open, gate)
    store = ArchiveStore(configuration.home / "published")
    tree = IndexRoutes(index, store, gate, is_ending)
    requests = Requests(pool, gate, index.note_change)
    readiness = Readiness(pool.open_with_remotes)
    operations = operations_routes(requests, measuring, readiness)
    browsed = pages(
        Site(requests, is_owner_here=settings.owner_key is not None),
        pool.here,
        is_ending,
        RunActions(settings.home, settings.start),
        readiness,
        pool.open_with_remotes,
    )
    artifacts = artifact_routes(requests, configuration.home)
    agents = AgentRoutes(
        requests, rules, pool, configuration.agents, has_one_process=settings.has_one_process
    )
    api = _interface(requests, index, measuring, agents, (operations, artifacts))

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_of_tree(scope["path"]):
            await tree(scope, receive, send)
        elif scope["type"] == "http" and is_of_agents(scope["path"]):
            await agents(scope, receive, send)
        elif scope["type"] == "http" and is_page(scope):
            await browsed(scope, receive, send)
        else:
            await api(scope, receive, send)

    return Observed(Guards(route, settings.hosts, settings.limits, PROBES), telemetry)


def _interface(
    api: Requests,
    index: PublishedIndex,
    measuring: Measuring,
    agents: AgentRoutes,
    others: Sequence[APIRouter],
) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        import anyio.to_thread

        # Each thread has a connection to the database of its own.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        measuring.begin()
        yield
        await agents.close()
        await index.close()
        await measuring.end()

    app = FastAPI(
        title="onex registry",
        version=__version__,
        summary="Nodes, their versions, and what is decided of them.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.add_middleware(EntityTags)
    app.add_middleware(GZipMiddleware, minimum_size=MINIMUM_COMPRESSED_BYTES)
    routers = (
        read_routes(api),
        change_routes(api),
        trust_routes(api),
        administration_routes(api),
        *others,
    )
    for router in routers:
        app.include_router(router)

    @app.exception_handler(OnexError)
    async def refused(request: Request, error: OnexError) -> Response:
        status, headers, body = problem_of(error)
        return Response(body, status, headers, PROBLEM_TYPE)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return Response(problem(422, "USE001", told), 422, media_type=PROBLEM_TYPE)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        code = "RES003" if error.status_code == 404 else "USE001"
        body = problem(error.status_code, code, str(error.detail))
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405:
            headers["allow"] = ", ".join(sorted(_methods_at(routers, request.scope)))
        return Response(body, error.status_code, headers, PROBLEM_TYPE)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads this: the peer left in the middle of its own request.
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        LOGGER.exception("a request failed", exc_info=error)
        body = problem(500, "ONEX002", "the server failed; its log says why")
        return Response(body, 500, media_type=PROBLEM_TYPE)

    plain = app.openapi

    def described() -> dict[str, Any]:
        """The OpenAPI document, in which refusals have their own type of content."""
        document = plain()
        for methods in document["paths"].values():
            for operation in methods.values():
                for status, answer in operation["responses"].items():
                    content = answer.get("content", {})
                    if status >= "4" and "application/json" in content:
                        answer["content"] = {PROBLEM_TYPE: _PROBLEM_CONTENT}
        return document

    app.openapi = described  # type: ignore[method-assign]
    return app


_PROBLEM_CONTENT = {"schema": {"$ref": "#/components/schemas/Problem"}}


def _methods_at(routers: Sequence[APIRouter], scope: Scope) -> set[str]:
    """The methods that are answered at the path of a request."""
    found: set[str] = set()
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found

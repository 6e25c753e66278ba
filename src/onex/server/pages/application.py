"""The ASGI application of the pages."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from onex.domain.errors import InternalError, NodeNotFoundError, OnexError
from onex.registry import Registry
from onex.server.asgi import Scope
from onex.server.operations_routes import PROBES
from onex.server.pages import artifacts, operations, questions, runs, session
from onex.server.pages.actions import RunActions
from onex.server.pages.catalogue import catalogue
from onex.server.pages.facets import Facets
from onex.server.pages.graph import graph_page
from onex.server.pages.live import Live
from onex.server.pages.node import node_page
from onex.server.pages.site import KINDS, Site, asset
from onex.server.published_index import MINIMUM_COMPRESSED_BYTES
from onex.server.readiness import Readiness

LOGGER = logging.getLogger("onex.server")

PATHS = ("/node/", "/graph/", "/runs", "/artifacts/", "/static/")
"""What the paths of pages begin with."""

_PROGRAMS = ("/api/", *PROBES)
_WHOLE = frozenset({"/", "/health", "/audit", "/resolve", "/impact", "/login", "/logout",
                    "/live", "/favicon.ico"})  # fmt: skip


class PageRoute(Route):
    """A route that requests are counted by."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        if match is not Match.NONE:
            found["route"] = self
        return match, found


def is_page(scope: Scope) -> bool:
    """Whether a request is for a page, or of a browser for what is not there."""
    path = scope["path"]
    if path in _WHOLE or path.startswith(PATHS):
        return True
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"text/html" in accepted and not path.startswith(_PROGRAMS)


def pages(
    site: Site,
    here: Callable[[], Registry],
    is_ending: Callable[[], bool],
    actions: RunActions,
    readiness: Readiness,
    open_registry: Callable[[], Registry],
) -> Starlette:
    """The pages of a registry.

    Args:
        site: what every page needs.
        here: gives the registry of the asking thread.
        is_ending: says that the server is about to end.
        actions: what the owner can do with runs.
        readiness: the health checks.
        open_registry: opens the registry with its remotes.
    """
    audit = operations.AuditPages(open_registry)
    facets = Facets(open_registry)
    facets.begin(site.api.hidden_from_strangers())

    def also(topic: str) -> str:
        """What changes of a page beside the database."""
        return audit.state() if topic == "log" else actions.failure(topic.removeprefix("run:"))

    live = Live(here, is_ending, also)

    def page(handler: Callable[[Site, Request], Response]) -> Callable[[Request], Response]:
        return partial(handler, site)

    def health(site: Site, request: Request) -> Response:
        return operations.health_page(site, request, readiness.report(), open_registry)

    def run(site: Site, request: Request) -> Response:
        return runs.run_page(site, request, actions.failure)

    async def log_in(request: Request) -> Response:
        form = await session.read_form(request)
        return session.log_in(site, request, form.get("token", ""), form.get("next", "/"))

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            known = NodeNotFoundError("there is no such page", hint="go to the catalogue")
            if error.status_code != 404:
                return Response(str(error.detail), error.status_code, error.headers)
            error = known
        if not isinstance(error, OnexError):
            LOGGER.exception("a page failed", exc_info=error)
            error = InternalError("the page cannot be shown", hint="the log says why")
        return await run_in_threadpool(site.refused, request, error)

    version = "/{type}/{namespace}"
    routes = [
        PageRoute("/", page(partial(catalogue, facets=facets))),
        PageRoute(f"/node{version}", page(node_page)),
        PageRoute(f"/node{version}/{{version}}", page(node_page)),
        PageRoute(f"/graph{version}", page(graph_page)),
        PageRoute("/runs", page(runs.runs_page)),
        PageRoute("/runs/{run_id}", page(run)),
        PageRoute("/runs/{run_id}/compare", page(runs.compare_page)),
        PageRoute("/runs/{run_id}/{action}", page(actions.act), methods=["POST"]),
        PageRoute("/artifacts/{digest}", page(artifacts.artifact_page)),
        PageRoute("/artifacts/{digest}/raw", page(artifacts.artifact_file)),
        PageRoute("/health", page(health)),
        PageRoute("/audit", page(audit.page)),
        PageRoute("/resolve", page(questions.resolve_page)),
        PageRoute("/impact", page(questions.impact_page)),
        PageRoute("/login", page(session.login_form)),
        PageRoute("/login", log_in, methods=["POST"]),
        PageRoute("/logout", session.log_out, methods=["POST"]),
        PageRoute("/live", partial(live.events, site)),
        PageRoute("/static/{version}/{name}", _static),
        PageRoute("/favicon.ico", lambda _: _static_answer("icon.svg", "max-age=86400")),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        OnexError: refused,
        HTTPException: refused,
        Exception: refused,
    }
    return Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, minimum_size=MINIMUM_COMPRESSED_BYTES)],
        exception_handlers=handlers,
    )


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    found = asset(name)
    if found is None or request.path_params["version"] != found[1]:
        return Response("there is no such file", 404)
    return _static_answer(name, "public, max-age=31536000, immutable")


def _static_answer(name: str, kept: str) -> Response:
    found = asset(name)
    headers = {"cache-control": kept, "x-content-type-options": "nosniff"}
    kind = KINDS[name[name.rindex(".") :]]
    return Response(found[0] if found else b"", headers=headers, media_type=kind)

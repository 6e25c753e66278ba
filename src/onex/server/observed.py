"""Observed: measures, traces and logs every request, whatever answers it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextlib import nullcontext

from onex.server.asgi import Application, Message, Receive, Scope, Send, client_address
from onex.server.index_routes import STREAM_TYPE, is_of_tree
from onex.telemetry.logs import CORRELATION, log_fields
from onex.telemetry.telemetry import Telemetry

REQUEST_ID_HEADER = b"x-request-id"
UNMATCHED = "unmatched"
"""The route of requests that no route answered."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")
_TRACE = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LOGGER = logging.getLogger("onex.server.access")


class Observed:
    """An ASGI application around another."""

    def __init__(self, inner: Application, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        given = parent = b""
        for name, value in scope["headers"]:
            if name == REQUEST_ID_HEADER and _ID.fullmatch(value):
                given = value
            elif name == b"traceparent" and _TRACE.fullmatch(value):
                parent = value
        request_id = given or secrets.token_hex(8).encode()
        status, is_stream = 0, False

        async def observed(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                is_stream = any(STREAM_TYPE.encode() in value for _, value in headers)
                message = {**message, "headers": [*headers, (REQUEST_ID_HEADER, request_id)]}
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        tracer = self._telemetry.tracer
        name = request_id.decode()
        correlation, started = CORRELATION.set(name), time.perf_counter()
        span = (
            tracer.span(
                f"HTTP {method}",
                {"http.request.method": method, "url.path": scope["path"]},
                parent=parent.decode() or None,
                is_server=True,
            )
            if tracer.is_on
            else nullcontext()
        )
        try:
            with span as traced:
                await self._inner(scope, receive, observed)
                if traced is not None:
                    traced.set_attribute("http.route", _route(scope))
                    traced.set_attribute("http.response.status_code", status)
        finally:
            seconds = time.perf_counter() - started
            if not is_stream:
                # A stream lasts as long as its reader likes.
                self._telemetry.metrics.record_http_request(
                    method, _route(scope), status, seconds, name
                )
            if _LOGGER.isEnabledFor(logging.INFO):
                _LOGGER.info(
                    "%s %s %d", method, scope["path"], status,
                    extra=log_fields(seconds=round(seconds, 6), client=client_address(scope)),
                )  # fmt: skip
            CORRELATION.reset(correlation)


def _route(scope: Scope) -> str:
    """The route of a request, of which there are few whatever is asked for."""
    route = getattr(scope.get("route"), "path", None)
    if isinstance(route, str):
        return route
    if is_of_tree(scope["path"]):
        return f"/{scope['path'][1:].partition('/')[0]}"
    return UNMATCHED

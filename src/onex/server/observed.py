"""Observed: measures, traces and logs every request, whatever answers it."""

from __future__ import annotations

import logging
import re
import secrets
import time

from onex.server.answer import ANSWER, REQUEST_ID_HEADER, Answer
from onex.server.asgi import Application, Receive, Scope, Send, client_address
from onex.server.index_routes import is_of_tree
from onex.telemetry.logs import CORRELATION, log_fields
from onex.telemetry.telemetry import Telemetry

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
        self._metrics, self._tracer = telemetry.metrics, telemetry.tracer
        self._start = f"{secrets.token_hex(4)}-"
        self._count = 0

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
        if given:
            request_id = given.decode()
        else:
            self._count += 1
            request_id = f"{self._start}{self._count:x}"
        # Files of the index are read by the thousand: who wants to find them again says so.
        is_file = is_of_tree(scope["path"])
        answer = Answer(send, request_id, shows=not is_file or given != b"")
        scope[ANSWER] = answer
        correlation, started = CORRELATION.set(request_id), time.perf_counter()
        try:
            if self._tracer.is_on:
                await self._traced(scope, receive, answer, parent.decode() or None)
            else:
                await self._inner(scope, receive, answer.send)
        finally:
            seconds = time.perf_counter() - started
            self._note(scope, answer, seconds, is_file=is_file)
            CORRELATION.reset(correlation)

    async def _traced(
        self, scope: Scope, receive: Receive, answer: Answer, parent: str | None
    ) -> None:
        attributes = {"http.request.method": _method(scope), "url.path": scope["path"]}
        with self._tracer.span(
            f"HTTP {_method(scope)}", attributes, parent=parent, is_server=True
        ) as span:
            await self._inner(scope, receive, answer.send)
            span.set_attribute("http.route", _route(scope))
            span.set_attribute("http.response.status_code", answer.status)

    def _note(self, scope: Scope, answer: Answer, seconds: float, *, is_file: bool) -> None:
        method = _method(scope)
        if not answer.is_stream:
            # A stream lasts as long as its reader likes.
            route = _folder(scope) if is_file else _route(scope)
            self._metrics.record_http_request(
                method, route, answer.status, seconds, answer.request_id
            )
        if _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info(
                "%s %s %d", method, scope["path"], answer.status,
                extra=log_fields(seconds=round(seconds, 6), client=client_address(scope)),
            )  # fmt: skip


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


def _route(scope: Scope) -> str:
    """The route of a request, of which there are few whatever is asked for."""
    route = getattr(scope.get("route"), "path", None)
    if isinstance(route, str):
        return route
    return _folder(scope) if is_of_tree(scope["path"]) else UNMATCHED


def _folder(scope: Scope) -> str:
    """The folder of a file of the tree."""
    return f"/{scope['path'][1:].partition('/')[0]}"

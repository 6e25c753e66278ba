"""Serving many clients over streamable HTTP, as an ASGI application without a route of its own.

Whoever mounts it has authenticated the request, and says in its scope who it is.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import (
    DEFAULT_SESSION_IDLE_TIMEOUT,
    StreamableHTTPSessionManager,
)
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from onex.agents.client import Client, Context
from onex.agents.session import Sessions
from onex.agents.tool_server import ToolServer
from onex.configuration.agent_settings import AgentSettings
from onex.registry import Registry

_CALLER = "onex.agent_caller"
_MAXIMUM_SESSIONS = 10_000
_SESSIONS_OF_PRINCIPAL = 200
_CALLS_OF_PRINCIPAL = 4
_WAITING_OF_PRINCIPAL = 128
_GONE, _REFUSED = 404, 400


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """Who sends a request over HTTP: the principal that owns its sessions, and what it may."""

    principal: str
    actor: str
    may_run: Callable[[str], bool]
    may_grant: Callable[[str], bool]


class HttpToolServer:
    """Serves clients from ``start`` to ``close``, both in the event loop."""

    def __init__(self, open_registry: Callable[[], Registry], settings: AgentSettings) -> None:
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        self._settings = settings
        self._sessions = Sessions(settings.budget, of_principal=_SESSIONS_OF_PRINCIPAL)
        self._opened: dict[str, dict[str, float]] = {}
        self._tools = ToolServer(
            open_registry,
            self._client_of,
            settings.list_limit,
            at_once=_CALLS_OF_PRINCIPAL,
            waiting=_WAITING_OF_PRINCIPAL,
        )
        self._manager = StreamableHTTPSessionManager(
            self._tools.server, max_sessions=_MAXIMUM_SESSIONS
        )
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve."""
        started = asyncio.Event()

        async def run() -> None:
            async with self._manager.run():
                started.set()
                await self._ending.wait()

        self._task = asyncio.get_running_loop().create_task(run())
        await started.wait()

    async def close(self) -> None:
        """Cancel what runs and end every session."""
        self._ending.set()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._tools.close)

    async def handle(
        self,
        caller: AgentCaller,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request of a caller; a session is open to the caller alone that began it."""
        token = AccessToken(token="", client_id=caller.principal, scopes=[])
        scope["user"] = AuthenticatedUser(token)
        scope[_CALLER] = caller
        headers = Headers(scope=scope)
        session_id = headers.get(MCP_SESSION_ID_HEADER)
        opened = self._opened_by(caller.principal)
        if session_id in opened:
            opened[session_id] = time.monotonic()
        elif session_id is None and len(opened) >= _SESSIONS_OF_PRINCIPAL and _opens(headers):
            told = f"{len(opened)} sessions of this token are open; end one of them, by DELETE"
            await JSONResponse({"error": told}, 503)(scope, receive, send)
            return

        async def note(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if scope["method"] == "DELETE" or message["status"] == _GONE:
                    opened.pop(session_id or "", None)
                elif found is not None and message["status"] < _REFUSED:
                    opened[found] = time.monotonic()
            await send(message)

        await self._manager.handle_request(scope, receive, note)

    def _opened_by(self, principal: str) -> dict[str, float]:
        """The sessions with a handshake that a principal opened, and when each was used last."""
        opened = self._opened.setdefault(principal, {})
        oldest = time.monotonic() - DEFAULT_SESSION_IDLE_TIMEOUT
        for session_id in [name for name, used_at in opened.items() if used_at < oldest]:
            del opened[session_id]
        return opened

    def _client_of(self, ctx: Context) -> Client:
        """Who sends a request; without sessions, all requests with one token are one."""
        if ctx.request is None:
            raise AssertionError("over HTTP every message comes with a request")
        caller: AgentCaller = ctx.request.scope[_CALLER]
        # Without a handshake the header is whatever the client likes.
        is_opened = ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
        session_id = ctx.request.headers.get(MCP_SESSION_ID_HEADER, "") if is_opened else ""
        session = self._sessions.of(caller.principal, session_id)
        # The folders of a client elsewhere are no folders of this machine.
        return Client(
            session,
            self._settings.roots,
            offers_folders=False,
            principal=caller.principal,
            asked_by=caller.actor,
            may_run=caller.may_run,
            may_grant=caller.may_grant,
        )


def _opens(headers: Headers) -> bool:
    """Whether a request without a session may open one, by its protocol version."""
    version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
    return version is None or version in HANDSHAKE_PROTOCOL_VERSIONS

"""Serving many clients over streamable HTTP, as an ASGI application without a route of its own.

Whoever mounts it has authenticated the request, and says in its scope who it is.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPDeprecationWarning

from onex.agents.client import Client, Context
from onex.agents.session import Sessions
from onex.agents.tool_server import ToolServer
from onex.configuration.agent_settings import AgentSettings
from onex.registry import Registry

_CALLER = "onex.agent_caller"
_MAXIMUM_SESSIONS = 1_000


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
        self._sessions = Sessions(settings.budget, maximum=_MAXIMUM_SESSIONS)
        self._tools = ToolServer(open_registry, self._client_of, settings.list_limit)
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
        await self._manager.handle_request(scope, receive, send)

    def _client_of(self, ctx: Context) -> Client:
        """Who sends a request; without sessions, all requests with one token are one."""
        if ctx.request is None:
            raise AssertionError("over HTTP every message comes with a request")
        caller: AgentCaller = ctx.request.scope[_CALLER]
        session_id = ctx.request.headers.get(MCP_SESSION_ID_HEADER, "")
        session = self._sessions.of(f"{caller.principal}/{session_id}")
        # The folders of a client elsewhere are no folders of this machine.
        return Client(
            session,
            self._settings.roots,
            offers_folders=False,
            principal=caller.actor,
            may_run=caller.may_run,
            may_grant=caller.may_grant,
        )

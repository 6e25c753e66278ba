"""``/mcp``: the tools of a registry for agents, and where it says how they are authenticated."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request

from onex.configuration.agent_settings import AgentSettings
from onex.domain.access_control import NEEDED_ROLE, Action, NamespaceRules
from onex.domain.errors import OnexError
from onex.domain.remote_errors import NotAuthenticatedError, NotPermittedError
from onex.server.asgi import Headers, Receive, Scope, Send, send_answer
from onex.server.gate import Caller
from onex.server.problem import PROBLEM_TYPE, problem, problem_of
from onex.server.registry_pool import RegistryPool
from onex.server.requests import Requests

if TYPE_CHECKING:
    from onex.agents.http import HttpToolServer

AGENTS = "/mcp"
_METADATA = "/.well-known/oauth-protected-resource"
_HOW = "create one that may run nodes: onex token create NAME --role publisher"


def is_of_agents(path: str) -> bool:
    """Whether a path is one of those for agents."""
    return path in (AGENTS, _METADATA, _METADATA + AGENTS)


class AgentRoutes:
    """An ASGI application for the paths of agents; what it needs is imported with the first use."""

    def __init__(
        self,
        api: Requests,
        rules: NamespaceRules,
        pool: RegistryPool,
        settings: AgentSettings,
        *,
        has_one_process: bool,
    ) -> None:
        """``has_one_process`` says that every request comes here, which sessions need."""
        self._api = api
        self._rules = rules
        self._pool = pool
        self._settings = settings
        self._has_one_process = has_one_process
        self._starting = asyncio.Lock()
        self._server: HttpToolServer | None = None

    async def close(self) -> None:
        """End every session."""
        if self._server is not None:
            await self._server.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        # RFC 9728; the protocol has clients look there.
        if scope["path"] != AGENTS:
            await _send_metadata(request, send)
            return
        if not self._has_one_process or importlib.util.find_spec("mcp") is None:
            told = "this server does not serve agents: it has several processes, or no package mcp"
            body = problem(501, "USE001", told)
            await send_answer(send, 501, [(b"content-type", PROBLEM_TYPE.encode())], body)
            return
        try:
            caller = await anyio.to_thread.run_sync(partial(self._caller, request))
        except OnexError as error:
            await _refuse(request, send, error)
            return
        server = await self._started()
        from onex.agents.http import AgentCaller

        token = caller.token
        found = AgentCaller(
            principal="" if token is None else token.id,
            actor=caller.actor,
            may_run=lambda name: self._rules.decide(token, Action.RUN, name).allowed,
            may_grant=lambda name: self._rules.decide(token, Action.DECIDE, name).allowed,
        )
        await server.handle(found, scope, receive, send)

    def _caller(self, request: Request) -> Caller:
        caller = self._api.caller(request)
        if caller.token is None:
            raise NotAuthenticatedError("agents need a token", hint=_HOW)
        if caller.token.role < NEEDED_ROLE[Action.RUN]:
            raise NotPermittedError(f"this token is that of a {caller.token.role}", hint=_HOW)
        return caller

    async def _started(self) -> HttpToolServer:
        async with self._starting:
            if self._server is None:
                await anyio.to_thread.run_sync(importlib.import_module, "onex.agents.http")
                from onex.agents.http import HttpToolServer

                self._server = HttpToolServer(self._pool.open, self._settings)
                await self._server.start()
            return self._server


async def _send_metadata(request: Request, send: Send) -> None:
    body = {
        "resource": str(request.url.replace(path=AGENTS, query="")),
        "resource_name": "onex registry",
        "bearer_methods_supported": ["header"],
    }
    headers: Headers = [(b"content-type", b"application/json")]
    await send_answer(send, 200, headers, json.dumps(body).encode())


async def _refuse(request: Request, send: Send, error: OnexError) -> None:
    status, headers, body = problem_of(error)
    found = {**headers, "content-type": PROBLEM_TYPE}
    if status == 401:
        where = request.url.replace(path=_METADATA + AGENTS, query="")
        found["www-authenticate"] = f'Bearer resource_metadata="{where}"'
    encoded = [(name.lower().encode(), value.encode()) for name, value in found.items()]
    await send_answer(send, status, encoded, body)

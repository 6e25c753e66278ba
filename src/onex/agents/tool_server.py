"""ToolServer: answers the requests of the Model Context Protocol for one registry.

It translates: what is offered is ToolCatalog's, and what a call may do ToolCall's and the
registry's. Revisions with a handshake and the one of 2026 without are both served; they differ in
how the user is asked, which is all that this file knows of them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError

from onex import __version__
from onex.agents.client import Client, Context
from onex.agents.finding_tools import DEFAULT_FOUND, FINDING_TOOLS, MAXIMUM_FOUND
from onex.agents.publisher_text import clean_text
from onex.agents.registry_threads import RegistryThreads
from onex.agents.session import Session
from onex.agents.tool import Tool
from onex.agents.tool_catalog import ToolCatalog
from onex.agents.tool_name import DESCRIBE_TOOL, FIND_TOOLS, RUN_TOOL
from onex.agents.tool_result import error_result, resource_of
from onex.domain.agent_errors import UnknownToolError
from onex.domain.errors import InternalError, OnexError, UsageError
from onex.domain.json_value import JsonObject, JsonValue
from onex.registry import Registry

if TYPE_CHECKING:
    from onex.agents.calls import Calls

LOGGER = logging.getLogger("onex.agents")
SERVER_NAME = "onex-registry"
MAXIMUM_RESOURCE_BYTES = 16 * 1024 * 1024
_MAXIMUM_DESCRIBED = 50
RUNS_AT_ONCE = 8
_INSTRUCTIONS = """\
The tools are nodes and workflows of a registry. Each call is a run of its own that the system \
confines and the registry records. A tool reads only files that lie in the folders its user offers \
and that are named in its inputs. Files that a tool makes are given as links, onex://artifact/..., \
which can be read, and be given to other tools where they take a path. If find_tools is listed, \
there are more tools than those listed."""


class ToolServer:
    """The handlers of a server, which ``server`` is ready to serve."""

    def __init__(
        self,
        open_registry: Callable[[], Registry],
        client_of: Callable[[Context], Client],
        list_limit: int,
        *,
        at_once: int = RUNS_AT_ONCE,
        waiting: int = 256,
    ) -> None:
        """Serve a registry, which is opened for each of a few threads.

        Args:
            open_registry: opens it.
            client_of: who sends a request.
            list_limit: how many tools are listed before they have to be found.
            at_once: how many calls of one principal run at once.
            waiting: how many more of them wait, before others are refused.
        """
        self._at_once, self._waiting = at_once, waiting
        # Runs last, and must not keep others from listing.
        self._questions = RegistryThreads(open_registry, threads=2)
        self._runs = RegistryThreads(open_registry, threads=RUNS_AT_ONCE)
        self._client_of = client_of
        self._list_limit = list_limit
        self._bus = InMemorySubscriptionBus()
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_scanned = False
        self.server = self._make_server()

    def _make_server(self) -> Server[Any]:
        server: Server[Any] = Server(
            SERVER_NAME,
            version=__version__,
            title="onex registry",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
            on_subscriptions_listen=ListenHandler(self._bus),
            # Arguments are checked here. Without this the SDK would list the tools at every call,
            # as if the client had asked what they are now.
            get_tool_input_schema=lambda name: None,
        )
        # Deprecated for new servers since 2026, and what clients before that know.
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self._roots_changed
        )
        security = RequestStateSecurity.ephemeral()
        server.middleware.append(RequestStateBoundary(security, default_audience=SERVER_NAME))
        return server

    def close(self) -> None:
        """Cancel what runs, wait for its end, and close the registries."""
        if "_calls" in self.__dict__:
            self._calls.cancel()
        self._runs.close()
        self._questions.close()

    def initialization_options(self) -> InitializationOptions:
        """What the handshake tells of the server."""
        return self.server.create_initialization_options(NotificationOptions(tools_changed=True))

    # Listing and finding

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        client = self._client(ctx)
        described = list(client.session.described)
        try:
            await self._scan_if_empty()
            listed, all_listed = await self._questions.ask(partial(self._listed, client, described))
        except OnexError as error:
            raise _refusal(error) from error
        for tool in listed:
            client.session.note_told(tool)
        self._scan_later(ctx, client)
        found = [] if all_listed else list(FINDING_TOOLS)
        return types.ListToolsResult(
            tools=[
                types.Tool.model_validate(dict(one))
                for one in (*found, *(tool.to_json() for tool in listed))
            ]
        )

    def _listed(
        self, client: Client, described: Sequence[str], registry: Registry
    ) -> tuple[Sequence[Tool], bool]:
        """The tools that are listed one by one, and whether those are all."""
        catalog = ToolCatalog(registry, client.may_run)
        tools = catalog.tools(self._list_limit)
        if tools is not None:
            return tools, True
        found = []
        for name in described:
            try:
                found.append(catalog.tool(name))
            except UnknownToolError:
                continue
        return found, False

    async def _scan_if_empty(self) -> None:
        """Scan before the first list or search if nothing is registered yet."""
        if not self._was_scanned:
            await self._questions.ask(_scan_if_empty)

    def _scan_later(self, ctx: Context, client: Client) -> None:
        """Scan once after the first list, and tell the client if that changes what it lists."""
        if self._was_scanned:
            return
        self._was_scanned = True

        async def scan() -> None:
            def compare(registry: Registry) -> bool:
                before, _ = self._listed(client, (), registry)
                registry.refresh()
                after, _ = self._listed(client, (), registry)
                return [t.fingerprint for t in before] != [t.fingerprint for t in after]

            if await self._questions.ask(compare):
                await self._tell_list_changed(ctx)

        task = asyncio.get_running_loop().create_task(scan())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_list_changed(self, ctx: Context) -> None:
        await self._bus.publish(ToolsListChanged())
        await ctx.session.send_tool_list_changed()

    async def _find(self, client: Client, arguments: JsonObject) -> JsonObject:
        query, limit = arguments.get("query"), arguments.get("limit", DEFAULT_FOUND)
        if not isinstance(query, str) or not query.strip() or len(query) > 400:
            raise UsageError("query must be a text of 1 to 400 characters", hint="name what to do")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAXIMUM_FOUND:
            raise UsageError(f"limit must be from 1 to {MAXIMUM_FOUND}", hint="leave it out")
        await self._scan_if_empty()
        found = await self._questions.ask(
            lambda r: ToolCatalog(r, client.may_run).find(query, limit)
        )
        for tool in found:
            client.session.note_found(tool)
        tools: list[JsonValue] = [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description.split("\n", 1)[0],
            }
            for tool in found
        ]
        return _structured({"tools": tools}, client.session)

    async def _describe(self, ctx: Context, client: Client, arguments: JsonObject) -> JsonObject:
        name = _name_in(arguments)
        await self._scan_if_empty()
        tool = await self._questions.ask(lambda r: ToolCatalog(r, client.may_run).tool(name))
        session = client.session
        session.note_told(tool)
        if name not in session.described:
            session.described[name] = None
            while len(session.described) > _MAXIMUM_DESCRIBED:
                session.described.pop(next(iter(session.described)))
            await self._tell_list_changed(ctx)
        return _structured(tool.to_json(), session)

    # Calling

    async def _call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        client, name = self._client(ctx), params.name
        arguments: JsonObject = params.arguments or {}
        try:
            if name == FIND_TOOLS:
                result = await self._find(client, arguments)
            elif name == DESCRIBE_TOOL:
                result = await self._describe(ctx, client, arguments)
            else:
                if name == RUN_TOOL:
                    name, arguments = _name_in(arguments), _arguments_in(arguments)
                return await self._calls.call(ctx, client, params, name, arguments)
        except OnexError as error:
            result = error_result(error)
        except MCPError:
            raise
        except Exception as error:
            # Whatever it is, the client is told so and nothing more.
            LOGGER.exception("a call of a tool failed", exc_info=error)
            told = "the server failed; its log says why"
            result = error_result(InternalError(told, hint="report it to whoever runs the server"))
        return types.CallToolResult.model_validate(dict(result))

    @cached_property
    def _calls(self) -> Calls:
        # What makes runs is imported with the first one, so that tools are listed sooner.
        from onex.agents.calls import Calls

        return Calls(self._runs, self._at_once, self._waiting)

    # Files and logs

    async def _list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        session = self._client(ctx).session
        found = [resource_of(a, session.keep(a)) for a in session.artifacts]
        return types.ListResourcesResult(
            resources=[types.Resource.model_validate(r) for r in found]
        )

    async def _read_resource(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        session, uri = self._client(ctx).session, str(params.uri)
        try:
            artifact = session.artifact(uri)
            if artifact.size_bytes > MAXIMUM_RESOURCE_BYTES:
                raise UsageError(
                    f"{artifact.name} has more than {MAXIMUM_RESOURCE_BYTES} bytes",
                    hint="give it to a tool that takes a path",
                )
            session.take_bytes(artifact.size_bytes)
            content = await anyio.to_thread.run_sync(_read, Path(artifact.path), artifact.digest)
        except OnexError as error:
            raise _refusal(error) from error
        media_type = resource_of(artifact, uri).get("mimeType")
        shown: dict[str, JsonValue] = {"uri": uri, "mimeType": media_type}
        try:
            text = types.TextResourceContents.model_validate(shown | {"text": content.decode()})
        except UnicodeDecodeError:
            blob = base64.b64encode(content).decode()
            found = types.BlobResourceContents.model_validate(shown | {"blob": blob})
            return types.ReadResourceResult(contents=[found])
        return types.ReadResourceResult(contents=[text])

    async def _set_level(
        self, ctx: Context, params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        self._client(ctx).session.log_level = params.level
        return types.EmptyResult()

    async def _roots_changed(self, ctx: Context, params: types.NotificationParams) -> None:
        self._client(ctx).session.roots = None

    # What all of them need

    def _client(self, ctx: Context) -> Client:
        client = self._client_of(ctx)
        told = ctx.session.client_params
        if told is not None:
            client.session.client = clean_text(told.client_info.name, 60) or "client"
        return client


def _refusal(error: OnexError) -> MCPError:
    """An error of a request that is no call."""
    data = {"code": error.code, "hint": error.hint}
    return MCPError(types.INVALID_PARAMS, error.message, data)


def _scan_if_empty(registry: Registry) -> None:
    if not registry.storage.count():
        registry.refresh()


def _structured(value: JsonObject, session: Session) -> JsonObject:
    text = json.dumps(value, ensure_ascii=False)
    session.take_bytes(len(text.encode()))
    return {"content": [{"type": "text", "text": text}], "structuredContent": value}


def _arguments_in(arguments: JsonObject) -> JsonObject:
    given = arguments.get("arguments", {})
    if not isinstance(given, dict):
        raise UsageError("arguments must be an object", hint="give inputs by name")
    return given


def _name_in(arguments: JsonObject) -> str:
    name = arguments.get("name")
    if not isinstance(name, str) or not name:
        raise UsageError("name must be the name of a tool", hint="find_tools gives names")
    return name


def _read(path: Path, digest: str) -> bytes:
    """The content of an artifact; raises UsageError if it is not a file, or not the same."""
    if not path.is_file():
        raise UsageError(f"{path.name} is a folder, or not there any more", hint="run it again")
    content = path.read_bytes()
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise UsageError(f"{path.name} was changed since it was made", hint="run it again")
    return content

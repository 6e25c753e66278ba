"""ToolServer: answers the requests of the Model Context Protocol for one registry.

It translates: what is offered is ToolCatalog's, and what a call may do ToolCall's and the
registry's. Revisions with a handshake and the one of 2026 without are both served; they differ in
how the user is asked, which is all that this file knows of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from onex import __version__
from onex.agents.call_events import CallEvents
from onex.agents.finding_tools import DEFAULT_FOUND, FINDING_TOOLS, MAXIMUM_FOUND
from onex.agents.publisher_text import clean_text
from onex.agents.questions import (
    GRANT,
    ROOTS,
    asking_for_grant,
    asking_for_roots,
    can_ask_in_form,
    digest_of_request,
    folders_of,
    grant_question,
    is_answer_about,
    is_granted,
    offers_roots,
)
from onex.agents.registry_threads import RegistryThreads
from onex.agents.session import Session
from onex.agents.tool import Tool
from onex.agents.tool_call import Called, NeedsGrants, NeedsRoots, Outcome, ToolCall
from onex.agents.tool_catalog import ToolCatalog
from onex.agents.tool_name import DESCRIBE_TOOL, FIND_TOOLS, RUN_TOOL
from onex.agents.tool_result import error_result, resource_of, result_of
from onex.artifacts.file_content import content_digest
from onex.domain.agent_errors import GrantDeclinedError, UnknownToolError
from onex.domain.errors import OnexError, UsageError
from onex.domain.json_value import JsonObject, JsonValue
from onex.execution.cancellation import Cancellation
from onex.execution.events import RunEvent
from onex.registry import Registry
from onex.trust.grants import PendingGrant, missing_grants

SERVER_NAME = "onex-registry"
MAXIMUM_RESOURCE_BYTES = 16 * 1024 * 1024
_MAXIMUM_DESCRIBED = 50
_EVENTS_WAITING = 1_000
RUNS_AT_ONCE = 8
_INSTRUCTIONS = """\
The tools are nodes and workflows of a registry. Each call is a run of its own that the system \
confines and the registry records. A tool reads only files that lie in the folders its user offers \
and that are named in its inputs. Files that a tool makes are given as links, onex://artifact/..., \
which can be read, and be given to other tools where they take a path. If find_tools is listed, \
there are more tools than those listed."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends a request, and what they may.

    ``offers_folders`` says that the client's folders are on this machine. ``may_run`` and
    ``may_grant`` say of a namespace whether its nodes may be run, or be granted what they ask for.
    """

    session: Session
    actor: str
    roots: tuple[Path, ...]
    offers_folders: bool
    may_run: Callable[[str], bool] = field(default=lambda _: True)
    may_grant: Callable[[str], bool] = field(default=lambda _: True)


Context = ServerRequestContext[Any, Any]
ClientOf = Callable[[Context], Client]


class ToolServer:
    """The handlers of a server, which ``server`` is ready to serve."""

    def __init__(
        self, open_registry: Callable[[], Registry], client_of: ClientOf, list_limit: int
    ) -> None:
        """Serve a registry, which is opened for each of a few threads.

        Args:
            open_registry: opens it.
            client_of: who sends a request.
            list_limit: how many tools are listed before they have to be found.
        """
        # Runs last, and must not keep others from listing.
        self._questions = RegistryThreads(open_registry, threads=2)
        self._runs = RegistryThreads(open_registry, threads=RUNS_AT_ONCE)
        self._running: set[Cancellation] = set()
        self._client_of = client_of
        self._list_limit = list_limit
        self._bus = InMemorySubscriptionBus()
        self._asking = asyncio.Lock()
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
        for cancellation in list(self._running):
            cancellation.request()
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
        await self._scan_first()
        described = list(client.session.described)
        listed, all_listed = await self._questions.ask(partial(self._listed, client, described))
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

    async def _scan_first(self) -> None:
        """Scan before the first list if nothing is registered yet."""
        if not self._was_scanned:
            await self._questions.ask(
                lambda registry: registry.storage.count() or registry.refresh()
            )

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
        found = await self._questions.ask(
            lambda r: ToolCatalog(r, client.may_run).find(query, limit)
        )
        for tool in found:
            client.session.note_told(tool)
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
        client = self._client(ctx)
        arguments: JsonObject = params.arguments or {}
        try:
            match params.name:
                case str(name) if name == FIND_TOOLS:
                    result = await self._find(client, arguments)
                case str(name) if name == DESCRIBE_TOOL:
                    result = await self._describe(ctx, client, arguments)
                case str(name) if name == RUN_TOOL:
                    given = arguments.get("arguments", {})
                    if not isinstance(given, dict):
                        raise UsageError("arguments must be an object", hint="give inputs by name")
                    return await self._call(ctx, client, params, _name_in(arguments), given)
                case name:
                    return await self._call(ctx, client, params, name, arguments)
        except OnexError as error:
            result = error_result(error)
        return types.CallToolResult.model_validate(dict(result))

    async def _call(
        self,
        ctx: Context,
        client: Client,
        params: types.CallToolRequestParams,
        name: str,
        arguments: JsonObject,
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Make a call, asking the user for what it needs."""
        session, answers = client.session, params.input_responses or {}
        if ROOTS in answers and client.offers_folders:
            session.roots = folders_of(answers[ROOTS])
        size_bytes = len(json.dumps(arguments))
        call = ToolCall(
            name,
            arguments,
            size_bytes,
            session,
            client.roots,
            client.may_run,
            client.actor,
            is_again=params.request_state is not None,
        )
        while True:
            outcome = await self._make(ctx, session, call)
            call = replace(call, is_again=True)
            match outcome:
                case Called():
                    result = result_of(outcome, session)
                    return types.CallToolResult.model_validate(dict(result))
                case NeedsRoots():
                    if _is_modern(ctx) and self._may_ask_for_roots(ctx, client):
                        return asking_for_roots()
                    session.roots = await self._roots(ctx, client)
                case NeedsGrants(tool, pending):
                    if self._can_ask(ctx, client, pending) and _is_modern(ctx):
                        if not is_answer_about(params.request_state, pending):
                            self._refuse_if_declined(session, pending)
                            return asking_for_grant(tool, pending)
                        await self._settle(client, pending, answers.get(GRANT))
                    else:
                        await self._ask_for_grant(ctx, client, tool, pending)

    async def _make(self, ctx: Context, session: Session, call: ToolCall) -> Outcome:
        cancellation = Cancellation()
        self._running.add(cancellation)
        loop = asyncio.get_running_loop()
        send, receive = anyio.create_memory_object_stream[RunEvent](_EVENTS_WAITING)

        def observer(event: RunEvent) -> None:
            loop.call_soon_threadsafe(_offer, send, event)

        def make(registry: Registry) -> Outcome | OnexError:
            try:
                return call.make(registry, observer, cancellation)
            except OnexError as error:
                return error

        events = CallEvents(ctx, session)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_tell_all, events, receive)
                with send:
                    outcome = await self._runs.ask(make, cancellation.request)
        finally:
            self._running.discard(cancellation)
        # A task group would raise it within a group of errors.
        if isinstance(outcome, OnexError):
            raise outcome
        return outcome

    def _may_ask_for_roots(self, ctx: Context, client: Client) -> bool:
        return client.offers_folders and offers_roots(ctx.session.client_capabilities)

    async def _roots(self, ctx: Context, client: Client) -> tuple[str, ...]:
        """The folders that the client offers, which are none if it cannot be asked."""
        if not (self._may_ask_for_roots(ctx, client) and ctx.session.can_send_request):
            return ()
        answer = await ctx.session.send_request(
            types.ListRootsRequest(),
            types.ListRootsResult,
            metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
        )
        return folders_of(answer)

    def _can_ask(self, ctx: Context, client: Client, pending: Sequence[PendingGrant]) -> bool:
        return can_ask_in_form(ctx.session.client_capabilities) and all(
            client.may_grant(request.node.metadata.node.namespace) for request in pending
        )

    def _refuse_if_declined(self, session: Session, pending: Sequence[PendingGrant]) -> None:
        if digest_of_request(pending) in session.declined:
            raise _declined(pending)

    async def _ask_for_grant(
        self, ctx: Context, client: Client, tool: Tool, pending: Sequence[PendingGrant]
    ) -> None:
        """Ask the user, and store what they grant.

        Raises:
            GrantMissingError: they cannot be asked; the hint says which command grants it.
            GrantDeclinedError: they do not grant it.
        """
        if not (self._can_ask(ctx, client, pending) and ctx.session.can_send_request):
            raise missing_grants(pending)
        asked = digest_of_request(pending)
        # One question at a time: what was granted meanwhile is not asked again.
        async with self._asking:
            self._refuse_if_declined(client.session, pending)
            if asked in client.session.granted:
                return
            question = grant_question(tool, pending)
            answer = await ctx.session.elicit_form(
                question.message, question.requested_schema, ctx.request_id
            )
            await self._settle(client, pending, answer)

    async def _settle(
        self, client: Client, pending: Sequence[PendingGrant], answer: object
    ) -> None:
        """Do what the user answered; raises GrantDeclinedError if they do not grant it."""
        session, asked = client.session, digest_of_request(pending)
        if not is_granted(answer):
            session.declined.add(asked)
            raise _declined(pending)

        def approve(registry: Registry) -> None:
            grants = registry.acting_as(client.actor).grants
            for request in pending:
                grants.approve(request.node, request.missing)

        await self._questions.ask(approve)
        session.granted.add(asked)

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
            data = {"code": error.code, "hint": error.hint}
            raise MCPError(types.INVALID_PARAMS, error.message, data) from error
        shown = resource_of(artifact, uri)
        blob = base64.b64encode(content).decode()
        return types.ReadResourceResult(
            contents=[
                types.BlobResourceContents.model_validate(
                    {"uri": uri, "blob": blob, "mimeType": shown.get("mimeType")}
                )
            ]
        )

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


def _scan_if_empty(registry: Registry) -> None:
    if not registry.storage.count():
        registry.refresh()


def _structured(value: JsonObject, session: Session) -> JsonObject:
    text = json.dumps(value, ensure_ascii=False)
    session.take_bytes(len(text.encode()))
    return {"content": [{"type": "text", "text": text}], "structuredContent": value}


def _name_in(arguments: JsonObject) -> str:
    name = arguments.get("name")
    if not isinstance(name, str) or not name:
        raise UsageError("name must be the name of a tool", hint="find_tools gives names")
    return name


def _declined(pending: Sequence[PendingGrant]) -> GrantDeclinedError:
    names = ", ".join(str(request.node.metadata.node_version) for request in pending)
    return GrantDeclinedError(
        f"the user does not grant what {names} asks for", hint="do without this tool"
    )


def _is_modern(ctx: Context) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _offer(send: MemoryObjectSendStream[RunEvent], event: RunEvent) -> None:
    """Hand on an event, unless the client reads more slowly than they come, or is done."""
    try:
        send.send_nowait(event)
    except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
        return


async def _tell_all(events: CallEvents, receive: MemoryObjectReceiveStream[RunEvent]) -> None:
    async with receive:
        async for event in receive:
            await events.tell(event)


def _read(path: Path, digest: str) -> bytes:
    """The content of an artifact; raises UsageError if it is not a file, or not the same."""
    if not path.is_file():
        raise UsageError(f"{path.name} is a folder, or not there any more", hint="run it again")
    content = path.read_bytes()
    if content_digest(path) != digest:
        raise UsageError(f"{path.name} was changed since it was made", hint="run it again")
    return content
